// When a lease is renewed, and when again if that fails.
//
// In the middle third of its life, at a moment drawn by chance so that programs that began together do not renew
// together. While the market does not answer it is asked again, in growing pauses, until the lease ends; the program
// runs on meanwhile. Pure: time and chance are arguments. Threads: functions on values. Units: Unix milliseconds.
#pragma once

#include <cstdint>

namespace accelmesh::agent {

struct LeaseTime {
  std::int64_t granted_ms = 0;
  std::int64_t not_after_ms = 0;
};

// `draw` is uniform over 64 bits. Between 1/3 and 2/3 of the life; at once if it has been over for long.
std::int64_t FirstRenewalMs(const LeaseTime& lease, std::uint64_t draw);

// After `failures` attempts that failed, the last one at `now_ms`: 250 ms, doubled each time up to 10 s, times 1/2 to
// 1, and at most half of what is left of the lease. -1 once the lease has ended.
std::int64_t NextRenewalMs(const LeaseTime& lease, std::int64_t now_ms, std::uint32_t failures, std::uint64_t draw);

}  // namespace accelmesh::agent
