#include "shim/core/memory_pool.h"

#include <algorithm>
#include <iterator>

#include "protocol/base/bytes.h"

namespace accelmesh {

std::uint64_t MemoryPool::Take(std::uint64_t bytes, const StreamName& stream, const PoolOrder& order) {
  bytes = AlignUp(bytes, AddressSpace::kAlignment);
  if (policy_.is_opportunistic) Settle(order);
  if (const auto own = pending_.find(stream.slot); own != pending_.end()) {
    const auto fits = own->second.by_size.lower_bound({bytes, 0});
    if (fits != own->second.by_size.end()) return Cut(fits->second, bytes);
  }
  if (const auto fits = free_.lower_bound({bytes, 0}); fits != free_.end()) return Cut(fits->second, bytes);
  std::uint64_t found = JoinOwn(bytes, stream.slot);
  if (found == 0 && policy_.follows_events) found = FindOrdered(bytes, stream, order);
  return found == 0 ? 0 : Cut(found, bytes);
}

std::uint64_t MemoryPool::JoinOwn(std::uint64_t bytes, std::uint32_t slot) {
  const auto own = pending_.find(slot);
  if (own == pending_.end()) return 0;
  for (const auto& [size, address] : own->second.by_size) {
    auto first = blocks_.find(address);
    const std::uint64_t segment = first->second.segment;
    const auto is_usable = [segment, slot](const Block& block) {
      return block.segment == segment &&
             (block.state == State::kFree || (block.state == State::kPending && block.freed.stream.slot == slot));
    };
    while (first != blocks_.begin() && is_usable(std::prev(first)->second)) --first;
    std::uint64_t joined = 0;
    auto end = first;
    for (; end != blocks_.end() && joined < bytes && is_usable(end->second); ++end) joined += end->second.bytes;
    if (joined < bytes) continue;
    Block whole{joined, segment, State::kPending, {}};
    const std::uint64_t begin = first->first;
    for (auto it = first; it != end; it = blocks_.erase(it)) {
      Remove(it);
      if (it->second.state == State::kPending && it->second.freed.sequence > whole.freed.sequence)
        whole.freed = it->second.freed;
    }
    const auto block = blocks_.emplace(begin, whole).first;
    Enter(block);
    return block->first;
  }
  return 0;
}

std::uint64_t MemoryPool::FindOrdered(std::uint64_t bytes, const StreamName& stream, const PoolOrder& order) const {
  // Few streams free into a pool, and few sizes wait: the first that may be used is taken.
  for (const auto& [slot, pending] : pending_) {
    for (auto it = pending.by_size.lower_bound({bytes, 0}); it != pending.by_size.end(); ++it) {
      if (order.IsBehind(stream, blocks_.at(it->second).freed)) return it->second;
    }
  }
  return 0;
}

std::uint64_t MemoryPool::Cut(std::uint64_t address, std::uint64_t bytes) {
  const auto block = blocks_.find(address);
  Remove(block);
  Block rest = block->second;
  block->second.state = State::kLive;  // so that the rest does not join it
  if (rest.bytes > bytes) {
    rest.bytes -= bytes;
    block->second.bytes = bytes;
    Enter(blocks_.emplace_hint(std::next(block), address + bytes, rest));
  }
  used_bytes_ += bytes;
  used_high_ = std::max(used_high_, used_bytes_);
  return address;
}

std::uint64_t MemoryPool::SegmentFor(std::uint64_t bytes, bool is_exact) const {
  const std::uint64_t segment = AlignUp(bytes, is_exact ? AddressSpace::kAlignment : kSegmentBytes);
  if (bytes_max_ == 0) return segment;
  return reserved_bytes_ <= bytes_max_ && segment <= bytes_max_ - reserved_bytes_ ? segment : 0;
}

void MemoryPool::AddSegment(std::uint64_t address, std::uint64_t bytes) {
  segments_.emplace(address, bytes);
  reserved_bytes_ += bytes;
  reserved_high_ = std::max(reserved_high_, reserved_bytes_);
  Enter(blocks_.emplace(address, Block{bytes, address, State::kFree, {}}).first);
}

bool MemoryPool::Free(std::uint64_t address, const StreamPoint& point) {
  const auto block = blocks_.find(address);
  if (block == blocks_.end() || block->second.state != State::kLive) return false;
  used_bytes_ -= block->second.bytes;
  block->second.state = State::kPending;
  block->second.freed = point;
  Enter(block);
  return true;
}

void MemoryPool::Enter(Blocks::iterator block) {
  if (block->second.state == State::kPending) {
    // On its own, so that it does not have to wait for what is freed beside it later.
    Pending& pending = pending_[block->second.freed.stream.slot];
    pending.by_size.emplace(block->second.bytes, block->first);
    pending.by_sequence.emplace(block->second.freed.sequence, block->first);
    return;
  }
  const auto joins = [](const Block& a, const Block& b) { return a.segment == b.segment && b.state == State::kFree; };
  if (const auto next = std::next(block); next != blocks_.end() && joins(block->second, next->second)) {
    Remove(next);
    block->second.bytes += next->second.bytes;
    blocks_.erase(next);
  }
  if (block != blocks_.begin() && joins(block->second, std::prev(block)->second)) {
    const auto before = std::prev(block);
    Remove(before);
    before->second.bytes += block->second.bytes;
    blocks_.erase(block);
    block = before;
  }
  free_.emplace(block->second.bytes, block->first);
}

void MemoryPool::Remove(Blocks::iterator block) {
  const auto& [address, removed] = *block;
  if (removed.state == State::kFree) {
    free_.erase({removed.bytes, address});
    return;
  }
  const auto pending = pending_.find(removed.freed.stream.slot);
  pending->second.by_size.erase({removed.bytes, address});
  pending->second.by_sequence.erase({removed.freed.sequence, address});
}

void MemoryPool::Settle(const PoolOrder& order) {
  for (auto it = pending_.begin(); it != pending_.end();) {
    auto& by_sequence = it->second.by_sequence;
    while (!by_sequence.empty()) {
      const auto block = blocks_.find(by_sequence.begin()->second);
      if (!order.HasPassed(block->second.freed)) break;
      Remove(block);
      block->second.state = State::kFree;
      block->second.freed = {};
      Enter(block);
    }
    it = by_sequence.empty() ? pending_.erase(it) : std::next(it);
  }
}

void MemoryPool::Release(std::uint64_t keep_bytes, std::vector<AddressSpace::Range>* released) {
  for (auto segment = segments_.begin(); segment != segments_.end() && reserved_bytes_ > keep_bytes;) {
    const auto [address, bytes] = *segment;
    const auto block = blocks_.find(address);
    const bool is_idle = block->second.state == State::kFree && block->second.bytes == bytes;
    if (!is_idle || reserved_bytes_ - bytes < keep_bytes) {
      ++segment;
      continue;
    }
    Remove(block);
    blocks_.erase(block);
    reserved_bytes_ -= bytes;
    released->push_back({address, bytes});
    segment = segments_.erase(segment);
  }
}

AddressSpace::Range MemoryPool::FindLive(std::uint64_t address) const {
  const auto after = blocks_.upper_bound(address);
  if (after == blocks_.begin()) return {};
  const auto& [start, block] = *std::prev(after);
  if (block.state != State::kLive || address - start >= block.bytes) return {};
  return {start, block.bytes};
}

StreamPoint MemoryPool::OldestPending() const {
  StreamPoint oldest;
  for (const auto& [slot, pending] : pending_) {
    if (pending.by_sequence.empty()) continue;
    const StreamPoint& point = blocks_.at(pending.by_sequence.begin()->second).freed;
    if (oldest.sequence == 0 || point.sequence < oldest.sequence) oldest = point;
  }
  return oldest;
}

}  // namespace accelmesh
