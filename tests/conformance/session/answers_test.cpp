// What libraries have answered need not be asked again: the next session against the same server's memory is told when
// it opens the library. The same on every backend that has the library.
#include <cstring>
#include <filesystem>
#include <fstream>
#include <tuple>

#include "protocol/library/dnn_calls.h"
#include "protocol/library/lt_problem.h"
#include "tests/conformance/session/world.h"
#include "tests/unit/protocol/library/plan_words.h"

namespace accelmesh::conformance {
namespace {

constexpr unsigned kTestSeconds = 60;
// Enumerators of cublasLt.h and cudnn_cnn.h.
constexpr std::int64_t kComputeFloat = 68;
constexpr std::int64_t kFillFull = 2;
constexpr std::int64_t kEpilogueDefault = 1;
constexpr std::int32_t kCrossCorrelation = 1;

struct Question {
  std::uint32_t library = 0;
  std::uint32_t function = 0;
  Bytes arguments;
};
// What a session heard, and what it cost.
struct Heard {
  std::vector<std::tuple<DeviceResult, std::uint32_t, Bytes>> answers;
  std::uint64_t round_trips = 0;
};

template <typename Words>
Bytes ArgumentsOf(const Words& words) {
  Bytes arguments(sizeof(std::uint64_t) + sizeof(Words));
  std::memcpy(arguments.data() + sizeof(std::uint64_t), static_cast<const void*>(&words), sizeof(Words));
  return arguments;
}

DnnTensor Images(std::int32_t n, std::int32_t c, std::int32_t h, std::int32_t w) {
  DnnTensor tensor;
  tensor.rank = 4;
  const std::int32_t dims[] = {n, c, h, w};
  std::int32_t stride = 1;
  for (int d = 3; d >= 0; --d) {
    tensor.dims[d] = dims[d];
    tensor.strides[d] = stride;
    stride *= dims[d];
  }
  return tensor;
}

// Of an image of so many rows with a filter of 3 x 3.
Question ConvolutionOf(std::int32_t rows, std::int32_t direction) {
  DnnFindAlgorithms words;
  words.x = Images(2, 3, rows, rows);
  words.w = Images(4, 3, 3, 3);
  words.y = Images(2, 4, rows - 2, rows - 2);
  words.convolution.rank = 2;
  words.convolution.mode = kCrossCorrelation;
  for (int d = 0; d < 2; ++d) words.convolution.strides[d] = words.convolution.dilations[d] = 1;
  words.direction = direction;
  return {kLibraryDnn, kDnnFunction<DnnFindAlgorithms>, ArgumentsOf(words)};
}

// Of matrices n times n.
Question ProductOf(std::int64_t n) {
  LtFindAlgorithms words;
  words.operation.compute_type = kComputeFloat;
  words.operation.fill_mode = kFillFull;
  words.operation.epilogue = kEpilogueDefault;
  for (LtLayout* layout : {&words.layouts.a, &words.layouts.b, &words.layouts.c, &words.layouts.d})
    layout->rows = layout->columns = layout->leading = n;
  words.preference.reduction_mask = 0x3f;
  words.preference.a_alignment = words.preference.b_alignment = 16;
  words.preference.c_alignment = words.preference.d_alignment = 16;
  words.preference.implementation_mask = ~std::uint64_t{0};
  words.count = 2;
  return {kLibraryBlasLt, kLtFunction<LtFindAlgorithms>, ArgumentsOf(words)};
}

class AnswersTest : public ::testing::TestWithParam<Setting> {
 protected:
  void SetUp() override {
    alarm(kTestSeconds);
    if (ACCELMESH_HAS_BLAS != 0) {
      for (const std::int64_t n : {4, 5, 6}) questions_.push_back(ProductOf(n));
    }
    if (ACCELMESH_HAS_DNN != 0) {
      for (const std::int32_t direction : {0, 1, 2}) {
        for (const std::int32_t rows : {8, 9}) questions_.push_back(ConvolutionOf(rows, direction));
      }
    }
    if (questions_.empty()) GTEST_SKIP() << "built without oneDNN and OpenBLAS, and so without a library to ask";
    answers_ = Folder() + "/answers";
    std::filesystem::remove(answers_);
  }
  void TearDown() override { alarm(0); }

