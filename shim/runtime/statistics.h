// How often each function was called, how it was answered, how long it took and what it sent: what `mesh-run --stats`
// and
// `--explain` print (report.h).
//
// Threads: counting from any thread. A call's mode and what it sent are told by what the session's counters did
// meanwhile, so with several threads a call may be taken for another one's. Costs one load while nobody counts.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <vector>

namespace accelmesh {

// How a call was answered, cheapest first: from client state; by posting commands; by waiting for progress; by a round
// trip of its own.
enum class CallMode : std::uint8_t { kLocal, kPosted, kWaited, kCalled };
inline constexpr int kCallModes = 4;

// One entry point's numbers; in a list once it has been called.
struct FunctionCount {
  constexpr explicit FunctionCount(const char* of) : library(of) {}

  const char* const library;
  std::atomic<const char*> name{nullptr};
  std::atomic<FunctionCount*> next{nullptr};
  std::atomic<std::uint64_t> calls[kCallModes]{};
  std::atomic<std::uint64_t> nanoseconds[kCallModes]{};
  std::atomic<std::uint64_t> commands{0};
  std::atomic<std::uint64_t> bytes{0};
};

// What the session had sent at some moment. Without initialisers, because calls that nobody counts have one, too.
struct Sent {
  std::uint64_t posts;
  std::uint64_t waits;
  std::uint64_t calls;
  std::uint64_t bytes;  // commands and data, both ways
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
  Sent before_;  // set by Begin()
  std::int64_t begin_ns_;
};

// A function's numbers, or the sum of several functions'.
struct CallCounts {
  std::string library;
  std::string name;
  std::uint64_t calls[kCallModes] = {};
  std::uint64_t nanoseconds[kCallModes] = {};
  std::uint64_t commands = 0;
  std::uint64_t bytes = 0;

  std::uint64_t AllCalls() const { return calls[0] + calls[1] + calls[2] + calls[3]; }
  std::uint64_t AllNanoseconds() const { return nanoseconds[0] + nanoseconds[1] + nanoseconds[2] + nanoseconds[3]; }
  void Add(const CallCounts& other);
};

// Counts from here on.
void BeginCounting();
// Ends counting; false if nobody counts.
bool EndCounting();
std::uint64_t CountedNanoseconds();
// The functions that were called, the dearest first. A per-thread variant counts as the function.
std::vector<CallCounts> CollectCalls();

}  // namespace accelmesh
