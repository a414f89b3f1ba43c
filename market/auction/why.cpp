#include "market/auction/why.h"

#include <algorithm>

namespace accelmesh::market::auction {
namespace {

struct Got {
  Lane lane = Lane::kPosted;
  std::int64_t units = 0;
  Wide paid = 0;
};

Result<Got> Try(EpochInput& input, Bid& bid, std::int64_t price) {
  bid.price_microcredits = price;
  ACCELMESH_ASSIGN_OR_RETURN(const EpochOutcome outcome, ClearEpoch(input));
  Got got;
  for (const Trade& trade : outcome.trades) {
    if (trade.bid != bid.id) continue;
    got.lane = trade.lane;
    got.units += trade.units_milli;
    got.paid += Wide{trade.price_buyer_microcredits} * trade.units_milli;
  }
  return got;
}

Result<PriceAnswer> Search(EpochInput& input, Bid& bid) {
  bid.budget_microcredits = 0;
  ACCELMESH_ASSIGN_OR_RETURN(const Got most, Try(input, bid, kPriceMicrocreditsMax));
  PriceAnswer answer;
  if (most.units == 0) return answer;
  answer.lane = most.lane;
  answer.units_milli = most.units;
  answer.price_microcredits = static_cast<std::int64_t>((most.paid + most.units - 1) / most.units);
  std::int64_t loses = -1;
  std::int64_t wins = kPriceMicrocreditsMax;
  while (wins - loses > 1) {
    const std::int64_t middle = loses + (wins - loses) / 2;
    ACCELMESH_ASSIGN_OR_RETURN(const Got got, Try(input, bid, middle));
    (got.units >= most.units ? wins : loses) = middle;
  }
  answer.least_microcredits = wins;
  return answer;
}

}  // namespace

Result<PriceAnswer> Why(const EpochInput& input, OrderId bid) {
  EpochInput changed = input;
  const auto found =
      std::find_if(changed.bids.begin(), changed.bids.end(), [&](const Bid& other) { return other.id == bid; });
  if (found == changed.bids.end()) {
    return Status(Code::kNotFound, "auction::Why.bid", "no such bid in this epoch; slotctl epochs lists them");
  }
  return Search(changed, *found);
}

Result<PriceAnswer> Quote(const EpochInput& input, const Bid& bid) {
  EpochInput changed = input;
  changed.bids.push_back(bid);
  return Search(changed, changed.bids.back());
}

}  // namespace accelmesh::market::auction
