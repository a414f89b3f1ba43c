// Many runs and what they say together: a plan of (policy, devices, seed), one file a result, so that a run that was
// killed goes on where it was; tables and figures from the files.
//
// Threads: RunPlan() starts as many as it is told and joins them; the rest are functions on values.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <tuple>
#include <vector>

#include "tools/mesh_sim/market/runs.h"

namespace accelmesh::sim {

// Of docs/sim-model.md. A folder with results of another number is not added to.
inline constexpr int kModelVersion = 3;

struct Variant {
  std::string name;  // in file names and tables
  ValueRules values;
};

struct Plan {
  std::vector<std::string> policies;
  std::vector<std::uint32_t> loads;  // GPUs in all
  std::vector<Variant> variants;
  std::uint64_t seeds = 30;
  unsigned threads = 2;
};

struct ResultKey {
  std::string variant;
  std::uint32_t gpus = 0;
  std::string policy;
  std::uint64_t seed = 0;
  auto Tie() const { return std::tie(variant, gpus, policy, seed); }
  bool operator<(const ResultKey& other) const { return Tie() < other.Tie(); }
};
using Results = std::map<ResultKey, Measures>;

// Runs what has no file in `folder` yet and reads what has. `progress` hears how many of how many are there, from one
// thread at a time. kInvalidArgument if the folder holds results of another model or workload.
using Progress = std::function<void(std::size_t done, std::size_t all, const std::string& last)>;
Result<Results> RunPlan(const Plan& plan, const JobWorkload& workload, const std::string& folder,
                        const Progress& progress);

// Makes the folder, for results of this model and workload only; kInvalidArgument if it has others.
Status ClaimFolder(const std::string& folder, const JobWorkload& workload);
// Empty if it cannot be read.
std::string ReadAll(const std::string& path);
// Writes `bytes` so that the file is there whole or not at all.
Status WriteWhole(const std::string& path, const std::string& bytes);

// Tables in Markdown: each policy at each load, and the market less quota + lending, seed by seed.
std::string ReportOf(const Plan& plan, const JobWorkload& workload, const Results& results);
// One line a result.
std::string CsvOf(const Results& results);
// Figures: file name without ending, and SVG.
std::vector<std::pair<std::string, std::string>> FiguresOf(const Plan& plan, const JobWorkload& workload,
                                                           const Results& results);

}  // namespace accelmesh::sim
