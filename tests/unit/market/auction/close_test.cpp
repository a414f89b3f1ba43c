#include "market/auction/close.h"

#include <gtest/gtest.h>

#include <map>

#include "tests/unit/market/auction/worlds.h"

namespace accelmesh::market::auction {
namespace {

TEST(CloseTest, TheCloseIsWithinAFifthAndEven) {
  std::map<std::int64_t, int> seen;
  for (std::uint64_t beacon = 0; beacon < 20'000; ++beacon) {
    const std::int64_t open = OpenMs(beacon, beacon % 7, 250);
    ASSERT_GE(open, 200);
    ASSERT_LE(open, 300);
    ++seen[open];
  }
  EXPECT_EQ(seen.size(), 101U);
  for (const auto& [open, count] : seen) EXPECT_NEAR(count, 198, 80) << open;
  EXPECT_EQ(OpenMs(5, 6, 250), OpenMs(5, 6, 250));
  EXPECT_EQ(OpenMs(5, 6, 0), 0);
  EXPECT_EQ(OpenMs(5, 6, -9), 0);
  EXPECT_LE(OpenMs(5, 6, INT64_MAX), kPeriodMsMax * 6 / 5);
}

}  // namespace
}  // namespace accelmesh::market::auction
