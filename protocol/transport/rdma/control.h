// Where the hello of an rdma session goes, and who may go there. Threads: pure.
#pragma once

#include "protocol/transport/channel.h"

namespace accelmesh::rdma {

// Under CURVE the endpoint's own host and port, over tcp. Without, the same port of the loopback address: what is not
// authenticated stays on this host.
inline Endpoint ControlOf(const Endpoint& endpoint, bool is_secured) {
  Endpoint control = endpoint;
  control.scheme = Endpoint::Scheme::kTcp;
  if (!is_secured) control.host = "127.0.0.1";
  return control;
}

inline Status FabricNotTrusted(Code code, const Endpoint& endpoint, const std::string& how) {
  return {code, "rdma",
          endpoint.ToString() +
              ": what goes over RDMA is not sealed, so that whoever reaches the fabric can read it; use tcp://, or say "
              "that nobody else does (" +
              how + ")"};
}

}  // namespace accelmesh::rdma
