#include "protocol/transport/rdma/library.h"

#include <dlfcn.h>

#include <string>

namespace accelmesh::rdma {
namespace {

Result<void*> Open(const char* name) {
  if (void* library = ::dlopen(name, RTLD_NOW | RTLD_LOCAL); library != nullptr) return library;
  const char* why = ::dlerror();
  return Status(Code::kUnsupported, "rdma",
                std::string(name) + " cannot be opened (" + (why != nullptr ? why : "no reason given") +
                    "); install the packages librdmacm1 and ibverbs-providers, or use tcp:// or shm://");
}

template <typename Function>
bool Find(void* library, const char* name, Function& function) {
  function = reinterpret_cast<Function>(::dlsym(library, name));
  return function != nullptr;
}

Result<const Library*> OpenAll() {
  ACCELMESH_ASSIGN_OR_RETURN(void* const verbs, Open("libibverbs.so.1"));
  ACCELMESH_ASSIGN_OR_RETURN(void* const cm, Open("librdmacm.so.1"));
  static Library library;
  const char* missing = nullptr;
#define ACCELMESH_FIND_VERB(name) \
  if (!Find(verbs, #name, library.name)) missing = #name;
#define ACCELMESH_FIND_CM(name) \
  if (!Find(cm, #name, library.name)) missing = #name;
  ACCELMESH_VERBS(ACCELMESH_FIND_VERB)
  ACCELMESH_RDMACM(ACCELMESH_FIND_CM)
#undef ACCELMESH_FIND_VERB
#undef ACCELMESH_FIND_CM
  (void)Find(verbs, "ibv_reg_dmabuf_mr", library.ibv_reg_dmabuf_mr);
  if (missing != nullptr) {
    return Status(Code::kUnsupported, "rdma",
                  std::string("libibverbs or librdmacm is too old: it has no ") + missing + "; install a newer one");
  }
  // A program that forks keeps its connection; kernels before 5.12 need to be told.
  (void)library.ibv_fork_init();
  return &library;
}

}  // namespace

Result<const Library*> OpenLibrary() {
  static const Result<const Library*> opened = OpenAll();
  return opened;
}

}  // namespace accelmesh::rdma
