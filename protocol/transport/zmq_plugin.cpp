// libaccelmesh_zmq.so. The plugin carries its own static libzmq (cmake/private_zmq.cmake), so that a program with a
// libzmq of its own keeps it.
#include "protocol/transport/plugin.h"

namespace accelmesh {

Result<Connected> ConnectInPlugin(const Endpoint& endpoint, ByteView hello, Deadline deadline,
                                  const security::CurveCredentials* credentials) {
  return ConnectZmq(endpoint, hello, deadline, credentials);
}

}  // namespace accelmesh
