#include "tools/mesh_sim/market/oracle.h"

#include <gtest/gtest.h>

#include <random>

#include "tests/unit/tools/mesh_sim/market/cases.h"

namespace accelmesh::sim {
namespace {

TEST(OracleTest, OfTwoThatDoNotFitTheDearerEnds) {
  // Two hours of one GPU, two jobs of two hours; a third without deadline counts whole.
  const std::vector<Job> jobs = {JobOf(0, 0, 2, 1, 5, 2), JobOf(0, 0, 2, 1, 7, 2), JobOf(0, 0, 50, 1, 3)};
  const Result<double> best = BestValue(jobs, {0, 0, 1}, 20);
  ASSERT_TRUE(best.ok()) << best.status().ToString();
  EXPECT_NEAR(*best, 10, 1e-6);
}

TEST(OracleTest, WorkMovesAroundWhoMustRunNow) {
  // One hour of slack for the long one: the short one runs in between, both end.
  const std::vector<Job> jobs = {JobOf(0, 0, 3, 1, 5, 4), JobOf(0, 1, 1, 1, 7, 2)};
  EXPECT_NEAR(*BestValue(jobs, {0, 0, 1}, 20), 12, 1e-6);
  // Without slack one of them does not.
  const std::vector<Job> tight = {JobOf(0, 0, 3, 1, 5, 3.5), JobOf(0, 1, 1, 1, 7, 2)};
  EXPECT_NEAR(*BestValue(tight, {0, 0, 1}, 20), 7, 1e-6);
}

TEST(OracleTest, HoldersAreTheBestSet) {
  // Against all subsets, one class.
  std::mt19937_64 random(3);
  for (int round = 0; round < 30; ++round) {
    std::vector<Claimant> claimants;
    for (int i = 0; i < 10; ++i) {
      claimants.push_back(
          {1000 * static_cast<std::int64_t>(1 + random() % 4), {0, 0, 1 + static_cast<double>(random() % 100)}});
    }
    double most = 0;
    for (unsigned set = 0; set < 1024; ++set) {
      double value = 0;
      std::int64_t units = 0;
      for (std::size_t i = 0; i < 10; ++i) {
        if ((set >> i & 1) == 0) continue;
        value += claimants[i].value_rate[2];
        units += claimants[i].units_milli;
      }
      if (units <= 8000) most = std::max(most, value);
    }
    const Result<Best> best = BestHolders(claimants, {0, 0, 8}, 20);
    ASSERT_TRUE(best.ok());
    EXPECT_NEAR(best->value, most, 1e-6) << round;
    EXPECT_NEAR(best->bound, most, 1e-6) << round;
  }
}

TEST(OracleTest, NoEpochIsBetterThanTheBest) {
  const JobWorkload twin = MakePhillyTwin(1);
  for (std::uint64_t seed = 1; seed <= 3; ++seed) {
    const Result<EpochCase> one = RunEpochCase(twin, {}, seed, {});
    ASSERT_TRUE(one.ok()) << one.status().ToString();
    EXPECT_GT(one->value, 0);
    EXPECT_LE(one->value, one->best.bound * (1 + 1e-6));
    EXPECT_LE(one->best.value, one->best.bound * (1 + 1e-6));
    EXPECT_GE(one->bidders, 20U);
  }
}

TEST(OracleTest, LargerEpochsAreThickAndNearTheBest) {
  const JobWorkload twin = MakePhillyTwin(1);
  std::uint32_t thick = 0;
  for (std::uint64_t seed = 1; seed <= 3; ++seed) {
    const Result<EpochCase> one = RunEpochCase(twin, {}, seed, {10, false});
    ASSERT_TRUE(one.ok()) << one.status().ToString();
    EXPECT_GE(one->bidders, 200U);
    thick += one->thick_classes;
    EXPECT_LE(one->value, one->best.bound * (1 + 1e-6));
    EXPECT_GT(one->value, 0.5 * one->best.value);
  }
  EXPECT_GT(thick, 0U);
}

}  // namespace
}  // namespace accelmesh::sim
