// From a server's URL to an attached channel: HELLO, and the transport the URL names.
#pragma once

#include <memory>
#include <string>

#include "protocol/transport/channel.h"

namespace accelmesh {

// Errors name the server and what to do. Waits a few seconds at most.
Result<std::unique_ptr<ClientChannel>> ConnectToServer(const std::string& url);

}  // namespace accelmesh
