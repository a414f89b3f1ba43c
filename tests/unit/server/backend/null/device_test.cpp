#include "server/backend/null/device.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "protocol/base/clock.h"
#include "protocol/base/limits.h"
#include "protocol/library/dnn_calls.h"

namespace accelmesh {
namespace {

using testing::ElementsAre;
using testing::Pair;

constexpr std::uint64_t kBase = 0x2000'0000'0000;
constexpr std::uint64_t kBytes = 16 * limits::kGiB;
constexpr std::uint32_t kLegacyStream = 0;
constexpr std::uint32_t kBlocking = 1;
constexpr std::uint32_t kOtherBlocking = 2;
constexpr std::uint32_t kNonBlocking = 3;

class RecordingSink final : public CompletionSink {
 public:
  void Completed(std::uint32_t stream, std::uint64_t sequence) override {
    const std::lock_guard lock(mu_);
    completed_.emplace_back(stream, sequence);
    changed_.notify_all();
  }
  void Failed(std::uint32_t stream, std::uint64_t sequence, DeviceStatus, bool, std::string_view text) override {
    ADD_FAILURE() << "stream " << stream << ", command " << sequence << ": " << text;
  }
  Status SendToClient(std::uint64_t token, std::uint64_t offset, ByteView bytes) override {
    std::unique_lock lock(mu_);
    changed_.wait(lock, [this] { return sending_allowed_; });
    Bytes& body = sent_[token];
    EXPECT_EQ(body.size(), offset);
    body.insert(body.end(), bytes.begin(), bytes.end());
    return Status::Ok();
  }
  void Output(std::uint64_t, std::string_view) override {}
  void Complaint(std::uint64_t, std::string_view) override {}

  void AllowSending(bool allowed) {
    const std::lock_guard lock(mu_);
    sending_allowed_ = allowed;
    changed_.notify_all();
  }
  std::vector<std::pair<std::uint32_t, std::uint64_t>> Completions(std::size_t count) {
    std::unique_lock lock(mu_);
    EXPECT_TRUE(changed_.wait_for(lock, std::chrono::seconds(10), [&] { return completed_.size() >= count; }));
    return completed_;
  }
  Bytes Sent(std::uint64_t token) {
    const std::lock_guard lock(mu_);
    return sent_[token];
  }

 private:
  std::mutex mu_;
  std::condition_variable changed_;
  bool sending_allowed_ = true;
  std::vector<std::pair<std::uint32_t, std::uint64_t>> completed_;
  std::map<std::uint64_t, Bytes> sent_;
};

class NullBackendTest : public testing::Test {
 protected:
  NullBackendTest() : backend_(BackendOptions{}) {
    auto devices = backend_.Open(kBase, kBytes, &sink_);
    EXPECT_TRUE(devices.ok());
    devices_ = *std::move(devices);
    const std::uint8_t kinds[] = {0, 1, 1, 2};
    for (std::uint32_t s = 0; s < 4; ++s) EXPECT_TRUE(backend_.StreamCreate(s, 0, kinds[s], 0).ok());
  }
  void Launch(std::uint32_t stream, std::uint64_t sequence) {
    EXPECT_TRUE(backend_.Launch(stream, sequence, LaunchJob{}).ok());
  }
  void CopyOut(std::uint32_t stream, std::uint64_t sequence, std::uint64_t token, std::uint64_t bytes) {
    CopyJob job;
    job.src.address = kBase;
    job.dst.kind = CopySide::Kind::kToken;
    job.dst.token = token;
    job.width = bytes;
    EXPECT_TRUE(backend_.Copy(stream, sequence, std::move(job)).ok());
  }

