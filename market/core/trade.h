// Trades: what holders of leases sell to one another, and what of a slot is idle and sold by auction or by a deal.
//
// Every price here is that of a whole device an hour. A lease that is sold goes on to be paid to its server's owner at
// the rate at which it was let; the buyer pays the price of the trade for all of the time that is left, of which that
// rate is held in escrow, as of any lease; the rest is the seller's gain, or his loss if he sells for less than he
// pays. What the buyer pays beyond what the seller gets goes to the insurance pool. A part of a lease (a sublet) is the
// buyer's at once, and the seller keeps the rest. All of a lease is the buyer's when the seller's notice is over: until
// then the buyer's is pending, with all of his money in escrow, and begins in the transaction that ends the seller's.
//
// Pure. Threads: functions on values.
#pragma once

#include "market/core/lease_changes.h"

namespace accelmesh::market {

// The account of what buyers pay and sellers do not get, and of bonds that were lost.
extern const std::string kPoolAccount;
// What is left of a lease must be worth a trade.
inline constexpr std::int64_t kTradedMsMin = 5000;
inline constexpr std::int64_t kNoticeMsMax = 5 * 60 * 1000;

struct AskTerms {
  std::string tenant;
  std::string lease;
  std::uint64_t number = 0;
  std::int64_t price_per_hour = 0;
  std::uint32_t share_milli = 0;   // 0: all of it
  std::uint64_t memory_bytes = 0;  // with a share; 0: in proportion
  std::int64_t notice_ms = 0;
  std::int64_t until_ms = 0;
  std::string order;
  std::string signature;
};
// kInvalidArgument: more than the lease has, for less than giving it back returns, or an order older than the last;
// kPermissionDenied: another's lease.
Result<LeaseChange> DecideAsk(const Book& book, const AskTerms& terms, const Moment& moment);
Result<LeaseChange> DecideWithdrawal(const Book& book, const std::string& tenant, const std::string& lease,
                                     std::uint64_t number, const Moment& moment);

// What can be had of a lease by its ask now: nothing if it has none, ends too soon, was traded within its notice, or
// costs its holder more by now
// than he asks: what is given back is refunded at that rate, so whoever bought it for less could give it back for a
// gain.
struct Supply {
  std::uint32_t share_milli = 0;
  std::uint64_t memory_bytes = 0;
  bool is_all = false;
  std::int64_t left_ms = 0;
};
Supply SupplyOf(const LeaseRecord& lease, const Moment& moment);
// Use it or sell it: all of a lease that is not used, at a price that its holder did not ask. Nothing if giving it back
// returns more.
Supply ForcedSupplyOf(const LeaseRecord& lease, std::int64_t price_per_hour, std::int64_t notice_ms,
                      const Moment& moment);

struct TradeTerms {
  std::string buyer;
  std::string operation;
  std::string lease;  // the seller's; empty: idle supply of `slot`
  std::string slot;
  std::uint32_t share_milli = 0;  // 0: all of the lease
  std::uint64_t memory_bytes = 0;
  std::int64_t price_seller = 0;
  std::int64_t price_buyer = 0;
  std::int64_t budget = 0;     // for all of the time; 0: what the account has
  std::int64_t notice_ms = 0;  // of a lease that is sold whole
  std::int64_t lease_ms = 0;   // of idle supply; 0: as long as can be
  std::string holder_key;
  std::string next_key;
  std::string request;
  std::string why;
  std::size_t index = 0;  // of the buyer's leases by this operation
};
struct TradeOutcome {
  std::string lease;  // the buyer's
  std::int64_t begins_ms = 0;
  std::int64_t paid = 0;  // by the buyer, or to be paid, for all of the time
};
// Puts one trade into `edit`, so that several are one decision. kLimitExceeded: the buyer cannot pay; kNotFound: what
// is sold is not there any more; kInvalidArgument: a trade with oneself, or of more than there is.
Result<TradeOutcome> Trade(const Book& book, Edit& edit, const TradeTerms& terms, const Moment& moment);

// For whoever ends a lease that has been sold whole: what follows it begins, or is cancelled because its server is
// gone. Precondition: the lease has been settled in `edit`.
void EndSold(const Book& book, Edit& edit, const LeaseRecord& sold, bool is_cancelled, const Moment& moment);

}  // namespace accelmesh::market
