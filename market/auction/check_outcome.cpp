#include <algorithm>
#include <map>
#include <set>
#include <utility>
#include <vector>

#include "market/auction/epoch.h"

namespace accelmesh::market::auction {
namespace {

// By id: as a map, but in one piece, for a simulation checks millions of epochs.
template <typename Value>
class ById {
 public:
  using Row = std::pair<OrderId, Value>;
  void Reserve(std::size_t rows) { rows_.reserve(rows); }
  void Add(OrderId id, Value value) { rows_.emplace_back(id, std::move(value)); }
  void Close() {
    const auto before = [](const Row& a, const Row& b) { return a.first < b.first; };
    if (!std::is_sorted(rows_.begin(), rows_.end(), before)) std::sort(rows_.begin(), rows_.end(), before);
  }
  auto find(OrderId id) {
    const auto at = std::lower_bound(rows_.begin(), rows_.end(), id,
                                     [](const Row& row, OrderId value) { return row.first < value; });
    return at != rows_.end() && at->first == id ? at : rows_.end();
  }
  bool contains(OrderId id) { return find(id) != rows_.end(); }
  auto begin() { return rows_.begin(); }
  auto end() { return rows_.end(); }
  std::size_t size() const { return rows_.size(); }

 private:
  std::vector<Row> rows_;
};

// By ids and one order after the other, unlike the clearing: an error in one should not be the other's, too.
class Checker {
 public:
  Checker(const EpochInput& input, const EpochOutcome& outcome) : input_(input), outcome_(outcome) {
    asks_.Reserve(input.asks.size());
    bids_.Reserve(input.bids.size());
    for (const ClassInput& slot_class : input.classes) classes_[slot_class.id] = &slot_class;
    for (const Ask& ask : input.asks) asks_.Add(ask.id, {&ask, 0, 0, 0});
    for (const Bid& bid : input.bids) bids_.Add(bid.id, {&bid, 0, 0, 0});
    for (const GangBid& gang : input.gangs) gangs_.Add(gang.id, &gang);
    for (const GangAward& award : outcome.gangs) awards_.Add(award.gang, &award);
    asks_.Close();
    bids_.Close();
    gangs_.Close();
    awards_.Close();
  }

  Status Check() {
    for (const Trade& trade : outcome_.trades) ACCELMESH_RETURN_IF_ERROR(CheckTrade(trade));
    for (const auto& [id, ask] : asks_) ACCELMESH_RETURN_IF_ERROR(CheckSold(ask));
    for (const auto& [id, bid] : bids_) ACCELMESH_RETURN_IF_ERROR(CheckBought(bid));
    for (const GangAward& award : outcome_.gangs) ACCELMESH_RETURN_IF_ERROR(CheckAward(award));
    ACCELMESH_RETURN_IF_ERROR(CheckFloors());
    ACCELMESH_RETURN_IF_ERROR(CheckUnserved());
    return CheckSums();
  }

 private:
  template <typename Order>
  struct Seen {
    const Order* order = nullptr;
    Wide units = 0;
    Wide paid = 0;
    int trades = 0;
  };

  static Status Wrong(const char* what, OrderId order) {
    return {Code::kInternal, "CheckOutcome", std::string(what) + " (order " + std::to_string(order) + ")"};
  }

  Status CheckTrade(const Trade& trade) {
    const auto slot_class = classes_.find(trade.slot_class);
    const auto ask = asks_.find(trade.ask);
    if (slot_class == classes_.end()) return Wrong("a trade is in a class that is not there", trade.ask);
    if (ask == asks_.end() || ask->second.order->owner != trade.seller ||
        ask->second.order->slot_class != trade.slot_class) {
      return Wrong("a trade is of an ask that is not there", trade.ask);
    }
    const Ask& sold = *ask->second.order;
    if (trade.units_milli <= 0 || trade.units_milli % slot_class->second->lot_milli != 0) {
      return Wrong("a trade is not of whole lots", trade.ask);
    }
    if (sold.reputation_ppm == 0 || sold.notice_ms > slot_class->second->notice_ms) {
      return Wrong("an ask traded that must not", trade.ask);
    }
    ask->second.units += trade.units_milli;
    ++ask->second.trades;
    if (trade.lane == Lane::kNetted) {
      if (trade.seller != trade.buyer || trade.price_buyer_microcredits != 0 || trade.price_seller_microcredits != 0) {
        return Wrong("netting is of one party's own, and no money", trade.ask);
      }
    } else if (trade.price_seller_microcredits < sold.price_microcredits) {
      return Wrong("a seller got less than its ask", trade.ask);
    }
    if (trade.price_buyer_microcredits < trade.price_seller_microcredits) {
      return Wrong("a seller got more than the buyer paid", trade.ask);
    }
    const bool is_lane_c = trade.lane == Lane::kGang;
    if (is_lane_c && trade.price_seller_microcredits != slot_class->second->reserve_microcredits) {
      return Wrong("lane C's sellers get the reserve", trade.ask);
    }
    if (trade.price_buyer_microcredits != trade.price_seller_microcredits && !is_lane_c &&
        (trade.lane != Lane::kAuction || input_.rules.auction == DoubleAuction::kSbba) && !IsHuang(trade.slot_class)) {
      return Wrong("money is left where none may be", trade.ask);
    }
    return is_lane_c && !bids_.contains(trade.bid) ? CheckGangTrade(trade, *slot_class->second)
                                                   : CheckBidTrade(trade, *slot_class->second, sold);
  }

