// The reset of a device: nothing of what was made on it is left, on either side, and the session goes on.
#include "shim/core/capture.h"
#include "shim/core/graph_exec.h"
#include "tests/conformance/session/world.h"

namespace accelmesh::conformance {
namespace {

constexpr std::uint64_t kAll = 256 * limits::kMiB;  // the device's
constexpr std::uint32_t kContextGone = 709;

class ResetTest : public SessionTest {
 protected:
  void Reset() {
    ASSERT_EQ(session().ResetDevice(0, [] {}), 0u);
    ExpectEmpty();
  }
  // Of the device's memory everything is free, and the server agrees: it would refuse the last byte otherwise.
  void ExpectEmpty() {
    std::uint64_t free_bytes = 0;
    std::uint64_t total = 0;
    session().MemoryInfo(0, &free_bytes, &total);
    EXPECT_EQ(free_bytes, kAll);
    std::uint64_t all = 0;
    ASSERT_EQ(session().Malloc(0, kAll, &all), 0u);
    Write32(legacy(), all + kAll - 4, 42);
    EXPECT_EQ(Read32(all + kAll - 4), 42u);
    ASSERT_EQ(session().Free(all), 0u);
  }
};

TEST_P(ResetTest, MemoryOfEveryKindIsFree) {
  for (int round = 0; round < 3; ++round) {
    const std::uint64_t plain = Zeros(64 * limits::kMiB);
    std::uint64_t ordered = 0;
    std::uint64_t of_pool = 0;
    MemoryPool* pool = session().CreatePool(0, 0);
    ASSERT_TRUE(session().SetCurrentPool(0, pool));
    ASSERT_EQ(session().MallocFromPool(pool, legacy(), 8 * limits::kMiB, &of_pool), 0u);
    ASSERT_EQ(session().MallocFromPool(session().DefaultPool(0), legacy(), 8 * limits::kMiB, &ordered), 0u);
    std::uint64_t freed = 0;
    ASSERT_EQ(session().MallocFromPool(pool, legacy(), 512, &freed), 0u);
    ASSERT_EQ(session().FreeInOrder(legacy(), freed), 0u);
    Array* array = nullptr;
    ArrayShape shape;
    shape.width = 300;
    shape.height = 300;
    ASSERT_EQ(session().CreateArray(0, shape, &array), 0u);
    MipmappedArray* mipmapped = nullptr;
    ASSERT_EQ(session().CreateMipmappedArray(0, shape, 3, &mipmapped), 0u);
    const Array* level = session().LevelOfArray(mipmapped, 1);
    void* pinned = nullptr;
    ASSERT_EQ(session().MallocPinned(8192, 0, &pinned), 0u);
    std::uint64_t managed = 0;
    ASSERT_EQ(session().MallocManaged(0, 4 * limits::kMiB, 1, &managed), 0u);
    std::vector<std::uint32_t> own(4096);
    ASSERT_EQ(session().RegisterHost(own.data(), own.size() * 4, 0), 0u);
    Reset();
    AddressSpace::Range range;
    std::uint32_t device = 0;
    EXPECT_FALSE(session().FindDeviceRange(plain, &range, &device));
    EXPECT_EQ(session().Free(plain), 1u);
    EXPECT_EQ(session().Free(ordered), 1u);
    EXPECT_EQ(session().Free(managed), 1u);
    EXPECT_EQ(session().CurrentPool(0), session().DefaultPool(0));
    EXPECT_FALSE(session().DestroyPool(pool));
    EXPECT_FALSE(session().IsArray(array) || session().IsArray(level) || session().IsMipmappedArray(mipmapped));
    EXPECT_EQ(session().FreePinned(pinned), 1u);
    EXPECT_EQ(session().UnregisterHost(own.data()), 713u);
  }
}

TEST_P(ResetTest, StreamsAndEventsAreGoneAndTheirNumbersFree) {
  const std::uint64_t word = Zeros(4);
  constexpr int kStreams = 1500;  // three times this is more than there may be
  for (int round = 0; round < 3; ++round) {
    std::vector<Stream*> streams;
    std::vector<Event*> events;
    for (int i = 0; i < kStreams; ++i) {
      streams.push_back(NewStream(wire::StreamKind::Blocking));
      events.push_back(NewEvent());
      if (i % 100 == 0) {
        ASSERT_EQ(session().RecordEvent(events.back(), streams.back()), 0u);
      }
    }
    if (round == 0) Launch(streams.back(), "increment", {word});
    ASSERT_EQ(session().ResetDevice(0, [] {}), 0u);
    for (Stream* stream : streams) ASSERT_FALSE(session().IsStream(stream));
    for (Event* event : events) ASSERT_FALSE(session().IsEvent(event));
  }
  ASSERT_TRUE(session().IsStream(legacy()));
  ExpectEmpty();
}

TEST_P(ResetTest, ACaptureIsOver) {
  Stream* stream = NewStream(wire::StreamKind::NonBlocking);
  ASSERT_EQ(session().captures().Begin(stream, CaptureMode::kGlobal, nullptr, {}), 0u);
  Event* event = NewEvent();
  ASSERT_EQ(session().RecordEvent(event, stream), 0u);
  ASSERT_TRUE(session().captures().Active());
  Reset();
  EXPECT_FALSE(session().captures().Active() || session().captures().KnowsEvents());
}

// The graph is the program's and stays, but nothing that it means is there any more.
TEST_P(ResetTest, GraphsOfBeforeAreNotInstantiated) {
  for (const bool ends_first : {false, true}) {
    const std::uint64_t word = Zeros(4);
    Stream* stream = NewStream(wire::StreamKind::NonBlocking);
    const std::shared_ptr<const LoadedModule> loaded = session().LoadModule(0, TestKernels());
    ASSERT_EQ(loaded->error, 0u);
    const KernelLayout& kernel = loaded->kernels.at("increment");
    ASSERT_EQ(session().captures().Begin(stream, CaptureMode::kRelaxed, nullptr, {}), 0u);
    std::uint64_t of_graph = 0;
    std::uint64_t argument = word;
    void* arguments[] = {&argument};
    ASSERT_EQ(session().Launch(stream, kernel, {{1, 1, 1}, {1, 1, 1}}, arguments), 0u);
    ASSERT_EQ(session().MallocFromPool(nullptr, stream, 16 * limits::kMiB, &of_graph), 0u);
    Graph* captured = nullptr;
    ASSERT_EQ(session().captures().End(stream, &captured), 0u);
    std::unique_ptr<Graph> graph(captured);
    std::unique_ptr<GraphExec> exec;
    GraphNode* offending = nullptr;
    ASSERT_EQ(session().InstantiateGraph(*graph, 0, &exec, &offending), 0u);
    EXPECT_TRUE(session().UsesDevice(exec->image(), 0));
    ASSERT_EQ(session().LaunchGraph(stream, exec.get()), 0u);
    if (ends_first) graph.reset();
    ASSERT_EQ(session().ResetDevice(0,
                                    [&] {
                                      EXPECT_EQ(session().EndGraph(std::move(exec)), 0u);
                                      session().UnloadModule(*loaded);
                                    }),
              0u);
    ExpectEmpty();
    EXPECT_EQ(session().GraphMemoryOf(0).reserved, 0u);
    // The module's number is given out again; its load is another one.
    const std::shared_ptr<const LoadedModule> again = session().LoadModule(0, TestKernels());
    ASSERT_EQ(again->error, 0u);
    if (!ends_first) {
      EXPECT_EQ(session().InstantiateGraph(*graph, 0, &exec, &offending), kContextGone);
      graph.reset();
    }
    ExpectEmpty();
    session().UnloadModule(*again);
  }
}

// Neither for the whole of it nor for a child graph of it.
TEST_P(ResetTest, AnExecutableIsNotUpdatedToAGraphOfBefore) {
  const auto capture = [this](const LoadedModule& loaded) {
    Stream* stream = NewStream(wire::StreamKind::NonBlocking);
    EXPECT_EQ(session().captures().Begin(stream, CaptureMode::kRelaxed, nullptr, {}), 0u);
    std::uint64_t argument = Zeros(4);
    void* arguments[] = {&argument};
    EXPECT_EQ(session().Launch(stream, loaded.kernels.at("increment"), {{1, 1, 1}, {1, 1, 1}}, arguments), 0u);
    Graph* captured = nullptr;
    EXPECT_EQ(session().captures().End(stream, &captured), 0u);
    return std::unique_ptr<Graph>(captured);
  };
  const std::shared_ptr<const LoadedModule> before = session().LoadModule(0, TestKernels());
  const std::unique_ptr<Graph> old = capture(*before);
  ASSERT_EQ(session().ResetDevice(0, [&] { session().UnloadModule(*before); }), 0u);
  const std::shared_ptr<const LoadedModule> again = session().LoadModule(0, TestKernels());
  const std::unique_ptr<Graph> graph = capture(*again);
  std::unique_ptr<GraphExec> exec;
  GraphNode* offending = nullptr;
  ASSERT_EQ(session().InstantiateGraph(*graph, 0, &exec, &offending), 0u);
  const GraphUpdateCheck check = CheckGraphUpdate(exec->image(), *old);
  ASSERT_EQ(check.result, GraphUpdateResult::kSuccess);
  EXPECT_EQ(session().UpdateGraph(exec.get(), *old, check.pairs), kContextGone);
  EXPECT_EQ(session().UpdateChild(exec.get(), *old, check.pairs), kContextGone);
  EXPECT_EQ(session().EndGraph(std::move(exec)), 0u);
}

// A kernel of before the reset has its memory until it ends.
TEST_P(ResetTest, WorkUnderWayIsWaitedFor) {
  void* pinned = nullptr;
  ASSERT_EQ(session().MallocPinned(4096, 0, &pinned, 1), 0u);  // another device's: it stays
  const std::uint64_t word = Zeros(4);
  Stream* stream = NewStream(wire::StreamKind::NonBlocking);
  for (int i = 0; i < 50; ++i) Launch(stream, "increment", {word});
  ASSERT_EQ(session().CopyToHost(stream, pinned, word, 4, false), 0u);
  Reset();
  EXPECT_EQ(*static_cast<std::uint32_t*>(pinned), 50u);
  EXPECT_EQ(session().FreePinned(pinned), 0u);
}

INSTANTIATE_TEST_SUITE_P(All, ResetTest, ::testing::ValuesIn(AllSettings()), NameOfSetting);

}  // namespace
}  // namespace accelmesh::conformance
