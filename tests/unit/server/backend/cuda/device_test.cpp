// The cuda backend by its interface, on the contract libcuda: what a session cannot see or make happen. That library
// counts every rule that the backend breaks; none may be.
#include "server/device.h"

#include <dlfcn.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <condition_variable>
#include <cstdlib>
#include <future>
#include <map>
#include <mutex>
#include <thread>

#include "protocol/base/clock.h"
#include "protocol/base/limits.h"
#include "tests/contract/control.h"

namespace accelmesh {
namespace {

using ::testing::HasSubstr;

constexpr std::uint64_t kWindow = 0x5500'0000'0000;
constexpr std::uint64_t kWindowBytes = 64 * limits::kGiB;
constexpr std::uint64_t kCell = 32 * limits::kMiB;
constexpr std::uint64_t kMemory = 64 * limits::kMiB;
constexpr std::uint8_t kNonBlocking = 2;

constexpr std::string_view kPtx = R"ptx(
.version 8.0
.target sm_80
.address_size 64
.visible .global .align 4 .u32 variable = 42;
.visible .entry wait_gate(.param .u64 gate)
{
  .reg .pred %p<2>;
  .reg .b32 %r<2>;
  .reg .b64 %rd<2>;
  ld.param.u64 %rd1, [gate];
$again:
  atom.global.add.u32 %r1, [%rd1], 0;
  setp.eq.u32 %p1, %r1, 0;
  @%p1 bra $again;
  ret;
}
.visible .entry open_gate(.param .u64 gate)
{
  .reg .b32 %r<3>;
  .reg .b64 %rd<2>;
  ld.param.u64 %rd1, [gate];
  mov.u32 %r1, 1;
  atom.global.exch.b32 %r2, [%rd1], %r1;
  ret;
}
.visible .entry store_nowhere()
{
  .reg .b32 %r<2>;
  .reg .b64 %rd<2>;
  mov.u64 %rd1, 64;
  mov.u32 %r1, 1;
  st.global.u32 [%rd1], %r1;
  ret;
}
.visible .entry nothing()
{
  ret;
}
)ptx";

class OwnedBody final : public BulkBody {
 public:
  explicit OwnedBody(Bytes bytes) : bytes_(std::move(bytes)) {}
  ByteView bytes() const override { return bytes_; }

 private:
  Bytes bytes_;
};

// Remembers what a backend reports.
class Recorder final : public CompletionSink {
 public:
  void Completed(std::uint32_t stream, std::uint64_t sequence) override {
    const std::lock_guard lock(mu_);
    if (sequence != 0) {
      EXPECT_GE(sequence, completed_[stream]) << "a stream's values grow";
    }
    completed_[stream] = std::max(completed_[stream], sequence);
    changed_.notify_all();
  }
  void Failed(std::uint32_t, std::uint64_t sequence, DeviceStatus status, bool sticky, std::string_view text) override {
    const std::lock_guard lock(mu_);
    failures_.push_back({sequence, status, sticky, std::string(text)});
    changed_.notify_all();
  }
  Status SendToClient(std::uint64_t token, std::uint64_t offset, ByteView bytes) override {
    std::unique_lock lock(mu_);
    changed_.wait(lock, [this] { return client_reads_; });
    EXPECT_EQ(received_[token].size(), offset) << "in packed order";
    received_[token].insert(received_[token].end(), bytes.begin(), bytes.end());
    return Status::Ok();
  }
  void Output(std::uint64_t, std::string_view) override {}
  void Complaint(std::uint64_t, std::string_view) override {}

  bool Await(std::uint32_t stream, std::uint64_t sequence, std::chrono::milliseconds patience) {
    std::unique_lock lock(mu_);
    return changed_.wait_for(lock, patience, [&] { return completed_[stream] >= sequence; });
  }
  void SetClientReads(bool on) {
    const std::lock_guard lock(mu_);
    client_reads_ = on;
    changed_.notify_all();
  }
  struct Failure {
    std::uint64_t sequence;
    DeviceStatus status;
    bool sticky;
    std::string text;
  };
  std::vector<Failure> failures() {
    const std::lock_guard lock(mu_);
    return failures_;
  }
  Bytes received(std::uint64_t token) {
    const std::lock_guard lock(mu_);
    return received_[token];
  }

