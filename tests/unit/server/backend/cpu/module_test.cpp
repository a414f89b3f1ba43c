// Modules of the cpu backend: where their variables lie, and when a place is another's.
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <condition_variable>
#include <mutex>

#include "protocol/base/limits.h"
#include "server/backend/cpu/device.h"

namespace accelmesh {
namespace {

constexpr std::uint64_t kWindowBytes = 4 * limits::kGiB;
constexpr std::uint32_t kStream = 1;

class Sink final : public CompletionSink {
 public:
  void Completed(std::uint32_t, std::uint64_t) override {}
  void Failed(std::uint32_t, std::uint64_t, DeviceStatus, bool, std::string_view) override {}
  Status SendToClient(std::uint64_t, std::uint64_t, ByteView) override { return Status::Ok(); }
  void Drained(std::uint32_t) override {
    const std::lock_guard lock(mu_);
    drained_ = true;
    changed_.notify_all();
  }
  void Output(std::uint64_t, std::string_view) override {}
  void Complaint(std::uint64_t, std::string_view) override {}
  bool WaitUntilDrained() {
    std::unique_lock lock(mu_);
    return changed_.wait_for(lock, std::chrono::seconds(20), [this] { return drained_; });
  }

 private:
  std::mutex mu_;
  std::condition_variable changed_;
  bool drained_ = false;
};

class Modules : public testing::Test {
 protected:
  void SetUp() override {
    void* window = ::mmap(nullptr, kWindowBytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    ASSERT_NE(window, MAP_FAILED);
    base_ = reinterpret_cast<std::uint64_t>(window);
    BackendOptions options;
    options.cpu_threads = 1;
    options.window_is_reserved = true;
    backend_ = std::make_unique<CpuBackend>(options);
    ASSERT_TRUE(backend_->Open(base_, kWindowBytes, &sink_).ok());
    ASSERT_TRUE(backend_->StreamCreate(kStream, 0, 2, 0).ok());
  }
  void TearDown() override {
    backend_.reset();
    ::munmap(reinterpret_cast<void*>(base_), kWindowBytes);
  }
  // A module with one variable; its address, 0 if it does not load.
  std::uint64_t Load(std::uint32_t id, std::uint64_t bytes, const std::string& more = "") {
    const std::string text = ".version 8.0\n.target sm_80\n.address_size 64\n.global .align 4 .b8 v[" +
                             std::to_string(bytes) + "];\n" + more;
    const Result<ModuleDescription> module = backend_->ModuleLoad(0, id, Bytes(text.begin(), text.end()));
    return module.ok() ? module->globals.at(0).address : 0;
  }

  Sink sink_;
  std::uint64_t base_ = 0;
  std::unique_ptr<CpuBackend> backend_;
};

TEST_F(Modules, AreLoadedAndUnloadedForEver) {
  constexpr std::uint64_t kBytes = 16 * limits::kMiB;
  for (std::uint32_t id = 0; id < 100; ++id) {
    const std::uint64_t address = Load(id, kBytes);
    ASSERT_NE(address, 0u) << id;
    auto* const bytes = reinterpret_cast<std::uint8_t*>(address);
    ASSERT_EQ(bytes[kBytes - 1], 0) << "what another left";
    bytes[kBytes - 1] = 1;
    ASSERT_TRUE(backend_->ModuleUnload(id).ok());
  }
}

TEST_F(Modules, ThatDoNotLoadTakeNoRoom) {
  const std::uint64_t before = Load(1, 1000);
  ASSERT_TRUE(backend_->ModuleUnload(1).ok());
  EXPECT_EQ(Load(2, 1000, ".global .u64 p = nobody;\n"), 0u);
  EXPECT_EQ(Load(3, 1000), before);
}

TEST_F(Modules, HaveRoomOfTheirOwn) {
  const std::uint64_t first = Load(1, 1000);
  const std::uint64_t second = Load(2, 1000);
  const std::uint64_t third = Load(3, 1000);
  EXPECT_EQ(second - first, 1024u);
  EXPECT_EQ(third - second, 1024u);
  // What two leave side by side has room for a larger one, and for no other's bytes.
  ASSERT_TRUE(backend_->ModuleUnload(1).ok());
  ASSERT_TRUE(backend_->ModuleUnload(2).ok());
  EXPECT_EQ(Load(4, 2049), third + 1024);
  EXPECT_EQ(Load(5, 2048), first);
}

TEST_F(Modules, KeepTheirVariablesForTheWorkThatIsUnderWay) {
  const std::uint64_t first = Load(1, 1000);
  ASSERT_TRUE(backend_->HostWait(kStream, 2, 7).ok());
  ASSERT_TRUE(backend_->ModuleUnload(1).ok());
  EXPECT_NE(Load(2, 1000), first) << "a copy behind the wait may mean it";
  ASSERT_TRUE(backend_->HostDone(7).ok());
  ASSERT_TRUE(sink_.WaitUntilDrained());
  EXPECT_EQ(Load(3, 1000), first);
}

}  // namespace
}  // namespace accelmesh
