#include "tools/mesh_sim/market/bids.h"

namespace accelmesh::sim {

double BidOn(const World& world, JobId id, std::size_t slot_class) {
  const Job& job = world.job(id);
  double hours = world.HoursOn(id, slot_class);
  const JobState& state = world.state(id);
  if (state.phase == Phase::kRunning && state.slot_class == slot_class) {
    // It goes on without a restart.
    hours = static_cast<double>(state.ends_ms - world.now_ms()) / kHourMs;
  }
  if (hours <= 0) return 0;
  return job.value / (hours * static_cast<double>(job.units_milli()) / 1000);
}

void WaitingBids::Add(const World& world, JobId id, double times) {
  Remove(id);
  for (std::size_t c = 0; c < kClasses; ++c) {
    const double bid = BidOn(world, id, c) * times;
    bids_[id][c] = bid;
    if (bid > 0) sides_[c].emplace(bid, id);
  }
}

void WaitingBids::Remove(JobId id) {
  for (std::size_t c = 0; c < kClasses; ++c) {
    if (bids_[id][c] > 0) sides_[c].erase({bids_[id][c], id});
    bids_[id][c] = 0;
  }
}

}  // namespace accelmesh::sim
