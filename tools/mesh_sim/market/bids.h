// What jobs bid, truthfully: their value over the unit-hours that they still need; and those that wait, dearest first.
//
// Threads: one.
#pragma once

#include <set>
#include <utility>
#include <vector>

#include "tools/mesh_sim/market/world.h"

namespace accelmesh::sim {

// Credits for a unit-hour of `slot_class`, if the job started there now (or goes on there, if it runs there); 0: it
// does not accept the class, or can no longer end there in time.
double BidOn(const World& world, JobId id, std::size_t slot_class);

// Waiting jobs by what they bid on each class they accept. A bid does not change while a job waits, but for the classes
// on which it can no longer end in time: those are still here, and BidOn() says 0.
class WaitingBids {
 public:
  // Greater first, then the earlier job.
  struct Dearer {
    bool operator()(const std::pair<double, JobId>& a, const std::pair<double, JobId>& b) const {
      return a.first != b.first ? a.first > b.first : a.second < b.second;
    }
  };
  using Side = std::set<std::pair<double, JobId>, Dearer>;

  explicit WaitingBids(std::size_t jobs) : bids_(jobs) {}
  // `times` is what the owner makes of its truthful bid.
  void Add(const World& world, JobId id, double times = 1.0);
  void Remove(JobId id);
  bool Has(JobId id) const { return bids_[id][0] + bids_[id][1] + bids_[id][2] > 0; }
  const Side& OfClass(std::size_t slot_class) const { return sides_[slot_class]; }
  double Of(JobId id, std::size_t slot_class) const { return bids_[id][slot_class]; }
  bool empty() const { return sides_[0].empty() && sides_[1].empty() && sides_[2].empty(); }

 private:
  std::vector<ByClass> bids_;
  std::array<Side, kClasses> sides_;
};

}  // namespace accelmesh::sim
