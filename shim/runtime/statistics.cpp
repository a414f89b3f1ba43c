#include "shim/runtime/statistics.h"

#include <algorithm>
#include <chrono>

#include "protocol/base/clock.h"
#include "shim/core/work_counts.h"
#include "shim/runtime/runtime.h"

namespace accelmesh {

constinit std::atomic<bool> g_is_counting{false};

namespace {

std::atomic<FunctionCount*> g_counts{nullptr};
std::int64_t g_begin_ns = 0;

std::int64_t NowNs() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now().time_since_epoch()).count();
}

Sent SentSoFar() {
  Sent sent{};
  if (ClientSession* session = Runtime::Get().SessionIfOpen()) {
    const StreamStatistics& now = session->commands().statistics();
    sent.posts = now.posts.load(std::memory_order_relaxed);
    sent.waits = now.waits.load(std::memory_order_relaxed);
    sent.calls = now.calls.load(std::memory_order_relaxed);
    sent.bytes = now.command_bytes.load(std::memory_order_relaxed) + now.bulk_up_bytes.load(std::memory_order_relaxed) +
                 now.bulk_down_bytes.load(std::memory_order_relaxed);
  }
  return sent;
}

CallMode ModeOf(const Sent& before, const Sent& after) {
  if (after.calls != before.calls) return CallMode::kCalled;
  if (after.waits != before.waits) return CallMode::kWaited;
  return after.posts != before.posts ? CallMode::kPosted : CallMode::kLocal;
}

}  // namespace

void CountedCall::Begin(FunctionCount& count, const char* name) {
  const char* unnamed = nullptr;
  if (count.name.load(std::memory_order_relaxed) == nullptr &&
      count.name.compare_exchange_strong(unnamed, name, std::memory_order_relaxed)) {
    FunctionCount* first = g_counts.load(std::memory_order_relaxed);
    do {
      count.next.store(first, std::memory_order_relaxed);
    } while (!g_counts.compare_exchange_weak(first, &count, std::memory_order_release, std::memory_order_relaxed));
  }
  count_ = &count;
  before_ = SentSoFar();
  begin_ns_ = NowNs();
}

void CountedCall::End() {
  const std::int64_t end_ns = NowNs();
  const Sent after = SentSoFar();
  const auto mode = static_cast<std::size_t>(ModeOf(before_, after));
  count_->calls[mode].fetch_add(1, std::memory_order_relaxed);
  count_->nanoseconds[mode].fetch_add(static_cast<std::uint64_t>(end_ns - begin_ns_), std::memory_order_relaxed);
  count_->commands.fetch_add(after.posts + after.calls - before_.posts - before_.calls, std::memory_order_relaxed);
  count_->bytes.fetch_add(after.bytes - before_.bytes, std::memory_order_relaxed);
}

void CallCounts::Add(const CallCounts& other) {
  for (int mode = 0; mode < kCallModes; ++mode) {
    calls[mode] += other.calls[mode];
    nanoseconds[mode] += other.nanoseconds[mode];
  }
  commands += other.commands;
  bytes += other.bytes;
}

void BeginCounting() {
  g_begin_ns = NowNs();
  g_is_counting.store(true, std::memory_order_relaxed);
  g_work.is_counting.store(true, std::memory_order_relaxed);
}
bool EndCounting() { return g_is_counting.exchange(false); }
std::uint64_t CountedNanoseconds() { return static_cast<std::uint64_t>(NowNs() - g_begin_ns); }

std::vector<CallCounts> CollectCalls() {
  std::vector<CallCounts> rows;
  for (FunctionCount* count = g_counts.load(std::memory_order_acquire); count != nullptr;
       count = count->next.load(std::memory_order_relaxed)) {
    CallCounts one;
    one.library = count->library;
    one.name = count->name.load(std::memory_order_relaxed);
    // What nvcc's stubs do before the program begins and around a launch is none of its calls.
    if (one.name.starts_with("__cuda")) {
      if (one.name != "__cudaLaunchKernel") continue;
      one.name = "kernel<<<...>>>";
    }
    for (int mode = 0; mode < kCallModes; ++mode) {
      one.calls[mode] = count->calls[mode].load(std::memory_order_relaxed);
      one.nanoseconds[mode] = count->nanoseconds[mode].load(std::memory_order_relaxed);
    }
    one.commands = count->commands.load(std::memory_order_relaxed);
    one.bytes = count->bytes.load(std::memory_order_relaxed);
    const auto known = std::find_if(rows.begin(), rows.end(), [&one](const CallCounts& row) {
      return row.library == one.library && row.name == one.name;
    });
    if (known == rows.end()) {
      rows.push_back(std::move(one));
    } else {
      known->Add(one);
    }
  }
  std::sort(rows.begin(), rows.end(), [](const CallCounts& a, const CallCounts& b) {
    const std::uint64_t ns_a = a.AllNanoseconds();
    const std::uint64_t ns_b = b.AllNanoseconds();
    return ns_a != ns_b ? ns_a > ns_b : a.name < b.name;
  });
  return rows;
}

}  // namespace accelmesh
