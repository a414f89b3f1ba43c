#include "market/auction/order_book.h"

#include <algorithm>

namespace accelmesh::market::auction {
namespace {

Status Wrong(const char* where, const char* what) { return {Code::kInvalidArgument, where, what}; }
Status NotThere(const char* where) { return {Code::kNotFound, where, "no such lease; it may have ended"}; }

constexpr std::int64_t kTimeMsMax = std::int64_t{1} << 60;  // far from where adding a window would overflow

}  // namespace

Status OrderBook::AddLease(const RunningLease& lease) {
  if (lease.id == 0 || lease.id >= kForcedIds)
    return Wrong("OrderBook::AddLease.id", "a lease's number is from 1 to 2^63 - 1");
  if (lease.units_milli < 1 || lease.units_milli > kUnitsMilliMax) {
    return Wrong("OrderBook::AddLease.units_milli", "a lease is of 1 to 4,000,000 milli-units");
  }
  if (lease.notice_ms < 0 || lease.notice_ms > kNoticeMsMax || lease.min_runtime_ms < 0 ||
      lease.min_runtime_ms > kNoticeMsMax || lease.started_ms < -kTimeMsMax || lease.started_ms > kTimeMsMax) {
    return Wrong("OrderBook::AddLease.notice_ms", "times are out of range");
  }
  if (leases_.size() >= kOrdersMax) return {Code::kLimitExceeded, "OrderBook::AddLease", "more than 1,048,576 leases"};
  LeaseState state;
  state.lease = lease;
  if (!leases_.emplace(lease.id, state).second) return Wrong("OrderBook::AddLease.id", "the lease is there already");
  return {};
}

Status OrderBook::EndLease(LeaseId lease) {
  const auto at = leases_.find(lease);
  if (at == leases_.end()) return NotThere("OrderBook::EndLease.lease");
  if (at->second.has_ask) asks_.erase(at->second.ask);
  leases_.erase(at);
  return {};
}

Status OrderBook::ChangeLease(LeaseId lease, PartyId holder, std::int64_t units_milli) {
  const auto at = leases_.find(lease);
  if (at == leases_.end()) return NotThere("OrderBook::ChangeLease.lease");
  if (units_milli < 1 || units_milli > kUnitsMilliMax) {
    return Wrong("OrderBook::ChangeLease.units_milli", "a lease is of 1 to 4,000,000 milli-units; end it instead");
  }
  LeaseState& state = at->second;
  const bool is_same = state.lease.holder == holder;
  state.lease.holder = holder;
  state.lease.units_milli = units_milli;
  if (!is_same) state.unused_since_ms.reset();
  if (!state.has_ask) return {};
  Ask& ask = asks_.at(state.ask);
  if (is_same && ask.kind == AskKind::kRelease) {
    ask.units_milli = units_milli;
  } else if (!is_same || ask.units_milli >= units_milli) {
    Remove(state.ask);
  }
  return {};
}

Status OrderBook::Post(Ask ask) {
  if (ask.id >= kForcedIds) return Wrong("OrderBook::Post.id", "an ask's number is below 2^63");
  ask.reputation_ppm = kWholePpm;
  ACCELMESH_RETURN_IF_ERROR(CheckAsk(ask));
  if (const auto same = asks_.find(ask.id); same != asks_.end()) {
    if (same->second.owner != ask.owner) return {Code::kPermissionDenied, "OrderBook::Post.id", "the ask is another's"};
    if (same->second.lease != ask.lease)
      return Wrong("OrderBook::Post.id", "the ask is of another lease; withdraw it first");
  }
  LeaseState* state = nullptr;
  if (ask.lease != 0) {
    const auto at = leases_.find(ask.lease);
    if (at == leases_.end()) return NotThere("OrderBook::Post.lease");
    state = &at->second;
    const RunningLease& lease = state->lease;
    if (lease.holder != ask.owner) return {Code::kPermissionDenied, "OrderBook::Post.lease", "the lease is another's"};
    if (lease.is_firm)
      return {Code::kPermissionDenied, "OrderBook::Post.lease", "the lease is firm; it is not for sale"};
    if (lease.slot_class != ask.slot_class) return Wrong("OrderBook::Post.slot_class", "the lease is of another class");
    if (ask.kind == AskKind::kRelease ? ask.units_milli != lease.units_milli : ask.units_milli >= lease.units_milli) {
      return Wrong("OrderBook::Post.units_milli", "a release is of the whole lease, a share of less");
    }
    // The holder runs on so long; it may promise to be quicker.
    if (ask.notice_ms > lease.notice_ms)
      return Wrong("OrderBook::Post.notice_ms", "longer than the lease's notice window");
    if (state->has_ask && state->ask != ask.id) Remove(state->ask);
  }
  if (!asks_.contains(ask.id) && asks_.size() >= kOrdersMax) {
    return {Code::kLimitExceeded, "OrderBook::Post", "more than 1,048,576 standing asks; withdraw some"};
  }
  asks_[ask.id] = ask;
  if (state != nullptr) {
    state->ask = ask.id;
    state->has_ask = true;
  }
  return {};
}

Status OrderBook::Change(OrderId ask, PartyId owner, std::int64_t price_microcredits) {
  const auto at = asks_.find(ask);
  if (at == asks_.end() || at->second.owner != owner)
    return {Code::kNotFound, "OrderBook::Change.ask", "no such ask of yours"};
  Ask changed = at->second;
  changed.price_microcredits = price_microcredits;
  ACCELMESH_RETURN_IF_ERROR(CheckAsk(changed));
  at->second = changed;
  return {};
}

Status OrderBook::Withdraw(OrderId ask, PartyId owner) {
  const auto at = asks_.find(ask);
  if (at == asks_.end() || at->second.owner != owner) {
    return {Code::kNotFound, "OrderBook::Withdraw.ask", "no such ask of yours"};
  }
  Remove(ask);
  return {};
}

void OrderBook::Remove(OrderId ask) {
  const auto at = asks_.find(ask);
  if (const auto lease = leases_.find(at->second.lease); lease != leases_.end()) lease->second.has_ask = false;
  asks_.erase(at);
}

Status OrderBook::ReportUse(LeaseId lease, std::uint32_t used_ppm, std::int64_t now_ms) {
  const auto at = leases_.find(lease);
  if (at == leases_.end()) return NotThere("OrderBook::ReportUse.lease");
  LeaseState& state = at->second;
  state.last_report_ms = std::max(state.last_report_ms, std::min(now_ms, kTimeMsMax));
  if (used_ppm >= rules_.use_ppm_min) {
    state.unused_since_ms.reset();
  } else if (!state.unused_since_ms) {
    state.unused_since_ms = state.last_report_ms;
  }
  return {};
}

// By what was reported, not by what time it is: a lease of which nothing is heard any more is not called unused.
bool OrderBook::IsForced(const LeaseState& state) const {
  return !state.lease.is_firm && state.unused_since_ms &&
         state.last_report_ms - *state.unused_since_ms >= rules_.unused_ms;
}

bool OrderBook::IsForSale(const LeaseState& state, std::int64_t now_ms) const {
  if (state.lease.is_firm || state.lease.units_milli == 0) return false;
  if (now_ms - state.lease.started_ms < state.lease.min_runtime_ms) return false;
  return !state.quiet_until_ms || now_ms >= *state.quiet_until_ms;
}

std::vector<Ask> OrderBook::Eligible(std::int64_t now_ms, const std::map<ClassId, std::int64_t>& surrogates) const {
  const std::int64_t now = std::clamp(now_ms, -kTimeMsMax, kTimeMsMax);
  std::vector<Ask> eligible;
  eligible.reserve(asks_.size());
  for (const auto& [id, ask] : asks_) {
    if (ask.lease != 0) {
      const LeaseState& state = leases_.at(ask.lease);
      if (!IsForSale(state, now) || IsForced(state)) continue;
    }
    eligible.push_back(ask);
  }
  for (const auto& [id, state] : leases_) {
    const auto surrogate = surrogates.find(state.lease.slot_class);
    if (!IsForced(state) || !IsForSale(state, now)) continue;
    Ask ask;
    if (state.has_ask) ask = asks_.at(state.ask);
    if (!state.has_ask || (ask.kind == AskKind::kShare && surrogate != surrogates.end())) {
      if (surrogate == surrogates.end()) continue;
      ask = {kForcedIds + id,
             state.lease.holder,
             state.lease.slot_class,
             AskKind::kRelease,
             false,
             kWholePpm,
             state.lease.units_milli,
             surrogate->second,
             id,
             state.lease.notice_ms};
    }
    if (surrogate != surrogates.end()) ask.price_microcredits = std::min(ask.price_microcredits, surrogate->second);
    eligible.push_back(ask);
  }
  for (Ask& ask : eligible) {
    const auto reputation = reputations_.find(ask.owner);
    if (reputation != reputations_.end()) ask.reputation_ppm = std::min(reputation->second, kWholePpm);
  }
  std::sort(eligible.begin(), eligible.end(), [](const Ask& a, const Ask& b) { return a.id < b.id; });
  return eligible;
}

Status OrderBook::Commit(const std::vector<Trade>& trades, std::int64_t now_ms) {
  const std::int64_t now = std::clamp(now_ms, -kTimeMsMax, kTimeMsMax);
  std::map<OrderId, std::int64_t> sold;
  for (const Trade& trade : trades) {
    if (trade.units_milli <= 0 || trade.units_milli > kUnitsMilliMax) {
      return {Code::kInternal, "OrderBook::Commit.trades", "a trade is of nothing, or of more than there can be"};
    }
    sold[trade.ask] += trade.units_milli;
  }
  struct Sale {
    OrderId ask = 0;
    std::int64_t units = 0;
    LeaseState* lease = nullptr;
  };
  std::vector<Sale> sales;
  for (const auto& [id, units] : sold) {
    Sale sale{id, units, nullptr};
    std::int64_t most = 0;
    const auto ask = asks_.find(id);
    if (ask != asks_.end()) most = ask->second.units_milli;
    const LeaseId lease = ask != asks_.end() ? ask->second.lease : id >= kForcedIds ? id - kForcedIds : 0;
    if (lease != 0) {
      const auto at = leases_.find(lease);
      if (at == leases_.end() || !IsForSale(at->second, now)) most = 0;
      if (at != leases_.end()) sale.lease = &at->second;
      if (sale.lease != nullptr && most != 0) most = std::min(most, sale.lease->lease.units_milli);
      if (id >= kForcedIds && sale.lease != nullptr && IsForced(at->second)) most = at->second.lease.units_milli;
    }
    if (units > most) return {Code::kInternal, "OrderBook::Commit.trades", "a trade is of an ask that is not for sale"};
    sales.push_back(sale);
  }
  for (const Sale& sale : sales) {
    if (sale.lease != nullptr) {
      sale.lease->lease.units_milli -= sale.units;
      sale.lease->quiet_until_ms = now + sale.lease->lease.notice_ms;
      sale.lease->unused_since_ms.reset();
    }
    const auto ask = asks_.find(sale.ask);
    if (ask == asks_.end()) {
      // A forced sale of the whole; an ask of its owner's for a share of it has nothing left to sell.
      if (sale.lease != nullptr && sale.lease->has_ask) Remove(sale.lease->ask);
      continue;
    }
    ask->second.units_milli -= sale.units;
    if (ask->second.units_milli == 0) Remove(sale.ask);
  }
  return {};
}

const RunningLease* OrderBook::Lease(LeaseId lease) const {
  const auto at = leases_.find(lease);
  return at == leases_.end() ? nullptr : &at->second.lease;
}

std::optional<OrderBook::Standing> OrderBook::Find(OrderId ask) const {
  const auto at = asks_.find(ask);
  if (at == asks_.end()) return std::nullopt;
  const auto lease = leases_.find(at->second.lease);
  return Standing{at->second, lease != leases_.end() && IsForced(lease->second)};
}

}  // namespace accelmesh::market::auction
