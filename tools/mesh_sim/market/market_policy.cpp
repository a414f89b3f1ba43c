#include "tools/mesh_sim/market/market_policy.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace accelmesh::sim {
namespace {

// Twice the time between payouts: until then somebody may yet be paid what he can bid.
constexpr std::int64_t kRestMs = 2 * kHourMs;

std::vector<std::int64_t> Budgets(const World& world, const std::vector<double>& quotas, const MarketRules& rules) {
  double gpus = 0;
  for (std::size_t c = 0; c < kClasses; ++c) gpus += static_cast<double>(world.pool(c).capacity_milli()) / 1000;
  std::vector<std::int64_t> budgets;
  for (const double quota : quotas) {
    budgets.push_back(static_cast<std::int64_t>(quota * gpus * rules.budget_days * 24 * 1e6));
  }
  return budgets;
}

std::int64_t LotOf(const World& world) {
  for (const Job& job : world.jobs()) {
    if (job.share_milli != 1000) return 1;
  }
  return market::auction::kUnitMilli;
}

}  // namespace

double Agents::BidTimes(const World&, JobId) const { return 1; }
double Agents::AskTimes(const World&, JobId) const { return 1; }
bool Agents::IsCountedTruly(const World&, JobId) const { return false; }
std::uint64_t Agents::NameOf(const World& world, JobId id) const { return world.job(id).tenant; }
bool Agents::HoldsBack(const World&, JobId, bool) const { return false; }
std::vector<Agents::Spoof> Agents::Spoofs(const World&, const std::array<std::int64_t, kClasses>&) const { return {}; }

bool Agents::Hoards(std::size_t) const { return false; }
double Agents::IncomeTimes(std::size_t, std::int64_t) const { return 1; }

MarketPolicy::MarketPolicy(const World& world, const std::vector<double>& quotas, const MarketRules& rules,
                           std::uint64_t seed, const Agents* agents)
    : quotas_(quotas),
      rules_(rules),
      seed_(seed),
      agents_(agents == nullptr ? truthful_ : *agents),
      lot_milli_(LotOf(world)),
      accounts_(Budgets(world, quotas, rules)),
      waiting_(world.jobs().size()),
      leases_(world.jobs().size()),
      chain_(world.jobs().size(), 0),
      stopped_ms_(world.jobs().size(), -1),
      waits_(world.jobs().size()),
      seen_(world.jobs().size(), 0),
      counted_(world.jobs().size(), 0) {
  prices_.fill(rules.floor_microcredits);
}

// With a deadline all of the value is at stake until the end. Without one each part of the work is worth its part of
// the value: whoever bid the whole value for what is left would pay more for all hours together than they are worth.
double MarketPolicy::WorthTimes(const World& world, JobId id) const {
  return rules_.patience_runtimes > 0 && world.job(id).deadline_ms == kNever ? world.Left(id) : 1;
}
double MarketPolicy::WorthOf(const World& world, JobId id, std::size_t slot_class) const {
  return BidOn(world, id, slot_class) * WorthTimes(world, id);
}

// Which part it needs of the time for which it waits for cheap hours; 1 or more: it does not wait (any more).
double MarketPolicy::NeedOf(const World& world, JobId id, std::size_t slot_class) const {
  const Waits& waits = waits_[id];
  if (waits.until_ms <= 0) return 1;
  const auto now = static_cast<double>(world.now_ms());
  const JobState& state = world.state(id);
  double needed = waits.needed_ms[slot_class];
  if (state.phase == Phase::kRunning && state.slot_class == slot_class) {
    needed = static_cast<double>(state.ends_ms) - now;
  } else if (state.phase == Phase::kRunning) {
    needed = world.HoursOn(id, slot_class) * kHourMs;
  }
  return agent::NeedOf(needed, waits.until_ms - now);
}

// Beyond that a job which loses nothing by waiting does not go.
double MarketPolicy::PatientPrice(const World& world, JobId id, std::size_t slot_class) const {
  return static_cast<double>(agent::PatientPrice(history_[slot_class], NeedOf(world, id, slot_class))) / 1e6;
}

