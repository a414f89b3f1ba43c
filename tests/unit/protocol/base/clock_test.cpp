#include "protocol/base/clock.h"

#include <gtest/gtest.h>

namespace accelmesh {
namespace {

using std::chrono::hours;
using std::chrono::microseconds;
using std::chrono::milliseconds;

TEST(DeadlineTest, ThePastHasNothingLeft) {
  for (const Deadline& deadline : {Deadline(Clock::now()), Deadline(Clock::now() - hours(1)), Deadline(Instant::min()),
                                   Deadline::After(Duration::zero()), Deadline::After(-hours(1))}) {
    EXPECT_TRUE(deadline.passed());
    EXPECT_EQ(deadline.left(), Duration::zero());
    EXPECT_EQ(deadline.left_ms(), 0);
  }
}

TEST(DeadlineTest, TheFutureCountsDown) {
  const Deadline deadline = Deadline::After(hours(1));
  EXPECT_FALSE(deadline.passed());
  const Duration first = deadline.left();
  EXPECT_LE(first, hours(1));
  EXPECT_GT(first, std::chrono::minutes(59));
  EXPECT_LE(deadline.left(), first);
}

TEST(DeadlineTest, MillisecondsAreRoundedUp) {
  // Rounded down, a poll(2) of the last part of a millisecond would spin.
  const Deadline deadline = Deadline::After(microseconds(999'100));
  const int left_ms = deadline.left_ms();
  EXPECT_GT(milliseconds(left_ms), deadline.left());
  EXPECT_LE(left_ms, 1000);
  const Deadline soon = Deadline::After(microseconds(400));
  const int soon_ms = soon.left_ms();
  EXPECT_TRUE(soon_ms == 1 || soon.passed());
}

TEST(DeadlineTest, FarAwayIsCappedAndDoesNotOverflow) {
  constexpr int kDayMs = 24 * 3600 * 1000;
  for (const Deadline& deadline :
       {Deadline(Instant::max()), Deadline::After(hours(24 * 365)), Deadline::After(Duration::max())}) {
    EXPECT_FALSE(deadline.passed());
    EXPECT_EQ(deadline.left_ms(), kDayMs);
  }
}

}  // namespace
}  // namespace accelmesh