 private:
  std::mutex mu_;
  std::condition_variable changed_;
  std::map<std::uint32_t, std::uint64_t> completed_;
  std::vector<Failure> failures_;
  std::map<std::uint64_t, Bytes> received_;
  bool client_reads_ = true;
};

template <typename Function>
Function* Contract(const char* name) {
  void* library = ::dlopen(ACCELMESH_CONTRACT_LIBCUDA, RTLD_NOW);
  return reinterpret_cast<Function*>(::dlsym(library, name));
}
#define CONTRACT(function) Contract<decltype(function)>(#function)

class CudaBackendTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ::setenv("ACCELMESH_LIBCUDA", ACCELMESH_CONTRACT_LIBCUDA, 1);
    ::setenv("ACCELMESH_CONTRACT", "devices=1", 1);
    CONTRACT(contract_reset)();
    void* library = ::dlopen(ACCELMESH_BACKEND_CUDA, RTLD_NOW | RTLD_LOCAL);
    ASSERT_NE(library, nullptr) << ::dlerror();
    const auto create = reinterpret_cast<CreateBackendFunction>(::dlsym(library, kCreateBackendSymbol));
    BackendOptions options;
    options.memory_bytes = kMemory;
    options.window_is_reserved = true;  // leaves the stdout of this process alone
    backend_.reset(create(kBackendAbi, options));
    const Status prepared = backend_->Prepare();
    ASSERT_TRUE(prepared.ok()) << prepared.ToString();
    // A session that cannot be had at the first place is offered the next.
    CONTRACT(contract_move_reservations)(moved_);
    for (; moved_ != 0; --moved_) EXPECT_EQ(backend_->Open(kWindow, kWindowBytes, &sink_).code(), Code::kFull);
    const auto devices = backend_->Open(kWindow, kWindowBytes, &sink_);
    ASSERT_TRUE(devices.ok()) << devices.status().ToString();
    device_ = devices->front();
    ASSERT_TRUE(backend_->StreamCreate(0, 0, 0, 0).ok());
    for (const std::uint32_t stream : {a_, b_}) ASSERT_TRUE(backend_->StreamCreate(stream, 0, kNonBlocking, 0).ok());
    auto module = backend_->ModuleLoad(0, 0, Bytes(kPtx.begin(), kPtx.end()));
    ASSERT_TRUE(module.ok()) << module.status().ToString();
    module_ = *std::move(module);
    CONTRACT(contract_set_executor)(1);
  }
  void TearDown() override {
    CONTRACT(contract_set_executor)(0);
    backend_.reset();
    EXPECT_EQ(CONTRACT(contract_violations)(), 0u) << CONTRACT(contract_last_violation)();
  }

  std::uint64_t Launch(std::uint32_t stream, std::string_view kernel, std::uint64_t argument = 0) {
    LaunchJob job;
    while (module_.kernels.at(job.kernel).name != kernel) ++job.kernel;
    const std::size_t bytes = module_.kernels[job.kernel].parameters.empty() ? 0 : sizeof(argument);
    job.arguments = AsBytes(argument).first(bytes);
    EXPECT_TRUE(backend_->Launch(stream, ++sequence_, job).ok());
    return sequence_;
  }
  std::uint64_t Upload(std::uint32_t stream, std::uint64_t address, Bytes bytes) {
    CopyJob job;
    job.dst.address = address;
    job.src.kind = CopySide::Kind::kBody;
    job.width = bytes.size();
    job.body = std::make_unique<OwnedBody>(std::move(bytes));
    EXPECT_TRUE(backend_->Copy(stream, ++sequence_, std::move(job)).ok());
    return sequence_;
  }
  std::uint64_t Download(std::uint32_t stream, std::uint64_t address, std::uint64_t bytes, std::uint64_t token) {
    CopyJob job;
    job.dst.kind = CopySide::Kind::kToken;
    job.dst.token = token;
    job.src.address = address;
    job.width = bytes;
    EXPECT_TRUE(backend_->Copy(stream, ++sequence_, std::move(job)).ok());
    return sequence_;
  }
  // As the executor does when there is no input.
  void Drain() {
    if (backend_->WantsInputDrained()) backend_->InputDrained();
    EXPECT_FALSE(backend_->WantsInputDrained());
  }
  bool Finishes(std::uint32_t stream, std::uint64_t sequence, int ms = 10000) {
    Drain();
    return sink_.Await(stream, sequence, std::chrono::milliseconds(ms));
  }
  // An array of 32 words in one row.
  static TextureJob Line(std::uint64_t address) {
    TextureJob job;
    job.source = TextureJob::Source::kArray;
    job.format = 0x20;  // CU_AD_FORMAT_FLOAT
    job.channels = 1;
    job.levels = {{address, 0, 128, 32, 0, 0}};
    return job;
  }
  // Whether it has a handle in the end; false as well if nobody says so.
  std::future<bool> HasHandle(std::uint64_t texture) {
    auto has = std::make_shared<std::promise<bool>>();
    backend_->TextureHandle(texture, [has](const Result<std::uint64_t>& handle) { has->set_value(handle.ok()); });
    return has->get_future();
  }
  static bool Get(std::future<bool> has) {
    return has.wait_for(std::chrono::seconds(10)) == std::future_status::ready && has.get();
  }
  // Whether the executor would park a command of the stream, after at most `ms` if it is to change.
  bool IsFull(std::uint32_t stream) const { return backend_->InFlight(stream) >= limits::kStreamInFlightMax; }
  bool GetsRoom(std::uint32_t stream, int ms = 10000) const {
    const Deadline deadline = Deadline::After(std::chrono::milliseconds(ms));
    while (IsFull(stream) && !deadline.passed()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    return !IsFull(stream);
  }
  std::uint64_t Gate() {
    EXPECT_TRUE(backend_->MemAlloc(0, kWindow, 512).ok());
    EXPECT_TRUE(Finishes(b_, Upload(b_, kWindow, Bytes(4, 0))));
    return kWindow;
  }
  static Bytes Pattern(std::size_t size) {
    Bytes bytes(size);
    for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::uint8_t>(i * 31 + i / 4096);
    return bytes;
  }

  const std::uint32_t a_ = 1;
  const std::uint32_t b_ = 2;
  unsigned moved_ = 0;
  Recorder sink_;
  std::unique_ptr<Backend> backend_;
  DeviceDescription device_;
  ModuleDescription module_;
  std::uint64_t sequence_ = 100;
};

