#include "tools/mesh_sim/market/max_min.h"

#include <gtest/gtest.h>

#include <random>

#include "tests/unit/tools/mesh_sim/market/cases.h"
#include "tools/mesh_sim/market/measures.h"

namespace accelmesh::sim {
namespace {

TEST(MaxMinTest, OneClassIsSharedAlike) {
  // Four jobs, two GPUs: half of the time each.
  const auto parts = SolveMaxMin({{4, 1, {0, 0, 1}}}, {0, 0, 2});
  ASSERT_TRUE(parts.ok()) << parts.status().ToString();
  EXPECT_NEAR((*parts)[0][2], 0.5, 1e-6);
}

TEST(MaxMinTest, EachGetsTheClassThatSuitsIt) {
  // Two classes, one GPU of each; one job is alike on both, the other four times faster on the last: it has the last,
  // the first has the other, though equal shares would split both.
  const auto parts = SolveMaxMin({{1, 1, {0, 1, 1}}, {1, 1, {0, 1, 4}}}, {0, 1, 1});
  ASSERT_TRUE(parts.ok());
  EXPECT_NEAR((*parts)[0][1], 1, 1e-6);
  EXPECT_NEAR((*parts)[1][2], 1, 1e-6);
}

TEST(MaxMinTest, AGangOfTwoGetsHalfTheTimeOfASingle) {
  // One GPU's worth of each: x + 2 y = 2 on two GPUs, and x = 2 y: half the time for the gang, all for the single.
  const auto parts = SolveMaxMin({{1, 1, {0, 0, 1}}, {1, 2, {0, 0, 1}}}, {0, 0, 2});
  ASSERT_TRUE(parts.ok());
  EXPECT_NEAR((*parts)[0][2], 1, 1e-6);
  EXPECT_NEAR((*parts)[1][2], 0.5, 1e-6);
}

// Against a search for the greatest least by bisection, on one class, where what a level needs is a sum.
TEST(MaxMinTest, TheLeastIsAsGreatAsBisectionFinds) {
  std::mt19937_64 random(5);
  for (int round = 0; round < 200; ++round) {
    std::vector<MaxMinGroup> groups;
    double wanted = 0;
    for (std::uint64_t i = 0; i < 1 + random() % 6; ++i) {
      groups.push_back({1.0 + static_cast<double>(random() % 9),
                        std::exp2(static_cast<double>(random() % 4)),
                        {0, 0, 0.1 + static_cast<double>(random() % 100)}});
      wanted += groups.back().jobs * groups.back().units;
    }
    const double gpus = 1 + static_cast<double>(random() % 40);
    // One class: normalised speed is 1 for all, so that a level t takes t / units of the time, at most all of it.
    double low = 0, high = 8;
    for (int i = 0; i < 60; ++i) {
      const double level = (low + high) / 2;
      double needs = 0;
      bool fits = true;
      for (const MaxMinGroup& group : groups) {
        needs += group.jobs * level;
        fits = fits && level <= group.units;
      }
      (fits && needs <= gpus ? low : high) = level;
    }
    const auto parts = SolveMaxMin(groups, {0, 0, gpus});
    ASSERT_TRUE(parts.ok());
    double least = 1e9;
    double used = 0;
    for (std::size_t i = 0; i < groups.size(); ++i) {
      least = std::min(least, (*parts)[i][2] * groups[i].units);
      used += (*parts)[i][2] * groups[i].units * groups[i].jobs;
      EXPECT_LE((*parts)[i][2], 1 + 1e-6);
    }
    EXPECT_NEAR(least, low, 1e-4) << round;
    EXPECT_NEAR(used, std::min(gpus, wanted), 1e-3) << round;  // and nothing is left over
  }
}

TEST(MaxMinTest, JobsTakeTurnsByRounds) {
  // Two jobs of two hours on one GPU, rounds of half an hour: both end near hour four, not one at two.
  const std::vector<Job> jobs = {JobOf(0, 0, 2), JobOf(0, 0, 2)};
  World world(jobs, {0, 0, 1}, 1, {});
  MaxMin policy(2, kHourMs / 2);
  ASSERT_TRUE(world.Run(policy).ok());
  EXPECT_GT(EndOf(world, 0), 3.4);
  EXPECT_GT(EndOf(world, 1), 3.4);
  EXPECT_LT(EndOf(world, 1), 4.3);
  EXPECT_GE(world.state(0).stops + world.state(1).stops, 4U);
  EXPECT_TRUE(AllGivenBack(world));
}

}  // namespace
}  // namespace accelmesh::sim
