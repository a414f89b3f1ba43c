// What the agent is ready to pay. The market's price is posted, so a bid is a bound: what is granted costs the posted
// price, and nothing is granted above the bid.
//
// Pure. Threads: functions on values. Units: microcredits an hour, for all slots of the request together.
#pragma once

#include <cstdint>

#include "tools/agent/core/predict.h"

namespace accelmesh::agent {

struct Bid {
  std::int64_t price_max_microcredits_per_hour = 0;
  std::uint32_t urgency_milli = 0;  // 0: any time will do; 1000: now, at any price that is allowed
  Step why;
};

// From the budget, the price that is allowed, the deadline and the policy. `posted_microcredits_per_hour` is the least
// that would do now, 0 if nothing would: the bid is then as high as it may be. Never above what the user allows; higher
// urgency never bids less.
Bid PriceBid(const Prediction& prediction, Policy policy, std::int64_t posted_microcredits_per_hour);

// The most that may be paid, or -1 without bound.
std::int64_t CeilingOf(const scheduler::FunctionalRequest& request);

// A lease at a time: what the market may hold in escrow, and how long a program outlives a market that is down. As long
// as the run is expected to take and some more, between one and ten minutes.
std::int64_t LeaseUs(const Prediction& prediction);

}  // namespace accelmesh::agent
