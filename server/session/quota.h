// What a session may still take of its lease's memory, which other sessions of the lease take of as well.
//
// Threads: the executor's.
#pragma once

#include <cstdint>

namespace accelmesh {

class MemoryQuota {
 public:
  virtual ~MemoryQuota() = default;
  // Whether there was so much; then it is taken.
  virtual bool Take(std::uint64_t bytes) = 0;
  virtual void Give(std::uint64_t bytes) = 0;
  // Of the whole lease, in bytes; 0: none.
  virtual std::uint64_t limit() const = 0;
};

}  // namespace accelmesh
