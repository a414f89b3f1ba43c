// The client's end of an rdma session. It has no thread of its own: it runs inside somebody else's process.
#pragma once

#include <memory>

#include "protocol/transport/channel.h"
#include "protocol/transport/rdma/end.h"
#include "protocol/transport/rdma/thresholds.h"

namespace accelmesh::rdma {

// `end` is connected. Threads: those of ClientChannel.
std::unique_ptr<ClientChannel> MakeClient(std::unique_ptr<End> end, const Thresholds& thresholds = {});

// How a session costs; `channel` is one of MakeClient().
Counts CountsOf(const ClientChannel& channel);

}  // namespace accelmesh::rdma