class MovedWindowTest : public CudaBackendTest {
 protected:
  MovedWindowTest() { moved_ = 2; }
};
TEST_F(MovedWindowTest, AWindowThatTheDriverMovesIsNotTaken) {
  EXPECT_EQ(device_.window_base, kWindow);
  EXPECT_TRUE(Finishes(a_, Launch(a_, "nothing")));
}

TEST_F(CudaBackendTest, TheDeviceSaysWhatIsTrueOverTheNetwork) {
  EXPECT_EQ(device_.memory_bytes, kMemory);
  std::map<std::uint32_t, std::int32_t> attributes(device_.attributes.begin(), device_.attributes.end());
  for (const std::uint32_t id : {86u, 88u, 89u, 91u, 100u, 101u}) EXPECT_EQ(attributes.at(id), 0) << id;
  EXPECT_GT(attributes.at(1), 0);
  ASSERT_EQ(module_.globals.size(), 1u);
  EXPECT_EQ(module_.globals[0].name, "variable");
  EXPECT_EQ(module_.globals[0].bytes, 4u);
  EXPECT_GE(module_.globals[0].address - kWindow, kWindowBytes) << "the driver chose it";
  ASSERT_TRUE(Finishes(a_, Download(a_, module_.globals[0].address, 4, 1)));
  EXPECT_EQ(sink_.received(1), (Bytes{42, 0, 0, 0}));
}

TEST_F(CudaBackendTest, LaunchesAreNotMarkedOneByOne) {
  const auto marks = CONTRACT(contract_calls);
  const auto before = marks("cuStreamWriteValue64");
  std::uint64_t last = 0;
  for (int i = 0; i < 1000; ++i) last = Launch(a_, "nothing");
  ASSERT_TRUE(Finishes(a_, last));
  EXPECT_LE(marks("cuStreamWriteValue64") - before, 17u);
}

// Errors -------------------------------------------------------------------------------------------------------------

