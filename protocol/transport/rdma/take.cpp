// What an End takes in and gives back, and what can be asked of it.
#include "protocol/transport/rdma/end.h"

namespace accelmesh::rdma {

Status End::Take(std::size_t ring, MutableByteView to, Kind& kind, std::size_t& size) {
  RingIn& in = in_[ring];
  if (!in.Pop(to.data(), to.size(), kind, size)) {
    Close({Code::kBadFrame, "rdma", "the peer wrote a record that is none into the ring"});
    return ClosedStatus();
  }
  counts_.bytes_copied.fetch_add(size, std::memory_order_relaxed);
  block_->mine().head[ring].store(in.head(), std::memory_order_release);
  return {};
}

void End::Release(std::uint32_t first_unit) {
  if (IsLandingUnit(first_unit)) {
    block_->mine().landing_released.fetch_xor(std::uint64_t{1} << (first_unit - kUnits), std::memory_order_release);
    return;
  }
  block_->mine().released[first_unit / 64].fetch_xor(std::uint64_t{1} << (first_unit % 64), std::memory_order_release);
}

void End::FreeUnitsLocked(std::uint32_t first) {
  if (IsLandingUnit(first)) return landing_units_.Free(first - kUnits);
  units_.Free(first);
}

bool End::SetLanding(const LandingPlace& place) {
  const MutexLock lock(mutex_);
  if (landing_.has_value()) return false;
  landing_ = place;
  return true;
}

End::Positions End::PositionsOf(std::size_t ring) {
  const MutexLock lock(mutex_);
  LearnLocked();
  return {out_[ring].tail(), out_[ring].tail() - out_[ring].unread()};
}

Counts End::counts() const {
  const auto get = [](const std::atomic<std::uint64_t>& count) { return count.load(std::memory_order_relaxed); };
  return {get(counts_.work), get(counts_.doorbells), get(counts_.completions), get(counts_.wakes),
          get(counts_.arms), get(counts_.sleeps),    get(counts_.bytes_copied)};
}

}  // namespace accelmesh::rdma
