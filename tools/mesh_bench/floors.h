// The floors: the same exchange without AccelMesh, between two processes placed like the measured client and server.
//
// Threads: one; every floor forks its two processes. Units: nanoseconds, bytes a second, messages a second; each is the
// median of some rounds.
#pragma once

#include <string>

#include "protocol/base/result.h"

namespace accelmesh::bench {

// Where client and server run. One core: both on the same CPU.
struct Placement {
  std::string name;
  int client_cpu = 0;
  int server_cpu = 0;
};

struct FloorOptions {
  int rounds = 5;
  int exchanges = 10000;  // of a ping-pong, a round
  int messages = 200000;  // of a stream of small messages, a round
  std::size_t copy_bytes = 64u << 20;
};

// A record of 64 bytes there and back through two rings of the shm transport, waiting as that does.
Result<double> RingRoundTripNs(const Placement& placement, const FloorOptions& options);
// Records of the size of a launch, one way through a ring; the end is acknowledged.
Result<double> RingMessagesPerSecond(const Placement& placement, const FloorOptions& options);
// A message of 64 bytes from a DEALER to a ROUTER and back, tcp on 127.0.0.1, blocking calls.
Result<double> ZmqRoundTripNs(const Placement& placement, const FloorOptions& options);
// Messages of 64 bytes one way over tcp; the end is acknowledged.
Result<double> ZmqMessagesPerSecond(const Placement& placement, const FloorOptions& options);
// Messages of 1 MiB one way over tcp, `copy_bytes` a round; the end is acknowledged.
Result<double> ZmqStreamBytesPerSecond(const Placement& placement, const FloorOptions& options);
// One memcpy of `copy_bytes` on the client's CPU, pages touched before.
Result<double> MemcpyBytesPerSecond(const Placement& placement, const FloorOptions& options);

}  // namespace accelmesh::bench
