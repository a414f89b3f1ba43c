#include "tools/mesh_sim/placement.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>

namespace accelmesh::sim {

using scheduler::Demand;
using scheduler::Host;
using scheduler::kWholeMilli;

Result<PlacementRun> RunPlacement(const Workload& workload, scheduler::PlacementPolicy policy, double asked,
                                  std::uint64_t seed) {
  std::uint64_t capacity = 0;
  for (const Host& host : workload.hosts) capacity += std::uint64_t{host.device_count} * kWholeMilli;
  std::uint64_t asks = 0;
  for (const Demand& task : workload.tasks) asks += std::uint64_t{task.devices} * task.share_milli;
  if (capacity == 0 || asks == 0) {
    return Status(Code::kInvalidArgument, "RunPlacement.workload",
                  workload.name + " has no devices, or no task that asks for one");
  }
  std::mt19937_64 random(seed);
  std::vector<std::pair<Demand, std::uint64_t>> arrivals;
  std::uint64_t drawn = 0;
  while (static_cast<double>(drawn) < asked * static_cast<double>(capacity)) {
    const Demand& task = workload.tasks[Below(random, workload.tasks.size())];
    arrivals.emplace_back(task, random());
    drawn += std::uint64_t{task.devices} * task.share_milli;
  }
  ACCELMESH_ASSIGN_OR_RETURN(scheduler::Placer placer,
                             scheduler::Placer::Make(workload.hosts, KindsOf(workload.tasks), policy));
  PlacementRun run;
  run.decisions = arrivals.size();
  std::vector<bool> is_placed(arrivals.size());
  const auto begin = std::chrono::steady_clock::now();
  for (std::size_t i = 0; i < arrivals.size(); ++i) {
    is_placed[i] = placer.Place(arrivals[i].first, arrivals[i].second).has_value();
  }
  run.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  const auto part = [capacity](std::uint64_t milli) {
    return static_cast<double>(milli) / static_cast<double>(capacity);
  };
  std::uint64_t so_far = 0;
  std::uint64_t allocated = 0;
  for (std::size_t i = 0; i < arrivals.size(); ++i) {
    const std::uint64_t milli = std::uint64_t{arrivals[i].first.devices} * arrivals[i].first.share_milli;
    so_far += milli;
    if (is_placed[i]) {
      allocated += milli;
      ++run.placed;
    }
    if (i % std::max<std::size_t>(arrivals.size() / 100, 1) == 0) run.course.push_back({part(so_far), part(allocated)});
  }
  // What the hosts say must be what was counted: a task that was placed twice or half would show here.
  std::uint64_t left = 0;
  for (const Host& host : placer.hosts()) {
    for (std::uint32_t i = 0; i < host.device_count; ++i) left += host.devices[i].share_milli;
  }
  if (left + allocated != capacity)
    return Status(Code::kInternal, "RunPlacement", "what is let and what is free do not add up");
  run.allocated = part(allocated);
  run.course.push_back({part(so_far), run.allocated});
  return run;
}

Mean MeanOf(const std::vector<double>& values) {
  // Student's t for 95 %, by degrees of freedom from 1; 1.96 far out.
  constexpr std::array<double, 30> kT = {12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228,
                                         2.201,  2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086,
                                         2.080,  2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042};
  Mean mean;
  if (values.empty()) return mean;
  const auto n = static_cast<double>(values.size());
  for (const double value : values) mean.mean += value / n;
  if (values.size() == 1) return mean;
  double squares = 0;
  for (const double value : values) squares += (value - mean.mean) * (value - mean.mean);
  const double t = values.size() - 2 < kT.size() ? kT[values.size() - 2] : 1.96;
  mean.half_width = t * std::sqrt(squares / (n - 1) / n);
  return mean;
}

}  // namespace accelmesh::sim
