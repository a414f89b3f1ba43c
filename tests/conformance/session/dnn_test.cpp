// Functions of cuDNN: calls as commands of their streams and as nodes of graphs, questions that wait for none. The same
// on every backend that has them.
#include <algorithm>
#include <array>
#include <cstring>
#include <limits>

#include "protocol/library/dnn_calls.h"
#include "shim/core/capture.h"
#include "shim/core/graph_exec.h"
#include "tests/conformance/session/library_streams.h"
#include "tests/unit/protocol/library/plan_words.h"

namespace accelmesh::conformance {
namespace {

constexpr std::uint32_t kInvalidValue = 1;
constexpr std::uint32_t kIllegalAddress = 700;
constexpr std::uint32_t kBadParam = 2000;  // CUDNN_STATUS_BAD_PARAM
// Enumerators of cudnn_ops.h and cudnn_cnn.h.
constexpr std::int32_t kDouble = 1;
constexpr std::int32_t kCrossCorrelation = 1;
constexpr std::int32_t kReduceAdd = 0;

class DnnTest : public LibraryStreamsTest {
 protected:
  void SetUp() override {
    SessionTest::SetUp();
    if (HasFatalFailure()) return;
    if (ACCELMESH_HAS_DNN == 0) GTEST_SKIP() << "built without oneDNN, and so without a cuDNN to call";
    ASSERT_EQ(session().OpenLibrary(kLibraryDnn, 0, &functions_), 0u);
    ASSERT_EQ(session().LibrarySettings(kLibraryDnn, {}, &settings_), 0u);
    MakeGate();
  }
  template <typename Words>
  static Bytes Arguments(const Words& words) {
    Bytes arguments(sizeof(std::uint64_t) + sizeof(Words));
    std::memcpy(arguments.data() + sizeof(std::uint64_t), static_cast<const void*>(&words), sizeof(Words));
    return arguments;
  }
  template <typename Words>
  DeviceResult Post(Stream* stream, const Words& words) {
    return session().PostLibrary(stream, kLibraryDnn, kDnnFunction<Words>, settings_, Arguments(words));
  }
  std::uint32_t Ask(const DnnFindAlgorithms& words, std::vector<DnnAlgorithm>* found) {
    std::uint32_t status = 999;
    Bytes results;
    EXPECT_EQ(
        session().AskLibrary(kLibraryDnn, kDnnFunction<DnnFindAlgorithms>, 0, Arguments(words), &status, &results), 0u);
    if (status != 0) return status;
    found->resize(results.size() / sizeof(DnnAlgorithm));
    std::memcpy(found->data(), results.data(), found->size() * sizeof(DnnAlgorithm));
    return status;
  }
  // Of floats, without gaps.
  static DnnTensor Packed(const std::vector<std::int32_t>& dims) {
    DnnTensor tensor;
    tensor.rank = static_cast<std::int32_t>(dims.size());
    std::int32_t stride = 1;
    for (std::size_t d = dims.size(); d-- > 0;) {
      tensor.dims[d] = dims[d];
      tensor.strides[d] = stride;
      stride *= dims[d];
    }
    return tensor;
  }
  static DnnOperand One(std::uint64_t address) { return {Packed({1, 1, 1, 1}), address}; }
  // y += x, one element.
  DeviceResult Add(Stream* stream, std::uint64_t x, std::uint64_t y) override {
    return Post(stream, DnnAddTensor{One(x), One(y), {1, 1}});
  }
  // x *= by.
  DeviceResult Scale(Stream* stream, double by, std::uint64_t x, std::int32_t count = 1) {
    return Post(stream, DnnScaleTensor{{Packed({1, 1, 1, count}), x}, by});
  }
  // Of an image of 3 x 3 with a filter of 2 x 2.
  static DnnConvolution Plain() {
    DnnConvolution convolution;
    convolution.rank = 2;
    convolution.mode = kCrossCorrelation;
    convolution.strides[0] = convolution.strides[1] = convolution.dilations[0] = convolution.dilations[1] = 1;
    return convolution;
  }
  static DnnFindAlgorithms Question() {
    DnnFindAlgorithms words;
    words.x = Packed({1, 1, 3, 3});
    words.w = Packed({1, 1, 2, 2});
    words.y = Packed({1, 1, 2, 2});
    words.convolution = Plain();
    return words;
  }
  std::uint64_t Posts() { return session().commands().statistics().posts.load(); }

