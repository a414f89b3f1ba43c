// Modules, launches, what kernels print, and errors.
#include "tests/conformance/session/world.h"

namespace accelmesh::conformance {
namespace {

constexpr DeviceResult kInvalid = 1;
constexpr DeviceResult kIllegalAddress = 700;

class LaunchTest : public SessionTest {};

TEST_P(LaunchTest, AModuleTellsOfKernelsAndGlobals) {
  const LoadedModule& loaded = module();
  ASSERT_TRUE(loaded.kernels.contains("gated_write"));
  EXPECT_EQ(loaded.kernels.at("gated_write").argument_bytes, 20u);
  EXPECT_EQ(loaded.kernels.at("store_nowhere").argument_bytes, 0u);
  ASSERT_TRUE(loaded.globals.contains("preset"));
  const GlobalVariable preset = loaded.globals.at("preset");
  EXPECT_EQ(preset.bytes, 4u);
  EXPECT_EQ(Read32(preset.address), 77u);
  Write32(legacy(), preset.address, 78);
  EXPECT_EQ(Read32(preset.address), 78u);
  AddressSpace::Range range;
  std::uint32_t device = 9;
  EXPECT_TRUE(session().FindDeviceRange(preset.address + 1, &range, &device));
  EXPECT_EQ(range.address, preset.address);
}

TEST_P(LaunchTest, ArgumentsArriveAndEveryThreadRuns) {
  constexpr std::uint32_t kBlocks = 17;
  constexpr std::uint32_t kThreads = 100;
  const std::uint64_t out = Malloc(kBlocks * kThreads * 4);
  Launch(legacy(), "iota", {out, 5000}, kThreads, kBlocks);
  std::vector<std::uint32_t> got(kBlocks * kThreads);
  ASSERT_EQ(session().CopyToHost(legacy(), got.data(), out, got.size() * 4, true), 0u);
  for (std::uint32_t i = 0; i < got.size(); ++i) ASSERT_EQ(got[i], i + 5000);
}

TEST_P(LaunchTest, WhatDoesNotLoadSaysWhyAndNothingElseSuffers) {
  EXPECT_NE(session().LoadModule(0, AsBytes(".version 8.0 .target sm_80 this is no PTX"))->error, 0u);
  const Bytes noise(3 * limits::kMiB, 0x7e);
  EXPECT_NE(session().LoadModule(0, noise)->error, 0u);
  EXPECT_EQ(module().error, 0u);
  const std::uint64_t word = Zeros(4);
  Launch(legacy(), "increment", {word});
  EXPECT_EQ(Read32(word), 1u);
}

TEST_P(LaunchTest, AModuleUnloadedUnderItsLaunches) {
  const std::uint64_t gate = Zeros(4);
  const std::uint64_t word = Zeros(4);
  Stream* a = NewStream(wire::StreamKind::NonBlocking);
  Stream* b = NewStream(wire::StreamKind::NonBlocking);
  module();
  const auto other = session().LoadModule(0, TestKernels());
  ASSERT_EQ(other->error, 0u);
  Launch(a, "wait_gate", {gate});
  const KernelLayout& kernel = other->kernels.at("increment");
  std::uint64_t argument = word;
  void* arguments[] = {&argument};
  const LaunchGeometry geometry{{1, 1, 1}, {1, 1, 1}};
  constexpr std::uint32_t kLaunches = 2 * limits::kStreamInFlightMax;
  for (std::uint32_t i = 0; i < kLaunches; ++i) {
    ASSERT_EQ(session().Launch(a, kernel, geometry, arguments), 0u);
  }
  session().UnloadModule(*other);
  const auto third = session().LoadModule(0, TestKernels());
  ASSERT_EQ(third->error, 0u);
  Launch(b, "open_gate", {gate});
  ASSERT_EQ(session().Synchronize(*a), 0u);
  EXPECT_EQ(Read32(word), kLaunches);
}

TEST_P(LaunchTest, ModulesMayBeLoadedByManyThreads) {
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([this] {
      for (int i = 0; i < 5; ++i) {
        const auto loaded = session().LoadModule(0, TestKernels());
        EXPECT_EQ(loaded->error, 0u);
        EXPECT_TRUE(loaded->kernels.contains("iota"));
        session().UnloadModule(*loaded);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST_P(LaunchTest, ImagesBeyondTheBulkWindowLoad) {
  Bytes image(TestKernels().begin(), TestKernels().end());
  image.resize(limits::kBulkInFlightBytesMax + 6 * limits::kMiB, ' ');
  const auto loaded = session().LoadModule(0, image);
  EXPECT_EQ(loaded->error, 0u);
  EXPECT_TRUE(loaded->kernels.contains("iota"));
}

TEST_P(LaunchTest, WhatAKernelPrintedIsThereWhenItsEndIs) {
  if (GetParam().backend == "cuda" && !GetParam().listen)
    GTEST_SKIP() << "a driver prints to the stdout of its process, which here is the test's own";
  for (std::uint64_t i = 0; i < 50; ++i) {
    Launch(legacy(), "say", {i});
    ASSERT_EQ(session().Synchronize(*legacy()), 0u);
    ASSERT_NE(world_.output().find("hello " + std::to_string(i) + "\n"), std::string::npos) << i;
  }
}

// Errors -------------------------------------------------------------------------------------------------------------

TEST_P(LaunchTest, AnErrorThatIsNotStickyIsToldOnce) {
  expect_errors_ = true;
  const std::uint64_t good = Zeros(4);
  ASSERT_EQ(session().CopyOnDevice(legacy(), good, good + 256 * limits::kMiB, 4), 0u);
  ASSERT_EQ(session().Synchronize(*legacy()), 0u);
  EXPECT_EQ(session().StickyError(), 0u);
  EXPECT_EQ(session().TakeAsyncError(), kInvalid);
  EXPECT_EQ(session().TakeAsyncError(), 0u);
  Write32(legacy(), good, 3);
  EXPECT_EQ(Read32(good), 3u);
}

TEST_P(LaunchTest, AStickyErrorStaysAndNothingHangs) {
  expect_errors_ = true;
  const std::uint64_t good = Zeros(4);
  Stream* a = NewStream(wire::StreamKind::NonBlocking);
  Launch(a, "store_nowhere", {});
  ASSERT_EQ(session().Synchronize(*a), 0u);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(session().TakeAsyncError(), kIllegalAddress);
  EXPECT_EQ(session().StickyError(), kIllegalAddress);
  for (int i = 0; i < 600; ++i) Launch(a, "increment", {good});
  Launch(legacy(), "increment", {good});
  EXPECT_EQ(session().SynchronizeDevice(0), 0u);
  EXPECT_EQ(session().TakeAsyncError(), kIllegalAddress);
  world_.Stop();
  EXPECT_EQ(world_.server_code(), Code::kOk) << "a sticky error is not the end of the session";
}

// The counter of a command that the session itself refuses passes in the stream's order.
TEST_P(LaunchTest, ARefusedCommandBehindWorkCompletesAfterIt) {
  expect_errors_ = true;
  const std::uint64_t gate = Zeros(4);
  const std::uint64_t word = Zeros(4);
  for (const int behind : {0, 3 * static_cast<int>(limits::kStreamInFlightMax)}) {
    SCOPED_TRACE(behind);
    Stream* a = NewStream(wire::StreamKind::NonBlocking);
    Stream* b = NewStream(wire::StreamKind::NonBlocking);
    Write32(b, gate, 0);
    ASSERT_EQ(session().Synchronize(*b), 0u);
    Launch(a, "wait_gate", {gate});
    for (int i = 0; i < behind; ++i) Launch(a, "increment", {word});
    ASSERT_EQ(session().CopyOnDevice(a, word, word + 256 * limits::kMiB, 4), 0u);
    EXPECT_FALSE(IdleWithin(*a, 40)) << "completed before the work in front of it";
    Launch(b, "open_gate", {gate});
    ASSERT_TRUE(IdleWithin(*a, 20000)) << "never completed";
  }
}

TEST_P(LaunchTest, BodiesOfRefusedCopiesDoNotStay) {
  expect_errors_ = true;
  const std::uint64_t good = Malloc(limits::kMiB);
  const Bytes body(limits::kMiB, 1);
  for (int i = 0; i < 100; ++i) {
    ASSERT_EQ(session().CopyToDevice(legacy(), good + 256 * limits::kMiB, body.data(), body.size(), true), 0u);
  }
  ASSERT_EQ(session().CopyToDevice(legacy(), good, body.data(), body.size(), true), 0u);
  ASSERT_EQ(session().Synchronize(*legacy()), 0u);
  EXPECT_EQ(Read32(good + limits::kMiB - 4), 0x01010101u);
}

TEST_P(LaunchTest, CopiesAfterAnErrorStillBringTheirBytes) {
  expect_errors_ = true;
  const std::uint64_t good = Malloc(limits::kMiB);
  ASSERT_EQ(session().CopyOnDevice(legacy(), good, good + 256 * limits::kMiB, 4), 0u);
  ASSERT_EQ(session().Synchronize(*legacy()), 0u);
  EXPECT_EQ(session().TakeAsyncError(), kInvalid);
  for (std::uint32_t round = 1; round < 20; ++round) {
    ASSERT_EQ(session().Fill(legacy(), wire::Fill(good, 4096, 4096, limits::kMiB, 1, 1, round, 1, 0, 0)), 0u);
    Bytes linear(limits::kMiB);
    ASSERT_EQ(session().CopyToHost(legacy(), linear.data(), good, linear.size(), true), 0u);
    ASSERT_EQ(linear, Bytes(linear.size(), static_cast<std::uint8_t>(round)));
    Bytes box(100 * 50, 0);
    const PitchedSide to{reinterpret_cast<std::uint64_t>(box.data()), 100, 0, false};
    ASSERT_EQ(session().CopyPitched(legacy(), to, {good, 512, 0, true}, 100, 50, 1, true), 0u);
    ASSERT_EQ(box, Bytes(box.size(), static_cast<std::uint8_t>(round))) << round;
  }
}

INSTANTIATE_TEST_SUITE_P(All, LaunchTest, ::testing::ValuesIn(AllSettings()), NameOfSetting);

}  // namespace
}  // namespace accelmesh::conformance
