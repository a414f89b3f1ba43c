// A stream-ordered memory pool: segments of device memory, cut into blocks that are handed out and taken back in stream
// order (SEMANTICS.md 1).
//
// A block that was freed on a stream may be had again on that stream at once; elsewhere when the free has passed, or
// when the other stream's work is known to be behind it. Segments come from the address space and go back to it whole.
// Threads: none; the owner locks. Units: bytes. Addresses are device addresses.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <utility>
#include <vector>

#include "shim/core/address_space.h"
#include "shim/core/stream_order.h"

namespace accelmesh {

// What the pool asks about streams.
class PoolOrder {
 public:
  virtual ~PoolOrder() = default;
  virtual bool HasPassed(const StreamPoint& point) const = 0;
  // Whether what is posted to `stream` from now on runs after `point`.
  virtual bool IsBehind(const StreamName& stream, const StreamPoint& point) const = 0;
};

class MemoryPool {
 public:
  // Small blocks share segments of this size; a larger block's segment is a multiple of it if that fits.
  static constexpr std::uint64_t kSegmentBytes = 2 * 1024 * 1024;

  struct Policy {
    bool follows_events = true;
    bool is_opportunistic = true;
    bool adds_dependencies = true;  // kept for the program; an allocation waits instead
    std::uint64_t release_threshold = 0;
  };

  // At most `bytes_max` are reserved at a time; 0: as many as the device has.
  MemoryPool(std::uint32_t device, std::uint64_t bytes_max)
      : device_(device), bytes_max_(bytes_max), admitted_(std::uint64_t{1} << device) {}

  // A block for work on `stream` out of what the pool holds; 0 if nothing that it holds fits and may be used there.
  std::uint64_t Take(std::uint64_t bytes, const StreamName& stream, const PoolOrder& order);
  // How large a segment to add so that `bytes` fit: rounded up generously, or just enough. 0: past the pool's maximum.
  std::uint64_t SegmentFor(std::uint64_t bytes, bool is_exact) const;
  void AddSegment(std::uint64_t address, std::uint64_t bytes);

  // Ends a block at `point`. False if `address` is not the start of a live one.
  bool Free(std::uint64_t address, const StreamPoint& point);
  // From here on everybody may use what was freed at points that have passed.
  void Settle(const PoolOrder& order);
  // Takes out segments that nobody uses, as long as `keep_bytes` stay; appends them to `released`.
  void Release(std::uint64_t keep_bytes, std::vector<AddressSpace::Range>* released);

  // The live block around an address; bytes == 0 if there is none.
  AddressSpace::Range FindLive(std::uint64_t address) const;
  // The free that passes first of those that have not been seen to; sequence == 0 if there is none.
  StreamPoint OldestPending() const;

  std::uint32_t device() const { return device_; }
  Policy& policy() { return policy_; }
  // Which devices may use its memory; its own may from the start.
  void Admit(std::uint32_t device, bool is_admitted) {
    const std::uint64_t bit = std::uint64_t{1} << device;
    admitted_ = is_admitted ? admitted_ | bit : admitted_ & ~bit;
  }
  bool admits(std::uint32_t device) const { return (admitted_ >> device & 1) != 0; }
  std::uint64_t reserved_bytes() const { return reserved_bytes_; }
  std::uint64_t used_bytes() const { return used_bytes_; }
  std::uint64_t reserved_high() const { return reserved_high_; }
  std::uint64_t used_high() const { return used_high_; }
  void ResetReservedHigh() { reserved_high_ = reserved_bytes_; }
  void ResetUsedHigh() { used_high_ = used_bytes_; }

 private:
  enum class State : std::uint8_t { kLive, kPending, kFree };
  struct Block {
    std::uint64_t bytes = 0;
    std::uint64_t segment = 0;
    State state = State::kFree;
    StreamPoint freed;  // while pending
  };
  using Blocks = std::map<std::uint64_t, Block>;                     // by address
  using BySize = std::set<std::pair<std::uint64_t, std::uint64_t>>;  // bytes, address
  struct Pending {
    BySize by_size;
    std::set<std::pair<std::uint64_t, std::uint64_t>> by_sequence;  // sequence, address
  };

  // Enters an idle block where it is looked for; one that is free for all joined with its neighbours of that kind.
  void Enter(Blocks::iterator block);
  void Remove(Blocks::iterator block);
  // Cuts `bytes` off an idle block's front, for use.
  std::uint64_t Cut(std::uint64_t address, std::uint64_t bytes);
  // Joins neighbours that the stream may have, so that together they are large enough; 0 if none are.
  std::uint64_t JoinOwn(std::uint64_t bytes, std::uint32_t slot);
  std::uint64_t FindOrdered(std::uint64_t bytes, const StreamName& stream, const PoolOrder& order) const;

  std::uint32_t device_;
  std::uint64_t bytes_max_;
  std::uint64_t admitted_;  // a bit a device; there are 64 at most
  Policy policy_;
  std::uint64_t reserved_bytes_ = 0;
  std::uint64_t reserved_high_ = 0;
  std::uint64_t used_bytes_ = 0;
  std::uint64_t used_high_ = 0;
  Blocks blocks_;
  std::map<std::uint64_t, std::uint64_t> segments_;  // address -> bytes
  BySize free_;
  std::map<std::uint32_t, Pending> pending_;  // by the slot that the free is on
};

}  // namespace accelmesh
