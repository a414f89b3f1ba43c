#include <algorithm>
#include <cstdio>

#include "tools/mesh_sim/market/cheat_report.h"
#include "tools/mesh_sim/market/oracle.h"
#include "tools/mesh_sim/placement.h"

namespace accelmesh::sim {
namespace {

constexpr Gpus kGpus = {4, 4, 8};
constexpr std::size_t kJobs = 200;
constexpr double kLoad = 1.2;
constexpr double kSecondsMax = 120;

std::string Row(const std::string& name, const std::vector<double>& values) {
  if (values.empty()) return "| " + name + " | 0 | - | - |\n";
  const Mean mean = MeanOf(values);
  char text[160];
  std::snprintf(text, sizeof(text), "| %s | %zu | %.4f ± %.4f | %.4f |\n", name.c_str(), values.size(), mean.mean,
                mean.half_width, *std::min_element(values.begin(), values.end()));
  return text;
}

}  // namespace

// CBC is run by one thread only: its C interface says nothing of several.
Result<std::string> RunOracle(const JobWorkload& workload, std::uint64_t seeds, std::uint64_t epochs,
                              const std::string& folder, const Progress& progress) {
  ACCELMESH_RETURN_IF_ERROR(ClaimFolder(folder, workload));
  std::vector<std::vector<double>> ratios(std::size(kPolicies));
  std::vector<std::vector<double>> deadline_ratios(std::size(kPolicies));
  std::size_t unproven = 0;
  for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
    const JobWorkload sample = Sample(workload, kJobs, kGpus, kLoad, seed);
    const std::vector<Job> jobs = Draw(sample, {}, seed);
    double all = 0;
    double with = 0;
    for (const Job& job : jobs) {
      all += job.value;
      if (job.deadline_ms != kNever) with += job.value;
    }
    const Result<double> best = BestValue(jobs, kGpus, kSecondsMax);
    if (!best.ok()) {
      if (best.status().code() != Code::kUnavailable) return best.status();
      ++unproven;
      continue;
    }
    for (std::size_t i = 1; i < std::size(kPolicies); ++i) {  // not static: too few GPUs for a part of each tenant
      RunSetup setup;
      setup.policy = kPolicies[i];
      setup.gpus = kGpus;
      setup.seed = seed;
      ACCELMESH_ASSIGN_OR_RETURN(const Measures measures, RunOne(sample, setup));
      ratios[i].push_back(measures.welfare * all / *best);
      deadline_ratios[i].push_back(measures.welfare_deadline * with / (*best - (all - with)));
    }
    if (progress) progress(seed, seeds, "whole runs");
  }
  std::string text = "Workload " + workload.name + ". Model " + std::to_string(kModelVersion) +
                     " (docs/sim-model.md).\n\n## Whole runs: 200 jobs, 16 GPUs, welfare / best\n\n"
                     "| policy | cases | all jobs | least |\n| --- | --- | --- | --- |\n";
  for (std::size_t i = 1; i < std::size(kPolicies); ++i) text += Row(std::string(kPolicies[i]), ratios[i]);
  text += "\n| policy | cases | jobs with deadlines only | least |\n| --- | --- | --- | --- |\n";
  for (std::size_t i = 1; i < std::size(kPolicies); ++i) text += Row(std::string(kPolicies[i]), deadline_ratios[i]);
  text += "\nNot proven best in time and left out: " + std::to_string(unproven) + ".\n";
  std::vector<double> thick, some, thin;
  std::size_t left_out = 0;
  for (std::uint64_t i = 1; i <= epochs; ++i) {
    const Result<EpochCase> one = RunEpochCase(workload, {}, i);
    if (!one.ok()) {
      if (one.status().code() != Code::kUnavailable) return one.status();
      ++left_out;
      continue;
    }
    const double ratio = one->best > 0 ? one->value / one->best : 1;
    (one->thick_classes == 0 ? thin : one->thick_classes == one->classes_bid ? thick : some).push_back(ratio);
    if (progress) progress(i, epochs, "epochs");
  }
  text +=
      "\n## One epoch: 20 to 200 bidders, 40 GPUs half of which are let, value rate / best\n\n"
      "| ten eligible trades or more in | cases | ratio | least |\n| --- | --- | --- | --- |\n";
  text += Row("every class that is bid on", thick) + Row("some", some) + Row("none", thin);
  text += "\nNot proven best in time and left out: " + std::to_string(left_out) + ".\n";
  ACCELMESH_RETURN_IF_ERROR(WriteWhole(folder + "/oracle.md", text));
  return text;
}

}  // namespace accelmesh::sim
