// The live allocations of one device, as the client told them, with the exact quota.
// Threads: none; the executor's. Units: bytes.
#pragma once

#include <cstdint>
#include <map>

#include "protocol/base/result.h"
#include "server/session/quota.h"

namespace accelmesh {

class RangeTable {
 public:
  // `quota` is what the lease's sessions have together, null if this one's is its own.
  RangeTable(std::uint64_t base, std::uint64_t window_bytes, std::uint64_t memory_bytes, MemoryQuota* quota = nullptr)
      : base_(base), window_bytes_(window_bytes), memory_bytes_(memory_bytes), quota_(quota) {}

  // kInvalidArgument outside of the window or over another range; kOutOfMemory past the quota.
  Status Add(std::uint64_t address, std::uint64_t bytes);
  // kInvalidArgument unless `address` starts a range.
  Status Remove(std::uint64_t address);
  // Of the range that starts at `address`; 0 if none does.
  std::uint64_t BytesAt(std::uint64_t address) const {
    const auto found = ranges_.find(address);
    return found == ranges_.end() ? 0 : found->second;
  }
  // Whether [address, address + bytes) lies inside one range.
  bool Covers(std::uint64_t address, std::uint64_t bytes) const;
  // Memory elsewhere that counts for the quota. kOutOfMemory past it.
  Status Charge(std::uint64_t bytes);
  void Discharge(std::uint64_t bytes) {
    allocated_bytes_ -= bytes;
    if (quota_ != nullptr) quota_->Give(bytes);
  }
  std::uint64_t allocated_bytes() const { return allocated_bytes_; }

 private:
  Status CheckOwn(std::uint64_t bytes) const;
  // Takes it of both quotas.
  Status Take(std::uint64_t bytes);

  std::uint64_t base_;
  std::uint64_t window_bytes_;
  std::uint64_t memory_bytes_;
  MemoryQuota* quota_;
  std::uint64_t allocated_bytes_ = 0;
  std::map<std::uint64_t, std::uint64_t> ranges_;
};

}  // namespace accelmesh
