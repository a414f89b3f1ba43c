// server/backend/cpu/grid.cpp: which blocks and tasks make progress, on one thread and on several.
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <condition_variable>
#include <cstring>
#include <mutex>

#include "protocol/base/limits.h"
#include "server/backend/cpu/device.h"

namespace accelmesh {
namespace {

using std::chrono::seconds;

constexpr std::uint64_t kWindowBytes = 4 * limits::kGiB;
constexpr std::uint8_t kNonBlocking = 2;
constexpr std::uint32_t kModule = 1;

// Keeps what the backend reports.
class Sink final : public CompletionSink {
 public:
  void Completed(std::uint32_t stream, std::uint64_t sequence) override {
    const std::lock_guard lock(mu_);
    completed_[stream] = sequence;
    changed_.notify_all();
  }
  void Passing(std::uint32_t stream, std::uint64_t sequence) override {
    {
      const std::lock_guard lock(mu_);
      passing_.push_back(sequence);
    }
    Completed(stream, sequence);
  }
  void Failed(std::uint32_t, std::uint64_t, DeviceStatus status, bool sticky, std::string_view text) override {
    const std::lock_guard lock(mu_);
    faults_.push_back({status, sticky, std::string(text)});
  }
  Status SendToClient(std::uint64_t, std::uint64_t, ByteView) override { return Status::Ok(); }
  void Output(std::uint64_t, std::string_view) override {}
  void Complaint(std::uint64_t, std::string_view) override {}

  bool Wait(std::uint32_t stream, std::uint64_t sequence, seconds patience = seconds(20)) {
    std::unique_lock lock(mu_);
    return changed_.wait_for(lock, patience, [&] { return completed_[stream] >= sequence; });
  }
  std::vector<std::uint64_t> passing() {
    const std::lock_guard lock(mu_);
    return passing_;
  }
  struct Fault {
    DeviceStatus status;
    bool sticky;
    std::string text;
  };
  std::vector<Fault> faults() {
    const std::lock_guard lock(mu_);
    return faults_;
  }

