#include "market/auction/lanes.h"
#include "market/auction/netting.h"

namespace accelmesh::market::auction {
namespace {

void Report(State& state, const BidRow& bid) {
  const std::int64_t units = bid.left + bid.cut;
  if (units == 0) return;
  state.outcome.unserved.push_back({bid.id, units, bid.left == 0 ? bid.cut_why : bid.why, bid.price_to_win});
}

}  // namespace

Clearing::Clearing() : state_(std::make_unique<State>()) {}
Clearing::~Clearing() = default;

Result<EpochOutcome> ClearEpoch(const EpochInput& input) { return Clearing().Clear(input); }

Result<EpochOutcome> Clearing::Clear(const EpochInput& input) {
  State& state = *state_;
  ACCELMESH_RETURN_IF_ERROR(BuildState(input, state));
  EpochOutcome& outcome = state.outcome;
  outcome.trades.reserve(std::min(input.asks.size(), input.bids.size()));
  Net(state);
  ClearFloors(state);
  ClearGangs(state);
  for (std::size_t i = 0; i < state.classes.size(); ++i) ClearLaneB(state, i);

  for (const std::uint32_t row : state.by_bid) Report(state, state.bids[row]);
  if (!state.homeless.empty()) {
    for (const BidRow& bid : state.homeless) Report(state, bid);
    std::sort(outcome.unserved.begin(), outcome.unserved.end(),
              [](const UnservedBid& a, const UnservedBid& b) { return a.bid < b.bid; });
  }
  for (std::size_t i = 0; i < state.classes.size(); ++i) {
    ClassOutcome& of_class = outcome.classes[i];
    for (const BidRow& bid : state.BidsOf(state.classes[i])) of_class.units_unserved_milli += bid.left + bid.cut;
  }
  for (const Ask& ask : input.asks) {
    const std::uint32_t place = state.Find(ask.slot_class);
    if (place != state.classes.size()) outcome.classes[place].units_unsold_milli += ask.units_milli;
  }
  for (ClassOutcome& of_class : outcome.classes) {
    of_class.units_unsold_milli -= of_class.units_netted_milli + of_class.units_floor_milli +
                                   of_class.units_gang_milli + of_class.units_lane_b_milli;
  }
  for (const Trade& trade : outcome.trades) {
    outcome.sums.paid += Wide{trade.price_buyer_microcredits} * trade.units_milli;
    outcome.sums.received += Wide{trade.price_seller_microcredits} * trade.units_milli;
  }
  for (const GangAward& award : outcome.gangs) outcome.sums.paid += award.surcharge_nanocredits;
  outcome.sums.pool = outcome.sums.paid - outcome.sums.received;
  return std::move(state.outcome);
}

}  // namespace accelmesh::market::auction
