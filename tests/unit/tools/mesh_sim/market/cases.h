// Tiny worlds for tests: jobs in hours on few devices of one class.
#pragma once

#include <string>
#include <vector>

#include "tools/mesh_sim/market/world.h"

namespace accelmesh::sim {

// Runs on the last class only.
inline Job JobOf(std::uint32_t tenant, double arrival_h, double hours, std::uint32_t gpus = 1, double value = 1,
                 double deadline_h = 0) {
  Job job;
  job.tenant = tenant;
  job.arrival_ms = static_cast<std::int64_t>(arrival_h * kHourMs);
  job.gpus = gpus;
  job.hours[kClasses - 1] = job.best_hours = hours;
  job.value = value;
  job.kind = gpus;
  if (deadline_h > 0) job.deadline_ms = static_cast<std::int64_t>(deadline_h * kHourMs);
  return job;
}

inline double EndOf(const World& world, JobId id) {
  return world.state(id).phase == Phase::kEnded ? static_cast<double>(world.state(id).over_ms) / kHourMs : -1;
}

inline bool AllGivenBack(const World& world) {
  for (std::size_t c = 0; c < kClasses; ++c) {
    if (world.pool(c).free_milli() != world.pool(c).capacity_milli()) return false;
  }
  return world.running().empty();
}

}  // namespace accelmesh::sim
