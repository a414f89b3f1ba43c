#include "tools/agent/core/patience.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

namespace accelmesh::agent {
namespace {

constexpr std::int64_t kHour = 3'600'000;

TEST(PatienceTest, NobodyWaitsForPricesThatHeHasNotSeen) {
  PriceHistory history;
  EXPECT_EQ(history.PriceOf(0.5), 0);
  EXPECT_EQ(history.PartBelow(7), 0);
  EXPECT_EQ(PatientPrice(history, 0.1), kAnyPrice);
  history.See(5 * kHour, 1'000'000);  // for no time yet
  EXPECT_EQ(history.PriceOf(0.5), 0);
  EXPECT_EQ(PatientPrice(history, 0.1), kAnyPrice);
}

TEST(PatienceTest, APriceIsThatOfTheCheapestHoursThatSuffice) {
  // A fifth of the time 1 credit, a fifth 2, and so on; an hour each, in turns, for two days.
  PriceHistory history;
  for (int hour = 0; hour <= 50; ++hour) history.See(hour * kHour, (1 + hour % 5) * 1'000'000);
  for (int needed = 1; needed <= 4; ++needed) {
    // Of ten hours left so many; half an hour less than would take the next price in.
    const std::int64_t price = PatientPrice(history, NeedOf((2 * needed - 0.5) * kHour, 10 * kHour));
    EXPECT_GE(price, needed * 1'000'000);
    EXPECT_LE(price, static_cast<std::int64_t>(needed * 1.05e6));
  }
  EXPECT_EQ(PatientPrice(history, NeedOf(10 * kHour, 10 * kHour)), kAnyPrice) << "there is no time to lose";
  EXPECT_EQ(PatientPrice(history, NeedOf(10 * kHour, -kHour)), kAnyPrice);
  EXPECT_GE(PatientPrice(history, NeedOf(0, 10 * kHour)), 1'000'000) << "never less than the least there was";
}

TEST(PatienceTest, WhatWasLongAgoCountsLess) {
  PriceHistory history;
  const std::int64_t week = 7 * 24 * kHour;
  history.See(0, 4'000'000);
  history.See(week, 4'000'000);
  history.See(3 * week, 1'000'000);  // two weeks: e^-2 of what the first one counts
  EXPECT_LT(history.PriceOf(0.8), 1'100'000);
  EXPECT_GT(history.PriceOf(0.95), 4'000'000);
  // Years do no harm.
  for (int i = 4; i < 2000; ++i) history.See(i * week, i % 2 == 0 ? 2'000'000 : 3'000'000);
  EXPECT_GT(history.PriceOf(0.01), 2'000'000);
  EXPECT_LT(history.PriceOf(0.99), 3'200'000);
}

TEST(PatienceTest, AMarketMaySayWhatItLikes) {
  PriceHistory history;
  for (const std::int64_t time : {INT64_MIN, std::int64_t{0}, INT64_MAX, std::int64_t{-5}}) {
    for (const std::int64_t price : {INT64_MIN, std::int64_t{0}, INT64_MAX}) {
      history.See(time, price);
      EXPECT_GT(PatientPrice(history, 0.5), 0);
      EXPECT_GE(history.PartBelow(1000), 0);
      EXPECT_LE(history.PartBelow(1000), 1);
    }
  }
}

// PartBelow() and PriceOf() say the same, whatever was seen.
TEST(PatienceTest, WhetherAPriceIsBidCanBeToldFromThePartBelow) {
  std::mt19937_64 random(3);
  for (int round = 0; round < 200; ++round) {
    PriceHistory history;
    std::int64_t now = 0;
    for (int i = 0; i < 60; ++i) {
      now += static_cast<std::int64_t>(random() % kHour);
      history.See(now, static_cast<std::int64_t>(std::exp2(static_cast<double>(random() % 40'000) / 1000)));
    }
    std::int64_t last = 0;
    for (double part = 0; part < 1; part += 0.03125) {
      const std::int64_t price = history.PriceOf(part);
      EXPECT_GE(price, last);
      last = price;
      EXPECT_GE(part, history.PartBelow(price));
      const auto other = static_cast<std::int64_t>(std::exp2(static_cast<double>(random() % 40'000) / 1000));
      if (part > 0) {
        EXPECT_EQ(price >= other, part > history.PartBelow(other)) << price << " and " << other;
      }
    }
  }
}

}  // namespace
}  // namespace accelmesh::agent
