#include "protocol/base/line_limit.h"

#include <gtest/gtest.h>

namespace accelmesh {
namespace {

TEST(LineLimitTest, SomeAtOnceThenOneEverySoOften) {
  LineLimit limit(3, std::chrono::seconds(2));
  Instant now = Clock::now();
  for (int i = 0; i < 3; ++i) EXPECT_EQ(limit.Take("a", now), "a");
  for (int i = 0; i < 1000; ++i) EXPECT_EQ(limit.Take("a", now), std::nullopt);
  now += std::chrono::seconds(2);
  EXPECT_EQ(limit.Take("b", now), "b (and 1000 more since the last line)");
  EXPECT_EQ(limit.Take("c", now), std::nullopt);
  now += std::chrono::seconds(60);
  EXPECT_EQ(limit.Take("d", now), "d (and 1 more since the last line)");
  // A long silence is no credit for more than some at once.
  EXPECT_EQ(limit.Take("e", now), "e");
  EXPECT_EQ(limit.Take("e", now), "e");
  EXPECT_EQ(limit.Take("e", now), std::nullopt);
}

}  // namespace
}  // namespace accelmesh
