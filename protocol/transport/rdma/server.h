// The worker's end of an rdma session. It exists before its client has come: a thread of its own waits for the one
// connection that knows the session's secret, and ends with that; from then on everything happens on the callers'
// threads.
#pragma once

#include <memory>

#include "protocol/transport/channel.h"
#include "protocol/transport/rdma/end.h"

namespace accelmesh::rdma {

// Where the client's connection comes from.
class Awaiting {
 public:
  virtual ~Awaiting() = default;
  // Waits for the connection, on a thread of the server's.
  virtual Result<std::unique_ptr<End>> Await(Deadline deadline) = 0;
  // Makes Await() return soon. Any thread.
  virtual void Cancel() = 0;
};

// Threads: those of ServerChannel.
std::unique_ptr<ServerChannel> MakeServer(std::unique_ptr<Awaiting> awaiting);

// How a session costs; `channel` is one of MakeServer() that has its client.
Counts CountsOf(const ServerChannel& channel);

}  // namespace accelmesh::rdma
