// First price, as interruptible instances are sold: the highest bids run, who is outbid stops without notice and
// without pay, everybody pays what it bid.
//
// Threads: one.
#pragma once

#include "tools/mesh_sim/market/bids.h"

namespace accelmesh::sim {

class FirstPrice : public Policy {
 public:
  FirstPrice(std::size_t jobs, std::int64_t epoch_ms, std::int64_t checkpoint_ms)
      : waiting_(jobs), epoch_ms_(epoch_ms), checkpoint_ms_(checkpoint_ms) {}
  void Arrived(World& world, JobId id) override;
  void Left(World& world, JobId id) override;
  void Decide(World& world) override;
  std::int64_t WakeAt(const World& world) const override;

 private:
  // Those that run on a class, lowest bid first, and the units of each and of those before it.
  struct Runs {
    std::vector<std::pair<double, JobId>> bids;
    std::vector<std::uint64_t> units_milli;
    bool is_current = false;
  };
  const Runs& RunsOf(const World& world, std::size_t slot_class);
  bool Outbid(World& world, JobId id, std::size_t slot_class, double bid);

  std::array<Runs, kClasses> runs_;
  WaitingBids waiting_;
  const std::int64_t epoch_ms_;
  const std::int64_t checkpoint_ms_;
  bool is_changed_ = false;
};

}  // namespace accelmesh::sim
