// From a server's URL to an attached channel: HELLO, and the transport the URL names.
#pragma once

#include <memory>
#include <string>

#include "protocol/transport/channel.h"

namespace accelmesh {

// Opens the library that connecting to `url` needs, if any: what must not happen under a lock of ours.
void PrepareToConnect(const std::string& url);

// Errors name the server and what to do. Waits a few seconds at most.
Result<std::unique_ptr<ClientChannel>> ConnectToServer(const std::string& url);

}  // namespace accelmesh
