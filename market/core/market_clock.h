// MarketClock: what time it is for leases, when the machine's clock may jump.
//
// A lease's times are Unix time, which servers compare with their own clocks. When this machine's clock jumps, nobody
// knows which side was right. So new leases follow the clock at once (it is what servers will most likely have, too),
// and leases that run are ended by the later of both beliefs: after a jump forward, sweeps stay behind by that jump
// until every lease of the time before has ended anyhow. Ending one too early would let its share twice over; epochs
// catch that (registry/epochs.h), but the holder would have lost what it had paid for.
//
// Pure: both clocks are arguments. Threads: one.
#pragma once

#include "market/core/records.h"
#include "protocol/base/jump_clock.h"

namespace accelmesh::market {

struct Moment {
  std::int64_t now_ms = 0;
  std::int64_t sweep_ms = 0;  // leases that end before it have ended; never after now_ms
};

class MarketClock {
 public:
  // `jump_ms`, if given, is set to what the clock has jumped since the last call, 0 if it has not.
  Moment Observe(Instant steady, std::int64_t wall_ms, std::int64_t* jump_ms = nullptr);

 private:
  JumpClock clock_{kLeaseLifeMsMax};
};

}  // namespace accelmesh::market
