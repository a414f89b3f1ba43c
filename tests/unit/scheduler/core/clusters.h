// Random clusters and tasks for the properties of placement, from a seed.
#pragma once

#include <random>
#include <vector>

#include "scheduler/core/fragmentation.h"

namespace accelmesh::scheduler::testing {

using Random = std::mt19937_64;

inline std::uint32_t Below(Random& random, std::uint32_t bound) { return static_cast<std::uint32_t>(random() % bound); }

inline Host RandomHost(Random& random) {
  Host host;
  host.processor_milli = 1000 * (1 + Below(random, 64));
  host.memory_mib = 1024 * (1 + Below(random, 128));
  host.host_class = Below(random, 3);
  host.device_count = Below(random, 9);
  for (std::uint32_t i = 0; i < host.device_count; ++i) host.devices[i] = {kWholeMilli, 1024 * (1 + Below(random, 4))};
  return host;
}

inline Demand RandomDemand(Random& random) {
  Demand demand;
  demand.processor_milli = 500 * Below(random, 16);
  demand.memory_mib = 512 * Below(random, 16);
  demand.devices = Below(random, 8) == 0 ? Below(random, 5) : 1;
  demand.share_milli = demand.devices == 0 ? 0 : Below(random, 3) == 0 ? kWholeMilli : 50 * (1 + Below(random, 20));
  demand.device_memory_mib = demand.devices == 0 ? 0 : 256 * Below(random, 6);
  if (Below(random, 4) == 0) demand.host_classes = 1ULL << Below(random, 3);
  return demand;
}

inline std::vector<TaskKind> RandomWorkload(Random& random, std::size_t kinds) {
  std::vector<TaskKind> workload;
  for (std::size_t i = 0; i < kinds; ++i) workload.push_back({RandomDemand(random), 1 + Below(random, 100)});
  return workload;
}

// The measure by its definition, in floating point: for each kind of task, the free shares that it could not use.
inline double ExpectedFragments(const Host& host, const std::vector<TaskKind>& workload) {
  double sum = 0;
  double weights = 0;
  for (const TaskKind& kind : workload) {
    const Demand& task = kind.demand;
    if (task.devices == 0) continue;
    const auto weight = static_cast<double>(kind.weight);
    weights += weight;
    double all = 0;
    double unusable = 0;
    unsigned usable = 0;
    for (std::uint32_t i = 0; i < host.device_count; ++i) {
      const DeviceFree& device = host.devices[i];
      all += device.share_milli;
      if (device.share_milli < task.share_milli || device.memory_mib < task.device_memory_mib) {
        unusable += device.share_milli;
      } else {
        ++usable;
      }
    }
    const bool runs = usable >= task.devices && host.processor_milli >= task.processor_milli &&
                      host.memory_mib >= task.memory_mib && ((task.host_classes >> host.host_class) & 1) == 1;
    sum += weight * (runs ? unusable : all);
  }
  return weights == 0 ? 0 : sum / weights;
}

}  // namespace accelmesh::scheduler::testing
