// What becomes of a lease after its grant: renewed, made smaller, given back, ended. Each is a decision on a
// book; nothing happens twice, because the last operation's id stands in the lease.
//
// A renewal settles what has been used at the old price and holds the rest of the time at the price of now: so prices
// reach a long-running lease one renewal at a time.
// Pure. Threads: functions on values.
#pragma once

#include "market/core/book.h"
#include "market/core/market_clock.h"

namespace accelmesh::market {

struct LeaseChange {
  Decision decision;
  std::string lease;      // the one that goes on: of a transfer, the new one
  std::int64_t paid = 0;  // by this change
  std::int64_t returned = 0;
  bool is_repeated = false;
};

struct RenewRequest {
  std::string tenant;
  std::string lease;
  std::string operation;
  std::int64_t lease_ms = 0;   // from now on; 0: as long as can be
  std::int64_t price_max = 0;  // an hour; 0: any
};
// kNotFound, kPermissionDenied (another's), kInvalidArgument (it has ended), kLimitExceeded (price, credits),
// kUnavailable (its server is gone or its slot is being drained).
Result<LeaseChange> DecideRenewal(const Book& book, const RenewRequest& request, const Moment& moment);

// Both at most what it has; 0: as it is.
Result<LeaseChange> DecideResize(const Book& book, const std::string& tenant, const std::string& lease,
                                 const std::string& operation, std::uint32_t share_milli, std::uint64_t memory_bytes,
                                 const Moment& moment);

Result<LeaseChange> DecideRelease(const Book& book, const std::string& tenant, const std::string& lease,
                                  const Moment& moment);

// Ends one for a reason that is not its holder's: expired (all of it is paid for), revoked, or its server was lost
// (used is paid up to `until_ms`). Precondition: it is active.
LeaseChange DecideEnd(const Book& book, const std::string& lease, LeaseState state, std::int64_t until_ms,
                      const Moment& moment);

}  // namespace accelmesh::market
