// An arena for bodies in the peer's memory: units of 64 KiB, taken in runs by the side that sends into it and given
// back by the side that holds it, which turns the bit of a run's first unit over. A run is taken again only after that
// was seen, so a bit says all there is to say, and there is nothing to overflow.
//
// What is taken is known to the sender alone, so a peer that turns bits over at will spoils bodies of its own
// connection and nothing else. Threads: one at a time (End's mutex).
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "protocol/base/limits.h"

namespace accelmesh::rdma {

inline constexpr std::size_t kUnitBytes = 64 * limits::kKiB;
inline constexpr std::uint32_t kUnits = 128;
inline constexpr std::size_t kUnitWords = kUnits / 64;
// Of the landing: a second arena of a server's, in a device's memory.
inline constexpr std::uint32_t kLandingUnits = 64;

constexpr std::uint32_t UnitsFor(std::size_t size) {
  return size == 0 ? 1 : static_cast<std::uint32_t>((size + kUnitBytes - 1) / kUnitBytes);
}

template <std::uint32_t kCount>
class RunAllocator {
  static_assert(kCount % 64 == 0);

 public:
  // The first unit of a free run, or nothing. First fit: what was used last is still in the cache.
  std::optional<std::uint32_t> Allocate(std::uint32_t units) {
    std::uint32_t free = 0;
    for (std::uint32_t at = 0; at < kCount;) {
      if (run_[at] != 0) {
        at += run_[at];
        free = 0;
        continue;
      }
      ++at;
      if (++free != units) continue;
      const std::uint32_t first = at - units;
      run_[first] = static_cast<std::uint8_t>(units);
      return first;
    }
    return std::nullopt;
  }
  // Takes back a run that the peer was not told of.
  void Free(std::uint32_t first) { run_[first] = 0; }
  // The peer's bits, as they are now in one of the words.
  void Learn(std::size_t word, std::uint64_t bits) {
    for (std::uint64_t turned = bits ^ seen_[word]; turned != 0; turned &= turned - 1) {
      const auto bit = static_cast<std::uint32_t>(__builtin_ctzll(turned));
      // Bits inside a run, or of a free unit, mean nothing.
      run_[word * 64 + bit] = 0;
    }
    seen_[word] = bits;
  }

 private:
  std::array<std::uint8_t, kCount> run_{};  // length of the run that begins at a unit
  std::array<std::uint64_t, kCount / 64> seen_{};
};
using UnitAllocator = RunAllocator<kUnits>;

}  // namespace accelmesh::rdma