  bool IsHuang(ClassId id) const {
    return std::any_of(outcome_.classes.begin(), outcome_.classes.end(), [&](const ClassOutcome& of_class) {
      return of_class.id == id && of_class.lane_b == LaneB::kHuang;
    });
  }

  Status CheckGangTrade(const Trade& trade, const ClassInput& slot_class) {
    const auto award = awards_.find(trade.bid);
    if (award == awards_.end() || award->second->owner != trade.buyer) {
      return Wrong("a gang traded that has no bundle", trade.bid);
    }
    if (trade.price_buyer_microcredits != slot_class.reserve_microcredits) {
      return Wrong("a gang's trade is not at the reserve", trade.bid);
    }
    gang_units_[{trade.bid, trade.slot_class}] += trade.units_milli;
    return {};
  }

  Status CheckBidTrade(const Trade& trade, const ClassInput& slot_class, const Ask& sold) {
    const auto found = bids_.find(trade.bid);
    if (found == bids_.end() || found->second.order->owner != trade.buyer ||
        found->second.order->slot_class != trade.slot_class) {
      return Wrong("a trade is of a bid that is not there", trade.bid);
    }
    const Bid& bid = *found->second.order;
    if (trade.price_buyer_microcredits > bid.price_microcredits) return Wrong("a buyer paid more than its bid", bid.id);
    if (bid.notice_ms_max < slot_class.notice_ms) return Wrong("a bid traded that cannot wait", bid.id);
    if (trade.lane == Lane::kNetted ? sold.price_microcredits > bid.price_microcredits : trade.seller == trade.buyer) {
      return Wrong("a party traded with itself", bid.id);
    }
    if (trade.lane == Lane::kGang && (trade.units_milli != slot_class.lot_milli || !lots_.insert(bid.id).second)) {
      return Wrong("a bid had more than a lot in lane C", bid.id);
    }
    if (trade.lane != Lane::kNetted && (trade.lane == Lane::kFloor) != bid.uses_floor) {
      return Wrong("a bid for a floor traded elsewhere, or another one there", bid.id);
    }
    if (trade.lane == Lane::kFloor) floor_units_[{trade.buyer, trade.slot_class}] += trade.units_milli;
    found->second.units += trade.units_milli;
    found->second.paid += Wide{trade.price_buyer_microcredits} * trade.units_milli;
    ++found->second.trades;
    return {};
  }

  Status CheckSold(const Seen<Ask>& seen) const {
    if (seen.units > seen.order->units_milli) return Wrong("an ask sold more than it has", seen.order->id);
    const auto slot_class = classes_.find(seen.order->slot_class);
    if (seen.units == 0 || seen.order->is_divisible || seen.units == seen.order->units_milli) return {};
    return seen.order->units_milli <= slot_class->second->lot_milli ? Status()
                                                                    : Wrong("a lump was divided", seen.order->id);
  }

  Status CheckBought(const Seen<Bid>& seen) const {
    const Bid& bid = *seen.order;
    if (seen.units > bid.units_milli) return Wrong("a bid bought more than it wants", bid.id);
    if (bid.budget_microcredits > 0 && seen.paid > Wide{bid.budget_microcredits} * kNanoPerMicro) {
      return Wrong("a bid paid more than its budget", bid.id);
    }
    if (seen.units > 0 && !bid.is_divisible && (seen.units != bid.units_milli || seen.trades != 1)) {
      return Wrong("a bid that takes all from one did not", bid.id);
    }
    return {};
  }

