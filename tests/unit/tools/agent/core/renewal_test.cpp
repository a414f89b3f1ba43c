#include "tools/agent/core/renewal.h"

#include <gtest/gtest.h>

#include <random>

namespace accelmesh::agent {
namespace {

TEST(RenewalTest, ALeaseIsRenewedInTheMiddleOfItsLife) {
  std::mt19937_64 random(2);
  bool is_early = false, is_late = false;
  for (int i = 0; i < 2000; ++i) {
    const LeaseTime lease{1000, 1000 + static_cast<std::int64_t>(random() % 900'000)};
    const std::int64_t at = FirstRenewalMs(lease, random());
    const std::int64_t life = lease.not_after_ms - lease.granted_ms;
    EXPECT_GE(at, lease.granted_ms + life / 3);
    EXPECT_LE(at, lease.granted_ms + life * 2 / 3);
    is_early = is_early || at < lease.granted_ms + life * 2 / 5;
    is_late = is_late || at > lease.granted_ms + life * 3 / 5;
  }
  EXPECT_TRUE(is_early && is_late) << "not all at one moment";
  EXPECT_EQ(FirstRenewalMs({5000, 1000}, 7), 5000);
}

TEST(RenewalTest, WhileTheMarketIsDownItIsAskedUntilTheEndAndNotWithoutPause) {
  std::mt19937_64 random(4);
  for (int i = 0; i < 500; ++i) {
    const LeaseTime lease{0, 500 + static_cast<std::int64_t>(random() % 900'000)};
    std::int64_t now = FirstRenewalMs(lease, random());
    std::uint32_t failures = 0;
    std::int64_t last = now;
    while (true) {
      const std::int64_t next = NextRenewalMs(lease, now, ++failures, random());
      if (next < 0) break;
      EXPECT_GT(next, now);
      EXPECT_LE(next, lease.not_after_ms);
      EXPECT_LE(next - now, 10'000);
      last = now;
      now = next;
    }
    EXPECT_EQ(now, lease.not_after_ms);
    EXPECT_LT(lease.not_after_ms - last, 40) << "the last attempt was just before the end";
    EXPECT_LT(failures, 400U);
  }
}

}  // namespace
}  // namespace accelmesh::agent
