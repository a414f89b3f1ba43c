#include "market/core/market_clock.h"

namespace accelmesh::market {

Moment MarketClock::Observe(Instant steady, std::int64_t wall_ms, std::int64_t* jump_ms) {
  const JumpClock::Reading reading = clock_.Observe(steady, wall_ms);
  if (jump_ms != nullptr) *jump_ms = reading.jump_ms;
  return {wall_ms, wall_ms - reading.behind_ms};
}

}  // namespace accelmesh::market