  Status CheckAward(const GangAward& award) {
    const auto gang = gangs_.find(award.gang);
    if (gang == gangs_.end() || gang->second->owner != award.owner || award.bundle >= gang->second->bundles.size()) {
      return Wrong("a bundle went to a gang that is not there", award.gang);
    }
    const Bundle& bundle = gang->second->bundles[award.bundle];
    Wide reserves = 0;
    for (const Part& part : bundle.parts) {
      const auto slot_class = classes_.find(part.slot_class);
      if (slot_class == classes_.end() || gang->second->notice_ms_max < slot_class->second->notice_ms) {
        return Wrong("a gang got what it cannot have", award.gang);
      }
      const auto got = gang_units_.find({award.gang, part.slot_class});
      if (got == gang_units_.end() || got->second != part.units_milli) {
        return Wrong("a gang got another number of units than it asked for", award.gang);
      }
      gang_units_.erase(got);
      reserves += Wide{part.units_milli} * slot_class->second->reserve_microcredits;
    }
    if (award.pays_nanocredits > bundle.value_microcredits * kNanoPerMicro) {
      return Wrong("a gang pays more than its value", award.gang);
    }
    const Wide due = std::max(Wide{award.critical_microcredits} * kNanoPerMicro, reserves);
    if (award.pays_nanocredits != due || award.surcharge_nanocredits != due - reserves) {
      return Wrong("a gang pays another sum than it has to", award.gang);
    }
    return {};
  }

  Status CheckFloors() const {
    if (!gang_units_.empty())
      return Wrong("a gang got units of no part of its bundle", gang_units_.begin()->first.first);
    std::map<std::pair<PartyId, ClassId>, Wide> owed;
    for (const ClassInput& slot_class : input_.classes) {
      for (const Floor& floor : slot_class.floors) owed[{floor.party, slot_class.id}] += floor.units_milli;
    }
    for (const auto& [whose, units] : floor_units_) {
      const auto floor = owed.find(whose);
      if (floor == owed.end() || units > floor->second) return Wrong("a floor was overdrawn by a party", whose.first);
    }
    return {};
  }

  Status CheckUnserved() {
    ById<Wide> lacks;
    lacks.Reserve(outcome_.unserved.size());
    for (const UnservedBid& unserved : outcome_.unserved) lacks.Add(unserved.bid, unserved.units_milli);
    lacks.Close();
    const OrderId* last = nullptr;
    for (const auto& [id, units] : lacks) {
      if (last != nullptr && *last == id) return Wrong("unserved twice", id);
      if (!bids_.contains(id)) return Wrong("unserved, and not there", id);
      last = &id;
    }
    for (const auto& [id, bid] : bids_) {
      const auto lack = lacks.find(id);
      if (bid.units + (lack == lacks.end() ? 0 : lack->second) != bid.order->units_milli) {
        return Wrong("what a bid got and did not get is not what it wants", id);
      }
    }
    std::set<OrderId> gangs;
    for (const UnservedGang& unserved : outcome_.unserved_gangs) {
      if (!gangs_.contains(unserved.gang) || awards_.contains(unserved.gang) || !gangs.insert(unserved.gang).second) {
        return Wrong("a gang is unserved and is not", unserved.gang);
      }
    }
    if (gangs.size() + awards_.size() != gangs_.size() || awards_.size() != outcome_.gangs.size()) {
      return Wrong("a gang is neither served nor not", 0);
    }
    return {};
  }

  Status CheckSums() const {
    Wide paid = 0;
    Wide received = 0;
    for (const Trade& trade : outcome_.trades) {
      paid += Wide{trade.price_buyer_microcredits} * trade.units_milli;
      received += Wide{trade.price_seller_microcredits} * trade.units_milli;
    }
    for (const GangAward& award : outcome_.gangs) paid += award.surcharge_nanocredits;
    const Sums& sums = outcome_.sums;
    if (paid != sums.paid || received != sums.received || sums.paid != sums.received + sums.pool || sums.pool < 0) {
      return Wrong("the sums are not those of the trades", 0);
    }
    return {};
  }

  const EpochInput& input_;
  const EpochOutcome& outcome_;
  std::map<ClassId, const ClassInput*> classes_;
  ById<Seen<Ask>> asks_;
  ById<Seen<Bid>> bids_;
  ById<const GangBid*> gangs_;
  ById<const GangAward*> awards_;
  std::set<OrderId> lots_;  // bids that had theirs in lane C
  std::map<std::pair<OrderId, ClassId>, Wide> gang_units_;
  std::map<std::pair<PartyId, ClassId>, Wide> floor_units_;
};

}  // namespace

Status CheckOutcome(const EpochInput& input, const EpochOutcome& outcome) { return Checker(input, outcome).Check(); }

}  // namespace accelmesh::market::auction
