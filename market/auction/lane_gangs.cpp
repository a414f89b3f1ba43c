#include "market/auction/gangs.h"
#include "market/auction/lanes.h"
#include "market/auction/rationing.h"

namespace accelmesh::market::auction {
namespace {

// The asks of a class that a gang can have at the reserve. Lumps count only as far as every sum up to the whole can be
// made of them and what is divisible: then whatever gangs need can be had to the last lot.
void Eligible(State& state, const ClassRow& row, std::vector<Offer>& offers) {
  offers.clear();
  std::int64_t divisible = 0;
  for (std::uint32_t i = row.asks_begin; i < row.asks_end; ++i) {
    const AskRow& ask = state.asks[i];
    if (ask.left == 0 || ask.price > row.input->reserve_microcredits) continue;
    offers.push_back({i, ask.is_lump, ask.left, 0});
    if (!ask.is_lump) divisible += ask.left;
  }
  // From the smallest: one that is not larger by more than a lot than all before together leaves no gap.
  std::vector<std::int64_t> lumps;
  for (const Offer& offer : offers) {
    if (offer.is_lump) lumps.push_back(offer.units);
  }
  std::sort(lumps.begin(), lumps.end());
  std::int64_t all = divisible;
  std::int64_t lump_max = 0;
  for (const std::int64_t units : lumps) {
    if (units > all + row.input->lot_milli) break;
    all += units;
    lump_max = units;
  }
  std::erase_if(offers, [&](const Offer& offer) { return offer.is_lump && offer.units > lump_max; });
}

// Why a bundle cannot win whatever its value, or kPrice if it can.
UnservedWhy Hindrance(const State& state, const GangTable& table, const GangBid& gang, const Bundle& bundle) {
  for (const Part& part : bundle.parts) {
    const std::uint32_t place = state.Find(part.slot_class);
    if (place == state.classes.size()) return UnservedWhy::kNoClass;
    const ClassInput& slot_class = *state.classes[place].input;
    if (gang.notice_ms_max < slot_class.notice_ms) return UnservedWhy::kNotice;
    if (part.units_milli % slot_class.lot_milli != 0) return UnservedWhy::kLot;
    if (part.units_milli > table.supply[place]) return UnservedWhy::kRationed;
  }
  return UnservedWhy::kPrice;
}

// Nanocredits an hour.
Wide ReserveOf(const State& state, const Bundle& bundle) {
  Wide sum = 0;
  for (const Part& part : bundle.parts) {
    const ClassInput& slot_class = *state.classes[state.Find(part.slot_class)].input;
    sum += Wide{part.units_milli} * slot_class.reserve_microcredits;
  }
  return sum;
}

std::int64_t WeightedUnits(const State& state, const Bundle& bundle) {
  std::int64_t sum = 0;
  for (const Part& part : bundle.parts) {
    sum += part.units_milli * state.classes[state.Find(part.slot_class)].input->weight_milli;
  }
  return sum;
}

// Lane C's table: gangs by their place in `State::gangs`, then bids.
struct Entered {
  GangTable table;
  std::vector<Wide> reserves;          // nanocredits; of bundles, by [gang][bundle] through `first`; -1: not entered
  std::vector<std::uint32_t> first;    // of gangs
  std::vector<UnservedWhy> why;        // of gangs of which no bundle could be entered
  std::vector<std::uint32_t> bids;     // rows of the state, by number in the table less the gangs
  std::vector<std::uint32_t> classes;  // place of each of `bids`
};

void EnterGangs(State& state, Entered& entered) {
  GangTable& table = entered.table;
  entered.why.assign(state.gangs.size(), UnservedWhy::kPrice);
  for (std::uint32_t g = 0; g < state.gangs.size(); ++g) {
    const GangBid& gang = state.input->gangs[state.gangs[g]];
    entered.first.push_back(static_cast<std::uint32_t>(entered.reserves.size()));
    const std::uint64_t tie = Draw(state.input->seed, Purpose::kTieGang, gang.id);
    for (std::uint32_t b = 0; b < gang.bundles.size(); ++b) {
      const Bundle& bundle = gang.bundles[b];
      entered.reserves.push_back(-1);
      const UnservedWhy hindrance = Hindrance(state, table, gang, bundle);
      if (hindrance != UnservedWhy::kPrice) {
        entered.why[g] = hindrance;
        continue;
      }
      const Wide reserve = ReserveOf(state, bundle);
      entered.reserves.back() = reserve;
      const Wide excess = Wide{bundle.value_microcredits} * kNanoPerMicro - reserve;
      GangTable::Row row{g,
                         b,
                         static_cast<std::int64_t>(std::max<Wide>(excess, -1)),
                         RootOf(WeightedUnits(state, bundle)),
                         tie,
                         static_cast<std::uint32_t>(table.needs.size()),
                         0,
                         excess < 0};
      for (const Part& part : bundle.parts) table.needs.push_back({state.Find(part.slot_class), part.units_milli});
      row.needs_end = static_cast<std::uint32_t>(table.needs.size());
      table.rows.push_back(row);
    }
  }
}

// Bids for one lot, of classes that a gang might have something of. Which classes these are no such bid has a say in.
void EnterBids(State& state, Entered& entered) {
  GangTable& table = entered.table;
  std::vector<bool> is_contended(state.classes.size());
  for (const GangTable::Row& row : table.rows) {
    for (std::uint32_t n = row.needs_begin; n < row.needs_end && !row.is_out; ++n) {
      is_contended[table.needs[n].place] = true;
    }
  }
  for (std::uint32_t place = 0; place < state.classes.size(); ++place) {
    if (!is_contended[place]) continue;
    const ClassRow& slot_class = state.classes[place];
    const std::int64_t lot = slot_class.input->lot_milli;
    const std::uint64_t root = RootOf(lot * slot_class.input->weight_milli);
    for (std::uint32_t i = slot_class.bids_begin; i < slot_class.bids_end; ++i) {
      const BidRow& bid = state.bids[i];
      if (bid.uses_floor || bid.left != lot) continue;
      const Wide excess = Wide{bid.price - slot_class.input->reserve_microcredits} * lot;
      const auto needs = static_cast<std::uint32_t>(table.needs.size());
      table.rows.push_back({static_cast<std::uint32_t>(state.gangs.size() + entered.bids.size()), 0,
                            static_cast<std::int64_t>(std::max<Wide>(excess, -1)), root,
                            Draw(state.input->seed, Purpose::kTieGang, bid.id), needs, needs + 1, excess < 0});
      table.needs.push_back({place, lot});
      entered.bids.push_back(i);
      entered.classes.push_back(place);
    }
  }
}

Entered Enter(State& state, const std::vector<std::vector<Offer>>& offers) {
  Entered entered;
  for (const auto& of_class : offers) {
    std::int64_t sum = 0;
    for (const Offer& offer : of_class) sum += offer.units;
    entered.table.supply.push_back(sum);
  }
  entered.table.rows.reserve(state.gangs.size());
  entered.table.needs.reserve(state.gangs.size());
  EnterGangs(state, entered);
  EnterBids(state, entered);
  entered.table.gangs = static_cast<std::uint32_t>(state.gangs.size() + entered.bids.size());
  return entered;
}

// The least whole value, microcredits, that is so much beyond the reserves; beyond every value there may be if that is.
std::int64_t ValueOf(Wide reserve, std::int64_t excess) {
  const Wide nano = reserve + excess;
  return static_cast<std::int64_t>(
      std::min<Wide>((nano + kNanoPerMicro - 1) / kNanoPerMicro, kValueMicrocreditsMax + 1));
}
// The same of a bid's price: the reserve is a price, so that only the excess is rounded.
std::int64_t PriceBeyond(const ClassInput& slot_class, std::int64_t excess) {
  const Wide beyond = (Wide{excess} + slot_class.lot_milli - 1) / slot_class.lot_milli;
  return static_cast<std::int64_t>(std::min<Wide>(slot_class.reserve_microcredits + beyond, kPriceMicrocreditsMax + 1));
}

// One who has its units, and what it pays.
struct Winner {
  OrderId id = 0;
  PartyId owner = 0;
  std::int64_t price_microcredits = -1;  // of a bid, for a unit-hour; -1: a gang, which pays reserves and a surcharge
  std::uint32_t bid_row = 0;
};

Winner Award(State& state, const Entered& entered, const GangResult::Won& won) {
  const GangTable::Row& row = entered.table.rows[won.row];
  if (row.gang >= state.gangs.size()) {
    const std::size_t at = row.gang - state.gangs.size();
    const BidRow& bid = state.bids[entered.bids[at]];
    const ClassInput& slot_class = *state.classes[entered.classes[at]].input;
    return {bid.id, bid.owner, PriceBeyond(slot_class, won.critical), entered.bids[at]};
  }
  const GangBid& gang = state.input->gangs[state.gangs[row.gang]];
  const Wide reserve = entered.reserves[entered.first[row.gang] + row.bundle];
  const std::int64_t critical = won.critical == 0 ? 0 : ValueOf(reserve, won.critical);
  const Wide pays = std::max(Wide{critical} * kNanoPerMicro, reserve);
  state.outcome.gangs.push_back({gang.id, gang.owner, row.bundle, critical, static_cast<std::int64_t>(pays),
                                 static_cast<std::int64_t>(pays - reserve)});
  return {gang.id, gang.owner, -1, 0};
}

// For each gang that got nothing the bundle that came nearest to winning; bids that got nothing are done with.
void Explain(State& state, const Entered& entered, const GangResult& result) {
  std::vector<bool> has_won(entered.table.gangs);
  for (const GangResult::Won& won : result.won) has_won[entered.table.rows[won.row].gang] = true;
  std::vector<std::int64_t> to_win(entered.reserves.size(), -1);
  for (std::size_t i = 0; i < entered.table.rows.size(); ++i) {
    const GangTable::Row& row = entered.table.rows[i];
    if (row.gang < state.gangs.size()) {
      to_win[entered.first[row.gang] + row.bundle] = result.to_win[i];
    } else if (!has_won[row.gang]) {
      const std::size_t at = row.gang - state.gangs.size();
      BidRow& bid = state.bids[entered.bids[at]];
      bid.cut += bid.left;
      bid.left = 0;
      bid.cut_why = UnservedWhy::kPrice;
      const std::int64_t price = PriceBeyond(*state.classes[entered.classes[at]].input, result.to_win[i]);
      bid.price_to_win = price > kPriceMicrocreditsMax ? -1 : price;
    }
  }
  for (std::uint32_t g = 0; g < state.gangs.size(); ++g) {
    if (has_won[g]) continue;
    const GangBid& gang = state.input->gangs[state.gangs[g]];
    UnservedGang unserved{gang.id, entered.why[g], 0, -1};
    std::int64_t least_gap = 0;
    for (std::uint32_t b = 0; b < gang.bundles.size(); ++b) {
      const std::size_t at = entered.first[g] + b;
      if (entered.reserves[at] < 0) continue;
      const std::int64_t value = ValueOf(entered.reserves[at], to_win[at]);
      if (value > kValueMicrocreditsMax) continue;
      const std::int64_t gap = value - gang.bundles[b].value_microcredits;
      if (unserved.value_to_win_microcredits >= 0 && gap >= least_gap) continue;
      least_gap = gap;
      unserved = {gang.id, UnservedWhy::kPrice, b, value};
    }
    state.outcome.unserved_gangs.push_back(unserved);
  }
}

// Trades of what winners have of one class with its sellers. A bid's lot comes from one of them: all have whole lots.
void Assign(State& state, std::size_t place, std::vector<Offer>& sellers, std::vector<Offer>& buyers,
            const std::vector<Winner>& winners) {
  std::int64_t need = 0;
  for (const Offer& buyer : buyers) need += buyer.taken;
  if (need == 0) return;
  const ClassInput& slot_class = *state.classes[place].input;
  TakeUpTo(state, sellers, need);
  state.outcome.classes[place].units_gang_milli = need;
  std::sort(buyers.begin(), buyers.end(),
            [&](const Offer& a, const Offer& b) { return winners[a.row].id < winners[b.row].id; });
  Pair(sellers, buyers, Draw(state.input->seed, Purpose::kPairing, slot_class.id),
       [&](std::uint32_t ask_row, std::uint32_t buyer, std::int64_t units) {
         AskRow& ask = state.asks[ask_row];
         ask.left -= units;
         const Winner& winner = winners[buyer];
         const std::int64_t reserve = slot_class.reserve_microcredits;
         const bool is_gang = winner.price_microcredits < 0;
         if (!is_gang) state.bids[winner.bid_row].left -= units;
         state.outcome.trades.push_back({ask.id, winner.id, ask.owner, winner.owner, slot_class.id, Lane::kGang, units,
                                         is_gang ? reserve : winner.price_microcredits, reserve});
       });
}

}  // namespace

void ClearGangs(State& state) {
  if (state.gangs.empty()) return;
  std::vector<std::vector<Offer>> sellers(state.classes.size());
  for (std::size_t i = 0; i < state.classes.size(); ++i) Eligible(state, state.classes[i], sellers[i]);
  Entered entered = Enter(state, sellers);
  const GangResult result = AllocateGangs(entered.table);
  std::vector<Winner> winners;
  std::vector<std::vector<Offer>> buyers(state.classes.size());
  for (const GangResult::Won& won : result.won) {
    const auto number = static_cast<std::uint32_t>(winners.size());
    winners.push_back(Award(state, entered, won));
    const GangTable::Row& row = entered.table.rows[won.row];
    for (std::uint32_t n = row.needs_begin; n < row.needs_end; ++n) {
      const GangTable::Need& need = entered.table.needs[n];
      buyers[need.place].push_back({number, false, need.units, need.units});
    }
  }
  Explain(state, entered, result);
  for (std::size_t i = 0; i < state.classes.size(); ++i) Assign(state, i, sellers[i], buyers[i], winners);
}

}  // namespace accelmesh::market::auction
