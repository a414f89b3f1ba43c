// cuDNN behind the cuda backend's interface, on contract libraries: what a session cannot see.
#include <gmock/gmock.h>

#include <array>

#include "protocol/library/dnn_calls.h"
#include "tests/contract/libcudnn/control.h"
#include "tests/unit/server/backend/cuda/library_backend.h"

namespace accelmesh {
namespace {

using ::testing::HasSubstr;

constexpr std::int32_t kCrossCorrelation = 1;
constexpr std::uint32_t kNotSupported = 3000;     // CUDNN_STATUS_NOT_SUPPORTED
constexpr std::uint32_t kBadParam = 2000;         // CUDNN_STATUS_BAD_PARAM
constexpr std::uint32_t kExecutionFailed = 5000;  // CUDNN_STATUS_EXECUTION_FAILED

class CudaDnnTest : public LibraryBackendTest {
 protected:
  void SetUp() override {
    ::setenv("ACCELMESH_LIBCUDNN", ACCELMESH_CONTRACT_LIBCUDNN, 1);
    LibraryBackendTest::SetUp();
  }
  void TearDown() override {
    LibraryBackendTest::TearDown();
    EXPECT_EQ(Last().handles, 0);
  }
  Result<Bytes> Open(std::uint32_t device = 0) { return LibraryBackendTest::Open(kLibraryDnn, device); }
  template <typename Words>
  static LibraryJob Job(const Words& words, std::uint32_t device = 0) {
    LibraryJob job;
    job.device = device;
    job.library = kLibraryDnn;
    job.function = kDnnFunction<Words>;
    job.settings = std::make_shared<const Bytes>();
    job.arguments.resize(sizeof(std::uint64_t) + sizeof(words));
    std::memcpy(job.arguments.data() + sizeof(std::uint64_t), static_cast<const void*>(&words), sizeof(words));
    return job;
  }
  template <typename Answer, typename Words>
  Answer AskFor(const Words& words) {
    Answer answer;
    const LibraryAnswer said = Ask(Job(words));
    EXPECT_EQ(said.status, 0u);
    EXPECT_EQ(said.results.size(), sizeof(answer));
    std::memcpy(static_cast<void*>(&answer), said.results.data(), std::min(said.results.size(), sizeof(answer)));
    return answer;
  }
  // Of floats, without gaps.
  static DnnTensor Packed(const std::array<std::int32_t, 4>& dims) {
    DnnTensor tensor;
    tensor.rank = 4;
    std::int32_t stride = 1;
    for (std::size_t d = dims.size(); d-- > 0;) {
      tensor.dims[d] = dims[d];
      tensor.strides[d] = stride;
      stride *= dims[d];
    }
    return tensor;
  }
  static LibraryJob Scale(std::int32_t count = 4, double by = 2, std::uint64_t at = kWindow, std::uint32_t device = 0) {
    return Job(DnnScaleTensor{{Packed({1, 1, 1, count}), at}, by}, device);
  }
  static LibraryJob Sum(std::int32_t count = 4) {
    return Job(
        DnnReduceTensor{{Packed({1, 1, 1, count}), kWindow}, {Packed({1, 1, 1, 1}), kWindow + 2048}, 0, 0, 0, {1, 0}});
  }
  static DnnFindAlgorithms Question() {
    DnnFindAlgorithms words;
    words.x = Packed({1, 1, 3, 3});
    words.w = Packed({1, 1, 2, 2});
    words.y = Packed({1, 1, 2, 2});
    words.convolution.rank = 2;
    words.convolution.mode = kCrossCorrelation;
    for (int d = 0; d < 2; ++d) words.convolution.strides[d] = words.convolution.dilations[d] = 1;
    return words;
  }
  static contract_dnn_state Last() {
    contract_dnn_state state{};
    Find<decltype(contract_dnn_last)>(ACCELMESH_CONTRACT_LIBCUDNN, "contract_dnn_last")(&state);
    return state;
  }
};

// What is on the wire and not in the server's library is refused by name: the client looks at these bits
// before it posts.
TEST_F(CudaDnnTest, TheFunctionsThatThereAreAreSaid) {
  void* const contract = ::dlopen(ACCELMESH_CONTRACT_LIBCUDNN, RTLD_NOW | RTLD_LOCAL);
  const Result<Bytes> functions = Open();
  ASSERT_TRUE(functions.ok()) << functions.status().ToString();
  int said = 0;
  for (std::uint32_t f = 0; f < LibraryFunctions(kLibraryDnn); ++f) {
    const std::string name = LibraryFunctionName(kLibraryDnn, f);
    const bool has_library = ::dlsym(contract, name.c_str()) != nullptr;
    EXPECT_EQ(HasBit(*functions, f), has_library) << name;
    said += HasBit(*functions, f) ? 1 : 0;
  }
  EXPECT_GE(said, 49);
  EXPECT_EQ(Last().handles, 1) << "made while somebody waits anyway";
}

TEST_F(CudaDnnTest, AServerWithoutTheLibrarySaysSo) {
  ::setenv("ACCELMESH_LIBCUDNN", "/nowhere/libcudnn.so.9", 1);
  const Result<Bytes> functions = Open();
  EXPECT_EQ(functions.status().code(), Code::kUnsupported);
  EXPECT_THAT(functions.status().text(), HasSubstr("/nowhere/libcudnn.so.9"));
  ::setenv("ACCELMESH_LIBCUDNN", ACCELMESH_CONTRACT_LIBCUDA, 1);
  EXPECT_THAT(Open().status().text(), HasSubstr("lacks cudnnCreate, cudnnDestroy"));
}

TEST_F(CudaDnnTest, OnlyWhatAHandleHasCalledBeforeIsCalledFromTheExecutor) {
  ASSERT_TRUE(Open().ok());
  CONTRACT(contract_delay_launches)(20000);
  EXPECT_TRUE(Stops(a_, Scale())) << "no handle, and nothing is known";
  EXPECT_FALSE(Stops(a_, Scale()));
  EXPECT_FALSE(Stops(a_, Scale(4, 3))) << "another scalar is no other problem";
  EXPECT_TRUE(Stops(a_, Scale(4, 0))) << "but a scalar of 0 may be";
  EXPECT_FALSE(Stops(a_, Scale(4, 2, kWindow + 256))) << "nor is another address";
  EXPECT_TRUE(Stops(a_, Scale(4, 2, kWindow + 4))) << "unless it is aligned otherwise";
  EXPECT_TRUE(Stops(a_, Scale(5))) << "another size is";
  EXPECT_FALSE(Stops(a_, Scale(5)));
  EXPECT_TRUE(Stops(b_, Scale(5))) << "another stream's handle has plans of its own";
  EXPECT_FALSE(Stops(b_, Scale(5)));
}

TEST_F(CudaDnnTest, AStreamHasAHandleAndTheNextOneTakesItAsItIs) {
  ASSERT_TRUE(Open().ok());
  for (const std::uint32_t stream : {a_, b_}) {
    Call(stream, Scale());
    ASSERT_TRUE(Finishes(stream));
  }
  EXPECT_EQ(Last().handles, 2);
  void* const before = Last().stream;
  CONTRACT(contract_delay_launches)(20000);
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(backend_->StreamDestroy(b_).ok());
    ASSERT_TRUE(backend_->StreamCreate(b_, 0, kNonBlocking, 0).ok());
    ASSERT_TRUE(Open().ok()) << "behind what the thread had to do";
    EXPECT_TRUE(Stops(b_, Scale(7 + i))) << "it has no handle yet";
    EXPECT_FALSE(Stops(b_, Scale())) << "what the handle knew before";
  }
  EXPECT_EQ(Last().handles, 2);
  EXPECT_NE(Last().stream, before);
}

TEST_F(CudaDnnTest, AQuestionTakesNoStreamsHandle) {
  ASSERT_TRUE(Open().ok());
  Call(a_, Scale());
  ASSERT_TRUE(Finishes(a_));
  EXPECT_EQ(Last().handles, 1);
  EXPECT_EQ(Ask(Job(Question())).status, 0u);
  EXPECT_EQ(Last().handles, 2);
  Call(b_, Scale());
  ASSERT_TRUE(Finishes(b_));
  EXPECT_EQ(Last().handles, 2) << "which the next stream takes";
}

TEST_F(CudaDnnTest, EachDeviceHasHandlesOfItsOwn) {
  ASSERT_TRUE(Open().ok());
  ASSERT_TRUE(Open(1).ok());
  EXPECT_EQ(Last().handles, 2);
  ASSERT_TRUE(backend_->MemAlloc(1, other_window_, 4096).ok());
  FillJob fill{other_window_, 4096, 4096, 4096};
  ASSERT_TRUE(backend_->Fill(1, ++sequence_, fill).ok());
  for (int i = 0; i < 2; ++i) {
    Call(a_, Scale());
    ASSERT_TRUE(Finishes(a_));
    Call(1, Scale(4, 2, other_window_, 1));
    ASSERT_TRUE(Finishes(1));
  }
  EXPECT_TRUE(sink_.failures().empty());
}

TEST_F(CudaDnnTest, TheProgramsWorkspaceIsTheConvolutions) {
  ASSERT_TRUE(Open().ok());
  const DnnFindAlgorithms question = Question();
  const LibraryAnswer answer = Ask(Job(question));
  ASSERT_EQ(answer.results.size() % sizeof(DnnAlgorithm), 0u);
  std::vector<DnnAlgorithm> found(answer.results.size() / sizeof(DnnAlgorithm));
  std::memcpy(found.data(), answer.results.data(), answer.results.size());
  ASSERT_GE(found.size(), 2u);
  EXPECT_EQ(found[1].workspace_bytes, CONTRACT_DNN_WORKSPACE_BYTES + 0u);
  DnnConvolutionForward words;
  words.x = {question.x, kWindow};
  words.w = {question.w, kWindow + 512};
  words.y = {question.y, kWindow + 1024};
  words.convolution = question.convolution;
  words.algorithm = found[1].algorithm;
  words.workspace = kWindow + 2048;
  words.workspace_bytes = found[1].workspace_bytes;
  for (int i = 0; i < 2; ++i) {
    Call(a_, Job(words));
    ASSERT_TRUE(Finishes(a_));
    EXPECT_EQ(Last().workspace, words.workspace);
    EXPECT_EQ(Last().workspace_bytes, words.workspace_bytes);
  }
  EXPECT_TRUE(sink_.failures().empty());
  words.workspace_bytes -= 1;
  Call(a_, Job(words));
  ASSERT_TRUE(Finishes(a_));
  ASSERT_EQ(sink_.failures().size(), 1u);
  EXPECT_EQ(sink_.failures().front().text, "cudnnConvolutionForward: CUDNN_STATUS_BAD_PARAM (2000)");
}

TEST_F(CudaDnnTest, AReductionHasAWorkspaceOfItsStreams) {
  ASSERT_TRUE(Open().ok());
  const unsigned long long before = CONTRACT(contract_calls)("cuMemAlloc");
  CONTRACT(contract_delay_launches)(20000);
  EXPECT_TRUE(Stops(a_, Sum())) << "memory is made";
  const std::uint64_t room = Last().workspace;
  EXPECT_NE(room, 0u);
  EXPECT_EQ(Last().workspace_bytes, CONTRACT_DNN_REDUCTION_BYTES + 0u);
  EXPECT_FALSE(Stops(a_, Sum()));
  EXPECT_TRUE(Stops(a_, Sum(5)));
  EXPECT_EQ(Last().workspace, room);
  EXPECT_EQ(CONTRACT(contract_calls)("cuMemAlloc"), before + 1) << "once";
  EXPECT_TRUE(Stops(b_, Sum()));
  EXPECT_NE(Last().workspace, room) << "both may run at once";
  EXPECT_TRUE(sink_.failures().empty());
}

TEST_F(CudaDnnTest, WithoutMemoryForItACallFailsAlone) {
  ASSERT_TRUE(Open().ok());
  Call(a_, Scale());
  ASSERT_TRUE(Finishes(a_));
  CONTRACT(contract_inject_error)("cuMemAlloc", 1, 2);  // CUDA_ERROR_OUT_OF_MEMORY
  Call(a_, Sum());
  ASSERT_TRUE(Finishes(a_));
  ASSERT_EQ(sink_.failures().size(), 1u);
  EXPECT_EQ(sink_.failures().front().status, kDeviceOutOfMemory);
  EXPECT_FALSE(sink_.failures().front().sticky);
  CONTRACT(contract_delay_launches)(20000);
  EXPECT_TRUE(Stops(a_, Sum())) << "it has not run yet";
  EXPECT_EQ(sink_.failures().size(), 1u);
}

TEST_F(CudaDnnTest, AlgorithmsAreThoseOfTheLibrary) {
  ASSERT_TRUE(Open().ok());
  const long long before = Last().questions;
  const LibraryAnswer first = Ask(Job(Question()));
  EXPECT_EQ(first.status, 0u);
  EXPECT_FALSE(first.results.empty());
  EXPECT_EQ(Ask(Job(Question())).results, first.results);
  EXPECT_EQ(Last().questions, before + 2) << "the session remembers";
  DnnFindAlgorithms other = Question();
  other.direction = 2;
  EXPECT_EQ(Ask(Job(other)).status, 0u);
  other.y.dims[3] = 3;
  EXPECT_EQ(Ask(Job(other)).status, kBadParam);
  EXPECT_EQ(Last().questions, before + 4);
}

TEST_F(CudaDnnTest, AnswersAreOfALibraryItsDeviceAndWhatTunesIt) {
  const std::string first = Identity(kLibraryDnn);
  EXPECT_NE(first.find(ACCELMESH_CONTRACT_LIBCUDNN), std::string::npos) << first;
  EXPECT_EQ(Identity(kLibraryDnn, 1), first);
  Stop();
  ::setenv("CUDNN_FRONTEND_ATTN_DP_WORKSPACE_LIMIT", "1", 1);
  Start();
  EXPECT_NE(Identity(kLibraryDnn), first);
  ::unsetenv("CUDNN_FRONTEND_ATTN_DP_WORKSPACE_LIMIT");
}

TEST_F(CudaDnnTest, WhatIsNotOpenIsNotAsked) {
  EXPECT_EQ(Ask(Job(Question())).status, kNotSupported);
  ASSERT_TRUE(Open().ok());
  DnnFindAlgorithms words = Question();
  words.direction = 3;
  EXPECT_EQ(Ask(Job(words)).status, kBadParam);
}

// It launches more than a stream may hold, each time.
TEST_F(CudaDnnTest, ARecurrentNetworkIsNeverCalledFromTheExecutor) {
  ASSERT_TRUE(Open().ok());
  DnnRnn rnn;
  rnn.cell = 1;  // tanh
  rnn.bias = 2;  // two
  rnn.input_size = rnn.hidden_size = rnn.projection_size = 4;
  rnn.layers = 2;
  rnn.flags = 1;  // gaps between sequences
  const auto bytes = AskFor<DnnRnnBytes>(DnnRnnSizes{rnn, 0, 0, 3, 2});
  const auto places = AskFor<DnnRnnPlaces>(DnnRnnWeights{rnn, 1});
  EXPECT_GE(places.bytes, 2 * (2 * 16 + 2 * 4) * sizeof(float));
  EXPECT_NE(places.linear_layers[1].matrix, kDnnNoPlace);
  ASSERT_LE(places.bytes, 1024u);
  ASSERT_LE(bytes.workspace, 1024u);
  DnnRnnForward words;
  words.tail_words = 1;
  words.rnn = rnn;
  words.x = {0, 0, 3, 2, 4, 0, 0, kWindow};
  words.y = {0, 0, 3, 2, 4, 0, 0, kWindow + 1024};
  words.weights = {kWindow + 2048, places.bytes};
  words.workspace = {kWindow + 3072, bytes.workspace};
  LibraryJob job = Job(words);
  const std::array<std::int32_t, 2> lengths{3, 3};
  const ByteView tail = AsBytes(lengths);
  job.arguments.insert(job.arguments.end(), tail.begin(), tail.end());
  CONTRACT(contract_delay_launches)(20000);
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(Stops(a_, job));
  EXPECT_TRUE(sink_.failures().empty()) << sink_.failures().front().text;
}

TEST_F(CudaDnnTest, DropoutDrawsFromTheProgramsStates) {
  ASSERT_TRUE(Open().ok());
  const auto bytes = AskFor<DnnDropoutBytes>(DnnDropoutSizes{});
  const std::uint64_t states = kWindow + (1 << 20);
  ASSERT_TRUE(backend_->MemAlloc(0, states, bytes.states).ok());
  const DnnDropout dropout{0.5, states, bytes.states, 7};
  const DnnDropoutForward forward{
      {Packed({1, 1, 1, 32}), kWindow}, {Packed({1, 1, 1, 32}), kWindow + 512}, dropout, {kWindow + 1024, 4}};
  CONTRACT(contract_delay_launches)(20000);
  for (int i = 0; i < 2; ++i) EXPECT_TRUE(Stops(a_, Job(DnnDropoutSeed{dropout}))) << "it may wait each time";
  EXPECT_TRUE(Stops(a_, Job(forward)));
  EXPECT_FALSE(Stops(a_, Job(forward)));
  EXPECT_TRUE(sink_.failures().empty()) << sink_.failures().front().text;
}

TEST_F(CudaDnnTest, AStatusIsTold) {
  ASSERT_TRUE(Open().ok());
  DnnScaleTensor words{{Packed({1, 1, 1, 4}), kWindow}, 2};
  words.y.tensor.rank = kDnnDimensionsMax + 1;
  Call(a_, Job(words));
  ASSERT_TRUE(Finishes(a_));
  words.y.tensor.rank = 4;
  words.y.tensor.type = 3;  // CUDNN_DATA_INT8
  Call(a_, Job(words));
  ASSERT_TRUE(Finishes(a_));
  ASSERT_EQ(sink_.failures().size(), 2u);
  EXPECT_EQ(sink_.failures()[0].status, kDeviceInvalidValue);
  EXPECT_FALSE(sink_.failures()[0].sticky);
  EXPECT_EQ(sink_.failures()[0].text, "cudnnScaleTensor: CUDNN_STATUS_BAD_PARAM (2000)");
  EXPECT_EQ(sink_.failures()[1].status, kDeviceNotSupported);
  EXPECT_EQ(sink_.failures()[1].text, "cudnnScaleTensor: CUDNN_STATUS_NOT_SUPPORTED (3000)");
}

TEST_F(CudaDnnTest, BehindALossCallsEndAndQuestionsFail) {
  ASSERT_TRUE(Open().ok());
  Call(a_, Scale(4, 2, 64));
  ASSERT_TRUE(Finishes(a_));
  ASSERT_EQ(sink_.failures().size(), 1u);
  EXPECT_EQ(sink_.failures().front().status, kDeviceIllegalAddress);
  EXPECT_TRUE(sink_.failures().front().sticky);
  EXPECT_THAT(sink_.failures().front().text, HasSubstr("cudnnScaleTensor"));
  Call(b_, Scale());
  ASSERT_TRUE(Finishes(b_));
  EXPECT_EQ(Ask(Job(Question())).status, kExecutionFailed);
  EXPECT_FALSE(Open().ok());
}

}  // namespace
}  // namespace accelmesh
