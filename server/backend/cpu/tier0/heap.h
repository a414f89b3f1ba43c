// What malloc and free in kernels give out of: a range of device memory of fixed size.
//
// Threads: all methods may be called by any. Its books lie outside of the range, where no kernel can damage them.
// Units: bytes; addresses are aligned to 16.
#pragma once

#include <cstdint>
#include <map>
#include <unordered_map>

#include "protocol/base/mutex.h"

namespace accelmesh::tier0 {

class Heap {
 public:
  Heap(std::uint64_t base, std::uint64_t bytes);
  // 0 if there is no room.
  std::uint64_t Allocate(std::uint64_t bytes);
  // False if the address is not one that was allocated.
  bool Free(std::uint64_t address);

 private:
  Mutex mu_;
  std::map<std::uint64_t, std::uint64_t> free_ ACCELMESH_GUARDED_BY(mu_);  // address, bytes; no two of them touch
  std::unordered_map<std::uint64_t, std::uint64_t> taken_ ACCELMESH_GUARDED_BY(mu_);
};

}  // namespace accelmesh::tier0
