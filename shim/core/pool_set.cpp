#include "shim/core/pool_set.h"

#include <algorithm>
#include <iterator>

namespace accelmesh {

void PoolSet::AddDevice() {
  pools_.push_back(std::make_unique<MemoryPool>(static_cast<std::uint32_t>(pools_.size()), 0));
  current_.push_back(pools_.back().get());
}

MemoryPool* PoolSet::Create(std::uint32_t device, std::uint64_t bytes_max) {
  pools_.push_back(std::make_unique<MemoryPool>(device, bytes_max));
  return pools_.back().get();
}

bool PoolSet::IsPool(const MemoryPool* pool) const {
  return std::any_of(pools_.begin(), pools_.end(), [pool](const auto& one) { return one.get() == pool; });
}

bool PoolSet::Destroy(const MemoryPool* pool) {
  const auto made = pools_.begin() + static_cast<std::ptrdiff_t>(current_.size());
  const auto found = std::find_if(made, pools_.end(), [pool](const auto& one) { return one.get() == pool; });
  if (found == pools_.end()) return false;
  for (std::uint32_t device = 0; device < current_.size(); ++device) {
    if (current_[device] == pool) current_[device] = Default(device);
  }
  destroyed_.push_back(std::move(*found));
  pools_.erase(found);
  return true;
}

void PoolSet::Reset(std::uint32_t device) {
  const auto is_of_device = [device](const auto& pool) { return pool->device() == device; };
  std::erase_if(segments_, [device](const auto& segment) { return segment.second.pool->device() == device; });
  std::erase_if(destroyed_, is_of_device);
  const auto made = pools_.begin() + static_cast<std::ptrdiff_t>(current_.size());
  pools_.erase(std::remove_if(made, pools_.end(), is_of_device), pools_.end());
  *Default(device) = MemoryPool(device, 0);
  current_[device] = Default(device);
}

bool PoolSet::SetCurrent(std::uint32_t device, MemoryPool* pool) {
  if (!IsPool(pool) || pool->device() != device) return false;
  current_[device] = pool;
  return true;
}

void PoolSet::AddSegment(MemoryPool& pool, std::uint64_t address, std::uint64_t bytes) {
  pool.AddSegment(address, bytes);
  segments_.emplace(address, Segment{bytes, &pool});
}

MemoryPool* PoolSet::Find(std::uint64_t address) const {
  const auto after = segments_.upper_bound(address);
  if (after == segments_.begin()) return nullptr;
  const auto& [start, segment] = *std::prev(after);
  return address - start < segment.bytes ? segment.pool : nullptr;
}

void PoolSet::Trim(MemoryPool& pool, std::uint64_t keep_bytes, const PoolOrder& order,
                   std::vector<Released>* released) {
  pool.Settle(order);
  std::vector<AddressSpace::Range> ranges;
  pool.Release(keep_bytes, &ranges);
  for (const AddressSpace::Range& range : ranges) {
    segments_.erase(range.address);
    released->push_back({pool.device(), range});
  }
}

void PoolSet::Bury() {
  std::erase_if(destroyed_, [](const auto& pool) { return pool->reserved_bytes() == 0; });
}

bool PoolSet::Tidy(const PoolOrder& order, std::vector<Released>* released) {
  bool is_tidy = true;
  const auto tidy = [&](MemoryPool& pool, std::uint64_t keep_bytes) {
    Trim(pool, keep_bytes, order, released);
    is_tidy = is_tidy && pool.OldestPending().sequence == 0;
  };
  for (const auto& pool : pools_) tidy(*pool, pool->policy().release_threshold);
  for (const auto& pool : destroyed_) tidy(*pool, 0);
  Bury();
  return is_tidy;
}

void PoolSet::ReleaseIdle(std::uint32_t device, const PoolOrder& order, std::vector<Released>* released) {
  for (const auto* pools : {&pools_, &destroyed_}) {
    for (const auto& pool : *pools) {
      if (pool->device() == device) Trim(*pool, 0, order, released);
    }
  }
  Bury();
}

std::uint64_t PoolSet::IdleBytes(std::uint32_t device) const {
  std::uint64_t idle = 0;
  for (const auto* pools : {&pools_, &destroyed_}) {
    for (const auto& pool : *pools) {
      if (pool->device() == device) idle += pool->reserved_bytes() - pool->used_bytes();
    }
  }
  return idle;
}

StreamPoint PoolSet::OldestPending(std::uint32_t device) const {
  StreamPoint oldest;
  for (const auto* pools : {&pools_, &destroyed_}) {
    for (const auto& pool : *pools) {
      if (pool->device() != device) continue;
      const StreamPoint point = pool->OldestPending();
      if (point.sequence != 0 && (oldest.sequence == 0 || point.sequence < oldest.sequence)) oldest = point;
    }
  }
  return oldest;
}

}  // namespace accelmesh
