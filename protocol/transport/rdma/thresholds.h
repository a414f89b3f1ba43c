// From which size on a body leaves pinned memory without a copy. Below it a copy of the body costs the caller less than
// waiting until the device has read it; both are measured when a session begins, because devices differ by a hundred
// times. What goes inline is the device's to say (LinkLimits).
//
// Threads: measuring, one, before the session is used; the rest is pure.
#pragma once

#include <string>

#include "protocol/transport/rdma/end.h"

namespace accelmesh::rdma {

// What writing costs, the least of some tries.
struct WriteCosts {
  static constexpr std::size_t kSmall = 4 * limits::kKiB;
  static constexpr std::size_t kLarge = 64 * limits::kKiB;
  Duration small{};  // until the device has read kSmall bytes
  Duration large{};  // and kLarge
  Duration copy{};   // kLarge by the processor
};

struct Thresholds {
  // A measurement that something disturbed must not send large bodies the long way.
  static constexpr std::size_t kLeast = 4 * limits::kKiB;
  static constexpr std::size_t kMost = 128 * limits::kKiB;
  std::size_t direct_bytes_min = 32 * limits::kKiB;
};

Thresholds ThresholdsOf(const WriteCosts& costs);
Result<WriteCosts> MeasureWrites(End& end, Deadline deadline);
// For the log.
std::string Describe(const WriteCosts& costs, const Thresholds& thresholds);

}  // namespace accelmesh::rdma
