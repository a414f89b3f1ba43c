#include "tools/agent/core/renewal.h"

#include <algorithm>

namespace accelmesh::agent {
namespace {

constexpr std::int64_t kPauseMsLeast = 250;
constexpr std::int64_t kPauseMsMost = 10'000;
constexpr std::int64_t kPauseMsFinest = 20;

// Uniform over [low, high], which are not far apart.
std::int64_t Between(std::int64_t low, std::int64_t high, std::uint64_t draw) {
  if (high <= low) return low;
  return low + static_cast<std::int64_t>(draw % static_cast<std::uint64_t>(high - low + 1));
}

}  // namespace

std::int64_t FirstRenewalMs(const LeaseTime& lease, std::uint64_t draw) {
  const std::int64_t life_ms = std::max<std::int64_t>(0, lease.not_after_ms - lease.granted_ms);
  return Between(lease.granted_ms + life_ms / 3, lease.granted_ms + life_ms * 2 / 3, draw);
}

std::int64_t NextRenewalMs(const LeaseTime& lease, std::int64_t now_ms, std::uint32_t failures, std::uint64_t draw) {
  const std::int64_t left_ms = lease.not_after_ms - now_ms;
  if (left_ms <= 0) return -1;
  std::int64_t pause_ms = kPauseMsMost;
  if (failures < 16) pause_ms = std::min(kPauseMsMost, kPauseMsLeast << (failures == 0 ? 0 : failures - 1));
  pause_ms = Between(pause_ms / 2, pause_ms, draw);
  // Short leases are asked for more often: half of what is left, but no finer than makes sense.
  pause_ms = std::min(pause_ms, std::max(kPauseMsFinest, left_ms / 2));
  return std::min(now_ms + pause_ms, lease.not_after_ms);
}

}  // namespace accelmesh::agent