TEST_F(CudaBackendTest, ALostContextNamesTheKernelAndEverythingCompletes) {
  const std::uint64_t gate = Gate();
  Launch(a_, "nothing");
  const std::uint64_t bad = Launch(a_, "store_nowhere");
  ASSERT_TRUE(Finishes(a_, bad));
  ASSERT_EQ(sink_.failures().size(), 1u);
  const Recorder::Failure failure = sink_.failures().front();
  EXPECT_EQ(failure.status, kDeviceIllegalAddress);
  EXPECT_TRUE(failure.sticky);
  EXPECT_THAT(failure.text, HasSubstr("store_nowhere"));
  std::uint64_t last = 0;
  for (int i = 0; i < 500; ++i) last = Launch(b_, "open_gate", gate);
  EXPECT_TRUE(Finishes(b_, last));
  EXPECT_TRUE(Finishes(0, Launch(0, "nothing")));
  EXPECT_TRUE(Finishes(b_, Download(b_, gate, 4, 9)));
  EXPECT_TRUE(sink_.received(9).empty()) << "there are no bytes of a lost device";
  EXPECT_EQ(sink_.failures().size(), 1u);
}

TEST_F(CudaBackendTest, ALaunchThatTheDriverRefusesIsToldAndForgotten) {
  CONTRACT(contract_inject_error)("cuLaunchKernelEx", 1, 701);
  const std::uint64_t refused = Launch(a_, "nothing");
  ASSERT_TRUE(Finishes(a_, refused));
  ASSERT_EQ(sink_.failures().size(), 1u);
  EXPECT_EQ(sink_.failures()[0].sequence, refused);
  EXPECT_EQ(sink_.failures()[0].status, kDeviceLaunchOutOfResources);
  EXPECT_FALSE(sink_.failures()[0].sticky);
  EXPECT_THAT(sink_.failures()[0].text, HasSubstr("nothing"));
  EXPECT_TRUE(Finishes(a_, Launch(a_, "nothing")));
  EXPECT_EQ(sink_.failures().size(), 1u);
}

// Memory -------------------------------------------------------------------------------------------------------------

TEST_F(CudaBackendTest, IdleChunksMakeRoomWithoutAViolation) {
  const auto calls = CONTRACT(contract_calls);
  for (std::uint64_t round = 0; round < 12; ++round) {
    const std::uint64_t address = kWindow + round * 8 * kCell;
    ASSERT_TRUE(backend_->MemAlloc(0, address, kMemory).ok());
    ASSERT_TRUE(GetsRoom(a_));
    const std::uint64_t end = address + kMemory - 4;
    Upload(a_, end, Bytes(4, static_cast<std::uint8_t>(round + 1)));
    ASSERT_TRUE(Finishes(a_, Download(a_, end, 4, round + 1)));
    EXPECT_EQ(sink_.received(round + 1), Bytes(4, static_cast<std::uint8_t>(round + 1)));
    ASSERT_TRUE(backend_->MemFree(0, address).ok());
  }
  EXPECT_GE(calls("cuMemUnmap"), 6u) << "more was kept than the session may have";
  EXPECT_TRUE(sink_.failures().empty());
}

TEST_F(CudaBackendTest, AChunkUnderARunningKernelStaysUntilItEnds) {
  const std::uint64_t gate = kWindow + 100 * kCell;
  ASSERT_TRUE(backend_->MemAlloc(0, gate, 512).ok());
  ASSERT_TRUE(Finishes(b_, Upload(b_, gate, Bytes(4, 0))));
  const std::uint64_t waits = Launch(a_, "wait_gate", gate);
  Drain();
  ASSERT_TRUE(backend_->MemFree(0, gate).ok());
  // Takes all that the session may have, so that only the gate's chunk is left to take.
  for (std::uint64_t i = 0; !IsFull(b_); ++i) {
    ASSERT_LT(i, 32u);
    ASSERT_TRUE(backend_->MemAlloc(0, kWindow + i * kCell, kCell).ok());
  }
  EXPECT_FALSE(GetsRoom(b_, 100)) << "memory was given out that a kernel still reads";
  Launch(b_, "open_gate", gate);
  ASSERT_TRUE(Finishes(a_, waits));
  EXPECT_TRUE(GetsRoom(b_));
  EXPECT_TRUE(sink_.failures().empty());
}

