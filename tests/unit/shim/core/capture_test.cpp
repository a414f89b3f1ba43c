// Captures without a server: who joins, what ends in which error, which calls are refused.
#include "shim/core/capture.h"

#include <gtest/gtest.h>

#include <thread>

#include "shim/core/session_inl.h"

namespace accelmesh {
namespace {

class CaptureTest : public ::testing::Test {
 protected:
  CaptureTest() {
    for (Stream* stream : {&a_, &b_, &c_}) stream->kind = wire::StreamKind::NonBlocking;
    blocking_.kind = wire::StreamKind::Blocking;
  }
  ~CaptureTest() override { Captures::ExchangeThreadMode(CaptureMode::kGlobal); }
  void Begin(Stream& stream, CaptureMode mode = CaptureMode::kGlobal) {
    ASSERT_EQ(captures_.Begin(&stream, mode, nullptr, {}), 0u);
  }
  GraphNode* Work(Stream& stream) {
    DeviceResult result = 1;
    EXPECT_TRUE(captures_.Diverts(stream, &result));
    EXPECT_EQ(result, 0u);
    GraphNode* node = nullptr;
    EXPECT_EQ(captures_.Capture(stream, GraphEmpty{}, &node), 0u);
    return node;
  }
  DeviceResult Record(Stream& stream, Event& event, bool external = false) {
    DeviceResult result = 0;
    EXPECT_TRUE(captures_.DivertsRecord(stream, &event, external, &result));
    return result;
  }
  DeviceResult Wait(Stream& stream, Event& event, bool external = false) {
    DeviceResult result = 0;
    EXPECT_TRUE(captures_.DivertsWait(&stream, &event, external, &result));
    return result;
  }
  DeviceResult End(Stream& stream, std::unique_ptr<Graph>* graph = nullptr) {
    Graph* ended = nullptr;
    const DeviceResult result = captures_.End(&stream, &ended);
    EXPECT_EQ(result == 0, ended != nullptr);
    std::unique_ptr<Graph> own(ended);
    if (graph != nullptr) *graph = std::move(own);
    return result;
  }
  CaptureStatus StatusOf(const Stream& stream) {
    Captures::Info info;
    EXPECT_EQ(captures_.Query(stream, &info), 0u);
    return info.status;
  }

