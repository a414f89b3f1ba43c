// From what the environment names, a lease (ACCELMESH_LEASE) or a server (ACCELMESH_SERVER), to an attached channel:
// HELLO, and the transport that the URL names. A lease goes first: mesh-run sets both.
#pragma once

#include <memory>
#include <string>

#include "protocol/transport/channel.h"

namespace accelmesh {

// Opens the library that connecting needs, if any: what must not happen under a lock of ours.
void PrepareToConnect();

// Errors name the server or the lease and what to do; kNotFound if neither is named. Waits a few seconds at most.
Result<std::unique_ptr<ClientChannel>> ConnectToServer();

}  // namespace accelmesh
