#include "tools/agent/check_won.h"

#include <algorithm>

#include "protocol/security/lease_token.h"
#include "scheduler/core/quantity.h"

namespace accelmesh::agent {
namespace {

__extension__ using Wide = __int128;

Status Wrong(const std::string& what) {
  return {Code::kPermissionDenied, "CheckWon", "the market grants something else than was asked for: " + what};
}

Status CheckToken(const Won& won, const Asked& asked) {
  security::LeaseCheck check;
  check.markets = {&asked.market, 1};
  check.server = won.server;
  check.client_key = asked.holder;
  // Whether it has begun and not ended is for the server's clock to say.
  check.now_ms = won.not_after_ms - 1;
  const Result<security::Lease> lease = security::VerifyLease(won.token, check);
  if (!lease.ok()) return Wrong("the token of lease " + won.lease + " does not count: " + lease.status().text());
  const char* differs = lease->grant.lease != won.lease                 ? "lease"
                        : lease->grant.slot != won.slot                 ? "slot"
                        : lease->terms.share_milli != won.share_milli   ? "share"
                        : lease->terms.memory_bytes != won.memory_bytes ? "memory"
                        : lease->terms.not_after_ms != won.not_after_ms ? "end"
                                                                        : nullptr;
  if (differs != nullptr) return Wrong("the token of lease " + won.lease + " has another " + differs + " than it says");
  return {};
}

// Who answers at the endpoints must be the server that the lease is of.
Status CheckServer(const Won& won) {
  if (won.endpoints.empty()) return {};
  security::PublicKey identity;
  ACCELMESH_RETURN_IF_ERROR(security::ParseHex(won.server, identity.bytes));
  const Result<security::CurveKey> key = security::CurveKeyOf(identity);
  if (key.ok() && *key == won.server_key) return {};
  return Wrong("the key for lease " + won.lease + " is not that of its gpu-server");
}

}  // namespace

Asked AskedBy(const Order& order, const security::PublicKey& market) {
  Asked asked;
  asked.market = market;
  asked.holder = order.holder_key;
  asked.memory_bytes = order.request.memory_bytes;
  if (!order.auction) {
    asked.leases = order.request.count;
    asked.price_microcredits_per_hour = order.price_max_microcredits_per_hour;
    return asked;
  }
  const Auction& auction = *order.auction;
  if (auction.bundles.empty()) {
    asked.leases = 1;
    asked.share_milli = auction.share_milli;
    asked.price_microcredits_per_hour = static_cast<std::int64_t>(
        (Wide{auction.price_microcredits_per_hour} * auction.share_milli + scheduler::kWholeMilli - 1) /
        scheduler::kWholeMilli);
    return asked;
  }
  for (const GangOfKind& gang : auction.bundles) {
    asked.price_microcredits_per_hour = std::max(asked.price_microcredits_per_hour, gang.value_microcredits_per_hour);
  }
  return asked;
}

Status CheckWon(const std::vector<Won>& won, const Asked& asked) {
  if (asked.leases != 0 && won.size() != asked.leases) {
    return Wrong(std::to_string(won.size()) + " leases of " + std::to_string(asked.leases));
  }
  Wide price = 0;
  std::uint64_t share = 0;
  for (const Won& one : won) {
    ACCELMESH_RETURN_IF_ERROR(CheckToken(one, asked));
    ACCELMESH_RETURN_IF_ERROR(CheckServer(one));
    if (one.memory_bytes < asked.memory_bytes) {
      return Wrong("lease " + one.lease + " has " + scheduler::ReadableBytes(one.memory_bytes) + " of " +
                   scheduler::ReadableBytes(asked.memory_bytes));
    }
    price += std::max<std::int64_t>(0, one.price_microcredits_per_hour);
    share += one.share_milli;
  }
  if (share < asked.share_milli) {
    return Wrong(std::to_string(share) + " thousandths of " + std::to_string(asked.share_milli));
  }
  if (asked.price_microcredits_per_hour > 0 && price > asked.price_microcredits_per_hour) {
    return Wrong("it costs " + scheduler::CreditsText(static_cast<std::int64_t>(price)) + " credits an hour, at most " +
                 scheduler::CreditsText(asked.price_microcredits_per_hour) + " was allowed");
  }
  return {};
}

}  // namespace accelmesh::agent
