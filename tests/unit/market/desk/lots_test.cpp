// In which lots a class deals: what is let of a slot is a multiple of its step, and nobody's odd size keeps others out.
#include "market/desk/lots.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>

#include "market/auction/epoch.h"

namespace accelmesh::market {
namespace {

TEST(LotsTest, WhereAllBidsAreWholeStepsThatIsTheLot) {
  for (std::uint64_t number = 0; number < 50; ++number) {
    EXPECT_EQ(LotOf({{}, {{133, true}}, {77}}, number), 1U);
    EXPECT_EQ(LotOf({{1}, {{133, true}}, {}}, number), 1U);
    EXPECT_EQ(LotOf({{10}, {{130, true}, {20, false}}, {50}}, number), 10U);
    EXPECT_EQ(LotOf({{10, 25}, {{100, true}}, {}}, number), 50U);
    // Who wants all of it from one seller needs no lot for what a lease has left.
    EXPECT_EQ(LotOf({{10}, {{130, false}}, {125}}, number), 10U);
  }
}

TEST(LotsTest, OddSizesTakeTurns) {
  std::map<std::uint32_t, int> turns;
  for (std::uint64_t number = 0; number < 1000; ++number)
    ++turns[LotOf({{10}, {{130, false}, {7, false}}, {}}, number)];
  EXPECT_GT(turns[1], 400);
  EXPECT_GT(turns[10], 400);
  EXPECT_EQ(turns.size(), 2U);
  // Of what nobody can use there is no turn.
  EXPECT_EQ(LotOf({{10}, {{7, false}}, {}}, 1), 1U);
  // A part of a bid and an odd ask are as odd.
  turns.clear();
  for (std::uint64_t number = 0; number < 1000; ++number) ++turns[LotOf({{10}, {{130, true}}, {125}}, number)];
  EXPECT_GT(turns[1], 400);
  EXPECT_GT(turns[10], 400);
  // Whoever comes every fourth time has each of them as well.
  turns.clear();
  for (std::uint64_t number = 0; number < 4000; number += 4) ++turns[LotOf({{10}, {{130, true}}, {125}}, number)];
  EXPECT_GT(turns[1], 400);
  EXPECT_GT(turns[10], 400);
}

TEST(LotsTest, EachStepHasItsTurnThatSomebodyCanUse) {
  std::map<std::uint32_t, int> turns;
  for (std::uint64_t number = 0; number < 1000; ++number) {
    ++turns[LotOf({{10, 250, 400}, {{130, false}, {500, false}, {400, false}}, {}}, number)];
  }
  EXPECT_GT(turns[1], 100);
  EXPECT_GT(turns[10], 100);
  EXPECT_GT(turns[250], 100);
  EXPECT_GT(turns[400], 100);
  // 7 and 11 and 13 come to more than a device.
  turns.clear();
  for (std::uint64_t number = 0; number < 1000; ++number) ++turns[LotOf({{7, 11, 13}, {{1000, true}}, {}}, number)];
  for (const std::uint32_t step : {7U, 11U, 13U}) {
    EXPECT_TRUE(std::any_of(turns.begin(), turns.end(), [step](const auto& turn) { return turn.first % step == 0; }));
  }
}

// The auction itself, on random orders that were cut to such a lot: what is sold of each idle ask is whole steps.
TEST(LotsTest, AtRandomIdleTradesAreWholeSteps) {
  std::mt19937_64 random(5);
  std::size_t traded = 0;
  for (int round = 0; round < 400; ++round) {
    Sizes sizes;
    auction::EpochInput input;
    std::map<auction::OrderId, std::uint32_t> steps;
    auction::OrderId id = 0;
    for (std::uint64_t i = 1 + random() % 4; i > 0; --i) {
      const std::uint32_t all[] = {1, 10, 25, 50, 100, 250, 300};
      const std::uint32_t step = all[random() % std::size(all)];
      steps[id] = step;
      sizes.steps.insert(step);
      auction::Ask ask;
      ask.id = ask.owner = id++;
      ask.units_milli = static_cast<std::int64_t>(step * (1 + random() % (1000 / step)));
      input.asks.push_back(ask);
    }
    for (std::uint64_t i = random() % 3; i > 0; --i) {
      auction::Ask ask;
      ask.id = ask.owner = ask.lease = id++;
      ask.kind = auction::AskKind::kShare;
      ask.units_milli = static_cast<std::int64_t>(1 + random() % 500);
      sizes.asks.push_back(static_cast<std::uint32_t>(ask.units_milli));
      input.asks.push_back(ask);
    }
    for (std::uint64_t i = 1 + random() % 6; i > 0; --i) {
      auction::Bid bid;
      bid.id = bid.owner = id++;
      bid.is_divisible = random() % 2 == 0;
      const std::uint64_t grain = random() % 3 == 0 ? 1 : 50;
      bid.units_milli = static_cast<std::int64_t>(grain * (1 + random() % (600 / grain)));
      bid.price_microcredits = 100;
      sizes.bids.push_back({static_cast<std::uint32_t>(bid.units_milli), bid.is_divisible});
      input.bids.push_back(bid);
    }
    input.number = random() % 1000;
    input.seed = random();
    const std::uint32_t lot = LotOf(sizes, input.number);
    ASSERT_GE(lot, 1U);
    std::erase_if(input.asks, [&](const auction::Ask& ask) {
      return ask.kind == auction::AskKind::kIdle && lot % steps[ask.id] != 0;
    });
    auction::ClassInput slot_class;
    slot_class.lot_milli = lot;
    slot_class.surrogate_microcredits = slot_class.reserve_microcredits = 50;
    input.classes.push_back(slot_class);
    const auto outcome = auction::ClearEpoch(input);
    ASSERT_TRUE(outcome.ok()) << outcome.status().ToString();
    for (const auction::Trade& trade : outcome->trades) {
      const auto step = steps.find(trade.ask);
      if (step == steps.end()) continue;
      ++traded;
      ASSERT_EQ(trade.units_milli % step->second, 0) << "round " << round << ", lot " << lot;
    }
  }
  EXPECT_GT(traded, 300U);
}

}  // namespace
}  // namespace accelmesh::market
