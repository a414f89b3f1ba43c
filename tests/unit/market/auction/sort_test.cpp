#include "market/auction/sort.h"

#include <gtest/gtest.h>

#include "tests/unit/market/auction/worlds.h"

namespace accelmesh::market::auction {
namespace {

TEST(SortTest, ManyAreSortedAsFewAre) {
  Random random(52);
  std::vector<Keyed> spare;
  for (const std::size_t size : {0UL, 1UL, 511UL, 512UL, 5000UL}) {
    for (const unsigned bits : {0U, 1U, 12U, 40U, 63U}) {
      std::vector<Keyed> items(size);
      for (std::uint32_t i = 0; i < size; ++i) items[i] = {random() & ((std::uint64_t{1} << bits) - 1), i};
      std::vector<Keyed> expected = items;
      std::sort(expected.begin(), expected.end(),
                [](const Keyed& a, const Keyed& b) { return std::pair(a.key, a.place) < std::pair(b.key, b.place); });
      SortByKey(items, spare);
      for (std::size_t i = 0; i < size; ++i) {
        ASSERT_EQ(items[i].key, expected[i].key);
        ASSERT_EQ(items[i].place, expected[i].place);
      }
    }
  }
}

}  // namespace
}  // namespace accelmesh::market::auction
