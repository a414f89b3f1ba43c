// The best that could be done, by integer programs (CBC): whole runs by somebody who knows the future, and one epoch by
// somebody who knows all values. Small cases only.
//
// Threads: one at a time; CBC is not told of others.
#pragma once

#include <cstdint>
#include <vector>

#include "protocol/base/result.h"
#include "tools/mesh_sim/market/jobs.h"

namespace accelmesh::sim {

// No policy ends jobs of more value in time than this. Jobs without deadline count whole: they can always run later. Of
// those with one, a set whose work fits into the time between each two arrivals or deadlines, with free preemption and
// moving. kUnavailable if CBC does not prove it within `seconds_max`.
Result<double> BestValue(const std::vector<Job>& jobs, const Gpus& gpus, double seconds_max);

// One who can hold units of one of the classes; 0: does not want that class.
struct Claimant {
  std::int64_t units_milli = 0;
  ByClass value_rate{};  // credits an hour, of all its units together
};
// What CBC found, and what nothing can exceed; the same where it proved that.
struct Best {
  double value = 0;
  double bound = 0;
  bool is_proven = false;
};
// The greatest sum of value rates of claimants who each hold their units in one class, or nothing.
Result<Best> BestHolders(const std::vector<Claimant>& claimants, const Gpus& gpus, double seconds_max);

// One epoch of docs/sim-model.md, Oracle ratios (b): what ClearEpoch makes of it and the best.
struct EpochCase {
  std::size_t bidders = 0;
  std::uint32_t thick_classes = 0;  // with ten eligible trades or more
  std::uint32_t classes_bid = 0;    // that anybody bids on in lane B
  double value = 0;
  Best best;
};
// `times` the devices and bidders of the smallest case, which has 40 and 20 to 200; gangs bid too, or nobody has one.
struct EpochSize {
  std::uint32_t times = 1;
  bool has_gangs = true;
};
inline constexpr Gpus kCaseGpus = {10, 10, 20};
Result<EpochCase> RunEpochCase(const JobWorkload& workload, const ValueRules& rules, std::uint64_t seed,
                               const EpochSize& size);

}  // namespace accelmesh::sim
