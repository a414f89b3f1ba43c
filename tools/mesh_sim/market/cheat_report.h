// Many seeds of cheaters.h and what they gain together; one file a seed, so that a stopped run goes on.
//
// Threads: RunCheaters() starts as many as it is told and joins them.
#pragma once

#include <string>

#include "tools/mesh_sim/market/compare.h"

namespace accelmesh::sim {

// Writes cheaters.md and cheaters.svg into `folder`; the table.
Result<std::string> RunCheaters(const JobWorkload& workload, std::uint64_t seeds, unsigned threads,
                                const std::string& folder, const Progress& progress);

// How near the market comes to the best there is, on whole small runs and on single epochs; writes oracle.md there.
Result<std::string> RunOracle(const JobWorkload& workload, std::uint64_t seeds, std::uint64_t epochs,
                              const std::string& folder, const Progress& progress);

}  // namespace accelmesh::sim
