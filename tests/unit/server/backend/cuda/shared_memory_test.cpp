// Memory of one cuda backend in another: two in one process, on the contract libcuda, which counts every rule that they
// break.
#include <dlfcn.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <condition_variable>
#include <cstdlib>
#include <map>
#include <mutex>

#include "server/device.h"
#include "tests/contract/control.h"

namespace accelmesh {
namespace {

constexpr std::uint64_t kWindow = 0x5500'0000'0000;
constexpr std::uint64_t kWindowBytes = 32 * limits::kGiB;
constexpr std::uint64_t kCell = 32 * limits::kMiB;
constexpr std::uint64_t kMemory = 128 * limits::kMiB;
constexpr std::uint8_t kNonBlocking = 2;

template <typename Function>
Function* Contract(const char* name) {
  void* library = ::dlopen(ACCELMESH_CONTRACT_LIBCUDA, RTLD_NOW);
  return reinterpret_cast<Function*>(::dlsym(library, name));
}
#define CONTRACT(function) Contract<decltype(function)>(#function)

class OwnedBody final : public BulkBody {
 public:
  explicit OwnedBody(Bytes bytes) : bytes_(std::move(bytes)) {}
  ByteView bytes() const override { return bytes_; }

 private:
  Bytes bytes_;
};

// A backend as its session has it.
class Worker final : private CompletionSink {
 public:
  explicit Worker(std::uint64_t window) : window_(window) {
    void* library = ::dlopen(ACCELMESH_BACKEND_CUDA, RTLD_NOW | RTLD_LOCAL);
    const auto create = reinterpret_cast<CreateBackendFunction>(::dlsym(library, kCreateBackendSymbol));
    BackendOptions options;
    options.memory_bytes = kMemory;
    options.window_is_reserved = true;  // leaves the stdout of this process alone
    backend_.reset(create(kBackendAbi, options));
    const auto devices = backend_->Open(window, kWindowBytes, this);
    EXPECT_TRUE(devices.ok()) << devices.status().ToString();
    EXPECT_EQ(devices->front().import_unit_bytes, kCell);
    EXPECT_TRUE(backend_->StreamCreate(0, 0, 0, 0).ok());
    EXPECT_TRUE(backend_->StreamCreate(kStream, 0, kNonBlocking, 0).ok());
  }
  Backend& backend() { return *backend_; }
  std::uint64_t window() const { return window_; }
  // Where a session puts what it opens.
  std::uint64_t imports() const { return window_ + kWindowBytes / 4 * 3; }

  void Write(std::uint64_t address, Bytes bytes) {
    CopyJob job;
    job.dst.address = address;
    job.src.kind = CopySide::Kind::kBody;
    job.width = bytes.size();
    job.body = std::make_unique<OwnedBody>(std::move(bytes));
    Run(std::move(job));
  }
  Bytes Read(std::uint64_t address, std::uint64_t bytes) {
    CopyJob job;
    job.dst.kind = CopySide::Kind::kToken;
    job.dst.token = ++token_;
    job.src.address = address;
    job.width = bytes;
    Run(std::move(job));
    const std::lock_guard lock(mu_);
    return received_[token_];
  }
  bool HasRoom() const { return backend_->InFlight(kStream) < limits::kStreamInFlightMax; }

 private:
  static constexpr std::uint32_t kStream = 1;

  void Run(CopyJob job) {
    EXPECT_TRUE(backend_->Copy(kStream, ++sequence_, std::move(job)).ok());
    if (backend_->WantsInputDrained()) backend_->InputDrained();
    std::unique_lock lock(mu_);
    EXPECT_TRUE(changed_.wait_for(lock, std::chrono::seconds(10), [this] { return completed_ >= sequence_; }));
  }
  void Completed(std::uint32_t stream, std::uint64_t sequence) override {
    const std::lock_guard lock(mu_);
    if (stream == kStream) completed_ = std::max(completed_, sequence);
    changed_.notify_all();
  }
  void Failed(std::uint32_t, std::uint64_t, DeviceStatus, bool, std::string_view text) override {
    ADD_FAILURE() << text;
  }
  Status SendToClient(std::uint64_t token, std::uint64_t, ByteView bytes) override {
    const std::lock_guard lock(mu_);
    received_[token].insert(received_[token].end(), bytes.begin(), bytes.end());
    return Status::Ok();
  }
  void Output(std::uint64_t, std::string_view) override {}
  void Complaint(std::uint64_t, std::string_view) override {}

