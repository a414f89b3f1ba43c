#include "market/auction/netting.h"

#include <gtest/gtest.h>

#include "tests/unit/market/auction/worlds.h"

namespace accelmesh::market::auction {
namespace {

TEST(NettingTest, APartysOwnComeFirstAndMoveNoMoney) {
  EpochInput input = OneClass(50);
  input.asks = {AskOf(1, 7, 3000, 20), AskOf(2, 8, 3000, 10)};
  input.bids = {BidOf(3, 7, 2000, 90), BidOf(4, 9, 4000, 60)};
  const auto outcome = ClearEpoch(input);
  ASSERT_TRUE(outcome.ok());
  ASSERT_FALSE(outcome->trades.empty());
  const Trade& own = outcome->trades[0];
  EXPECT_EQ(own.lane, Lane::kNetted);
  EXPECT_EQ(own.ask, 1U);
  EXPECT_EQ(own.bid, 3U);
  EXPECT_EQ(own.units_milli, 2000);
  EXPECT_EQ(own.price_buyer_microcredits, 0);
  EXPECT_EQ(outcome->classes[0].units_netted_milli, 2000);
  // The rest is for others.
  EXPECT_EQ(outcome->classes[0].units_lane_b_milli, 4000);
  EXPECT_EQ(outcome->sums.paid, Wide{50} * 4000);
}

TEST(NettingTest, WhatItWouldNotPayItselfIsNotNetted) {
  EpochInput input = OneClass(50);
  input.asks = {AskOf(1, 7, 1000, 60)};
  input.bids = {BidOf(3, 7, 1000, 50)};
  const auto outcome = ClearEpoch(input);
  ASSERT_TRUE(outcome.ok());
  EXPECT_TRUE(outcome->trades.empty());
}

TEST(NettingTest, LumpsThatDoNotMatchAreNotSoldToOneself) {
  EpochInput input = OneClass(50);
  Ask lump = AskOf(1, 7, 3000, 20);
  lump.is_divisible = false;
  input.asks = {lump};
  input.bids = {BidOf(3, 7, 2000, 90), BidOf(4, 9, 3000, 60)};
  auto outcome = ClearEpoch(input);
  ASSERT_TRUE(outcome.ok());
  // And not to another either: its owner bids more for units than it asks.
  EXPECT_TRUE(outcome->trades.empty());
  input.bids[0].price_microcredits = 19;
  outcome = ClearEpoch(input);
  ASSERT_EQ(outcome->trades.size(), 1U);
  EXPECT_EQ(outcome->trades[0].bid, 4U);
}

}  // namespace
}  // namespace accelmesh::market::auction
