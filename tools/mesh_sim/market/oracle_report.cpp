#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <optional>

#include "tools/mesh_sim/market/cheat_report.h"
#include "tools/mesh_sim/market/oracle.h"
#include "tools/mesh_sim/placement.h"

namespace accelmesh::sim {
namespace {

constexpr Gpus kGpus = {4, 4, 8};
constexpr std::size_t kJobs = 200;
constexpr double kLoad = 1.2;
constexpr double kSecondsMax = 120;
constexpr std::uint32_t kTimes[] = {1, 4, 10, 20};  // of the smallest epoch

std::string Row(const std::string& name, const std::vector<double>& values) {
  if (values.empty()) return "| " + name + " | 0 | - | - |\n";
  const Mean mean = MeanOf(values);
  char text[160];
  std::snprintf(text, sizeof(text), "| %s | %zu | %.4f ± %.4f | %.4f |\n", name.c_str(), values.size(), mean.mean,
                mean.half_width, *std::min_element(values.begin(), values.end()));
  return text;
}

// What is kept of one epoch.
struct Ratio {
  double value = 0, found = 0, bound = 0;
  std::uint32_t thick = 0, bid = 0;
};

std::string TextOf(const Ratio& ratio) {
  const nlohmann::json json = {{"value", ratio.value},
                               {"found", ratio.found},
                               {"bound", ratio.bound},
                               {"thick_classes", ratio.thick},
                               {"classes_bid", ratio.bid}};
  return json.dump(1) + "\n";
}

std::optional<Ratio> RatioOf(const std::string& text) {
  const nlohmann::json json = nlohmann::json::parse(text, nullptr, false);
  if (!json.is_object()) return std::nullopt;
  for (const char* name : {"value", "found", "bound", "thick_classes", "classes_bid"}) {
    if (!json.contains(name) || !json[name].is_number()) return std::nullopt;
  }
  return Ratio{json["value"], json["found"], json["bound"], json["thick_classes"], json["classes_bid"]};
}

// One file an epoch, so that a stopped run goes on.
Result<std::string> EpochsText(const JobWorkload& workload, std::uint64_t epochs, const std::string& folder,
                               const Progress& progress) {
  std::string text;
  const std::size_t all = std::size(kTimes) * 2 * epochs;
  std::size_t done = 0;
  std::vector<double> all_thick;
  for (const bool has_gangs : {true, false}) {
    text += std::string("\n## One epoch, ") + (has_gangs ? "gangs and single devices" : "single devices only") +
            ": value rate / best\n\n20 to 200 bidders for each 40 GPUs, half of which are let.\n\n"
            "| GPUs, ten eligible trades or more in | cases | ratio | least |\n| --- | --- | --- | --- |\n";
    std::size_t unproven = 0, left_out = 0;
    double widest = 0;
    for (const std::uint32_t times : kTimes) {
      std::vector<double> thick, some, thin;
      for (std::uint64_t i = 1; i <= epochs; ++i) {
        const std::string name =
            "epoch-" + std::to_string(times) + (has_gangs ? "-gangs-" : "-single-") + std::to_string(i) + ".json";
        std::optional<Ratio> ratio = RatioOf(ReadAll(folder + "/runs/" + name));
        if (!ratio) {
          const Result<EpochCase> one = RunEpochCase(workload, {}, i, {times, has_gangs});
          if (!one.ok() && one.status().code() != Code::kUnavailable) return one.status();
          ratio = one.ok() ? Ratio{one->value, one->best.value, one->best.bound, one->thick_classes, one->classes_bid}
                           : Ratio{};
          ACCELMESH_RETURN_IF_ERROR(WriteWhole(folder + "/runs/" + name, TextOf(*ratio)));
        }
        if (progress) progress(++done, all, name);
        if (ratio->bound <= 0) {
          ++left_out;
          continue;
        }
        if (ratio->found < ratio->bound * (1 - 1e-9)) {
          ++unproven;
          widest = std::max(widest, 1 - ratio->found / ratio->bound);
        }
        const bool is_thick = ratio->thick > 0 && ratio->thick == ratio->bid;
        (ratio->thick == 0 ? thin : is_thick ? thick : some).push_back(ratio->value / ratio->bound);
        if (is_thick && has_gangs) all_thick.push_back(ratio->value / ratio->bound);
      }
      const std::string gpus = std::to_string(40 * times) + ", ";
      text += Row(gpus + "every class that is bid on", thick) + Row(gpus + "some", some) + Row(gpus + "none", thin);
    }
    char line[200];
    std::snprintf(
        line, sizeof(line),
        "\nNot proven best in 20 s, so that CBC's bound counts as the best: %zu, at most %.3f %% apart. Without any "
        "solution and left out: %zu.\n",
        unproven, widest * 100, left_out);
    text += line;
  }
  char line[200];
  const Mean mean = all_thick.empty() ? Mean{} : MeanOf(all_thick);
  std::snprintf(
      line, sizeof(line),
      "\nWith gangs, ten eligible trades or more in every class that is bid on: %.4f ± %.4f of the best in %zu "
      "epochs; 0.90 is wanted: %s.\n",
      mean.mean, mean.half_width, all_thick.size(),
      all_thick.empty()                    ? "NOT MEASURED"
      : mean.mean - mean.half_width >= 0.9 ? "holds"
                                           : "MISSED");
  return text + line;
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
  ACCELMESH_ASSIGN_OR_RETURN(const std::string of_epochs, EpochsText(workload, epochs, folder, progress));
  text += of_epochs;
  ACCELMESH_RETURN_IF_ERROR(WriteWhole(folder + "/oracle.md", text));
  return text;
}

}  // namespace accelmesh::sim
