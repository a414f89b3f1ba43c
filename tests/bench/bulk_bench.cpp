// How fast bodies go over tcp and ipc, plain and sealed: 64 MiB in bodies of 1 MiB, up into memory of the server's and
// down into the client's. Both ends are in this process, on whatever cores there are. Each number is the best of some
// rounds: what the transport can do, not how busy the machine is.
//
//   bulk-bench [ROUNDS]
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>

#include "tests/conformance/transport/executor.h"
#include "tests/conformance/transport/transports.h"

namespace accelmesh {
namespace {

using conformance::In;

constexpr std::size_t kBytes = 64 * limits::kMiB;
constexpr std::size_t kBodies = kBytes / limits::kBulkBytesMax;

struct Rates {
  double up = 0;  // GB/s
  double down = 0;
};

double Rate(Instant begin) {
  return static_cast<double>(kBytes) / std::chrono::duration<double>(Clock::now() - begin).count() / 1e9;
}

Rates Measure(const conformance::Transport& transport, int rounds) {
  conformance::Pair pair = conformance::Open(transport);
  if (pair.client == nullptr || pair.server == nullptr) std::exit(1);
  Bytes device(kBytes);
  Bytes host(kBytes, 7);
  std::uint64_t next = 1;
  std::atomic<std::uint64_t> taken{1};
  std::atomic<std::uint64_t> until{1};
  conformance::Executor executor(*pair.server, [&](const ReceivedFrame&) {
    while (taken < until) {
      auto body = pair.server->TakeBulk(taken);
      if (!body.ok()) return;
      std::memcpy(device.data() + taken % kBodies * limits::kBulkBytesMax, (*body)->bytes().data(),
                  (*body)->bytes().size());
      if (++taken == until) pair.server->PublishCompleted(0, taken);
    }
  });
  conformance::Collector sink;
  Rates best;
  for (int round = 0; round < rounds; ++round) {
    until = next + kBodies;
    Instant begin = Clock::now();
    for (std::size_t i = 0; i < kBodies; ++i, ++next) {
      const ByteView body = ByteView(host).subspan(i * limits::kBulkBytesMax, limits::kBulkBytesMax);
      if (!pair.client->SendBulk(next, body, In(20000)).ok()) std::exit(1);
    }
    const auto completed = [&] { return pair.client->progress().completed[0].load(std::memory_order_acquire); };
    if (!PumpUntil(*pair.client, sink, [&] { return completed() >= until; }).ok()) std::exit(1);
    best.up = std::max(best.up, Rate(begin));
    const std::uint64_t token = 1'000'000 + static_cast<std::uint64_t>(round);
    if (!pair.client->ExpectBulk(token, host).ok()) std::exit(1);
    begin = Clock::now();
    std::thread sender([&] {
      for (std::size_t at = 0; at < kBytes; at += limits::kBulkBytesMax) {
        const ByteView piece = ByteView(device).subspan(at, limits::kBulkBytesMax);
        if (!pair.server->SendBulk(token, at, piece, In(20000)).ok()) std::exit(1);
      }
    });
    if (!PumpUntil(*pair.client, sink, [&] { return pair.client->BulkLanded(token); }).ok()) std::exit(1);
    best.down = std::max(best.down, Rate(begin));
    sender.join();
    if (std::count(host.begin(), host.end(), 7) != static_cast<long>(kBytes)) std::exit(1);
  }
  return best;
}

}  // namespace
}  // namespace accelmesh

int main(int argc, char** argv) {
  using namespace accelmesh;
  const int rounds = argc > 1 ? std::max(1, std::atoi(argv[1])) : 10;
  std::printf("%-18s %10s %10s\n", "64 MiB, GB/s", "up", "down");
  for (const conformance::Transport& transport : conformance::AllTransports()) {
    if (transport.name.rfind("zmq", 0) != 0 && transport.name.rfind("plugin", 0) != 0) continue;
    if (transport.name.find("rdma") != std::string::npos) continue;
    const Rates rates = Measure(transport, rounds);
    std::printf("%-18s %10.2f %10.2f\n", transport.name.c_str(), rates.up, rates.down);
    std::fflush(stdout);
  }
  return 0;
}
