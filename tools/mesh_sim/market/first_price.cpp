#include "tools/mesh_sim/market/first_price.h"

#include <algorithm>

namespace accelmesh::sim {

void FirstPrice::Arrived(World& world, JobId id) {
  waiting_.Add(world, id);
  is_changed_ = true;
}

void FirstPrice::Left(World& world, JobId id) {
  (void)world;
  waiting_.Remove(id);
  is_changed_ = true;
}

std::int64_t FirstPrice::WakeAt(const World& world) const {
  if (!is_changed_) return kNever;
  return (world.now_ms() + epoch_ms_ - 1) / epoch_ms_ * epoch_ms_;
}

const FirstPrice::Runs& FirstPrice::RunsOf(const World& world, std::size_t slot_class) {
  Runs& runs = runs_[slot_class];
  if (runs.is_current) return runs;
  runs = {};
  for (const JobId id : world.running()) {
    if (world.state(id).slot_class == slot_class) runs.bids.emplace_back(BidOn(world, id, slot_class), id);
  }
  std::sort(runs.bids.begin(), runs.bids.end());
  std::uint64_t sum = 0;
  for (const auto& [bid, id] : runs.bids) runs.units_milli.push_back(sum += world.job(id).units_milli());
  runs.is_current = true;
  return runs;
}

// Room for `id` on `slot_class`, made by stopping the lowest bids there, all below `bid`; false if that is not enough.
bool FirstPrice::Outbid(World& world, JobId id, std::size_t slot_class, double bid) {
  const Job& job = world.job(id);
  if (world.pool(slot_class).Fits(job.gpus, job.share_milli)) return true;
  const Runs& runs = RunsOf(world, slot_class);
  const auto end = std::lower_bound(runs.bids.begin(), runs.bids.end(), std::pair<double, JobId>(bid, 0));
  const auto lower = static_cast<std::size_t>(end - runs.bids.begin());
  std::uint64_t free = world.pool(slot_class).free_milli();
  if (lower == 0 || free + runs.units_milli[lower - 1] < job.units_milli()) return false;
  std::vector<JobId> victims;
  for (std::size_t i = 0; free < job.units_milli(); ++i) {
    victims.push_back(runs.bids[i].second);
    free += world.job(victims.back()).units_milli();
  }
  for (const JobId victim : victims) {
    // What it did since its last checkpoint, one after each `checkpoint_ms_` of running.
    const std::int64_t ran = world.now_ms() - world.state(victim).proceeds_ms;
    world.Stop(victim, ran > 0 ? ran % checkpoint_ms_ : 0);
    waiting_.Add(world, victim);
  }
  runs_[slot_class].is_current = false;
  return world.pool(slot_class).Fits(job.gpus, job.share_milli);
}

void FirstPrice::Decide(World& world) {
  if (!is_changed_ || world.now_ms() % epoch_ms_ != 0) return;
  is_changed_ = false;
  for (Runs& runs : runs_) runs.is_current = false;
  // The three sides are walked together, dearest first. A side is done when its bid can push nobody out and there is no
  // room; a side changes while it is walked, so the walk goes by value and not by iterator.
  std::array<std::pair<double, JobId>, kClasses> last;
  std::array<bool, kClasses> is_done{};
  last.fill({1e300, 0});
  while (true) {
    std::size_t next = kClasses;
    std::pair<double, JobId> bid;
    for (std::size_t c = 0; c < kClasses; ++c) {
      if (is_done[c]) continue;
      const auto at = waiting_.OfClass(c).upper_bound(last[c]);
      if (at == waiting_.OfClass(c).end()) {
        is_done[c] = true;
      } else if (next == kClasses || WaitingBids::Dearer()(*at, bid)) {
        next = c;
        bid = *at;
      }
    }
    if (next == kClasses) return;
    last[next] = bid;
    if (world.pool(next).free_milli() == 0) {
      const Runs& runs = RunsOf(world, next);
      if (runs.bids.empty() || runs.bids.front().first >= bid.first) {
        is_done[next] = true;
        continue;
      }
    }
    if (world.HoursOn(bid.second, next) <= 0 || !Outbid(world, bid.second, next, bid.first)) continue;
    if (!world.Start(bid.second, next)) continue;
    waiting_.Remove(bid.second);
    runs_[next].is_current = false;
  }
}

}  // namespace accelmesh::sim
