#include "market/core/accounts.h"

#include <algorithm>

#include "scheduler/core/quantity.h"

namespace accelmesh::market {
namespace {

constexpr std::int64_t kHourMs = 3'600'000;
__extension__ using Wide = __int128;

std::int64_t Up(Wide product, std::int64_t divisor) {
  return static_cast<std::int64_t>(std::min<Wide>((product + divisor - 1) / divisor, kCreditsMax));
}

}  // namespace

std::int64_t CostOf(std::int64_t price_per_hour, std::int64_t ms) {
  if (price_per_hour <= 0 || ms <= 0) return 0;
  return Up(Wide{price_per_hour} * ms, kHourMs);
}

std::int64_t ShareOf(std::int64_t price_per_hour, std::uint32_t share_milli) {
  if (price_per_hour <= 0) return 0;
  return Up(Wide{price_per_hour} * share_milli, scheduler::kWholeMilli);
}

Status Deposit(AccountRecord& account, std::int64_t amount) {
  if (amount <= 0) return {Code::kInvalidArgument, "market::Deposit", "a deposit is more than nothing"};
  // The provider's balance may grow by what others deposited, so the bound is on what is deposited in each account and
  // the sum is the book's to bound.
  if (amount > kCreditsMax - account.deposited || amount > kCreditsMax - account.balance) {
    return {Code::kLimitExceeded, "market::Deposit", "the account would hold more than it can count; deposit less"};
  }
  account.balance += amount;
  account.deposited += amount;
  return {};
}

Status Hold(AccountRecord& tenant, LeaseRecord& lease) {
  const std::int64_t cost = CostOf(lease.price_per_hour, lease.not_after_ms - lease.paid_until_ms);
  if (cost > tenant.balance) {
    return {Code::kLimitExceeded, "market::Hold",
            scheduler::CreditsText(tenant.balance) + " credits of " + scheduler::CreditsText(cost) +
                " that this lease costs; ask for less or for a shorter time, or have an admin deposit more (slotctl "
                "deposit NAME CREDITS)"};
  }
  tenant.balance -= cost;
  tenant.held += cost;
  lease.held += cost;
  return {};
}

void Pay(AccountRecord& tenant, AccountRecord& provider, LeaseRecord& lease, std::int64_t until_ms) {
  const std::int64_t until = std::min(until_ms, lease.not_after_ms);
  if (until <= lease.paid_until_ms) return;
  // At the end all of it is due: roundings on the way must leave nothing over.
  const std::int64_t due = until == lease.not_after_ms
                               ? lease.held
                               : std::min(lease.held, CostOf(lease.price_per_hour, until - lease.paid_until_ms));
  tenant.held -= due;
  provider.balance += due;
  lease.held -= due;
  lease.paid += due;
  lease.paid_until_ms = until;
}

void Refund(AccountRecord& tenant, LeaseRecord& lease) {
  tenant.held -= lease.held;
  tenant.balance += lease.held;
  lease.returned += lease.held;
  lease.held = 0;
}

}  // namespace accelmesh::market
