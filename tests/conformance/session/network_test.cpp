// Sessions over an emulated network: far away, narrow, and breaking.
#include "protocol/transport/emulator.h"
#include "tests/conformance/session/world.h"

namespace accelmesh::conformance {
namespace {

Transport Emulated(const char* name, const EmulatorOptions& options) {
  return {name, nullptr, nullptr,
          [options](std::unique_ptr<ClientChannel> inner) { return Emulate(std::move(inner), options); }};
}

double MsSince(Instant begin) { return std::chrono::duration<double, std::milli>(Clock::now() - begin).count(); }

constexpr std::uint64_t kFarUs = 30000;

class FarTest : public SessionTest {};

TEST_P(FarTest, TenThousandCommandsTakeAFewRoundTrips) {
  constexpr std::uint32_t kCommands = 10000;
  const std::uint64_t word = Zeros(kCommands * 4);
  Stream* stream = NewStream(wire::StreamKind::NonBlocking);
  ASSERT_EQ(session().Synchronize(*stream), 0u);
  const std::uint64_t calls = session().commands().statistics().calls;
  const Instant begin = Clock::now();
  for (std::uint32_t i = 0; i < kCommands; ++i) {
    ASSERT_EQ(session().Fill(stream, wire::Fill(word + 4 * i, 4, 4, 1, 1, 1, i, 4, stream->slot, 0)), 0u);
  }
  ASSERT_EQ(session().Synchronize(*stream), 0u);
  const double ms = MsSince(begin);
  EXPECT_GE(ms, kFarUs / 1000.0) << "nothing is emulated";
  EXPECT_LT(ms, kCommands * kFarUs / 1000.0 / 10) << "a tenth of what " << kCommands << " round trips would take";
  EXPECT_EQ(session().commands().statistics().calls, calls);
  EXPECT_EQ(Read32(word + 4 * (kCommands - 1)), kCommands - 1);
}

TEST_P(FarTest, MallocAndFreeCostNoRoundTrip) {
  constexpr int kPairs = 1000;
  const std::uint64_t calls = session().commands().statistics().calls;
  const std::uint64_t waits = session().commands().statistics().waits;
  const Instant begin = Clock::now();
  for (int i = 0; i < kPairs; ++i) ASSERT_EQ(session().Free(Malloc(512)), 0u);
  EXPECT_LT(MsSince(begin), kPairs * kFarUs / 1000.0 / 10) << "a tenth of what " << kPairs << " round trips would take";
  EXPECT_EQ(session().commands().statistics().calls, calls);
  EXPECT_EQ(session().commands().statistics().waits, waits);
}

INSTANTIATE_TEST_SUITE_P(Network, FarTest,
                         ::testing::Values(Emulated("rtt_30ms", {.rtt_us = kFarUs, .jitter_us = 500, .seed = 7})),
                         NameOfSetting);

// No more waits and round trips than the native program has real waits, near and far: what the application sees of the
// distance is how long a wait lasts, not how many there are.
class CountedTest : public SessionTest {
 protected:
  void SetUp() override {
    SessionTest::SetUp();
    module();  // loading it is a call
    stream_ = NewStream(wire::StreamKind::NonBlocking);
    ASSERT_EQ(session().SynchronizeDevice(0), 0u);
    calls_ = session().commands().statistics().calls;
    waits_ = session().commands().statistics().waits;
  }
  std::uint64_t Calls() { return session().commands().statistics().calls - calls_; }
  std::uint64_t Waits() { return session().commands().statistics().waits - waits_; }

  Stream* stream_ = nullptr;