  // A session asks all of them, in a process of the server's that has this memory.
  Heard Run(const std::string& answers, std::uint32_t threads = 2) {
    World world;
    BackendOptions options;
    options.cpu_threads = threads;
    options.memory_bytes = 64 * limits::kMiB;
    Heard heard;
    world.Start(GetParam(), options, answers);
    if (world.session == nullptr) return heard;
    std::shared_ptr<const Bytes> functions;
    if (ACCELMESH_HAS_BLAS != 0) {
      EXPECT_EQ(world.session->OpenLibrary(kLibraryBlasLt, 0, &functions), 0u);
    }
    if (ACCELMESH_HAS_DNN != 0) {
      EXPECT_EQ(world.session->OpenLibrary(kLibraryDnn, 0, &functions), 0u);
    }
    const std::uint64_t before = world.session->commands().statistics().calls.load();
    for (const Question& question : questions_) {
      std::uint32_t status = 999;
      Bytes results;
      const DeviceResult asked =
          world.session->AskLibrary(question.library, question.function, 0, question.arguments, &status, &results);
      heard.answers.emplace_back(asked, status, results);
    }
    heard.round_trips = world.session->commands().statistics().calls.load() - before;
    world.Stop();
    EXPECT_EQ(world.server_code(), Code::kOk);
    EXPECT_FALSE(world.broke_contract());
    return heard;
  }

