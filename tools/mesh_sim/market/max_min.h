// Gavel's heterogeneity-aware max-min fairness: the parts of time that each job should have on each class, by a linear
// program over effective throughputs, and rounds in which those furthest behind run.
//
// Threads: one.
#pragma once

#include <vector>

#include "protocol/base/result.h"
#include "tools/mesh_sim/market/world.h"

namespace accelmesh::sim {

// Jobs that run alike: they get alike, because the program is convex and does not tell them apart.
struct MaxMinGroup {
  double jobs = 0;
  double units = 1;  // GPUs that one holds
  ByClass speed{};   // any unit, the same for all classes
};

// Parts of time on each class for one job of each group: the least (part x speed, normalised by what an equal share of
// all classes would give, x units) is as great as can be, and then their sum. `gpus` in units. kUnavailable if the
// solver gives up.
Result<std::vector<ByClass>> SolveMaxMin(const std::vector<MaxMinGroup>& groups, const ByClass& gpus);

class MaxMin : public Policy {
 public:
  MaxMin(std::size_t jobs, std::int64_t round_ms)
      : round_ms_(round_ms), received_ms_(jobs, ByClass{}), since_ms_(jobs, 0) {}
  void Arrived(World& world, JobId id) override;
  void Left(World& world, JobId id) override;
  void Decide(World& world) override;
  std::int64_t WakeAt(const World& world) const override;
  const Status& status() const { return status_; }

 private:
  void Round(World& world);
  void Fill(World& world);

  const std::int64_t round_ms_;
  std::vector<ByClass> received_ms_;
  std::vector<std::int64_t> since_ms_;  // counted until now, of those that run
  std::vector<JobId> waiting_;          // in order of arrival
  std::int64_t last_round_ms_ = -1;
  bool is_changed_ = false;
  Status status_;
};

}  // namespace accelmesh::sim
