// The client core over the null backend, which runs nothing and can hold a stream: what needs work that stays
// incomplete for as long as the test likes.
#include "tests/conformance/session/world.h"

namespace accelmesh::conformance {
namespace {

class NullTest : public SessionTest {
 protected:
  void Hold(Stream* stream, bool on) {
    ASSERT_TRUE(session().commands().PostSide(wire::Hold(stream->slot, on ? 1 : 0)).ok());
    if (!on) return;
    // It travels on a lane of its own: until it has arrived, work completes.
    Event* probe = NewEvent();
    for (int i = 0; i < 500; ++i) {
      ASSERT_EQ(session().RecordEvent(probe, stream), 0u);
      if (!IdleWithin(*stream, 50)) return;
    }
    FAIL() << "the stream is not held";
  }
};

TEST_P(NullTest, EverythingCompletes) {
  Stream* stream = NewStream(wire::StreamKind::NonBlocking);
  const std::uint64_t address = Malloc(4096);
  const Bytes from(100000, 1);
  for (int i = 0; i < 2000; ++i) Launch(stream, "increment", {address});
  ASSERT_EQ(session().CopyToDevice(stream, address, from.data(), 4096, true), 0u);
  Event* event = NewEvent();
  ASSERT_EQ(session().RecordEvent(event, stream), 0u);
  ASSERT_EQ(session().WaitEvent(legacy(), event), 0u);
  EXPECT_EQ(session().SynchronizeEvent(*event), 0u);
  EXPECT_EQ(session().SynchronizeDevice(0), 0u);
}

// Threads remember which handles they have found valid.
TEST_P(NullTest, AHandleOfAnEarlierSessionIsNone) {
  // Sessions one after the other mostly lie at one address, and so do what they make.
  for (int round = 0; round < 8; ++round) {
    Stream* stream = NewStream(wire::StreamKind::NonBlocking);
    Event* event = NewEvent();
    ASSERT_TRUE(session().IsStream(stream));
    ASSERT_TRUE(session().IsEvent(event));
    TearDown();
    SetUp();
    EXPECT_FALSE(session().IsEvent(event));
    EXPECT_EQ(session().IsStream(stream), session().Legacy(0) == stream);
  }
}

TEST_P(NullTest, MemoryComesAndGoesWhileALaunchIsHeld) {
  Stream* held = NewStream(wire::StreamKind::NonBlocking);
  const std::uint64_t first = Malloc(512);
  module();
  Hold(held, true);
  Launch(held, "increment", {first});
  const std::uint64_t calls = session().commands().statistics().calls;
  const std::uint64_t waits = session().commands().statistics().waits;
  ASSERT_EQ(session().Free(first), 0u);
  std::vector<std::uint64_t> addresses;
  for (int i = 0; i < 1000; ++i) {
    addresses.push_back(Malloc(512));
    ASSERT_EQ(session().Free(addresses.back()), 0u);
  }
  std::sort(addresses.begin(), addresses.end());
  EXPECT_EQ(std::unique(addresses.begin(), addresses.end()), addresses.end()) << "given out while it may be in use";
  EXPECT_FALSE(std::binary_search(addresses.begin(), addresses.end(), first));
  EXPECT_EQ(session().commands().statistics().calls, calls);
  EXPECT_EQ(session().commands().statistics().waits, waits);
  EXPECT_FALSE(IdleWithin(*held, 20));
  Hold(held, false);
  EXPECT_EQ(session().Synchronize(*held), 0u);
}

TEST_P(NullTest, AHeldStreamHoldsUpNoOther) {
  Stream* held = NewStream(wire::StreamKind::Blocking);
  Stream* other = NewStream(wire::StreamKind::Blocking);
  const std::uint64_t address = Malloc(512);
  module();
  Hold(held, true);
  for (int i = 0; i < 2 * static_cast<int>(limits::kStreamInFlightMax); ++i) Launch(held, "increment", {address});
  Launch(other, "increment", {address});
  EXPECT_EQ(session().Synchronize(*other), 0u);
  EXPECT_FALSE(session().Idle(*held));
  Hold(held, false);
  EXPECT_EQ(session().Synchronize(*held), 0u);
}

INSTANTIATE_TEST_SUITE_P(All, NullTest, ::testing::ValuesIn(SettingsWith("null")), NameOfSetting);

}  // namespace
}  // namespace accelmesh::conformance
