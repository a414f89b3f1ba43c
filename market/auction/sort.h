// Sorts places by 64-bit keys: counting sort digit by digit from the least (LSD radix sort), which leaves equal keys in
// the order they came in. Only digits in which keys differ are looked at. For the few, std::sort.
//
// Threads: functions on values.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <utility>
#include <vector>

namespace accelmesh::market::auction {

struct Keyed {
  std::uint64_t key = 0;
  std::uint32_t place = 0;
};

// Smallest key first. Precondition: places ascend. `scratch` is only there to be used again.
inline void SortByKey(std::vector<Keyed>& items, std::vector<Keyed>& scratch) {
  constexpr std::size_t kFew = 512;
  if (items.size() < kFew) {
    std::sort(items.begin(), items.end(),
              [](const Keyed& a, const Keyed& b) { return a.key != b.key ? a.key < b.key : a.place < b.place; });
    return;
  }
  constexpr unsigned kDigitBits = 11;
  constexpr std::uint64_t kDigits = 1U << kDigitBits;
  std::uint64_t differ = 0;
  for (const Keyed& item : items) differ |= item.key ^ items.front().key;
  scratch.resize(items.size());
  for (unsigned shift = 0; shift < 64 && differ >> shift != 0;) {
    if ((differ >> shift & 1) == 0) {
      ++shift;
      continue;
    }
    std::array<std::uint32_t, kDigits> at{};
    for (const Keyed& item : items) ++at[item.key >> shift & (kDigits - 1)];
    std::uint32_t before = 0;
    for (std::uint32_t& count : at) before += std::exchange(count, before);
    for (const Keyed& item : items) scratch[at[item.key >> shift & (kDigits - 1)]++] = item;
    items.swap(scratch);
    shift += kDigitBits;
  }
}

}  // namespace accelmesh::market::auction
