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
                         NameOfTransport);

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
                         NameOfTransport);

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
                         NameOfTransport);

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