  std::shared_ptr<const Bytes> functions_;
  std::uint32_t settings_ = 0;
};

TEST_P(DnnTest, ACallStandsBetweenTheCopiesBeforeAndBehindIt) {
  for (Stream* stream : {legacy(), NewStream(wire::StreamKind::NonBlocking), NewStream(wire::StreamKind::Blocking)}) {
    const std::uint64_t x = Zeros(16);
    // Again and again, so that it is known and not known to the backend.
    for (int round = 1; round <= 3; ++round) {
      const std::array<float, 4> numbers{static_cast<float>(round), 2, 3, 4};
      std::array<float, 4> scaled{};
      ASSERT_EQ(session().CopyToDevice(stream, x, numbers.data(), sizeof(numbers), false), 0u);
      ASSERT_EQ(Scale(stream, 2.5, x, 4), 0u);
      ASSERT_EQ(session().CopyToHost(stream, scaled.data(), x, sizeof(scaled), true), 0u);
      EXPECT_EQ(scaled[0], 2.5f * static_cast<float>(round));
      EXPECT_EQ(scaled[3], 10.0f);
    }
  }
}

TEST_P(DnnTest, EveryAlgorithmThatIsAnsweredConvolves) {
  Stream* stream = NewStream(wire::StreamKind::NonBlocking);
  const DnnFindAlgorithms question = Question();
  const std::uint64_t x = Floats(stream, {1, 2, 3, 4, 5, 6, 7, 8, 9});
  const std::uint64_t w = Floats(stream, {1, 10, 100, 1000});
  std::vector<DnnAlgorithm> found;
  ASSERT_EQ(Ask(question, &found), 0u);
  ASSERT_FALSE(found.empty());
  for (const DnnAlgorithm& algorithm : found) {
    if (algorithm.status != 0) continue;
    const std::uint64_t y = Floats(stream, {-1, -1, -1, -1});
    DnnConvolutionForward words;
    words.x = {question.x, x};
    words.w = {question.w, w};
    words.y = {question.y, y};
    words.convolution = question.convolution;
    words.algorithm = algorithm.algorithm;
    words.workspace_bytes = algorithm.workspace_bytes;
    if (words.workspace_bytes != 0) words.workspace = Malloc(words.workspace_bytes);
    for (int i = 0; i < 2; ++i) ASSERT_EQ(Post(stream, words), 0u);
    EXPECT_EQ(ReadFloat(y), 1 + 20 + 400 + 5000) << "algorithm " << algorithm.algorithm;
    EXPECT_EQ(ReadFloat(y + 3 * sizeof(float)), 5 + 60 + 800 + 9000) << "algorithm " << algorithm.algorithm;
  }
}

TEST_P(DnnTest, WhatACallNeedsBesidesItsOperandsTheServerHas) {
  Stream* stream = NewStream(wire::StreamKind::NonBlocking);
  const std::uint64_t x = Floats(stream, {1, 2, 3, 4, 5, 6});
  const std::uint64_t sum = Floats(stream, {100});
  const DnnReduceTensor words{{Packed({1, 2, 1, 3}), x}, One(sum), kReduceAdd, 0, 0, {2, 1}};
  for (int i = 0; i < 3; ++i) ASSERT_EQ(Post(stream, words), 0u);
  EXPECT_EQ(ReadFloat(sum), 100 + 3 * 2 * 21);
}

// Its lengths and windows are a tail behind the words, and its lengths are the device's as well.
TEST_P(DnnTest, AnAttentionStandsBetweenTheCopiesBeforeAndBehindIt) {
  Stream* stream = NewStream(wire::StreamKind::NonBlocking);
  DnnAttentionForward words;
  words.attention.heads = 1;
  words.attention.scale = 1;
  words.attention.query_size = words.attention.key_size = words.attention.value_size = 2;
  words.attention.query_steps = words.attention.key_steps = 2;
  words.attention.batch = words.attention.beams = 1;
  std::uint32_t status = 999;
  Bytes results;
  ASSERT_EQ(session().AskLibrary(kLibraryDnn, kDnnFunction<DnnAttentionSizes>, 0,
                                 Arguments(DnnAttentionSizes{words.attention, 0}), &status, &results),
            0u);
  ASSERT_EQ(status, 0u);
  DnnAttentionBytes bytes;
  ASSERT_EQ(results.size(), sizeof(bytes));
  std::memcpy(static_cast<void*>(&bytes), results.data(), sizeof(bytes));
  EXPECT_EQ(bytes.weights, 0u) << "nothing is projected";
  if (bytes.workspace != 0) words.workspace = {Malloc(bytes.workspace), bytes.workspace};
  const auto data = [](std::uint64_t address) {
    return DnnSequenceData{0, 0, {2, 1, 1, 2}, {2, 1, 0, 3}, 0, address};  // beams, batch, time
  };
  words.queries = data(Floats(stream, {1, 2, 3, 4}));
  words.keys = data(Floats(stream, {0, 0, 0, 0}));  // all alike
  words.values = data(Zeros(4 * sizeof(float)));
  words.result = data(Floats(stream, {-1, -1, -1, -1}));
  // Windows as a run of two steps: both keys, and the second one alone.
  const std::array<std::int32_t, 8> tail{2, 2, 2, 0, 1, 2, 0, 0};
  words.tail_words = tail.size() / 2;
  words.query_lengths = words.key_lengths = Zeros(sizeof(std::int32_t));
  Bytes arguments = Arguments(words);
  const ByteView behind = AsBytes(tail);
  arguments.insert(arguments.end(), behind.begin(), behind.end());
  for (int round = 1; round <= 2; ++round) {
    const std::array<float, 4> values{1, 10, 3, static_cast<float>(20 * round)};
    std::array<float, 4> out{};
    ASSERT_EQ(session().CopyToDevice(stream, words.values.address, values.data(), sizeof(values), false), 0u);
    ASSERT_EQ(session().CopyToDevice(stream, words.query_lengths, tail.data(), sizeof(std::int32_t), false), 0u);
    ASSERT_EQ(session().PostLibrary(stream, kLibraryDnn, kDnnFunction<DnnAttentionForward>, settings_, arguments), 0u);
    ASSERT_EQ(session().CopyToHost(stream, out.data(), words.result.address, sizeof(out), true), 0u);
    EXPECT_EQ(out, (std::array<float, 4>{2, 5 + 10 * static_cast<float>(round), 3, 20 * static_cast<float>(round)}));
  }
}

TEST_P(DnnTest, ScalarsAreOfTheResultsType) {
  Stream* stream = NewStream(wire::StreamKind::NonBlocking);
  const std::uint64_t x = Zeros(sizeof(double));
  double value = 3;
  ASSERT_EQ(session().CopyToDevice(stream, x, &value, sizeof(value), true), 0u);
  DnnScaleTensor words{One(x), 1 + 0x1p-40};
  words.y.tensor.type = kDouble;
  ASSERT_EQ(Post(stream, words), 0u);
  ASSERT_EQ(session().CopyToHost(stream, &value, x, sizeof(value), true), 0u);
  EXPECT_EQ(value, 3 * (1 + 0x1p-40));
}

TEST_P(DnnTest, EventsOrderCallsOfSeveralStreams) { EventsOrderCalls(); }

TEST_P(DnnTest, ACallThatWaitsHoldsUpNoOtherStreamAndNoQuestion) {
  AHeldCallHoldsUpNoOther([this] {
    std::vector<DnnAlgorithm> found;
    EXPECT_EQ(Ask(Question(), &found), 0u);
  });
}

TEST_P(DnnTest, TheLegacyRuleHoldsForCalls) { TheLegacyRuleHolds(); }

TEST_P(DnnTest, AParkedStreamRunsAllOfItsCalls) { AParkedStreamRunsAll(); }

TEST_P(DnnTest, CapturedCallsRunWithEachLaunch) {
  Stream* stream = NewStream(wire::StreamKind::NonBlocking);
  const std::uint64_t x = Floats(stream, {1});
  const std::uint64_t y = Floats(stream, {3});
  ASSERT_EQ(session().captures().Begin(stream, CaptureMode::kRelaxed, nullptr, {}), 0u);
  ASSERT_EQ(Scale(stream, 2, y), 0u);
  ASSERT_EQ(Add(stream, x, y), 0u);
  Graph* captured = nullptr;
  ASSERT_EQ(session().captures().End(stream, &captured), 0u);
  const std::unique_ptr<Graph> graph(captured);
  EXPECT_EQ(ReadFloat(y), 3) << "a captured call has run";
  ASSERT_EQ(graph->nodes().size(), 2u);
  EXPECT_EQ(graph->nodes()[1]->kind(), GraphNodeKind::kLibrary);
  std::unique_ptr<GraphExec> exec;
  GraphNode* offending = nullptr;
  ASSERT_EQ(session().InstantiateGraph(*graph, 0, &exec, &offending), 0u);
  ASSERT_EQ(session().DefineGraph(exec.get()), 0u);
  float wanted = 3;
  for (int round = 0; round < 4; ++round) {
    const std::uint64_t before = Posts();
    ASSERT_EQ(session().LaunchGraph(stream, exec.get()), 0u);
    EXPECT_EQ(Posts() - before, 1u);
    wanted = 2 * wanted + 1;
    EXPECT_EQ(ReadFloat(y), wanted);
  }
  EXPECT_EQ(session().EndGraph(std::move(exec)), 0u);
}

// y = relu(x + b), of four floats, and at most PlanWords::kClip.
Bytes SumPlan() {
  PlanWords plan;
  const std::int64_t x = plan.Row(1, 4), b = plan.Row(2, 4), sum = plan.Virtual(3, 4), y = plan.Row(4, 4);
  const std::int64_t add = plan.Pointwise(CUDNN_POINTWISE_ADD, x, b, sum);
  return plan.Graph({plan.Pointwise(CUDNN_POINTWISE_RELU_FWD, sum, -1, y), add});
}

TEST_P(DnnTest, AGraphIsAskedAboutAndItsPlanRuns) {
  Stream* stream = NewStream(wire::StreamKind::NonBlocking);
  const Bytes plan = SumPlan();
  std::uint32_t status = 999, settings = 0;
  Bytes results;
  for (int i = 0; i < 2; ++i) {
    ASSERT_EQ(session().AskLibrary(kLibraryDnn, kDnnFunction<DnnGraphQuery>, 0,
                                   PlanWords::Arguments(DnnGraphQuery{}, plan), &status, &results),
              0u);
    ASSERT_EQ(status, 0u) << AsText(results);
    ASSERT_EQ(results.size(), sizeof(DnnGraphAnswer));
  }
  DnnGraphAnswer answer;
  std::memcpy(&answer, results.data(), sizeof(answer));
  EXPECT_GE(answer.engines, 1);
  const std::uint64_t workspace = Zeros(std::max<std::uint64_t>(answer.workspace_bytes, 4));
  const std::uint64_t x = Floats(stream, {1, -2, 3, -4}), b = Floats(stream, {10, 0, -20, 4}), y = Zeros(16);
  ASSERT_EQ(session().LibrarySettings(kLibraryDnn, plan, &settings), 0u);
  const auto post = [&](std::uint64_t to) {
    const PlanWords::Words pairs{1, static_cast<std::int64_t>(x), 2, static_cast<std::int64_t>(b),
                                 4, static_cast<std::int64_t>(to)};
    return session().PostLibrary(stream, kLibraryDnn, kDnnFunction<DnnGraphExecute>, settings,
                                 PlanWords::Execution(pairs, workspace));
  };
  for (int round = 0; round < 3; ++round) {
    ASSERT_EQ(post(y), 0u);
    EXPECT_EQ(ReadFloat(y), 11);
    EXPECT_EQ(ReadFloat(y + 4), 0);
    EXPECT_EQ(ReadFloat(y + 8), 0);
    EXPECT_EQ(ReadFloat(y + 12), 0);
    ASSERT_EQ(Scale(stream, 0, y, 4), 0u) << "between executions";
    ASSERT_EQ(ReadFloat(y), 0);
  }
  // In a graph of CUDA's, and behind itself.
  ASSERT_EQ(session().captures().Begin(stream, CaptureMode::kRelaxed, nullptr, {}), 0u);
  for (int i = 0; i < 3; ++i) ASSERT_EQ(post(b), 0u);
  Graph* captured = nullptr;
  ASSERT_EQ(session().captures().End(stream, &captured), 0u);
  const std::unique_ptr<Graph> graph(captured);
  std::unique_ptr<GraphExec> exec;
  GraphNode* offending = nullptr;
  ASSERT_EQ(session().InstantiateGraph(*graph, 0, &exec, &offending), 0u);
  ASSERT_EQ(session().DefineGraph(exec.get()), 0u);
  for (int i = 0; i < 2; ++i) ASSERT_EQ(session().LaunchGraph(stream, exec.get()), 0u);
  EXPECT_EQ(ReadFloat(b), PlanWords::kClip) << "six times one more than 10, and no more";
  EXPECT_EQ(session().EndGraph(std::move(exec)), 0u);
}

TEST_P(DnnTest, AGraphThatNobodyRunsIsRefusedByName) {
  expect_errors_ = true;
  Stream* stream = NewStream(wire::StreamKind::NonBlocking);
  PlanWords words;
  const std::int64_t x = words.Row(1, 4);
  const Bytes plan = words.Graph({words.Pointwise(9999, x, -1, words.Row(2, 4))});
  std::uint32_t status = 0, settings = 0;
  Bytes results;
  ASSERT_EQ(session().AskLibrary(kLibraryDnn, kDnnFunction<DnnGraphQuery>, 0,
                                 PlanWords::Arguments(DnnGraphQuery{}, plan), &status, &results),
            0u);
  EXPECT_EQ(status, static_cast<std::uint32_t>(CUDNN_STATUS_NOT_SUPPORTED_GRAPH_PATTERN));
  EXPECT_FALSE(results.empty()) << "why, for people";
  ASSERT_EQ(session().LibrarySettings(kLibraryDnn, plan, &settings), 0u);
  const std::uint64_t memory = Zeros(64);
  const auto at = static_cast<std::int64_t>(memory);
  ASSERT_EQ(session().PostLibrary(stream, kLibraryDnn, kDnnFunction<DnnGraphExecute>, settings,
                                  PlanWords::Execution({1, at, 2, at + 32}, memory)),
            0u);
  ASSERT_EQ(session().Synchronize(*stream), 0u);
  EXPECT_NE(session().TakeAsyncError(), 0u);
  EXPECT_EQ(session().StickyError(), 0u);
}

TEST_P(DnnTest, AQuestionOfWhatIsNoConvolutionIsAnswered) {
  std::vector<DnnAlgorithm> found;
  const auto status_with = [&](auto change) {
    DnnFindAlgorithms words = Question();
    change(words);
    return Ask(words, &found);
  };
  EXPECT_EQ(status_with([](DnnFindAlgorithms& words) { words.direction = 7; }), kBadParam);
  EXPECT_EQ(status_with([](DnnFindAlgorithms& words) { words.y.dims[3] = 3; }), kBadParam);
  EXPECT_EQ(status_with([](DnnFindAlgorithms& words) { words.x.rank = kDnnDimensionsMax + 1; }), kBadParam);
  EXPECT_EQ(status_with([](DnnFindAlgorithms& words) { words.w.rank = -1; }), kBadParam);
  EXPECT_EQ(status_with([](DnnFindAlgorithms& words) { words.convolution.rank = kDnnSpatialMax + 1; }), kBadParam);
  EXPECT_EQ(Ask(Question(), &found), 0u) << "and the session goes on";
}

TEST_P(DnnTest, ACallOfWrongArgumentsFailsAlone) {
  expect_errors_ = true;
  Stream* stream = NewStream(wire::StreamKind::NonBlocking);
  const std::uint64_t x = Floats(stream, {1, 2, 3, 4});
  DnnActivationForward words{{Packed({1, 1, 1, 4}), x}, {Packed({1, 1, 2, 2}), x}, {}, {}};
  words.activation.mode = 1;  // ReLU
  ASSERT_EQ(Post(stream, words), 0u) << "told later";
  ASSERT_EQ(session().Synchronize(*stream), 0u);
  EXPECT_EQ(session().TakeAsyncError(), kInvalidValue);
  EXPECT_EQ(session().TakeAsyncError(), 0u);
  ASSERT_EQ(Scale(stream, 2, x, 4), 0u);
  EXPECT_EQ(ReadFloat(x), 2);
}

TEST_P(DnnTest, WordsThatNoClientSaysEndNothing) {
  expect_errors_ = true;
  Stream* stream = NewStream(wire::StreamKind::NonBlocking);
  const std::uint64_t x = Floats(stream, {1, 2, 3, 4});
  DnnActivationForward words{{Packed({1, 1, 1, 4}), x}, {Packed({1, 1, 1, 4}), x}, {}, {}};
  for (const std::int32_t rank : {-1, 0, kDnnDimensionsMax + 1, std::numeric_limits<std::int32_t>::max()}) {
    words.y.tensor.rank = rank;
    ASSERT_EQ(Post(stream, words), 0u);
  }
  DnnPoolingForward pooling{words.x, words.x, {}, {}};
  for (const std::int32_t rank : {-1, kDnnSpatialMax + 1, std::numeric_limits<std::int32_t>::min()}) {
    pooling.pooling.rank = rank;
    ASSERT_EQ(Post(stream, pooling), 0u);
  }
  ASSERT_EQ(session().Synchronize(*stream), 0u);
  EXPECT_EQ(session().TakeAsyncError(), kInvalidValue) << "the first is told";
  EXPECT_EQ(session().StickyError(), 0u);
  ASSERT_EQ(Scale(stream, 2, x, 4), 0u);
  EXPECT_EQ(ReadFloat(x), 2);
}

TEST_P(DnnTest, AnOperandOutsideOfMemoryEndsTheContext) {
  expect_errors_ = true;
  Stream* stream = NewStream(wire::StreamKind::NonBlocking);
  const std::uint64_t x = Floats(stream, {1});
  ASSERT_EQ(Add(stream, 64, x), 0u);
  EXPECT_EQ(session().Synchronize(*stream), 0u);
  EXPECT_EQ(session().StickyError(), kIllegalAddress);
}

TEST_P(DnnTest, HandlesServeOneStreamAfterTheOther) { HandlesServeStreamsInTurn(); }

INSTANTIATE_TEST_SUITE_P(Transports, DnnTest, ::testing::ValuesIn(AllSettings()), NameOfSetting);

}  // namespace
}  // namespace accelmesh::conformance
