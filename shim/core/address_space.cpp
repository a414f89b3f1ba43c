#include "shim/core/address_space.h"

#include <iterator>

#include "protocol/base/bytes.h"
#include "protocol/base/limits.h"
#include "shim/core/work_counts.h"

namespace accelmesh {

AddressSpace::AddressSpace(std::uint64_t base, std::uint64_t window_bytes, std::uint64_t memory_bytes)
    : base_(base), window_bytes_(window_bytes), memory_bytes_(memory_bytes), bins_(kBinnedBytesMax / kAlignment + 1) {}

bool AddressSpace::TakeMerged(std::uint64_t bytes, std::uint64_t* address) {
  // First fit: large ranges are few, and low addresses keep the backing dense.
  for (auto it = free_.begin(); it != free_.end(); ++it) {
    if (it->second < bytes) continue;
    *address = it->first;
    const Range rest{it->first + bytes, it->second - bytes};
    free_.erase(it);
    if (rest.bytes != 0) Reuse(rest);
    return true;
  }
  return false;
}

bool AddressSpace::TakeFree(std::uint64_t bytes, std::uint64_t* address) {
  if (bytes <= kBinnedBytesMax) {
    std::vector<std::uint64_t>& bin = bins_[bytes / kAlignment];
    if (!bin.empty()) {
      *address = bin.back();
      bin.pop_back();
      return true;
    }
  } else if (TakeMerged(bytes, address)) {
    return true;
  }
  if (window_bytes_ - top_ >= bytes) {
    *address = base_ + top_;
    top_ += bytes;
    return true;
  }
  // The window is used up: whatever is free anywhere, of any size, is put together.
  for (std::size_t size = 0; size < bins_.size(); ++size) {
    for (const std::uint64_t binned : bins_[size]) Merge({binned, size * kAlignment});
    bins_[size].clear();
  }
  return TakeMerged(bytes, address);
}

Status AddressSpace::Charge(std::uint64_t bytes) {
  if (bytes > memory_bytes_ - allocated_bytes_ - quarantined_bytes_)
    return {Code::kOutOfMemory, "AddressSpace::Charge.bytes", std::to_string(bytes) + " bytes asked"};
  allocated_bytes_ += bytes;
  NoteMemory(allocated_bytes_);
  return Status::Ok();
}

Result<std::uint64_t> AddressSpace::Allocate(std::uint64_t bytes) {
  if (bytes == 0 || bytes > limits::kAllocationBytesMax) {
    return Status(Code::kInvalidArgument, "AddressSpace::Allocate.bytes", std::to_string(bytes) + " bytes");
  }
  const std::uint64_t rounded = AlignUp(bytes, kAlignment);
  std::uint64_t address = 0;
  // Quarantined bytes are still in use by the device, so they count.
  if (rounded > memory_bytes_ - allocated_bytes_ - quarantined_bytes_ || !TakeFree(rounded, &address)) {
    return Status(Code::kOutOfMemory, "AddressSpace::Allocate.bytes",
                  std::to_string(bytes) + " bytes asked, " +
                      std::to_string(memory_bytes_ - allocated_bytes_ - quarantined_bytes_) + " of " +
                      std::to_string(memory_bytes_) + " free");
  }
  live_.emplace(address, rounded);
  allocated_bytes_ += rounded;
  NoteMemory(allocated_bytes_);
  return address;
}

Status AddressSpace::Free(std::uint64_t address, std::uint64_t freed_at, bool idle) {
  const auto found = live_.find(address);
  if (found == live_.end()) {
    return {Code::kInvalidArgument, "AddressSpace::Free.address", "not the start of a live allocation"};
  }
  const Range range{found->first, found->second};
  live_.erase(found);
  allocated_bytes_ -= range.bytes;
  if (idle) {
    Reuse(range);
  } else {
    quarantined_bytes_ += range.bytes;
    quarantine_.push_back({freed_at, range});
  }
  return Status::Ok();
}

void AddressSpace::Release(std::uint64_t passed) {
  while (!quarantine_.empty() && quarantine_.front().freed_at <= passed) {
    quarantined_bytes_ -= quarantine_.front().range.bytes;
    Reuse(quarantine_.front().range);
    quarantine_.pop_front();
  }
}

void AddressSpace::Reuse(Range range) {
  if (range.bytes <= kBinnedBytesMax) {
    bins_[range.bytes / kAlignment].push_back(range.address);
  } else {
    Merge(range);
  }
}

void AddressSpace::Merge(Range range) {
  auto next = free_.lower_bound(range.address);
  if (next != free_.end() && range.address + range.bytes == next->first) {
    range.bytes += next->second;
    next = free_.erase(next);
  }
  if (next != free_.begin()) {
    const auto before = std::prev(next);
    if (before->first + before->second == range.address) {
      before->second += range.bytes;
      return;
    }
  }
  free_.emplace_hint(next, range.address, range.bytes);
}

std::vector<AddressSpace::Range> AddressSpace::Live() const {
  std::vector<Range> live;
  for (const auto& [address, bytes] : live_) live.push_back({address, bytes});
  return live;
}

AddressSpace::Range AddressSpace::Find(std::uint64_t address) const {
  auto after = live_.upper_bound(address);
  if (after == live_.begin()) return {};
  const auto it = std::prev(after);
  if (address - it->first >= it->second) return {};
  return {it->first, it->second};
}

}  // namespace accelmesh
