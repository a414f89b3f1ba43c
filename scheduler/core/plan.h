// From a functional request and a snapshot of slots to the slots that it gets, or to why it gets none.
//
// Pure: the same request, snapshot and workload give the same plan. Nothing is taken; whoever grants checks again.
// Threads: functions on values.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "protocol/base/result.h"
#include "scheduler/core/fragmentation.h"
#include "scheduler/core/match.h"

namespace accelmesh::scheduler {

// What decides among slots that all would do.
enum class Preference : std::uint8_t {
  kFragmentation,  // the least growth of what the usual workload cannot use; then price
  kPrice,          // the cheapest; then the least fragmentation
};

struct Plan {
  std::vector<Candidate> assignments;  // `count` of them, of different slots; empty if it cannot be
  std::vector<Candidate> others;       // would have done as well
  std::vector<Rejection> rejections;   // slots that would not
  std::vector<Gap> gaps;               // why there is no plan though single slots would do: count, topology
};

// kInvalidArgument if the request does not hold (Validate). `workload` is what requests usually are, in shares and
// memory of devices (Demand.share_milli, device_memory_mib, devices = 1).
Result<Plan> MakePlan(const FunctionalRequest& request, std::span<const Slot> slots, const Fragmentation& workload,
                      Preference preference);
// The same of slots that lie anywhere, with the best `others_max` of `others` only.
Result<Plan> MakePlan(const FunctionalRequest& request, std::span<const Slot* const> slots,
                      const Fragmentation& workload, Preference preference, std::size_t others_max);

}  // namespace accelmesh::scheduler