  std::vector<Question> questions_;
  std::string answers_;
};

TEST_P(AnswersTest, TheSecondSessionAsksNothing) {
  const Heard alone = Run("");
  EXPECT_EQ(alone.round_trips, questions_.size());
  const Heard first = Run(answers_);
  EXPECT_EQ(first.round_trips, questions_.size());
  const Heard second = Run(answers_);
  EXPECT_EQ(second.round_trips, 0u);
  EXPECT_EQ(second.answers, first.answers);
  EXPECT_EQ(second.answers, alone.answers);
  for (const auto& [asked, status, results] : second.answers) {
    EXPECT_EQ(asked, 0u);
    EXPECT_EQ(status, 0u);
    EXPECT_FALSE(results.empty());
  }
}

TEST_P(AnswersTest, ANewProblemIsOneRoundTrip) {
  (void)Run(answers_);
  const std::size_t known = questions_.size();
  if (ACCELMESH_HAS_BLAS != 0) questions_.push_back(ProductOf(7));
  if (ACCELMESH_HAS_DNN != 0) questions_.push_back(ConvolutionOf(10, 0));
  EXPECT_EQ(Run(answers_).round_trips, questions_.size() - known);
  EXPECT_EQ(Run(answers_).round_trips, 0u);
}

// Nothing that was asked wrongly is remembered, nor does it hide what is.
TEST_P(AnswersTest, AWrongQuestionIsAskedEachTime) {
  const std::size_t right = questions_.size();
  for (std::size_t i = 0; i < right; ++i) {
    Question wrong = questions_[i];
    std::memset(wrong.arguments.data(), 0x7f, wrong.arguments.size());
    std::memset(wrong.arguments.data(), 0, sizeof(std::uint64_t));
    questions_.push_back(wrong);
  }
  const Heard first = Run(answers_);
  const Heard second = Run(answers_);
  EXPECT_EQ(second.answers, first.answers);
  std::size_t lasting = 0;
  for (std::size_t i = 0; i < questions_.size(); ++i)
    lasting += IsLasting(questions_[i].library, std::get<1>(second.answers[i]));
  EXPECT_EQ(second.round_trips, questions_.size() - lasting);
  EXPECT_GE(lasting, right);
}

TEST_P(AnswersTest, ADamagedFileIsAskedAgainAndReplaced) {
  const Heard first = Run(answers_);
  const auto bytes = std::filesystem::file_size(answers_);
  {
    std::fstream file(answers_, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(10);
    file.put('\x7f');
  }
  const Heard damaged = Run(answers_);
  EXPECT_EQ(damaged.round_trips, questions_.size());
  EXPECT_EQ(damaged.answers, first.answers);
  EXPECT_EQ(std::filesystem::file_size(answers_), bytes);
  std::filesystem::resize_file(answers_, bytes - 1);
  EXPECT_EQ(Run(answers_).round_trips, 1u) << "the last record was cut";
  EXPECT_EQ(Run(answers_).round_trips, 0u);
  std::filesystem::resize_file(answers_, std::uintmax_t{1} << 33);
  EXPECT_EQ(Run(answers_).round_trips, questions_.size());
  EXPECT_EQ(Run(answers_).round_trips, 0u);
}

// What a workspace is computed for, or whom it is asked of, may be another one.
TEST_P(AnswersTest, AnotherServerIsAskedAnew) {
  (void)Run(answers_);
  if (GetParam().backend == "cpu") {
    EXPECT_EQ(Run(answers_, 3).round_trips, questions_.size());
  } else {
    setenv("NVIDIA_TF32_OVERRIDE", "0", 1);
    EXPECT_EQ(Run(answers_).round_trips, questions_.size());
    unsetenv("NVIDIA_TF32_OVERRIDE");
  }
  EXPECT_EQ(Run(answers_).round_trips, 0u);
}

// Plans are the server's: where a backend makes some, the next session has them made by what was noted of them.
class PlansTest : public AnswersTest {
 protected:
  void SetUp() override {
    if (ACCELMESH_HAS_DNN == 0) GTEST_SKIP() << "built without oneDNN, and so without a cuDNN to call";
    AnswersTest::SetUp();
    std::filesystem::remove_all(Plans());
  }
  std::string Plans() const { return answers_ + ".plans"; }
  std::vector<std::string> Files() const {
    std::vector<std::string> files;
    std::error_code error;
    for (const auto& entry : std::filesystem::directory_iterator(Plans(), error)) files.push_back(entry.path());
    return files;
  }
  // What a session gets of relu(x + x), of two floats.
  std::vector<float> Execute(float x) {
    PlanWords plan;
    const std::int64_t from = plan.Row(1, 2), sum = plan.Virtual(2, 2), to = plan.Row(3, 2);
    const std::int64_t add = plan.Pointwise(CUDNN_POINTWISE_ADD, from, from, sum);
    const Bytes words = plan.Graph({plan.Pointwise(CUDNN_POINTWISE_RELU_FWD, sum, -1, to), add});
    World world;
    BackendOptions options;
    options.cpu_threads = 2;
    options.memory_bytes = 64 * limits::kMiB;
    world.Start(GetParam(), options, answers_);
    if (world.session == nullptr) return {};
    ClientSession& session = *world.session;
    std::shared_ptr<const Bytes> functions;
    EXPECT_EQ(session.OpenLibrary(kLibraryDnn, 0, &functions), 0u);
    std::uint32_t settings = 0;
    EXPECT_EQ(session.LibrarySettings(kLibraryDnn, words, &settings), 0u);
    std::uint64_t memory = 0;
    EXPECT_EQ(session.Malloc(0, 8192, &memory), 0u);
    const std::vector<float> numbers = {x, -x};
    std::vector<float> results(2);
    Stream* const stream = session.Legacy(0);
    EXPECT_EQ(session.CopyToDevice(stream, memory, numbers.data(), 8, true), 0u);
    const PlanWords::Words pairs{1, static_cast<std::int64_t>(memory), 3, static_cast<std::int64_t>(memory + 512)};
    EXPECT_EQ(session.PostLibrary(stream, kLibraryDnn, kDnnFunction<DnnGraphExecute>, settings,
                                  PlanWords::Execution(pairs, memory + 4096)),
              0u);
    EXPECT_EQ(session.CopyToHost(stream, results.data(), memory + 512, 8, true), 0u);
    EXPECT_EQ(session.SynchronizeDevice(0), 0u);
    EXPECT_EQ(session.TakeAsyncError(), 0u);
    world.Stop();
    EXPECT_EQ(world.server_code(), Code::kOk);
    EXPECT_FALSE(world.broke_contract());
    return results;
  }
};

TEST_P(PlansTest, TheNextSessionRunsAGraphByWhatIsNotedOfItsPlan) {
  const std::size_t noted = GetParam().backend == "cuda" ? 1 : 0;
  for (const float x : {1.0f, 2.0f, 3.0f}) {
    EXPECT_EQ(Execute(x), (std::vector<float>{2 * x, 0}));
    EXPECT_EQ(Files().size(), noted);
  }
  if (noted == 0) return;
  const std::string file = Files().front();
  const auto bytes = std::filesystem::file_size(file);
  std::filesystem::resize_file(file, bytes / 2);
  EXPECT_EQ(Execute(4), (std::vector<float>{8, 0})) << "a note that was cut is none";
  EXPECT_EQ(std::filesystem::file_size(file), bytes);
  EXPECT_EQ(Files().size(), 1u);
}

INSTANTIATE_TEST_SUITE_P(Transports, PlansTest, ::testing::ValuesIn(AllSettings()), NameOfSetting);
INSTANTIATE_TEST_SUITE_P(Transports, AnswersTest, ::testing::ValuesIn(AllSettings()), NameOfSetting);

}  // namespace
}  // namespace accelmesh::conformance
