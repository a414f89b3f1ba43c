#include "market/auction/rationing.h"

#include <gtest/gtest.h>

#include <map>

#include "tests/unit/market/auction/worlds.h"

namespace accelmesh::market::auction {
namespace {

TEST(RationingTest, EveryoneIsDrawnAsOftenAndReputationCounts) {
  std::map<OrderId, int> sold;
  EpochInput input = OneClass(50);
  for (OrderId id = 1; id <= 4; ++id) input.asks.push_back(AskOf(id, id, 1000, 50));
  input.asks.push_back(AskOf(5, 5, 1000, 10));
  input.asks[4].reputation_ppm = 250'000;
  input.bids = {BidOf(10, 10, 1000, 60), BidOf(11, 11, 1000, 60)};
  constexpr int kSeeds = 4000;
  for (input.seed = 0; input.seed < kSeeds; ++input.seed) {
    const auto outcome = ClearEpoch(input);
    ASSERT_TRUE(outcome.ok());
    ASSERT_EQ(outcome->trades.size(), 2U);
    for (const Trade& trade : outcome->trades) ++sold[trade.ask];
  }
  for (OrderId id = 1; id <= 4; ++id) EXPECT_NEAR(sold[id], kSeeds * 0.49, kSeeds * 0.04) << id;
  EXPECT_LT(sold[5], kSeeds * 0.1);
  EXPECT_GT(sold[5], 0);
}

TEST(RationingTest, WhoTakesAllFromOneIsServedByOne) {
  EpochInput input = OneClass(50);
  input.asks = {AskOf(1, 1, 600, 10), AskOf(2, 2, 600, 10), AskOf(3, 3, 500, 10)};
  Bid whole = BidOf(10, 10, 1000, 60);
  whole.is_divisible = false;
  input.bids = {whole};
  auto outcome = ClearEpoch(input);
  ASSERT_TRUE(outcome.ok());
  EXPECT_TRUE(outcome->trades.empty());
  ASSERT_EQ(outcome->unserved.size(), 1U);
  EXPECT_EQ(outcome->unserved[0].why, UnservedWhy::kSize);
  Ask lump = AskOf(4, 4, 1000, 10);
  lump.is_divisible = false;
  input.asks.push_back(lump);
  outcome = ClearEpoch(input);
  ASSERT_EQ(outcome->trades.size(), 1U);
  EXPECT_EQ(outcome->trades[0].ask, 4U);
}

// Gangs get lumps as far as every sum can be made up; then what they need is made up whatever the draw says.
TEST(RationingTest, LumpsWithoutGapsAreThereForGangs) {
  EpochInput input = OneClass(50);
  input.classes[0].lot_milli = 1000;
  const auto lump = [](OrderId id, std::int64_t units) {
    Ask ask = AskOf(id, id, units, 40);
    ask.is_divisible = false;
    return ask;
  };
  input.asks = {AskOf(1, 1, 1000, 40), lump(2, 2000), lump(3, 4000), lump(4, 8000), lump(5, 17'000)};
  for (std::int64_t devices = 1; devices <= 16; ++devices) {
    GangBid gang;
    gang.id = 100;
    gang.owner = 100;
    gang.bundles = {{{{1, devices * 1000}}, 1'000'000}};
    input.gangs = {gang};
    for (input.seed = 0; input.seed < 20; ++input.seed) {
      const auto outcome = ClearEpoch(input);
      ASSERT_TRUE(outcome.ok());
      ASSERT_TRUE(CheckOutcome(input, *outcome).ok()) << devices;
      ASSERT_EQ(outcome->gangs.size(), devices <= 15 ? 1U : 0U) << devices;
    }
  }
  // The lump of 17 leaves a gap at 16; with one more device it does not.
  input.asks.push_back(AskOf(6, 6, 1000, 40));
  input.gangs[0].bundles[0].parts[0].units_milli = 33'000;
  const auto outcome = ClearEpoch(input);
  ASSERT_TRUE(outcome.ok());
  EXPECT_EQ(outcome->gangs.size(), 1U);
  EXPECT_TRUE(CheckOutcome(input, *outcome).ok());
}

// As many units as there can be: with what can be divided on both sides nothing is left on the shorter one.
TEST(RationingTest, TheShorterSideIsServedWhole) {
  Random random(51);
  WorldRules rules;
  rules.classes = 1;
  rules.gangs_max = 0;
  rules.plain = rules.own_parties = rules.all_divisible = true;
  for (int round = 0; round < 1000; ++round) {
    World world(random, rules);
    world.input.rules.eligible_trades_min = 1000;
    const std::int64_t price = world.input.classes[0].surrogate_microcredits;
    std::int64_t demand = 0;
    std::int64_t supply = 0;
    const std::int64_t lot = world.input.classes[0].lot_milli;
    for (const Bid& bid : world.input.bids) demand += bid.price_microcredits >= price ? bid.units_milli / lot * lot : 0;
    for (const Ask& ask : world.input.asks) supply += ask.price_microcredits <= price ? ask.units_milli / lot * lot : 0;
    const auto outcome = ClearEpoch(world.input);
    ASSERT_TRUE(outcome.ok());
    ASSERT_EQ(outcome->classes[0].units_lane_b_milli, std::min(demand, supply));
  }
}

}  // namespace
}  // namespace accelmesh::market::auction
