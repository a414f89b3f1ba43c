// Over zmq what passes is told together: how many messages that takes, and that nobody waits long for them.
#include <algorithm>

#include "tests/conformance/transport/transport_test.h"

namespace accelmesh::conformance {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;

class PassingTest : public TransportTest {
 protected:
  std::uint64_t Seen(std::uint32_t stream) { return client().progress().completed[stream].load(); }
  std::uint64_t Messages() { return client().progress().messages.load(); }
  Status Await(std::uint32_t stream, std::uint64_t sequence, int ms = 20000) {
    return PumpUntil(client(), sink_, [&] { return Seen(stream) >= sequence; }, ms);
  }
  Collector sink_;
};

void SpinFor(Duration time) {
  for (const Instant end = Clock::now() + time; Clock::now() < end;) {
  }
}

TEST_P(PassingTest, ManyShareAMessage) {
  Executor executor(server());
  constexpr std::uint64_t kValues = 4000;
  const Instant begin = Clock::now();
  std::thread backend([&] {
    for (std::uint64_t i = 1; i <= kValues; ++i) {
      SpinFor(microseconds(25));
      server().PublishPassing(1, i);
    }
  });
  ASSERT_TRUE(Await(1, kValues).ok());
  backend.join();
  const auto most = static_cast<std::uint64_t>((Clock::now() - begin) / kPassingDelay) + 3;
  EXPECT_LE(Messages(), most);
  EXPECT_GT(Messages(), 3u) << "they are told on the way, too";
}

// The first after a while goes at once, the next one by the clock alone: nothing else happens that would carry it.
TEST_P(PassingTest, TheLastOneIsToldSoon) {
  Executor executor(server());
  constexpr int kRounds = 21;
  std::vector<Duration> took;
  for (std::uint64_t round = 0; round < kRounds; ++round) {
    server().PublishPassing(1, 2 * round + 1);
    server().PublishPassing(1, 2 * round + 2);
    const Instant begin = Clock::now();
    ASSERT_TRUE(Await(1, 2 * round + 2).ok());
    took.push_back(Clock::now() - begin);
    usleep(3000);
  }
  std::sort(took.begin(), took.end());
  EXPECT_LT(took[kRounds / 2], milliseconds(20)) << "a worker that sleeps looks at other things after 100 ms";
}

TEST_P(PassingTest, WhatIsWaitedForTakesItAlong) {
  Executor executor(server());
  for (std::uint64_t i = 1; i <= 200; ++i) {
    server().PublishPassing(1, 2 * i - 1);
    server().PublishPassing(1, 2 * i);
    server().PublishCompleted(2, i);
    ASSERT_TRUE(Await(2, i).ok());
    EXPECT_GE(Seen(1), 2 * i);
  }
}

// What has not been told when the session ends is told then.
TEST_P(PassingTest, TheEndTellsTheRest) {
  Executor executor(server());
  server().PublishPassing(1, 1);
  ASSERT_TRUE(Await(1, 1).ok());
  server().PublishPassing(1, 2);
  server().Close();
  const Status ended = PumpUntil(client(), sink_, [] { return false; });
  EXPECT_EQ(ended.code(), Code::kClosed) << ended.ToString();
  EXPECT_EQ(Seen(1), 2u);
}

std::vector<Transport> ZmqTransports() {
  std::vector<Transport> chosen;
  for (const Transport& transport : AllTransports()) {
    if (transport.name == "zmq_tcp" || transport.name == "zmq_ipc" || transport.name == "plugin_tcp" ||
        transport.name == "zmq_tcp_curve")
      chosen.push_back(transport);
  }
  return chosen;
}
std::string NameOf(const ::testing::TestParamInfo<Transport>& info) { return info.param.name; }
INSTANTIATE_TEST_SUITE_P(Zmq, PassingTest, ::testing::ValuesIn(ZmqTransports()), NameOf);

}  // namespace
}  // namespace accelmesh::conformance
