#include "market/core/market_clock.h"

#include <gtest/gtest.h>

namespace accelmesh::market {
namespace {

using std::chrono::milliseconds;
constexpr std::int64_t kFiveMinutes = 300'000;

TEST(MarketClockTest, FollowsAClockThatGoesRight) {
  MarketClock clock;
  Instant steady;
  std::int64_t wall = 1'000'000;
  for (int i = 0; i < 1000; ++i) {
    std::int64_t jump = -1;
    const Moment moment = clock.Observe(steady, wall, &jump);
    EXPECT_EQ(moment.now_ms, wall);
    EXPECT_EQ(moment.sweep_ms, wall);
    EXPECT_EQ(jump, 0);
    steady += milliseconds(50);
    wall += i % 2 == 0 ? 60 : 40;  // it is slewed a little
  }
}

TEST(MarketClockTest, AJumpForwardEndsNoLeaseBeforeItsTime) {
  MarketClock clock;
  (void)clock.Observe(Instant{}, 1'000'000);
  std::int64_t jump = 0;
  const Moment moment = clock.Observe(Instant{} + milliseconds(100), 1'000'100 + kFiveMinutes, &jump);
  EXPECT_EQ(jump, kFiveMinutes);
  EXPECT_EQ(moment.now_ms, 1'000'100 + kFiveMinutes);
  EXPECT_EQ(moment.sweep_ms, 1'000'100);
  // Until every lease of before has ended anyhow.
  const Moment later =
      clock.Observe(Instant{} + milliseconds(100 + kLeaseLifeMsMax), 1'000'100 + kFiveMinutes + kLeaseLifeMsMax);
  EXPECT_EQ(later.sweep_ms, later.now_ms);
}

TEST(MarketClockTest, AJumpBackAndOneForwardAgain) {
  MarketClock clock;
  (void)clock.Observe(Instant{}, 1'000'000);
  Moment moment = clock.Observe(Instant{} + milliseconds(10), 1'000'010 - kFiveMinutes);
  EXPECT_EQ(moment.now_ms, 1'000'010 - kFiveMinutes);
  EXPECT_LE(moment.sweep_ms, moment.now_ms);
  moment = clock.Observe(Instant{} + milliseconds(20), 1'000'020);
  EXPECT_EQ(moment.now_ms, 1'000'020);
  EXPECT_EQ(moment.sweep_ms, 1'000'020 - kFiveMinutes);
}

}  // namespace
}  // namespace accelmesh::market
