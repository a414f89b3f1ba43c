#include "server/main/session_limits.h"

#include <gtest/gtest.h>

namespace accelmesh {
namespace {

constexpr std::uint32_t kAll = limits::kSessionsMax;

TEST(SessionLimitsTest, WithoutALeaseOnlyTheServersLimitCounts) {
  EXPECT_TRUE(CheckSessions(kAll - 1, 0, 0).ok());
  EXPECT_EQ(CheckSessions(kAll, 0, 0).code(), Code::kFull);
}

TEST(SessionLimitsTest, ASmallShareHasFewAndALargeOneManySessions) {
  EXPECT_TRUE(CheckSessions(7, 7, 1).ok());
  EXPECT_EQ(CheckSessions(8, 8, 1).code(), Code::kFull);
  EXPECT_TRUE(CheckSessions(127, 127, 500).ok());
  EXPECT_EQ(CheckSessions(128, 128, 500).code(), Code::kFull);
}

TEST(SessionLimitsTest, TheLastSessionsAreForLeasesThatHaveNone) {
  EXPECT_TRUE(CheckSessions(kAll - kSessionsKept - 1, 190, 1000).ok());
  EXPECT_EQ(CheckSessions(kAll - kSessionsKept, 190, 1000).code(), Code::kFull);
  EXPECT_TRUE(CheckSessions(kAll - 1, 0, 1).ok());
  EXPECT_EQ(CheckSessions(kAll, 0, 1).code(), Code::kFull);
}

}  // namespace
}  // namespace accelmesh