// Whether its bid is the price of this epoch or more: the same as by BidFor() or WaitingBid(), sooner.
bool MarketPolicy::BidsPrice(const World& world, JobId id, std::size_t slot_class, double worth) const {
  const double price = static_cast<double>(prices_[slot_class]) / 1e6;
  if (worth <= 0 || worth < price) return false;
  const double times = agents_.BidTimes(world, id);
  if (times != 1) return PatientPrice(world, id, slot_class) * times >= price;
  const double need = NeedOf(world, id, slot_class);
  return need >= 1 || need > part_below_[slot_class];
}

double MarketPolicy::HonestBid(const World& world, JobId id, std::size_t slot_class) const {
  const double worth = WorthOf(world, id, slot_class);
  return worth > 0 ? std::min(worth, PatientPrice(world, id, slot_class)) : 0;
}
double MarketPolicy::BidFor(const World& world, JobId id, std::size_t slot_class) const {
  return HonestBid(world, id, slot_class) * agents_.BidTimes(world, id);
}

// Of one that waits; `waiting_` has what its hours are worth, which does not change meanwhile.
double MarketPolicy::WaitingBid(const World& world, JobId id, std::size_t slot_class) const {
  const double worth = waiting_.Of(id, slot_class);
  return worth > 0 ? std::min(worth, PatientPrice(world, id, slot_class) * agents_.BidTimes(world, id)) : 0;
}

void MarketPolicy::Wait(World& world, JobId id) {
  const Job& job = world.job(id);
  if (rules_.patience_runtimes > 0 && job.deadline_ms == kNever) {
    waits_[id].until_ms = static_cast<double>(job.arrival_ms) + rules_.patience_runtimes * job.best_hours * kHourMs;
    for (std::size_t c = 0; c < kClasses; ++c) waits_[id].needed_ms[c] = world.HoursOn(id, c) * kHourMs;
  }
  waiting_.Add(world, id, WorthTimes(world, id) * agents_.BidTimes(world, id));
}

void MarketPolicy::Arrived(World& world, JobId id) {
  Wait(world, id);
  fresh_.push_back(id);
}

void MarketPolicy::Left(World& world, JobId id) {
  if (world.state(id).phase == Phase::kUnserved) CountUnserved(world, id);
  waiting_.Remove(id);
  std::erase(fresh_, id);
  const bool has_rest = world.state(id).phase == Phase::kEnded && leases_[id].ends_ms > world.now_ms();
  if (has_rest && agents_.Hoards(world.job(id).tenant) && world.Hold(id)) {
    hoarded_.push_back(id);
    return;
  }
  EndLease(world, id);
}

std::int64_t MarketPolicy::WakeAt(const World& world) const {
  if (!status_.ok() || (waiting_.empty() && world.running().empty() && hoarded_.empty())) return kNever;
  return (world.now_ms() / rules_.epoch_ms + 1) * rules_.epoch_ms;
}

// Prices are as low as they get, and who was to be paid has been: nobody who waits will ever bid what is asked.
bool MarketPolicy::IsAtRest(const World& world) const {
  if (still_since_ms_ == kNever || world.now_ms() - still_since_ms_ < kRestMs || !hoarded_.empty()) return false;
  for (std::size_t c = 0; c < kClasses; ++c) {
    if (world.pool(c).capacity_milli() > 0 && prices_[c] > rules_.floor_microcredits) return false;
  }
  return true;
}

void MarketPolicy::CountUnserved(const World& world, JobId id) {
  double most = 0;
  for (std::size_t c = 0; c < kClasses; ++c) most = std::max(most, waiting_.Of(id, c) * 1e6);
  const Job& job = world.job(id);
  const double hour = static_cast<double>(rules_.floor_microcredits) * static_cast<double>(job.units_milli()) / 1000;
  if (std::floor(most) < static_cast<double>(rules_.floor_microcredits)) {
    ++figures_.below_floor;
  } else if (static_cast<double>(accounts_.tenant(job.tenant)) < hour) {
    ++figures_.cannot_pay;
  } else {
    ++figures_.forgotten;
  }
}

