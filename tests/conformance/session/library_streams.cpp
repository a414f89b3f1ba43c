#include "tests/conformance/session/library_streams.h"

#include <cstring>

namespace accelmesh::conformance {

void LibraryStreamsTest::MakeGate() {
  module();  // its load is no part of any stream
  gate_ = Zeros(4);
  opener_ = NewStream(wire::StreamKind::NonBlocking);
}

std::uint64_t LibraryStreamsTest::Floats(Stream* stream, const std::vector<float>& values) {
  const std::uint64_t address = Zeros(values.size() * sizeof(float));
  EXPECT_EQ(session().CopyToDevice(stream, address, values.data(), values.size() * sizeof(float), true), 0u);
  EXPECT_EQ(session().Synchronize(*stream), 0u);  // other streams count on it
  return address;
}

float LibraryStreamsTest::ReadFloat(std::uint64_t address) {
  const std::uint32_t bits = Read32(address);
  float value = 0;
  std::memcpy(&value, &bits, sizeof(value));
  return value;
}

void LibraryStreamsTest::EventsOrderCalls() {
  Stream* a = NewStream(wire::StreamKind::NonBlocking);
  Stream* b = NewStream(wire::StreamKind::NonBlocking);
  Event* event = NewEvent();
  const std::uint64_t x = Floats(a, {1});
  const std::uint64_t y = Floats(a, {10});
  const std::uint64_t z = Floats(a, {100});
  Launch(a, "wait_gate", {gate_});
  ASSERT_EQ(Add(a, x, y), 0u);
  ASSERT_EQ(session().RecordEvent(event, a), 0u);
  ASSERT_EQ(session().WaitEvent(b, event), 0u);
  ASSERT_EQ(Add(b, y, z), 0u);
  EXPECT_FALSE(IdleWithin(*b, kWatchMs)) << "ran ahead";
  OpenGate();
  EXPECT_EQ(ReadFloat(y), 11);
  EXPECT_EQ(ReadFloat(z), 111);
}

void LibraryStreamsTest::AHeldCallHoldsUpNoOther(const std::function<void()>& meanwhile) {
  Stream* held = NewStream(wire::StreamKind::NonBlocking);
  Stream* other = NewStream(wire::StreamKind::NonBlocking);
  const std::uint64_t x = Floats(other, {1});
  const std::uint64_t y = Floats(other, {0});
  const std::uint64_t z = Floats(other, {0});
  Launch(held, "wait_gate", {gate_});
  ASSERT_EQ(Add(held, x, y), 0u);
  for (int i = 0; i < 3; ++i) ASSERT_EQ(Add(other, x, z), 0u);
  EXPECT_TRUE(IdleWithin(*other, kPatienceMs));
  meanwhile();
  EXPECT_FALSE(session().Idle(*held));
  OpenGate();
  EXPECT_EQ(ReadFloat(y), 1);
  EXPECT_EQ(ReadFloat(z), 3);
}

void LibraryStreamsTest::TheLegacyRuleHolds() {
  Stream* blocking = NewStream(wire::StreamKind::Blocking);
  const std::uint64_t x = Floats(blocking, {1});
  const std::uint64_t y = Floats(blocking, {0});
  Launch(blocking, "wait_gate", {gate_});
  ASSERT_EQ(Add(blocking, x, y), 0u);
  ASSERT_EQ(Add(legacy(), y, x), 0u);
  EXPECT_FALSE(IdleWithin(*legacy(), kWatchMs)) << "ran ahead";
  OpenGate();
  EXPECT_EQ(ReadFloat(x), 2);
}

void LibraryStreamsTest::AParkedStreamRunsAll() {
  Stream* stream = NewStream(wire::StreamKind::NonBlocking);
  const std::uint64_t x = Floats(stream, {1});
  const std::uint64_t y = Floats(stream, {0});
  ASSERT_EQ(Add(stream, x, y), 0u);
  Launch(stream, "wait_gate", {gate_});
  for (int i = 0; i < kMoreThanFit; ++i) ASSERT_EQ(Add(stream, x, y), 0u);
  ASSERT_FALSE(IdleWithin(*stream, kWatchMs));
  OpenGate();
  EXPECT_EQ(ReadFloat(y), 1 + kMoreThanFit);
}

void LibraryStreamsTest::HandlesServeStreamsInTurn() {
  const std::uint64_t x = Floats(legacy(), {1});
  const std::uint64_t y = Floats(legacy(), {0});
  for (int i = 0; i < 20; ++i) {
    Stream* stream = NewStream(wire::StreamKind::NonBlocking);
    ASSERT_EQ(Add(stream, x, y), 0u);
    // Sometimes it goes with its call under way.
    if (i % 2 == 0) {
      ASSERT_EQ(session().Synchronize(*stream), 0u);
    }
    ASSERT_EQ(session().DestroyStream(stream), 0u);
    ASSERT_EQ(session().SynchronizeDevice(0), 0u);
  }
  EXPECT_EQ(ReadFloat(y), 20);
}

}  // namespace accelmesh::conformance