TEST_F(CudaBackendTest, OutOfMemoryIsToldAndTheNextAllocationMayDo) {
  CONTRACT(contract_inject_error)("cuMemCreate", 1, 2);
  CONTRACT(contract_inject_error)("cuMemCreate", 2, 2);
  ASSERT_TRUE(backend_->MemAlloc(0, kWindow, 512).ok());
  ASSERT_TRUE(GetsRoom(a_));
  ASSERT_EQ(sink_.failures().size(), 1u);
  EXPECT_EQ(sink_.failures()[0].status, kDeviceOutOfMemory);
  EXPECT_FALSE(sink_.failures()[0].sticky);
  ASSERT_TRUE(backend_->MemFree(0, kWindow).ok());
  ASSERT_TRUE(backend_->MemAlloc(0, kWindow, 512).ok());
  EXPECT_TRUE(Finishes(a_, Upload(a_, kWindow, Bytes(512, 1))));
  EXPECT_EQ(sink_.failures().size(), 1u);
}

// Copies -------------------------------------------------------------------------------------------------------------

TEST_F(CudaBackendTest, CopiesBeyondEveryBufferArriveInOrder) {
  constexpr std::size_t kBytes = 21 * limits::kMiB + 77;
  ASSERT_TRUE(backend_->MemAlloc(0, kWindow, kBytes).ok());
  const Bytes pattern = Pattern(kBytes);
  Upload(a_, kWindow, pattern);
  EXPECT_TRUE(IsFull(a_)) << "nothing may pass it";
  EXPECT_FALSE(IsFull(b_));
  Drain();
  ASSERT_TRUE(GetsRoom(a_));
  ASSERT_TRUE(Finishes(a_, Download(a_, kWindow, kBytes, 5)));
  EXPECT_EQ(sink_.received(5), pattern);
}

TEST_F(CudaBackendTest, AStreamThatCannotUploadTakesNoStagingFromAnother) {
  const std::uint64_t gate = Gate();
  ASSERT_TRUE(backend_->MemAlloc(0, kWindow + kCell, kCell).ok());
  Launch(a_, "wait_gate", gate);
  int accepted = 0;
  for (; accepted < 100 && !IsFull(a_); ++accepted) Upload(a_, kWindow + kCell, Bytes(limits::kMiB, 1));
  EXPECT_LT(accepted, 100);
  const std::uint64_t last = sequence_;
  Drain();
  for (std::uint64_t i = 1; i < 10; ++i) {
    const Bytes bytes(limits::kMiB, static_cast<std::uint8_t>(i));
    Upload(b_, kWindow + kCell + 8 * limits::kMiB, bytes);
    Drain();
    ASSERT_TRUE(GetsRoom(b_));
    ASSERT_TRUE(Finishes(b_, Download(b_, kWindow + kCell + 8 * limits::kMiB, bytes.size(), i)));
    ASSERT_TRUE(GetsRoom(b_));
    ASSERT_EQ(sink_.received(i), bytes);
  }
  Launch(b_, "open_gate", gate);
  EXPECT_TRUE(Finishes(a_, last));
}

TEST_F(CudaBackendTest, AClientThatDoesNotReadHoldsUpOnlyItsStream) {
  const std::uint64_t gate = Gate();
  sink_.SetClientReads(false);
  const std::uint64_t result = Download(a_, gate, 4, 1);
  const std::uint64_t behind = Launch(a_, "nothing");
  EXPECT_TRUE(Finishes(b_, Launch(b_, "nothing")));
  EXPECT_TRUE(Finishes(b_, Upload(b_, gate, Bytes(4, 3))));
  EXPECT_FALSE(sink_.Await(a_, result, std::chrono::milliseconds(50))) << "reported before its bytes were sent";
  sink_.SetClientReads(true);
  EXPECT_TRUE(sink_.Await(a_, behind, std::chrono::seconds(10)));
}

