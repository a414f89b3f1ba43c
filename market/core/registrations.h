// Decisions of providers and admins: servers and their slots, draining, identities, deposits; and what time does to
// records: forgotten leases, prices.
//
// Pure. Threads: functions on values.
#pragma once

#include "market/core/book.h"
#include "market/core/market_clock.h"
#include "market/core/price.h"

namespace accelmesh::market {

// Ended leases are kept so long (for those who ask again), and at most so many.
inline constexpr std::int64_t kEndedKeptMs = 15 * 60 * 1000;
inline constexpr std::size_t kEndedKeptMax = 100'000;
inline constexpr std::size_t kDepositsRemembered = 16;
inline constexpr std::size_t kClassesKept = 256;  // prices, whether slots are of their class or not

// Registers a server with all of its slots; those that it had and no longer names are withdrawn. Slots are of the
// caller's identity. kPermissionDenied: a slot is another server's; kInvalidArgument: a slot is let beyond what it
// would have now.
// `bond_max`: what it puts up of its balance as a bond at most (receipts.h); 0: an hour of its slots' prices.
Result<Decision> DecideRegistration(const Book& book, const std::string& server, ServerRecord record,
                                    std::vector<SlotRecord> slots, std::int64_t bond_max = 0);

// `admin`: may drain any slot; else only those of `server`.
Result<Decision> DecideDrain(const Book& book, const std::string& server, bool admin,
                             const std::vector<std::string>& slots, bool drain);

// kInvalidArgument unless positive; a repeated operation writes nothing.
Result<Decision> DecideDeposit(const Book& book, const std::string& identity, const std::string& operation,
                               std::int64_t amount);
// The first credits of an identity without an account; nothing to write if it has one.
Decision DecideWelcome(const Book& book, const std::string& identity, std::int64_t amount);

Decision DecideTrust(const Book& book, const std::string& identity, IdentityRecord record);

// One step of each class's price that has slots.
Decision DecidePrices(const Book& book, const PriceRules& rules, std::int64_t step_ms, const Moment& moment);
// What an identity has of budgets and floors; `named`: as it is known. kLimitExceeded: all floors of a class come to
// more than its devices, or too many have a part of budgets.
inline constexpr std::size_t kBudgetsMax = 100;
Result<Decision> DecideShares(const Book& book, const std::string& identity, IdentityRecord named);

// Deletes ended leases that nobody asks for any more, withdrawn slots without leases (a bond goes back with the last
// one), and prices of classes that are no
// more; at most `most` records.
Decision DecideForgetting(const Book& book, const Moment& moment, std::size_t most);

}  // namespace accelmesh::market
