// Sessions over the fake: both ends in this process.
#pragma once

#include <memory>

#include "protocol/base/clock.h"
#include "protocol/transport/rdma/client.h"
#include "protocol/transport/rdma/end.h"
#include "protocol/transport/rdma/server.h"
#include "tests/unit/protocol/transport/rdma/fake_link.h"

namespace accelmesh::rdma {

inline constexpr int kClientSide = 0;
inline constexpr int kServerSide = 1;

inline Deadline In(int ms) { return Deadline::After(std::chrono::milliseconds(ms)); }

struct Ends {
  std::unique_ptr<End> client;
  std::unique_ptr<End> server;
};
// Registers both blocks and joins them; fails as Prepare() does.
Result<Ends> Join(FakeFabric& fabric);

// The two channels of a session.
struct Channels {
  std::unique_ptr<ClientChannel> client;
  std::unique_ptr<ServerChannel> server;
};
Channels OpenSession(FakeFabric& fabric);
// The channel of an end whose client is there already.
std::unique_ptr<ServerChannel> Serve(std::unique_ptr<End> end);

}  // namespace accelmesh::rdma
