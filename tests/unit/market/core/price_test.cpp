#include "market/core/price.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

namespace accelmesh::market {
namespace {

constexpr std::int64_t kMinute = 60'000;

TEST(PriceTest, RisesUnderLoadFallsWithoutAndStaysAtTheTarget) {
  const PriceRules rules;
  PriceRecord busy{1'000'000, 0, 0, {}, 0, {}};
  PriceRecord idle = busy;
  PriceRecord right = busy;
  for (int i = 0; i < 60; ++i) {
    Step(busy, 1.0, 0, i * kMinute, kMinute, rules);
    Step(idle, 0.0, 0, i * kMinute, kMinute, rules);
    Step(right, rules.target, 0, i * kMinute, kMinute, rules);
  }
  EXPECT_GT(busy.price_per_hour, 5'000'000);
  EXPECT_LT(idle.price_per_hour, 10'000);
  EXPECT_NEAR(static_cast<double>(right.price_per_hour), 1e6, 1e3);
  EXPECT_EQ(busy.history.size(), 60U);
}

TEST(PriceTest, NoStepIsLargerThanDeltaAndNoneLeavesTheBounds) {
  std::mt19937_64 random(3);
  PriceRules rules;
  rules.ceiling = 50'000'000;
  for (int round = 0; round < 200; ++round) {
    PriceRecord record;
    const auto floor = static_cast<std::int64_t>(1000 + random() % 1'000'000);
    record.price_per_hour = floor + static_cast<std::int64_t>(random() % 40'000'000);
    for (int i = 0; i < 200; ++i) {
      const auto before = static_cast<double>(record.price_per_hour);
      double utilisation = static_cast<double>(random() % 3000) / 1000 - 1;
      if (random() % 50 == 0) utilisation = std::nan("");
      Step(record, utilisation, floor, i * kMinute, kMinute, rules);
      const auto after = static_cast<double>(record.price_per_hour);
      ASSERT_LE(after, std::max(before * (1 + rules.delta) + 1, static_cast<double>(floor)));
      ASSERT_GE(after, before * (1 - rules.delta) - 1);
      ASSERT_GE(record.price_per_hour, floor);
      ASSERT_LE(record.price_per_hour, rules.ceiling);
      ASSERT_LE(record.history.size(),
                rules.history_steps + static_cast<std::size_t>(rules.history_life_ms / rules.history_apart_ms) + 1);
    }
  }
}

// A rush at nine o'clock, every day: after some days it is expected before it comes, and the price has risen by then.
TEST(PriceTest, ARushThatComesEveryDayIsForeseen) {
  PriceRules rules;
  PriceRecord record;
  record.price_per_hour = 1'000'000;
  const auto load = [](std::int64_t minute) { return minute / 60 % 24 == 9 ? 1.0 : 0.2; };
  for (std::int64_t minute = 0; minute < 20 * 24 * 60; ++minute)
    Step(record, load(minute), 0, minute * kMinute, kMinute, rules);
  PriceRecord fresh = record;
  fresh.season.assign(kSeasons, 0.0);
  const std::int64_t before_nine = (20 * 24 * 60 + 8 * 60 + 55) * kMinute;
  const double with = Forecast(record, 0.2, before_nine, kMinute, rules);
  const double without = Forecast(fresh, 0.2, before_nine, kMinute, rules);
  EXPECT_GT(with, without + 0.2);
  // Against the plain rule that expects what is now, over one more day.
  double seasonal_error = 0;
  double naive_error = 0;
  for (std::int64_t minute = 20 * 24 * 60; minute < 21 * 24 * 60; ++minute) {
    Step(record, load(minute), 0, minute * kMinute, kMinute, rules);
    const double truth = load(minute + rules.horizon_steps);
    seasonal_error += std::abs(Forecast(record, load(minute), minute * kMinute, kMinute, rules) - truth);
    naive_error += std::abs(load(minute) - truth);
  }
  EXPECT_GT(naive_error, 0);
  RecordProperty("seasonal_error", std::to_string(seasonal_error));
  RecordProperty("naive_error", std::to_string(naive_error));
}

TEST(PriceTest, TheSameInputsGiveTheSamePrice) {
  PriceRecord a{1'234'567, 0, 0, {}, 0, {}};
  PriceRecord b = a;
  for (int i = 0; i < 500; ++i) {
    const double utilisation = (i * 37 % 100) / 100.0;
    Step(a, utilisation, 5000, i * kMinute, kMinute, {});
    Step(b, utilisation, 5000, i * kMinute, kMinute, {});
  }
  EXPECT_EQ(a.price_per_hour, b.price_per_hour);
}

TEST(PriceTest, AWeekIsRememberedTheLastHoursOfItStepByStep) {
  const PriceRules rules;
  PriceRecord record;
  for (int minute = 0; minute < 10 * 24 * 60; ++minute) Step(record, 0.5, 1000, minute * kMinute, kMinute, rules);
  const std::int64_t now = (10 * 24 * 60 - 1) * kMinute;
  ASSERT_GE(record.history.size(), 120U + (7 * 24 - 2) * 4 - 1);
  ASSERT_LE(record.history.size(), 120U + (7 * 24 - 2) * 4 + 1);
  EXPECT_GE(record.history.front().time_ms, now - rules.history_life_ms);
  EXPECT_LE(record.history.front().time_ms, now - rules.history_life_ms + 16 * kMinute);
  for (std::size_t i = 1; i < record.history.size(); ++i) {
    const std::int64_t apart = record.history[i].time_ms - record.history[i - 1].time_ms;
    const bool is_late = i + 120 > record.history.size();
    EXPECT_EQ(apart, is_late ? kMinute : i + 120 == record.history.size() ? apart : 15 * kMinute) << i;
  }
}

}  // namespace
}  // namespace accelmesh::market
