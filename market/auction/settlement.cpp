#include "market/auction/settlement.h"

#include <algorithm>

namespace accelmesh::market::auction {
namespace {

constexpr std::int64_t kHourMs = 3'600'000;
constexpr Wide kNanoHour = Wide{kHourMs} * kNanoPerMicro;

bool Fits(const Entry& entry) {
  const auto is = [&](AccountKind from, AccountKind to) { return entry.from.kind == from && entry.to.kind == to; };
  const bool own = entry.from.party == entry.to.party;
  using enum AccountKind;
  switch (entry.why) {
    case EntryWhy::kDeposit: return is(kOutside, kBalance);
    case EntryWhy::kWithdraw: return is(kBalance, kOutside);
    case EntryWhy::kHold: return is(kBalance, kEscrow) && own;
    case EntryWhy::kPay: return is(kEscrow, kBalance);
    case EntryWhy::kSurplus: return is(kEscrow, kPool);
    case EntryWhy::kRefund: return is(kEscrow, kBalance) && own;
    case EntryWhy::kBond: return is(kBalance, kBond) && own;
    case EntryWhy::kUnbond: return is(kBond, kBalance) && own;
    case EntryWhy::kPenalty: return is(kBond, kBalance) || is(kBond, kPool);
    case EntryWhy::kGrant: return is(kPool, kBalance) || is(kBalance, kBalance);
  }
  return false;
}

bool IsNobodys(AccountKind kind) { return kind == AccountKind::kPool || kind == AccountKind::kOutside; }

std::int64_t Bounded(Wide amount) { return static_cast<std::int64_t>(std::min<Wide>(amount, kAccountMicrocreditsMax)); }

std::int64_t PartOf(std::int64_t amount, std::int64_t numerator, std::int64_t denominator) {
  return static_cast<std::int64_t>(Wide{amount} * numerator / denominator);
}

// Only entries that move something.
void Add(std::vector<Entry>& entries, Entry entry) {
  if (entry.amount_microcredits > 0) entries.push_back(entry);
}

}  // namespace

std::int64_t Accounts::Of(const Account& account) const {
  const auto at = amounts_.find(account);
  return at == amounts_.end() ? 0 : at->second;
}

Status Accounts::Post(std::span<const Entry> entries) {
  // On a copy of the accounts concerned, for the case that a later entry does not hold.
  std::map<Account, std::int64_t> changed;
  const auto open = [&](const Account& account) -> std::int64_t& {
    return changed.try_emplace(account, Of(account)).first->second;
  };
  for (const Entry& entry : entries) {
    if (entry.amount_microcredits <= 0 || entry.amount_microcredits > kAccountMicrocreditsMax ||
        entry.from == entry.to || !Fits(entry) || (IsNobodys(entry.from.kind) && entry.from.party != 0) ||
        (IsNobodys(entry.to.kind) && entry.to.party != 0)) {
      return {Code::kInvalidArgument, "Accounts::Post",
              "an entry moves an amount from one account to another, as its reason says"};
    }
    std::int64_t& from = open(entry.from);
    const bool is_outside = entry.from.kind == AccountKind::kOutside;
    if (from - entry.amount_microcredits < (is_outside ? -kAccountMicrocreditsMax : 0)) {
      return {Code::kLimitExceeded, "Accounts::Post.from",
              "an account of party " + std::to_string(entry.from.party) + " has " + std::to_string(from) +
                  " microcredits of " + std::to_string(entry.amount_microcredits) +
                  " that it would give; deposit more, or ask for less"};
    }
    from -= entry.amount_microcredits;
    std::int64_t& to = open(entry.to);
    if (to > kAccountMicrocreditsMax - entry.amount_microcredits) {
      return {Code::kLimitExceeded, "Accounts::Post.to", "the account would hold more than it can count"};
    }
    to += entry.amount_microcredits;
  }
  for (const auto& [account, amount] : changed) amounts_[account] = amount;
  return {};
}

Status Accounts::CheckConserved() const {
  Wide sum = 0;
  for (const auto& [account, amount] : amounts_) {
    sum += amount;
    if (amount < 0 && account.kind != AccountKind::kOutside) {
      return {Code::kInternal, "Accounts::CheckConserved",
              "party " + std::to_string(account.party) + " has less than nothing"};
    }
  }
  if (sum != 0) return {Code::kInternal, "Accounts::CheckConserved", "credits were made or lost"};
  return {};
}

Result<std::vector<Deal>> DealsOf(const EpochOutcome& outcome, std::int64_t length_ms) {
  if (length_ms <= 0 || length_ms > kDealMsMax) {
    return Status(Code::kInvalidArgument, "auction::DealsOf.length_ms", "a deal is for 1 millisecond to 366 days");
  }
  std::vector<Deal> deals;
  for (const Trade& trade : outcome.trades) {
    if (trade.lane == Lane::kNetted || trade.price_buyer_microcredits == 0) continue;
    Deal deal{trade.ask, trade.bid, trade.seller, trade.buyer};
    deal.pays_nanocredits = trade.price_buyer_microcredits * trade.units_milli;
    deal.gets_nanocredits = trade.price_seller_microcredits * trade.units_milli;
    deal.length_ms = length_ms;
    deals.push_back(deal);
  }
  for (const GangAward& award : outcome.gangs) {
    if (award.surcharge_nanocredits == 0) continue;
    Deal deal{0, award.gang, 0, award.owner, true};
    deal.pays_nanocredits = award.surcharge_nanocredits;
    deal.length_ms = length_ms;
    deals.push_back(deal);
  }
  return deals;
}

std::int64_t DueUp(std::int64_t nanocredits_an_hour, std::int64_t ms) {
  if (nanocredits_an_hour <= 0 || ms <= 0) return 0;
  return Bounded((Wide{nanocredits_an_hour} * ms + kNanoHour - 1) / kNanoHour);
}

std::int64_t DueDown(std::int64_t nanocredits_an_hour, std::int64_t ms) {
  if (nanocredits_an_hour <= 0 || ms <= 0) return 0;
  return Bounded(Wide{nanocredits_an_hour} * ms / kNanoHour);
}

std::vector<Entry> Hold(Deal& deal, std::uint64_t epoch) {
  std::vector<Entry> entries;
  const std::int64_t amount = DueUp(deal.pays_nanocredits, deal.length_ms) -
                              DueUp(deal.pays_nanocredits, deal.settled_ms) - deal.held_microcredits;
  Add(entries, {epoch,
                EntryWhy::kHold,
                {AccountKind::kBalance, deal.buyer},
                {AccountKind::kEscrow, deal.buyer},
                amount,
                deal.ask,
                deal.bid});
  deal.held_microcredits += std::max<std::int64_t>(amount, 0);
  return entries;
}

std::vector<Entry> Settle(Deal& deal, std::int64_t until_ms, std::uint32_t delivered_ppm, std::uint64_t epoch) {
  std::vector<Entry> entries;
  const std::int64_t until = std::min(until_ms, deal.length_ms);
  if (until <= deal.settled_ms) return entries;
  const std::int64_t due = std::min(DueUp(deal.pays_nanocredits, until) - DueUp(deal.pays_nanocredits, deal.settled_ms),
                                    deal.held_microcredits);
  // With one price all that is due is the seller's; with two the roundings are the pool's.
  std::int64_t sellers = due;
  if (deal.is_surcharge) {
    sellers = 0;
  } else if (deal.gets_nanocredits != deal.pays_nanocredits) {
    sellers = std::min(DueDown(deal.gets_nanocredits, until) - DueDown(deal.gets_nanocredits, deal.settled_ms), due);
  }
  const std::uint32_t delivered = std::min(delivered_ppm, kWholePpm);
  const std::int64_t pays = PartOf(due, delivered, kWholePpm);
  const std::int64_t gets = due == 0 ? 0 : PartOf(sellers, pays, due);
  const Account escrow{AccountKind::kEscrow, deal.buyer};
  Add(entries, {epoch, EntryWhy::kPay, escrow, {AccountKind::kBalance, deal.seller}, gets, deal.ask, deal.bid});
  Add(entries, {epoch, EntryWhy::kSurplus, escrow, {AccountKind::kPool, 0}, pays - gets, deal.ask, deal.bid});
  Add(entries, {epoch, EntryWhy::kRefund, escrow, {AccountKind::kBalance, deal.buyer}, due - pays, deal.ask, deal.bid});
  deal.settled_ms = until;
  deal.held_microcredits -= due;
  deal.paid_microcredits += pays;
  deal.refunded_microcredits += due - pays;
  return entries;
}

std::vector<Entry> End(Deal& deal, std::uint64_t epoch) {
  std::vector<Entry> entries;
  Add(entries, {epoch,
                EntryWhy::kRefund,
                {AccountKind::kEscrow, deal.buyer},
                {AccountKind::kBalance, deal.buyer},
                deal.held_microcredits,
                deal.ask,
                deal.bid});
  deal.refunded_microcredits += deal.held_microcredits;
  deal.held_microcredits = 0;
  deal.length_ms = deal.settled_ms;
  return entries;
}

std::vector<Entry> Penalty(const Deal& deal, std::int64_t undelivered_microcredits, std::uint32_t penalty_ppm,
                           std::int64_t bond_microcredits, std::uint64_t epoch) {
  std::vector<Entry> entries;
  if (deal.is_surcharge || undelivered_microcredits <= 0) return entries;
  const Wide owed = Wide{undelivered_microcredits} * penalty_ppm / kWholePpm;
  const std::int64_t amount = std::min(Bounded(owed), std::max<std::int64_t>(bond_microcredits, 0));
  const Account to =
      deal.seller == deal.buyer ? Account{AccountKind::kPool, 0} : Account{AccountKind::kBalance, deal.buyer};
  Add(entries, {epoch, EntryWhy::kPenalty, {AccountKind::kBond, deal.seller}, to, amount, deal.ask, deal.bid});
  return entries;
}

}  // namespace accelmesh::market::auction
