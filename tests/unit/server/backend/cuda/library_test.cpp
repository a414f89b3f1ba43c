// cuBLAS and cuBLASLt behind the cuda backend's interface, on contract libraries: what a session cannot see.
#include <gmock/gmock.h>

#include "protocol/library/blas_settings.h"
#include "protocol/library/lt_problem.h"
#include "tests/contract/libcublas/control.h"
#include "tests/unit/server/backend/cuda/library_backend.h"

namespace accelmesh {
namespace {

using ::testing::HasSubstr;

constexpr std::uint64_t kTwo = 0x40000000;  // as a float

class CudaLibraryTest : public LibraryBackendTest {
 protected:
  void SetUp() override {
    ::setenv("ACCELMESH_LIBCUBLAS", ACCELMESH_CONTRACT_LIBCUBLAS, 1);
    ::setenv("ACCELMESH_LIBCUBLASLT", ACCELMESH_CONTRACT_LIBCUBLASLT, 1);
    LibraryBackendTest::SetUp();
  }
  void TearDown() override {
    LibraryBackendTest::TearDown();
    EXPECT_EQ(Last().handles, 0);
  }
  Result<Bytes> Open(std::uint32_t library = kLibraryBlas, std::uint32_t device = 0) {
    return LibraryBackendTest::Open(library, device);
  }
  static std::uint32_t Number(const std::string& name) {
    std::uint32_t function = 0;
    while (function < LibraryFunctions(kLibraryBlas) && LibraryFunctionName(kLibraryBlas, function) != name) ++function;
    return function;
  }
  LibraryJob Job(const std::string& name, std::vector<std::uint64_t> words) const {
    LibraryJob job;
    job.library = kLibraryBlas;
    job.function = Number(name);
    job.settings = settings_;
    words.insert(words.begin(), 0);
    job.arguments.resize(words.size() * sizeof(words[0]));
    std::memcpy(job.arguments.data(), words.data(), job.arguments.size());
    return job;
  }
  LibraryJob Scale(std::uint64_t count = 4, std::uint64_t factor = kTwo) const {
    return Job("cublasSscal_v2", {count, factor, 0, kWindow, 1});
  }
  LibraryAnswer Ask(const LtFindAlgorithms& words) {
    LibraryJob job;
    job.library = kLibraryBlasLt;
    job.function = kLtFunction<LtFindAlgorithms>;
    job.settings = std::make_shared<const Bytes>();
    job.arguments.resize(sizeof(std::uint64_t) + sizeof(words));
    std::memcpy(job.arguments.data() + sizeof(std::uint64_t), &words, sizeof(words));
    return LibraryBackendTest::Ask(std::move(job));
  }
  static long long Heuristics() {
    return Find<decltype(contract_blas_heuristics)>(ACCELMESH_CONTRACT_LIBCUBLASLT, "contract_blas_heuristics")();
  }
  static contract_blas_state Last() {
    contract_blas_state state{};
    Find<decltype(contract_blas_last)>(ACCELMESH_CONTRACT_LIBCUBLAS, "contract_blas_last")(&state);
    return state;
  }
  void Set(const BlasSettings& settings) {
    const ByteView bytes = AsBytes(settings);
    settings_ = std::make_shared<const Bytes>(bytes.begin(), bytes.end());
  }

