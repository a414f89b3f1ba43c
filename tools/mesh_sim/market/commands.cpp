#include "tools/mesh_sim/market/commands.h"

#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <memory>

#include "tools/mesh_sim/market/cheat_report.h"
#include "tools/mesh_sim/market/compare.h"
#include "tools/mesh_sim/market/picture.h"
#include "tools/mesh_sim/market/runs.h"

namespace accelmesh::sim {
namespace {

int Fail(const Status& status) {
  std::fprintf(stderr, "mesh-sim: %s\n", status.text().c_str());
  return 1;
}

struct MarketOptions {
  std::string workload;
  std::string traces;
  std::string policy = "market";
  std::uint32_t gpus = 600;
  std::uint64_t seed = 1;
  double sigma = 1.0;
  bool no_deadlines = false;
  bool json = false;
};

int RunMarket(const MarketOptions& options) {
  const Result<JobWorkload> workload = LoadWorkload(options.workload, options.traces);
  if (!workload.ok()) return Fail(workload.status());
  RunSetup setup;
  setup.policy = options.policy;
  setup.gpus = GpusOf(*workload, options.gpus);
  setup.seed = options.seed;
  setup.values.sigma = options.sigma;
  if (options.no_deadlines) setup.values.deadline_part = 0;
  const Result<Measures> measures = RunOne(*workload, setup);
  if (!measures.ok()) return Fail(measures.status());
  if (options.json) {
    std::printf("%s", JsonOf(*measures).c_str());
    return 0;
  }
  std::printf("%s, %zu jobs, %u GPUs (%u/%u/%u), %s, seed %llu: %.2f s\n", workload->name.c_str(),
              workload->jobs.size(), options.gpus, setup.gpus[0], setup.gpus[1], setup.gpus[2], options.policy.c_str(),
              static_cast<unsigned long long>(options.seed), measures->seconds);
  std::printf("utilisation %.1f %%, jobs that ended %.1f %%, stops a job %.2f\n", measures->utilisation * 100,
              measures->ended * 100, measures->stops_per_job);
  std::printf("wait (h)       mean %8.2f   p95 %8.2f   p99 %8.2f\n", measures->wait_mean, measures->wait_p95,
              measures->wait_p99);
  std::printf("completion (h) mean %8.2f   p95 %8.2f   p99 %8.2f\n", measures->completion_mean,
              measures->completion_p95, measures->completion_p99);
  std::printf("welfare %.4f (jobs with deadlines %.4f), deadlines met %.4f, Jain on slowdown %.3f\n", measures->welfare,
              measures->welfare_deadline, measures->slo, measures->jain);
  for (const auto& [name, value] : measures->market) std::printf("  %-20s %.6g\n", name.c_str(), value);
  if (!measures->market.empty()) {
    std::printf("  %-20s %.3f\n  %-20s %.3f\n", "price_cv", measures->price_cv, "price_step", measures->price_step);
  }
  return 0;
}

struct CompareOptions {
  std::string workload;
  std::string traces;
  std::string out;
  std::vector<std::uint32_t> loads;
  std::vector<std::string> policies;
  std::uint64_t seeds = 0;
  unsigned threads = 2;
  bool variants = false;
};

// One line that is written over while somebody watches, one a minute for a log.
class ProgressLine {
 public:
  void operator()(std::size_t done, std::size_t all, const std::string& last) {
    const auto now = std::chrono::steady_clock::now();
    const bool watched = ::isatty(2) != 0;
    if (done < all && now - last_ < (watched ? std::chrono::milliseconds(200) : std::chrono::seconds(60))) return;
    last_ = now;
    const double minutes = std::chrono::duration<double>(now - begin_).count() / 60;
    std::fprintf(stderr, "%s%zu of %zu runs, %.1f min: %-50s%s", watched ? "\r" : "", done, all, minutes, last.c_str(),
                 watched && done < all ? "" : "\n");
  }

