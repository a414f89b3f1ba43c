// How often each function was called, how it was answered and how long it took: what `mesh-run --stats` prints.
//
// Threads: counting from any thread. A call's mode is told by what the session's counters did meanwhile, so with
// several threads a call may be taken for another one's. Costs one load while nobody counts.
#pragma once

#include <atomic>
#include <cstdint>

namespace accelmesh {

class ClientSession;

// How a call was answered, cheapest first: from client state; by posting commands; by waiting for progress; by a round
// trip of its own.
enum class CallMode : std::uint8_t { kLocal, kPosted, kWaited, kCalled };
inline constexpr int kCallModes = 4;

// One entry point's numbers; in a list once it has been called.
struct FunctionCount {
  std::atomic<const char*> name{nullptr};
  std::atomic<FunctionCount*> next{nullptr};
  std::atomic<std::uint64_t> calls[kCallModes]{};
  std::atomic<std::uint64_t> nanoseconds[kCallModes]{};
};

extern constinit std::atomic<bool> g_is_counting;

// Counts one call of the entry point that owns `count`.
class CountedCall {
 public:
  CountedCall(FunctionCount& count, const char* name) : count_(nullptr) {
    if (g_is_counting.load(std::memory_order_relaxed)) [[unlikely]]
      Begin(count, name);
  }
  ~CountedCall() {
    if (count_ != nullptr) [[unlikely]]
      End();
  }
  CountedCall(const CountedCall&) = delete;
  CountedCall& operator=(const CountedCall&) = delete;

 private:
  void Begin(FunctionCount& count, const char* name);
  void End();

  FunctionCount* count_;
  std::uint64_t posts_;
  std::uint64_t waits_;
  std::uint64_t calls_;
  std::int64_t begin_ns_;
};

// Counts from here on.
void BeginCounting();
// The table, on stderr, if anything was counted. `session` may be null.
void PrintStatistics(ClientSession* session);

}  // namespace accelmesh
