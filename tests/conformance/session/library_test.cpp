// Functions of NVIDIA's libraries in streams and in graphs: the same over every transport and on every backend that has
// them. Kernels add one to a number's bits, and functions double the number: only one order gives the result.
#include <cstring>

#include "protocol/library/blas_settings.h"
#include "protocol/library/library.h"
#include "shim/core/capture.h"
#include "shim/core/graph_exec.h"
#include "tests/apps/condition_kernels.h"
#include "tests/conformance/session/world.h"

namespace accelmesh::conformance {
namespace {

constexpr std::uint32_t kContextGone = 709;
constexpr std::uint32_t kOne = 0x3f800000;
constexpr std::uint32_t kDoubled = 0x00800000;  // what doubling adds to a number's bits

class LibraryTest : public SessionTest {
 protected:
  void SetUp() override {
    SessionTest::SetUp();
    if (ACCELMESH_HAS_BLAS == 0) GTEST_SKIP() << "built without OpenBLAS, and so without a cuBLAS to call";
    ASSERT_EQ(session().OpenLibrary(kLibraryBlas, 0, &functions_), 0u);
    ASSERT_EQ(session().LibrarySettings(kLibraryBlas, AsBytes(BlasSettings{}), &settings_), 0u);
    module();  // its load is no part of any stream
  }
  static std::uint32_t Number(const std::string& name) {
    for (std::uint32_t f = 0; f < LibraryFunctions(kLibraryBlas); ++f) {
      if (LibraryFunctionName(kLibraryBlas, f) == name) return f;
    }
    ADD_FAILURE() << name;
    return 0;
  }
  static std::uint64_t Bits(float value) {
    std::uint32_t bits = 0;
    std::memcpy(&bits, &value, sizeof(bits));
    return bits;
  }
  static Bytes Words(std::vector<std::uint64_t> words) {
    words.insert(words.begin(), 0);
    Bytes bytes(words.size() * sizeof(words[0]));
    std::memcpy(bytes.data(), words.data(), bytes.size());
    return bytes;
  }
  DeviceResult Scale(Stream* stream, float by, std::uint64_t x, std::uint64_t count = 1) {
    return session().PostLibrary(stream, kLibraryBlas, Number("cublasSscal_v2"), settings_,
                                 Words({count, Bits(by), 0, x, 1}));
  }
  DeviceResult Dot(Stream* stream, std::uint64_t x, float* result) {
    std::uint32_t status = 0;
    Bytes results;
    const DeviceResult asked = session().QueryLibrary(stream, kLibraryBlas, Number("cublasSdot_v2"), settings_,
                                                      Words({1, x, 1, x, 1, 0}), &status, &results);
    EXPECT_EQ(status, 0u);
    if (results.size() >= sizeof(*result)) std::memcpy(result, results.data(), sizeof(*result));
    return asked;
  }
  template <typename Work>
  std::unique_ptr<Graph> Capture(Work work) {
    Stream* stream = NewStream(wire::StreamKind::NonBlocking);
    EXPECT_EQ(session().captures().Begin(stream, CaptureMode::kRelaxed, nullptr, {}), 0u);
    work(stream);
    Graph* captured = nullptr;
    EXPECT_EQ(session().captures().End(stream, &captured), 0u);
    EXPECT_EQ(session().DestroyStream(stream), 0u);
    return std::unique_ptr<Graph>(captured);
  }
  // A kernel, a function that multiplies, a kernel.
  std::unique_ptr<Graph> CaptureSandwich(std::uint64_t word, float by) {
    return Capture([&](Stream* stream) {
      Launch(stream, "increment", {word});
      EXPECT_EQ(Scale(stream, by, word), 0u);
      Launch(stream, "increment", {word});
    });
  }
  std::unique_ptr<GraphExec> Instantiate(const Graph& graph) {
    std::unique_ptr<GraphExec> exec;
    GraphNode* offending = nullptr;
    EXPECT_EQ(session().InstantiateGraph(graph, 0, &exec, &offending), 0u);
    return exec;
  }
  std::uint64_t Posts() { return session().commands().statistics().posts.load(); }
  // Launches once; what `word` is then, of which the executable adds one, multiplies and adds one.
  std::uint32_t Run(Stream* stream, GraphExec* exec, std::uint64_t word) {
    Write32(stream, word, kOne);
    EXPECT_EQ(session().DefineGraph(exec), 0u);
    const std::uint64_t before = Posts();
    EXPECT_EQ(session().LaunchGraph(stream, exec), 0u);
    EXPECT_EQ(Posts() - before, 1u);
    EXPECT_EQ(session().Synchronize(*stream), 0u);
    return Read32(word);
  }

