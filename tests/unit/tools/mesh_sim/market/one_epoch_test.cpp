#include "tools/mesh_sim/market/one_epoch.h"

#include <gtest/gtest.h>

#include <random>

namespace accelmesh::sim {
namespace {

using market::auction::Ask;
using market::auction::Bid;
using market::auction::ClearEpoch;
using market::auction::EpochInput;

constexpr std::int64_t kPrice = 100'000;

EpochInput Market() {
  EpochInput input;
  market::auction::ClassInput of_class;
  of_class.surrogate_microcredits = of_class.reserve_microcredits = kPrice;
  input.classes.push_back(of_class);
  return input;
}

void AddAsk(EpochInput& input, std::uint64_t id, std::uint64_t owner, std::int64_t price) {
  Ask ask;
  ask.id = id;
  ask.owner = owner;
  ask.units_milli = 1000;
  ask.price_microcredits = price;
  input.asks.push_back(ask);
}

void AddBid(EpochInput& input, std::uint64_t id, std::uint64_t owner, std::int64_t price) {
  Bid bid;
  bid.id = id;
  bid.owner = owner;
  bid.units_milli = 1000;
  bid.price_microcredits = price;
  input.bids.push_back(bid);
}

TEST(OneEpochTest, SurplusIsWhatIsWonLessWhatIsPaid) {
  EpochInput input = Market();
  AddAsk(input, 1, 9, 50'000);
  AddBid(input, 2, 1, 300'000);
  const auto outcome = ClearEpoch(input);
  ASSERT_TRUE(outcome.ok());
  ASSERT_EQ(outcome->trades.size(), 1U);
  EXPECT_NEAR(SurplusOf(input, *outcome, 1), 0.2, 1e-9);
  EXPECT_NEAR(SurplusOf(input, *outcome, 9), 0.05, 1e-9);
  EXPECT_EQ(SurplusOf(input, *outcome, 5), 0);
  // To itself no money moves: its bid less its ask.
  EpochInput own = Market();
  AddAsk(own, 1, 1, 80'000);
  AddBid(own, 2, 1, 300'000);
  EXPECT_NEAR(SurplusOf(own, *ClearEpoch(own), 1), 0.22, 1e-9);
}

TEST(OneEpochTest, AGangsSurplusIsItsValueLessAllThatItPays) {
  EpochInput input = Market();
  AddAsk(input, 1, 9, 50'000);
  AddAsk(input, 2, 9, 50'000);
  market::auction::GangBid gang;
  gang.id = 3;
  gang.owner = 1;
  gang.bundles = {{{{0, 2000}}, 700'000}};
  input.gangs.push_back(gang);
  const auto outcome = ClearEpoch(input);
  ASSERT_TRUE(outcome.ok());
  ASSERT_EQ(outcome->gangs.size(), 1U);
  EXPECT_NEAR(SurplusOf(input, *outcome, 1), 0.7 - 2 * 0.1, 1e-9);
}

TEST(OneEpochTest, WhoBidsTooLittleAtAFixedPriceLosesTheTrade) {
  EpochInput input = Market();
  AddAsk(input, 1, 9, 50'000);
  AddBid(input, 2, 1, 120'000);
  OneEpochGain gain(1, 0.7);
  gain.See(input, *ClearEpoch(input));
  EXPECT_NEAR(gain.honest(), 0.02, 1e-9);
  EXPECT_EQ(gain.change()[0], 0);
  EXPECT_NEAR(gain.change()[1], -0.02, 1e-9);  // at the surrogate price
  EXPECT_EQ(gain.change()[2], 0);
  OneEpochGain slight(1, 0.9);
  slight.See(input, *ClearEpoch(input));
  EXPECT_EQ(slight.change()[1], 0);
}

TEST(OneEpochTest, InAnAuctionOneOrderGainsNothingByALowerPrice) {
  std::mt19937_64 random(5);
  double lost = 0;
  for (int round = 0; round < 50; ++round) {
    EpochInput input = Market();
    input.seed = random();
    for (std::uint64_t i = 0; i < 40; ++i) {
      AddAsk(input, 1 + i, 1 + i, static_cast<std::int64_t>(random() % 200'000));
      AddBid(input, 101 + i, 101 + i, static_cast<std::int64_t>(random() % 300'000));
    }
    const auto outcome = ClearEpoch(input);
    ASSERT_TRUE(outcome.ok());
    for (std::uint64_t owner = 101; owner < 141; ++owner) {
      OneEpochGain gain(owner, 0.7);
      gain.See(input, *outcome);
      EXPECT_TRUE(gain.status().ok());
      EXPECT_LE(gain.change()[0], 1e-9) << round << ", " << owner;
      lost -= gain.change()[0];
    }
  }
  EXPECT_GT(lost, 0);
}

}  // namespace
}  // namespace accelmesh::sim
