// Order: streams among each other, the legacy rule, events, and what happens when the executor has to park.
#include <unistd.h>

#include "tests/conformance/session/world.h"

namespace accelmesh::conformance {
namespace {

// More launches than a backend takes of one stream: the rest is parked in the executor.
constexpr int kMoreThanFit = 2 * static_cast<int>(limits::kStreamInFlightMax);
// How long a command that must not run is watched.
constexpr int kWatchMs = 40;
constexpr int kPatienceMs = 20000;

class OrderTest : public SessionTest {
 protected:
  void SetUp() override {
    SessionTest::SetUp();
    if (HasFatalFailure()) return;
    gate_ = Zeros(4);
    from_ = Zeros(4);
    to_ = Zeros(4);
    word_ = Zeros(4);
    module();
    opener_ = NewStream(wire::StreamKind::NonBlocking);
  }
  void OpenGate() { Launch(opener_, "open_gate", {gate_}); }
  // A gate, and more launches behind it than fit: `stream` is parked until OpenGate().
  void Saturate(Stream* stream) {
    Launch(stream, "wait_gate", {gate_});
    for (int i = 0; i < kMoreThanFit; ++i) Launch(stream, "increment", {word_});
  }
  std::uint64_t gate_ = 0;
  std::uint64_t from_ = 0;
  std::uint64_t to_ = 0;
  std::uint64_t word_ = 0;
  Stream* opener_ = nullptr;
};

enum class Kind { kLegacy, kPerThread, kBlocking, kNonBlocking };
constexpr const char* kKindNames[] = {"legacy", "per-thread", "blocking", "non-blocking"};

TEST_P(OrderTest, LegacyRuleTable) {
  const auto stream_of = [this](Kind kind) {
    if (kind == Kind::kLegacy) return legacy();
    return NewStream(kind == Kind::kNonBlocking ? wire::StreamKind::NonBlocking : wire::StreamKind::Blocking);
  };
  constexpr Kind kKinds[] = {Kind::kLegacy, Kind::kPerThread, Kind::kBlocking, Kind::kNonBlocking};
  for (const bool saturated : {false, true}) {
    for (const Kind first : kKinds) {
      for (const Kind second : kKinds) {
        SCOPED_TRACE(std::string(kKindNames[static_cast<int>(first)]) + " then " +
                     kKindNames[static_cast<int>(second)] + (saturated ? ", the first one parked" : ""));
        const bool both_legacy = first == Kind::kLegacy && second == Kind::kLegacy;
        const bool one_legacy = (first == Kind::kLegacy) != (second == Kind::kLegacy);
        const bool ordered = both_legacy || (one_legacy && first != Kind::kNonBlocking && second != Kind::kNonBlocking);
        Write32(opener_, gate_, 0);
        Write32(opener_, from_, 0);
        Write32(opener_, to_, 0xffff);
        ASSERT_EQ(session().Synchronize(*opener_), 0u);
        Stream* a = stream_of(first);
        Stream* b = stream_of(second);
        if (saturated) Saturate(a);
        Launch(a, "gated_write", {gate_, from_, 1});
        Launch(b, "copy_word", {to_, from_});
        if (ordered) {
          EXPECT_FALSE(IdleWithin(*b, kWatchMs)) << "ran ahead";
        } else {
          EXPECT_TRUE(IdleWithin(*b, kPatienceMs)) << "waits for what it need not";
        }
        OpenGate();
        ASSERT_EQ(session().Synchronize(*a), 0u);
        ASSERT_EQ(session().Synchronize(*b), 0u);
        EXPECT_EQ(Read32(to_), ordered ? 1u : 0u);
        for (Stream* stream : {a, b}) {
          if (stream != legacy()) {
            ASSERT_EQ(session().DestroyStream(stream), 0u);
          }
        }
      }
    }
  }
}

TEST_P(OrderTest, AStreamSaturatedBehindAGateThatAnotherOpens) {
  Stream* a = NewStream(wire::StreamKind::NonBlocking);
  for (int round = 1; round <= 3; ++round) {
    Write32(opener_, gate_, 0);
    ASSERT_EQ(session().Synchronize(*opener_), 0u);
    Saturate(a);
    OpenGate();
    ASSERT_EQ(session().Synchronize(*a), 0u);
    EXPECT_EQ(Read32(word_), static_cast<unsigned>(round * kMoreThanFit));
  }
}

TEST_P(OrderTest, ManyThreadsLaunchIntoOneStream) {
  constexpr unsigned kThreads = 6;
  constexpr unsigned kEach = 150;
  Stream* stream = NewStream(wire::StreamKind::NonBlocking);
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < kThreads; ++t) {
    threads.emplace_back([&] {
      for (unsigned i = 0; i < kEach; ++i) Launch(stream, "increment", {word_});
      EXPECT_EQ(session().Synchronize(*stream), 0u);
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(Read32(word_), kThreads * kEach);
}

TEST_P(OrderTest, EventsOrderStreams) {
  for (const bool saturated : {false, true}) {
    SCOPED_TRACE(saturated ? "parked" : "not parked");
    Write32(opener_, gate_, 0);
    Write32(opener_, from_, 0);
    ASSERT_EQ(session().Synchronize(*opener_), 0u);
    Stream* a = NewStream(wire::StreamKind::NonBlocking);
    Stream* b = NewStream(wire::StreamKind::NonBlocking);
    Event* event = NewEvent();
    EXPECT_TRUE(session().EventDone(*event)) << "an event that was never recorded is complete";
    if (saturated) Saturate(a);
    Launch(a, "gated_write", {gate_, from_, 7});
    ASSERT_EQ(session().RecordEvent(event, a), 0u);
    ASSERT_EQ(session().WaitEvent(b, event), 0u);
    Launch(b, "copy_word", {to_, from_});
    EXPECT_FALSE(IdleWithin(*b, kWatchMs));
    EXPECT_FALSE(session().EventDone(*event));
    OpenGate();
    ASSERT_EQ(session().SynchronizeEvent(*event), 0u);
    EXPECT_TRUE(session().EventDone(*event));
    ASSERT_EQ(session().Synchronize(*b), 0u);
    EXPECT_EQ(Read32(to_), 7u);
  }
}

TEST_P(OrderTest, AWaitOnAnEventThatWasNeverRecordedIsNone) {
  Stream* b = NewStream(wire::StreamKind::NonBlocking);
  Event* event = NewEvent();
  ASSERT_EQ(session().WaitEvent(b, event), 0u);
  Launch(b, "increment", {word_});
  ASSERT_EQ(session().Synchronize(*b), 0u);
  EXPECT_EQ(Read32(word_), 1u);
}

// A wait means the record that came before it, whatever is recorded or destroyed afterwards.
TEST_P(OrderTest, AnEventRecordedAgainWhileItIsPending) {
  for (const bool saturated : {false, true}) {
    SCOPED_TRACE(saturated ? "parked" : "not parked");
    Write32(opener_, gate_, 0);
    Write32(opener_, from_, 0);
    ASSERT_EQ(session().Synchronize(*opener_), 0u);
    Stream* a = NewStream(wire::StreamKind::NonBlocking);
    Stream* b = NewStream(wire::StreamKind::NonBlocking);
    Stream* c = NewStream(wire::StreamKind::NonBlocking);
    Stream* d = NewStream(wire::StreamKind::NonBlocking);
    Event* event = NewEvent();
    if (saturated) Saturate(a);
    Launch(a, "gated_write", {gate_, from_, 9});
    ASSERT_EQ(session().RecordEvent(event, a), 0u);
    ASSERT_EQ(session().WaitEvent(b, event), 0u);
    Launch(b, "copy_word", {to_, from_});
    ASSERT_EQ(session().RecordEvent(event, c), 0u);
    ASSERT_EQ(session().WaitEvent(d, event), 0u);
    Launch(d, "iota", {to_ + 0, 3});
    EXPECT_TRUE(IdleWithin(*d, kPatienceMs)) << "waits for the record before the last one";
    EXPECT_TRUE(session().EventDone(*event));
    EXPECT_FALSE(IdleWithin(*b, kWatchMs)) << "waits for a record that came after the wait";
    OpenGate();
    ASSERT_EQ(session().Synchronize(*b), 0u);
    EXPECT_EQ(Read32(to_), 9u);
    // The record of `a` runs after the one of `c`, and is still the older one.
    ASSERT_EQ(session().Synchronize(*a), 0u);
    EXPECT_TRUE(session().EventDone(*event));
  }
}

TEST_P(OrderTest, AnEventDestroyedWhileItIsPending) {
  for (const bool saturated : {false, true}) {
    SCOPED_TRACE(saturated ? "parked" : "not parked");
    Write32(opener_, gate_, 0);
    Write32(opener_, from_, 0);
    ASSERT_EQ(session().Synchronize(*opener_), 0u);
    Stream* a = NewStream(wire::StreamKind::NonBlocking);
    Stream* b = NewStream(wire::StreamKind::NonBlocking);
    Event* event = NewEvent();
    if (saturated) Saturate(a);
    Launch(a, "gated_write", {gate_, from_, 11});
    ASSERT_EQ(session().RecordEvent(event, a), 0u);
    ASSERT_EQ(session().WaitEvent(b, event), 0u);
    ASSERT_EQ(session().DestroyEvent(event), 0u);
    Event* reused = NewEvent();  // of the same id
    ASSERT_EQ(session().RecordEvent(reused, opener_), 0u);
    Launch(b, "copy_word", {to_, from_});
    EXPECT_FALSE(IdleWithin(*b, kWatchMs));
    OpenGate();
    ASSERT_EQ(session().Synchronize(*b), 0u);
    EXPECT_EQ(Read32(to_), 11u);
    ASSERT_EQ(session().DestroyEvent(reused), 0u);
  }
}

TEST_P(OrderTest, ElapsedTimeSpansTheWorkBetween) {
  Stream* a = NewStream(wire::StreamKind::NonBlocking);
  Event* begin = NewEvent(/*timing=*/true);
  Event* end = NewEvent(/*timing=*/true);
  Event* untimed = NewEvent();
  ASSERT_EQ(session().RecordEvent(begin, a), 0u);
  Launch(a, "wait_gate", {gate_});
  ASSERT_EQ(session().RecordEvent(end, a), 0u);
  ASSERT_EQ(session().RecordEvent(untimed, a), 0u);
  ASSERT_EQ(session().SynchronizeEvent(*begin), 0u);
  usleep(30000);
  OpenGate();
  ASSERT_EQ(session().SynchronizeEvent(*untimed), 0u);
  float ms = 0;
  ASSERT_EQ(session().EventElapsed(*begin, *end, &ms), 0u);
  EXPECT_GE(ms, 20.0f);
  EXPECT_LT(ms, 20000.0f);
  float back = 0;
  ASSERT_EQ(session().EventElapsed(*end, *begin, &back), 0u);
  EXPECT_FLOAT_EQ(back, -ms);
  EXPECT_NE(session().EventElapsed(*begin, *untimed, &ms), 0u);
  EXPECT_NE(session().EventElapsed(*begin, *NewEvent(true), &ms), 0u) << "never recorded";
}

// An event that is recorded again measures the last record, even if the first one's stream comes to its turn later.
TEST_P(OrderTest, ElapsedTimeIsOfTheLastRecord) {
  Stream* a = NewStream(wire::StreamKind::NonBlocking);
  Stream* c = NewStream(wire::StreamKind::NonBlocking);
  Event* begin = NewEvent(/*timing=*/true);
  Event* end = NewEvent(/*timing=*/true);
  Launch(a, "wait_gate", {gate_});
  ASSERT_EQ(session().RecordEvent(end, a), 0u);
  ASSERT_EQ(session().RecordEvent(begin, c), 0u);
  ASSERT_EQ(session().RecordEvent(end, c), 0u);
  ASSERT_EQ(session().SynchronizeEvent(*end), 0u);
  float before = 0;
  ASSERT_EQ(session().EventElapsed(*begin, *end, &before), 0u);
  usleep(10000);
  OpenGate();
  ASSERT_EQ(session().Synchronize(*a), 0u);
  float after = 0;
  ASSERT_EQ(session().EventElapsed(*begin, *end, &after), 0u);
  EXPECT_EQ(before, after);
}

// A slot is used again although another stream is parked.
TEST_P(OrderTest, StreamsComeAndGoWhileTheLegacyStreamIsParked) {
  Stream* before = NewStream(wire::StreamKind::Blocking);
  Launch(before, "increment", {to_});
  ASSERT_EQ(session().Synchronize(*before), 0u);
  Saturate(legacy());
  ASSERT_EQ(session().DestroyStream(before), 0u);
  for (int i = 0; i < 20; ++i) {
    Stream* stream = NewStream(i % 2 == 0 ? wire::StreamKind::Blocking : wire::StreamKind::NonBlocking);
    if (i % 3 == 0) Launch(stream, "increment", {to_});
    ASSERT_EQ(session().DestroyStream(stream), 0u);
  }
  OpenGate();
  ASSERT_EQ(session().SynchronizeDevice(0), 0u);
  EXPECT_EQ(Read32(word_), static_cast<unsigned>(kMoreThanFit));
}

TEST_P(OrderTest, AStreamDestroyedWithWorkFinishesIt) {
  Stream* a = NewStream(wire::StreamKind::NonBlocking);
  Saturate(a);
  ASSERT_EQ(session().DestroyStream(a), 0u);
  Stream* b = NewStream(wire::StreamKind::NonBlocking);
  Launch(b, "increment", {to_});
  ASSERT_EQ(session().Synchronize(*b), 0u);
  OpenGate();
  ASSERT_EQ(session().SynchronizeDevice(0), 0u);
  EXPECT_EQ(Read32(word_), static_cast<unsigned>(kMoreThanFit));
}

// A program that polls pinned memory, which copies are written to meanwhile: a race, and common practice.
__attribute__((no_sanitize("thread"))) std::uint8_t PolledByte(const std::uint8_t* at) {
  return *static_cast<const volatile std::uint8_t*>(at);
}

// A command gets to the server although the program makes no further call.
TEST_P(OrderTest, APostedCommandLeavesByItself) {
  std::uint8_t* seen = nullptr;
  void* pinned = nullptr;
  ASSERT_EQ(session().MallocPinned(4096, 0, &pinned), 0u);
  seen = static_cast<std::uint8_t*>(pinned);
  std::memset(seen, 0, 4096);
  Stream* a = NewStream(wire::StreamKind::NonBlocking);
  ASSERT_EQ(session().Fill(a, wire::Fill(to_, 4, 4, 4, 1, 1, 0x5a, 1, a->slot, 0)), 0u);
  ASSERT_EQ(session().CopyToHost(a, seen, to_, 4, false), 0u);
  bool landed = false;
  for (int i = 0; i < 2000 && !landed; ++i) {
    usleep(1000);
    landed = PolledByte(seen + 3) == 0x5a;
  }
  EXPECT_TRUE(landed);
}

// Nor does a result need one that comes after a pause: whoever receives in the background may sleep by then.
TEST_P(OrderTest, AResultLandsByItselfAfterAPause) {
  void* pinned = nullptr;
  ASSERT_EQ(session().MallocPinned(4096, 0, &pinned), 0u);
  auto* seen = static_cast<std::uint8_t*>(pinned);
  std::memset(seen, 0, 4096);
  Stream* a = NewStream(wire::StreamKind::NonBlocking);
  ASSERT_EQ(session().Fill(a, wire::Fill(to_, 4, 4, 4, 1, 1, 0x5b, 1, a->slot, 0)), 0u);
  ASSERT_EQ(session().Synchronize(*a), 0u);
  usleep(50000);
  ASSERT_EQ(session().CopyToHost(a, seen, to_, 4, false), 0u);
  bool landed = false;
  for (int i = 0; i < 5000 && !landed; ++i) {
    usleep(1000);
    landed = PolledByte(seen + 3) == 0x5b;
  }
  EXPECT_TRUE(landed);
}

// What a stream has waited for is there when its own end is: the other's end, and the bytes that came down before it.
TEST_P(OrderTest, TheEndOfAStreamIsBehindWhatItWaitedFor) {
  constexpr std::uint64_t kBytes = 256 * limits::kKiB;
  void* pinned = nullptr;
  ASSERT_EQ(session().MallocPinned(kBytes, 0, &pinned), 0u);
  const auto* seen = static_cast<const std::uint8_t*>(pinned);
  const std::uint64_t source = Malloc(kBytes);
  Stream* other = NewStream(wire::StreamKind::NonBlocking);
  Stream* behind_event = NewStream(wire::StreamKind::NonBlocking);
  Stream* blocking = NewStream(wire::StreamKind::Blocking);
  Event* event = NewEvent();
  for (std::uint32_t i = 0; i < 60; ++i) {
    SCOPED_TRACE(i);
    const bool by_event = i % 2 == 0;
    Stream* first = by_event ? other : blocking;
    Stream* second = by_event ? behind_event : legacy();
    ASSERT_EQ(session().Fill(first, wire::Fill(source, kBytes, kBytes, kBytes, 1, 1, i + 1, 1, first->slot, 0)), 0u);
    ASSERT_EQ(session().CopyToHost(first, pinned, source, kBytes, false), 0u);
    if (by_event) {
      ASSERT_EQ(session().RecordEvent(event, first), 0u);
      ASSERT_EQ(session().WaitEvent(second, event), 0u);
    }
    Launch(second, "increment", {word_});
    ASSERT_EQ(session().Synchronize(*second), 0u);
    EXPECT_EQ(seen[kBytes - 1], i + 1);
    EXPECT_TRUE(session().Idle(*first));
    if (HasFailure()) return;
  }
}

INSTANTIATE_TEST_SUITE_P(All, OrderTest, ::testing::ValuesIn(AllSettings()), NameOfSetting);

}  // namespace
}  // namespace accelmesh::conformance
