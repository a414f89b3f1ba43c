// Functions of the program in a stream's order.
#include <atomic>

#include "tests/conformance/session/world.h"

namespace accelmesh::conformance {
namespace {

constexpr int kWatchMs = 40;

class HostCallTest : public SessionTest {
 protected:
  void Call(Stream* stream, std::function<void()> function) {
    ASSERT_EQ(session().CallHost(stream,
                                 [function = std::move(function)](std::uint32_t error) {
                                   EXPECT_EQ(error, 0u);
                                   EXPECT_TRUE(HostCalls::OnThisThread());
                                   function();
                                 }),
              0u);
  }
};

TEST_P(HostCallTest, RunsInTheOrderOfItsStream) {
  Stream* stream = NewStream(wire::StreamKind::NonBlocking);
  const std::uint64_t word = Zeros(4);
  void* pinned = nullptr;
  ASSERT_EQ(session().MallocPinned(4, 0, &pinned), 0u);
  auto* seen = static_cast<std::uint32_t*>(pinned);
  std::vector<std::uint32_t> values;
  for (std::uint32_t i = 1; i <= 20; ++i) {
    Launch(stream, "increment", {word});
    ASSERT_EQ(session().CopyToHost(stream, pinned, word, 4, false), 0u);
    // What was copied before it has landed; what is copied behind it comes later.
    Call(stream, [seen, &values] {
      values.push_back(*seen);
      *seen = 0xffff;
    });
  }
  ASSERT_EQ(session().Synchronize(*stream), 0u);
  ASSERT_EQ(values.size(), 20u);
  for (std::uint32_t i = 0; i < 20; ++i) EXPECT_EQ(values[i], i + 1);
  EXPECT_EQ(*seen, 0xffffu) << "the last function was not waited for";
  EXPECT_EQ(session().FreePinned(pinned), 0u);
}

TEST_P(HostCallTest, TheStreamStopsAndOthersGoOn) {
  Stream* stopped = NewStream(wire::StreamKind::NonBlocking);
  Stream* other = NewStream(wire::StreamKind::NonBlocking);
  const std::uint64_t word = Zeros(4);
  const std::uint64_t mine = Zeros(4);
  std::atomic<bool> may_end{false};
  Call(stopped, [&may_end] {
    while (!may_end) std::this_thread::yield();
  });
  // More than a backend takes: the rest is parked while the side lane must stay open.
  for (int i = 0; i < 2 * static_cast<int>(limits::kStreamInFlightMax); ++i) Launch(stopped, "increment", {word});
  Launch(other, "increment", {mine});
  ASSERT_EQ(session().Synchronize(*other), 0u);
  EXPECT_FALSE(IdleWithin(*stopped, kWatchMs)) << "did not wait for the function";
  may_end = true;
  ASSERT_EQ(session().Synchronize(*stopped), 0u);
  EXPECT_EQ(Read32(word), 2 * limits::kStreamInFlightMax);
}

TEST_P(HostCallTest, EventsAndTheLegacyStreamWaitForIt) {
  Stream* stream = NewStream(wire::StreamKind::Blocking);
  Stream* waiting = NewStream(wire::StreamKind::NonBlocking);
  Event* event = NewEvent();
  std::atomic<bool> may_end{false};
  std::atomic<int> order{0};
  int legacy_saw = -1;
  Call(stream, [&] {
    while (!may_end) std::this_thread::yield();
    order = 1;
  });
  ASSERT_EQ(session().RecordEvent(event, stream), 0u);
  ASSERT_EQ(session().WaitEvent(waiting, event), 0u);
  Call(legacy(), [&] { legacy_saw = order; });
  EXPECT_FALSE(IdleWithin(*waiting, kWatchMs));
  may_end = true;
  ASSERT_EQ(session().Synchronize(*waiting), 0u);
  EXPECT_EQ(order, 1);
  ASSERT_EQ(session().Synchronize(*legacy()), 0u);
  EXPECT_EQ(legacy_saw, 1);
}

TEST_P(HostCallTest, AnUploadBehindItSeesWhatItWrote) {
  Stream* stream = NewStream(wire::StreamKind::NonBlocking);
  const std::uint64_t word = Zeros(4);
  void* pinned = nullptr;
  ASSERT_EQ(session().MallocPinned(4, 0, &pinned), 0u);
  auto* value = static_cast<std::uint32_t*>(pinned);
  *value = 1;
  Call(stream, [value] { *value = 42; });
  ASSERT_EQ(session().CopyToDevice(stream, word, pinned, 4, false), 0u);
  ASSERT_EQ(session().Synchronize(*stream), 0u);
  EXPECT_EQ(Read32(word), 42u);
  EXPECT_EQ(session().FreePinned(pinned), 0u);
}

TEST_P(HostCallTest, ManyFromManyThreads) {
  constexpr int kThreads = 4;
  constexpr int kEach = 100;
  std::atomic<int> runs{0};
  std::vector<Stream*> streams;
  for (int t = 0; t < kThreads; ++t) streams.push_back(NewStream(wire::StreamKind::NonBlocking));
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < kEach; ++i) Call(streams[static_cast<std::size_t>((t + i) % kThreads)], [&runs] { ++runs; });
    });
  }
  for (std::thread& thread : threads) thread.join();
  ASSERT_EQ(session().SynchronizeDevice(0), 0u);
  EXPECT_EQ(runs, kThreads * kEach);
}

TEST_P(HostCallTest, AStickyErrorIsHandedOn) {
  expect_errors_ = true;
  Stream* stream = NewStream(wire::StreamKind::NonBlocking);
  std::atomic<std::uint32_t> error{0};
  Launch(stream, "increment", {8});
  ASSERT_EQ(session().CallHost(stream, [&error](std::uint32_t e) { error = e; }), 0u);
  ASSERT_EQ(session().Synchronize(*stream), 0u);
  EXPECT_EQ(error, static_cast<std::uint32_t>(kDeviceIllegalAddress));
}

INSTANTIATE_TEST_SUITE_P(Transports, HostCallTest, ::testing::ValuesIn(AllSettings()), NameOfSetting);

}  // namespace
}  // namespace accelmesh::conformance