  std::uint64_t window_;
  std::mutex mu_;
  std::condition_variable changed_;
  std::uint64_t completed_ = 0;
  std::map<std::uint64_t, Bytes> received_;
  std::uint64_t sequence_ = 0;
  std::uint64_t token_ = 0;
  std::unique_ptr<Backend> backend_;  // ends first
};

class SharedMemoryTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ::setenv("ACCELMESH_LIBCUDA", ACCELMESH_CONTRACT_LIBCUDA, 1);
    ::setenv("ACCELMESH_CONTRACT", "devices=1", 1);
    CONTRACT(contract_reset)();
    a_ = std::make_unique<Worker>(kWindow);
    b_ = std::make_unique<Worker>(kWindow + kWindowBytes);
    CONTRACT(contract_set_executor)(1);
  }
  void TearDown() override {
    CONTRACT(contract_set_executor)(0);
    Drop(&memory_);
    a_.reset();
    b_.reset();
    EXPECT_EQ(CONTRACT(contract_violations)(), 0u) << CONTRACT(contract_last_violation)();
  }
  static void Drop(SharedMemory* memory) {
    for (const SharedPiece& piece : memory->pieces) EXPECT_EQ(::close(piece.fd), 0);
    memory->pieces.clear();
  }
  // Exports from `a_`, which needs no more than a moment.
  void Export(std::uint64_t address, std::uint64_t bytes) {
    Drop(&memory_);
    auto memory = a_->backend().ExportMemory(0, address, bytes);
    ASSERT_TRUE(memory.ok()) << memory.status().ToString();
    memory_ = *std::move(memory);
    for (const SharedPiece& piece : memory_.pieces) EXPECT_TRUE(piece.fd >= 0 && piece.id != 0 && piece.offset == 0);
  }
  // An allocation of `a_` that begins in a chunk of another one and has one of its own.
  static constexpr std::uint64_t kLead = limits::kMiB;
  static constexpr std::uint64_t kBytes = 2 * kCell;
  void ExportTwoPieces() {
    ASSERT_TRUE(a_->backend().MemAlloc(0, a_->window(), 512).ok());
    ASSERT_TRUE(a_->backend().MemAlloc(0, a_->window() + kLead, kBytes).ok());
    Export(a_->window() + kLead, kBytes);
    ASSERT_EQ(memory_.pieces.size(), 2u);
    EXPECT_EQ(memory_.lead, kLead);
    EXPECT_EQ(memory_.span(), 3 * kCell);
    EXPECT_NE(memory_.pieces[0].id, memory_.pieces[1].id);
  }

  std::unique_ptr<Worker> a_;
  std::unique_ptr<Worker> b_;
  SharedMemory memory_;
};

TEST_F(SharedMemoryTest, AnAllocationOfSeveralChunksIsTheSameMemoryElsewhere) {
  EXPECT_TRUE(a_->backend().shares_memory());
  ExportTwoPieces();
  const std::uint64_t here = a_->window() + kLead;
  const std::uint64_t there = b_->imports() + kLead;
  ASSERT_TRUE(b_->backend().ShareMemory(0, memory_, there, kBytes).ok());
  Drop(&memory_);
  const std::uint64_t last = kBytes - 4;
  for (const std::uint64_t at : {std::uint64_t{0}, kCell - kLead - 2, last}) {
    a_->Write(here + at, {1, 2, 3, 4});
    EXPECT_EQ(b_->Read(there + at, 4), (Bytes{1, 2, 3, 4})) << at;
    b_->Write(there + at, {5, 6, 7, 8});
    EXPECT_EQ(a_->Read(here + at, 4), (Bytes{5, 6, 7, 8})) << at;
  }
  // It stays as it is where it is open, whatever becomes of its session.
  CONTRACT(contract_set_executor)(0);
  a_.reset();
  CONTRACT(contract_set_executor)(1);
  EXPECT_EQ(b_->Read(there + last, 4), (Bytes{5, 6, 7, 8}));
  const auto unmapped = CONTRACT(contract_calls)("cuMemUnmap");
  ASSERT_TRUE(b_->backend().UnshareMemory(there, kBytes).ok());
  EXPECT_EQ(CONTRACT(contract_calls)("cuMemUnmap"), unmapped + 2);
  EXPECT_FALSE(b_->backend().UnshareMemory(there, kBytes).ok());
}

