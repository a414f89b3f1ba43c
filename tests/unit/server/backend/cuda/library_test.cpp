// NVIDIA's libraries behind the cuda backend's interface, on the contract libcuda and libcublas: what a session cannot
// see. Both count every rule that the backend breaks; none may be.
#include "protocol/library/library.h"

#include <dlfcn.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <condition_variable>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <future>
#include <map>
#include <mutex>
#include <thread>

#include "protocol/base/clock.h"
#include "protocol/base/limits.h"
#include "protocol/library/blas_settings.h"
#include "protocol/library/lt_problem.h"
#include "server/device.h"
#include "tests/contract/control.h"
#include "tests/contract/libcublas/control.h"

namespace accelmesh {
namespace {

using ::testing::HasSubstr;

constexpr std::uint64_t kWindow = 0x5500'0000'0000;
constexpr std::uint64_t kWindowBytes = 64 * limits::kGiB;
constexpr std::uint8_t kNonBlocking = 2;
constexpr std::uint64_t kTwo = 0x40000000;  // as a float

class Recorder final : public CompletionSink {
 public:
  void Completed(std::uint32_t stream, std::uint64_t sequence) override {
    const std::lock_guard lock(mu_);
    completed_[stream] = std::max(completed_[stream], sequence);
    changed_.notify_all();
  }
  void Failed(std::uint32_t, std::uint64_t, DeviceStatus status, bool sticky, std::string_view text) override {
    const std::lock_guard lock(mu_);
    failures_.push_back({status, sticky, std::string(text)});
  }
  Status SendToClient(std::uint64_t, std::uint64_t, ByteView) override { return Status::Ok(); }
  void Output(std::uint64_t, std::string_view) override {}
  void Complaint(std::uint64_t, std::string_view) override {}

  bool Await(std::uint32_t stream, std::uint64_t sequence) {
    std::unique_lock lock(mu_);
    return changed_.wait_for(lock, std::chrono::seconds(10), [&] { return completed_[stream] >= sequence; });
  }
  bool IsComplete(std::uint32_t stream, std::uint64_t sequence) {
    const std::lock_guard lock(mu_);
    return completed_[stream] >= sequence;
  }
  struct Failure {
    DeviceStatus status;
    bool sticky;
    std::string text;
  };
  std::vector<Failure> failures() {
    const std::lock_guard lock(mu_);
    return failures_;
  }

 private:
  std::mutex mu_;
  std::condition_variable changed_;
  std::map<std::uint32_t, std::uint64_t> completed_;
  std::vector<Failure> failures_;
};

template <typename Function>
Function* Find(const char* path, const char* name) {
  return reinterpret_cast<Function*>(::dlsym(::dlopen(path, RTLD_NOW), name));
}
#define CONTRACT(function) Find<decltype(function)>(ACCELMESH_CONTRACT_LIBCUDA, #function)

class CudaLibraryTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (std::filesystem::temp_directory_path() / "cuda-library-XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    cache_ = pattern;
    ::setenv("XDG_CACHE_HOME", cache_.c_str(), 1);
    ::setenv("ACCELMESH_LIBCUDA", ACCELMESH_CONTRACT_LIBCUDA, 1);
    ::setenv("ACCELMESH_LIBCUBLAS", ACCELMESH_CONTRACT_LIBCUBLAS, 1);
    ::setenv("ACCELMESH_LIBCUBLASLT", ACCELMESH_CONTRACT_LIBCUBLASLT, 1);
    ::setenv("ACCELMESH_CONTRACT", "devices=2", 1);
    CONTRACT(contract_reset)();
    Start();
  }
  void TearDown() override {
    Stop();
    EXPECT_EQ(CONTRACT(contract_violations)(), 0u) << CONTRACT(contract_last_violation)();
    EXPECT_EQ(Last().handles, 0);
    std::filesystem::remove_all(cache_);
  }

  // A session.
  void Start() {
    void* const library = ::dlopen(ACCELMESH_BACKEND_CUDA, RTLD_NOW | RTLD_LOCAL);
    ASSERT_NE(library, nullptr) << ::dlerror();
    const auto create = reinterpret_cast<CreateBackendFunction>(::dlsym(library, kCreateBackendSymbol));
    BackendOptions options;
    options.memory_bytes = 64 * limits::kMiB;
    options.window_is_reserved = true;  // leaves the stdout of this process alone
    backend_.reset(create(kBackendAbi, options));
    const auto devices = backend_->Open(kWindow, kWindowBytes, &sink_);
    ASSERT_TRUE(devices.ok()) << devices.status().ToString();
    other_window_ = (*devices)[1].window_base;
    for (const std::uint32_t device : {0, 1}) ASSERT_TRUE(backend_->StreamCreate(device, device, 0, 0).ok());
    for (const std::uint32_t stream : {a_, b_}) ASSERT_TRUE(backend_->StreamCreate(stream, 0, kNonBlocking, 0).ok());
    CONTRACT(contract_set_executor)(1);
    ASSERT_TRUE(backend_->MemAlloc(0, kWindow, 4096).ok());
    FillJob fill{kWindow, 4096, 4096, 4096};
    ASSERT_TRUE(backend_->Fill(a_, ++sequence_, fill).ok());
    ASSERT_TRUE(Finishes(a_));
  }
  void Stop() {
    CONTRACT(contract_set_executor)(0);
    backend_.reset();
  }

