// Clears a recorded epoch again and compares: nobody needs to believe the market.
//
// What is checked: the orders are those that were sealed, each is in the epoch once, with its owner, class, units,
// price and notice as signed, and not beyond its time; what an ask counts by follows from the scores that are recorded
// (verify_folder.h compares those with the receipts); the seed follows from the sealed checkpoint; the outcome is what
// auction::ClearEpoch makes of it and what auction::CheckOutcome finds balanced; credits are neither made nor lost.
// What an epoch takes from the market's own books cannot be checked by signatures: how much of a lease "all of it" is,
// idle supply, which leases nobody uses, reserves and surrogates, floors, a bid's budget an hour.
//
// Pure. Threads: functions on values.
#pragma once

#include "market/ledger/epoch_record.h"
#include "market/ledger/order_terms.h"

namespace accelmesh::market::ledger {

struct SealedOrder {
  Hash leaf{};  // of its entry
  OrderTerms terms;
};

struct EpochFacts {
  std::uint64_t number = 0;
  std::size_t orders = 0;
  std::size_t trades = 0;
  auction::EpochOutcome outcome;
};

// `orders`: by rank, already read from the log (signatures are verified then). `market`: in which orders count.
// Whether such an order may have been left out of that epoch for that reason, as far as what was signed
// tells: that others had the turn, that an account had too little, that an ask did not stand is the market's word.
// kPermissionDenied: it may not.
Status CheckLeftOut(LeftOut why, const OrderTerms& terms, const EpochRecord& record);

// kPermissionDenied with the first thing that does not hold.
Result<EpochFacts> VerifyEpoch(const EpochRecord& record, const Seal& seal, std::span<const SealedOrder> orders,
                               const std::string& market);

}  // namespace accelmesh::market::ledger
