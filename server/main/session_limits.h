// How many sessions a lease may have at a server that has room for kSessionsMax: each is a process, and one holder of a
// thousandth of a slot must not keep everybody else out.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>

#include "protocol/base/limits.h"
#include "protocol/base/result.h"

namespace accelmesh {

// A program of several processes has several sessions, however small its share is.
inline constexpr std::uint32_t kSessionsOfAnyLease = 8;
// Kept for leases that have no session yet.
inline constexpr std::uint32_t kSessionsKept = limits::kSessionsMax / 4;

// Whether one more may begin, of a lease with this share that has `of_lease` of the server's `all` sessions. Without a
// lease: share_milli 0, and only the server's own limit counts.
[[nodiscard]] inline Status CheckSessions(std::uint32_t all, std::uint32_t of_lease, std::uint32_t share_milli) {
  constexpr const char* kWhere = "supervisor";
  if (all >= limits::kSessionsMax) return {Code::kFull, kWhere, "the server has as many sessions as it may"};
  if (share_milli == 0) return {};
  const std::uint32_t most = std::max(
      kSessionsOfAnyLease, static_cast<std::uint32_t>(std::uint64_t{limits::kSessionsMax} * share_milli / 1000));
  if (of_lease >= most) {
    return {Code::kFull, kWhere,
            "the lease has " + std::to_string(of_lease) +
                " sessions already, as many as its share may have; end one, or "
                "lease a larger share"};
  }
  if (of_lease > 0 && all >= limits::kSessionsMax - kSessionsKept) {
    return {Code::kFull, kWhere,
            "the server's last sessions are kept for leases that have none yet, and this one has " +
                std::to_string(of_lease)};
  }
  return {};
}

}  // namespace accelmesh
