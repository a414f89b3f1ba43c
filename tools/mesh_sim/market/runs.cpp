#include "tools/mesh_sim/market/runs.h"

#include <time.h>

#include <algorithm>
#include <chrono>
#include <memory>

#include "tools/mesh_sim/market/first_price.h"
#include "tools/mesh_sim/market/max_min.h"
#include "tools/mesh_sim/market/queues.h"

namespace accelmesh::sim {
namespace {

constexpr std::int64_t kMaxMinRoundMs = 1'800'000;
constexpr std::int64_t kCheckpointMs = 600'000;

double ThreadSeconds() {
  timespec time{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

// A job without a class that could hold it would wait for ever.
Status CheckJobs(const JobWorkload& workload, const Gpus& gpus) {
  for (const JobSpec& job : workload.jobs) {
    bool fits = false;
    for (std::size_t c = 0; c < kClasses; ++c) fits |= job.hours[c] > 0 && job.gpus <= gpus[c];
    if (!fits) {
      return {Code::kInvalidArgument, "RunOne",
              "a job of " + std::to_string(job.gpus) + " GPUs fits no class of these devices; give more of them"};
    }
  }
  return Status::Ok();
}

// Static gives each tenant devices of its own.
Status CheckPartition(const std::vector<double>& quotas, const Gpus& gpus) {
  for (const Gpus& own : Partition(quotas, gpus)) {
    if (own[kClasses - 1] == 0) {
      return {Code::kInvalidArgument, "RunOne", "too few devices for a part of each tenant; give more, or not static"};
    }
  }
  return Status::Ok();
}

std::unique_ptr<Policy> QueueOf(std::string_view name, const std::vector<double>& quotas, const Gpus& gpus) {
  constexpr std::pair<std::string_view, QueueRule> kRules[] = {{"static", QueueRule::kStatic},
                                                               {"lending", QueueRule::kLending},
                                                               {"lending-reclaim", QueueRule::kLendingReclaim},
                                                               {"fifo", QueueRule::kFifo},
                                                               {"drf", QueueRule::kDrf}};
  for (const auto& [rule_name, rule] : kRules) {
    if (name == rule_name) return std::make_unique<QueuePolicy>(rule, quotas, gpus);
  }
  return nullptr;
}

}  // namespace

Gpus GpusOf(const JobWorkload& workload, std::uint32_t count) {
  for (const JobSpec& job : workload.jobs) {
    if (job.hours[0] > 0 || job.hours[1] > 0) return {count / 4, count / 4, count - count / 4 * 2};
  }
  return {0, 0, count};
}

Result<JobWorkload> LoadWorkload(const std::string& name, const std::string& traces) {
  constexpr std::uint64_t kTwinSeed = 1;
  if (name == "philly" || (name.empty() && !traces.empty())) return ReadPhilly(traces);
  if (name == "openb") return ReadOpenbJobs(traces, kTwinSeed);
  if (name == "twin" || name.empty()) return MakePhillyTwin(kTwinSeed);
  if (name == "openb-twin") return MakeOpenbTwin(kTwinSeed);
  return Status(Code::kInvalidArgument, "LoadWorkload", "no workload " + name + "; philly, openb, twin or openb-twin");
}

Status CheckFigures(const MarketFigures& figures) {
  const auto fails = [](const std::string& what) {
    return Status(Code::kInternal, "mesh-sim market", what + "; this is a bug, of the market or of its simulation");
  };
  if (figures.budget_error != 0) return fails(std::to_string(figures.budget_error) + " microcredits came or went");
  if (figures.outcome_errors != 0) return fails(std::to_string(figures.outcome_errors) + " epochs broke their rules");
  if (figures.forgotten != 0) return fails(std::to_string(figures.forgotten) + " jobs could pay and never ran");
  return Status::Ok();
}

Result<Measures> RunOne(const JobWorkload& workload, const RunSetup& setup) {
  ACCELMESH_RETURN_IF_ERROR(CheckJobs(workload, setup.gpus));
  const auto begin = std::chrono::steady_clock::now();
  const double cpu_begin = ThreadSeconds();
  const std::vector<double> quotas = QuotasOf(workload);
  const std::vector<Job> jobs = Draw(workload, setup.values, setup.seed);
  WorldRules rules;
  rules.ignores_slowness = setup.policy == "max-min";
  World world(jobs, setup.gpus, workload.tenants.size(), rules);
  MarketFigures figures;
  const bool is_market = setup.policy == "market" || setup.policy == "market-at-once";
  if (is_market) {
    MarketRules rules_of_market = setup.market;
    if (setup.policy == "market-at-once") rules_of_market.patience_runtimes = 0;
    MarketPolicy policy(world, quotas, rules_of_market, setup.seed);
    const Status status = world.Run(policy);
    ACCELMESH_RETURN_IF_ERROR(policy.status());  // the cause, where there are both
    ACCELMESH_RETURN_IF_ERROR(status);
    figures = policy.figures();
    ACCELMESH_RETURN_IF_ERROR(CheckFigures(figures));
  } else if (setup.policy == "max-min") {
    MaxMin policy(jobs.size(), kMaxMinRoundMs);
    const Status status = world.Run(policy);
    ACCELMESH_RETURN_IF_ERROR(policy.status());
    ACCELMESH_RETURN_IF_ERROR(status);
  } else if (setup.policy == "first-price") {
    FirstPrice policy(jobs.size(), setup.market.epoch_ms, kCheckpointMs);
    ACCELMESH_RETURN_IF_ERROR(world.Run(policy));
  } else {
    if (setup.policy == "static") ACCELMESH_RETURN_IF_ERROR(CheckPartition(quotas, setup.gpus));
    const std::unique_ptr<Policy> policy = QueueOf(setup.policy, quotas, setup.gpus);
    if (policy == nullptr) {
      return Status(Code::kInvalidArgument, "RunOne.policy", "no policy " + setup.policy + "; mesh-sim market --help");
    }
    ACCELMESH_RETURN_IF_ERROR(world.Run(*policy));
  }
  Measures measures = Measure(world, is_market ? &figures : nullptr);
  measures.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  measures.cpu_seconds = ThreadSeconds() - cpu_begin;
  return measures;
}

}  // namespace accelmesh::sim
