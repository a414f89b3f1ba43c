// Receipts of leases that are over: when there is one, what its two sides have said, and what follows for money when
// both say the same. Who signed what, and how much a refund is, is for the caller to find out
// (market/ledger/receipt.h).
//
// Bonds: a server's owner puts up an hour of its slots' prices when it registers, as far as it has them. From its
// balance, and then from its bond, is refunded what it did not deliver; from its bond alone is paid a penalty: for what
// was refunded, for a notice that it did not keep, and for what was left of leases when it was lost from sight. The
// bond of a server that does not come back is losses.h's. Pure. Threads: functions on values.
#pragma once

#include "market/core/book.h"
#include "market/core/market_clock.h"

namespace accelmesh::market {

inline constexpr std::uint32_t kPenaltyPpm = 100'000;  // of what was not delivered
inline constexpr std::int64_t kBondedMs = 3'600'000;   // of its slots' prices

// Ends a lease that has been settled in `edit`.
void CloseLease(Edit& edit, LeaseRecord& lease, LeaseState state, const Moment& moment);

// It is over and was held for some time.
bool HasReceipt(const LeaseRecord& lease);
// Both have said the same.
bool IsCounterSigned(const LeaseRecord& lease);
// "open", "provider", "buyer", "both", "disputed".
std::string_view ReceiptStateOf(const LeaseRecord& lease);

// What one side says, put into the lease; the other may have said the same or something else.
// kNotFound, kPermissionDenied (of another's lease), kInvalidArgument (it runs, or both have signed already).
Result<Decision> DecideSaid(const Book& book, const std::string& who, const std::string& lease, const Said& said);

struct ReceiptMoney {
  std::int64_t refund = 0;   // for what was not delivered
  std::int64_t penalty = 0;  // from the bond, besides
};
// For who has put the second signature into `edit`: the refund, from the provider to the buyer. What the provider has
// not, nobody gets.
void SettleReceipt(Edit& edit, const std::string& lease, const ReceiptMoney& money);

// Moves so much of the balance that the bond is `wanted`, or as near as can be; or back.
void SetBond(AccountRecord& account, std::int64_t wanted);
std::int64_t PenaltyOf(std::int64_t undelivered);
// From the bond, as far as it goes, to whom it was promised; to the pool if that is the same one.
std::int64_t Penalise(Edit& edit, const std::string& provider, const std::string& buyer, std::int64_t amount);

}  // namespace accelmesh::market