void MarketPolicy::OpenLease(const World& world, JobId id, std::int64_t ends_ms) {
  (void)world;
  Lease& lease = leases_[id];
  lease.ends_ms = ends_ms;
  renewals_.push({ends_ms, id, ++lease.serial});
}

double MarketPolicy::UnearnedOf(const Lease& lease, std::int64_t now_ms) {
  double nano = 0;
  for (const Paid& paid : lease.paid) {
    const std::int64_t from = std::max(paid.from_ms, now_ms);
    if (from < paid.until_ms) nano += paid.nanocredits_per_hour * static_cast<double>(paid.until_ms - from) / kHourMs;
  }
  return nano;
}

// Whoever holds it is paid back what the operator had for the time to come.
void MarketPolicy::EndLease(World& world, JobId id) {
  Lease& lease = leases_[id];
  const auto refund = static_cast<std::int64_t>(UnearnedOf(lease, world.now_ms()) / market::auction::kNanoPerMicro);
  if (refund > 0) accounts_.Refund(world.job(id).tenant, refund);
  const std::uint32_t serial = lease.serial + 1;
  lease = {};
  lease.serial = serial;
}

std::int64_t MarketPolicy::Unearned(std::int64_t now_ms) const {
  double nano = 0;
  for (const Lease& lease : leases_) nano += UnearnedOf(lease, now_ms);
  return static_cast<std::int64_t>(nano / market::auction::kNanoPerMicro);
}

std::int64_t MarketPolicy::Prepaid(const World& world, std::size_t tenant) const {
  double nano = 0;
  for (JobId id = 0; id < leases_.size(); ++id) {
    if (world.job(id).tenant == tenant) nano += UnearnedOf(leases_[id], world.now_ms());
  }
  return static_cast<std::int64_t>(nano / market::auction::kNanoPerMicro);
}

void MarketPolicy::PayOut(const World& world) {
  std::vector<double> parts = quotas_;
  double sum = 0;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    parts[i] *= agents_.IncomeTimes(i, world.now_ms());
    sum += parts[i];
  }
  for (double& part : parts)
    part /= std::max(sum, 1.0);  // what one loses goes to nobody; what it gains the others lose
  accounts_.PayOut(parts, Unearned(world.now_ms()));
}

void MarketPolicy::DropHoarded(World& world) {
  std::erase_if(hoarded_, [&](JobId id) {
    if (leases_[id].ends_ms > world.now_ms()) return false;
    world.Unhold(id);
    EndLease(world, id);
    return true;
  });
}

// A single device at once, at the posted price, of the idle class that leaves it the largest surplus.
void MarketPolicy::LaneA(World& world) {
  for (const JobId id : fresh_) {
    const Job& job = world.job(id);
    if (job.gpus != 1 || agents_.HoldsBack(world, id, false)) continue;
    std::size_t best = kClasses;
    double least_cost = 0;
    for (std::size_t c = 0; c < kClasses; ++c) {
      const double bid = WaitingBid(world, id, c) * 1e6;
      const auto price = static_cast<double>(prices_[c]);
      if (bid < price || !world.pool(c).Fits(1, job.share_milli)) continue;
      const double hours = world.HoursOn(id, c);
      if (hours > 0 && (best == kClasses || hours * price < least_cost)) {
        best = c;
        least_cost = hours * price;
      }
    }
    if (best == kClasses) continue;
    const std::int64_t nano = prices_[best] * static_cast<std::int64_t>(job.units_milli());
    const auto cost = static_cast<std::int64_t>(static_cast<double>(nano) * static_cast<double>(rules_.lease_ms) /
                                                kHourMs / market::auction::kNanoPerMicro);
    if (cost > accounts_.tenant(job.tenant) || !world.Start(id, best)) continue;
    waiting_.Remove(id);
    accounts_.Trade(job.tenant, cost, job.tenant, 0, cost);
    const std::int64_t ends_ms = world.now_ms() + rules_.lease_ms;
    leases_[id].paid = {{world.now_ms(), ends_ms, static_cast<double>(nano)}};
    OpenLease(world, id, ends_ms);
    ++figures_.lane_a;
  }
  fresh_.clear();
}

