#include "protocol/transport/rdma/thresholds.h"

#include <algorithm>

#include "protocol/transport/copy.h"

namespace accelmesh::rdma {
namespace {

constexpr int kTries = 5;

std::int64_t NsOf(Duration duration) { return std::chrono::nanoseconds(duration).count(); }

}  // namespace

Result<Duration> End::MeasureWrite(std::size_t bytes, Deadline deadline) {
  ACCELMESH_ASSIGN_OR_RETURN(const std::uint32_t unit, TakeUnits(bytes, BodyTo::kArena, deadline));
  const std::size_t at = ArenaOffset(block_->peer()) + unit * kUnitBytes;
  Work work[2];
  work[0].local = block_->staging().data() + at;
  work[0].bytes = static_cast<std::uint32_t>(bytes);
  work[0].local_key = staging_memory_->local_key();
  work[0].remote = peer_.inbox + at;
  work[0].remote_key = peer_.inbox_key;
  std::uint64_t last = 0;
  const Instant begin = Clock::now();
  Status posted;
  {
    const MutexLock lock(mutex_);
    if (HasQueueRoomLocked(std::size(work), NeedsRoom::kSender)) {
      FillWordsLocked(work[1]);
      posted = PostLocked(work, Wake::kNever, /*must_signal=*/true);
      last = posted_;
    } else {
      posted = {Code::kFull, "rdma", "the send queue is full"};
    }
  }
  ACCELMESH_RETURN_IF_ERROR(posted);
  ACCELMESH_RETURN_IF_ERROR(Await(last));
  const Duration taken = Clock::now() - begin;
  const MutexLock lock(mutex_);
  units_.Free(unit);
  return taken;
}

// Of size s the device takes a + b * s, through both measured points, and the processor c * s: they meet at
// a / (c - b).
Thresholds ThresholdsOf(const WriteCosts& costs) {
  Thresholds thresholds;
  const auto span = static_cast<double>(WriteCosts::kLarge - WriteCosts::kSmall);
  const double device = std::max(0.0, static_cast<double>(NsOf(costs.large) - NsOf(costs.small)) / span);
  const double processor = static_cast<double>(NsOf(costs.copy)) / static_cast<double>(WriteCosts::kLarge);
  const double latency = std::max(0.0, static_cast<double>(NsOf(costs.small)) - device * WriteCosts::kSmall);
  thresholds.direct_bytes_min = Thresholds::kMost;
  if (processor > device) {
    const double meet = std::min(latency / (processor - device), static_cast<double>(Thresholds::kMost));
    thresholds.direct_bytes_min = std::max(Thresholds::kLeast, AlignUp(static_cast<std::size_t>(meet), 4096));
  }
  return thresholds;
}

Result<WriteCosts> MeasureWrites(End& end, Deadline deadline) {
  WriteCosts costs{Duration::max(), Duration::max(), Duration::max()};
  const Bytes from(WriteCosts::kLarge, 1);
  Bytes to(WriteCosts::kLarge);
  for (int attempt = 0; attempt < kTries; ++attempt) {
    ACCELMESH_ASSIGN_OR_RETURN(const Duration small, end.MeasureWrite(WriteCosts::kSmall, deadline));
    ACCELMESH_ASSIGN_OR_RETURN(const Duration large, end.MeasureWrite(WriteCosts::kLarge, deadline));
    const Instant begin = Clock::now();
    CopyBody(to.data(), from.data(), from.size());
    costs.copy = std::min(costs.copy, Clock::now() - begin);
    costs.small = std::min(costs.small, small);
    costs.large = std::min(costs.large, large);
  }
  return costs;
}

std::string Describe(const WriteCosts& costs, const Thresholds& thresholds) {
  return "the device reads 4 KiB in " + std::to_string(NsOf(costs.small) / 1000) + " us and 64 KiB in " +
         std::to_string(NsOf(costs.large) / 1000) + " us, a copy of 64 KiB takes " +
         std::to_string(NsOf(costs.copy) / 1000) + " us: pinned memory is not copied from " +
         std::to_string(thresholds.direct_bytes_min / limits::kKiB) + " KiB on";
}

}  // namespace accelmesh::rdma