  std::shared_ptr<const Bytes> settings_ = std::make_shared<const Bytes>(sizeof(BlasSettings));
};

TEST_F(CudaLibraryTest, EveryFunctionOfTheWireIsThere) {
  const Result<Bytes> functions = Open();
  ASSERT_TRUE(functions.ok()) << functions.status().ToString();
  for (std::uint32_t f = 0; f < LibraryFunctions(kLibraryBlas); ++f) {
    const std::string name = LibraryFunctionName(kLibraryBlas, f);
    EXPECT_EQ(HasBit(*functions, f), name != "unknown") << name;
  }
  EXPECT_EQ(Last().handles, 1) << "made while somebody waits anyway";
}

TEST_F(CudaLibraryTest, AServerWithoutTheLibrarySaysSo) {
  ::setenv("ACCELMESH_LIBCUBLAS", "/nowhere/libcublas.so.13", 1);
  const Result<Bytes> functions = Open();
  EXPECT_EQ(functions.status().code(), Code::kUnsupported);
  EXPECT_THAT(functions.status().text(), HasSubstr("/nowhere/libcublas.so.13"));
  // A library that is no such thing names what it lacks.
  ::setenv("ACCELMESH_LIBCUBLAS", ACCELMESH_CONTRACT_LIBCUDA, 1);
  EXPECT_THAT(Open().status().text(), HasSubstr("lacks cublasCreate_v2"));
  EXPECT_EQ(Open(99).status().code(), Code::kUnsupported);
}

TEST_F(CudaLibraryTest, OnlyWhatWasCalledBeforeIsCalledFromTheExecutor) {
  ASSERT_TRUE(Open().ok());
  CONTRACT(contract_delay_launches)(20000);
  EXPECT_TRUE(Stops(a_, Scale())) << "no handle, and nothing is known";
  EXPECT_FALSE(Stops(a_, Scale()));
  EXPECT_FALSE(Stops(a_, Scale(4, kTwo + 1))) << "another scalar is no other problem";
  EXPECT_TRUE(Stops(a_, Scale(5))) << "another number is";
  EXPECT_FALSE(Stops(a_, Scale(5)));
  Set({.math_mode = 2});
  EXPECT_TRUE(Stops(a_, Scale()));
  EXPECT_FALSE(Stops(a_, Scale()));
}

TEST_F(CudaLibraryTest, SettingsReachTheHandleAsTheyDiffer) {
  ASSERT_TRUE(Open().ok());
  Set({.math_mode = 2, .atomics_mode = 1, .sm_count_target = 4, .workspace = kWindow, .workspace_bytes = 256});
  for (int i = 0; i < 2; ++i) {
    Call(a_, Scale());
    ASSERT_TRUE(Finishes(a_));
    EXPECT_EQ(Last().math_mode, 2);
    EXPECT_EQ(Last().atomics_mode, 1);
    EXPECT_EQ(Last().sm_count_target, 4);
    EXPECT_EQ(Last().workspace, kWindow);
    EXPECT_EQ(Last().workspace_bytes, 256u);
  }
  Set({.atomics_mode = 1});
  Call(a_, Scale());
  ASSERT_TRUE(Finishes(a_));
  EXPECT_EQ(Last().math_mode, 0);
  EXPECT_EQ(Last().atomics_mode, 1);
  EXPECT_EQ(Last().sm_count_target, 0);
  EXPECT_EQ(Last().workspace, 0u) << "the library's own again";
}

TEST_F(CudaLibraryTest, AStreamHasAHandleAndTheNextOneTakesIt) {
  ASSERT_TRUE(Open().ok());
  Set({.workspace = kWindow, .workspace_bytes = 512});
  for (const std::uint32_t stream : {a_, b_}) {
    Call(stream, Scale());
    ASSERT_TRUE(Finishes(stream));
  }
  EXPECT_EQ(Last().handles, 2);
  void* const before = Last().stream;
  for (int i = 0; i < 5; ++i) {
    ASSERT_TRUE(backend_->StreamDestroy(b_).ok());
    ASSERT_TRUE(backend_->StreamCreate(b_, 0, kNonBlocking, 0).ok());
    ASSERT_TRUE(Open().ok()) << "behind what the thread had to do";
    Call(b_, Scale());
    ASSERT_TRUE(Finishes(b_));
    EXPECT_EQ(Last().workspace, kWindow) << "which a stream that is set takes away";
  }
  EXPECT_EQ(Last().handles, 2);
  EXPECT_NE(Last().stream, before);
}

TEST_F(CudaLibraryTest, EachDeviceHasHandlesAndProblemsOfItsOwn) {
  ASSERT_TRUE(Open().ok());
  ASSERT_TRUE(Open(kLibraryBlas, 1).ok());
  EXPECT_EQ(Last().handles, 2);
  ASSERT_TRUE(backend_->MemAlloc(1, other_window_, 4096).ok());
  FillJob fill{other_window_, 4096, 4096, 4096};
  ASSERT_TRUE(backend_->Fill(1, ++sequence_, fill).ok());
  LibraryJob job = Job("cublasSscal_v2", {4, kTwo, 0, other_window_, 1});
  job.device = 1;
  for (int i = 0; i < 2; ++i) {
    Call(a_, Scale());
    ASSERT_TRUE(Finishes(a_));
    Call(1, job);
    ASSERT_TRUE(Finishes(1));
  }
  LibraryJob query = Job("cublasSasum_v2", {4, other_window_, 1, 0});
  query.device = 1;
  for (int i = 0; i < 2; ++i) {
    std::future<LibraryAnswer> answer = Query(1, query);
    ASSERT_TRUE(Finishes(1));
    EXPECT_EQ(answer.get().results.size(), sizeof(float));
  }
}

TEST_F(CudaLibraryTest, AResultThatIsWaitedForStopsNobody) {
  ASSERT_TRUE(Open().ok());
  const LibraryJob job = Job("cublasSasum_v2", {4, kWindow, 1, 0});
  std::future<LibraryAnswer> first = Query(a_, job);
  ASSERT_TRUE(Finishes(a_));
  EXPECT_EQ(first.get().results.size(), sizeof(float));
  CONTRACT(contract_delay_launches)(20000);
  std::future<LibraryAnswer> second = Query(a_, job);
  EXPECT_FALSE(IsStopped(a_));
  EXPECT_EQ(second.wait_for(std::chrono::seconds(0)), std::future_status::timeout);
  // There is one place for a stream's result: the next has to wait for it.
  std::future<LibraryAnswer> third = Query(a_, job);
  EXPECT_TRUE(IsStopped(a_));
  ASSERT_TRUE(Finishes(a_));
  EXPECT_EQ(second.get().status, 0u);
  EXPECT_EQ(third.get().status, 0u);
  EXPECT_EQ(Last().pointer_mode, 1) << "device pointers: the executor waits for none";
}

TEST_F(CudaLibraryTest, AStatusIsAnsweredOrTold) {
  ASSERT_TRUE(Open().ok());
  // A number that the function with 32 bits cannot take.
  std::future<LibraryAnswer> answer = Query(a_, Job("cublasIsamax_v2", {std::uint64_t{1} << 40, kWindow, 1, 0}));
  ASSERT_TRUE(Finishes(a_));
  EXPECT_EQ(answer.get().status, 7u);
  EXPECT_TRUE(sink_.failures().empty());
  // Columns that overlap.
  Call(a_, Job("cublasSgemm_v2", {0, 0, 4, 4, 4, kTwo, 0, kWindow, 1, kWindow, 4, 0, 0, kWindow, 4}));
  ASSERT_TRUE(Finishes(a_));
  ASSERT_EQ(sink_.failures().size(), 1u);
  EXPECT_EQ(sink_.failures().front().status, kDeviceInvalidValue);
  EXPECT_FALSE(sink_.failures().front().sticky);
  EXPECT_EQ(sink_.failures().front().text, "cublasSgemm_v2: CUBLAS_STATUS_INVALID_VALUE (7)");
}

TEST_F(CudaLibraryTest, AnswersAreOfALibraryItsDeviceAndWhatTunesIt) {
  const std::string first = Identity(kLibraryBlasLt);
  EXPECT_NE(first.find(ACCELMESH_CONTRACT_LIBCUBLASLT), std::string::npos) << first;
  EXPECT_EQ(Identity(kLibraryBlasLt, 1), first) << "another device of the same kind";
  EXPECT_EQ(Identity(kLibraryBlas), "") << "it is asked nothing";
  Stop();
  Start();
  EXPECT_EQ(Identity(kLibraryBlasLt), first) << "another session";
  Stop();
  ::setenv("CUBLAS_WORKSPACE_CONFIG", ":16:8", 1);
  Start();
  EXPECT_NE(Identity(kLibraryBlasLt), first);
  Stop();
  ::unsetenv("CUBLAS_WORKSPACE_CONFIG");
  Start();
  EXPECT_EQ(Identity(kLibraryBlasLt), first);
}

TEST_F(CudaLibraryTest, AlgorithmsAreThoseOfTheLibrary) {
  LtFindAlgorithms words;
  words.operation.compute_type = 68;  // CUBLAS_COMPUTE_32F
  words.operation.fill_mode = 2;      // CUBLAS_FILL_MODE_FULL
  words.operation.epilogue = 1;       // CUBLASLT_EPILOGUE_DEFAULT
  for (LtLayout* layout : {&words.layouts.a, &words.layouts.b, &words.layouts.c, &words.layouts.d}) {
    layout->rows = layout->columns = layout->leading = 64;
  }
  words.preference = {.workspace_bytes_max = 1 << 20,
                      .reduction_mask = 0x3f,
                      .a_alignment = 256,
                      .b_alignment = 256,
                      .c_alignment = 256,
                      .d_alignment = 256,
                      .implementation_mask = ~std::uint64_t{0}};
  words.count = 4;
  ASSERT_TRUE(Open(kLibraryBlasLt).ok());
  const long long before = Heuristics();
  const LibraryAnswer first = Ask(words);
  EXPECT_EQ(first.status, 0u);
  EXPECT_FALSE(first.results.empty());
  EXPECT_EQ(Ask(words).results, first.results);
  EXPECT_EQ(Heuristics(), before + 2) << "the session remembers";
}

TEST_F(CudaLibraryTest, BehindALossCallsEndAndAreAnswered) {
  ASSERT_TRUE(Open().ok());
  Call(a_, Job("cublasSscal_v2", {4, kTwo, 0, 64, 1}));
  ASSERT_TRUE(Finishes(a_));
  ASSERT_EQ(sink_.failures().size(), 1u);
  EXPECT_EQ(sink_.failures().front().status, kDeviceIllegalAddress);
  EXPECT_TRUE(sink_.failures().front().sticky);
  EXPECT_THAT(sink_.failures().front().text, HasSubstr("cublasSscal_v2"));
  std::future<LibraryAnswer> answer = Query(b_, Job("cublasSasum_v2", {4, kWindow, 1, 0}));
  ASSERT_TRUE(Finishes(b_));
  EXPECT_EQ(answer.get().status, 13u);
  EXPECT_FALSE(Open().ok());
}

}  // namespace
}  // namespace accelmesh
