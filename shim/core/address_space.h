// The device memory of one leased device as the client sees it: the client picks every address (DESIGN.md 5), so that
// allocation costs no round trip.
//
// A freed range is quarantined until every stream that had work pending when it was freed has passed that point; only
// then may it be given out again (SEMANTICS.md 1). Time is measured in the session's command sequence numbers.
// Threads: none; the owner locks. Units: bytes. Addresses are device addresses inside [base, base + bytes).
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <unordered_map>
#include <vector>

#include "protocol/base/result.h"

namespace accelmesh {

class AddressSpace {
 public:
  // CUDA promises 256; texture pitch and our chunk bookkeeping like 512.
  static constexpr std::uint64_t kAlignment = 512;

  // Addresses come from [base, base + window_bytes); at most `memory_bytes` are allocated at a time.
  AddressSpace(std::uint64_t base, std::uint64_t window_bytes, std::uint64_t memory_bytes);

  // kOutOfMemory if the quota or the window has no room. If `quarantined_bytes()` covers the need, the caller may wait
  // for progress, call Release() and try again.
  Result<std::uint64_t> Allocate(std::uint64_t bytes);

  // Ends an allocation at sequence `freed_at`; `idle` says that nothing was pending then, so that the range is free at
  // once. kInvalidArgument if `address` is not the start of a live allocation.
  Status Free(std::uint64_t address, std::uint64_t freed_at, bool idle);

  // Memory elsewhere that counts like an allocation of this device. kOutOfMemory past the quota.
  Status Charge(std::uint64_t bytes);
  void Discharge(std::uint64_t bytes) { allocated_bytes_ -= bytes; }

  // Gives back quarantined ranges freed at or before `passed`: every command up to it has completed.
  void Release(std::uint64_t passed);

  struct Range {
    std::uint64_t address = 0;
    std::uint64_t bytes = 0;
  };
  // The live allocation that contains `address`; bytes == 0 if there is none.
  Range Find(std::uint64_t address) const;
  // All live allocations, by address.
  std::vector<Range> Live() const;
  bool Contains(std::uint64_t address) const { return address - base_ < window_bytes_; }

  std::uint64_t memory_bytes() const { return memory_bytes_; }
  std::uint64_t allocated_bytes() const { return allocated_bytes_; }
  std::uint64_t quarantined_bytes() const { return quarantined_bytes_; }
  // The oldest sequence at which something in quarantine was freed; 0 if it is empty.
  std::uint64_t oldest_quarantined() const { return quarantine_.empty() ? 0 : quarantine_.front().freed_at; }

 private:
  struct Quarantined {
    std::uint64_t freed_at;
    Range range;
  };
  void Reuse(Range range);
  void Merge(Range range);
  bool TakeFree(std::uint64_t bytes, std::uint64_t* address);
  bool TakeMerged(std::uint64_t bytes, std::uint64_t* address);

  // Ranges up to this size are reused by exact size from bins; larger ones are split and merged. Once the window is
  // used up, what lies in bins is merged as well.
  static constexpr std::uint64_t kBinnedBytesMax = 64 * 1024;

  std::uint64_t base_;
  std::uint64_t window_bytes_;
  std::uint64_t memory_bytes_;
  std::uint64_t allocated_bytes_ = 0;
  std::uint64_t quarantined_bytes_ = 0;
  std::uint64_t top_ = 0;                        // everything at or above base_ + top_ has never been used
  std::map<std::uint64_t, std::uint64_t> live_;  // address -> bytes
  std::map<std::uint64_t, std::uint64_t> free_;  // address -> bytes, merged
  std::vector<std::vector<std::uint64_t>> bins_;
  std::deque<Quarantined> quarantine_;
};

}  // namespace accelmesh
