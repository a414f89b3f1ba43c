// Graphs with conditional nodes, launched: the session decides when the stream has come there, and nobody asks the
// client.
#include "shim/core/capture.h"
#include "shim/core/graph_exec.h"
#include "tests/apps/condition_kernels.h"
#include "tests/conformance/session/world.h"

namespace accelmesh::conformance {
namespace {

constexpr DeviceResult kNotSupported = 801;

class ConditionTest : public SessionTest {
 protected:
  // A loop whose condition is true at the start; `work` puts its body into a stream.
  template <typename Work>
  std::unique_ptr<Graph> LoopGraph(Work work) {
    std::shared_ptr<const GraphCondition> condition;
    EXPECT_EQ(session().MakeGraphCondition(0, 1, true, &condition), 0u);
    auto graph = std::make_unique<Graph>();
    graph->AddCondition(condition);
    GraphConditional loop{condition, GraphConditionalKind::kWhile, {}};
    loop.bodies.push_back(std::make_unique<Graph>());
    Graph* const body = loop.bodies[0].get();
    GraphNode* node = nullptr;
    EXPECT_EQ(graph->Add(std::move(loop), {}, &node), 0u);
    module();
    if (conditions_ == nullptr)
      conditions_ =
          session().LoadModule(0, {reinterpret_cast<const std::uint8_t*>(kConditionPtx), sizeof(kConditionPtx)});
    EXPECT_EQ(conditions_->error, 0u);
    Stream* stream = NewStream(wire::StreamKind::NonBlocking);
    EXPECT_EQ(session().captures().Begin(stream, CaptureMode::kRelaxed, body, {}), 0u);
    work(stream, condition->handle);
    Graph* captured = nullptr;
    EXPECT_EQ(session().captures().End(stream, &captured), 0u);
    EXPECT_EQ(captured, body);
    EXPECT_EQ(session().DestroyStream(stream), 0u);
    return graph;
  }
  template <typename Work>
  std::unique_ptr<GraphExec> Loop(Work work) {
    std::unique_ptr<GraphExec> exec;
    GraphNode* offending = nullptr;
    EXPECT_EQ(session().InstantiateGraph(*LoopGraph(work), 0, &exec, &offending), 0u);
    return exec;
  }
  void CountTo(Stream* stream, std::uint64_t handle, std::uint64_t word, std::uint32_t limit) {
    void* arguments[] = {&handle, &word, &limit};
    EXPECT_EQ(session().Launch(stream, conditions_->kernels.at("count_to"), {{1, 1, 1}, {1, 1, 1}}, arguments), 0u);
  }
  std::shared_ptr<const LoadedModule> conditions_;
};

TEST_P(ConditionTest, ALoopIsOneMessage) {
  const std::uint64_t count = Zeros(4);
  const std::uint64_t word = Zeros(4);
  auto exec = Loop([&](Stream* stream, std::uint64_t handle) {
    Launch(stream, "increment", {word});
    CountTo(stream, handle, count, 200);
  });
  Stream* stream = NewStream(wire::StreamKind::NonBlocking);
  for (std::uint32_t round = 1; round <= 3; ++round) {
    Write32(stream, count, 0);
    ASSERT_EQ(session().Synchronize(*stream), 0u);
    const std::uint64_t before = session().commands().statistics().posts.load();
    ASSERT_EQ(session().LaunchGraph(stream, exec.get()), 0u);
    ASSERT_EQ(session().Synchronize(*stream), 0u);
    EXPECT_EQ(session().commands().statistics().posts.load() - before, 1u);
    EXPECT_EQ(Read32(word), round * 200);
  }
  EXPECT_EQ(session().EndGraph(std::move(exec)), 0u);
}

// More in a round than a stream has under way, and launches of other streams that wait for all of it.
TEST_P(ConditionTest, ALongBodyKeepsTheOrderOfStreams) {
  constexpr std::uint32_t kNodes = 2 * limits::kStreamInFlightMax + 3;
  const std::uint64_t count = Zeros(4);
  const std::uint64_t word = Zeros(4);
  const std::uint64_t seen = Zeros(8);
  auto exec = Loop([&](Stream* stream, std::uint64_t handle) {
    for (std::uint32_t i = 0; i < kNodes; ++i) Launch(stream, "increment", {word});
    CountTo(stream, handle, count, 3);
  });
  Stream* blocking = NewStream(wire::StreamKind::Blocking);
  Stream* other = NewStream(wire::StreamKind::NonBlocking);
  Event* event = NewEvent();
  ASSERT_EQ(session().LaunchGraph(blocking, exec.get()), 0u);
  ASSERT_EQ(session().EndGraph(std::move(exec)), 0u) << "the launch goes on";
  ASSERT_EQ(session().RecordEvent(event, blocking), 0u);
  ASSERT_EQ(session().WaitEvent(other, event), 0u);
  Launch(other, "copy_word", {seen, word});
  Launch(legacy(), "copy_word", {seen + 4, word});
  Launch(blocking, "increment", {word});
  ASSERT_EQ(session().SynchronizeDevice(0), 0u);
  EXPECT_EQ(Read32(word), 3 * kNodes + 1);
  EXPECT_GE(Read32(seen), 3 * kNodes);
  EXPECT_EQ(Read32(seen + 4), 3 * kNodes);
}

// Its graph is gone and the executable does something else, and still nobody is given the word.
TEST_P(ConditionTest, ALaunchKeepsItsConditionThroughAnUpdate) {
  const std::uint64_t count = Zeros(4);
  std::uint64_t of_launch = 0;
  auto exec = Loop([&](Stream* stream, std::uint64_t handle) {
    of_launch = handle;
    CountTo(stream, handle, count, 5);
  });
  const auto update = LoopGraph([&](Stream* stream, std::uint64_t handle) { CountTo(stream, handle, count, 3); });
  const GraphUpdateCheck check = CheckGraphUpdate(exec->image(), *update);
  ASSERT_EQ(check.result, GraphUpdateResult::kSuccess);
  Stream* stream = NewStream(wire::StreamKind::NonBlocking);
  std::atomic<bool> may_go{false};
  ASSERT_EQ(session().CallHost(stream,
                               [&may_go](std::uint32_t) {
                                 while (!may_go) std::this_thread::sleep_for(std::chrono::milliseconds(1));
                               }),
            0u);
  ASSERT_EQ(session().LaunchGraph(stream, exec.get()), 0u);
  ASSERT_EQ(session().UpdateGraph(exec.get(), *update, check.pairs), 0u);
  std::shared_ptr<const GraphCondition> other;
  EXPECT_EQ(session().MakeGraphCondition(0, 1, false, &other), 0u);
  EXPECT_NE(other->handle, of_launch) << "a launch under way has it";
  may_go = true;
  ASSERT_EQ(session().Synchronize(*stream), 0u);
  EXPECT_EQ(Read32(count), 5u);
  Write32(stream, count, 0);
  ASSERT_EQ(session().LaunchGraph(stream, exec.get()), 0u);
  ASSERT_EQ(session().Synchronize(*stream), 0u);
  EXPECT_EQ(Read32(count), 3u);
  EXPECT_EQ(session().EndGraph(std::move(exec)), 0u);
}

TEST_P(ConditionTest, AnErrorEndsALoopThatWouldGoOn) {
  expect_errors_ = true;
  auto exec = Loop([&](Stream* stream, std::uint64_t) { Launch(stream, "store_nowhere", {}); });
  Stream* stream = NewStream(wire::StreamKind::NonBlocking);
  ASSERT_EQ(session().LaunchGraph(stream, exec.get()), 0u);
  ASSERT_TRUE(IdleWithin(*stream, 20000));
  EXPECT_EQ(session().TakeAsyncError(), 700u);
}

TEST_P(ConditionTest, AnEndlessLoopEndsWithTheSession) {
  auto exec = Loop([](Stream*, std::uint64_t) {});
  Stream* stream = NewStream(wire::StreamKind::NonBlocking);
  const std::uint64_t word = Zeros(4);
  ASSERT_EQ(session().LaunchGraph(stream, exec.get()), 0u);
  Stream* other = NewStream(wire::StreamKind::NonBlocking);
  for (int i = 0; i < 20; ++i) {
    Launch(other, "increment", {word});
    ASSERT_EQ(session().Synchronize(*other), 0u);
  }
  EXPECT_FALSE(IdleWithin(*stream, 20));
  expect_errors_ = true;  // nobody waits for the device
}

INSTANTIATE_TEST_SUITE_P(Transports, ConditionTest, ::testing::ValuesIn(AllSettings()), NameOfSetting);

using BackendConditionTest = SessionTest;
TEST_P(BackendConditionTest, ABackendWithoutThemSaysSo) {
  std::shared_ptr<const GraphCondition> condition;
  EXPECT_EQ(session().MakeGraphCondition(0, 1, true, &condition), kNotSupported);
}
INSTANTIATE_TEST_SUITE_P(Transports, BackendConditionTest, ::testing::ValuesIn(SettingsWith("null")), NameOfSetting);

}  // namespace
}  // namespace accelmesh::conformance
