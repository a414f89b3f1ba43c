// All stream-ordered pools of a session: each device's default one and those that the program made, which of them is a
// device's current one, and which pool a device address belongs to.
//
// A pool that was destroyed lives on, unseen, until its last block has been freed.
// Threads: none; the owner locks. Ownership: the pools are the set's.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "shim/core/memory_pool.h"

namespace accelmesh {

class PoolSet {
 public:
  struct Released {
    std::uint32_t device = 0;
    AddressSpace::Range range;
  };

  // Devices come in their order; each brings its default pool.
  void AddDevice();
  MemoryPool* Create(std::uint32_t device, std::uint64_t bytes_max);
  // False if it is no pool, or a default one.
  bool Destroy(const MemoryPool* pool);
  // Forgets all that the device's pools hold, and all but its default one, which is as at first. The memory behind them
  // is the caller's to free.
  void Reset(std::uint32_t device);
  bool IsPool(const MemoryPool* pool) const;
  MemoryPool* Default(std::uint32_t device) const { return pools_[device].get(); }
  MemoryPool* Current(std::uint32_t device) const { return current_[device]; }
  // False if it is no pool, or another device's.
  bool SetCurrent(std::uint32_t device, MemoryPool* pool);

  void AddSegment(MemoryPool& pool, std::uint64_t address, std::uint64_t bytes);
  // The pool that the address's segment is of; null if there is none.
  MemoryPool* Find(std::uint64_t address) const;

  // What a synchronise does: what has been freed belongs to everybody, and each pool gives back what it holds beyond
  // its threshold. True if nothing is left that another one could do.
  bool Tidy(const PoolOrder& order, std::vector<Released>* released);
  // What memory pressure does: the pools of the device give back whatever nobody uses.
  void ReleaseIdle(std::uint32_t device, const PoolOrder& order, std::vector<Released>* released);
  // One pool gives back what nobody uses, as long as `keep_bytes` stay.
  void Trim(MemoryPool& pool, std::uint64_t keep_bytes, const PoolOrder& order, std::vector<Released>* released);

  // Bytes that the pools of the device hold and no block uses.
  std::uint64_t IdleBytes(std::uint32_t device) const;
  // The free that passes first in the pools of the device; sequence == 0 if there is none.
  StreamPoint OldestPending(std::uint32_t device) const;

 private:
  struct Segment {
    std::uint64_t bytes = 0;
    MemoryPool* pool = nullptr;
  };
  void Bury();

  // The devices' default pools come first.
  std::vector<std::unique_ptr<MemoryPool>> pools_;
  std::vector<std::unique_ptr<MemoryPool>> destroyed_;
  std::vector<MemoryPool*> current_;           // by device
  std::map<std::uint64_t, Segment> segments_;  // by address
};

}  // namespace accelmesh
