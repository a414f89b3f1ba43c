// libaccelmesh_rdma.so. As the plugin of zmq it carries a static libzmq of its own, for the hello; libibverbs and
// librdmacm are opened when a session is (library.h).
#include "protocol/transport/plugin.h"

#include <cstdlib>
#include <string_view>

#include "protocol/transport/rdma/rdma.h"

namespace accelmesh {

Result<Connected> ConnectInPlugin(const Endpoint& endpoint, ByteView hello, Deadline deadline,
                                  const security::CurveCredentials* credentials) {
  const char* const trusted = std::getenv(kTrustedFabricVariable);
  return ConnectRdma(endpoint, hello, deadline, credentials, trusted != nullptr && std::string_view(trusted) == "1");
}

}  // namespace accelmesh
