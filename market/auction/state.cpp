#include "market/auction/state.h"

#include <numeric>

#include "market/auction/checks.h"

namespace accelmesh::market::auction {
namespace {

Status Wrong(const char* where, const char* what) { return {Code::kInvalidArgument, where, what}; }

template <typename Order>
Status CheckEach(const std::vector<Order>& orders) {
  for (const Order& order : orders) {
    if (const Fault fault = FaultOf(order); !fault.ok()) return Wrong(fault.where, fault.what);
  }
  return {};
}

Status CheckSizes(const EpochInput& input) {
  const auto too_many = [](const char* where, const char* what) { return Status(Code::kLimitExceeded, where, what); };
  if (input.classes.size() > kClassesMax) return too_many("EpochInput.classes", "more than 4,096 classes");
  if (input.asks.size() > kOrdersMax) return too_many("EpochInput.asks", "more than 1,048,576 asks; clear more often");
  if (input.bids.size() > kOrdersMax) return too_many("EpochInput.bids", "more than 1,048,576 bids; clear more often");
  if (input.gangs.size() > kGangsMax) return too_many("EpochInput.gangs", "more than 65,536 gangs; clear more often");
  std::size_t parts = 0;
  for (const GangBid& gang : input.gangs) {
    for (const Bundle& bundle : gang.bundles) parts += bundle.parts.size();
    if (parts > kPartsMax) return too_many("EpochInput.gangs.bundles", "more than 1,048,576 parts in all");
  }
  std::size_t floors = 0;
  for (const ClassInput& slot_class : input.classes) floors += slot_class.floors.size();
  if (floors > kFloorsMax) return too_many("EpochInput.classes.floors", "more than 65,536 floors in all");
  if (input.rules.auction > DoubleAuction::kMcAfee || input.rules.thick_by > ThickBy::kOrders) {
    return Wrong("EpochInput.rules", "no such rule");
  }
  return {};
}

// Places in the order of ids; nothing if they are in that order already. An id twice is an error.
template <typename Order>
Status ByIds(const std::vector<Order>& orders, std::vector<std::uint32_t>& places, const char* where) {
  places.clear();
  bool ascend = true;
  for (std::size_t i = 1; i < orders.size() && ascend; ++i) ascend = orders[i - 1].id < orders[i].id;
  if (ascend) return {};
  std::vector<Keyed> keys(orders.size());
  std::vector<Keyed> spare;
  for (std::uint32_t i = 0; i < orders.size(); ++i) keys[i] = {orders[i].id, i};
  SortByKey(keys, spare);
  places.resize(orders.size());
  for (std::size_t i = 0; i < keys.size(); ++i) {
    if (i > 0 && keys[i].key == keys[i - 1].key) return Wrong(where, "an id is there twice");
    places[i] = keys[i].place;
  }
  return {};
}

Status CheckLeases(const std::vector<Ask>& asks) {
  std::vector<LeaseId> leases;
  for (const Ask& ask : asks) {
    if (ask.lease != 0) leases.push_back(ask.lease);
  }
  if (!std::is_sorted(leases.begin(), leases.end())) std::sort(leases.begin(), leases.end());
  if (std::adjacent_find(leases.begin(), leases.end()) != leases.end()) {
    return Wrong("EpochInput.asks.lease", "two asks are of one lease; it can be taken once in an epoch");
  }
  return {};
}

// Most orders are of one lot, and divisions are slow.
std::int64_t WholeLots(std::int64_t units, std::int64_t lot) {
  return lot == 1 || units == lot ? units : units - units % lot;
}

AskRow RowOf(const Ask& ask, const ClassInput& slot_class) {
  AskRow row{ask.id, ask.owner, ask.price_microcredits, 0, 0, ask.reputation_ppm, false};
  const std::int64_t lot = slot_class.lot_milli;
  const std::int64_t whole = WholeLots(ask.units_milli, lot);
  row.is_lump = !ask.is_divisible && ask.units_milli > lot;
  row.is_running = ask.lease != 0;
  if (ask.reputation_ppm == 0 || ask.notice_ms > slot_class.notice_ms) return row;
  if (!ask.is_divisible && whole != ask.units_milli) return row;
  row.left = whole;
  row.score = ask.reputation_ppm == kWholePpm
                  ? ask.price_microcredits
                  : (ask.price_microcredits * kWholePpm + ask.reputation_ppm - 1) / ask.reputation_ppm;
  return row;
}

BidRow RowOf(const Bid& bid, const ClassInput& slot_class) {
  BidRow row;
  row.id = bid.id;
  row.owner = bid.owner;
  row.price = bid.price_microcredits;
  row.uses_floor = bid.uses_floor;
  const std::int64_t lot = slot_class.lot_milli;
  row.is_lump = !bid.is_divisible && bid.units_milli > lot;
  std::int64_t units = WholeLots(bid.units_milli, lot);
  if (bid.notice_ms_max < slot_class.notice_ms) {
    units = 0;
    row.cut_why = UnservedWhy::kNotice;
  } else if (bid.budget_microcredits > 0 && bid.price_microcredits > 0) {
    const Wide most = Wide{bid.budget_microcredits} * kNanoPerMicro / bid.price_microcredits;
    if (most < units) {
      units = static_cast<std::int64_t>(most) / lot * lot;
      row.cut_why = UnservedWhy::kBudget;
    }
  }
  if (!bid.is_divisible && units != bid.units_milli) units = 0;
  row.left = units;
  row.cut = bid.units_milli - units;
  return row;
}

// Rows by class, and within one by id: a counting sort over orders that come by id. `place` says where each came to
// lie.
template <typename Order, typename Row>
void Arrange(State& state, const std::vector<Order>& orders, const std::vector<std::uint32_t>& by_id,
             std::vector<Row>& rows, std::vector<std::uint32_t>& begins, std::vector<std::uint32_t>* place) {
  const std::size_t classes = state.classes.size();
  begins.assign(classes + 2, 0);
  std::vector<std::uint16_t>& class_of = state.scratch.class_of;
  class_of.resize(orders.size());
  for (std::size_t i = 0; i < orders.size(); ++i) {
    const std::uint32_t found = state.Find(orders[i].slot_class);
    class_of[i] = static_cast<std::uint16_t>(found);
    ++begins[found + 1];
  }
  std::partial_sum(begins.begin(), begins.end(), begins.begin());
  rows.resize(begins[classes]);
  if (place != nullptr) place->reserve(orders.size());
  std::vector<std::uint32_t> next(begins.begin(), begins.end() - 1);
  for (std::size_t i = 0; i < orders.size(); ++i) {
    if (i + kAhead < by_id.size()) __builtin_prefetch(&orders[by_id[i + kAhead]]);
    const std::size_t from = by_id.empty() ? i : by_id[i];
    if (class_of[from] == classes) continue;
    const std::uint32_t at = next[class_of[from]]++;
    rows[at] = RowOf(orders[from], *state.classes[class_of[from]].input);
    if (place != nullptr) place->push_back(at);
  }
}

}  // namespace

std::uint32_t State::Find(ClassId id) const {
  if (!place_of_class_.empty()) {
    return id < place_of_class_.size() ? place_of_class_[id] : static_cast<std::uint32_t>(classes.size());
  }
  const auto at = std::lower_bound(classes.begin(), classes.end(), id,
                                   [](const ClassRow& row, ClassId value) { return row.input->id < value; });
  return static_cast<std::uint32_t>(at != classes.end() && at->input->id == id ? at - classes.begin()
                                                                               : std::ssize(classes));
}

Status BuildState(const EpochInput& input, State& state) {
  ACCELMESH_RETURN_IF_ERROR(CheckSizes(input));
  ACCELMESH_RETURN_IF_ERROR(CheckEach(input.classes));
  ACCELMESH_RETURN_IF_ERROR(CheckEach(input.asks));
  ACCELMESH_RETURN_IF_ERROR(CheckEach(input.bids));
  ACCELMESH_RETURN_IF_ERROR(CheckEach(input.gangs));
  ACCELMESH_RETURN_IF_ERROR(CheckLeases(input.asks));

  state.input = &input;
  state.outcome = {};
  state.classes.clear();
  state.gangs.clear();
  state.by_bid.clear();
  state.homeless.clear();
  state.place_of_class_.clear();
  for (const ClassInput& slot_class : input.classes) state.classes.push_back({.input = &slot_class});
  std::sort(state.classes.begin(), state.classes.end(),
            [](const ClassRow& a, const ClassRow& b) { return a.input->id < b.input->id; });
  for (std::size_t i = 1; i < state.classes.size(); ++i) {
    if (state.classes[i].input->id == state.classes[i - 1].input->id) {
      return Wrong("EpochInput.classes.id", "a class is there twice");
    }
  }
  constexpr ClassId kSmall = 1U << 16;
  if (!state.classes.empty() && state.classes.back().input->id < kSmall) {
    state.place_of_class_.assign(state.classes.back().input->id + 1, static_cast<std::uint32_t>(state.classes.size()));
    for (std::uint32_t i = 0; i < state.classes.size(); ++i) state.place_of_class_[state.classes[i].input->id] = i;
  }

  std::vector<std::uint32_t>& asks_by_id = state.scratch.asks_by_id;
  std::vector<std::uint32_t>& bids_by_id = state.scratch.bids_by_id;
  ACCELMESH_RETURN_IF_ERROR(ByIds(input.asks, asks_by_id, "EpochInput.asks.id"));
  ACCELMESH_RETURN_IF_ERROR(ByIds(input.bids, bids_by_id, "EpochInput.bids.id"));
  ACCELMESH_RETURN_IF_ERROR(ByIds(input.gangs, state.gangs, "EpochInput.gangs.id"));
  if (state.gangs.empty()) {
    state.gangs.resize(input.gangs.size());
    std::iota(state.gangs.begin(), state.gangs.end(), 0U);
  }
  // Trades name bids and gangs by one id.
  const auto bid_at = [&](std::size_t i) -> const Bid& { return input.bids[bids_by_id.empty() ? i : bids_by_id[i]]; };
  for (std::size_t i = 0, j = 0; i < input.bids.size() && j < input.gangs.size();) {
    const OrderId bid = bid_at(i).id;
    const OrderId gang = input.gangs[state.gangs[j]].id;
    if (bid == gang) return Wrong("EpochInput.gangs.id", "a gang has the id of a bid");
    bid < gang ? ++i : ++j;
  }

  std::vector<std::uint32_t> begins;
  Arrange(state, input.asks, asks_by_id, state.asks, begins, nullptr);
  for (std::size_t i = 0; i < state.classes.size(); ++i) {
    state.classes[i].asks_begin = begins[i];
    state.classes[i].asks_end = begins[i + 1];
  }
  Arrange(state, input.bids, bids_by_id, state.bids, begins, &state.by_bid);
  for (std::size_t i = 0; i < state.classes.size(); ++i) {
    state.classes[i].bids_begin = begins[i];
    state.classes[i].bids_end = begins[i + 1];
  }
  if (state.bids.size() != input.bids.size()) {
    for (std::size_t i = 0; i < input.bids.size(); ++i) {
      const Bid& bid = bid_at(i);
      if (state.Find(bid.slot_class) != state.classes.size()) continue;
      BidRow row;
      row.id = bid.id;
      row.cut = bid.units_milli;
      row.cut_why = UnservedWhy::kNoClass;
      state.homeless.push_back(row);
    }
  }
  state.outcome.classes.resize(state.classes.size());
  for (std::size_t i = 0; i < state.classes.size(); ++i) state.outcome.classes[i].id = state.classes[i].input->id;
  return {};
}

}  // namespace accelmesh::market::auction