  Captures captures_;
  Stream a_, b_, c_, blocking_, legacy_;
  Event event_, other_event_;
};

TEST_F(CaptureTest, WorkOfAStreamIsAChain) {
  EXPECT_FALSE(captures_.Active());
  Begin(a_);
  EXPECT_TRUE(captures_.Active());
  GraphNode* first = Work(a_);
  GraphNode* second = Work(a_);
  ASSERT_EQ(second->dependencies.size(), 1u);
  EXPECT_EQ(second->dependencies[0].node, first);
  std::unique_ptr<Graph> graph;
  EXPECT_EQ(End(a_, &graph), 0u);
  EXPECT_EQ(graph->nodes().size(), 2u);
  EXPECT_FALSE(captures_.Active());
  DeviceResult result = 0;
  EXPECT_FALSE(captures_.Diverts(a_, &result));
}

TEST_F(CaptureTest, AnEventForksAndJoins) {
  Begin(a_);
  GraphNode* root = Work(a_);
  ASSERT_EQ(Record(a_, event_), 0u);
  GraphNode* left = Work(a_);
  ASSERT_EQ(Wait(b_, event_), 0u);
  GraphNode* right = Work(b_);
  EXPECT_EQ(right->dependencies[0].node, root) << "the event means what was before its record";
  ASSERT_EQ(Record(b_, other_event_), 0u);
  ASSERT_EQ(Wait(a_, other_event_), 0u);
  GraphNode* join = Work(a_);
  ASSERT_EQ(join->dependencies.size(), 2u);
  EXPECT_EQ(join->dependencies[0].node, left);
  EXPECT_EQ(join->dependencies[1].node, right);
  EXPECT_EQ(End(a_), 0u);
  EXPECT_EQ(StatusOf(b_), CaptureStatus::kNone);
}

TEST_F(CaptureTest, WhatWasForkedMustBeJoined) {
  Begin(a_);
  Work(a_);
  ASSERT_EQ(Record(a_, event_), 0u);
  ASSERT_EQ(Wait(b_, event_), 0u);
  EXPECT_EQ(End(a_), 0u) << "a stream that joined and did nothing has nothing that could be left";
  Begin(a_);
  Work(a_);
  ASSERT_EQ(Record(a_, event_), 0u);
  ASSERT_EQ(Wait(b_, event_), 0u);
  Work(b_);
  EXPECT_EQ(End(a_), kCaptureUnjoined);
  EXPECT_EQ(StatusOf(a_), CaptureStatus::kNone);
  EXPECT_EQ(StatusOf(b_), CaptureStatus::kNone);
}

TEST_F(CaptureTest, WhatADestroyedStreamLeftMustBeJoined) {
  Begin(a_);
  Work(a_);
  ASSERT_EQ(Record(a_, event_), 0u);
  ASSERT_EQ(Wait(b_, event_), 0u);
  Work(b_);
  captures_.ForgetStream(&b_);
  EXPECT_EQ(End(a_), kCaptureUnjoined);
}

TEST_F(CaptureTest, EndsBelongToTheirBeginnings) {
  EXPECT_EQ(End(a_), kIllegalState);
  Begin(a_, CaptureMode::kThreadLocal);
  EXPECT_EQ(captures_.Begin(&a_, CaptureMode::kGlobal, nullptr, {}), kIllegalState);
  ASSERT_EQ(Record(a_, event_), 0u);
  ASSERT_EQ(Wait(b_, event_), 0u);
  EXPECT_EQ(End(b_), kCaptureUnmatched);
  std::thread([this] { EXPECT_EQ(End(a_), kCaptureWrongThread); }).join();
  EXPECT_EQ(End(a_), 0u);
  Begin(a_, CaptureMode::kRelaxed);
  std::thread([this] { EXPECT_EQ(End(a_), 0u); }).join();
  EXPECT_EQ(captures_.Begin(&legacy_, CaptureMode::kGlobal, nullptr, {}), kCaptureUnsupported);
}

TEST_F(CaptureTest, TwoCapturesDoNotMerge) {
  Begin(a_, CaptureMode::kRelaxed);
  Begin(b_, CaptureMode::kRelaxed);
  ASSERT_EQ(Record(a_, event_), 0u);
  EXPECT_EQ(Wait(b_, event_), kCaptureMerge);
  EXPECT_EQ(StatusOf(a_), CaptureStatus::kInvalidated);
  EXPECT_EQ(End(a_), kCaptureInvalidated);
  EXPECT_EQ(End(b_), kCaptureInvalidated);
}

TEST_F(CaptureTest, NothingOutsideIsWaitedForUnlessItIsSaid) {
  Begin(a_);
  EXPECT_EQ(Wait(a_, event_, /*external=*/true), 0u);
  EXPECT_EQ(Record(a_, other_event_, /*external=*/true), 0u);
  std::unique_ptr<Graph> graph;
  ASSERT_EQ(End(a_, &graph), 0u);
  ASSERT_EQ(graph->nodes().size(), 2u);
  EXPECT_EQ(graph->nodes()[0]->kind(), GraphNodeKind::kEventWait);
  EXPECT_EQ(graph->nodes()[1]->kind(), GraphNodeKind::kEventRecord);
  EXPECT_FALSE(captures_.KnowsEvents());
  Begin(a_);
  EXPECT_EQ(Wait(a_, event_), kCaptureIsolation);
  EXPECT_EQ(End(a_), kCaptureInvalidated);
}

TEST_F(CaptureTest, AnEventOfACaptureIsNotAskedFor) {
  Begin(a_);
  ASSERT_EQ(Record(a_, event_), 0u);
  EXPECT_EQ(captures_.CheckEvent(event_), kCapturedEvent);
  EXPECT_EQ(End(a_), kCaptureInvalidated);
  EXPECT_EQ(captures_.CheckEvent(event_), kCapturedEvent) << "also when it is over";
  EXPECT_EQ(Wait(b_, event_), kCapturedEvent);
  DeviceResult result = 0;
  EXPECT_FALSE(captures_.DivertsRecord(b_, &event_, false, &result)) << "a record outside is one";
  EXPECT_EQ(captures_.CheckEvent(event_), 0u);
  EXPECT_FALSE(captures_.KnowsEvents());
}

TEST_F(CaptureTest, WaitingForACapturingStreamBreaksIt) {
  Begin(a_, CaptureMode::kRelaxed);
  EXPECT_EQ(captures_.CheckWait(b_), 0u);
  EXPECT_EQ(captures_.CheckWait(a_), kCaptureUnsupported);
  EXPECT_EQ(StatusOf(a_), CaptureStatus::kInvalidated);
  DeviceResult result = 0;
  EXPECT_TRUE(captures_.Diverts(a_, &result));
  EXPECT_EQ(result, kCaptureInvalidated);
  EXPECT_EQ(End(a_), kCaptureInvalidated);
  Begin(a_, CaptureMode::kRelaxed);
  EXPECT_EQ(captures_.CheckDevice(1), 0u) << "another device";
  EXPECT_EQ(captures_.CheckDevice(0), kCaptureUnsupported);
  EXPECT_EQ(End(a_), kCaptureInvalidated);
}

TEST_F(CaptureTest, UnsafeCallsByModeAndThread) {
  const auto elsewhere = [this](CaptureMode thread_mode) {
    DeviceResult result = 1;
    std::thread([&] {
      Captures::ExchangeThreadMode(thread_mode);
      result = captures_.CheckUnsafe();
    }).join();
    return result;
  };
  struct Case {
    CaptureMode capture;
    CaptureMode thread;
    DeviceResult here;
    DeviceResult elsewhere;
  };
  constexpr CaptureMode kModes[] = {CaptureMode::kGlobal, CaptureMode::kThreadLocal, CaptureMode::kRelaxed};
  for (const CaptureMode capture : kModes) {
    for (const CaptureMode thread : kModes) {
      const bool own = thread != CaptureMode::kRelaxed && capture != CaptureMode::kRelaxed;
      const bool others = thread == CaptureMode::kGlobal && capture == CaptureMode::kGlobal;
      SCOPED_TRACE(static_cast<int>(capture) * 10 + static_cast<int>(thread));
      Begin(a_, capture);
      EXPECT_EQ(elsewhere(thread), others ? kCaptureUnsupported : 0);
      EXPECT_EQ(End(a_), others ? kCaptureInvalidated : 0);
      Begin(a_, capture);
      Captures::ExchangeThreadMode(thread);
      EXPECT_EQ(captures_.CheckUnsafe(), own ? kCaptureUnsupported : 0);
      Captures::ExchangeThreadMode(CaptureMode::kGlobal);
      EXPECT_EQ(End(a_), own ? kCaptureInvalidated : 0);
    }
  }
}

TEST_F(CaptureTest, TheLegacyStreamStopsForBlockingStreamsOnly) {
  DeviceResult result = 0;
  Begin(a_);
  EXPECT_FALSE(captures_.Diverts(legacy_, &result));
  EXPECT_EQ(End(a_), 0u);
  Begin(blocking_);
  Captures::Info info;
  EXPECT_EQ(captures_.Query(legacy_, &info), kCaptureImplicit);
  EXPECT_EQ(StatusOf(blocking_), CaptureStatus::kActive) << "asking breaks nothing";
  EXPECT_TRUE(captures_.Diverts(legacy_, &result));
  EXPECT_EQ(result, kCaptureImplicit);
  EXPECT_EQ(End(blocking_), kCaptureInvalidated);
}

TEST_F(CaptureTest, DependenciesOfTheProgramsOwn) {
  Graph graph;
  GraphNode* root = nullptr;
  ASSERT_EQ(graph.Add(GraphEmpty{}, {}, &root), 0u);
  const GraphLink behind[] = {{root, {}}};
  EXPECT_EQ(captures_.Begin(&a_, CaptureMode::kGlobal, nullptr, behind), kInvalidValue);
  EXPECT_EQ(captures_.UpdateDependencies(a_, behind, true), kIllegalState);
  ASSERT_EQ(captures_.Begin(&a_, CaptureMode::kGlobal, &graph, behind), 0u);
  EXPECT_TRUE(captures_.Uses(graph));
  GraphNode* first = Work(a_);
  EXPECT_EQ(first->dependencies[0].node, root);
  ASSERT_EQ(captures_.UpdateDependencies(a_, behind, false), 0u);
  GraphNode* second = Work(a_);
  EXPECT_EQ(second->dependencies.size(), 2u);
  ASSERT_EQ(captures_.UpdateDependencies(a_, behind, true), 0u);
  GraphNode* third = Work(a_);
  EXPECT_EQ(third->dependencies.size(), 1u);
  Graph* ended = nullptr;
  EXPECT_EQ(captures_.End(&a_, &ended), 0u) << "what was taken out of the way needs no join";
  EXPECT_EQ(ended, &graph);
  EXPECT_FALSE(captures_.Uses(graph));
}

}  // namespace
}  // namespace accelmesh