 private:
  std::uint64_t calls_ = 0;
  std::uint64_t waits_ = 0;
};

TEST_P(CountedTest, AnEventPollingLoopWaitsForNothing) {
  constexpr int kBatches = 20;
  const std::uint64_t word = Malloc(4);
  Event* events[4];
  for (Event*& event : events) event = NewEvent();
  std::uint64_t polls = 0;
  const std::uint64_t posts = session().commands().statistics().posts;
  for (int batch = 0; batch < kBatches; ++batch) {
    Event* event = events[batch % 4];
    while (event->recorded() && !session().EventDone(*event)) ++polls;
    Launch(stream_, "iota", {word, static_cast<std::uint64_t>(batch)});
    ASSERT_EQ(session().RecordEvent(event, stream_), 0u);
  }
  for (Event* event : events) {
    while (!session().EventDone(*event)) ++polls;
  }
  EXPECT_EQ(Calls(), 0u);
  EXPECT_EQ(Waits(), 0u);
  EXPECT_GT(polls, 0u) << "nothing is emulated";
  EXPECT_EQ(session().commands().statistics().posts - posts, 2u * kBatches) << "a poll sends nothing";
  EXPECT_EQ(Read32(word), kBatches - 1u);
}

TEST_P(CountedTest, AnAllocationStormWaitsForNothing) {
  constexpr int kThreads = 4;
  constexpr int kSteps = 250;
  std::vector<Stream*> streams;
  for (int t = 0; t < kThreads; ++t) streams.push_back(NewStream(wire::StreamKind::NonBlocking));
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([this, stream = streams[static_cast<std::size_t>(t)]] {
      for (std::uint64_t i = 0; i < kSteps; ++i) {
        std::uint64_t pooled = 0;
        std::uint64_t plain = 0;
        ASSERT_EQ(session().MallocFromPool(nullptr, stream, 512 * (1 + i % 50), &pooled), 0u);
        ASSERT_EQ(session().Malloc(0, 512 * (1 + i % 20), &plain), 0u);
        ASSERT_EQ(session().Fill(stream, wire::Fill(pooled, 4, 4, 1, 1, 1, 7, 4, stream->slot, 0)), 0u);
        ASSERT_EQ(session().FreeInOrder(stream, i % 2 == 0 ? pooled : plain), 0u);
        ASSERT_EQ(session().Free(i % 2 == 0 ? plain : pooled), 0u);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(Calls(), 0u);
  EXPECT_EQ(Waits(), 0u);
}

TEST_P(CountedTest, TenThousandSmallCopiesWaitOnce) {
  constexpr std::uint32_t kCopies = 10000;
  const std::uint64_t words = Malloc(4 * kCopies);
  std::vector<std::uint32_t> back(kCopies);
  for (std::uint32_t i = 0; i < kCopies; ++i) {
    ASSERT_EQ(session().CopyToDevice(stream_, words + 4 * i, &i, sizeof(i), true), 0u);
  }
  ASSERT_EQ(session().CopyToHost(stream_, back.data(), words, 4 * kCopies, true), 0u);
  EXPECT_EQ(Calls(), 0u);
  EXPECT_EQ(Waits(), 1u) << "the copy down is the only one to wait for";
  for (std::uint32_t i = 0; i < kCopies; ++i) ASSERT_EQ(back[i], i);
}

TEST_P(CountedTest, ALoopOfLaunchesWaitsOnce) {
  constexpr std::uint32_t kLaunches = 1100;
  const std::uint64_t word = Malloc(4);
  for (std::uint32_t i = 0; i < kLaunches; ++i) Launch(stream_, "iota", {word, i});
  ASSERT_EQ(session().Synchronize(*stream_), 0u);
  EXPECT_EQ(Calls(), 0u);
  EXPECT_EQ(Waits(), 1u);
  EXPECT_EQ(Read32(word), kLaunches - 1);
}

INSTANTIATE_TEST_SUITE_P(Network, CountedTest,
                         ::testing::Values(Emulated("rtt_300us", {.rtt_us = 300}),
                                           Emulated("rtt_30ms", {.rtt_us = kFarUs})),
                         NameOfSetting);

class NarrowTest : public SessionTest {};

TEST_P(NarrowTest, AnUploadTakesAsLongAsTheLinkSays) {
  constexpr std::uint64_t kBytes = 8 * limits::kMiB;
  const std::uint64_t device = Malloc(kBytes);
  const Bytes from(kBytes, 0x42);
  const Instant begin = Clock::now();
  ASSERT_EQ(session().CopyToDevice(legacy(), device, from.data(), kBytes, true), 0u);
  ASSERT_EQ(session().Synchronize(*legacy()), 0u);
  const double least_ms = kBytes * 8 / 400e3;  // 400 Mbit/s
  EXPECT_GE(MsSince(begin), least_ms);
  Bytes to(kBytes);
  ASSERT_EQ(session().CopyToHost(legacy(), to.data(), device, kBytes, true), 0u);
  EXPECT_EQ(to, from);
  EXPECT_GE(MsSince(begin), 2 * least_ms);
}

INSTANTIATE_TEST_SUITE_P(Network, NarrowTest, ::testing::Values(Emulated("bandwidth_400mbps", {.bandwidth_mbps = 400})),
                         NameOfSetting);

// The connection breaks at some frame: every call returns, all of them with the same error.
class BreakingTest : public SessionTest {};

TEST_P(BreakingTest, IsAnErrorAndNoHang) {
  expect_errors_ = true;
  DeviceResult result = 0;
  const Bytes from(100000, 1);
  Bytes to(100000);
  for (int round = 0; round < 2000 && result == 0; ++round) {
    std::uint64_t address = 0;
    result = session().Malloc(0, from.size(), &address);
    if (result == 0) result = session().CopyToDevice(legacy(), address, from.data(), from.size(), true);
    if (result == 0) result = session().CopyToHost(legacy(), to.data(), address, to.size(), true);
    if (result == 0) result = session().Synchronize(*legacy());
    if (result == 0) result = session().Free(address);
  }
  EXPECT_EQ(result, 999u);
  EXPECT_EQ(session().StickyError(), 999u);
  std::uint64_t address = 0;
  EXPECT_EQ(session().Malloc(0, 512, &address), 999u);
  EXPECT_EQ(session().CopyToHost(legacy(), to.data(), address, to.size(), true), 999u);
  EXPECT_NE(session().LoadModule(0, TestKernels())->error, 0u);
  world_.Stop();
  EXPECT_EQ(world_.server_code(), Code::kClosed);
}

INSTANTIATE_TEST_SUITE_P(Network, BreakingTest,
                         ::testing::Values(Emulated("at_frame_2", {.disconnect_at_frame = 2}),
                                           Emulated("at_frame_3", {.rtt_us = 200, .disconnect_at_frame = 3}),
                                           Emulated("at_frame_50", {.jitter_us = 100, .disconnect_at_frame = 50}),
                                           Emulated("at_frame_301", {.rtt_us = 100, .disconnect_at_frame = 301})),
                         NameOfSetting);

TEST(EmulatorOptionsTest, AreReadFromText) {
  const Result<EmulatorOptions> all =
      ParseEmulatorOptions("rtt_us=300,bandwidth_mbps=1000,jitter_us=50,seed=9,disconnect_at_frame=4");
  ASSERT_TRUE(all.ok()) << all.status().ToString();
  EXPECT_EQ(all->rtt_us, 300u);
  EXPECT_EQ(all->bandwidth_mbps, 1000u);
  EXPECT_EQ(all->jitter_us, 50u);
  EXPECT_EQ(all->seed, 9u);
  EXPECT_EQ(all->disconnect_at_frame, 4u);
  EXPECT_TRUE(ParseEmulatorOptions("").ok());
  for (const char* bad : {"rtt", "rtt_us=", "rtt_us=5x", "rtt_us=-1", "delay=5", "rtt_us=1,rtt_us=2", ",",
                          "rtt_us=99999999999", "seed=99999999999999999999999"}) {
    const Result<EmulatorOptions> options = ParseEmulatorOptions(bad);
    EXPECT_EQ(options.code(), Code::kInvalidArgument) << bad;
    EXPECT_EQ(options.status().where(), "ACCELMESH_EMULATE") << bad;
  }
}

}  // namespace
}  // namespace accelmesh::conformance
