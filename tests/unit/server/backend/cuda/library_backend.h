// The cuda backend's interface as tests of its libraries use it: two devices of the contract libcuda, a thread of the
// test's as the executor, and sessions one after the other. Contract libraries count every rule that the backend
// breaks; none may be.
#pragma once

#include <dlfcn.h>
#include <gtest/gtest.h>

#include <condition_variable>
#include <cstdlib>
#include <cstring>
#include <future>
#include <map>
#include <mutex>
#include <thread>

#include "protocol/base/clock.h"
#include "protocol/base/limits.h"
#include "protocol/library/library.h"
#include "server/device.h"
#include "tests/contract/control.h"

namespace accelmesh {

inline constexpr std::uint64_t kWindow = 0x5500'0000'0000;
inline constexpr std::uint64_t kWindowBytes = 64 * limits::kGiB;
inline constexpr std::uint8_t kNonBlocking = 2;

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

class LibraryBackendTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ::setenv("ACCELMESH_LIBCUDA", ACCELMESH_CONTRACT_LIBCUDA, 1);
    ::setenv("ACCELMESH_CONTRACT", "devices=2", 1);
    CONTRACT(contract_reset)();
    Start();
  }
  void TearDown() override {
    Stop();
    EXPECT_EQ(CONTRACT(contract_violations)(), 0u) << CONTRACT(contract_last_violation)();
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
    backend_->UsePlans(keeper_);
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

  Result<Bytes> Open(std::uint32_t library, std::uint32_t device = 0) {
    auto said = std::make_shared<std::promise<Result<Bytes>>>();
    backend_->LibraryOpen(library, device, [said](Result<Bytes> functions) { said->set_value(std::move(functions)); });
    return said->get_future().get();
  }
  // Opens it, too.
  std::string Identity(std::uint32_t library, std::uint32_t device = 0) {
    std::promise<std::string> said;
    backend_->LibraryOpen(library, device, [&](const Result<Bytes>& functions) {
      EXPECT_TRUE(functions.ok());
      said.set_value(backend_->LibraryIdentity(library, device));
    });
    return said.get_future().get();
  }
  // As a session calls: a stream that has stopped gets nothing until it goes on.
  void Call(std::uint32_t stream, LibraryJob job) {
    while (IsStopped(stream)) {
      if (backend_->WantsInputDrained()) backend_->InputDrained();
      std::this_thread::yield();
    }
    EXPECT_TRUE(backend_->LibraryCall(stream, ++sequence_, std::move(job), nullptr).ok());
  }
  std::future<LibraryAnswer> Query(std::uint32_t stream, LibraryJob job) {
    auto said = std::make_shared<std::promise<LibraryAnswer>>();
    const auto status = backend_->LibraryCall(stream, ++sequence_, std::move(job),
                                              [said](LibraryAnswer answer) { said->set_value(std::move(answer)); });
    EXPECT_TRUE(status.ok());
    return said->get_future();
  }
  LibraryAnswer Ask(LibraryJob job) {
    auto said = std::make_shared<std::promise<Result<LibraryAnswer>>>();
    backend_->LibraryAsk(std::move(job), [said](Result<LibraryAnswer> answer) { said->set_value(std::move(answer)); });
    const Result<LibraryAnswer> answer = said->get_future().get();
    EXPECT_TRUE(answer.ok());
    return answer.ok() ? *answer : LibraryAnswer{999, {}};
  }
  bool Finishes(std::uint32_t stream) {
    if (backend_->WantsInputDrained()) backend_->InputDrained();
    return sink_.Await(stream, sequence_);
  }
  bool IsStopped(std::uint32_t stream) const { return backend_->InFlight(stream) >= limits::kStreamInFlightMax; }
  // Whether the call was not one that the executor makes.
  bool Stops(std::uint32_t stream, LibraryJob job) {
    Call(stream, std::move(job));
    const bool is_stopped = IsStopped(stream) || sink_.IsComplete(stream, sequence_);
    EXPECT_TRUE(Finishes(stream));
    return is_stopped;
  }

  const std::uint32_t a_ = 2;  // behind the legacy streams of both devices
  const std::uint32_t b_ = 3;
  std::uint64_t other_window_ = 0;
  std::uint64_t sequence_ = 0;
  Recorder sink_;
  std::shared_ptr<PlanKeeper> keeper_;  // none, if a test has none
  std::unique_ptr<Backend> backend_;
};

}  // namespace accelmesh
