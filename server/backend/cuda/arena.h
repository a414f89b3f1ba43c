// Gives out ranges of one piece of memory and takes them back: staging for copies that are under way. First fit; free
// neighbours are one. Threads: none; the owner locks. Units: bytes, offsets from the start.
#pragma once

#include <cstdint>
#include <iterator>
#include <map>
#include <optional>

#include "protocol/base/bytes.h"

namespace accelmesh::cuda {

class Arena {
 public:
  static constexpr std::uint64_t kAlignment = 256;

  explicit Arena(std::uint64_t bytes) { free_[0] = bytes; }

  std::optional<std::uint64_t> Take(std::uint64_t bytes) {
    const std::uint64_t wanted = AlignUp(bytes, kAlignment);
    for (auto range = free_.begin(); range != free_.end(); ++range) {
      if (range->second < wanted) continue;
      const std::uint64_t offset = range->first;
      const std::uint64_t left = range->second - wanted;
      const auto next = free_.erase(range);
      if (left != 0) free_.emplace_hint(next, offset + wanted, left);
      return offset;
    }
    return std::nullopt;
  }

  // `bytes` as they were asked for.
  void Give(std::uint64_t offset, std::uint64_t bytes) {
    auto range = free_.emplace(offset, AlignUp(bytes, kAlignment)).first;
    if (const auto next = std::next(range); next != free_.end() && range->first + range->second == next->first) {
      range->second += next->second;
      free_.erase(next);
    }
    if (range == free_.begin()) return;
    if (const auto before = std::prev(range); before->first + before->second == range->first) {
      before->second += range->second;
      free_.erase(range);
    }
  }

 private:
  std::map<std::uint64_t, std::uint64_t> free_;  // offset -> bytes
};

}  // namespace accelmesh::cuda
