// libibverbs and librdmacm, opened when somebody asks for rdma and not before: nothing of ours is linked with them, so
// that a host without RDMA needs neither, and a program that is preloaded gets them only by its own choice.
//
// Threads: any; opened once, for the life of the process.
#pragma once

#include <infiniband/verbs.h>
#include <rdma/rdma_cma.h>

#include "protocol/base/result.h"

// The macros of the header choose between two functions; ours needs the plain one.
#undef ibv_reg_mr

namespace accelmesh::rdma {

#define ACCELMESH_VERBS(use)                                                                            \
  use(ibv_fork_init) use(ibv_alloc_pd) use(ibv_dealloc_pd) use(ibv_reg_mr) use(ibv_dereg_mr)            \
      use(ibv_create_comp_channel) use(ibv_destroy_comp_channel) use(ibv_create_cq) use(ibv_destroy_cq) \
          use(ibv_get_cq_event) use(ibv_ack_cq_events) use(ibv_modify_qp)
#define ACCELMESH_RDMACM(use)                                                                                    \
  use(rdma_create_event_channel) use(rdma_destroy_event_channel) use(rdma_create_id) use(rdma_destroy_id)        \
      use(rdma_bind_addr) use(rdma_listen) use(rdma_get_src_port) use(rdma_resolve_addr) use(rdma_resolve_route) \
          use(rdma_create_qp) use(rdma_destroy_qp) use(rdma_connect) use(rdma_accept) use(rdma_reject)           \
              use(rdma_disconnect) use(rdma_migrate_id) use(rdma_set_option) use(rdma_get_cm_event)              \
                  use(rdma_ack_cm_event)

struct Library {
  decltype(&::ibv_reg_dmabuf_mr) ibv_reg_dmabuf_mr = nullptr;  // null before 34
#define ACCELMESH_FIELD(name) decltype(&::name) name = nullptr;
  ACCELMESH_VERBS(ACCELMESH_FIELD)
  ACCELMESH_RDMACM(ACCELMESH_FIELD)
#undef ACCELMESH_FIELD
};

// kUnsupported if they are not installed, with the package to install.
Result<const Library*> OpenLibrary();

}  // namespace accelmesh::rdma
