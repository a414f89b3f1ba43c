#include "shim/core/advice.h"

#include <gtest/gtest.h>

namespace accelmesh {
namespace {

constexpr std::uint64_t kBase = 0x240000000000;
constexpr std::uint64_t kPage = 4096;

void ReadMostly(Advice& advice) { advice.is_read_mostly = true; }

TEST(AdviceTest, NothingWasAdvised) {
  AdviceMap map;
  EXPECT_EQ(map.Common(kBase, 10 * kPage), Advice{});
}

TEST(AdviceTest, HoldsForWholePagesAndNoOthers) {
  AdviceMap map;
  map.Change(kBase + kPage + 100, kPage, ReadMostly);  // touches pages 1 and 2
  EXPECT_TRUE(map.Common(kBase + kPage, 2 * kPage).is_read_mostly);
  EXPECT_TRUE(map.Common(kBase + kPage, 1).is_read_mostly);
  EXPECT_FALSE(map.Common(kBase, 2 * kPage).is_read_mostly);
  EXPECT_FALSE(map.Common(kBase + 2 * kPage, 2 * kPage).is_read_mostly);
  EXPECT_FALSE(map.Common(kBase + 3 * kPage, 1).is_read_mostly);
}

TEST(AdviceTest, OnlyWhatAllPagesShareIsCommon) {
  AdviceMap map;
  map.Change(kBase, 4 * kPage, [](Advice& a) {
    a.preferred = {1, 0};
    a.accessed_by = {0, 1};
  });
  map.Change(kBase + kPage, kPage, [](Advice& a) {
    a.preferred = {1, 1};
    a.accessed_by = {1};
  });
  EXPECT_EQ(map.Common(kBase, kPage).preferred, (AdviceLocation{1, 0}));
  EXPECT_EQ(map.Common(kBase + kPage, kPage).preferred, (AdviceLocation{1, 1}));
  EXPECT_EQ(map.Common(kBase, 4 * kPage).preferred, AdviceLocation{});
  EXPECT_EQ(map.Common(kBase, 4 * kPage).accessed_by, std::vector<int>{1});
  EXPECT_EQ(map.Common(kBase + 2 * kPage, 2 * kPage).accessed_by, (std::vector<int>{0, 1}));
}

TEST(AdviceTest, GapsAreFilledAndPiecesJoined) {
  AdviceMap map;
  for (std::uint64_t page = 0; page < 10; page += 2) map.Change(kBase + page * kPage, kPage, ReadMostly);
  EXPECT_FALSE(map.Common(kBase, 9 * kPage).is_read_mostly);
  map.Change(kBase, 9 * kPage, ReadMostly);
  EXPECT_TRUE(map.Common(kBase, 9 * kPage).is_read_mostly);
  map.Change(kBase, 9 * kPage, [](Advice& a) { a.is_read_mostly = false; });
  EXPECT_EQ(map.Common(kBase, 9 * kPage), Advice{});
}

}  // namespace
}  // namespace accelmesh
