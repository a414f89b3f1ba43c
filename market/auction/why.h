// What a price would have done, found by clearing the epoch again with it: exact under every rule, and as slow as some
// forty clearings.
//
// Pure. Threads: functions on values.
#pragma once

#include "market/auction/epoch.h"

namespace accelmesh::market::auction {

struct PriceAnswer {
  Lane lane = Lane::kPosted;
  std::int64_t units_milli = 0;          // that it would get; 0: no price wins
  std::int64_t price_microcredits = -1;  // for a unit-hour that it would pay on average, rounded up; -1: no price wins
  // The least price at which it wins (all of what it wins at any price), all else as it is; -1: no price wins. That it
  // wins what it wins at every higher price, too, is what clearing promises.
  std::int64_t least_microcredits = -1;
};

// For a bid of the epoch, whether it was served or not. kNotFound.
Result<PriceAnswer> Why(const EpochInput& input, OrderId bid);
// For a bid that is not there: as if it came as the next one. Its id must be no other's; its price plays no part.
Result<PriceAnswer> Quote(const EpochInput& input, const Bid& bid);

}  // namespace accelmesh::market::auction
