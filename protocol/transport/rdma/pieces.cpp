// The pieces of work that an End writes to its peer, and when it tells what it has taken.
#include <algorithm>

#include "protocol/transport/rdma/end.h"

namespace accelmesh::rdma {
namespace {

// What was taken is told when it is so much; then a ring never looks full to a peer that could go on.
constexpr std::uint64_t kPublishBytes = 1 * limits::kKiB;
// What went with a lone record is known to a peer only once it receives, and whoever waits for room need not; so of a
// ring such a part is told by words in any case.
constexpr std::uint64_t kPublishParts = 8;

}  // namespace

Work End::PieceOf(std::size_t ring, const RingOut& out, const Stretch& stretch) const {
  Work piece;
  piece.local = out.staging() + stretch.at;
  piece.bytes = stretch.bytes;
  piece.local_key = staging_memory_->local_key();
  piece.remote = peer_.inbox + RingOffset(ring) + stretch.at;
  piece.remote_key = peer_.inbox_key;
  piece.is_inline = piece.bytes <= link_->limits().inline_bytes_max;
  return piece;
}

void End::FillWordsLocked(Work& words) {
  const Words& mine = block_->mine();
  words.local = block_->outbox().data();
  words.bytes = sizeof(Words);
  words.local_key = outbox_memory_->local_key();
  words.remote = peer_.inbox;
  words.remote_key = peer_.inbox_key;
  words.is_inline = true;
  for (std::size_t ring = 0; ring < kRings; ++ring)
    head_published_[ring].store(mine.head[ring].load(std::memory_order_relaxed), std::memory_order_relaxed);
  for (std::size_t word = 0; word < kUnitWords; ++word)
    released_published_[word] = mine.released[word].load(std::memory_order_relaxed);
  landing_released_published_ = mine.landing_released.load(std::memory_order_relaxed);
  acknowledged_published_ = mine.acknowledged.load(std::memory_order_relaxed);
}

bool End::HasUnpublishedLocked() const {
  const Words& mine = block_->mine();
  bool is_same = acknowledged_published_ == mine.acknowledged.load(std::memory_order_relaxed) &&
                 landing_released_published_ == mine.landing_released.load(std::memory_order_relaxed);
  for (std::size_t ring = 0; ring < kRings; ++ring)
    is_same = is_same &&
              head_published_[ring].load(std::memory_order_relaxed) == mine.head[ring].load(std::memory_order_relaxed);
  for (std::size_t word = 0; word < kUnitWords; ++word)
    is_same = is_same && released_published_[word] == mine.released[word].load(std::memory_order_relaxed);
  return !is_same;
}

bool End::IsPublishingDue() const {
  for (std::size_t ring = 0; ring < kRings; ++ring) {
    const std::uint64_t published = head_published_[ring].load(std::memory_order_relaxed);
    const std::uint64_t told = ring == 0 ? head_told_.load(std::memory_order_relaxed) : 0;
    const std::uint64_t taken = in_[ring].head();
    if (taken - std::max(published, told) >= kPublishBytes) return true;
    if (taken - published >= RingBytes(ring) / kPublishParts) return true;
  }
  return false;
}

void End::Publish(bool now) {
  // The rings' own positions are the receiving thread's: whoever publishes now may be another.
  if (!now && !IsPublishingDue()) return;
  const MutexLock lock(mutex_);
  if (closed() || !HasUnpublishedLocked() || !HasQueueRoomLocked(1, NeedsRoom::kAnybody)) return;
  Work words[1];
  FillWordsLocked(words[0]);
  (void)PostLocked(words, Wake::kNever, false);
}

}  // namespace accelmesh::rdma
