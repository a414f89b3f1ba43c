// The placement experiment: tasks drawn from a workload arrive until they have asked for a part of all devices above
// one, none leaves, and what fits nowhere is dropped; how much of the devices is let then, and how long a decision
// took.
//
// Threads: one. The clock is read around all decisions of a run, not inside them.
#pragma once

#include <cstdint>
#include <vector>

#include "scheduler/core/placer.h"
#include "tools/mesh_sim/workload.h"

namespace accelmesh::sim {

// How much was asked and how much was let, both in parts of all devices.
struct Point {
  double asked = 0;
  double allocated = 0;
};

struct PlacementRun {
  std::uint64_t decisions = 0;
  std::uint64_t placed = 0;
  double seconds = 0;         // of all decisions, on one thread
  double allocated = 0;       // of all devices, at the end
  std::vector<Point> course;  // about a hundred points
};

// kInvalidArgument if the workload has no devices or asks for none.
Result<PlacementRun> RunPlacement(const Workload& workload, scheduler::PlacementPolicy policy, double asked,
                                  std::uint64_t seed);

// A mean and the half-width of its 95 % confidence interval (Student's t); a half-width of 0 for one value.
struct Mean {
  double mean = 0;
  double half_width = 0;
};
Mean MeanOf(const std::vector<double>& values);

}  // namespace accelmesh::sim
