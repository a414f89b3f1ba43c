// Functions of cuDNN: calls as commands of their streams and as nodes of graphs, questions that wait for none. The same
// on every backend that has them.
#include <array>
#include <cstring>
#include <limits>

#include "protocol/library/dnn_calls.h"
#include "shim/core/capture.h"
#include "shim/core/graph_exec.h"
#include "tests/conformance/session/world.h"

namespace accelmesh::conformance {
namespace {

constexpr int kWatchMs = 40;
constexpr int kPatienceMs = 20000;
constexpr std::uint32_t kInvalidValue = 1;
constexpr std::uint32_t kIllegalAddress = 700;
constexpr std::uint32_t kBadParam = 2000;  // CUDNN_STATUS_BAD_PARAM
// Enumerators of cudnn_ops.h and cudnn_cnn.h.
constexpr std::int32_t kDouble = 1;
constexpr std::int32_t kCrossCorrelation = 1;
constexpr std::int32_t kReduceAdd = 0;
// More calls than a backend takes of one stream.
constexpr int kMoreThanFit = 2 * static_cast<int>(limits::kStreamInFlightMax);

class DnnTest : public SessionTest {
 protected:
  void SetUp() override {
    SessionTest::SetUp();
    if (HasFatalFailure()) return;
    if (ACCELMESH_HAS_DNN == 0) GTEST_SKIP() << "built without oneDNN, and so without a cuDNN to call";
    ASSERT_EQ(session().OpenLibrary(kLibraryDnn, 0, &functions_), 0u);
    ASSERT_EQ(session().LibrarySettings(kLibraryDnn, {}, &settings_), 0u);
    module();
    gate_ = Zeros(4);
    opener_ = NewStream(wire::StreamKind::NonBlocking);
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
  DeviceResult Add(Stream* stream, std::uint64_t x, std::uint64_t y) {
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
  std::uint64_t Floats(Stream* stream, const std::vector<float>& values) {
    const std::uint64_t address = Zeros(values.size() * sizeof(float));
    EXPECT_EQ(session().CopyToDevice(stream, address, values.data(), values.size() * sizeof(float), true), 0u);
    EXPECT_EQ(session().Synchronize(*stream), 0u);  // other streams count on it
    return address;
  }
  float ReadFloat(std::uint64_t address) {
    const std::uint32_t bits = Read32(address);
    float value = 0;
    std::memcpy(&value, &bits, sizeof(value));
    return value;
  }
  void OpenGate() { Launch(opener_, "open_gate", {gate_}); }
  std::uint64_t Posts() { return session().commands().statistics().posts.load(); }

  std::shared_ptr<const Bytes> functions_;
  std::uint32_t settings_ = 0;
  std::uint64_t gate_ = 0;
  Stream* opener_ = nullptr;
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

TEST_P(DnnTest, EventsOrderCallsOfSeveralStreams) {
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

TEST_P(DnnTest, ACallThatWaitsHoldsUpNoOtherStreamAndNoQuestion) {
  Stream* held = NewStream(wire::StreamKind::NonBlocking);
  Stream* other = NewStream(wire::StreamKind::NonBlocking);
  const std::uint64_t x = Floats(other, {1});
  const std::uint64_t y = Floats(other, {0});
  const std::uint64_t z = Floats(other, {0});
  Launch(held, "wait_gate", {gate_});
  ASSERT_EQ(Add(held, x, y), 0u);
  for (int i = 0; i < 3; ++i) ASSERT_EQ(Add(other, x, z), 0u);
  EXPECT_TRUE(IdleWithin(*other, kPatienceMs));
  std::vector<DnnAlgorithm> found;
  EXPECT_EQ(Ask(Question(), &found), 0u);
  EXPECT_FALSE(session().Idle(*held));
  OpenGate();
  EXPECT_EQ(ReadFloat(y), 1);
  EXPECT_EQ(ReadFloat(z), 3);
}

TEST_P(DnnTest, TheLegacyRuleHoldsForCalls) {
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

TEST_P(DnnTest, AParkedStreamRunsAllOfItsCalls) {
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

TEST_P(DnnTest, HandlesServeOneStreamAfterTheOther) {
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

INSTANTIATE_TEST_SUITE_P(Transports, DnnTest, ::testing::ValuesIn(AllSettings()), NameOfSetting);

}  // namespace
}  // namespace accelmesh::conformance
