// Whether a handle that was looked up before may have ended since: a number that is another whenever one has. No two
// are equal, those of two sessions neither: one may lie where another has been.
//
// Threads: any.
#pragma once

#include <atomic>
#include <cstdint>

namespace accelmesh {

class HandleGeneration {
 public:
  std::uint64_t now() const { return now_.load(std::memory_order_acquire); }
  // A handle has ended.
  void Renew() { now_.store(Next(), std::memory_order_release); }

 private:
  static std::uint64_t Next() {
    static std::atomic<std::uint64_t> last{0};
    return last.fetch_add(1, std::memory_order_relaxed) + 1;
  }
  std::atomic<std::uint64_t> now_{Next()};
};

// What a thread has found valid stays so until any handle ends.
struct KnownHandle {
  std::uint64_t generation = 0;
  const void* handle = nullptr;
};

}  // namespace accelmesh
