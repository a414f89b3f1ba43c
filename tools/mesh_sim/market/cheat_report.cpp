#include "tools/mesh_sim/market/cheat_report.h"

#include <cmath>
#include <cstdio>
#include <map>
#include <mutex>
#include <nlohmann/json.hpp>

#include "tools/mesh_sim/market/bars.h"
#include "tools/mesh_sim/market/cheaters.h"
#include "tools/mesh_sim/market/parallel.h"
#include "tools/mesh_sim/placement.h"

namespace accelmesh::sim {
namespace {

// What is kept of a seed: each cheat's gain, and how far stops cascade among the honest.
struct SeedResult {
  std::map<std::string, double> gains;
  double resold = 0, resales = 0, chain = 0, budget_error = 0, epochs = 0;
};

constexpr const char* kOneEpochNames[kOrderKinds] = {"one epoch: single devices, auction",
                                                     "one epoch: single devices, surrogate price", "one epoch: gangs",
                                                     "one epoch: single devices beside gangs"};

std::vector<std::string> GainNames() {
  std::vector<std::string> names;
  for (const CheatName& cheat : kCheats) names.emplace_back(cheat.name);
  for (const Cause& cause : kCauses) names.push_back("shade, " + std::string(cause.name));
  for (const char* name : kOneEpochNames) names.emplace_back(name);
  return names;
}

std::string JsonOfSeed(const SeedResult& result) {
  nlohmann::json json;
  json["gains"] = result.gains;
  json["resold_within_hour"] = result.resold;
  json["resales"] = result.resales;
  json["longest_chain"] = result.chain;
  json["budget_error"] = result.budget_error;
  json["epochs"] = result.epochs;
  return json.dump(1) + "\n";
}

bool ParseSeed(const std::string& text, SeedResult& result) {
  const nlohmann::json json = nlohmann::json::parse(text, nullptr, false);
  if (!json.is_object() || !json.contains("gains") || !json["gains"].is_object()) return false;
  for (const std::string& name : GainNames()) {
    const auto gain = json["gains"].find(name);
    if (gain == json["gains"].end() || !gain->is_number()) return false;
    result.gains[name] = gain->get<double>();
  }
  for (const auto& [name, field] :
       {std::pair("resold_within_hour", &SeedResult::resold), std::pair("resales", &SeedResult::resales),
        std::pair("longest_chain", &SeedResult::chain), std::pair("budget_error", &SeedResult::budget_error),
        std::pair("epochs", &SeedResult::epochs)}) {
    const auto value = json.find(name);
    if (value == json.end() || !value->is_number()) return false;
    result.*field = value->get<double>();
  }
  return true;
}

Result<SeedResult> RunSeed(const JobWorkload& whole, std::uint64_t seed) {
  const JobWorkload workload = CheatWorkload(whole, seed);
  ACCELMESH_ASSIGN_OR_RETURN(const CheatRun honest, RunCheat(workload, Cheat::kHonest, {}, seed));
  SeedResult result;
  result.resold = static_cast<double>(honest.resold_within_hour);
  result.resales = static_cast<double>(honest.resales);
  result.chain = honest.longest_chain;
  result.budget_error = static_cast<double>(honest.budget_error);
  result.epochs = static_cast<double>(honest.epochs);
  const auto add = [&](const std::string& name, Cheat cheat, const CheatRun& less, const CheatRun& run) {
    result.budget_error = std::max(result.budget_error, static_cast<double>(run.budget_error));
    result.epochs += static_cast<double>(run.epochs);
    double before = 0;
    double gain = 0;
    for (const std::size_t i : CheatersOf(workload, cheat, seed)) {
      before += less.utility[i];
      gain += run.utility[i] - less.utility[i];
    }
    result.gains[name] = gain / std::max(std::abs(before), 1e-9);
  };
  for (const CheatName& cheat : kCheats) {
    ACCELMESH_ASSIGN_OR_RETURN(const CheatRun run, RunCheat(workload, cheat.cheat, {}, seed));
    add(std::string(cheat.name), cheat.cheat, honest, run);
  }
  for (const Cause& cause : kCauses) {
    MarketRules rules;
    CheatRun less = honest;
    if (cause.eligible_trades_min > 0) rules.auction.eligible_trades_min = cause.eligible_trades_min;
    if (cause.patience_runtimes >= 0) rules.patience_runtimes = cause.patience_runtimes;
    if (cause.eligible_trades_min > 0 || cause.patience_runtimes >= 0) {
      ACCELMESH_ASSIGN_OR_RETURN(less, RunCheat(workload, Cheat::kHonest, {}, seed, rules));
    }
    ACCELMESH_ASSIGN_OR_RETURN(const CheatRun run, RunCheat(workload, cause.cheat, {}, seed, rules));
    add("shade, " + std::string(cause.name), cause.cheat, less, run);
  }
  for (std::size_t kind = 0; kind < kOrderKinds; ++kind) {
    result.gains[kOneEpochNames[kind]] = honest.one_epoch_change[kind] / std::max(honest.one_epoch_honest, 1e-9);
  }
  return result;
}

}  // namespace

Result<std::string> RunCheaters(const JobWorkload& workload, std::uint64_t seeds, unsigned threads,
                                const std::string& folder, const Progress& progress) {
  ACCELMESH_RETURN_IF_ERROR(ClaimFolder(folder, workload));
  std::vector<SeedResult> results(seeds);
  std::mutex mutex;
  std::size_t done = 0;
  const Status status = Parallel(seeds, threads, [&](std::size_t i) -> Status {
    const std::string file = "cheats-" + std::to_string(i + 1) + ".json";
    const std::string path = folder + "/runs/" + file;
    if (!ParseSeed(ReadAll(path), results[i])) {
      ACCELMESH_ASSIGN_OR_RETURN(results[i], RunSeed(workload, i + 1));
      ACCELMESH_RETURN_IF_ERROR(WriteWhole(path, JsonOfSeed(results[i])));
    }
    const std::lock_guard lock(mutex);
    if (progress) progress(++done, seeds, file);
    return Status::Ok();
  });
  ACCELMESH_RETURN_IF_ERROR(status);
  std::string text = "Gain of one tenant that deviates, % of what it has honestly; " + workload.name + ", " +
                     std::to_string(seeds) + " seeds, 95 % interval. Model " + std::to_string(kModelVersion) +
                     " (docs/sim-model.md).\n\n| script | gain, % | upper bound | least | most | says |\n"
                     "| --- | --- | --- | --- | --- | --- |\n";
  BarChart chart;
  chart.title = "Gain of cheaters, upper 95 % bound of the mean where it is above 0";
  chart.y_title = "% of honest utility";
  for (const CheatName& cheat : kCheats) {
    std::vector<double> gains;
    for (const SeedResult& result : results) gains.push_back(result.gains.at(std::string(cheat.name)) * 100);
    const Mean mean = MeanOf(gains);
    const double upper = mean.mean + mean.half_width;
    const auto [least, most] = std::minmax_element(gains.begin(), gains.end());
    char line[256];
    std::snprintf(line, sizeof(line), "| %s | %.2f ± %.2f | %.2f | %.1f | %.1f | %s |\n",
                  std::string(cheat.name).c_str(), mean.mean, mean.half_width, upper, *least, *most,
                  !cheat.is_bounded ? "published"
                  : upper <= 1      ? "1 % or less: holds"
                                    : "1 % or less: MISSED");
    text += line;
    chart.groups.emplace_back(cheat.name);
    chart.bars.push_back({{std::max(0.0, upper), 0}});
  }
  text +=
      "\n## Causes of what shading gains\n\nThe tenant that shades, of the same seeds. Parts of the script and other "
      "rules: % of "
      "honest utility under the same rules. One epoch, all else as it was: % of the surplus of all its orders.\n\n"
      "| what shades | gain, % | upper bound |\n| --- | --- | --- |\n";
  for (const std::string& name : GainNames()) {
    if (name.find("shade") != 0 && name.find("one epoch") != 0) continue;
    std::vector<double> gains;
    for (const SeedResult& result : results) gains.push_back(result.gains.at(name) * 100);
    const Mean mean = MeanOf(gains);
    char line[160];
    std::snprintf(line, sizeof(line), "| %s | %.2f ± %.2f | %.2f |\n", name == "shade" ? "everything" : name.c_str(),
                  mean.mean, mean.half_width, mean.mean + mean.half_width);
    text += line;
  }
  chart.names = {std::to_string(seeds) + " seeds"};
  FitAxis(chart);
  double resales = 0, resold = 0, chain = 0, error = 0, epochs = 0;
  for (const SeedResult& result : results) {
    resales += result.resales;
    resold += result.resold;
    chain = std::max(chain, result.chain);
    error = std::max(error, result.budget_error);
    epochs += result.epochs;
  }
  char line[256];
  std::snprintf(
      line, sizeof(line),
      "\nCascades among the honest: %.0f leases sold by holders, %.0f of them (%.1f %%) again within an hour; "
      "longest chain %.0f. Greatest budget error of %.0f epochs in all runs: %.0f microcredits.\n",
      resales, resold, resales > 0 ? resold / resales * 100 : 0, chain, epochs, error);
  text += line;
  ACCELMESH_RETURN_IF_ERROR(WriteWhole(folder + "/cheaters.svg", SvgOf(chart)));
  ACCELMESH_RETURN_IF_ERROR(WriteWhole(folder + "/cheaters.md", text));
  return text;
}

}  // namespace accelmesh::sim