void MarketPolicy::Renew(World& world) {
  while (!renewals_.empty() && renewals_.top().at_ms <= world.now_ms()) {
    const Renewal due = renewals_.top();
    renewals_.pop();
    Lease& lease = leases_[due.job];
    const JobState& state = world.state(due.job);
    if (lease.serial != due.serial || state.phase != Phase::kRunning) continue;
    const Job& job = world.job(due.job);
    const std::size_t c = state.slot_class;
    const std::int64_t nano = prices_[c] * static_cast<std::int64_t>(job.units_milli());
    const auto cost = static_cast<std::int64_t>(static_cast<double>(nano) * static_cast<double>(rules_.lease_ms) /
                                                kHourMs / market::auction::kNanoPerMicro);
    if (BidFor(world, due.job, c) * 1e6 >= static_cast<double>(prices_[c]) && cost <= accounts_.tenant(job.tenant)) {
      accounts_.Trade(job.tenant, cost, job.tenant, 0, cost);
      lease.paid = {{world.now_ms(), world.now_ms() + rules_.lease_ms, static_cast<double>(nano)}};
      OpenLease(world, due.job, world.now_ms() + rules_.lease_ms);
      continue;
    }
    ++figures_.lapsed;
    EndLease(world, due.job);
    world.Stop(due.job);
    Wait(world, due.job);
  }
}

void MarketPolicy::Epoch(World& world) {
  ++figures_.epochs;
  if (world.now_ms() - last_payout_ms_ >= kHourMs) {
    last_payout_ms_ = world.now_ms();
    PayOut(world);
  }
  for (std::size_t c = 0; c < kClasses; ++c) part_below_[c] = history_[c].PartBelow(prices_[c]);
  DropHoarded(world);
  Renew(world);
  FindWishes(world);
  CutToBudgets(world);
  const bool can_trade = Orders(world);
  const Result<market::auction::EpochOutcome> outcome =
      can_trade ? clearing_.Clear(input_) : Result<market::auction::EpochOutcome>(market::auction::EpochOutcome{});
  if (!outcome.ok()) {
    status_ = outcome.status();
    return;
  }
  if (can_trade) {
    ++figures_.cleared;
    if (!market::auction::CheckOutcome(input_, *outcome).ok()) ++figures_.outcome_errors;
    if (witness_) witness_(input_, *outcome);
  }
  StepPrices(world, can_trade ? &*outcome : nullptr);
  if (can_trade) Apply(world, *outcome);
  const bool is_still = world.running().empty() && world.now_ms() > world.last_arrival_ms() && outcome->trades.empty();
  if (!is_still) still_since_ms_ = kNever;
  if (is_still && still_since_ms_ == kNever) still_since_ms_ = world.now_ms();
  figures_.budget_error = std::max(figures_.budget_error, std::abs(accounts_.error()));
}

// Those that bid less than the price and would bid it honestly, each once.
void MarketPolicy::CountTrulyWaiting(const World& world, ByClass& demand) {
  for (std::size_t c = 0; c < kClasses; ++c) {
    const double price = static_cast<double>(prices_[c]) / 1e6;
    for (const auto& [bid, id] : waiting_.OfClass(c)) {
      if (bid < price / 2) break;  // nobody says less than half
      if (counted_[id] == figures_.epochs || !agents_.IsCountedTruly(world, id) || HonestBid(world, id, c) < price) {
        continue;
      }
      counted_[id] = figures_.epochs;
      demand[c] += static_cast<double>(world.job(id).units_milli());
    }
  }
}

