#include "market/ledger/beta_quantile.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

namespace accelmesh::market::ledger {
namespace {

constexpr std::int64_t kOne = 1'000'000;

// P(X <= x) for whole parameters, another way: the chance of `a` or more successes in a + b - 1 trials.
long double BinomialTail(int a, int b, long double x) {
  const int n = a + b - 1;
  long double sum = 0;
  for (int k = a; k <= n; ++k) {
    const long double log_choose = std::lgamma(n + 1.0L) - std::lgamma(k + 1.0L) - std::lgamma(n - k + 1.0L);
    sum += std::exp(log_choose + k * std::log(x) + (n - k) * std::log1p(-x));
  }
  return sum;
}

TEST(BetaQuantileTest, IsWhatClosedFormsSay) {
  EXPECT_EQ(BetaQuantilePpm(kOne, kOne, 50'000), 50'000u) << "uniform";
  EXPECT_EQ(BetaQuantilePpm(kOne, kOne, 123'457), 123'457u);
  for (const double a : {0.5, 1.5, 2.0, 7.25, 40.0, 1000.0}) {
    for (const double q : {0.01, 0.05, 0.5, 0.95}) {
      const auto quantile = static_cast<std::uint32_t>(std::lround(q * 1e6));
      EXPECT_EQ(BetaQuantilePpm(std::llround(a * 1e6), kOne, quantile), std::lround(std::pow(q, 1 / a) * 1e6)) << a;
      EXPECT_EQ(BetaQuantilePpm(kOne, std::llround(a * 1e6), quantile), std::lround((1 - std::pow(1 - q, 1 / a)) * 1e6))
          << a;
    }
  }
}

TEST(BetaQuantileTest, IsWhatBinomialTailsSay) {
  std::mt19937_64 random(1);
  for (int round = 0; round < 300; ++round) {
    const int a = 1 + static_cast<int>(random() % 60);
    const int b = 1 + static_cast<int>(random() % 60);
    const auto quantile = static_cast<std::uint32_t>(1000 + random() % 998'000);
    const std::uint32_t x = BetaQuantilePpm(a * kOne, b * kOne, quantile);
    const long double wanted = quantile / 1e6L;
    if (x > 0) {
      EXPECT_LE(BinomialTail(a, b, (x - 0.5L) / 1e6L), wanted + 1e-12L) << a << " " << b << " " << quantile;
    }
    if (x < 1000000) {
      EXPECT_GT(BinomialTail(a, b, (x + 0.5L) / 1e6L), wanted - 1e-12L) << a << " " << b;
    }
  }
}

TEST(BetaQuantileTest, TiesAreDecidedByExactArithmetic) {
  // Beta(2, 1) has P(X <= x) = x^2, which comes as near to a quantile as floating point cannot tell from it, often.
  for (std::uint32_t quantile = 1; quantile < 1'000'000; quantile += 997) {
    const std::uint32_t x = BetaQuantilePpm(2 * kOne, kOne, quantile);
    // In whole numbers: (2x - 1)^2 <= 4 * 10^6 * quantile < (2x + 1)^2.
    const auto below = static_cast<std::uint64_t>(2 * x) - 1;
    const auto above = static_cast<std::uint64_t>(2 * x) + 1;
    EXPECT_LE(below * below, 4'000'000ULL * quantile) << quantile;
    EXPECT_GT(above * above, 4'000'000ULL * quantile) << quantile;
  }
}

TEST(BetaQuantileTest, RisesWithGoodAndFallsWithBad) {
  std::uint32_t before = 0;
  for (std::int64_t good = kOne; good < 3'000'000 * kOne; good = good * 3 / 2) {
    const std::uint32_t score = BetaQuantilePpm(good, 3 * kOne, 50'000);
    EXPECT_GE(score, before) << good;
    before = score;
  }
  EXPECT_GT(before, 999'000u);
  before = 1'000'000;
  for (std::int64_t bad = kOne; bad < 3'000'000 * kOne; bad = bad * 3 / 2) {
    const std::uint32_t score = BetaQuantilePpm(3 * kOne, bad, 50'000);
    EXPECT_LE(score, before) << bad;
    before = score;
  }
  EXPECT_LT(before, 10u);
}

TEST(BetaQuantileTest, ExtremesAreCutAndEnd) {
  EXPECT_EQ(BetaQuantilePpm(0, kOne, 50'000), BetaQuantilePpm(1, kOne, 50'000));
  EXPECT_EQ(BetaQuantilePpm(INT64_MAX, kOne, 50'000), BetaQuantilePpm(1'000'000 * kOne, kOne, 50'000));
  EXPECT_LE(BetaQuantilePpm(INT64_MAX, INT64_MAX, 50'000), 500'000u);
  EXPECT_LE(BetaQuantilePpm(1, 1, 50'000), 1'000'000u);
  EXPECT_EQ(BetaQuantilePpm(1, INT64_MAX, 50'000), 0u);
  EXPECT_EQ(BetaQuantilePpm(kOne, kOne, 0), BetaQuantilePpm(kOne, kOne, 1));
  EXPECT_EQ(BetaQuantilePpm(kOne, kOne, UINT32_MAX), 999'999u);
}

}  // namespace
}  // namespace accelmesh::market::ledger
