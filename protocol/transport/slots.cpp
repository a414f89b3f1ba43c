#include "protocol/transport/slots.h"

namespace accelmesh::shm {

std::optional<std::uint32_t> SlotAllocator::Allocate(std::uint32_t units) {
  const MutexLock lock(mutex_);
  std::uint32_t free = 0;
  for (std::uint32_t at = 0; at < kUnits;) {
    if (run_[at] != 0) {
      // Acquire: the receiver has finished reading before we write there again.
      if (released_.unit[at].load(std::memory_order_seq_cst) == 0) {
        at += run_[at];
        free = 0;
        continue;
      }
      released_.unit[at].store(0, std::memory_order_relaxed);
      run_[at] = 0;
    }
    ++at;
    if (++free == units) {
      const std::uint32_t first = at - units;
      run_[first] = static_cast<std::uint16_t>(units);
      released_.unit[first].store(0, std::memory_order_relaxed);
      return first;
    }
  }
  return std::nullopt;
}

void SlotAllocator::Free(std::uint32_t first) {
  const MutexLock lock(mutex_);
  run_[first] = 0;
}

}  // namespace accelmesh::shm
