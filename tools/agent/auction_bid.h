// What to bid into the market's auction, when nothing was to be had at the posted price: one part of the kind of device
// that suits best, or, for a gang, whole devices of any one kind of which there are enough.
//
// Pure. Threads: functions on values.
#pragma once

#include <functional>
#include <set>
#include <span>
#include <string>

#include "tools/agent/core/choose.h"
#include "tools/agent/ports.h"

namespace accelmesh::agent {

struct AuctionBid {
  Auction auction;
  Step why;
};

// `kind_of` says of a slot which kind of device it is. kNotFound: no device would do, however little of it were let;
// kUnsupported: a gang that the auction cannot keep together as it is asked for.
Result<AuctionBid> MakeAuctionBid(const Prediction& prediction, std::span<const scheduler::Slot> slots,
                                  const std::function<std::string(const std::string&)>& kind_of, Policy policy,
                                  const std::set<std::string>& excluded);

}  // namespace accelmesh::agent