  Result<Bytes> Open(std::uint32_t library = kLibraryBlas, std::uint32_t device = 0) {
    auto said = std::make_shared<std::promise<Result<Bytes>>>();
    backend_->LibraryOpen(library, device, [said](Result<Bytes> functions) { said->set_value(std::move(functions)); });
    return said->get_future().get();
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
  void Call(std::uint32_t stream, LibraryJob job) {
    EXPECT_TRUE(backend_->LibraryCall(stream, ++sequence_, std::move(job), nullptr).ok());
  }
  std::future<LibraryAnswer> Query(std::uint32_t stream, LibraryJob job) {
    auto said = std::make_shared<std::promise<LibraryAnswer>>();
    const auto status = backend_->LibraryCall(stream, ++sequence_, std::move(job),
                                              [said](LibraryAnswer answer) { said->set_value(std::move(answer)); });
    EXPECT_TRUE(status.ok());
    return said->get_future();
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
    auto said = std::make_shared<std::promise<Result<LibraryAnswer>>>();
    backend_->LibraryAsk(job, [said](Result<LibraryAnswer> answer) { said->set_value(std::move(answer)); });
    const Result<LibraryAnswer> answer = said->get_future().get();
    EXPECT_TRUE(answer.ok());
    return answer.ok() ? *answer : LibraryAnswer{999, {}};
  }
  static long long Heuristics() {
    return Find<decltype(contract_blas_heuristics)>(ACCELMESH_CONTRACT_LIBCUBLASLT, "contract_blas_heuristics")();
  }
  bool Finishes(std::uint32_t stream) {
    if (backend_->WantsInputDrained()) backend_->InputDrained();
    return sink_.Await(stream, sequence_);
  }
  bool IsStopped(std::uint32_t stream) const { return backend_->InFlight(stream) >= limits::kStreamInFlightMax; }
  static contract_blas_state Last() {
    contract_blas_state state{};
    Find<decltype(contract_blas_last)>(ACCELMESH_CONTRACT_LIBCUBLAS, "contract_blas_last")(&state);
    return state;
  }
  void Set(const BlasSettings& settings) {
    const ByteView bytes = AsBytes(settings);
    settings_ = std::make_shared<const Bytes>(bytes.begin(), bytes.end());
  }

  const std::uint32_t a_ = 2;  // behind the legacy streams of both devices
  const std::uint32_t b_ = 3;
  std::uint64_t other_window_ = 0;
  std::uint64_t sequence_ = 0;
  std::shared_ptr<const Bytes> settings_ = std::make_shared<const Bytes>(sizeof(BlasSettings));
  std::string cache_;
  Recorder sink_;
  std::unique_ptr<Backend> backend_;
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
  const auto stops = [this](LibraryJob job) {
    Call(a_, std::move(job));
    const bool is_stopped = IsStopped(a_) || sink_.IsComplete(a_, sequence_);
    EXPECT_TRUE(Finishes(a_));
    return is_stopped;
  };
  CONTRACT(contract_delay_launches)(20000);
  EXPECT_TRUE(stops(Scale())) << "no handle, and nothing is known";
  EXPECT_FALSE(stops(Scale()));
  EXPECT_FALSE(stops(Scale(4, kTwo + 1))) << "another scalar is no other problem";
  EXPECT_TRUE(stops(Scale(5))) << "another number is";
  EXPECT_FALSE(stops(Scale(5)));
  Set({.math_mode = 2});
  EXPECT_TRUE(stops(Scale()));
  EXPECT_FALSE(stops(Scale()));
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

TEST_F(CudaLibraryTest, AlgorithmsAreLookedForOnceInAllSessions) {
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
  EXPECT_EQ(Heuristics(), before + 1);
  Stop();
  Start();
  ASSERT_TRUE(Open(kLibraryBlasLt).ok());
  EXPECT_EQ(Ask(words).results, first.results);
  EXPECT_EQ(Heuristics(), before + 1) << "another session has asked";
  words.layouts.a.leading = 65;
  EXPECT_EQ(Ask(words).status, 0u);
  EXPECT_EQ(Heuristics(), before + 2);
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
