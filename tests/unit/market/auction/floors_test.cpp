#include "market/auction/floors.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "tests/unit/market/auction/worlds.h"

namespace accelmesh::market::auction {
namespace {

TEST(FloorsTest, APartyMayCallItsShareLessWhatItHas) {
  const std::vector<FloorShare> shares = {{3, 250'000, 0}, {1, 500'000, 4'000}, {2, 100'000, 9'000}};
  const auto floors = FloorsOwed(shares, 10'000, 1'000);
  ASSERT_TRUE(floors.ok());
  ASSERT_EQ(floors->size(), 2U);
  EXPECT_EQ((*floors)[0].party, 1U);
  EXPECT_EQ((*floors)[0].units_milli, 1'000);
  EXPECT_EQ((*floors)[1].party, 3U);
  EXPECT_EQ((*floors)[1].units_milli, 2'000);  // 2.5 units are two lots
  const std::vector<FloorShare> too_much = {{1, 500'001, 0}, {2, 500'000, 0}};
  EXPECT_EQ(FloorsOwed(too_much, 10, 1).status().code(), Code::kInvalidArgument);
  const std::vector<FloorShare> twice = {{1, 1, 0}, {1, 1, 0}};
  EXPECT_EQ(FloorsOwed(twice, 10, 1).status().code(), Code::kInvalidArgument);
  EXPECT_FALSE(FloorsOwed(shares, -1, 1).ok());
  EXPECT_FALSE(FloorsOwed(shares, INT64_MAX, 1).ok());
  EXPECT_FALSE(FloorsOwed(shares, 10, 0).ok());
}

TEST(FloorsTest, SplitsAddUpWhateverTheWeights) {
  Random random(71);
  for (int round = 0; round < 3000; ++round) {
    std::vector<Weight> weights;
    Wide all = 0;
    for (PartyId party = 0; party < random() % 9; ++party) {
      weights.push_back({party * 7 % 10, Chance(random, 20)   ? 0
                                         : Chance(random, 50) ? random() % 5
                                                              : random() % (1ULL << 58)});
      all += static_cast<Wide>(weights.back().weight);
    }
    const std::int64_t amount = Chance(random, 50) ? Between(random, 0, 10) : Between(random, 0, INT64_MAX - 1);
    const auto portions = Split(amount, weights);
    ASSERT_TRUE(portions.ok());
    Wide sum = 0;
    for (const Portion& portion : *portions) {
      sum += portion.amount;
      const auto weight = std::find_if(weights.begin(), weights.end(), [&](const Weight& w) {
                            return w.party == portion.party;
                          })->weight;
      if (all == 0) continue;
      const Wide exact = Wide{amount} * static_cast<Wide>(weight) / all;
      ASSERT_GE(portion.amount, exact);
      ASSERT_LE(portion.amount, exact + 1);
      if (weight == 0) {
        ASSERT_EQ(portion.amount, 0);
      }
    }
    ASSERT_EQ(sum, all == 0 ? 0 : amount);
    std::shuffle(weights.begin(), weights.end(), random);
    ASSERT_EQ(*Split(amount, weights), *portions);
  }
  const std::vector<Weight> huge = {{1, UINT64_MAX}, {2, UINT64_MAX}};
  EXPECT_FALSE(Split(5, huge).ok());
  EXPECT_FALSE(Split(-5, {}).ok());
}

TEST(FloorsTest, BudgetsRecurAndSavingsAreBounded) {
  std::map<PartyId, std::int64_t> savings = {{1, 0}, {2, 0}};
  for (int period = 0; period < 10; ++period) {
    const std::vector<Budget> budgets = {{1, 1, savings[1]}, {2, 3, savings[2]}};
    const auto portions = Grant(400, budgets, 4);
    ASSERT_TRUE(portions.ok());
    for (const Portion& portion : *portions) savings[portion.party] += portion.amount;
    if (period == 0) {
      EXPECT_EQ(savings[1], 100);
      EXPECT_EQ(savings[2], 300);
    }
  }
  EXPECT_EQ(savings[1], 400);
  EXPECT_EQ(savings[2], 1200);
  // Who spends gets more again, up to one portion.
  const std::vector<Budget> spent = {{1, 1, 350}, {2, 3, 0}};
  const auto again = Grant(400, spent, 4);
  ASSERT_TRUE(again.ok());
  EXPECT_EQ(*again, (std::vector<Portion>{{1, 50}, {2, 300}}));
}

}  // namespace
}  // namespace accelmesh::market::auction
