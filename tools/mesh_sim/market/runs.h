// One run: a workload, a policy, devices and a seed in; measures out.
//
// Threads: runs share nothing but the workload, which they only read.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "tools/mesh_sim/market/jobs.h"
#include "tools/mesh_sim/market/market_policy.h"
#include "tools/mesh_sim/market/measures.h"

namespace accelmesh::sim {

// In the order in which tables have them.
inline constexpr std::string_view kPolicies[] = {
    "static", "fifo", "drf", "lending", "lending-reclaim", "max-min", "first-price", "market-at-once", "market"};

// K80:P100:V100 = 1:1:2; all of the last class for a workload with one class.
Gpus GpusOf(const JobWorkload& workload, std::uint32_t count);

// "philly", "openb" (of `traces`), "twin", "openb-twin"; empty: philly if `traces` is given, else twin.
Result<JobWorkload> LoadWorkload(const std::string& name, const std::string& traces);

struct RunSetup {
  std::string policy;
  Gpus gpus{};
  ValueRules values;
  std::uint64_t seed = 1;
  MarketRules market;
};

// kInternal if money was made or lost in any epoch, a clearing was not what its rules say, or the market forgot a job.
Status CheckFigures(const MarketFigures& figures);

// kInvalidArgument for a policy of another name, or jobs that no class can ever hold. Each market's run is checked by
// CheckFigures().
Result<Measures> RunOne(const JobWorkload& workload, const RunSetup& setup);

}  // namespace accelmesh::sim
