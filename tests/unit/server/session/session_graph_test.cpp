// Graphs: what a session holds of them, and what it does at a launch.
#include <gtest/gtest.h>

#include "tests/unit/server/session/session_fixture.h"

namespace accelmesh {
namespace {

// A definition's payload.
class Records {
 public:
  template <typename T>
  Records& Add(const T& body, ByteView payload = {}) {
    const Bytes frame =
        SessionTest::FrameOf(0, static_cast<std::uint16_t>(CommandTraits<T>::kId), AsBytes(body), payload);
    bytes_.insert(bytes_.end(), frame.begin() + sizeof(FrameHeaderValue), frame.end());
    return *this;
  }
  ByteView bytes() const { return bytes_; }

 private:
  Bytes bytes_;
};

class SessionGraphTest : public SessionTest {
 protected:
  static wire::Place At(std::uint64_t offset) { return {kBase + offset, 0, wire::PlaceKind::Device}; }
  static wire::Place Gap() { return {0, 0, wire::PlaceKind::Bulk}; }
  static wire::Fill FillAt(std::uint64_t offset) { return {kBase + offset, 0, 0, 8, 1, 1, 1, 1, 0, 0}; }
  static wire::Copy UpAt(std::uint64_t offset) { return {At(offset), Gap(), 10, 0, 0}; }
  static Bytes Patches(std::initializer_list<wire::GraphPatch> patches) {
    Bytes bytes;
    for (const wire::GraphPatch& patch : patches) {
      const ByteView view = AsBytes(patch);
      bytes.insert(bytes.end(), view.begin(), view.end());
    }
    return bytes;
  }
  void OpenWithMemory() {
    Open();
    Post(wire::MemAlloc(kBase, 4096, 0, 0));
    Post(wire::StreamCreate(1, 0, 0, wire::StreamKind::NonBlocking));
  }
  void ExpectsBadFrame() {
    EXPECT_EQ(Run().code(), Code::kBadFrame);
    EXPECT_TRUE(steps_.empty());
  }
};

TEST_F(SessionGraphTest, ALaunchCompletesWithItsLastNode) {
  OpenWithMemory();
  Post(wire::GraphDefine(0, 3, 0, 3), Records().Add(FillAt(0)).Add(FillAt(8)).Add(FillAt(16)).bytes());
  Do([this](ScriptChannel&) { backend_.HoldAll(true); });
  Post(wire::GraphLaunch(0, 1, 0, 3));
  Check([this] { EXPECT_EQ(backend_.InFlight(1), 3u); });
  Do([this](ScriptChannel&) { backend_.CompleteSome(1, 2); });
  Check([this] { EXPECT_EQ(channel_.completed(1), sequence_ - 1) << "before its last node"; });
  Do([this](ScriptChannel&) { backend_.CompleteSome(1, 1); });
  Check([this] { EXPECT_EQ(channel_.completed(1), sequence_); });
  EXPECT_EQ(Run().code(), Code::kClosed);
}

TEST_F(SessionGraphTest, NodesWaitForTheirBodies) {
  OpenWithMemory();
  Post(wire::GraphDefine(4, 3, 0, 3), Records().Add(FillAt(0)).Add(UpAt(8)).Add(FillAt(16)).bytes());
  const std::uint64_t before = sequence_;
  Post(wire::GraphLaunch(4, 1, 0, 3), Patches({{1, 0, 9}}));
  Post(wire::GraphDestroy(4, 0));
  Check([this, before] { EXPECT_EQ(channel_.completed(1), before) << "the first node has run, and no more"; });
  Do([](ScriptChannel& c) { c.PushBody(9, Bytes(10, 1)); });
  Check([] {});
  Check([this, before] {
    EXPECT_EQ(channel_.completed(1), before + 1) << "a definition that is gone lets launches go on";
  });
  EXPECT_EQ(Run().code(), Code::kClosed);
}

// A blocking stream is parked when the graph comes, on the legacy stream; neither may wait for the other for ever.
TEST_F(SessionGraphTest, NodesStandWhereTheirLaunchStands) {
  OpenWithMemory();
  Post(wire::StreamCreate(2, 0, 0, wire::StreamKind::Blocking));
  Post(wire::GraphDefine(0, 2, 0, 2), Records().Add(FillAt(0)).Add(FillAt(8)).bytes());
  Post(wire::Copy(At(0), wire::Place(9, 0, wire::PlaceKind::Bulk), 10, 2, 0));
  Post(wire::GraphLaunch(0, 0, 0, 2));
  Check([this] { EXPECT_EQ(channel_.completed(0), 0u); });
  Do([](ScriptChannel& c) { c.PushBody(9, Bytes(10, 1)); });
  Check([] {});
  Check([this] {
    EXPECT_EQ(channel_.completed(2), sequence_ - 1);
    EXPECT_EQ(channel_.completed(0), sequence_);
  });
  EXPECT_EQ(Run().code(), Code::kClosed);
}

TEST_F(SessionGraphTest, ADefinitionIsChangedInPlaceOrBegunAnew) {
  OpenWithMemory();
  Post(wire::GraphDefine(0, 2, 0, 2), Records().Add(FillAt(0)).Add(FillAt(8)).bytes());
  Post(wire::GraphDefine(0, 2, 1, 1), Records().Add(UpAt(8)).bytes());
  Do([](ScriptChannel& c) { c.PushBody(9, Bytes(10, 1)); });
  Post(wire::GraphLaunch(0, 1, 0, 2), Patches({{1, 0, 9}}));
  Check([this, at = sequence_] { EXPECT_EQ(channel_.completed(1), at); });
  Post(wire::GraphDefine(0, 3, 0, 1), Records().Add(FillAt(0)).bytes());
  Post(wire::GraphLaunch(0, 1, 0, 1));
  Check([this, at = sequence_] { EXPECT_EQ(channel_.completed(1), at); });
  Post(wire::GraphLaunch(0, 1, 0, 2));
  ExpectsBadFrame();
}

TEST_F(SessionGraphTest, WhatAGraphDoesNotHold) {
  OpenWithMemory();
  Post(wire::GraphDefine(0, 1, 0, 1), Records().Add(wire::MemFree(kBase, 0, 0)).bytes());
  ExpectsBadFrame();
}
TEST_F(SessionGraphTest, AGraphInAGraph) {
  OpenWithMemory();
  Post(wire::GraphDefine(0, 1, 0, 1), Records().Add(FillAt(0)).bytes());
  Post(wire::GraphDefine(1, 1, 0, 1), Records().Add(wire::GraphLaunch(0, 1, 0, 1)).bytes());
  ExpectsBadFrame();
}
TEST_F(SessionGraphTest, NodesPastTheEnd) {
  OpenWithMemory();
  Post(wire::GraphDefine(0, 2, 1, 2), Records().Add(FillAt(0)).Add(FillAt(8)).bytes());
  ExpectsBadFrame();
}
TEST_F(SessionGraphTest, MoreNodesThanRecords) {
  OpenWithMemory();
  Post(wire::GraphDefine(0, 2, 0, 2), Records().Add(FillAt(0)).bytes());
  ExpectsBadFrame();
}
TEST_F(SessionGraphTest, MoreRecordsThanNodes) {
  OpenWithMemory();
  Post(wire::GraphDefine(0, 2, 0, 1), Records().Add(FillAt(0)).Add(FillAt(8)).bytes());
  ExpectsBadFrame();
}
TEST_F(SessionGraphTest, ABodyOfTheWrongSize) {
  OpenWithMemory();
  Records records;
  records.Add(FillAt(0));
  Bytes bytes(records.bytes().begin(), records.bytes().end());
  bytes[offsetof(RecordHeaderValue, command)] = static_cast<std::uint8_t>(CommandId::kLaunch);
  Post(wire::GraphDefine(0, 1, 0, 1), bytes);
  ExpectsBadFrame();
}
TEST_F(SessionGraphTest, ALaunchOfNothing) {
  OpenWithMemory();
  Post(wire::GraphLaunch(0, 1, 0, 1));
  ExpectsBadFrame();
}
TEST_F(SessionGraphTest, ALaunchOfNodesThatAreNotThere) {
  OpenWithMemory();
  Post(wire::GraphDefine(0, 2, 0, 2), Records().Add(FillAt(0)).Add(FillAt(8)).bytes());
  Post(wire::GraphLaunch(0, 1, 2, 1));
  ExpectsBadFrame();
}
TEST_F(SessionGraphTest, ACopyWithoutAToken) {
  OpenWithMemory();
  Post(wire::GraphDefine(0, 1, 0, 1), Records().Add(UpAt(0)).bytes());
  Post(wire::GraphLaunch(0, 1, 0, 1));
  ExpectsBadFrame();
}
TEST_F(SessionGraphTest, ATokenForWhatNeedsNone) {
  OpenWithMemory();
  Post(wire::GraphDefine(0, 1, 0, 1), Records().Add(FillAt(0)).bytes());
  Post(wire::GraphLaunch(0, 1, 0, 1), Patches({{0, 0, 9}}));
  ExpectsBadFrame();
}
TEST_F(SessionGraphTest, PatchesThatAreCutOff) {
  OpenWithMemory();
  Post(wire::GraphDefine(0, 1, 0, 1), Records().Add(UpAt(0)).bytes());
  const Bytes patches = Patches({{0, 0, 9}, {0, 0, 10}});
  Post(wire::GraphLaunch(0, 1, 0, 1), ByteView(patches).first(patches.size() - 1));
  ExpectsBadFrame();
}
TEST_F(SessionGraphTest, TheEndOfNothing) {
  OpenWithMemory();
  Post(wire::GraphDestroy(0, 0));
  ExpectsBadFrame();
}
TEST_F(SessionGraphTest, MoreThanASessionMayHold) {
  OpenWithMemory();
  const std::uint32_t each = limits::kGraphNodesMax;
  const std::uint64_t fit = limits::kGraphBytesMax / (each * limits::kGraphNodeBytes);
  for (std::uint32_t i = 0; i < fit; ++i) Post(wire::GraphDefine(i, each, 0, 0));
  Post(wire::GraphDestroy(0, 0));
  Post(wire::GraphDefine(0, each, 0, 0));
  Check([this] { EXPECT_FALSE(backend_.closed()); });
  Post(wire::GraphDefine(static_cast<std::uint32_t>(fit), 1, 0, 0));
  EXPECT_EQ(Run().code(), Code::kLimitExceeded);
}

// Branches -----------------------------------------------------------------------------------------------------------

constexpr std::uint64_t kWord = kBase + 256;

class SessionBranchTest : public SessionGraphTest {
 protected:
  static wire::GraphBranch Branch(wire::GraphTest test, std::uint32_t value, std::uint32_t target) {
    return {test == wire::GraphTest::Always ? 0 : kWord, value, test, target, 0};
  }
  // A fill as long as the word is not zero.
  void DefineLoop(std::uint32_t graph, const wire::Fill& body = FillAt(0)) {
    Post(wire::GraphDefine(graph, 3, 0, 3), Records()
                                                .Add(Branch(wire::GraphTest::Equal, 0, 3))
                                                .Add(body)
                                                .Add(Branch(wire::GraphTest::Always, 0, 0))
                                                .bytes());
  }
  void SetWord(std::uint32_t value) {
    Do([this, value](ScriptChannel&) { backend_.SetWord(kWord, value); });
  }
  void Complete(std::uint32_t stream, std::size_t count) {
    Do([this, stream, count](ScriptChannel&) { backend_.CompleteSome(stream, count); });
    // The session may look for frames once more before it goes on with what was parked.
    for (int i = 0; i < 2; ++i) Do([](ScriptChannel&) {});
  }
};

TEST_F(SessionBranchTest, WaitsForWhatIsBeforeItAndReadsThen) {
  OpenWithMemory();
  Post(wire::GraphDefine(0, 3, 0, 3),
       Records().Add(FillAt(0)).Add(Branch(wire::GraphTest::Equal, 0, 3)).Add(FillAt(8)).bytes());
  Do([this](ScriptChannel&) { backend_.HoldAll(true); });
  Post(wire::GraphLaunch(0, 1, 0, 3));
  Check([this] { EXPECT_EQ(backend_.InFlight(1), 1u); });
  SetWord(1);
  Check([this] { EXPECT_EQ(backend_.InFlight(1), 1u) << "before its turn"; });
  Complete(1, 1);
  Check([this, at = sequence_] {
    // The node behind the branch, and what completes the launch.
    EXPECT_EQ(backend_.InFlight(1), 2u);
    EXPECT_EQ(channel_.completed(1), at - 1);
  });
  Complete(1, 2);
  Check([this, at = sequence_] { EXPECT_EQ(channel_.completed(1), at); });
  // Not taken, then taken: only what completes the launch is left.
  SetWord(0);
  Post(wire::GraphLaunch(0, 1, 0, 3));
  Complete(1, 1);
  Check([this] { EXPECT_EQ(backend_.InFlight(1), 1u); });
  Complete(1, 1);
  Check([this, at = sequence_] { EXPECT_EQ(channel_.completed(1), at); });
  EXPECT_EQ(Run().code(), Code::kClosed);
}

// A device whose memory the session cannot read itself: the word comes behind what is before the branch.
TEST_F(SessionBranchTest, AWordThatTheDeviceBringsIsWaitedFor) {
  OpenWithMemory();
  Do([this](ScriptChannel&) {
    backend_.FetchByCommand(true);
    backend_.HoldAll(true);
  });
  DefineLoop(0, FillAt(8));
  SetWord(1);
  Post(wire::GraphLaunch(0, 1, 0, 3));
  for (int i = 0; i < 3; ++i) {
    Check([this, at = sequence_] {
      EXPECT_EQ(backend_.InFlight(1), 1u) << "the word";
      EXPECT_LT(channel_.completed(1), at);
    });
    Complete(1, 1);
    Check([this] { EXPECT_EQ(backend_.InFlight(1), 1u) << "the body, and nothing while it may set the word"; });
    Complete(1, 1);
  }
  SetWord(0);
  Complete(1, 1);
  Check([this] { EXPECT_EQ(backend_.InFlight(1), 1u) << "what completes the launch"; });
  Complete(1, 1);
  Check([this, at = sequence_] { EXPECT_EQ(channel_.completed(1), at); });
  EXPECT_EQ(Run().code(), Code::kClosed);
}

TEST_F(SessionBranchTest, KernelsThatSetConditionsInAnotherWayDoNotRun) {
  OpenWithMemory();
  Do([this](ScriptChannel&) { backend_.HaveForeignConditions(true); });
  Do([](ScriptChannel& c) { c.PushBody(1, Bytes(100, 1)); });
  Post(wire::ModuleLoad(1, 100, 1, 0, 0, 0));
  WaitForAnswers(2);
  const wire::ClusterSize none(0, 0, 0);
  const wire::Launch launch(0, 0, 0, 0, 1, 1, 1, 32, 1, 1, 0, 0, none, none);
  Do([this](ScriptChannel&) { backend_.HoldAll(true); });
  Post(wire::GraphDefine(0, 2, 0, 2),
       Records().Add(Branch(wire::GraphTest::Equal, 1, 2)).Add(launch, Bytes(16, 1)).bytes());
  Post(wire::GraphDefine(1, 1, 0, 1), Records().Add(launch, Bytes(16, 1)).bytes());
  Post(wire::GraphLaunch(1, 1, 0, 1));
  Check([this] {
    EXPECT_EQ(backend_.InFlight(1), 1u) << "a graph without conditions";
    EXPECT_EQ(channel_.error(), 0u);
  });
  Complete(1, 1);
  Post(wire::GraphLaunch(0, 1, 0, 2));
  Check([this] {
    EXPECT_EQ(channel_.error(), static_cast<std::uint32_t>(kDeviceNotSupported));
    EXPECT_EQ(backend_.InFlight(1), 1u) << "what completes the launch";
  });
  EXPECT_EQ(Run().code(), Code::kClosed);
}

TEST_F(SessionBranchTest, ALoopOfAnyLengthLetsOthersRun) {
  OpenWithMemory();
  DefineLoop(0);
  SetWord(7);
  Post(wire::GraphLaunch(0, 1, 0, 3));
  const std::uint64_t launch = sequence_;
  for (int i = 0; i < 5; ++i) {
    Post(FillAt(64));
    Check([this, at = sequence_] { EXPECT_EQ(channel_.completed(0), at); });
  }
  Check([this, launch] { EXPECT_EQ(channel_.completed(1), launch - 1); });
  SetWord(0);
  Check([] {});
  Check([this, launch] { EXPECT_EQ(channel_.completed(1), launch); });
  EXPECT_EQ(Run().code(), Code::kClosed);
}

// The definition, the stream and the module's right to be there end while the launch is under way.
TEST_F(SessionBranchTest, ALaunchGoesOnWithWhatItBeganWith) {
  OpenWithMemory();
  DefineLoop(0);
  SetWord(1);
  Do([this](ScriptChannel&) { backend_.HoldAll(true); });
  Post(wire::GraphLaunch(0, 1, 0, 3));
  const std::uint64_t launch = sequence_;
  Post(wire::Fill(kBase, 0, 0, 8, 1, 1, 1, 1, 1, 0));
  Post(wire::GraphDefine(0, 3, 1, 1), Records().Add(UpAt(8)).bytes());
  Post(wire::GraphDestroy(0, 0));
  Post(wire::StreamDestroy(1, 0));
  for (int i = 0; i < 4; ++i) {
    Check([this] { EXPECT_EQ(backend_.InFlight(1), 1u) << "a round at a time, and nothing from behind"; });
    Complete(1, 1);
  }
  SetWord(0);
  Complete(1, 1);
  // The end of the stream completes what is in it: the launch, and the fill behind it.
  Check([this, launch] { EXPECT_EQ(channel_.completed(1), launch + 1); });
  EXPECT_EQ(Run().code(), Code::kClosed);
}

TEST_F(SessionBranchTest, ANodeThatIsRefusedEndsTheLaunch) {
  OpenWithMemory();
  DefineLoop(0, FillAt(limits::kGiB / 2));
  SetWord(1);
  Post(wire::GraphLaunch(0, 1, 0, 3));
  Check([this] {
    EXPECT_EQ(channel_.error(), 1u);
    EXPECT_EQ(channel_.completed(1), sequence_);
  });
  EXPECT_EQ(Run().code(), Code::kClosed);
}
TEST_F(SessionBranchTest, AConditionThatIsNoMemoryEndsTheLaunch) {
  OpenWithMemory();
  Post(wire::GraphDefine(0, 1, 0, 1),
       Records().Add(wire::GraphBranch(kBase + 8192, 0, wire::GraphTest::NotEqual, 1, 0)).bytes());
  Post(wire::GraphLaunch(0, 1, 0, 1));
  Check([this] {
    EXPECT_EQ(channel_.error(), 1u);
    EXPECT_EQ(channel_.completed(1), sequence_);
  });
  EXPECT_EQ(Run().code(), Code::kClosed);
}

// The client counts on the bytes of its copies whether or not the launch came to them.
TEST_F(SessionBranchTest, CopiesOfALaunchThatFailedTakeTheirBodies) {
  OpenWithMemory();
  Post(wire::GraphDefine(0, 4, 0, 4), Records()
                                          .Add(FillAt(limits::kGiB / 2))
                                          .Add(Branch(wire::GraphTest::NotEqual, 5, 4))
                                          .Add(UpAt(0))
                                          .Add(FillAt(0))
                                          .bytes());
  Do([](ScriptChannel& c) { c.PushBody(9, Bytes(10, 1)); });
  Post(wire::GraphLaunch(0, 1, 0, 4), Patches({{2, 0, 9}}));
  Check([this] { EXPECT_EQ(channel_.completed(1), sequence_); });
  Check([this] { EXPECT_FALSE(channel_.TakeBulk(9).ok()) << "the body stays for ever"; });
  EXPECT_EQ(Run().code(), Code::kClosed);
}

TEST_F(SessionBranchTest, ATightLoopYields) {
  OpenWithMemory();
  Post(wire::GraphDefine(0, 1, 0, 1), Records().Add(Branch(wire::GraphTest::Always, 0, 0)).bytes());
  Post(wire::GraphLaunch(0, 1, 0, 1));
  Post(FillAt(0));
  Check([this] { EXPECT_EQ(channel_.completed(0), sequence_); });
  EXPECT_EQ(Run().code(), Code::kClosed);
}

TEST_F(SessionBranchTest, ATargetPastTheLaunch) {
  OpenWithMemory();
  Post(wire::GraphDefine(0, 2, 0, 2), Records().Add(Branch(wire::GraphTest::Always, 0, 2)).Add(FillAt(0)).bytes());
  Post(wire::GraphLaunch(0, 1, 0, 1));
  ExpectsBadFrame();
}
TEST_F(SessionBranchTest, ATargetBeforeTheLaunch) {
  OpenWithMemory();
  Post(wire::GraphDefine(0, 2, 0, 2), Records().Add(FillAt(0)).Add(Branch(wire::GraphTest::Always, 0, 0)).bytes());
  Post(wire::GraphLaunch(0, 1, 1, 1));
  ExpectsBadFrame();
}
TEST_F(SessionBranchTest, AConditionThatIsNoWord) {
  OpenWithMemory();
  Post(wire::GraphDefine(0, 1, 0, 1),
       Records().Add(wire::GraphBranch(kBase + 2, 0, wire::GraphTest::Equal, 1, 0)).bytes());
  ExpectsBadFrame();
}
TEST_F(SessionBranchTest, NoSuchTest) {
  OpenWithMemory();
  Post(wire::GraphDefine(0, 1, 0, 1),
       Records().Add(wire::GraphBranch(kBase, 0, static_cast<wire::GraphTest>(3), 1, 0)).bytes());
  ExpectsBadFrame();
}
TEST_F(SessionBranchTest, OutsideOfAGraph) {
  OpenWithMemory();
  Post(Branch(wire::GraphTest::Always, 0, 0));
  ExpectsBadFrame();
}

}  // namespace
}  // namespace accelmesh
