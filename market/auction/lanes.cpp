#include "market/auction/lanes.h"

#include <functional>
#include <map>

#include "market/auction/rationing.h"
#include "market/auction/window.h"

namespace accelmesh::market::auction {
namespace {

constexpr std::int64_t kFloorUnitsMax = std::int64_t{1} << 60;  // more than all bids are of

// What of a class's orders lane B can trade, and whether all are of one size. Prices play no part in it.
struct Market {
  std::size_t asks = 0;
  std::size_t bids = 0;
  std::int64_t size = 0;  // of every order; 0: they differ
};
Market LookAt(State& state, const ClassRow& row) {
  Market market;
  market.size = -1;
  const auto see = [&](std::int64_t units) {
    if (market.size == -1) market.size = units;
    if (market.size != units) market.size = 0;
  };
  for (const AskRow& ask : state.AsksOf(row)) {
    if (ask.left == 0) continue;
    ++market.asks;
    see(ask.left);
  }
  for (const BidRow& bid : state.BidsOf(row)) {
    if (bid.left == 0 || bid.uses_floor) continue;
    ++market.bids;
    see(bid.left);
  }
  return market;
}

// Writes trades down, at a class's prices.
class Recorder {
 public:
  Recorder(State& state, std::size_t place, Lane lane, std::int64_t price_buyer, std::int64_t price_seller)
      : state_(state), place_(place), lane_(lane), price_buyer_(price_buyer), price_seller_(price_seller) {}
  void operator()(std::uint32_t ask_row, std::uint32_t bid_row, std::int64_t units) {
    AskRow& ask = state_.asks[ask_row];
    BidRow& bid = state_.bids[bid_row];
    ask.left -= units;
    bid.left -= units;
    units_ += units;
    state_.outcome.trades.push_back({ask.id, bid.id, ask.owner, bid.owner, state_.classes[place_].input->id, lane_,
                                     units, PriceOf(price_buyer_, ask.reputation_ppm),
                                     PriceOf(price_seller_, ask.reputation_ppm)});
  }
  std::int64_t units() const { return units_; }
  std::size_t place() const { return place_; }

