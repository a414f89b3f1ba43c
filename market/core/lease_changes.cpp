#include "market/core/lease_changes.h"

#include <algorithm>

#include "market/core/accounts.h"
#include "market/core/losses.h"
#include "market/core/receipts.h"
#include "market/core/trade.h"
#include "scheduler/core/quantity.h"

namespace accelmesh::market {
namespace {

constexpr char kWhere[] = "market::Lease";

Result<const LeaseRecord*> OwnLease(const Book& book, const std::string& tenant, const std::string& id) {
  const LeaseRecord* lease = book.Lease(id);
  if (lease == nullptr) {
    return Status(Code::kNotFound, kWhere, "no lease has this id; those that ended are forgotten after 15 minutes");
  }
  if (lease->tenant != tenant) {
    return Status(Code::kPermissionDenied, kWhere, "the lease is another tenant's; only its tenant may change it");
  }
  return lease;
}

Status HasEnded(const LeaseRecord& lease) {
  return {Code::kInvalidArgument, kWhere,
          "the lease has ended (" + std::string(Name(lease.state)) + "); ask for a new one"};
}

Status IsRunning(const LeaseRecord& lease, const Moment& moment) {
  if (lease.state != LeaseState::kActive) return HasEnded(lease);
  if (lease.not_after_ms <= moment.sweep_ms) {
    return {Code::kInvalidArgument, kWhere, "the lease has ended (expired); ask for a new one"};
  }
  if (!lease.successor.empty()) {
    return {Code::kInvalidArgument, kWhere, "the lease has been sold and ends with its notice; ask for a new one"};
  }
  return {};
}

LeaseChange Repeated(const std::string& lease) {
  LeaseChange change;
  change.lease = lease;
  change.is_repeated = true;
  return change;
}

// The provider is paid up to `until_ms`, the rest of the escrow goes back.
void Settle(Edit& edit, LeaseRecord& lease, std::int64_t until_ms, LeaseChange& change) {
  AccountRecord& tenant = edit.Account(lease.tenant);
  AccountRecord& provider = edit.Account(lease.server);
  const std::int64_t paid = lease.paid;
  const std::int64_t returned = lease.returned;
  Pay(tenant, provider, lease, until_ms);
  Refund(tenant, lease);
  change.paid = lease.paid - paid;
  change.returned = lease.returned - returned;
}

}  // namespace

Result<LeaseChange> DecideRenewal(const Book& book, const RenewRequest& request, const Moment& moment) {
  ACCELMESH_ASSIGN_OR_RETURN(const LeaseRecord* found, OwnLease(book, request.tenant, request.lease));
  if (found->last_operation == request.operation) return Repeated(request.lease);
  ACCELMESH_RETURN_IF_ERROR(IsRunning(*found, moment));
  if (request.lease_ms < 0 || request.lease_ms > kLeaseLifeMsMax) {
    return Status(Code::kInvalidArgument, kWhere, "a lease lasts at most 15 minutes; ask for less and renew again");
  }
  const scheduler::Slot* slot = book.View(found->slot);
  if (slot == nullptr || !book.IsReachable(*slot)) {
    return Status(
        Code::kUnavailable, kWhere,
        "the server of the slot does not answer; the lease runs to its end, and another one may be asked for");
  }
  if (slot->is_draining) {
    return Status(Code::kUnavailable, kWhere,
                  "the slot is taken back by its owner (drained); the lease runs to its end, ask for another one");
  }
  if (const IdentityRecord* identity = book.Identity(request.tenant); identity != nullptr && identity->is_banned) {
    return Status(Code::kPermissionDenied, kWhere, "this identity is banned; ask an admin (slotctl keys trust)");
  }
  const std::int64_t price = ShareOf(slot->price_microcredits_per_hour, found->share_milli);
  if (request.price_max > 0 && price > request.price_max) {
    return Status(Code::kLimitExceeded, kWhere,
                  "price " + scheduler::CreditsText(price) + " credits an hour, at most " +
                      scheduler::CreditsText(request.price_max) +
                      "; raise max-price, make the lease smaller, or let it run to its end");
  }
  Edit edit(book);
  LeaseChange change;
  change.lease = request.lease;
  LeaseRecord& lease = edit.Lease(request.lease);
  Settle(edit, lease, moment.now_ms, change);
  lease.price_per_hour = price;
  lease.paid_until_ms = std::max(lease.paid_until_ms, moment.now_ms);
  // Never earlier than it would have ended: the token that counts until then is in the holder's hands, and who would
  // pay for less could use all of it.
  lease.not_after_ms = std::max(moment.now_ms + (request.lease_ms > 0 ? request.lease_ms : kLeaseLifeMsMax),
                                std::min(found->not_after_ms, moment.now_ms + kLeaseLifeMsMax));
  // A token lasts as long as a lease may: it begins anew with each renewal.
  lease.not_before_ms = moment.now_ms;
  lease.last_operation = request.operation;
  ACCELMESH_RETURN_IF_ERROR(Hold(edit.Account(lease.tenant), lease));
  edit.Require(Family::kSlot, lease.slot);
  change.decision = edit.Finish();
  return change;
}

Result<LeaseChange> DecideResize(const Book& book, const std::string& tenant, const std::string& id,
                                 const std::string& operation, std::uint32_t share_milli, std::uint64_t memory_bytes,
                                 const Moment& moment) {
  ACCELMESH_ASSIGN_OR_RETURN(const LeaseRecord* found, OwnLease(book, tenant, id));
  if (found->last_operation == operation) return Repeated(id);
  ACCELMESH_RETURN_IF_ERROR(IsRunning(*found, moment));
  const std::uint32_t share = share_milli != 0 ? share_milli : found->share_milli;
  const std::uint64_t memory = memory_bytes != 0 ? memory_bytes : found->memory_bytes;
  if (share > found->share_milli || memory > found->memory_bytes) {
    return Status(Code::kInvalidArgument, kWhere,
                  "a lease is made smaller, never larger; for more, ask for another one and give this one back");
  }
  const scheduler::Slot* slot = book.View(found->slot);
  const std::uint32_t step = slot != nullptr ? std::max(1U, slot->share_milli_step) : 1;
  if (share % step != 0 && share != found->share_milli) {
    return Status(Code::kInvalidArgument, kWhere,
                  "the slot is let in steps of " + std::to_string(step) + " thousandths; ask for a multiple of it");
  }
  Edit edit(book);
  LeaseChange change;
  change.lease = id;
  LeaseRecord& lease = edit.Lease(id);
  Settle(edit, lease, moment.now_ms, change);
  __extension__ using Wide = __int128;
  lease.price_per_hour = static_cast<std::int64_t>((Wide{lease.price_per_hour} * share + lease.share_milli - 1) /
                                                   std::max(1U, lease.share_milli));
  lease.paid_until_ms = std::clamp(moment.now_ms, lease.paid_until_ms, lease.not_after_ms);
  lease.share_milli = share;
  lease.memory_bytes = memory;
  lease.ask.share_milli = std::min(lease.ask.share_milli, share);
  lease.ask.memory_bytes = std::min(lease.ask.memory_bytes, memory);
  lease.last_operation = operation;
  ACCELMESH_RETURN_IF_ERROR(Hold(edit.Account(tenant), lease));
  change.decision = edit.Finish();
  return change;
}

Result<LeaseChange> DecideRelease(const Book& book, const std::string& tenant, const std::string& id,
                                  const Moment& moment) {
  ACCELMESH_ASSIGN_OR_RETURN(const LeaseRecord* found, OwnLease(book, tenant, id));
  if (found->state != LeaseState::kActive) {
    LeaseChange change = Repeated(id);
    change.paid = found->paid;
    change.returned = found->returned;
    return change;
  }
  return DecideEnd(book, id, LeaseState::kReleased, moment.now_ms, moment);
}

LeaseChange DecideEnd(const Book& book, const std::string& id, LeaseState state, std::int64_t until_ms,
                      const Moment& moment) {
  Edit edit(book);
  LeaseChange change;
  change.lease = id;
  LeaseRecord& lease = edit.Lease(id);
  Settle(edit, lease, state == LeaseState::kExpired ? lease.not_after_ms : until_ms, change);
  const bool is_sold = !lease.successor.empty() && state == LeaseState::kExpired;
  CloseLease(edit, lease, is_sold ? LeaseState::kTransferred : state, moment);
  lease.had_notice = is_sold;
  // Who is lost from sight owes more than the refund: the holder has to find another one.
  if (state == LeaseState::kServerLost) {
    Penalise(edit, lease.server, lease.tenant, PenaltyOf(change.returned));
    ClaimBond(edit, lease, moment);
  }
  EndSold(book, edit, lease, state == LeaseState::kServerLost, moment);
  change.decision = edit.Finish();
  return change;
}

}  // namespace accelmesh::market
