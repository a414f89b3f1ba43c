#include "market/core/receipts.h"

#include <algorithm>

#include "market/core/trade.h"

namespace accelmesh::market {
namespace {

constexpr char kWhere[] = "market::Receipt";

}  // namespace

void CloseLease(Edit& edit, LeaseRecord& lease, LeaseState state, const Moment& moment) {
  lease.state = state;
  lease.ended_ms = moment.now_ms;
  lease.bond = edit.Account(lease.server).bond;
}

bool HasReceipt(const LeaseRecord& lease) {
  return lease.state != LeaseState::kActive && lease.state != LeaseState::kPending && lease.began_ms > 0 &&
         lease.paid_until_ms > lease.began_ms && lease.tenant != lease.server;
}

bool IsCounterSigned(const LeaseRecord& lease) {
  return !lease.provider_says.signature.empty() && !lease.buyer_says.signature.empty() &&
         lease.provider_says.is_same(lease.buyer_says);
}

std::string_view ReceiptStateOf(const LeaseRecord& lease) {
  const bool by_provider = !lease.provider_says.signature.empty();
  const bool by_buyer = !lease.buyer_says.signature.empty();
  if (by_provider && by_buyer) return IsCounterSigned(lease) ? "both" : "disputed";
  return by_provider ? "provider" : by_buyer ? "buyer" : "open";
}

Result<Decision> DecideSaid(const Book& book, const std::string& who, const std::string& id, const Said& said) {
  const LeaseRecord* found = book.Lease(id);
  if (found == nullptr) {
    return Status(Code::kNotFound, kWhere,
                  "no lease has this id; a receipt is signed within 15 minutes of its lease's end");
  }
  const bool is_provider = who == found->server;
  if (!is_provider && who != found->tenant) {
    return Status(Code::kPermissionDenied, kWhere,
                  "the lease is of others; its server's owner and its holder sign the receipt");
  }
  if (!HasReceipt(*found)) {
    return Status(Code::kInvalidArgument, kWhere,
                  found->state == LeaseState::kActive || found->state == LeaseState::kPending
                      ? "the lease is not over; its receipt is signed then"
                      : "the lease lasted no time, or was one's own; it has no receipt");
  }
  const Said& before = is_provider ? found->provider_says : found->buyer_says;
  if (before == said) return Decision{};
  if (IsCounterSigned(*found)) {
    return Status(Code::kInvalidArgument, kWhere, "both have signed the receipt already; it stays as it is");
  }
  Edit edit(book);
  LeaseRecord& lease = edit.Lease(id);
  (is_provider ? lease.provider_says : lease.buyer_says) = said;
  return edit.Finish();
}

void SettleReceipt(Edit& edit, const std::string& id, const ReceiptMoney& money) {
  LeaseRecord& lease = edit.Lease(id);
  if (money.refund > 0) {
    AccountRecord& provider = edit.Account(lease.server);
    AccountRecord& buyer = edit.Account(lease.tenant);
    const std::int64_t owed = std::min(money.refund, lease.paid);
    const std::int64_t from_balance = std::min(owed, provider.balance);
    const std::int64_t from_bond = std::min(owed - from_balance, provider.bond);
    provider.balance -= from_balance;
    provider.bond -= from_bond;
    buyer.balance += from_balance + from_bond;
    lease.refunded += from_balance + from_bond;
  }
  lease.refunded += Penalise(edit, lease.server, lease.tenant, money.penalty);
}

void SetBond(AccountRecord& account, std::int64_t wanted) {
  const std::int64_t moved = std::min(std::max<std::int64_t>(wanted, 0) - account.bond, account.balance);
  account.balance -= moved;
  account.bond += moved;
}

std::int64_t PenaltyOf(std::int64_t undelivered) {
  __extension__ using Wide = __int128;
  return static_cast<std::int64_t>(Wide{std::max<std::int64_t>(undelivered, 0)} * kPenaltyPpm / 1'000'000);
}

std::int64_t Penalise(Edit& edit, const std::string& provider, const std::string& buyer, std::int64_t amount) {
  const std::int64_t taken = std::min(amount, edit.Account(provider).bond);
  if (taken <= 0) return 0;
  edit.Account(provider).bond -= taken;
  edit.Account(provider == buyer ? kPoolAccount : buyer).balance += taken;
  return taken;
}

}  // namespace accelmesh::market
