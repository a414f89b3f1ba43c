// Where module globals and the kernels' heap lie: the end of the window. What is given back is given out again, the
// lowest place first.
//
// Threads: any. Units: bytes.
#pragma once

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <map>
#include <optional>

#include "protocol/base/bytes.h"
#include "protocol/base/mutex.h"

namespace accelmesh {

class GlobalSpace {
 public:
  void Reset(std::uint64_t begin, std::uint64_t bytes) {
    const MutexLock lock(mu_);
    free_ = {{begin, bytes}};
  }

  // Nothing if there is no room. `alignment` is a power of two.
  std::optional<std::uint64_t> Take(std::uint64_t bytes, std::uint64_t alignment) {
    const std::uint64_t wanted = Units(bytes);
    if (wanted < bytes) return std::nullopt;
    const MutexLock lock(mu_);
    for (auto range = free_.begin(); range != free_.end(); ++range) {
      const auto [begin, size] = *range;
      const std::uint64_t address = AlignUp(begin, std::max(alignment, kUnit));
      if (address - begin > size || wanted > size - (address - begin)) continue;
      const std::uint64_t end = address + wanted;
      if (address == begin) {
        free_.erase(range);
      } else {
        range->second = address - begin;
      }
      if (end != begin + size) free_[end] = begin + size - end;
      return address;
    }
    return std::nullopt;
  }

  void Give(std::uint64_t address, std::uint64_t bytes) {
    std::uint64_t size = Units(bytes);
    const MutexLock lock(mu_);
    auto next = free_.lower_bound(address);
    if (next != free_.end() && next->first == address + size) {
      size += next->second;
      next = free_.erase(next);
    }
    if (next != free_.begin()) {
      const auto before = std::prev(next);
      if (before->first + before->second == address) {
        before->second += size;
        return;
      }
    }
    free_[address] = size;
  }

 private:
  static constexpr std::uint64_t kUnit = 256;
  static std::uint64_t Units(std::uint64_t bytes) { return AlignUp(std::max<std::uint64_t>(bytes, 1), kUnit); }

  Mutex mu_;
  std::map<std::uint64_t, std::uint64_t> free_ ACCELMESH_GUARDED_BY(mu_);  // address -> bytes
};

}  // namespace accelmesh