  std::shared_ptr<const Bytes> functions_;
  std::uint32_t settings_ = 0;
};

TEST_P(LibraryTest, FunctionsAndKernelsOfAStreamKeepTheirOrder) {
  const std::uint64_t word = Zeros(4);
  Stream* stream = NewStream(wire::StreamKind::NonBlocking);
  Write32(stream, word, kOne);
  for (int i = 0; i < 20; ++i) {
    Launch(stream, "increment", {word});
    ASSERT_EQ(Scale(stream, 2, word), 0u);
  }
  // It waits for all of that.
  float squared = 0;
  ASSERT_EQ(Dot(stream, word, &squared), 0u);
  EXPECT_EQ(Read32(word), kOne + 20 * (kDoubled + 1));
  float wanted = 0;
  const std::uint32_t bits = kOne + 20 * (kDoubled + 1);
  std::memcpy(&wanted, &bits, sizeof(wanted));
  EXPECT_EQ(squared, wanted * wanted);
}

TEST_P(LibraryTest, CapturedAFunctionRunsWithEachLaunch) {
  const std::uint64_t word = Zeros(4);
  Write32(legacy(), word, kOne);
  const std::unique_ptr<Graph> graph = CaptureSandwich(word, 2);
  EXPECT_EQ(Read32(word), kOne) << "a captured function has run";
  ASSERT_EQ(graph->nodes().size(), 3u);
  EXPECT_EQ(graph->nodes()[1]->kind(), GraphNodeKind::kLibrary);
  EXPECT_EQ(graph->nodes()[1]->dependencies.at(0).node, graph->nodes()[0].get());
  std::unique_ptr<GraphExec> exec = Instantiate(*graph->Clone());
  Stream* stream = NewStream(wire::StreamKind::Blocking);
  for (int round = 0; round < 5; ++round) EXPECT_EQ(Run(stream, exec.get(), word), kOne + kDoubled + 2);
  EXPECT_EQ(session().EndGraph(std::move(exec)), 0u);
}

TEST_P(LibraryTest, AnExecutableTakesOtherWordsAndOtherFunctions) {
  const std::uint64_t word = Zeros(4);
  std::unique_ptr<GraphExec> exec = Instantiate(*CaptureSandwich(word, 2));
  Stream* stream = NewStream(wire::StreamKind::NonBlocking);
  const auto update = [&](const Graph& to) {
    const GraphUpdateCheck check = CheckGraphUpdate(exec->image(), to);
    ASSERT_EQ(check.result, GraphUpdateResult::kSuccess);
    ASSERT_EQ(session().UpdateGraph(exec.get(), to, check.pairs), 0u);
  };
  EXPECT_EQ(Run(stream, exec.get(), word), kOne + kDoubled + 2);
  update(*CaptureSandwich(word, 8));
  EXPECT_EQ(Run(stream, exec.get(), word), kOne + 3 * kDoubled + 2);
  const auto kernels = Capture([&](Stream* s) {
    for (int i = 0; i < 3; ++i) Launch(s, "increment", {word});
  });
  update(*kernels);
  EXPECT_EQ(Run(stream, exec.get(), word), kOne + 3);
  update(*CaptureSandwich(word, 4));
  EXPECT_EQ(Run(stream, exec.get(), word), kOne + 2 * kDoubled + 2);
  // Without it, and with it again.
  GraphNode* call = exec->image().nodes()[1].get();
  ASSERT_EQ(session().EnableGraphNode(exec.get(), call, false), 0u);
  EXPECT_EQ(Run(stream, exec.get(), word), kOne + 2);
  ASSERT_EQ(session().EnableGraphNode(exec.get(), call, true), 0u);
  EXPECT_EQ(Run(stream, exec.get(), word), kOne + 2 * kDoubled + 2);
  EXPECT_EQ(session().EndGraph(std::move(exec)), 0u);
}

// The session goes through the body for each round; nobody asks the client.
TEST_P(LibraryTest, InTheBodyOfALoopItRunsInEveryRound) {
  const std::uint64_t count = Zeros(4);
  const std::uint64_t word = Zeros(4);
  std::shared_ptr<const GraphCondition> condition;
  ASSERT_EQ(session().MakeGraphCondition(0, 1, true, &condition), 0u);
  const auto conditions =
      session().LoadModule(0, {reinterpret_cast<const std::uint8_t*>(kConditionPtx), sizeof(kConditionPtx)});
  ASSERT_EQ(conditions->error, 0u);
  Graph graph;
  graph.AddCondition(condition);
  GraphConditional loop{condition, GraphConditionalKind::kWhile, {}};
  loop.bodies.push_back(std::make_unique<Graph>());
  Graph* body = loop.bodies[0].get();
  GraphNode* node = nullptr;
  ASSERT_EQ(graph.Add(std::move(loop), {}, &node), 0u);
  Stream* stream = NewStream(wire::StreamKind::NonBlocking);
  ASSERT_EQ(session().captures().Begin(stream, CaptureMode::kRelaxed, body, {}), 0u);
  ASSERT_EQ(Scale(stream, 2, word), 0u);
  std::uint64_t handle = condition->handle;
  std::uint64_t counter = count;
  std::uint32_t rounds = 7;
  void* arguments[] = {&handle, &counter, &rounds};
  ASSERT_EQ(session().Launch(stream, conditions->kernels.at("count_to"), {{1, 1, 1}, {1, 1, 1}}, arguments), 0u);
  ASSERT_EQ(session().captures().End(stream, &body), 0u);
  std::unique_ptr<GraphExec> exec = Instantiate(graph);
  EXPECT_EQ(Run(stream, exec.get(), word), kOne + rounds * kDoubled);
  EXPECT_EQ(session().EndGraph(std::move(exec)), 0u);
}

// Also where the server sees none of the program's memory.
TEST_P(LibraryTest, PinnedMemoryIsAnOperandOfALaunch) {
  void* pinned = nullptr;
  ASSERT_EQ(session().MallocPinned(4096, 0, &pinned), 0u);
  std::uint64_t address = 0;
  ASSERT_EQ(session().DeviceAddressOf(pinned, &address), 0u);
  const auto graph = Capture([&](Stream* stream) { EXPECT_EQ(Scale(stream, 2, address, 4), 0u); });
  std::unique_ptr<GraphExec> exec = Instantiate(*graph);
  Stream* stream = NewStream(wire::StreamKind::NonBlocking);
  auto* numbers = static_cast<float*>(pinned);
  for (int round = 0; round < 3; ++round) {
    for (int i = 0; i < 4; ++i) numbers[i] = static_cast<float>(10 * round + i);
    ASSERT_EQ(session().LaunchGraph(stream, exec.get()), 0u);
    ASSERT_EQ(session().Synchronize(*stream), 0u);
    for (int i = 0; i < 4; ++i) EXPECT_EQ(numbers[i], 2 * static_cast<float>(10 * round + i));
  }
  EXPECT_EQ(session().EndGraph(std::move(exec)), 0u);
  EXPECT_EQ(session().FreePinned(pinned), 0u);
}

// As by a synchronise of the stream, which is what it has in it.
TEST_P(LibraryTest, AResultOnTheHostEndsACapture) {
  const std::uint64_t word = Zeros(4);
  Stream* stream = NewStream(wire::StreamKind::NonBlocking);
  Graph* captured = nullptr;
  float result = 0;
  ASSERT_EQ(session().captures().Begin(stream, CaptureMode::kRelaxed, nullptr, {}), 0u);
  ASSERT_EQ(Scale(stream, 2, word), 0u);
  EXPECT_EQ(Dot(stream, word, &result), kCaptureUnsupported);
  EXPECT_EQ(Scale(stream, 2, word), kCaptureInvalidated);
  EXPECT_EQ(session().captures().End(stream, &captured), kCaptureInvalidated);
  // Another stream's, while a capture forbids all that waits.
  Stream* other = NewStream(wire::StreamKind::NonBlocking);
  ASSERT_EQ(session().captures().Begin(stream, CaptureMode::kGlobal, nullptr, {}), 0u);
  EXPECT_EQ(Dot(other, word, &result), kCaptureUnsupported);
  EXPECT_EQ(session().captures().End(stream, &captured), kCaptureInvalidated);
  EXPECT_EQ(Dot(stream, word, &result), 0u);
}

TEST_P(LibraryTest, AGraphOfBeforeAResetIsNotInstantiated) {
  const std::uint64_t before = Zeros(4);
  const auto calls = Capture([&](Stream* stream) { EXPECT_EQ(Scale(stream, 2, before), 0u); });
  std::unique_ptr<GraphExec> exec = Instantiate(*calls);
  EXPECT_TRUE(session().UsesDevice(exec->image(), 0));
  ASSERT_EQ(session().ResetDevice(0, [&] { EXPECT_EQ(session().EndGraph(std::move(exec)), 0u); }), 0u);
  GraphNode* offending = nullptr;
  EXPECT_EQ(session().InstantiateGraph(*calls, 0, &exec, &offending), kContextGone);
  // The library is there as before.
  const std::uint64_t word = Zeros(4);
  Write32(legacy(), word, kOne);
  ASSERT_EQ(Scale(legacy(), 2, word), 0u);
  EXPECT_EQ(Read32(word), kOne + kDoubled);
}

INSTANTIATE_TEST_SUITE_P(Transports, LibraryTest, ::testing::ValuesIn(AllSettings()), NameOfSetting);

}  // namespace
}  // namespace accelmesh::conformance