 private:
  std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
  std::chrono::steady_clock::time_point last_;
};

Status WriteReport(const Plan& plan, const JobWorkload& workload, const Results& results, const std::string& folder) {
  std::string report = ReportOf(plan, workload, results);
  bool has_png = true;
  for (const auto& [name, svg] : FiguresOf(plan, workload, results)) {
    const std::string path = folder + "/" + name;
    ACCELMESH_RETURN_IF_ERROR(WriteWhole(path + ".svg", svg));
    report += "\n![" + name + "](" + name + ".svg)\n";
    if (!has_png) continue;
    const Status png = MakePng(path + ".svg", path + ".png");
    if (png.code() == Code::kUnavailable) {
      has_png = false;
      std::fprintf(stderr, "mesh-sim: %s\n", png.text().c_str());
    } else if (!png.ok()) {
      return png;
    }
  }
  ACCELMESH_RETURN_IF_ERROR(WriteWhole(folder + "/results.csv", CsvOf(results)));
  ACCELMESH_RETURN_IF_ERROR(WriteWhole(folder + "/report.md", report));
  std::printf("%s", report.c_str());
  return Status::Ok();
}

int RunCompare(const CompareOptions& options) {
  const Result<JobWorkload> workload = LoadWorkload(options.workload, options.traces);
  if (!workload.ok()) return Fail(workload.status());
  const bool is_openb = GpusOf(*workload, 4)[0] == 0;
  Plan plan;
  plan.threads = options.threads;
  plan.seeds = options.seeds > 0 ? options.seeds : options.variants ? 10 : 30;
  plan.loads = options.loads;
  if (plan.loads.empty()) plan.loads = is_openb ? std::vector{20U, 24U, 60U} : std::vector{500U, 600U, 1200U};
  plan.policies = options.policies;
  if (options.variants) {
    ValueRules narrow, wide, without;
    narrow.sigma = 0.5;
    wide.sigma = 2.0;
    without.deadline_part = 0;
    plan.variants = {{"sigma-0.5", narrow}, {"sigma-2", wide}, {"no-deadlines", without}};
    if (plan.policies.empty()) plan.policies = {"lending", "market"};
  } else {
    plan.variants = {{"main", {}}};
  }
  if (plan.policies.empty()) plan.policies.assign(std::begin(kPolicies), std::end(kPolicies));
  ProgressLine progress;
  const Result<Results> results = RunPlan(plan, *workload, options.out, std::ref(progress));
  if (!results.ok()) return Fail(results.status());
  const Status status = WriteReport(plan, *workload, *results, options.out);
  return status.ok() ? 0 : Fail(status);
}

void AddCompare(CLI::App& app, std::function<int()>& run) {
  CLI::App* const command = app.add_subcommand(
      "compare", "every policy at every load, many seeds; tables and figures; goes on where it was stopped");
  const auto options = std::make_shared<CompareOptions>();
  command->add_option("--out", options->out, "folder of results; what it has is not run again")->required();
  command->add_option("--traces", options->traces, "folder with the traces; left out: the generated twin");
  command->add_option("--workload", options->workload, "philly, openb, twin or openb-twin");
  command->add_option("--gpus", options->loads, "loads: GPUs in all; default 500 600 1200 (openb: 20 24 60)")
      ->check(CLI::Range(4, 100000));
  command->add_option("--policies", options->policies, "default: all");
  command->add_option("--seeds", options->seeds, "default 30, of --variants 10")->check(CLI::Range(1, 10000));
  command->add_option("--threads", options->threads, "runs at once")->check(CLI::Range(1, 256))->capture_default_str();
  command->add_flag("--variants", options->variants,
                    "sigma 0.5 and 2, and no deadlines, instead of the main comparison; lending and market only");
  command->callback([options, &run] { run = [options] { return RunCompare(*options); }; });
}

struct SeedsOptions {
  std::string workload;
  std::string traces;
  std::string out;
  std::uint64_t seeds = 0;
  std::uint64_t epochs = 200;
  unsigned threads = 2;
};

void AddSeedsOptions(CLI::App* command, SeedsOptions& options) {
  command->add_option("--out", options.out, "folder of results; what it has is not run again")->required();
  command->add_option("--traces", options.traces, "folder with the traces; left out: the generated twin");
  command->add_option("--workload", options.workload, "philly or twin");
  command->add_option("--seeds", options.seeds, "how many")->check(CLI::Range(1, 10000))->capture_default_str();
}

int RunCheatersCommand(const SeedsOptions& options) {
  const Result<JobWorkload> workload = LoadWorkload(options.workload, options.traces);
  if (!workload.ok()) return Fail(workload.status());
  ProgressLine progress;
  const Result<std::string> text =
      RunCheaters(*workload, options.seeds, options.threads, options.out, std::ref(progress));
  if (!text.ok()) return Fail(text.status());
  std::printf("%s", text->c_str());
  if (const Status png = MakePng(options.out + "/cheaters.svg", options.out + "/cheaters.png"); !png.ok()) {
    std::fprintf(stderr, "mesh-sim: %s\n", png.text().c_str());
  }
  return 0;
}

int RunOracleCommand(const SeedsOptions& options) {
  const Result<JobWorkload> workload = LoadWorkload(options.workload, options.traces);
  if (!workload.ok()) return Fail(workload.status());
  ProgressLine progress;
  const Result<std::string> text = RunOracle(*workload, options.seeds, options.epochs, options.out, std::ref(progress));
  if (!text.ok()) return Fail(text.status());
  std::printf("%s", text->c_str());
  return 0;
}

void AddCheaters(CLI::App& app, std::function<int()>& run) {
  CLI::App* const command =
      app.add_subcommand("cheaters", "ten agents that cheat, and their gain; goes on where it was stopped");
  const auto options = std::make_shared<SeedsOptions>();
  options->seeds = 400;
  AddSeedsOptions(command, *options);
  command->add_option("--threads", options->threads, "runs at once")->check(CLI::Range(1, 256))->capture_default_str();
  command->callback([options, &run] { run = [options] { return RunCheatersCommand(*options); }; });
}

void AddOracle(CLI::App& app, std::function<int()>& run) {
  CLI::App* const command =
      app.add_subcommand("oracle", "how near policies come to the best there is, on small cases (CBC)");
  const auto options = std::make_shared<SeedsOptions>();
  options->seeds = 30;
  AddSeedsOptions(command, *options);
  command->add_option("--epochs", options->epochs, "single epochs")->check(CLI::Range(1, 10000))->capture_default_str();
  command->callback([options, &run] { run = [options] { return RunOracleCommand(*options); }; });
}

void AddMarket(CLI::App& app, std::function<int()>& run) {
  CLI::App* const command = app.add_subcommand("market", "one run of one policy; print what it is judged by");
  const auto options = std::make_shared<MarketOptions>();
  command->add_option("--traces", options->traces, "folder with the traces; left out: the generated twin");
  command->add_option("--workload", options->workload, "philly, openb, twin or openb-twin");
  command
      ->add_option("--policy", options->policy,
                   "static, fifo, drf, lending, lending-reclaim, max-min, first-price, market-at-once or market")
      ->capture_default_str();
  command->add_option("--gpus", options->gpus, "in all; K80:P100:V100 = 1:1:2")
      ->check(CLI::Range(4, 100000))
      ->capture_default_str();
  command->add_option("--seed", options->seed, "of values, deadlines and jitter")->capture_default_str();
  command->add_option("--sigma", options->sigma, "of the logarithm of values")
      ->check(CLI::Range(0.0, 5.0))
      ->capture_default_str();
  command->add_flag("--no-deadlines", options->no_deadlines, "no job has one");
  command->add_flag("--json", options->json, "print JSON");
  command->callback([options, &run] { run = [options] { return RunMarket(*options); }; });
}

}  // namespace

void AddMarketCommands(CLI::App& app, std::function<int()>& run) {
  AddMarket(app, run);
  AddCompare(app, run);
  AddCheaters(app, run);
  AddOracle(app, run);
}

}  // namespace accelmesh::sim
