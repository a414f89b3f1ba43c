#include "tools/mesh_sim/market/jobs.h"

#include <algorithm>
#include <cmath>
#include <tuple>

#include "tools/mesh_sim/workload.h"

namespace accelmesh::sim {
namespace {

double ReferenceHours(const JobSpec& job) { return job.hours[kClasses - 1] * job.gpus * job.share_milli / 1000; }

}  // namespace

void SortByArrival(std::vector<JobSpec>& jobs) {
  std::sort(jobs.begin(), jobs.end(), [](const JobSpec& one, const JobSpec& two) {
    return std::tie(one.arrival_ms, one.tenant, one.gpus, one.kind, one.hours) <
           std::tie(two.arrival_ms, two.tenant, two.gpus, two.kind, two.hours);
  });
}

double Uniform(std::mt19937_64& random) { return static_cast<double>(random() >> 11) * 0x1p-53; }

double Normal(std::mt19937_64& random) {
  // Box and Muller's; the second of the pair is thrown away, so that a draw uses the same numbers wherever it stands.
  const double radius = std::sqrt(-2 * std::log(1 - Uniform(random)));
  return radius * std::cos(2 * 3.14159265358979323846 * Uniform(random));
}

std::vector<Job> Draw(const JobWorkload& workload, const ValueRules& rules, std::uint64_t seed) {
  std::mt19937_64 random(seed * 0x9e3779b97f4a7c15ULL + 1);
  std::vector<double> of_tenant;
  for (std::size_t i = 0; i < workload.tenants.size(); ++i) of_tenant.push_back(Normal(random));
  std::vector<Job> jobs;
  jobs.reserve(workload.jobs.size());
  for (const JobSpec& spec : workload.jobs) {
    Job job;
    static_cast<JobSpec&>(job) = spec;
    const double normal = Normal(random);
    const double has_deadline = Uniform(random);
    const double slack = Uniform(random);
    job.arrival_ms += static_cast<std::int64_t>(Uniform(random) * static_cast<double>(rules.jitter_ms));
    job.best_hours = 0;
    for (const double hours : spec.hours) {
      if (hours > 0 && (job.best_hours == 0 || hours < job.best_hours)) job.best_hours = hours;
    }
    job.value = job.reference_hours() * std::exp(rules.sigma * (of_tenant[spec.tenant] + normal) / std::sqrt(2.0));
    if (has_deadline < rules.deadline_part) {
      const double times = rules.deadline_least + slack * (rules.deadline_most - rules.deadline_least);
      job.deadline_ms = job.arrival_ms + static_cast<std::int64_t>(std::ceil(times * job.best_hours * kHourMs));
    }
    jobs.push_back(job);
  }
  std::sort(jobs.begin(), jobs.end(), [](const Job& one, const Job& two) {
    return std::tie(one.arrival_ms, one.tenant, one.value) < std::tie(two.arrival_ms, two.tenant, two.value);
  });
  return jobs;
}

std::vector<double> QuotasOf(const JobWorkload& workload) {
  std::vector<double> quotas(workload.tenants.size(), 0.0);
  double sum = 0;
  for (const JobSpec& job : workload.jobs) {
    quotas[job.tenant] += ReferenceHours(job);
    sum += ReferenceHours(job);
  }
  for (double& quota : quotas) quota = sum > 0 ? quota / sum : 1.0 / static_cast<double>(quotas.size());
  return quotas;
}

JobWorkload Sample(const JobWorkload& workload, std::size_t count, const Gpus& gpus, double load, std::uint64_t seed) {
  std::mt19937_64 random(seed * 0x9e3779b97f4a7c15ULL + 7);
  JobWorkload sample{workload.name + "-sample", workload.tenants, {}};
  std::uint32_t largest = 0;
  double capacity = 0;  // reference GPUs: what a class does is its mean speed over the jobs that accept it
  for (const std::uint32_t one : gpus) largest = std::max(largest, one);
  double hours = 0;
  while (sample.jobs.size() < count) {
    const JobSpec& job = workload.jobs[Below(random, workload.jobs.size())];
    // A gang that no class holds would never run; a job of months would be most of a small sample.
    if (job.gpus > largest / 2 || job.hours[kClasses - 1] > 48) continue;
    sample.jobs.push_back(job);
    hours += ReferenceHours(job);
  }
  for (std::size_t c = 0; c < kClasses; ++c) {
    double speed = 0;
    std::size_t accepted = 0;
    for (const JobSpec& job : sample.jobs) {
      double best = 0;
      for (const double one : job.hours) {
        if (one > 0 && (best == 0 || one < best)) best = one;
      }
      if (job.hours[c] <= 0 || job.hours[c] > kAcceptedSlowness * best) continue;
      speed += job.hours[kClasses - 1] / job.hours[c];
      ++accepted;
    }
    if (accepted > 0) capacity += gpus[c] * speed / static_cast<double>(accepted);
  }
  const double gap_hours = hours / (load * std::max(capacity, 1e-9)) / static_cast<double>(count);
  double at = 0;
  for (JobSpec& job : sample.jobs) {
    job.arrival_ms = static_cast<std::int64_t>(at * kHourMs);
    at += -std::log(1 - Uniform(random)) * gap_hours;
  }
  SortByArrival(sample.jobs);
  return sample;
}

}  // namespace accelmesh::sim
