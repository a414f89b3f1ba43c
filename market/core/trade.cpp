#include "market/core/trade.h"

#include <algorithm>

#include "market/core/accounts.h"
#include "market/core/grant.h"
#include "market/core/receipts.h"
#include "scheduler/core/quantity.h"

namespace accelmesh::market {
namespace {

constexpr char kWhere[] = "market::Trade";

Status Invalid(const std::string& text) { return {Code::kInvalidArgument, kWhere, text}; }
Status Gone(const std::string& text) { return {Code::kNotFound, kWhere, text}; }

template <typename T>
T Part(T whole, std::uint32_t share, std::uint32_t of) {
  __extension__ using Wide = unsigned __int128;
  return of == 0 ? T{0} : static_cast<T>(Wide{static_cast<std::uint64_t>(whole)} * share / of);
}

// Whether an ask is at least what its holder would get back for the same.
bool IsWorthMore(const LeaseRecord& lease, std::int64_t price_per_hour) {
  return ShareOf(price_per_hour, lease.share_milli) >= lease.price_per_hour;
}

Result<const LeaseRecord*> RunningLease(const Book& book, const std::string& id, const Moment& moment) {
  const LeaseRecord* lease = book.Lease(id);
  if (lease == nullptr) return Gone("no lease has this id; those that ended are forgotten after 15 minutes");
  if (lease->state != LeaseState::kActive || lease->not_after_ms <= moment.sweep_ms) {
    return Gone("the lease has ended, or has not begun; there is nothing of it to be had");
  }
  if (!lease->successor.empty()) return Gone("all of the lease has been sold; it ends soon");
  return lease;
}

Status CheckBuyer(const Book& book, const std::string& buyer, const std::string& seller) {
  if (buyer == seller) return Invalid("nobody buys from himself; change or withdraw the ask instead");
  if (const IdentityRecord* identity = book.Identity(buyer); identity != nullptr && identity->is_banned) {
    return {Code::kPermissionDenied, kWhere, "the buyer is banned; ask an admin (slotctl keys trust)"};
  }
  if (const IdentityRecord* identity = book.Identity(seller); identity != nullptr && identity->is_banned) {
    return Gone("the seller is banned; what he has ends");
  }
  if (book.LeasesOfTenant(buyer).size() >= kLeasesPerTenantMax) {
    return {Code::kLimitExceeded, kWhere, "the buyer has too many leases; give some back first"};
  }
  return {};
}

// One trade of a lease in a notice window, and none of what was bought within the window before: so that no chain of
// trades drives a program around.
std::int64_t QuietUntil(const LeaseRecord& lease, std::int64_t notice_ms) {
  const std::int64_t bought_ms = lease.bought.from.empty() ? 0 : lease.began_ms;
  const std::int64_t last_ms = std::max(lease.sold_ms, bought_ms);
  return last_ms == 0 ? 0 : last_ms + notice_ms;
}

// All of what the buyer pays goes into his escrow first.
Status HoldAll(AccountRecord& buyer, LeaseRecord& lease, std::int64_t cost, std::int64_t budget) {
  if (budget > 0 && cost > budget) {
    return {Code::kLimitExceeded, kWhere,
            "it costs " + scheduler::CreditsText(cost) + " credits, above the budget of " +
                scheduler::CreditsText(budget) + "; allow more, or bid for less"};
  }
  if (cost > buyer.balance) {
    return {Code::kLimitExceeded, kWhere,
            scheduler::CreditsText(buyer.balance) + " credits of " + scheduler::CreditsText(cost) +
                " that it costs; have an admin deposit more (slotctl deposit), or bid for less"};
  }
  buyer.balance -= cost;
  buyer.held += cost;
  lease.held += cost;
  return {};
}

// Begins a lease whose money is all in its escrow: the pool gets its part, the lease keeps what its server's owner will
// be due, and the rest is the seller's.
void Begin(Edit& edit, LeaseRecord& lease, AccountRecord* seller, const Moment& moment) {
  AccountRecord& buyer = edit.Account(lease.tenant);
  const auto take = [&](AccountRecord& to, std::int64_t amount) {
    buyer.held -= amount;
    lease.held -= amount;
    to.balance += amount;
  };
  if (lease.bought.pool > 0) take(edit.Account(kPoolAccount), lease.bought.pool);
  const std::int64_t due = CostOf(lease.price_per_hour, lease.not_after_ms - moment.now_ms);
  if (seller != nullptr && lease.held > due) take(*seller, lease.held - due);
  // It begins earlier than was agreed: what the seller got back for that time is what its owner is due.
  if (seller != nullptr && lease.held < due) take(*seller, -std::min(due - lease.held, seller->balance));
  lease.bought.pool = lease.bought.seller_part = 0;
  lease.state = LeaseState::kActive;
  lease.not_before_ms = lease.paid_until_ms = lease.began_ms = moment.now_ms;
}

void GiveBack(Edit& edit, LeaseRecord& lease, const std::string& seller, LeaseState state, const Moment& moment) {
  AccountRecord& buyer = edit.Account(lease.tenant);
  const std::int64_t part = std::min(lease.bought.seller_part, lease.held);
  buyer.held -= part;
  lease.held -= part;
  edit.Account(seller).balance += part;
  lease.bought.pool = lease.bought.seller_part = 0;
  Refund(buyer, lease);
  lease.state = state;
  lease.ended_ms = moment.now_ms;
}

// The provider is paid up to now, and the rest of the escrow comes back.
void Settle(Edit& edit, LeaseRecord& lease, const Moment& moment) {
  AccountRecord& tenant = edit.Account(lease.tenant);
  Pay(tenant, edit.Account(lease.server), lease, moment.now_ms);
  Refund(tenant, lease);
  lease.paid_until_ms = std::clamp(moment.now_ms, lease.paid_until_ms, lease.not_after_ms);
}

Result<TradeOutcome> TradeIdle(const Book& book, Edit& edit, const TradeTerms& terms, const std::string& id,
                               const Moment& moment) {
  const SlotRecord* slot = book.Slot(terms.slot);
  const scheduler::Slot* view = book.View(terms.slot);
  if (slot == nullptr || view == nullptr || view->is_draining || !book.IsReachable(*view)) {
    return Gone("slot " + terms.slot + " lets nothing any more");
  }
  ACCELMESH_RETURN_IF_ERROR(CheckBuyer(book, terms.buyer, slot->slot.server));
  // Of this decision's other trades, too.
  std::uint64_t share = terms.share_milli;
  std::uint64_t memory = terms.memory_bytes;
  for (const auto& [key, record] : edit.writes()) {
    const auto* other = std::get_if<LeaseRecord>(&record);
    if (other == nullptr || other->slot != terms.slot || !other->bought.from.empty() || book.Lease(key.id) != nullptr)
      continue;
    share += other->share_milli;
    memory += other->memory_bytes;
  }
  if (terms.share_milli == 0 || share > view->share_milli_free || memory > view->memory_bytes_free) {
    return Gone("slot " + terms.slot + " has less free than was sold; bid again");
  }
  if (const std::uint32_t step = std::max(1U, view->share_milli_step); terms.share_milli % step != 0) {
    return Invalid("slot " + terms.slot + " is let in steps of " + std::to_string(step) +
                   " thousandths; bid for a multiple of that");
  }
  const std::int64_t lease_ms = terms.lease_ms > 0 ? std::min(terms.lease_ms, kLeaseLifeMsMax) : kLeaseLifeMsMax;
  LeaseRecord& lease = edit.Lease(id);
  lease.slot = terms.slot;
  lease.server = slot->slot.server;
  lease.tenant = terms.buyer;
  lease.share_milli = terms.share_milli;
  lease.memory_bytes = terms.memory_bytes;
  lease.price_per_hour = ShareOf(terms.price_seller, terms.share_milli);
  lease.not_after_ms = moment.now_ms + lease_ms;
  const std::int64_t cost = CostOf(ShareOf(terms.price_buyer, terms.share_milli), lease_ms);
  lease.bought.pool = cost - CostOf(lease.price_per_hour, lease_ms);
  ACCELMESH_RETURN_IF_ERROR(HoldAll(edit.Account(terms.buyer), lease, cost, terms.budget));
  ACCELMESH_ASSIGN_OR_RETURN(lease.epoch, edit.NextEpoch(lease.slot));
  Begin(edit, lease, nullptr, moment);
  edit.Require(Family::kSlot, terms.slot);
  edit.Require(Family::kServer, lease.server);
  return TradeOutcome{id, moment.now_ms, cost};
}

}  // namespace

const std::string kPoolAccount(64, '0');

Supply SupplyOf(const LeaseRecord& lease, const Moment& moment) {
  Supply supply;
  if (!lease.ask.is_posted || !lease.successor.empty() || lease.state != LeaseState::kActive) return supply;
  if (lease.ask.until_ms <= moment.now_ms || !IsWorthMore(lease, lease.ask.price_per_hour)) return supply;
  if (moment.now_ms < QuietUntil(lease, lease.ask.notice_ms)) return supply;
  supply.is_all = lease.ask.share_milli >= lease.share_milli;
  const std::int64_t notice_ms = supply.is_all ? lease.ask.notice_ms : 0;
  supply.left_ms = lease.not_after_ms - moment.now_ms - notice_ms;
  if (supply.left_ms < kTradedMsMin) return {};
  supply.share_milli = supply.is_all ? lease.share_milli : lease.ask.share_milli;
  supply.memory_bytes = supply.is_all ? lease.memory_bytes : std::min(lease.ask.memory_bytes, lease.memory_bytes);
  return supply;
}

Supply ForcedSupplyOf(const LeaseRecord& lease, std::int64_t price_per_hour, std::int64_t notice_ms,
                      const Moment& moment) {
  Supply supply;
  if (!lease.successor.empty() || lease.state != LeaseState::kActive || !IsWorthMore(lease, price_per_hour) ||
      moment.now_ms < QuietUntil(lease, notice_ms)) {
    return supply;
  }
  supply.left_ms = lease.not_after_ms - moment.now_ms - notice_ms;
  if (supply.left_ms < kTradedMsMin) return supply;
  supply.is_all = true;
  supply.share_milli = lease.share_milli;
  supply.memory_bytes = lease.memory_bytes;
  return supply;
}

Result<LeaseChange> DecideAsk(const Book& book, const AskTerms& terms, const Moment& moment) {
  ACCELMESH_ASSIGN_OR_RETURN(const LeaseRecord* found, RunningLease(book, terms.lease, moment));
  if (found->tenant != terms.tenant) {
    return Status(Code::kPermissionDenied, kWhere, "the lease is another tenant's; only its holder asks for it");
  }
  LeaseChange change;
  change.lease = terms.lease;
  if (terms.number == found->ask.number && found->ask.is_posted && found->ask.order == terms.order) {
    change.is_repeated = true;
    return change;
  }
  if (terms.number <= found->ask.number) {
    return Invalid("an order with a higher number stands already; give each one a higher number than the last");
  }
  if (terms.price_per_hour < 0 || terms.price_per_hour > kPriceMax) return Invalid("a price out of range");
  if (!IsWorthMore(*found, terms.price_per_hour)) {
    return Invalid("giving it back returns more than that (" + scheduler::CreditsText(found->price_per_hour) +
                   " credits an hour for what it has); ask for at least as much");
  }
  if (terms.notice_ms < 0 || terms.notice_ms > kNoticeMsMax) {
    return Invalid("a notice of up to five minutes can be asked for; ask for less");
  }
  const std::uint32_t share = terms.share_milli != 0 ? terms.share_milli : found->share_milli;
  const bool is_all = share == found->share_milli;
  const std::uint64_t memory = is_all                    ? found->memory_bytes
                               : terms.memory_bytes != 0 ? terms.memory_bytes
                                                         : Part(found->memory_bytes, share, found->share_milli);
  if (!is_all && memory == found->memory_bytes && memory != 0) {
    return Invalid("a part with all of the lease's memory leaves none for the rest; offer less memory, or all of it");
  }
  if (share > found->share_milli || memory > found->memory_bytes) {
    return Invalid("more than the lease has (" + std::to_string(found->share_milli) + " thousandths, " +
                   std::to_string(found->memory_bytes) + " bytes); offer at most that");
  }
  Edit edit(book);
  LeaseRecord& lease = edit.Lease(terms.lease);
  lease.ask = {true,           terms.number, terms.price_per_hour, share, memory, terms.notice_ms,
               terms.until_ms, terms.order,  terms.signature};
  change.decision = edit.Finish();
  return change;
}

Result<LeaseChange> DecideWithdrawal(const Book& book, const std::string& tenant, const std::string& id,
                                     std::uint64_t number, const Moment& moment) {
  ACCELMESH_ASSIGN_OR_RETURN(const LeaseRecord* found, RunningLease(book, id, moment));
  if (found->tenant != tenant) {
    return Status(Code::kPermissionDenied, kWhere, "the lease is another tenant's; only its holder withdraws its ask");
  }
  LeaseChange change;
  change.lease = id;
  if (number == found->ask.number && !found->ask.is_posted) {
    change.is_repeated = true;
    return change;
  }
  if (number <= found->ask.number) {
    return Invalid("an order with a higher number stands already; give each one a higher number than the last");
  }
  Edit edit(book);
  LeaseRecord& lease = edit.Lease(id);
  lease.ask = {};
  lease.ask.number = number;
  change.decision = edit.Finish();
  return change;
}

Result<TradeOutcome> Trade(const Book& book, Edit& edit, const TradeTerms& terms, const Moment& moment) {
  const std::string id = LeaseIdOf(terms.buyer, terms.operation, terms.index);
  if (book.Lease(id) != nullptr) return Invalid("the operation id was used before; make a random one");
  if (terms.price_buyer < terms.price_seller || terms.price_seller < 0 || terms.price_buyer > kPriceMax) {
    return Invalid("the buyer pays less than the seller gets");
  }
  const auto finish = [&](TradeOutcome outcome) {
    LeaseRecord& lease = edit.Lease(outcome.lease);
    lease.holder_key = terms.holder_key;
    lease.next_key = terms.next_key;
    lease.request = terms.request;
    lease.why = terms.why;
    lease.last_operation = terms.operation;
    return outcome;
  };
  if (terms.lease.empty()) {
    ACCELMESH_ASSIGN_OR_RETURN(TradeOutcome outcome, TradeIdle(book, edit, terms, id, moment));
    return finish(std::move(outcome));
  }
  ACCELMESH_RETURN_IF_ERROR(RunningLease(book, terms.lease, moment).status());
  LeaseRecord& seller_lease = edit.Lease(terms.lease);
  // Of this decision's other trades, too.
  if (!seller_lease.successor.empty()) return Gone("all of the lease has been sold");
  ACCELMESH_RETURN_IF_ERROR(CheckBuyer(book, terms.buyer, seller_lease.tenant));
  const bool is_all = terms.share_milli == 0 || terms.share_milli == seller_lease.share_milli;
  const std::uint32_t share = is_all ? seller_lease.share_milli : terms.share_milli;
  if (share > seller_lease.share_milli ||
      (!is_all && terms.memory_bytes != 0 && terms.memory_bytes >= seller_lease.memory_bytes)) {
    return Gone("the lease has less than was sold; bid again");
  }
  const std::int64_t begins_ms = moment.now_ms + (is_all ? terms.notice_ms : 0);
  const std::int64_t left_ms = seller_lease.not_after_ms - begins_ms;
  if (left_ms <= 0) return Gone("the lease ends before the notice is over");

  Settle(edit, seller_lease, moment);
  AccountRecord& seller = edit.Account(seller_lease.tenant);
  LeaseRecord& lease = edit.Lease(id);
  lease = {};
  lease.slot = seller_lease.slot;
  lease.server = seller_lease.server;
  lease.tenant = terms.buyer;
  lease.share_milli = share;
  lease.memory_bytes = is_all ? seller_lease.memory_bytes : terms.memory_bytes;
  lease.not_before_ms = lease.paid_until_ms = begins_ms;
  lease.not_after_ms = seller_lease.not_after_ms;
  lease.state = LeaseState::kPending;
  const std::int64_t rest_price =
      is_all ? 0 : Part(seller_lease.price_per_hour, seller_lease.share_milli - share, seller_lease.share_milli);
  lease.price_per_hour = seller_lease.price_per_hour - rest_price;
  lease.bought.from = terms.lease;
  lease.bought.rest_share_milli = is_all ? 0 : seller_lease.share_milli - share;
  lease.bought.rest_memory_bytes = is_all ? 0 : seller_lease.memory_bytes - lease.memory_bytes;
  const std::int64_t cost = CostOf(ShareOf(terms.price_buyer, share), left_ms);
  lease.bought.pool = cost - CostOf(ShareOf(terms.price_seller, share), left_ms);
  ACCELMESH_RETURN_IF_ERROR(HoldAll(edit.Account(terms.buyer), lease, cost, terms.budget));
  // Who sells for less than he pays adds the difference; what he is refunded for that time is no less.
  const std::int64_t due = CostOf(lease.price_per_hour, left_ms);
  if (lease.held - lease.bought.pool < due) {
    const std::int64_t part = std::min(due - (lease.held - lease.bought.pool), seller.balance);
    AccountRecord& buyer = edit.Account(terms.buyer);
    seller.balance -= part;
    buyer.held += part;
    lease.held += part;
    lease.bought.seller_part = part;
  }
  // Its epoch orders it behind all that was let before; when it begins later, it gets a newer one.
  ACCELMESH_ASSIGN_OR_RETURN(lease.epoch, edit.NextEpoch(lease.slot));
  edit.Require(Family::kSlot, lease.slot);
  seller_lease.sold_ms = moment.now_ms;
  if (!is_all) {
    seller_lease.share_milli -= share;
    seller_lease.memory_bytes -= lease.memory_bytes;
    seller_lease.price_per_hour = rest_price;
    seller_lease.ask.share_milli -= std::min(seller_lease.ask.share_milli, share);
    seller_lease.ask.memory_bytes -= std::min(seller_lease.ask.memory_bytes, lease.memory_bytes);
    if (seller_lease.ask.share_milli == 0) seller_lease.ask.is_posted = false;
    ACCELMESH_RETURN_IF_ERROR(Hold(seller, seller_lease));
    Begin(edit, lease, &seller, moment);
  } else if (begins_ms > moment.now_ms) {
    seller_lease.successor = id;
    seller_lease.not_after_ms = begins_ms;
    ACCELMESH_RETURN_IF_ERROR(Hold(seller, seller_lease));
  } else {
    CloseLease(edit, seller_lease, LeaseState::kTransferred, moment);
    Begin(edit, lease, &seller, moment);
  }
  return finish({id, begins_ms, cost});
}

void EndSold(const Book& book, Edit& edit, const LeaseRecord& sold, bool is_cancelled, const Moment& moment) {
  if (sold.successor.empty()) return;
  LeaseRecord& lease = edit.Lease(sold.successor);
  if (lease.state != LeaseState::kPending) return;
  if (is_cancelled) return GiveBack(edit, lease, sold.tenant, LeaseState::kServerLost, moment);
  if (const IdentityRecord* buyer = book.Identity(lease.tenant); buyer != nullptr && buyer->is_banned) {
    return GiveBack(edit, lease, sold.tenant, LeaseState::kRevoked, moment);
  }
  Result<std::uint64_t> epoch = edit.NextEpoch(lease.slot);
  if (!epoch.ok() || lease.not_after_ms <= moment.now_ms) {
    return GiveBack(edit, lease, sold.tenant, LeaseState::kExpired, moment);
  }
  lease.epoch = *epoch;
  Begin(edit, lease, &edit.Account(sold.tenant), moment);
}

}  // namespace accelmesh::market
