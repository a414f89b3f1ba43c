// Time as a value. Pure cores take an Instant as an argument; only main() and I/O code ask the clock.
#pragma once

#include <chrono>
#include <cstdint>

namespace accelmesh {

using Clock = std::chrono::steady_clock;
using Instant = Clock::time_point;
using Duration = Clock::duration;

// The instant at which a wait gives up. Waits without a deadline do not exist in AccelMesh.
class Deadline {
 public:
  explicit Deadline(Instant at) : at_(at) {}
  // A wait past the end of time ends there.
  static Deadline After(Duration wait) {
    const Instant now = Clock::now();
    return Deadline(wait < Instant::max() - now ? now + wait : Instant::max());
  }
  // Has passed already: a wait that only looks. Asks no clock.
  static Deadline Poll() { return Deadline(Instant{}); }
  // A wait that something else ends: the peer's end, most often. Asks no clock.
  static Deadline Never() { return Deadline(Instant::max()); }
  Instant at() const { return at_; }
  bool passed() const { return Clock::now() >= at_; }
  // Time left, never negative.
  Duration left() const {
    const Instant now = Clock::now();
    return now >= at_ ? Duration::zero() : at_ - now;
  }
  // Time left in whole milliseconds, rounded up, for poll(2) and friends; at most one day.
  int left_ms() const {
    const auto ms = std::chrono::ceil<std::chrono::milliseconds>(left()).count();
    constexpr std::int64_t kDayMs = 24LL * 3600 * 1000;
    return static_cast<int>(ms > kDayMs ? kDayMs : ms);
  }

 private:
  Instant at_;
};

}  // namespace accelmesh
