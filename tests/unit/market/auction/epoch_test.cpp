// What must hold of every epoch: CheckOutcome (individual rationality, exact budget balance, whole lumps, floors,
// budgets, nobody trades with itself), whatever the order of orders, and in corners.
#include "market/auction/epoch.h"

#include <gtest/gtest.h>

#include <map>

#include "tests/unit/market/auction/worlds.h"

namespace accelmesh::market::auction {
namespace {

std::string Text(const Status& status) { return status.ToString(); }

TEST(EpochTest, EveryRandomEpochHolds) {
  Random random(11);
  std::map<LaneB, int> seen;
  std::map<Lane, int> lanes;
  int gangs = 0;
  for (int round = 0; round < 12000; ++round) {
    WorldRules rules;
    rules.classes = 1 + round % 4;
    rules.one_size = Chance(random, 40);
    rules.plain = Chance(random, 30);
    rules.own_parties = Chance(random, 30);
    rules.gangs_max = Chance(random, 50) ? 0 : 15;
    const World world(random, rules);
    const auto outcome = ClearEpoch(world.input);
    ASSERT_TRUE(outcome.ok()) << Text(outcome.status());
    const Status holds = CheckOutcome(world.input, *outcome);
    ASSERT_TRUE(holds.ok()) << Text(holds) << " in round " << round;
    for (const ClassOutcome& of_class : outcome->classes) ++seen[of_class.lane_b];
    for (const Trade& trade : outcome->trades) ++lanes[trade.lane];
    gangs += static_cast<int>(outcome->gangs.size());
  }
  // The test has seen what it is about.
  for (const LaneB lane : {LaneB::kNone, LaneB::kSbba, LaneB::kMcAfee, LaneB::kHuang, LaneB::kPosted}) {
    EXPECT_GT(seen[lane], 100) << static_cast<int>(lane);
  }
  for (const Lane lane : {Lane::kNetted, Lane::kFloor, Lane::kGang, Lane::kAuction, Lane::kPosted}) {
    EXPECT_GT(lanes[lane], 100) << static_cast<int>(lane);
  }
  EXPECT_GT(gangs, 500);
}

TEST(EpochTest, TheOrderOfOrdersPlaysNoPart) {
  Random random(12);
  for (int round = 0; round < 600; ++round) {
    WorldRules rules;
    rules.classes = 1 + round % 4;
    rules.one_size = Chance(random, 50);
    rules.plain = Chance(random, 30);
    World world(random, rules);
    const auto first = ClearEpoch(world.input);
    ASSERT_TRUE(first.ok());
    for (int turn = 0; turn < 3; ++turn) {
      EpochInput& input = world.input;
      std::shuffle(input.asks.begin(), input.asks.end(), random);
      std::shuffle(input.bids.begin(), input.bids.end(), random);
      std::shuffle(input.gangs.begin(), input.gangs.end(), random);
      std::shuffle(input.classes.begin(), input.classes.end(), random);
      for (ClassInput& slot_class : input.classes) {
        std::shuffle(slot_class.floors.begin(), slot_class.floors.end(), random);
      }
      const auto again = ClearEpoch(input);
      ASSERT_TRUE(again.ok());
      ASSERT_TRUE(*first == *again) << "round " << round;
    }
  }
}

TEST(EpochTest, OneEpochLeavesNothingToTheNext) {
  Random random(15);
  Clearing clearing;
  for (int round = 0; round < 1000; ++round) {
    WorldRules rules;
    rules.classes = 1 + static_cast<int>(random() % 4);
    rules.one_size = Chance(random, 50);
    World world(random, rules);
    if (Chance(random, 10)) world.input.bids.push_back(Bid{});  // refused
    const auto kept = clearing.Clear(world.input);
    const auto fresh = ClearEpoch(world.input);
    ASSERT_EQ(kept.ok(), fresh.ok());
    if (kept.ok()) {
      ASSERT_TRUE(*kept == *fresh);
    }
  }
}

TEST(EpochTest, TheSeedDrawsAndNothingElseDoes) {
  Random random(13);
  WorldRules rules;
  rules.classes = 1;
  rules.asks_max = rules.bids_max = 60;
  rules.plain = true;
  int differ = 0;
  for (int round = 0; round < 100; ++round) {
    World world(random, rules);
    const auto first = ClearEpoch(world.input);
    world.input.seed += 1;
    const auto other = ClearEpoch(world.input);
    ASSERT_TRUE(first.ok() && other.ok());
    differ += *first == *other ? 0 : 1;
    // Prices are nobody's luck.
    if (first->classes[0].lane_b == LaneB::kSbba) {
      EXPECT_EQ(first->classes[0].price_microcredits, other->classes[0].price_microcredits);
    }
  }
  EXPECT_GT(differ, 30);
}

TEST(EpochTest, NothingIsAnEpochToo) {
  const auto outcome = ClearEpoch({});
  ASSERT_TRUE(outcome.ok());
  EXPECT_TRUE(outcome->trades.empty());
  EpochInput input = OneClass(5);
  ASSERT_TRUE(ClearEpoch(input).ok());
  input.bids.push_back(BidOf(1, 1, 1000, 10));
  const auto unserved = ClearEpoch(input);
  ASSERT_TRUE(unserved.ok());
  ASSERT_EQ(unserved->unserved.size(), 1U);
  EXPECT_EQ(unserved->unserved[0].why, UnservedWhy::kRationed);
  EXPECT_EQ(unserved->classes[0].lane_b, LaneB::kNone);
}

TEST(EpochTest, ThinClassesTradeAtTheSurrogatePrice) {
  EpochInput input = OneClass(50);
  input.asks = {AskOf(1, 1, 1000, 40), AskOf(2, 2, 1000, 60)};
  input.bids = {BidOf(3, 3, 1000, 70), BidOf(4, 4, 1000, 45)};
  const auto outcome = ClearEpoch(input);
  ASSERT_TRUE(outcome.ok());
  ASSERT_EQ(outcome->trades.size(), 1U);
  EXPECT_EQ(outcome->trades[0].ask, 1U);
  EXPECT_EQ(outcome->trades[0].bid, 3U);
  EXPECT_EQ(outcome->trades[0].price_buyer_microcredits, 50);
  EXPECT_EQ(outcome->trades[0].price_seller_microcredits, 50);
  EXPECT_EQ(outcome->trades[0].lane, Lane::kPosted);
  ASSERT_EQ(outcome->unserved.size(), 1U);
  EXPECT_EQ(outcome->unserved[0].why, UnservedWhy::kPrice);
  EXPECT_EQ(outcome->unserved[0].price_to_win_microcredits, 50);
}

// A preemption: a running lease's holder is paid more than its ask by whoever values the slot more.
TEST(EpochTest, ALeaseIsSoldLikeIdleSupply) {
  EpochInput input = OneClass(50);
  Ask lease = AskOf(1, 1, 1000, 45);
  lease.kind = AskKind::kRelease;
  lease.lease = 77;
  lease.is_divisible = false;
  input.asks = {lease};
  input.bids = {BidOf(3, 3, 1000, 70)};
  const auto outcome = ClearEpoch(input);
  ASSERT_TRUE(outcome.ok());
  ASSERT_EQ(outcome->trades.size(), 1U);
  EXPECT_GE(outcome->trades[0].price_seller_microcredits, 45);
  // And idle supply is taken before it.
  input.asks.push_back(AskOf(2, 2, 1000, 49));
  for (input.seed = 0; input.seed < 20; ++input.seed) {
    const auto idle = ClearEpoch(input);
    ASSERT_TRUE(idle.ok());
    ASSERT_EQ(idle->trades.size(), 1U);
    EXPECT_EQ(idle->trades[0].ask, 2U);
  }
}

// In every lane, and whether the lease can be divided or not.
TEST(EpochTest, NoLeaseIsSoldWhileUnitsLieIdle) {
  Random random(14);
  int sold = 0;
  for (int round = 0; round < 2000; ++round) {
    WorldRules rules;
    rules.classes = 1;
    rules.plain = rules.own_parties = true;
    rules.one_size = Chance(random, 50);
    rules.gangs_max = Chance(random, 50) ? 0 : 6;
    World world(random, rules);
    const std::int64_t price = world.input.classes[0].surrogate_microcredits;
    world.input.classes[0].reserve_microcredits = price;
    world.input.rules.eligible_trades_min = 1000;
    for (Bid& bid : world.input.bids) bid.is_divisible = true;
    // A gang may need a lump and then less of what is idle.
    for (Ask& ask : world.input.asks) {
      ask.is_divisible = ask.lease == 0 || !world.input.gangs.empty() || Chance(random, 50);
    }
    const auto outcome = ClearEpoch(world.input);
    ASSERT_TRUE(outcome.ok());
    std::map<OrderId, std::int64_t> left;
    for (const Ask& ask : world.input.asks) left[ask.id] = ask.units_milli;
    for (const Trade& trade : outcome->trades) left[trade.ask] -= trade.units_milli;
    bool is_lease_sold = false;
    std::int64_t idle = 0;
    for (const Ask& ask : world.input.asks) {
      if (ask.lease != 0) is_lease_sold = is_lease_sold || left[ask.id] < ask.units_milli;
      if (ask.lease == 0 && ask.price_microcredits <= price) idle += left[ask.id];
    }
    sold += is_lease_sold ? 1 : 0;
    ASSERT_TRUE(!is_lease_sold || idle == 0) << round;
  }
  EXPECT_GT(sold, 200);
}

TEST(EpochTest, ReputationDividesTheAskAndMultipliesThePrice) {
  EpochInput input = OneClass(100);
  Ask ask = AskOf(1, 1, 1000, 50);
  ask.reputation_ppm = 500'000;  // counts as 100
  input.asks = {ask};
  input.bids = {BidOf(3, 3, 1000, 100)};
  const auto outcome = ClearEpoch(input);
  ASSERT_TRUE(outcome.ok());
  ASSERT_EQ(outcome->trades.size(), 1U);
  EXPECT_EQ(outcome->trades[0].price_buyer_microcredits, 50);
  EXPECT_EQ(outcome->trades[0].price_seller_microcredits, 50);
  input.asks[0].price_microcredits = 51;  // counts as 102
  EXPECT_TRUE(ClearEpoch(input)->trades.empty());
  input.asks[0].price_microcredits = 0;
  input.asks[0].reputation_ppm = 0;
  EXPECT_TRUE(ClearEpoch(input)->trades.empty());
}

TEST(EpochTest, FloorsBuyBeforeOthersAndNoFurther) {
  EpochInput input = OneClass(50);
  input.classes[0].floors = {{7, 2000}};
  input.asks = {AskOf(1, 1, 3000, 10)};
  Bid floor = BidOf(3, 7, 5000, 60);
  floor.uses_floor = true;
  input.bids = {floor, BidOf(4, 4, 3000, 90)};
  const auto outcome = ClearEpoch(input);
  ASSERT_TRUE(outcome.ok());
  ASSERT_EQ(outcome->trades.size(), 2U);
  EXPECT_EQ(outcome->trades[0].lane, Lane::kFloor);
  EXPECT_EQ(outcome->trades[0].units_milli, 2000);
  EXPECT_EQ(outcome->trades[0].price_buyer_microcredits, 50);
  EXPECT_EQ(outcome->trades[1].bid, 4U);
  EXPECT_EQ(outcome->trades[1].units_milli, 1000);
  ASSERT_EQ(outcome->unserved.size(), 2U);
  EXPECT_EQ(outcome->unserved[0].why, UnservedWhy::kNoFloor);
  EXPECT_EQ(outcome->unserved[0].units_milli, 3000);
  // Two bids share one floor.
  input.bids[0].units_milli = 1500;
  input.bids[1].owner = 7;
  input.bids[1].uses_floor = true;
  const auto shared = ClearEpoch(input);
  ASSERT_TRUE(shared.ok());
  EXPECT_EQ(shared->classes[0].units_floor_milli, 2000);
  EXPECT_TRUE(CheckOutcome(input, *shared).ok());
}

TEST(EpochTest, ABudgetIsNeverExceeded) {
  EpochInput input = OneClass(50);
  input.asks = {AskOf(1, 1, 10'000, 10)};
  Bid bid = BidOf(3, 7, 5000, 60);
  bid.budget_microcredits = 130;  // 2.166 units at the price bid
  input.bids = {bid};
  const auto outcome = ClearEpoch(input);
  ASSERT_TRUE(outcome.ok());
  ASSERT_EQ(outcome->trades.size(), 1U);
  EXPECT_EQ(outcome->trades[0].units_milli, 2166);
  ASSERT_EQ(outcome->unserved.size(), 1U);
  EXPECT_EQ(outcome->unserved[0].why, UnservedWhy::kBudget);
}

// The largest orders there may be: nothing overflows, sums balance.
TEST(EpochTest, TheLargestOrdersAreCounted) {
  EpochInput input = OneClass(kPriceMicrocreditsMax);
  for (OrderId id = 1; id <= 300; ++id) {
    input.asks.push_back(AskOf(id, id, kUnitsMilliMax, kPriceMicrocreditsMax));
    input.bids.push_back(BidOf(1000 + id, 1000 + id, kUnitsMilliMax, kPriceMicrocreditsMax));
  }
  for (const auto auction : {DoubleAuction::kSbba, DoubleAuction::kMcAfee}) {
    for (const unsigned least : {0U, 1000U}) {
      input.rules = {auction, ThickBy::kCrossing, least};
      const auto outcome = ClearEpoch(input);
      ASSERT_TRUE(outcome.ok());
      EXPECT_TRUE(CheckOutcome(input, *outcome).ok());
      EXPECT_GE(outcome->trades.size(), 299U);
      EXPECT_EQ(outcome->sums.paid,
                Wide{kPriceMicrocreditsMax} * kUnitsMilliMax * static_cast<std::int64_t>(outcome->trades.size()));
    }
  }
  GangBid gang;
  gang.id = 5000;
  gang.bundles.resize(1);
  gang.bundles[0].parts = {{1, kUnitsMilliMax}};
  gang.bundles[0].value_microcredits = kValueMicrocreditsMax;
  input.gangs.push_back(gang);
  const auto outcome = ClearEpoch(input);
  ASSERT_TRUE(outcome.ok());
  EXPECT_TRUE(CheckOutcome(input, *outcome).ok());
  EXPECT_EQ(outcome->gangs.size(), 1U);
}

TEST(EpochTest, WhatDoesNotHoldIsRefusedWithTheField) {
  const auto code = [](const EpochInput& input) { return ClearEpoch(input).status().code(); };
  EpochInput good = OneClass(5);
  good.asks = {AskOf(1, 1, 1000, 1)};
  good.bids = {BidOf(2, 2, 1000, 9)};
  ASSERT_TRUE(ClearEpoch(good).ok());
  EpochInput bad = good;
  bad.asks.push_back(bad.asks[0]);
  EXPECT_EQ(code(bad), Code::kInvalidArgument);
  bad = good;
  bad.bids.push_back(bad.bids[0]);
  EXPECT_EQ(code(bad), Code::kInvalidArgument);
  bad = good;
  bad.classes.push_back(bad.classes[0]);
  EXPECT_EQ(code(bad), Code::kInvalidArgument);
  bad = good;
  bad.gangs.push_back({2, 3, 0, {{{{1, 1000}}, 5}}});
  EXPECT_EQ(code(bad), Code::kInvalidArgument);
  bad = good;
  bad.asks[0].kind = AskKind::kRelease;
  bad.asks[0].lease = 4;
  bad.asks.push_back(bad.asks[0]);
  bad.asks[1].id = 9;
  EXPECT_EQ(code(bad), Code::kInvalidArgument);
  bad = good;
  bad.rules.auction = static_cast<DoubleAuction>(9);
  EXPECT_EQ(code(bad), Code::kInvalidArgument);
  bad = good;
  bad.classes.resize(kClassesMax + 1);
  EXPECT_EQ(code(bad), Code::kLimitExceeded);
  bad = good;
  bad.bids.resize(kOrdersMax + 1);
  EXPECT_EQ(code(bad), Code::kLimitExceeded);
  bad = good;
  bad.gangs.resize(kGangsMax + 1);
  EXPECT_EQ(code(bad), Code::kLimitExceeded);
  for (const std::int64_t units : {std::int64_t{0}, std::int64_t{-1}, kUnitsMilliMax + 1, INT64_MAX, INT64_MIN}) {
    bad = good;
    bad.asks[0].units_milli = units;
    EXPECT_EQ(code(bad), Code::kInvalidArgument);
    bad = good;
    bad.bids[0].units_milli = units;
    EXPECT_EQ(code(bad), Code::kInvalidArgument);
  }
  for (const std::int64_t price : {std::int64_t{-1}, kPriceMicrocreditsMax + 1, INT64_MAX, INT64_MIN}) {
    bad = good;
    bad.asks[0].price_microcredits = price;
    EXPECT_EQ(code(bad), Code::kInvalidArgument);
    bad = good;
    bad.bids[0].price_microcredits = price;
    EXPECT_EQ(code(bad), Code::kInvalidArgument);
    bad = good;
    bad.classes[0].reserve_microcredits = price;
    EXPECT_EQ(code(bad), Code::kInvalidArgument);
    bad = good;
    bad.classes[0].surrogate_microcredits = price;
    EXPECT_EQ(code(bad), Code::kInvalidArgument);
  }
  bad = good;
  bad.asks[0].reputation_ppm = kWholePpm + 1;
  EXPECT_EQ(ClearEpoch(bad).status().where(), "Ask.reputation_ppm");
}

}  // namespace
}  // namespace accelmesh::market::auction
