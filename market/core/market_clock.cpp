#include "market/core/market_clock.h"

#include <algorithm>

namespace accelmesh::market {

Moment MarketClock::Observe(Instant steady, std::int64_t wall_ms, std::int64_t* jump_ms) {
  if (jump_ms != nullptr) *jump_ms = 0;
  if (started_) {
    const std::int64_t passed = std::chrono::duration_cast<std::chrono::milliseconds>(steady - steady_).count();
    const std::int64_t jump = wall_ms - wall_ms_ - passed;
    if (jump > kJumpMs || jump < -kJumpMs) {
      if (jump_ms != nullptr) *jump_ms = jump;
      behind_ms_ = std::max<std::int64_t>(behind_ms_ + jump, 0);
      behind_until_ = steady + std::chrono::milliseconds(kLeaseLifeMsMax);
    }
  }
  started_ = true;
  steady_ = steady;
  wall_ms_ = wall_ms;
  if (steady >= behind_until_) behind_ms_ = 0;
  return {wall_ms, wall_ms - behind_ms_};
}

}  // namespace accelmesh::market