TEST_F(CudaBackendTest, PitchedCopiesTakeTheSameWaysAsLinearOnes) {
  ASSERT_TRUE(backend_->MemAlloc(0, kWindow, 40 * limits::kMiB).ok());
  for (const std::uint64_t height : {7u, 5000u}) {  // one buffer, and more than any
    CopyJob up;
    up.dst.address = kWindow;
    up.dst.pitch = 1536;
    up.dst.slice = 1536 * height + 512;
    up.src.kind = CopySide::Kind::kBody;
    up.width = 1000;
    up.height = height;
    up.depth = 2;
    const Bytes pattern = Pattern(up.width * up.height * up.depth);
    up.body = std::make_unique<OwnedBody>(pattern);
    CopyJob down;
    down.src = up.dst;
    down.dst.kind = CopySide::Kind::kToken;
    down.dst.token = height;
    down.width = up.width;
    down.height = up.height;
    down.depth = up.depth;
    ASSERT_TRUE(backend_->Copy(a_, ++sequence_, std::move(up)).ok());
    Drain();
    ASSERT_TRUE(GetsRoom(a_));
    ASSERT_TRUE(backend_->Copy(a_, ++sequence_, std::move(down)).ok());
    ASSERT_TRUE(Finishes(a_, sequence_));
    ASSERT_TRUE(GetsRoom(a_));
    EXPECT_EQ(sink_.received(height), pattern);
  }
}

// The end ------------------------------------------------------------------------------------------------------------

TEST_F(CudaBackendTest, TwoObjectsOfAnArrayThatWorkUnderWayMayWrite) {
  const std::uint64_t gate = Gate();
  const std::uint64_t line = kWindow + 4096;
  ASSERT_TRUE(backend_->MemAlloc(0, line, 4096).ok());
  const std::uint64_t waits = Launch(a_, "wait_gate", gate);
  Drain();
  for (const std::uint64_t id : {1, 2}) ASSERT_TRUE(backend_->TextureCreate(id, Line(line)).ok());
  std::future<bool> first = HasHandle(1);
  std::future<bool> again = HasHandle(1);
  std::future<bool> second = HasHandle(2);
  EXPECT_EQ(second.wait_for(std::chrono::milliseconds(50)), std::future_status::timeout);
  Launch(b_, "open_gate", gate);
  ASSERT_TRUE(Finishes(a_, waits));
  EXPECT_TRUE(Get(std::move(first)));
  EXPECT_TRUE(Get(std::move(again)));
  EXPECT_TRUE(Get(std::move(second)));
}

TEST_F(CudaBackendTest, ARowByItselfNeedsNoPitch) {
  ASSERT_TRUE(backend_->MemAlloc(0, kWindow, 4096).ok());
  ASSERT_TRUE(backend_->TextureCreate(1, Line(kWindow)).ok());
  ASSERT_TRUE(Get(HasHandle(1)));
  const Bytes bytes = Pattern(64);
  ASSERT_TRUE(Finishes(a_, Upload(a_, kWindow + 8, bytes)));
  ASSERT_TRUE(Finishes(a_, Download(a_, kWindow + 8, bytes.size(), 5)));
  EXPECT_EQ(sink_.received(5), bytes);
}

TEST_F(CudaBackendTest, AnObjectOfMoreLevelsThanTheArrayHas) {
  ASSERT_TRUE(backend_->MemAlloc(0, kWindow, 4096).ok());
  TextureJob job = Line(kWindow);
  job.levels.push_back({kWindow + 128, 0, 64, 16, 0, 0});
  job.source = TextureJob::Source::kMipmapped;
  ASSERT_TRUE(backend_->TextureCreate(1, job).ok());
  EXPECT_TRUE(Get(HasHandle(1)));
  job.levels.resize(12, job.levels.back());
  job.source = TextureJob::Source::kArray;
  job.view = TextureJob::View{11, 11, 0, 0, 0};
  ASSERT_TRUE(backend_->TextureCreate(2, job).ok());
  EXPECT_FALSE(Get(HasHandle(2)));
}

// In a process of its own: the kernel runs on until that ends.
TEST_F(CudaBackendTest, ARunawayKernelDoesNotHoldUpTheEnd) {
  const std::uint64_t gate = Gate();
  Launch(a_, "wait_gate", gate);
  Upload(a_, kWindow, Bytes(8 * limits::kMiB, 0));
  ::testing::FLAGS_gtest_death_test_style = "threadsafe";
  const auto end = [this] {
    const Deadline deadline = Deadline::After(std::chrono::seconds(4));
    backend_->Close();
    ::_exit(deadline.passed() ? 1 : 0);
  };
  EXPECT_EXIT(end(), ::testing::ExitedWithCode(0), "");
  CONTRACT(contract_set_executor)(1);
  Launch(b_, "open_gate", gate);
  EXPECT_TRUE(Finishes(a_, sequence_ - 1));
}

}  // namespace
}  // namespace accelmesh
