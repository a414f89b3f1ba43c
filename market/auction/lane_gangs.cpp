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

std::int64_t ReserveOf(const State& state, const Bundle& bundle) {
  Wide sum = 0;
  for (const Part& part : bundle.parts) {
    const ClassInput& slot_class = *state.classes[state.Find(part.slot_class)].input;
    sum += Wide{part.units_milli} * slot_class.reserve_microcredits;
  }
  // Beyond every value anyway.
  return static_cast<std::int64_t>(std::min<Wide>(sum, (kValueMicrocreditsMax + 1) * kNanoPerMicro));
}

std::int64_t WeightedUnits(const State& state, const Bundle& bundle) {
  std::int64_t sum = 0;
  for (const Part& part : bundle.parts) {
    sum += part.units_milli * state.classes[state.Find(part.slot_class)].input->weight_milli;
  }
  return sum;
}

struct Entered {
  GangTable table;
  std::vector<std::int64_t> reserves;  // of rows as they were entered, by [gang][bundle] through `first`
  std::vector<std::uint32_t> first;
  std::vector<UnservedWhy> why;  // of gangs of which no bundle could be entered
};

Entered Enter(State& state, const std::vector<std::vector<Offer>>& offers) {
  Entered entered;
  GangTable& table = entered.table;
  table.gangs = static_cast<std::uint32_t>(state.gangs.size());
  for (const auto& of_class : offers) {
    std::int64_t sum = 0;
    for (const Offer& offer : of_class) sum += offer.units;
    table.supply.push_back(sum);
  }
  table.rows.reserve(state.gangs.size());
  table.needs.reserve(state.gangs.size());
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
      entered.reserves.back() = ReserveOf(state, bundle);
      GangTable::Row row{g,
                         b,
                         bundle.value_microcredits,
                         RootOf(WeightedUnits(state, bundle)),
                         tie,
                         static_cast<std::uint32_t>(table.needs.size()),
                         0,
                         bundle.value_microcredits * kNanoPerMicro < entered.reserves.back()};
      for (const Part& part : bundle.parts) table.needs.push_back({state.Find(part.slot_class), part.units_milli});
      row.needs_end = static_cast<std::uint32_t>(table.needs.size());
      table.rows.push_back(row);
    }
  }
  return entered;
}

void Award(State& state, const Entered& entered, const GangResult& result) {
  for (const GangResult::Won& won : result.won) {
    const GangTable::Row& row = entered.table.rows[won.row];
    const GangBid& gang = state.input->gangs[state.gangs[row.gang]];
    const std::int64_t reserve = entered.reserves[entered.first[row.gang] + row.bundle];
    const std::int64_t pays = std::max(won.critical * kNanoPerMicro, reserve);
    state.outcome.gangs.push_back({gang.id, gang.owner, row.bundle, won.critical, pays, pays - reserve});
  }
}

// For each gang that got nothing the bundle that came nearest to winning.
void Explain(State& state, const Entered& entered, const GangResult& result) {
  std::vector<bool> has_won(state.gangs.size());
  for (const GangResult::Won& won : result.won) has_won[entered.table.rows[won.row].gang] = true;
  std::vector<std::int64_t> to_win(entered.reserves.size(), -1);
  for (std::size_t i = 0; i < entered.table.rows.size(); ++i) {
    const GangTable::Row& row = entered.table.rows[i];
    to_win[entered.first[row.gang] + row.bundle] = result.to_win[i];
  }
  for (std::uint32_t g = 0; g < state.gangs.size(); ++g) {
    if (has_won[g]) continue;
    const GangBid& gang = state.input->gangs[state.gangs[g]];
    UnservedGang unserved{gang.id, entered.why[g], 0, -1};
    std::int64_t least_gap = 0;
    for (std::uint32_t b = 0; b < gang.bundles.size(); ++b) {
      const std::size_t at = entered.first[g] + b;
      if (entered.reserves[at] < 0) continue;
      const std::int64_t reserve = (entered.reserves[at] + kNanoPerMicro - 1) / kNanoPerMicro;
      const std::int64_t value = std::max(to_win[at], reserve);
      if (value > kValueMicrocreditsMax) continue;
      const std::int64_t gap = value - gang.bundles[b].value_microcredits;
      if (unserved.value_to_win_microcredits >= 0 && gap >= least_gap) continue;
      least_gap = gap;
      unserved = {gang.id, UnservedWhy::kPrice, b, value};
    }
    state.outcome.unserved_gangs.push_back(unserved);
  }
}

// Trades of the winners' parts in one class with its sellers.
void Assign(State& state, std::size_t place, std::vector<Offer>& sellers, const std::vector<Offer>& buyers) {
  std::int64_t need = 0;
  for (const Offer& buyer : buyers) need += buyer.taken;
  if (need == 0) return;
  const ClassInput& slot_class = *state.classes[place].input;
  TakeUpTo(state, sellers, need);
  state.outcome.classes[place].units_gang_milli = need;
  Pair(sellers, buyers, Draw(state.input->seed, Purpose::kPairing, slot_class.id),
       [&](std::uint32_t ask_row, std::uint32_t award, std::int64_t units) {
         AskRow& ask = state.asks[ask_row];
         ask.left -= units;
         const GangAward& gang = state.outcome.gangs[award];
         state.outcome.trades.push_back({ask.id, gang.gang, ask.owner, gang.owner, slot_class.id, Lane::kGang, units,
                                         slot_class.reserve_microcredits, slot_class.reserve_microcredits});
       });
}

}  // namespace

void ClearGangs(State& state) {
  if (state.gangs.empty()) return;
  std::vector<std::vector<Offer>> sellers(state.classes.size());
  for (std::size_t i = 0; i < state.classes.size(); ++i) Eligible(state, state.classes[i], sellers[i]);
  Entered entered = Enter(state, sellers);
  const GangResult result = AllocateGangs(entered.table);
  Award(state, entered, result);
  Explain(state, entered, result);
  std::vector<std::vector<Offer>> buyers(state.classes.size());
  for (std::uint32_t i = 0; i < result.won.size(); ++i) {
    const GangTable::Row& row = entered.table.rows[result.won[i].row];
    for (std::uint32_t n = row.needs_begin; n < row.needs_end; ++n) {
      const GangTable::Need& need = entered.table.needs[n];
      buyers[need.place].push_back({i, false, need.units, need.units});
    }
  }
  for (std::size_t i = 0; i < state.classes.size(); ++i) Assign(state, i, sellers[i], buyers[i]);
}

}  // namespace accelmesh::market::auction
