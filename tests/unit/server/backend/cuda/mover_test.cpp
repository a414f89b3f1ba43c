// The end of a cuda backend of which a thread does not come back from the driver, on the contract libcuda.
#include <dlfcn.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <future>
#include <thread>

#include "protocol/base/clock.h"
#include "protocol/base/limits.h"
#include "protocol/transport/direct.h"
#include "server/device.h"

namespace accelmesh {
namespace {

constexpr std::uint64_t kWindow = 0x5500'0000'0000;
constexpr std::uint64_t kWindowBytes = 64 * limits::kGiB;
constexpr std::uint64_t kDownload = limits::kMiB;

// A session that is over at some time, and is told nothing after that.
class EndingSink final : public CompletionSink {
 public:
  void Completed(std::uint32_t, std::uint64_t) override { Note(); }
  void Failed(std::uint32_t, std::uint64_t, DeviceStatus, bool, std::string_view) override { Note(); }
  Status SendToClient(std::uint64_t, std::uint64_t, ByteView) override {
    Note();
    return {Code::kClosed, "EndingSink", "it is over"};
  }
  void Output(std::uint64_t, std::string_view) override { Note(); }
  void Complaint(std::uint64_t, std::string_view) override { Note(); }

  std::atomic<bool> is_over{false};
  std::atomic<int> told_too_late{0};

 private:
  void Note() {
    if (is_over) ++told_too_late;
  }
};

// Whose SendDevice() is in the driver until the test has it come back.
class StuckLane final : public DirectLane {
 public:
  DirectMeans Join(DirectMemory&) override { return DirectMeans::kDmaBuf; }
  void Leave() override { ++left; }
  void Abandon() override { ++abandoned; }
  MutableByteView bodies() override { return arena_; }
  void NotePinned(MutableByteView) override {}
  void NoteCopied(std::uint64_t) override {}
  Status SendDevice(std::uint64_t, std::uint64_t, const DirectBlock&, std::uint64_t, std::uint64_t, Deadline) override {
    is_there.set_value();
    comes_back.get_future().wait();
    return {Code::kClosed, "StuckLane", "the connection has ended"};
  }
  void Forget(const DirectBlock&) override {}

  std::promise<void> is_there;
  std::promise<void> comes_back;
  std::atomic<int> left{0};
  std::atomic<int> abandoned{0};

 private:
  alignas(4096) std::uint8_t arena_[kBodyUnitBytes] = {};
};

enum Exit { kGood, kNoBackend, kNoDownload, kNotAbandoned, kToldTooLate };

// What the end of a process is that ends with such a thread.
[[noreturn]] void EndWithAStuckThread() {
  ::setenv("ACCELMESH_LIBCUDA", ACCELMESH_CONTRACT_LIBCUDA, 1);
  ::setenv("ACCELMESH_CONTRACT", "devices=1", 1);
  void* const library = ::dlopen(ACCELMESH_BACKEND_CUDA, RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) ::_exit(kNoBackend);
  const auto create = reinterpret_cast<CreateBackendFunction>(::dlsym(library, kCreateBackendSymbol));
  BackendOptions options;
  options.window_is_reserved = true;  // leaves the stdout of this process alone
  static EndingSink sink;
  static StuckLane lane;
  const std::unique_ptr<Backend> backend(create(kBackendAbi, options));
  backend->UseDirect(&lane);
  if (!backend->Open(kWindow, kWindowBytes, &sink).ok() || !backend->StreamCreate(0, 0, 1, 0).ok() ||
      !backend->MemAlloc(0, kWindow, kDownload).ok())
    ::_exit(kNoBackend);
  CopyJob job;
  job.dst.kind = CopySide::Kind::kToken;
  job.src.address = kWindow;
  job.width = kDownload;
  if (!backend->Copy(0, 1, std::move(job)).ok()) ::_exit(kNoDownload);
  if (backend->WantsInputDrained()) backend->InputDrained();
  lane.is_there.get_future().wait();
  backend->Close();
  sink.is_over = true;
  if (lane.abandoned != 1 || lane.left != 0) ::_exit(kNotAbandoned);
  lane.comes_back.set_value();
  const Deadline deadline = Deadline::After(std::chrono::milliseconds(300));
  while (sink.told_too_late == 0 && !deadline.passed()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  ::_exit(sink.told_too_late == 0 ? kGood : kToldTooLate);
}

TEST(CudaBackendDeathTest, AThreadThatDoesNotComeBackUsesTheLaneOnAndTellsNobody) {
  ::testing::FLAGS_gtest_death_test_style = "threadsafe";
  EXPECT_EXIT(EndWithAStuckThread(), ::testing::ExitedWithCode(kGood), "a call of the driver does not return");
}

}  // namespace
}  // namespace accelmesh
