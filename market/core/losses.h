// Servers that are lost, and what becomes of their bonds.
//
// A server that the market lost sight of has a record of that: since when, and who held leases on it then. When it
// registers again the record goes, and nothing more is owed: what was left of those leases came back at once, with a
// tenth from the bond (receipts.h). One that is away for too long is gone for good: then each of those holders gets
// back what it had paid for the lease that was lost, at most an hour of its price (as the bond is an hour of the slots'
// prices), from the bond, as far as that goes, in proportion. What is left of the bond is its owner's again, and its
// slots leave the book.
//
// Pure. Threads: functions on values.
#pragma once

#include "market/core/book.h"
#include "market/core/market_clock.h"

namespace accelmesh::market {

// Of a server; later ones are owed nothing. As many fit into one record.
inline constexpr std::size_t kClaimsMax = 1000;

// Puts into `edit` what its holder is owed of the bond, should the server not come back, of a lease that ends with it.
void ClaimBond(Edit& edit, const LeaseRecord& lease, const Moment& moment);

// The server is there (again).
void ForgetLoss(const Book& book, Edit& edit, const std::string& server);

// What is due: the record of a server that has none yet; of one that has been away for `gone_ms`, a part of the claims,
// of the slots, or the rest of the bond, in this order. At most `most` records at a
// time, those included that it only requires, and four at least; nothing when nothing is due.
// `gone_ms` 0: no server is gone for good.
Decision DecideLosses(const Book& book, std::int64_t gone_ms, const Moment& moment, std::size_t most);

}  // namespace accelmesh::market