 private:
  std::mutex mu_;
  std::condition_variable changed_;
  std::map<std::uint32_t, std::uint64_t> completed_;
  std::vector<std::uint64_t> passing_;
  std::vector<Fault> faults_;
};

// Kernels, by their place in the module. The third is the barrier of cooperative groups' grid.sync().
enum Kernel : std::uint32_t { kWait, kSpin, kMeet, kUnknown, kTrap, kFixed };
constexpr const char* kText = R"(.version 8.0
.target sm_80
.address_size 64
.visible .entry wait(.param .u64 p)
{ .reg .b64 %rd<4>; .reg .b32 %r<4>; .reg .pred %p<2>; ld.param.u64 %rd1, [p];
LOOP: ld.acquire.gpu.global.u32 %r1, [%rd1]; setp.eq.u32 %p1, %r1, 0; @%p1 bra LOOP; red.global.add.u32 [%rd1+4], 1; ret; }
.visible .entry spin(.param .u64 p)
{ LOOP: bra LOOP; }
.visible .entry meet(.param .u64 p)
{ .reg .b64 %rd<4>; .reg .b32 %r<8>; .reg .pred %p<3>; ld.param.u64 %rd1, [p]; mov.u32 %r1, %envreg2; cvt.u64.u32 %rd2, %r1;
mov.u32 %r1, %envreg1; cvt.u64.u32 %rd3, %r1; bfi.b64 %rd2, %rd3, %rd2, 32, 32; red.global.add.u32 [%rd1], 1;
barrier.sync 0; mov.u32 %r1, %tid.x; setp.ne.u32 %p1, %r1, 0; @%p1 bra ALL; mov.u32 %r2, %nctaid.x; mov.u32 %r3, %ctaid.x;
setp.eq.u32 %p2, %r3, 0; mov.u32 %r4, -2147483647; sub.u32 %r4, %r4, %r2; selp.b32 %r4, %r4, 1, %p2;
atom.add.release.gpu.u32 %r5, [%rd2+4], %r4; SPIN: ld.acquire.gpu.u32 %r6, [%rd2+4]; xor.b32 %r6, %r6, %r5;
setp.gt.s32 %p2, %r6, -1; @%p2 bra SPIN; ALL: barrier.sync 0;
ld.volatile.global.u32 %r7, [%rd1]; mov.u32 %r2, %nctaid.x; mov.u32 %r3, %ntid.x; mul.lo.u32 %r2, %r2, %r3;
setp.ne.u32 %p1, %r7, %r2; @%p1 red.global.add.u32 [%rd1+4], 1; ret; }
.visible .entry unknown(.param .u64 p) { frobnicate; ret; }
.visible .entry trap(.param .u64 p) { trap; }
.visible .entry fixed(.param .u64 p) .reqntid 32
{ .reg .b64 %rd<2>; ld.param.u64 %rd1, [p]; red.global.add.u32 [%rd1], 1; ret; }
)";

class Grids : public testing::TestWithParam<std::uint32_t> {
 protected:
  void SetUp() override {
    void* window = ::mmap(nullptr, kWindowBytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    ASSERT_NE(window, MAP_FAILED);
    base_ = reinterpret_cast<std::uint64_t>(window);
    BackendOptions options;
    options.cpu_threads = GetParam();
    options.window_is_reserved = true;
    backend_ = std::make_unique<CpuBackend>(options);
    ASSERT_TRUE(backend_->Open(base_, kWindowBytes, &sink_).ok());
    ASSERT_TRUE(backend_->MemAlloc(0, base_, 4096).ok());
    const ByteView text(reinterpret_cast<const std::uint8_t*>(kText), std::strlen(kText));
    ASSERT_TRUE(backend_->ModuleLoad(0, kModule, Bytes(text.begin(), text.end())).ok());
    for (const std::uint32_t stream : {1u, 2u}) ASSERT_TRUE(backend_->StreamCreate(stream, 0, kNonBlocking, 0).ok());
  }
  void TearDown() override {
    backend_->Close();
    ::munmap(reinterpret_cast<void*>(base_), kWindowBytes);
  }
  void Launch(std::uint32_t stream, std::uint64_t sequence, Kernel kernel, std::uint32_t blocks, std::uint32_t threads,
              bool cooperative = false) {
    LaunchJob job;
    job.module = kModule;
    job.kernel = kernel;
    job.grid = {blocks, 1, 1};
    job.block = {threads, 1, 1};
    job.cooperative = cooperative;
    job.arguments = {reinterpret_cast<const std::uint8_t*>(&base_), sizeof(base_)};
    ASSERT_TRUE(backend_->Launch(stream, sequence, job).ok());
  }
  void Fill(std::uint32_t stream, std::uint64_t sequence, std::uint32_t value) {
    FillJob job;
    job.address = base_;
    job.width = 1;
    job.element_bytes = 4;
    job.value = value;
    ASSERT_TRUE(backend_->Fill(stream, sequence, job).ok());
  }
  std::uint32_t Word(std::uint32_t index) const { return reinterpret_cast<const std::uint32_t*>(base_)[index]; }

  std::uint64_t base_ = 0;
  Sink sink_;
  std::unique_ptr<CpuBackend> backend_;
};
INSTANTIATE_TEST_SUITE_P(Threads, Grids, testing::Values(1u, 2u, 4u));

// However many blocks spin, work of another stream comes to its turn.
TEST_P(Grids, BlocksWaitForAnotherStream) {
  Launch(1, 1, kWait, 100, 64);
  Fill(2, 2, 1);
  EXPECT_TRUE(sink_.Wait(2, 2));
  ASSERT_TRUE(sink_.Wait(1, 1));
  EXPECT_EQ(Word(1), 6400u);
  EXPECT_TRUE(sink_.faults().empty());
}

// Two grids that never end, on two streams: a third stream's work still runs.
TEST_P(Grids, EndlessGridsLeaveRoomForOthers) {
  ASSERT_TRUE(backend_->StreamCreate(3, 0, kNonBlocking, 0).ok());
  Launch(1, 1, kSpin, 3, 1024);
  Launch(2, 2, kSpin, 1, 32);
  for (std::uint64_t sequence = 3; sequence < 20; ++sequence) {
    Fill(3, sequence, 7);
    ASSERT_TRUE(sink_.Wait(3, sequence)) << sequence;
  }
  const auto begin = Clock::now();
  backend_->Close();
  EXPECT_LT(Clock::now() - begin, seconds(5)) << "endless kernels end with the session";
}

// As many blocks as the device says that it holds meet, and one more is refused.
TEST_P(Grids, CooperativeGrids) {
  std::uint64_t sequence = 0;
  for (const auto& [threads, per_processor] : {std::pair{1024u, 1u}, {300u, 3u}, {64u, 16u}, {1u, 16u}}) {
    const std::uint32_t most = GetParam() * per_processor;
    for (const std::uint32_t blocks : {1u, most / 2 + 1, most}) {
      std::memset(reinterpret_cast<void*>(base_), 0, 8);
      Launch(1, ++sequence, kMeet, blocks, threads, true);
      ASSERT_TRUE(sink_.Wait(1, sequence)) << blocks << " blocks of " << threads;
      EXPECT_EQ(Word(0), blocks * threads);
      EXPECT_EQ(Word(1), 0u) << "a thread went on before all had come";
    }
    EXPECT_TRUE(sink_.faults().empty());
  }
  Launch(1, ++sequence, kMeet, GetParam() * 16 + 1, 64, true);
  ASSERT_TRUE(sink_.Wait(1, sequence));
  ASSERT_EQ(sink_.faults().size(), 1u);
  EXPECT_EQ(sink_.faults()[0].status, kDeviceCooperativeLaunchTooLarge);
  EXPECT_FALSE(sink_.faults()[0].sticky);
  std::memset(reinterpret_cast<void*>(base_), 0, 8);
  Launch(1, ++sequence, kMeet, 2, 32, true);
  ASSERT_TRUE(sink_.Wait(1, sequence));
  EXPECT_EQ(Word(0), 64u);
}

// What the client may hear of later: work that nobody waits for by itself, with sixteen of its stream's behind it.
TEST_P(Grids, WhatPasses) {
  constexpr std::uint64_t kGate = 1;
  constexpr std::uint64_t kCall = 2;
  ASSERT_TRUE(backend_->HostWait(1, 1, kGate).ok());
  for (std::uint64_t sequence = 2; sequence <= 8; ++sequence) Fill(1, sequence, 1);
  ASSERT_TRUE(backend_->EventCreate(0, false).ok());
  ASSERT_TRUE(backend_->EventRecord(1, 9, 0).ok());
  Launch(1, 10, kWait, 1, 32);
  CopyJob copy;
  copy.src.address = base_;
  copy.dst.kind = CopySide::Kind::kToken;
  copy.width = 4;
  ASSERT_TRUE(backend_->Copy(1, 11, std::move(copy)).ok());
  Fill(1, 12, 1);
  // Its first half says of the command before it that the stream has come there.
  ASSERT_TRUE(backend_->HostWait(1, 13, kCall).ok());
  CopyJob inside;
  inside.src.address = base_;
  inside.dst.address = base_ + 64;
  inside.width = 4;
  ASSERT_TRUE(backend_->Copy(1, 14, std::move(inside)).ok());
  ASSERT_TRUE(backend_->StreamWaitEvent(1, 15, 0).ok());
  for (std::uint64_t sequence = 16; sequence <= 31; ++sequence) Fill(1, sequence, 1);
  // All of it stands behind the first now.
  ASSERT_TRUE(backend_->HostDone(kGate).ok());
  ASSERT_TRUE(sink_.Wait(1, 12));
  ASSERT_TRUE(backend_->HostDone(kCall).ok());
  ASSERT_TRUE(sink_.Wait(1, 31));
  EXPECT_EQ(sink_.passing(), (std::vector<std::uint64_t>{2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 15}));
}

// .reqntid: a launch with any other block does nothing, and the context lives.
TEST_P(Grids, RequiredBlocks) {
  Launch(1, 1, kFixed, 2, 64);
  ASSERT_TRUE(sink_.Wait(1, 1));
  ASSERT_EQ(sink_.faults().size(), 1u);
  EXPECT_EQ(sink_.faults()[0].status, kDeviceInvalidValue);
  EXPECT_FALSE(sink_.faults()[0].sticky);
  EXPECT_NE(sink_.faults()[0].text.find("kernel fixed"), std::string::npos) << sink_.faults()[0].text;
  Launch(1, 2, kFixed, 2, 32);
  ASSERT_TRUE(sink_.Wait(1, 2));
  EXPECT_EQ(sink_.faults().size(), 1u);
  EXPECT_EQ(Word(0), 64u);
}

// A grid that cannot run, or whose first block faults, is over at once, however large it is.
TEST_P(Grids, FailedGridsEnd) {
  Launch(1, 1, kUnknown, 0x7fffffffu, 32);
  ASSERT_TRUE(sink_.Wait(1, 1, seconds(5)));
  ASSERT_EQ(sink_.faults().size(), 1u);
  EXPECT_EQ(sink_.faults()[0].status, kDeviceNotSupported);
  Launch(2, 2, kSpin, 8, 64);
  Launch(1, 3, kTrap, 0x7fffffffu, 32);
  ASSERT_TRUE(sink_.Wait(1, 3, seconds(5)));
  ASSERT_TRUE(sink_.Wait(2, 2, seconds(5))) << "a fault ends what else runs in the context";
  ASSERT_EQ(sink_.faults().size(), 2u);
  EXPECT_EQ(sink_.faults()[1].status, kDeviceLaunchFailed);
  EXPECT_TRUE(sink_.faults()[1].sticky);
  EXPECT_NE(sink_.faults()[1].text.find("kernel trap"), std::string::npos) << sink_.faults()[1].text;
}

}  // namespace
}  // namespace accelmesh