TEST_F(SharedMemoryTest, OneMemoryMayBeOpenAtSeveralPlaces) {
  ExportTwoPieces();
  for (const std::uint64_t place : {b_->imports(), b_->imports() + 3 * kCell})
    ASSERT_TRUE(b_->backend().ShareMemory(0, memory_, place + kLead, kBytes).ok());
  b_->Write(b_->imports() + kLead, {9});
  EXPECT_EQ(b_->Read(b_->imports() + 3 * kCell + kLead, 1), Bytes{9});
  // The second is left to the end of the session.
  ASSERT_TRUE(b_->backend().UnshareMemory(b_->imports() + kLead, kBytes).ok());
}

TEST_F(SharedMemoryTest, AFileHasOneIdAndNoOtherHasIt) {
  ASSERT_TRUE(a_->backend().MemAlloc(0, a_->window(), 512).ok());
  ASSERT_TRUE(a_->backend().MemAlloc(0, a_->window() + 512, 512).ok());
  Export(a_->window(), 512);
  const std::uint64_t first = memory_.pieces.at(0).id;
  Export(a_->window() + 512, 512);
  EXPECT_EQ(memory_.pieces.at(0).id, first);
  EXPECT_EQ(memory_.lead, 512u);
  for (const std::uint64_t at : {0, 512}) ASSERT_TRUE(a_->backend().MemFree(0, a_->window() + at).ok());
  // All that the session may have, so that the chunk goes and comes again.
  const std::uint64_t behind = a_->window() + kCell;
  ASSERT_TRUE(a_->backend().MemAlloc(0, behind, 8 * kCell).ok());
  while (!a_->HasRoom()) ::usleep(1000);
  ASSERT_TRUE(a_->backend().MemFree(0, behind).ok());
  ASSERT_TRUE(a_->backend().MemAlloc(0, a_->window(), 512).ok());
  while (!a_->HasRoom()) ::usleep(1000);
  Export(a_->window(), 512);
  EXPECT_NE(memory_.pieces.at(0).id, first);
}

TEST_F(SharedMemoryTest, MemoryThatIsStillLookedForIsExportedLater) {
  // The service thread is busy, so that an allocation that has to wait for it waits.
  CONTRACT(contract_delay)("cuCtxSetLimit", 200000);
  ASSERT_TRUE(a_->backend().SetLimit(0, 0, 4096).ok());
  CONTRACT(contract_inject_error)("cuMemCreate", 1, 2);
  ASSERT_TRUE(a_->backend().MemAlloc(0, a_->window(), 512).ok());
  EXPECT_EQ(a_->backend().ExportMemory(0, a_->window(), 512).code(), Code::kFull);
  while (!a_->HasRoom()) ::usleep(1000);
  Export(a_->window(), 512);
}

TEST_F(SharedMemoryTest, WhatCannotBeMappedLeavesNothingBehind) {
  ExportTwoPieces();
  const std::uint64_t there = b_->imports() + kLead;
  EXPECT_EQ(b_->backend().ShareMemory(0, memory_, there + 4096, kBytes).code(), Code::kInvalidArgument);
  CONTRACT(contract_inject_error)("cuMemMap", 2, 2);
  EXPECT_EQ(b_->backend().ShareMemory(0, memory_, there, kBytes).code(), Code::kOutOfMemory);
  CONTRACT(contract_inject_error)("cuMemImportFromShareableHandle", 2, 1);
  EXPECT_EQ(b_->backend().ShareMemory(0, memory_, there, kBytes).code(), Code::kInvalidArgument);
  EXPECT_TRUE(b_->backend().ShareMemory(0, memory_, there, kBytes).ok());
  CONTRACT(contract_inject_error)("cuMemExportToShareableHandle", 2, 304);
  EXPECT_EQ(a_->backend().ExportMemory(0, a_->window() + kLead, kBytes).code(), Code::kSystem);
}

}  // namespace
}  // namespace accelmesh