  RecordingSink sink_;
  NullBackend backend_;
  std::vector<DeviceDescription> devices_;
};

TEST_F(NullBackendTest, CompletesAtOnce) {
  Launch(kBlocking, 1);
  EXPECT_TRUE(backend_.Fill(kLegacyStream, 2, FillJob{}).ok());
  CopyJob to_device;
  to_device.width = 8;
  EXPECT_TRUE(backend_.Copy(kNonBlocking, 3, std::move(to_device)).ok());
  EXPECT_THAT(sink_.Completions(3), ElementsAre(Pair(kBlocking, 1), Pair(kLegacyStream, 2), Pair(kNonBlocking, 3)));
  EXPECT_EQ(backend_.InFlight(kBlocking), 0u);
  ASSERT_EQ(devices_.size(), 1u);
  EXPECT_GE(devices_[0].window_base, kBase);
}

TEST_F(NullBackendTest, HeldStreamKeepsItsCommandsAndTheirOrder) {
  EXPECT_TRUE(backend_.Hold(kBlocking, true).ok());
  Launch(kBlocking, 1);
  Launch(kBlocking, 2);
  Launch(kOtherBlocking, 3);
  Launch(kNonBlocking, 4);
  EXPECT_THAT(sink_.Completions(2), ElementsAre(Pair(kOtherBlocking, 3), Pair(kNonBlocking, 4)));
  EXPECT_EQ(backend_.InFlight(kBlocking), 2u);
  EXPECT_EQ(backend_.InFlight(kOtherBlocking), 0u);
  EXPECT_TRUE(backend_.Hold(kBlocking, false).ok());
  EXPECT_THAT(sink_.Completions(4),
              ElementsAre(Pair(kOtherBlocking, 3), Pair(kNonBlocking, 4), Pair(kBlocking, 1), Pair(kBlocking, 2)));
  EXPECT_EQ(backend_.InFlight(kBlocking), 0u);
}

TEST_F(NullBackendTest, LegacyStreamWaitsForBlockingOnesAndTheyForIt) {
  EXPECT_TRUE(backend_.Hold(kBlocking, true).ok());
  Launch(kBlocking, 1);
  Launch(kLegacyStream, 2);   // behind 1
  Launch(kOtherBlocking, 3);  // behind 2
  Launch(kNonBlocking, 4);    // behind nothing
  EXPECT_THAT(sink_.Completions(1), ElementsAre(Pair(kNonBlocking, 4)));
  EXPECT_EQ(backend_.InFlight(kLegacyStream), 1u);
  EXPECT_TRUE(backend_.Hold(kBlocking, false).ok());
  EXPECT_THAT(sink_.Completions(4),
              ElementsAre(Pair(kNonBlocking, 4), Pair(kBlocking, 1), Pair(kLegacyStream, 2), Pair(kOtherBlocking, 3)));
}

TEST_F(NullBackendTest, WaitFollowsTheRecordOfAHeldStream) {
  EXPECT_TRUE(backend_.EventCreate(7, true).ok());
  EXPECT_TRUE(backend_.EventCreate(8, true).ok());
  EXPECT_TRUE(backend_.EventRecord(kNonBlocking, 1, 7).ok());
  EXPECT_TRUE(backend_.Hold(kBlocking, true).ok());
  EXPECT_TRUE(backend_.EventRecord(kBlocking, 2, 8).ok());
  EXPECT_TRUE(backend_.StreamWaitEvent(kNonBlocking, 3, 8).ok());
  EXPECT_TRUE(backend_.StreamWaitEvent(kOtherBlocking, 4, 7).ok());
  EXPECT_THAT(sink_.Completions(2), ElementsAre(Pair(kNonBlocking, 1), Pair(kOtherBlocking, 4)));
  EXPECT_TRUE(backend_.Hold(kBlocking, false).ok());
  EXPECT_THAT(sink_.Completions(4),
              ElementsAre(Pair(kNonBlocking, 1), Pair(kOtherBlocking, 4), Pair(kBlocking, 2), Pair(kNonBlocking, 3)));
  const Result<float> elapsed = backend_.EventElapsedMs(7, 8);
  ASSERT_TRUE(elapsed.ok());
  EXPECT_GE(*elapsed, 0.0F);
  EXPECT_FALSE(backend_.EventElapsedMs(7, 9).ok());
}

TEST_F(NullBackendTest, CopyToTheClientBringsZerosAndKeepsOrder) {
  sink_.AllowSending(false);
  constexpr std::uint64_t kCopied = 2 * limits::kBulkBytesMax + 5;
  CopyOut(kBlocking, 1, 42, kCopied);
  Launch(kBlocking, 2);  // behind the copy
  Launch(kNonBlocking, 3);
  EXPECT_THAT(sink_.Completions(1), ElementsAre(Pair(kNonBlocking, 3)));
  EXPECT_EQ(backend_.InFlight(kBlocking), 2u);
  sink_.AllowSending(true);
  EXPECT_THAT(sink_.Completions(3), ElementsAre(Pair(kNonBlocking, 3), Pair(kBlocking, 1), Pair(kBlocking, 2)));
  EXPECT_EQ(sink_.Sent(42), Bytes(kCopied, 0));
}

TEST_F(NullBackendTest, CopyToTheClientFromAHeldStreamWaits) {
  EXPECT_TRUE(backend_.Hold(kBlocking, true).ok());
  CopyOut(kBlocking, 1, 42, 4);
  Launch(kNonBlocking, 2);
  sink_.Completions(1);
  EXPECT_EQ(sink_.Sent(42).size(), 0u);
  EXPECT_TRUE(backend_.StreamDestroy(kBlocking).ok());  // releases it
  EXPECT_THAT(sink_.Completions(2), ElementsAre(Pair(kNonBlocking, 2), Pair(kBlocking, 1)));
  EXPECT_EQ(sink_.Sent(42).size(), 4u);
}

TEST_F(NullBackendTest, ModuleLoadReportsKernelsAndGlobals) {
  constexpr std::string_view kPtx = R"(
.version 8.0
.target sm_75
.address_size 64
.global .align 4 .u32 counter;
.visible .entry Add(.param .u64 Add_param_0, .param .u32 Add_param_1)
.maxntid 256, 1, 1
{
  ret;
}
)";
  const ByteView text = AsBytes(kPtx);
  const Result<ModuleDescription> module = backend_.ModuleLoad(0, 0, Bytes(text.begin(), text.end()));
  ASSERT_TRUE(module.ok()) << module.status().ToString();
  ASSERT_EQ(module->kernels.size(), 1u);
  EXPECT_EQ(module->kernels[0].name, "Add");
  EXPECT_THAT(module->kernels[0].parameters, ElementsAre(Pair(0u, 8u), Pair(8u, 4u)));
  EXPECT_EQ(module->kernels[0].max_threads_per_block, 256u);
  ASSERT_EQ(module->globals.size(), 1u);
  EXPECT_EQ(module->globals[0].bytes, 4u);
  EXPECT_GE(module->globals[0].address, devices_[0].window_base + devices_[0].window_bytes);
  const ByteView garbage = AsBytes(std::string_view("not a module"));
  EXPECT_FALSE(backend_.ModuleLoad(0, 1, Bytes(garbage.begin(), garbage.end())).ok());
}

TEST_F(NullBackendTest, ConvolutionsHaveAlgorithmsByNumber) {
  LibraryJob job;
  job.library = kLibraryDnn;
  job.function = kDnnFunction<DnnFindAlgorithms>;
  std::vector<DnnAlgorithm> found;
  backend_.LibraryAsk(job, [&](const Result<LibraryAnswer>& answer) {
    ASSERT_TRUE(answer.ok());
    EXPECT_EQ(answer->status, 0u);
    found.resize(answer->results.size() / sizeof(DnnAlgorithm));
    std::memcpy(found.data(), answer->results.data(), found.size() * sizeof(DnnAlgorithm));
  });
  ASSERT_GT(found.size(), 1u);
  ASSERT_LE(found.size(), kDnnAlgorithmsMax);
  for (std::size_t i = 0; i < found.size(); ++i) {
    EXPECT_EQ(found[i].algorithm, static_cast<std::int32_t>(i));
    EXPECT_EQ(found[i].status, 0);
    EXPECT_EQ(found[i].workspace_bytes, 0u);
  }
}

}  // namespace
}  // namespace accelmesh
