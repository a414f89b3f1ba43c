// JumpClock: how far a machine's clock has jumped ahead of the time that really passed.
//
// Ends of leases are Unix time. When the clock jumps, nobody knows which side was right: what runs is ended by the
// later of both beliefs, until everything of the time before the jump has ended anyhow.
//
// Pure: both clocks are arguments. Threads: one.
#pragma once

#include <algorithm>
#include <cstdint>

#include "protocol/base/clock.h"

namespace accelmesh {

class JumpClock {
 public:
  static constexpr std::int64_t kJumpMs = 1000;

  struct Reading {
    std::int64_t jump_ms = 0;    // since the last reading; 0 if there was none
    std::int64_t behind_ms = 0;  // how far to stay behind the clock; never negative
  };

  // Nothing of before a jump lasts longer than `life_ms`.
  explicit JumpClock(std::int64_t life_ms) : life_ms_(life_ms) {}

  Reading Observe(Instant steady, std::int64_t wall_ms) {
    Reading reading;
    if (started_) {
      const std::int64_t passed = std::chrono::duration_cast<std::chrono::milliseconds>(steady - steady_).count();
      const std::int64_t jump = wall_ms - wall_ms_ - passed;
      if (jump > kJumpMs || jump < -kJumpMs) {
        reading.jump_ms = jump;
        behind_ms_ = std::max<std::int64_t>(behind_ms_ + jump, 0);
        behind_until_ = steady + std::chrono::milliseconds(life_ms_);
      }
    }
    started_ = true;
    steady_ = steady;
    wall_ms_ = wall_ms;
    if (steady >= behind_until_) behind_ms_ = 0;
    reading.behind_ms = behind_ms_;
    return reading;
  }

 private:
  const std::int64_t life_ms_;
  bool started_ = false;
  Instant steady_;
  std::int64_t wall_ms_ = 0;
  std::int64_t behind_ms_ = 0;
  Instant behind_until_;
};

}  // namespace accelmesh