 private:
  State& state_;
  std::size_t place_;
  Lane lane_;
  std::int64_t price_buyer_;
  std::int64_t price_seller_;
  std::int64_t units_ = 0;
};

// Trades as many of the offers as there can be; returns the units.
std::int64_t PackInto(State& state, std::vector<Offer>& sellers, std::vector<Offer>& buyers, Recorder record) {
  const std::vector<Packed> packed = Pack(state, sellers, buyers);
  for (std::size_t i = 0; i < packed.size(); ++i) {
    if (i + kAhead < packed.size()) __builtin_prefetch(&state.asks[packed[i + kAhead].ask_row], 1);
    record(packed[i].ask_row, packed[i].bid_row, packed[i].units);
  }
  return record.units();
}

// The same where all are of one size: then who has whom does not matter, and nothing need be sorted.
std::int64_t PairInto(State& state, std::vector<Offer>& sellers, std::vector<Offer>& buyers, std::int64_t most,
                      Recorder record) {
  const std::int64_t sold = TakeEqual(state, Who::kSellers, sellers, most);
  TakeEqual(state, Who::kBuyers, buyers, sold);
  const ClassId id = state.classes[record.place()].input->id;
  Pair(sellers, buyers, Draw(state.input->seed, Purpose::kPairing, id), std::ref(record));
  return record.units();
}

// The asks of a class that the price suffices for.
void SellersAt(State& state, const ClassRow& row, std::int64_t price, std::vector<Offer>& sellers) {
  sellers.clear();
  for (std::uint32_t i = row.asks_begin; i < row.asks_end; ++i) {
    const AskRow& ask = state.asks[i];
    if (ask.left > 0 && ask.score <= price) sellers.push_back({i, ask.is_lump, ask.left, 0});
  }
}

// What is left unsold at the price; then a bid that got nothing did so for its size.
std::int64_t LeftOver(const State& state, const std::vector<Offer>& sellers) {
  std::int64_t left = 0;
  for (const Offer& seller : sellers) left += state.asks[seller.row].left;
  return left;
}

// Everybody who takes the surrogate price, by draw.
void SellAt(State& state, std::size_t place, const Market& market) {
  const ClassRow& row = state.classes[place];
  const std::int64_t price = row.input->surrogate_microcredits;
  std::vector<Offer>& sellers = state.scratch.sellers;
  std::vector<Offer>& buyers = state.scratch.buyers;
  SellersAt(state, row, price, sellers);
  buyers.clear();
  for (std::uint32_t i = row.bids_begin; i < row.bids_end; ++i) {
    BidRow& bid = state.bids[i];
    if (bid.left == 0 || bid.uses_floor) continue;
    if (bid.price >= price) {
      buyers.push_back({i, bid.is_lump, bid.left, 0});
    } else {
      bid.why = UnservedWhy::kPrice;
      bid.price_to_win = sellers.empty() ? -1 : price;
    }
  }
  ClassOutcome& outcome = state.outcome.classes[place];
  outcome.lane_b = LaneB::kPosted;
  Recorder record(state, place, Lane::kPosted, price, price);
  outcome.units_lane_b_milli =
      market.size > 0
          ? PairInto(state, sellers, buyers, market.size * std::min(std::ssize(sellers), std::ssize(buyers)), record)
          : PackInto(state, sellers, buyers, record);
  if (outcome.units_lane_b_milli > 0) outcome.price_microcredits = outcome.price_seller_microcredits = price;
  const UnservedWhy why = LeftOver(state, sellers) > 0 ? UnservedWhy::kSize : UnservedWhy::kRationed;
  for (const Offer& buyer : buyers) state.bids[buyer.row].why = why;
}

// Rows that are in front of the window, and the first `ranks` of the ranking in all, in the order of ids: which seller
// is whose does not follow from prices.
template <typename IsFront, typename UnitsOf, typename IsLump>
void Choose(std::uint32_t begin, std::uint32_t end, const std::vector<Keyed>& order, std::size_t listed,
            IsFront is_front, UnitsOf units_of, IsLump is_lump, std::vector<Offer>& offers) {
  std::vector<std::uint32_t> chosen;
  for (std::size_t i = 0; i < listed; ++i) chosen.push_back(order[i].place);
  std::sort(chosen.begin(), chosen.end());
  chosen.push_back(end);
  offers.resize(end - begin + 1);
  std::size_t count = 0;
  std::size_t next = 0;
  for (std::uint32_t i = begin; i < end; ++i) {
    // Written each time and kept if it counts: whether it does is a toss-up, which branches would pay for.
    const bool is_listed = chosen[next] == i;
    offers[count] = {i, is_lump(i), units_of(i), 0};
    count += is_listed || is_front(i) ? 1 : 0;
    next += is_listed ? 1 : 0;
  }
  offers.resize(count);
}

// Why the buyers beyond the margin lost, and what price they needed: the same for all but those next to it.
void ExplainLosers(State& state, const ClassRow& row, const Window& window, const AuctionPlan& plan, bool one_size) {
  const DoubleAuction auction = state.input->rules.auction;
  const auto to_win = [&](std::uint32_t rank) {
    return one_size ? PriceToWin(window.bids, window.asks, window.crossing, auction, rank) : plan.price_buyer;
  };
  const std::int64_t same = to_win(window.crossing.buyers + 3);
  for (BidRow& bid : state.BidsOf(row)) {
    if (bid.price >= window.low || bid.left == 0 || bid.uses_floor) continue;
    bid.why = UnservedWhy::kPrice;
    bid.price_to_win = same;
  }
  for (std::uint32_t rank = plan.buyers; rank < window.bids.front + window.bid_order.size(); ++rank) {
    BidRow& bid = state.bids[window.bid_order[rank - window.bids.front].place];
    bid.why = rank < window.crossing.buyers ? UnservedWhy::kMargin : UnservedWhy::kPrice;
    bid.price_to_win = rank < window.crossing.buyers + 3 ? to_win(rank) : same;
  }
}

void Auction(State& state, std::size_t place, const Market& market, const Window& window) {
  const bool one_size = market.size > 0;
  const AuctionPlan plan =
      one_size ? PlanOneSize(window.bids, window.asks, window.crossing, market.size, state.input->rules.auction)
               : PlanHuang(window.bids, window.asks, window.crossing);
  std::vector<Offer>& sellers = state.scratch.sellers;
  std::vector<Offer>& buyers = state.scratch.buyers;
  const ClassRow& row = state.classes[place];
  // Of one size each is taken whole or not at all anyway.
  const auto& asks = state.asks;
  Choose(
      row.asks_begin, row.asks_end, window.ask_order, plan.sellers - std::min(plan.sellers, window.asks.front),
      [&](std::uint32_t i) { return asks[i].left > 0 && asks[i].score < window.low; },
      [&](std::uint32_t i) { return asks[i].left; }, [&](std::uint32_t i) { return asks[i].is_lump && !one_size; },
      sellers);
  const auto& bids = state.bids;
  Choose(
      row.bids_begin, row.bids_end, window.bid_order, plan.buyers - std::min(plan.buyers, window.bids.front),
      [&](std::uint32_t i) { return bids[i].left > 0 && !bids[i].uses_floor && bids[i].price > window.high; },
      [&](std::uint32_t i) { return bids[i].left; }, [&](std::uint32_t i) { return bids[i].is_lump && !one_size; },
      buyers);
  ExplainLosers(state, row, window, plan, one_size);
  Recorder record(state, place, Lane::kAuction, plan.price_buyer, plan.price_seller);
  std::int64_t met = 0;
  if (one_size) {
    met = PairInto(state, sellers, buyers, plan.units_max, record);
  } else {
    met = PackInto(state, sellers, buyers, record);
    const UnservedWhy why = LeftOver(state, sellers) > 0 ? UnservedWhy::kSize : UnservedWhy::kRationed;
    for (const Offer& buyer : buyers) state.bids[buyer.row].why = why;
  }

  ClassOutcome& outcome = state.outcome.classes[place];
  outcome.lane_b = plan.rule;
  outcome.trades_given_up = plan.given_up;
  outcome.units_lane_b_milli = met;
  if (met > 0) {
    outcome.price_microcredits = plan.price_buyer;
    outcome.price_seller_microcredits = plan.price_seller;
  }
}

}  // namespace

void ClearFloors(State& state) {
  for (std::size_t place = 0; place < state.classes.size(); ++place) {
    const ClassRow& row = state.classes[place];
    bool any = false;
    for (const BidRow& bid : state.BidsOf(row)) any = any || (bid.uses_floor && bid.left > 0);
    if (!any) continue;
    std::map<PartyId, std::int64_t> floors;
    for (const Floor& floor : row.input->floors) {
      std::int64_t& units = floors[floor.party];
      units = std::min(units + std::min(floor.units_milli, kFloorUnitsMax), kFloorUnitsMax);
    }
    const std::int64_t price = row.input->surrogate_microcredits;
    std::vector<Offer>& sellers = state.scratch.sellers;
    std::vector<Offer>& buyers = state.scratch.buyers;
    SellersAt(state, row, price, sellers);
    buyers.clear();
    for (std::uint32_t i = row.bids_begin; i < row.bids_end; ++i) {
      BidRow& bid = state.bids[i];
      if (bid.left == 0 || !bid.uses_floor) continue;
      if (bid.price < price) {
        bid.why = UnservedWhy::kPrice;
        bid.price_to_win = price;
        continue;
      }
      // In the order of ids: they are one party's own, and it numbered them.
      const auto floor = floors.find(bid.owner);
      bid.why = UnservedWhy::kNoFloor;
      if (floor == floors.end()) continue;
      const std::int64_t lot = row.input->lot_milli;
      const std::int64_t units = std::min(bid.left, floor->second / lot * lot);
      if (units == 0 || (bid.is_lump && units < bid.left)) continue;
      floor->second -= units;
      if (units == bid.left) bid.why = UnservedWhy::kRationed;
      buyers.push_back({i, bid.is_lump, units, 0});
    }
    state.outcome.classes[place].units_floor_milli =
        PackInto(state, sellers, buyers, Recorder(state, place, Lane::kFloor, price, price));
  }
}

void ClearLaneB(State& state, std::size_t place) {
  const ClassRow& row = state.classes[place];
  const Market market = LookAt(state, row);
  if (market.asks == 0 || market.bids == 0) return;
  const Rules& rules = state.input->rules;
  ClassOutcome& outcome = state.outcome.classes[place];
  if (rules.thick_by == ThickBy::kOrders) {
    outcome.eligible_trades = static_cast<std::uint32_t>(std::min(market.asks, market.bids));
    if (outcome.eligible_trades < rules.eligible_trades_min) {
      return SellAt(state, place, market);
    }
  }
  const Window window = FindWindow(state, row);
  if (rules.thick_by == ThickBy::kCrossing) {
    outcome.eligible_trades = std::min(window.crossing.buyers, window.crossing.sellers);
    if (outcome.eligible_trades < rules.eligible_trades_min) {
      return SellAt(state, place, market);
    }
  }
  Auction(state, place, market, window);
}

}  // namespace accelmesh::market::auction
