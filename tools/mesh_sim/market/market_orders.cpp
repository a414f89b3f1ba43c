// Of MarketPolicy: what agents send into an epoch, and what comes of it.
#include <algorithm>
#include <cmath>
#include <tuple>

#include "tools/mesh_sim/market/market_policy.h"

namespace accelmesh::sim {
namespace {

using market::auction::Ask;
using market::auction::Bid;
using market::auction::EpochInput;
using market::auction::EpochOutcome;
using market::auction::GangBid;
using market::auction::Lane;
using market::auction::Trade;
using market::auction::Wide;

// Numbers of orders: a job's bid is its number plus one; the others lie above all jobs.
constexpr std::uint64_t kLeaseAsks = std::uint64_t{1} << 33;
constexpr std::uint64_t kIdleAsks = std::uint64_t{2} << 33;
constexpr std::uint64_t kSpoofs = std::uint64_t{3} << 33;
constexpr std::uint64_t kOperator = std::uint64_t{1} << 40;

std::int64_t PriceOf(double credits) {
  return std::min(static_cast<std::int64_t>(std::min(credits, 1e9) * 1e6), market::auction::kPriceMicrocreditsMax);
}

// Microcredits for a rate of nanocredits an hour over a time, rounded down.
std::int64_t Amount(double nanocredits_per_hour, std::int64_t ms) {
  return static_cast<std::int64_t>(nanocredits_per_hour * static_cast<double>(ms) / kHourMs /
                                   market::auction::kNanoPerMicro);
}

}  // namespace

// Jobs that wait and bid what is asked somewhere, each once; then, where units are idle, the dearest of the others.
void MarketPolicy::FindWishes(World& world) {
  wishes_.clear();
  const std::uint64_t stamp = figures_.epochs;
  const auto look = [&](JobId id, std::size_t below) {
    seen_[id] = stamp;
    const Job& job = world.job(id);
    Wish wish{id, kClasses, 0, std::numeric_limits<std::int64_t>::max(), below != kClasses};
    double least_cost = 0;
    for (std::size_t c = 0; c < kClasses; ++c) {
      const double worth = waiting_.Of(id, c);
      if (below == kClasses ? !BidsPrice(world, id, c, worth) : c != below || worth <= 0) continue;
      const double hours = world.HoursOn(id, c);
      if (hours <= 0) continue;
      const double cost = hours * static_cast<double>(prices_[c]);
      if (wish.slot_class == kClasses || cost < least_cost) {
        wish.slot_class = c;
        wish.price = PriceOf(WaitingBid(world, id, c));
        least_cost = cost;
      }
    }
    if (wish.slot_class == kClasses || agents_.HoldsBack(world, id, is_falling_[wish.slot_class]))
      return std::uint64_t{0};
    wishes_.push_back(wish);
    return job.units_milli();
  };
  for (std::size_t c = 0; c < kClasses; ++c) {
    for (const auto& [bid, id] : waiting_.OfClass(c)) {
      if (PriceOf(bid) < prices_[c]) break;
      if (seen_[id] != stamp) look(id, kClasses);
    }
  }
  for (std::size_t c = 0; c < kClasses; ++c) {
    const std::uint64_t idle = world.pool(c).free_milli();
    std::uint64_t sent = 0;
    std::size_t looked = 0;
    for (auto at = waiting_.OfClass(c).lower_bound({static_cast<double>(prices_[c]) / 1e6, 0});
         at != waiting_.OfClass(c).end() && sent < 2 * idle && looked < 1000; ++at, ++looked) {
      if (seen_[at->second] != stamp && world.job(at->second).gpus == 1) sent += look(at->second, c);
    }
  }
}

// What an hour of it costs at most: a gang may win in any of its classes.
std::int64_t MarketPolicy::WantedOf(const World& world, const Wish& wish) const {
  const Job& job = world.job(wish.job);
  std::int64_t most = wish.price;
  for (std::size_t c = 0; c < kClasses && job.gpus > 1; ++c) {
    most = std::max(most, PriceOf(WaitingBid(world, wish.job, c)));
  }
  return static_cast<std::int64_t>(static_cast<double>(most) * static_cast<double>(job.units_milli()) / 1000);
}

// Dearest first, each bids at most what its tenant still has for an hour.
void MarketPolicy::CutToBudgets(const World& world) {
  std::vector<std::int64_t> all;
  for (std::size_t i = 0; i < world.tenants(); ++i) all.push_back(std::max<std::int64_t>(0, accounts_.tenant(i)));
  // Who can pay for all that he bids is cut nowhere, in whatever order.
  std::vector<std::int64_t> left = all;
  bool is_short = false;
  for (const Wish& wish : wishes_) {
    std::int64_t& rest = left[world.job(wish.job).tenant];
    const std::int64_t wanted = WantedOf(world, wish);
    is_short = is_short || wanted > rest;
    rest -= std::min(rest, wanted);
  }
  if (!is_short) return;
  left = all;
  std::sort(wishes_.begin(), wishes_.end(),
            [](const Wish& a, const Wish& b) { return a.price != b.price ? a.price > b.price : a.job < b.job; });
  std::erase_if(wishes_, [&](Wish& wish) {
    const Job& job = world.job(wish.job);
    const std::int64_t wanted = WantedOf(world, wish);
    if (wanted > left[job.tenant]) {
      ++figures_.cut_bids;
      const std::int64_t before = left[job.tenant];
      wish.most =
          static_cast<std::int64_t>(static_cast<double>(before) * 1000 / static_cast<double>(job.units_milli()));
      wish.price = std::min(wish.price, wish.most);
      const bool is_dropped =
          wish.price < rules_.floor_microcredits || (wish.price < prices_[wish.slot_class] && !wish.is_below);
      left[job.tenant] = is_dropped ? before : 0;  // what is not bid is there for the next
      return is_dropped;
    }
    left[job.tenant] -= wanted;
    return false;
  });
}

// What it would bid for its own slot, and a restart over the rest of its lease; -1: it does not stand for sale.
std::int64_t MarketPolicy::Ask(const World& world, JobId id) const {
  const JobState& state = world.state(id);
  const Job& job = world.job(id);
  const std::int64_t rest_ms = leases_[id].ends_ms - world.now_ms();
  if (world.now_ms() - state.held_from_ms < rules_.run_least_ms || rest_ms <= 0) return -1;
  double ask = HonestBid(world, id, state.slot_class);
  if (job.deadline_ms != kNever && job.deadline_ms - state.ends_ms < kHourMs) {
    ask = std::max(
        ask, job.value / (static_cast<double>(job.units_milli()) / 1000 * static_cast<double>(rest_ms) / kHourMs));
  }
  ask += static_cast<double>(prices_[state.slot_class]) / 1e6 * static_cast<double>(world.rules().restart_ms) /
         static_cast<double>(rest_ms);
  ask *= agents_.AskTimes(world, id);
  return ask < 1e6 ? PriceOf(ask) : -1;
}

bool MarketPolicy::Orders(const World& world) {
  EpochInput& input = input_;
  input.classes.clear();
  input.asks.clear();
  input.bids.clear();
  input.gangs.clear();
  input.number = figures_.epochs;
  input.seed = market::auction::Draw(seed_, market::auction::Purpose::kClose, figures_.epochs);
  input.rules = rules_.auction;
  std::array<std::int64_t, kClasses> dearest;  // what an ask must not be above to be of any use
  dearest.fill(-1);
  for (const Wish& wish : wishes_) {
    const Job& job = world.job(wish.job);
    const auto units = static_cast<std::int64_t>(job.units_milli());
    const std::uint64_t name = agents_.NameOf(world, wish.job);
    if (job.gpus == 1) {
      Bid bid;
      bid.id = wish.job + 1;
      bid.owner = name;
      bid.slot_class = static_cast<std::uint32_t>(wish.slot_class);
      bid.is_divisible = false;
      bid.units_milli = units;
      bid.price_microcredits = wish.price;
      input.bids.push_back(bid);
      dearest[wish.slot_class] = std::max(dearest[wish.slot_class], wish.price);
      continue;
    }
    GangBid gang;
    gang.id = wish.job + 1;
    gang.owner = name;
    for (std::size_t c = 0; c < kClasses; ++c) {
      const double most = WaitingBid(world, wish.job, c);
      const std::int64_t price = std::min(PriceOf(most), wish.most);
      if (most <= 0 || price < prices_[c] || world.HoursOn(wish.job, c) <= 0) continue;
      const auto value = static_cast<std::int64_t>(static_cast<double>(price) * static_cast<double>(units) / 1000);
      gang.bundles.push_back({{{static_cast<std::uint32_t>(c), units}}, value});
      dearest[c] = std::max(dearest[c], prices_[c]);
    }
    if (!gang.bundles.empty()) input.gangs.push_back(std::move(gang));
  }
  spoofs_ = agents_.Spoofs(world, prices_);
  for (Wide cost = 0; const Agents::Spoof& spoof : spoofs_) {  // what it cannot lose it cannot bid
    cost += Wide{spoof.price_microcredits} * spoof.units_milli / 1000;
    if (cost > accounts_.tenant(spoof.tenant) / 2) spoofs_.clear();
    if (spoofs_.empty()) break;
  }
  for (std::size_t i = 0; i < spoofs_.size(); ++i) {
    Bid bid;
    bid.id = kSpoofs + i;
    bid.owner = spoofs_[i].name;
    bid.slot_class = static_cast<std::uint32_t>(spoofs_[i].slot_class);
    bid.units_milli = spoofs_[i].units_milli;
    bid.price_microcredits = spoofs_[i].price_microcredits;
    input.bids.push_back(bid);
    dearest[spoofs_[i].slot_class] = std::max(dearest[spoofs_[i].slot_class], bid.price_microcredits);
  }
  if (input.bids.empty() && input.gangs.empty()) return false;
  for (std::size_t c = 0; c < kClasses; ++c) {
    market::auction::ClassInput of_class;
    of_class.id = static_cast<std::uint32_t>(c);
    of_class.reserve_microcredits = of_class.surrogate_microcredits = prices_[c];
    of_class.weight_milli = rules_.weight_milli[c];
    of_class.lot_milli = lot_milli_;
    input.classes.push_back(of_class);
  }
  for (const JobId id : world.running()) {
    const JobState& state = world.state(id);
    if (dearest[state.slot_class] < 0) continue;
    const std::int64_t price = Ask(world, id);
    if (price < 0 || price > dearest[state.slot_class]) continue;
    market::auction::Ask ask;
    ask.id = kLeaseAsks + id;
    ask.owner = agents_.NameOf(world, id);
    ask.slot_class = state.slot_class;
    ask.kind = market::auction::AskKind::kRelease;
    ask.is_divisible = false;
    ask.units_milli = static_cast<std::int64_t>(world.job(id).units_milli());
    ask.price_microcredits = price;
    ask.lease = id + 1;
    input.asks.push_back(ask);
  }
  for (const JobId id : hoarded_) {
    const std::size_t c = world.state(id).slot_class;
    if (dearest[c] < prices_[c]) continue;
    market::auction::Ask ask;
    ask.id = kLeaseAsks + id;
    ask.owner = agents_.NameOf(world, id);
    ask.slot_class = static_cast<std::uint32_t>(c);
    ask.kind = market::auction::AskKind::kRelease;
    ask.is_divisible = false;
    ask.units_milli = static_cast<std::int64_t>(world.job(id).units_milli());
    ask.price_microcredits = prices_[c];
    ask.lease = id + 1;
    input.asks.push_back(ask);
  }
  std::array<bool, kClasses> is_resold{};
  for (const market::auction::Ask& ask : input.asks) is_resold[ask.slot_class] = true;
  for (std::size_t c = 0; c < kClasses; ++c) {
    // Where all bid less than the operator asks and nobody else asks, nothing can trade.
    const std::int64_t least = is_resold[c] ? 0 : rules_.floor_microcredits;
    if (world.pool(c).free_milli() == 0 || dearest[c] < least) continue;
    // An ask for each device: where a margin is given up, it is one device and not all of them.
    std::uint64_t number = 0;
    world.pool(c).ForEachFree([&](std::uint32_t share, std::size_t devices) {
      for (std::size_t i = 0; i < devices; ++i) {
        market::auction::Ask ask;
        ask.id = kIdleAsks + (c << 24) + number++;
        ask.owner = kOperator;
        ask.slot_class = static_cast<std::uint32_t>(c);
        ask.units_milli = share;
        ask.price_microcredits = rules_.floor_microcredits;
        input.asks.push_back(ask);
      }
    });
  }
  const auto by_id = [](const auto& a, const auto& b) { return a.id < b.id; };
  std::sort(input.asks.begin(), input.asks.end(), by_id);
  std::sort(input.bids.begin(), input.bids.end(), by_id);
  std::sort(input.gangs.begin(), input.gangs.end(), by_id);
  return !input.asks.empty();
}

void MarketPolicy::Apply(World& world, const EpochOutcome& outcome) {
  // Sellers stop first, so that there is room; each once, also if its units go to several.
  sold_.clear();
  for (const Trade& trade : outcome.trades) {
    if (trade.ask < kLeaseAsks || trade.ask >= kIdleAsks) continue;
    const auto id = static_cast<JobId>(trade.ask - kLeaseAsks);
    if (sold_.contains(id)) continue;
    Lease& lease = leases_[id];
    sold_[id] = {lease.ends_ms, static_cast<std::int64_t>(world.job(id).units_milli()), std::move(lease.paid)};
    lease.paid.clear();
    EndLease(world, id);
    if (world.state(id).phase == Phase::kEnded) {  // it was kept for this
      world.Unhold(id);
      std::erase(hoarded_, id);
      continue;
    }
    if (trade.lane != Lane::kNetted) {
      ++figures_.resales;
      if (stopped_ms_[id] >= 0 && world.now_ms() - stopped_ms_[id] < kHourMs) ++figures_.resold_within_hour;
    }
    world.Stop(id);
    Wait(world, id);
  }
  std::map<std::uint64_t, std::int64_t> surcharges;
  for (const market::auction::GangAward& award : outcome.gangs) surcharges[award.gang] = award.surcharge_nanocredits;
  std::vector<Trade> trades = outcome.trades;
  std::sort(trades.begin(), trades.end(), [](const Trade& a, const Trade& b) {
    return std::tie(a.bid, a.lane, a.ask) < std::tie(b.bid, b.lane, b.ask);
  });
  for (std::size_t i = 0; i < trades.size();) {
    std::size_t end = i;
    while (end < trades.size() && trades[end].bid == trades[i].bid) ++end;
    const auto surcharge = surcharges.find(trades[i].bid);
    Settle(world, std::span(trades).subspan(i, end - i), surcharge == surcharges.end() ? 0 : surcharge->second);
    i = end;
  }
}

// One buyer's trades: it pays for a new hour, each seller has the rest of its own hour of that, the operator what is
// beyond.
void MarketPolicy::Settle(World& world, std::span<const Trade> trades, std::int64_t surcharge) {
  const std::int64_t now = world.now_ms();
  const std::int64_t end = now + rules_.lease_ms;
  const bool is_spoof = trades.front().bid >= kSpoofs;
  const auto id = static_cast<JobId>(is_spoof ? 0 : trades.front().bid - 1);
  const std::size_t buyer = is_spoof ? spoofs_[trades.front().bid - kSpoofs].tenant : world.job(id).tenant;
  const std::size_t slot_class = trades.front().slot_class;
  if (!is_spoof && !world.Start(id, slot_class)) {
    // Shares that are free in pieces only: nobody pays, sellers have back what they had paid and bid again.
    ++figures_.misplaced;
    for (const Trade& trade : trades) {
      if (trade.ask < kLeaseAsks || trade.ask >= kIdleAsks) continue;
      const auto seller = static_cast<JobId>(trade.ask - kLeaseAsks);
      for (const Paid& part : sold_[seller].paid) {
        const double rate = part.nanocredits_per_hour * static_cast<double>(trade.units_milli) /
                            static_cast<double>(sold_[seller].units_milli);
        const std::int64_t from = std::max(part.from_ms, now);
        if (from < part.until_ms) accounts_.Refund(world.job(seller).tenant, Amount(rate, part.until_ms - from));
      }
    }
    return;
  }
  Lease lease;
  std::int64_t ends_ms = end;
  for (const Trade& trade : trades) {
    const auto units = static_cast<double>(trade.units_milli);
    const double rate = static_cast<double>(trade.price_seller_microcredits) * units;
    const std::int64_t paid = Amount(static_cast<double>(trade.price_buyer_microcredits) * units, rules_.lease_ms);
    const auto from = trade.ask >= kLeaseAsks && trade.ask < kIdleAsks
                          ? sold_.find(static_cast<JobId>(trade.ask - kLeaseAsks))
                          : sold_.end();
    if (from == sold_.end()) {
      accounts_.Trade(buyer, paid, buyer, 0, std::min(paid, Amount(rate, rules_.lease_ms)));
      lease.paid.push_back({now, end, rate});
      continue;
    }
    // What the operator had for the seller's hour goes along with the units.
    for (const Paid& part : from->second.paid) {
      lease.paid.push_back({part.from_ms, part.until_ms,
                            part.nanocredits_per_hour * units / static_cast<double>(from->second.units_milli)});
    }
    const std::int64_t handover = std::clamp(from->second.ends_ms, now, end);
    if (trade.lane == Lane::kNetted) {
      ends_ms = std::min(ends_ms, std::max(handover, now + 1));
      continue;
    }
    const std::int64_t to_seller = Amount(rate, handover - now);
    const std::int64_t to_operator = Amount(rate, end - handover);
    accounts_.Trade(buyer, paid, world.job(from->first).tenant, to_seller, std::min(to_operator, paid - to_seller));
    lease.paid.push_back({handover, end, rate});
    // A buyer that was itself stopped within the hour passes that on.
    const bool is_pushed = !is_spoof && stopped_ms_[id] >= 0 && now - stopped_ms_[id] <= kHourMs;
    chain_[from->first] = is_pushed ? chain_[id] + 1 : 1;
    figures_.longest_chain = std::max(figures_.longest_chain, chain_[from->first]);
    stopped_ms_[from->first] = now;
  }
  if (surcharge > 0) accounts_.Trade(buyer, Amount(static_cast<double>(surcharge), rules_.lease_ms), buyer, 0, 0);
  if (is_spoof) return;  // it drops what it won and loses the hour's price
  waiting_.Remove(id);
  lease.serial = leases_[id].serial;
  const Lane lane = trades.front().lane;
  ++(lane == Lane::kGang ? figures_.gangs : lane == Lane::kNetted ? figures_.netted : figures_.lane_b);
  leases_[id] = std::move(lease);
  OpenLease(world, id, ends_ms);
}

}  // namespace accelmesh::sim
