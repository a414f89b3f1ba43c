// Sleeping and waking across two processes that share memory: one futex word per side, and counts of who waits on it.
//
// A busy peer costs no system call: whoever changes something looks at the other side's waiter counts and rings only
// if somebody sleeps. The pattern on both sides is "write, then read" in sequentially consistent order (the changer:
// data, then the counts; the sleeper: the count, then the data), so that one of them always sees the other.
// The words lie in memory that the peer may scribble on: a wrong count costs at most one slice of sleep
// (kSleepSlice), never a hang, because every sleep is sliced and looks again.
// Threads: any.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>

#include "protocol/base/clock.h"

namespace accelmesh::shm {

// One side's words, in shared memory.
struct alignas(64) Side {
  std::atomic<std::uint32_t> bell{0};          // futex word; grows with every ring
  std::atomic<std::uint32_t> data_waiters{0};  // threads of this side that wait for something to arrive
  std::atomic<std::uint32_t> room_waiters{0};  // threads of this side that wait for room to send
  std::atomic<std::uint32_t> closed{0};        // this side has ended the connection
  std::atomic<std::uint32_t> only_cpu{0};      // 1 + the CPU if this side may run on one only, else 0
};

inline constexpr Duration kSleepSlice = std::chrono::milliseconds(100);

// Wakes everybody who sleeps on `side`.
void Ring(Side& side);

// Call after a sequentially consistent write that the waiters may wait for.
inline void RingIfWaited(Side& side, const std::atomic<std::uint32_t>& waiters) {
  if (waiters.load(std::memory_order_seq_cst) != 0) [[unlikely]]
    Ring(side);
}

// Sleeps until `side` rings after `seen` was read from its bell, or `wait` is over, whichever is first.
void SleepOnBell(Side& side, std::uint32_t seen, Duration wait);

// How this process waits before it sleeps: spinning helps only if the peer can run meanwhile.
class Spinner {
 public:
  // `mine` is told which CPU we are bound to, `peer` says the same of the other side.
  Spinner(Side& mine, const Side& peer);
  // Reads the affinity again; it may have been changed since the process began.
  void Refresh();

  // Tries `ready` for a while, but not past `until`; true as soon as it says true.
  template <typename Ready>
  bool Spin(Instant until, Ready ready) {
    if (MustYield()) {
      for (int round = 0; round < kYields; ++round) {
        if (ready()) return true;
        Yield();
      }
      return ready();
    }
    // A peer that is at it answers within the first burst, before the clock is asked at all.
    Instant end = Instant::max();
    while (true) {
      for (int round = 0; round < 32; ++round) {
        if (ready()) return true;
        Pause();
      }
      const Instant now = Clock::now();
      if (end == Instant::max()) end = std::min(until, now + kSpin);
      if (now >= end) return false;
    }
  }

 private:
  // Long enough to bridge a peer's usual answer, short against the 25-50 us that waking an idle core costs.
  static constexpr Duration kSpin = std::chrono::microseconds(40);
  static constexpr int kYields = 16;

  bool MustYield() const;
  static void Yield();
  static void Pause() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#else
    Yield();
#endif
  }

  Side* mine_;
  const Side* peer_;
};

enum class Waited { kReady, kDeadline, kGone };

// Waits until `ready` says true, `gone` says true, or `deadline`. `gone` is asked at least once per slice; ready wins
// over gone, gone over the deadline. `ready` may be asked again after it has said true. `waiters` is one of `mine`'s
// counts.
template <typename Ready, typename Gone>
Waited WaitFor(Side& mine, std::atomic<std::uint32_t>& waiters, Spinner& spinner, Deadline deadline, Ready ready,
               Gone gone) {
  if (ready()) return Waited::kReady;
  if (deadline.at() != Deadline::Poll().at() && spinner.Spin(deadline.at(), ready)) return Waited::kReady;
  for (;;) {
    // Asked before `ready`, so that what a peer wrote before it went is still found.
    const bool peer_gone = gone();
    if (ready()) return Waited::kReady;
    if (peer_gone) return Waited::kGone;
    const Duration left = deadline.left();
    if (left <= Duration::zero()) return Waited::kDeadline;
    const std::uint32_t seen = mine.bell.load(std::memory_order_seq_cst);
    waiters.fetch_add(1, std::memory_order_seq_cst);
    if (!ready()) SleepOnBell(mine, seen, left < kSleepSlice ? left : kSleepSlice);
    waiters.fetch_sub(1, std::memory_order_seq_cst);
  }
}

}  // namespace accelmesh::shm
