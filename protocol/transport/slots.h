// Bodies in shared memory: an arena of 64 KiB units from which the sending side takes runs, and which the receiving
// side gives back by a flag per run.
//
// What is allocated is known to the sender alone (private memory); the receiver's flags are only hints that a run may
// be reused, so a peer that scribbles on them spoils bodies of its own connection and nothing else.
// Threads: Allocate() from any; the copying into a run happens outside.
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <vector>

#include "protocol/base/limits.h"
#include "protocol/base/mutex.h"

namespace accelmesh::shm {

inline constexpr std::size_t kUnitBytes = 64 * limits::kKiB;
inline constexpr std::uint32_t kUnits = limits::kBulkInFlightBytesMax / kUnitBytes;

// One flag per unit, in shared memory; only those of a run's first unit are used.
struct ReleasedFlags {
  std::atomic<std::uint32_t> unit[kUnits];
};

// Units that a body of `size` bytes takes; an empty body takes one, so that every body has a place to be released.
constexpr std::uint32_t UnitsFor(std::size_t size) {
  return size == 0 ? 1 : static_cast<std::uint32_t>((size + kUnitBytes - 1) / kUnitBytes);
}

class SlotAllocator {
 public:
  explicit SlotAllocator(ReleasedFlags& released) : released_(released), run_(kUnits, 0) {}

  // The first unit of a free run of `units`, or nothing. First fit: units that were just read are still in the cache.
  std::optional<std::uint32_t> Allocate(std::uint32_t units);
  // Takes back a run that was not announced.
  void Free(std::uint32_t first);

 private:
  ReleasedFlags& released_;
  Mutex mutex_;
  std::vector<std::uint16_t> run_
      ACCELMESH_GUARDED_BY(mutex_);  // length of the run that begins at a unit; 0 inside runs and where it is free
};

}  // namespace accelmesh::shm
