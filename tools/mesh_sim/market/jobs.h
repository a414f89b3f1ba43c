// Jobs that applications want to run, before and after a seed gave them values, deadlines and arrivals; the workloads
// they come from. docs/sim-model.md says what each number means and why.
//
// Threads: functions on values. Randomness: std::mt19937_64 only.
#pragma once

#include <array>
#include <cstdint>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "protocol/base/result.h"

namespace accelmesh::sim {

inline constexpr std::size_t kClasses = 3;  // K80, P100, V100; a workload with one class uses the last
inline constexpr std::int64_t kHourMs = 3'600'000;
inline constexpr std::int64_t kNever = std::numeric_limits<std::int64_t>::max();
inline constexpr double kAcceptedSlowness = 4.0;  // a class is accepted if it is at most so much slower than the best

using ByClass = std::array<double, kClasses>;
using Gpus = std::array<std::uint32_t, kClasses>;

struct JobSpec {
  std::uint32_t tenant = 0;
  std::int64_t arrival_ms = 0;
  std::uint32_t gpus = 1;
  std::uint32_t share_milli = 1000;  // of each GPU; below 1000 only with one
  std::uint32_t kind = 0;            // jobs of a kind run alike on every class, but for how long
  ByClass hours{};                   // runtime by class; 0: cannot run there
};

struct JobWorkload {
  std::string name;
  std::vector<std::string> tenants;
  std::vector<JobSpec> jobs;  // in order of arrival
};

// What a seed draws.
struct ValueRules {
  double sigma = 1.0;
  double deadline_part = 0.3;
  double deadline_least = 1.5;  // times the best runtime
  double deadline_most = 5.0;
  std::int64_t jitter_ms = kHourMs;
};

struct Job : JobSpec {
  double value = 0;  // credits
  std::int64_t deadline_ms = kNever;
  double best_hours = 0;

  std::uint64_t units_milli() const { return std::uint64_t{gpus} * share_milli; }
  // GPU-hours on the reference class (V100).
  double reference_hours() const { return hours[kClasses - 1] * static_cast<double>(units_milli()) / 1000; }
};

// The jobs of one seed, in order of arrival. The same seed draws the same for each job of the workload, whatever sigma.
std::vector<Job> Draw(const JobWorkload& workload, const ValueRules& rules, std::uint64_t seed);

// In order of arrival; those of one instant in an order that does not hang on how they came.
void SortByArrival(std::vector<JobSpec>& jobs);

// Tenants' parts of all reference GPU-hours; they sum to 1.
std::vector<double> QuotasOf(const JobWorkload& workload);

// Uniform in [0, 1), and standard normal; the same on every machine as far as its logarithm is.
double Uniform(std::mt19937_64& random);
double Normal(std::mt19937_64& random);

// Gavel's traces: gavel-philly-seed0.tar.xz and gavel-throughputs.json.xz of `folder`. kNotFound if they are not there.
Result<JobWorkload> ReadPhilly(const std::string& folder);
// The tasks with GPUs of openb_pod_list_default.csv(.xz): one class, tenants drawn from `seed`.
Result<JobWorkload> ReadOpenbJobs(const std::string& folder, std::uint64_t seed);
// The twin of ReadPhilly(), from what is written in its source and a seed.
JobWorkload MakePhillyTwin(std::uint64_t seed);
// A twin of openb's tasks: fractions of one GPU and few gangs, one class.
JobWorkload MakeOpenbTwin(std::uint64_t seed);

// `count` jobs of the workload, arriving evenly (exponential gaps) at `load` times what `gpus` can do.
JobWorkload Sample(const JobWorkload& workload, std::size_t count, const Gpus& gpus, double load, std::uint64_t seed);

}  // namespace accelmesh::sim
