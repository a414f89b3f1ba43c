// mesh-sim: the scheduler's own code on traces and on their generated twins.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <fstream>

#include "tools/mesh_sim/market/commands.h"
#include "tools/mesh_sim/placement.h"
#include "tools/mesh_sim/plot.h"

namespace accelmesh::sim {
namespace {

using scheduler::PlacementPolicy;

struct Options {
  std::string traces;
  std::string json;
  std::string plot;
  double asked = 1.3;
  std::uint64_t seeds = 10;
  std::uint64_t seed = 1;
};

struct Outcome {
  PlacementPolicy policy;
  Mean allocated;
  Mean decisions_per_s;
  double decisions_per_s_least = 0;
  std::uint64_t decisions = 0;
  std::vector<Point> course;  // of the first seed
};

bool Write(const std::string& path, const std::string& text) {
  std::ofstream file(path);
  file << text;
  file.close();
  if (!file) std::fprintf(stderr, "mesh-sim: %s cannot be written; name another file\n", path.c_str());
  return static_cast<bool>(file);
}

std::string JsonOf(const Options& options, const Workload& workload, std::size_t devices,
                   const std::vector<Outcome>& outcomes) {
  char text[512];
  std::snprintf(text, sizeof(text),
                "{\"workload\": \"%s\", \"hosts\": %zu, \"devices\": %zu, \"asked\": %.3f, \"seeds\": %llu, "
                "\"first_seed\": %llu, "
                "\"policies\": [",
                workload.name.c_str(), workload.hosts.size(), devices, options.asked,
                static_cast<unsigned long long>(options.seeds), static_cast<unsigned long long>(options.seed));
  std::string json = text;
  for (const Outcome& outcome : outcomes) {
    std::snprintf(text, sizeof(text),
                  "%s{\"policy\": \"%s\", \"decisions\": %llu, \"allocated_percent\": %.3f, "
                  "\"allocated_percent_half_width\": %.3f, "
                  "\"decisions_per_s\": %.0f, \"decisions_per_s_least\": %.0f}",
                  &outcome == outcomes.data() ? "" : ", ", std::string(Name(outcome.policy)).c_str(),
                  static_cast<unsigned long long>(outcome.decisions), outcome.allocated.mean * 100,
                  outcome.allocated.half_width * 100, outcome.decisions_per_s.mean, outcome.decisions_per_s_least);
    json += text;
  }
  return json + "]}\n";
}

int RunPlacements(const Options& options) {
  Result<Workload> workload =
      options.traces.empty() ? Result<Workload>(MakeTwin(options.seed)) : ReadOpenb(options.traces);
  if (!workload.ok()) {
    std::fprintf(stderr, "mesh-sim: %s\n", workload.status().text().c_str());
    return 1;
  }
  std::size_t devices = 0;
  for (const scheduler::Host& host : workload->hosts) devices += host.device_count;
  std::printf("%s: %zu hosts, %zu devices, %zu tasks to draw from; %.0f %% asked, %llu seeds from %llu\n\n",
              workload->name.c_str(), workload->hosts.size(), devices, workload->tasks.size(), options.asked * 100,
              static_cast<unsigned long long>(options.seeds), static_cast<unsigned long long>(options.seed));
  std::printf("%-14s %22s %14s %14s\n", "policy", "allocated, % (95 %)", "decisions/s", "slowest run");
  std::vector<Outcome> outcomes;
  for (const PlacementPolicy policy : {PlacementPolicy::kFragmentation, PlacementPolicy::kBestFit,
                                       PlacementPolicy::kWorstFit, PlacementPolicy::kRandom}) {
    Outcome outcome{policy, {}, {}, 0, 0, {}};
    std::vector<double> allocated;
    std::vector<double> rates;
    for (std::uint64_t i = 0; i < options.seeds; ++i) {
      const Result<PlacementRun> run = RunPlacement(*workload, policy, options.asked, options.seed + i);
      if (!run.ok()) {
        std::fprintf(stderr, "mesh-sim: %s\n", run.status().text().c_str());
        return 1;
      }
      allocated.push_back(run->allocated);
      rates.push_back(static_cast<double>(run->decisions) / run->seconds);
      outcome.decisions += run->decisions;
      if (i == 0) outcome.course = run->course;
    }
    outcome.allocated = MeanOf(allocated);
    outcome.decisions_per_s = MeanOf(rates);
    outcome.decisions_per_s_least = *std::min_element(rates.begin(), rates.end());
    std::printf("%-14s %12.2f +- %6.2f %14.0f %14.0f\n", std::string(Name(policy)).c_str(),
                outcome.allocated.mean * 100, outcome.allocated.half_width * 100, outcome.decisions_per_s.mean,
                outcome.decisions_per_s_least);
    std::fflush(stdout);
    outcomes.push_back(std::move(outcome));
  }
  if (!options.json.empty() && !Write(options.json, JsonOf(options, *workload, devices, outcomes))) return 1;
  if (options.plot.empty()) return 0;
  Chart chart;
  chart.title = "Placement on " + workload->name + ", " + std::to_string(devices) + " devices, one seed";
  chart.x_title = "asked, % of all devices";
  chart.y_title = "allocated, % of all devices";
  chart.x_min = 80;
  chart.x_max = std::max(90.0, options.asked * 100);
  chart.x_step = 10;
  chart.y_min = 80;
  chart.y_max = 100;
  chart.y_step = 2;
  for (const Outcome& outcome : outcomes) {
    Line line{std::string(Name(outcome.policy)), {}};
    for (const Point& point : outcome.course) line.points.emplace_back(point.asked * 100, point.allocated * 100);
    chart.lines.push_back(std::move(line));
  }
  return Write(options.plot, SvgOf(chart)) ? 0 : 1;
}

int Main(int argc, char** argv) {
  CLI::App app{"mesh-sim: what the scheduler decides on traces and on their generated twins\n"};
  app.set_version_flag("--version", std::string("mesh-sim ") + ACCELMESH_VERSION);
  app.require_subcommand(1);
  Options options;
  CLI::App* const placement = app.add_subcommand(
      "placement",
      "place tasks until they have asked for more than there is, with each policy; print what was allocated");
  placement->add_option("--traces", options.traces,
                        "folder with openb's two lists (.csv or .csv.xz); left out: the generated twin");
  placement->add_option("--asked", options.asked, "stop when so much of all devices has been asked for")
      ->check(CLI::Range(0.01, 10.0))
      ->capture_default_str();
  placement->add_option("--seeds", options.seeds, "runs of each policy")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  placement->add_option("--seed", options.seed, "of the first run")->capture_default_str();
  placement->add_option("--json", options.json, "write the results to this file as well");
  placement->add_option("--plot", options.plot, "write a plot of the first seed to this .svg file");
  std::function<int()> run = [&options] { return RunPlacements(options); };
  AddMarketCommands(app, run);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  return run();
}

}  // namespace
}  // namespace accelmesh::sim

int main(int argc, char** argv) { return accelmesh::sim::Main(argc, argv); }