// Demand at the price over what there is, where lane B found no price of its own.
void MarketPolicy::StepPrices(const World& world, const market::auction::EpochOutcome* outcome) {
  ByClass demand{};
  for (const Wish& wish : wishes_) {
    if (wish.price >= prices_[wish.slot_class]) {
      demand[wish.slot_class] += static_cast<double>(world.job(wish.job).units_milli());
      counted_[wish.job] = figures_.epochs;
    }
  }
  for (const Agents::Spoof& spoof : spoofs_) {
    if (spoof.price_microcredits >= prices_[spoof.slot_class]) {
      demand[spoof.slot_class] += static_cast<double>(spoof.units_milli);
    }
  }
  for (const JobId id : world.running()) {
    const std::size_t c = world.state(id).slot_class;
    const bool is_counted = agents_.IsCountedTruly(world, id)
                                ? HonestBid(world, id, c) * 1e6 >= static_cast<double>(prices_[c])
                                : BidsPrice(world, id, c, WorthOf(world, id, c) * agents_.BidTimes(world, id));
    if (is_counted) {
      demand[c] += static_cast<double>(world.job(id).units_milli());
    }
  }
  if (agents_.CountsTruly()) CountTrulyWaiting(world, demand);
  const bool is_measured = world.now_ms() >= world.first_arrival_ms() && world.now_ms() <= world.last_arrival_ms();
  if (is_measured) ++price_count_;
  for (std::size_t c = 0; c < kClasses; ++c) {
    const auto there = static_cast<double>(world.pool(c).capacity_milli());
    if (there == 0) continue;
    const auto before = static_cast<double>(prices_[c]);
    const double factor = std::clamp(1 + rules_.eta * (demand[c] / there - 1), 1 - rules_.delta, 1 + rules_.delta);
    double after = before * factor;
    if (outcome != nullptr) {
      for (const market::auction::ClassOutcome& of_class : outcome->classes) {
        if (of_class.id != c || of_class.price_microcredits < 0) continue;
        if (of_class.lane_b == market::auction::LaneB::kPosted) {
          ++figures_.posted;
        } else if (of_class.lane_b != market::auction::LaneB::kNone) {
          ++figures_.thick;
          after = static_cast<double>(of_class.price_microcredits);
        }
      }
    }
    history_[c].See(world.now_ms(), prices_[c]);
    prices_[c] = std::clamp(static_cast<std::int64_t>(std::llround(after)), rules_.floor_microcredits,
                            market::auction::kPriceMicrocreditsMax);
    is_falling_[c] = static_cast<double>(prices_[c]) < before;
    if (!is_measured) continue;
    const double credits = static_cast<double>(prices_[c]) / 1e6;
    price_sum_[c] += credits;
    price_squares_[c] += credits * credits;
    figures_.price_step[c] =
        std::max(figures_.price_step[c], std::abs(static_cast<double>(prices_[c]) - before) / before);
  }
  if (is_measured) TrackPrices(world);
}

void MarketPolicy::TrackPrices(const World& world) {
  const auto at = static_cast<std::size_t>((world.now_ms() - world.first_arrival_ms()) / kTrackMs);
  if (track_.size() <= at) track_.resize(at + 1);
  for (std::size_t c = 0; c < kClasses; ++c) track_[at].first[c] += static_cast<double>(prices_[c]) / 1e6;
  ++track_[at].second;
}

MarketFigures MarketPolicy::figures() const {
  MarketFigures figures = figures_;
  figures.budget_error = std::max(figures.budget_error, std::abs(accounts_.error()));
  ByClass last{};
  for (const auto& [sums, epochs] : track_) {  // without an epoch prices stay
    for (std::size_t c = 0; c < kClasses && epochs > 0; ++c) last[c] = sums[c] / epochs;
    figures.price_track.push_back(last);
  }
  const double count = std::max<double>(1, static_cast<double>(price_count_));
  for (std::size_t c = 0; c < kClasses; ++c) {
    const double mean = price_sum_[c] / count;
    figures.price_mean[c] = mean;
    if (mean > 0) {
      figures.price_cv[c] = std::sqrt(std::max(0.0, price_squares_[c] / count - mean * mean)) / mean;
    }
  }
  return figures;
}

void MarketPolicy::Decide(World& world) {
  if (!fresh_.empty()) LaneA(world);
  if (!status_.ok() || world.now_ms() % rules_.epoch_ms != 0 || world.now_ms() == last_epoch_ms_) return;
  last_epoch_ms_ = world.now_ms();
  Epoch(world);
}

}  // namespace accelmesh::sim
