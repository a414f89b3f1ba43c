#include "shim/core/host_calls.h"

#include <pthread.h>
#include <signal.h>

#include <algorithm>
#include <chrono>
#include <system_error>

#include "protocol/base/log.h"

namespace accelmesh {
namespace {

constexpr std::uint32_t kLost = 999;

thread_local bool t_runs_host_calls = false;

}  // namespace

bool HostCalls::OnThisThread() { return t_runs_host_calls; }

bool HostCalls::Begin(std::uint64_t* call) {
  const MutexLock lock(mu_);
  if (!started_) {
    // The program's signals are for its own threads; what its function does itself is for whoever handles that.
    sigset_t others;
    sigset_t before;
    sigfillset(&others);
    for (const int own : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT}) sigdelset(&others, own);
    ::pthread_sigmask(SIG_SETMASK, &others, &before);
    try {
      thread_ = std::thread([this] { Main(); });
      started_ = true;
    } catch (const std::system_error& error) {
      log::Error("host functions", std::string("no thread can be made to run them: ") + error.what());
    }
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  }
  if (!started_) return false;
  *call = next_call_.fetch_add(1, std::memory_order_relaxed);
  pending_.fetch_add(1, std::memory_order_release);
  return true;
}

void HostCalls::Add(std::uint64_t call, std::uint32_t slot, std::uint64_t sequence, Function function, Function then) {
  {
    const MutexLock lock(mu_);
    calls_.push_back({call, slot, sequence, std::move(function), std::move(then)});
  }
  cv_.NotifyOne();
}

std::vector<HostCalls::Call>::iterator HostCalls::FindReached() {
  const ProgressPage& page = commands_.progress();
  auto oldest = calls_.end();
  for (auto call = calls_.begin(); call != calls_.end(); ++call) {
    const bool reached = page.completed[call->slot].load(std::memory_order_acquire) + 1 >= call->sequence;
    if (reached && (oldest == calls_.end() || call->sequence < oldest->sequence)) oldest = call;
  }
  return oldest;
}

bool HostCalls::AnyReached() {
  const MutexLock lock(mu_);
  return stop_ || FindReached() != calls_.end();
}

void HostCalls::Run(Call call, std::uint32_t error) {
  call.function(error);
  // Whoever waits for the stream may count on what the function was given being gone.
  call.function = nullptr;
  pending_.fetch_sub(1, std::memory_order_release);
  const Status said = commands_.PostSide(wire::HostDone(call.call));
  if (!said.ok()) log::Debug("host functions", said.ToString());
  if (call.then) call.then(error);
}

void HostCalls::Main() {
  t_runs_host_calls = true;
  ::pthread_setname_np(::pthread_self(), "accelmesh-host");
  while (true) {
    {
      MutexLock lock(mu_);
      while (!stop_ && calls_.empty()) cv_.Wait(mu_);
      if (stop_) return;
    }
    const bool lost =
        !commands_.WaitUntil([this] { return AnyReached(); }, Deadline::After(std::chrono::hours(24 * 365))).ok();
    std::vector<Call> due;
    {
      const MutexLock lock(mu_);
      if (stop_) return;
      if (lost) {
        // The streams will come nowhere any more: whoever asked to be called with the error is.
        due.swap(calls_);
      } else if (const auto reached = FindReached(); reached != calls_.end()) {
        due.push_back(std::move(*reached));
        calls_.erase(reached);
      }
    }
    for (Call& call : due) Run(std::move(call), lost ? kLost : sticky_());
  }
}

void HostCalls::Stop() {
  {
    const MutexLock lock(mu_);
    stop_ = true;
  }
  cv_.NotifyAll();
  if (thread_.joinable()) thread_.join();
}

}  // namespace accelmesh
