#include "server/measure/interval.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <vector>

namespace accelmesh::measure {
namespace {

// The probability that Student's t with so many degrees is below `t`: his density summed up by Simpson's rule.
double Below(double t, double degrees) {
  const double scale =
      std::exp(std::lgamma((degrees + 1) / 2) - std::lgamma(degrees / 2)) / std::sqrt(degrees * 3.14159265358979323846);
  const auto density = [&](double x) { return scale * std::pow(1 + x * x / degrees, -(degrees + 1) / 2); };
  constexpr int kSteps = 20000;
  const double h = t / kSteps;
  double sum = density(0) + density(t);
  for (int i = 1; i < kSteps; ++i) sum += density(i * h) * (i % 2 == 1 ? 4 : 2);
  return 0.5 + sum * h / 3;
}

TEST(IntervalTest, QuantilesAreStudents) {
  for (std::size_t degrees = 1; degrees <= 200; ++degrees)
    EXPECT_NEAR(Below(StudentQuantile(degrees), static_cast<double>(degrees)), 0.975, 2e-6) << degrees;
}

TEST(IntervalTest, NineteenOfTwentyIntervalsHoldTheTruth) {
  std::mt19937 random(11);
  std::normal_distribution<double> noise(100, 7);
  int held = 0;
  constexpr int kRounds = 4000;
  for (int round = 0; round < kRounds; ++round) {
    std::vector<double> samples(4 + static_cast<std::size_t>(round) % 9);
    for (double& sample : samples) sample = noise(random);
    const Interval interval = MeanInterval(samples);
    ASSERT_TRUE(interval.known());
    held += interval.low <= 100 && 100 <= interval.high ? 1 : 0;
  }
  EXPECT_NEAR(static_cast<double>(held) / kRounds, 0.95, 0.012);
}

TEST(IntervalTest, WhatIsNoMeasurementIsNotKnown) {
  for (const std::vector<double>& samples : {std::vector<double>{}, {5}, {-1, -2}, {0, 0}, {NAN, 1}, {INFINITY, 1}}) {
    EXPECT_FALSE(MeanInterval(samples).known());
    EXPECT_EQ(RelativeError(MeanInterval(samples)), 1);
  }
  const Interval wild = MeanInterval(std::vector<double>{1, 1000});
  EXPECT_TRUE(wild.known()) << "a lower bound is positive";
  EXPECT_GT(wild.low, 0);
  EXPECT_TRUE(MeanInterval(std::vector<double>{3, 3, 3}).known());
}

TEST(IntervalTest, IntervalsOverlapOrDoNot) {
  const Interval a{5, 4, 6};
  EXPECT_TRUE(a.Overlaps({7, 6, 8}));
  EXPECT_FALSE(a.Overlaps({8, 6.1, 9}));
  EXPECT_FALSE((Interval{8, 6.1, 9}).Overlaps(a));
}

}  // namespace
}  // namespace accelmesh::measure
