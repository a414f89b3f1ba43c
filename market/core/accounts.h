// Money: integer microcredits that no function makes or loses. What a tenant has is its balance and what is held in
// escrow for its leases; the used part of a lease goes to the provider, the rest comes back.
//
// Pure. Threads: functions on values.
#pragma once

#include "market/core/records.h"
#include "protocol/base/result.h"

namespace accelmesh::market {

// No account may hold more, so that no sum overflows.
inline constexpr std::int64_t kCreditsMax = 9'000'000'000'000'000'000 / 2;
inline constexpr std::int64_t kPriceMax = 1'000'000'000'000'000;  // a thousand million credits an hour

// What `ms` at `price_per_hour` cost, rounded up; never past kCreditsMax.
std::int64_t CostOf(std::int64_t price_per_hour, std::int64_t ms);
// What a share of a whole device's price is, rounded up.
std::int64_t ShareOf(std::int64_t price_per_hour, std::uint32_t share_milli);

// kLimitExceeded past kCreditsMax; kInvalidArgument unless positive.
Status Deposit(AccountRecord& account, std::int64_t amount);
// From the balance into escrow, for the time from lease.paid_until_ms to lease.not_after_ms at the lease's price.
// kLimitExceeded with what is missing.
Status Hold(AccountRecord& tenant, LeaseRecord& lease);
// Pays the provider for the time up to `until_ms` (at most the lease's end). `tenant` and `provider` may be one
// account.
void Pay(AccountRecord& tenant, AccountRecord& provider, LeaseRecord& lease, std::int64_t until_ms);
// The rest of the escrow goes back.
void Refund(AccountRecord& tenant, LeaseRecord& lease);

}  // namespace accelmesh::market
