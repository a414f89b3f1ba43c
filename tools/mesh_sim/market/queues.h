// Policies without prices that start jobs from queues: static partition, quota + lending (with and without taking
// back), one FIFO queue, DRF. docs/sim-model.md has their rules.
//
// Threads: one.
#pragma once

#include <memory>
#include <vector>

#include "tools/mesh_sim/market/world.h"

namespace accelmesh::sim {

enum class QueueRule : std::uint8_t { kStatic, kLending, kLendingReclaim, kFifo, kDrf };

// Devices of each class that are each tenant's own: in proportion to `quotas`, by largest remainder; who would have
// none gets one of the last class from whoever has most of it.
std::vector<Gpus> Partition(const std::vector<double>& quotas, const Gpus& gpus);

class QueuePolicy : public Policy {
 public:
  QueuePolicy(QueueRule rule, const std::vector<double>& quotas, const Gpus& gpus);

  void Arrived(World& world, JobId id) override;
  void Left(World& world, JobId id) override;
  void Decide(World& world) override;

 private:
  std::size_t LineOf(const World& world, JobId id) const;
  // Smaller goes first.
  double Rank(const World& world, std::size_t line) const;
  bool TryStart(World& world, JobId id) const;
  bool TryStartOwn(World& world, JobId id) const;
  void Serve(World& world, std::vector<std::vector<JobId>>& lines);
  void Reclaim(World& world);
  bool TakeBack(World& world, JobId id);

  const QueueRule rule_;
  const std::vector<double> quotas_;
  const std::vector<Gpus> own_;
  double capacity_milli_ = 0;
  std::vector<std::vector<JobId>> waiting_;  // by line; in order of arrival
  std::vector<std::vector<JobId>> fresh_;    // of them, arrived since the last decision
  bool is_freed_ = false;                    // since the last decision; else only fresh ones can fit
};

}  // namespace accelmesh::sim
