// Large epochs, of which the clearing sorts only a part: prices, numbers and winners are those of the definitions all
// the same, however prices are spread.
#include "market/auction/window.h"

#include <gtest/gtest.h>

#include <map>
#include <set>

#include "tests/unit/market/auction/reference.h"
#include "tests/unit/market/auction/worlds.h"

namespace accelmesh::market::auction {
namespace {

// Prices in one of several shapes.
std::int64_t SomePrice(Random& random, int shape, bool is_ask) {
  switch (shape) {
    case 0: return Between(random, 0, 1'000'000);
    case 1: return Between(random, 0, 3);  // ties
    case 2:
      return Chance(random, 1) ? kPriceMicrocreditsMax : Between(random, 1000, 1100);  // one bucket for nearly all
    case 3: return is_ask ? Between(random, 0, 500) : Between(random, 400, 900);
    case 4: return is_ask ? Between(random, 800, 900) : Between(random, 0, 790);                      // nothing crosses
    case 5: return is_ask ? Between(random, 0, 100) : Between(random, 1'000'000'000, 2'000'000'000);  // all do
    case 6:
      return Chance(random, 50) ? Between(random, 0, 10) : Between(random, 999'999'999'000, kPriceMicrocreditsMax);
    default: return is_ask ? 500 : 500 + (Chance(random, 50) ? 1 : 0);
  }
}
constexpr int kShapes = 8;

EpochInput Large(Random& random, int shape, std::int64_t units_max) {
  EpochInput input;
  input.seed = random();
  input.rules = {Chance(random, 50) ? DoubleAuction::kSbba : DoubleAuction::kMcAfee, ThickBy::kOrders, 1};
  input.classes = {{5, 0, 0, 1000, 1, 0, {}}};
  const std::int64_t asks = Chance(random, 10) ? Between(random, 1, 5) : Between(random, 1, 3000);
  const std::int64_t bids = Between(random, 2100, 3500);
  for (std::int64_t i = 1; i <= asks; ++i) {
    Ask ask;
    ask.id = ask.owner = static_cast<OrderId>(i);
    ask.slot_class = 5;
    ask.units_milli = Between(random, 1, units_max);
    ask.price_microcredits = SomePrice(random, shape, true);
    input.asks.push_back(ask);
  }
  for (std::int64_t i = 1; i <= bids; ++i) {
    Bid bid;
    bid.id = bid.owner = static_cast<OrderId>(10'000 + i);
    bid.slot_class = 5;
    bid.units_milli = Between(random, 1, units_max);
    bid.price_microcredits = SomePrice(random, shape, false);
    input.bids.push_back(bid);
  }
  std::shuffle(input.asks.begin(), input.asks.end(), random);
  std::shuffle(input.bids.begin(), input.bids.end(), random);
  return input;
}

TEST(WindowTest, OneSizeIsWhatTheDefinitionsSay) {
  Random random(91);
  for (int round = 0; round < 6 * kShapes; ++round) {
    const EpochInput input = Large(random, round % kShapes, 1);
    std::vector<std::int64_t> bids;
    std::vector<std::int64_t> asks;
    std::map<OrderId, std::int64_t> prices;
    for (const Bid& bid : input.bids) bids.push_back(prices[bid.id] = bid.price_microcredits);
    for (const Ask& ask : input.asks) asks.push_back(prices[ask.id] = ask.price_microcredits);
    const ReferencePrices expected = ReferenceOneSize(bids, asks, input.rules.auction);
    const auto outcome = ClearEpoch(input);
    ASSERT_TRUE(outcome.ok());
    ASSERT_TRUE(CheckOutcome(input, *outcome).ok());
    ASSERT_EQ(std::ssize(outcome->trades), expected.trades) << round;
    if (expected.trades == 0) continue;
    ASSERT_EQ(outcome->classes[0].price_microcredits, expected.buyer) << round;
    ASSERT_EQ(outcome->classes[0].price_seller_microcredits, expected.seller) << round;
    // The best buyers, every one of them.
    std::sort(bids.rbegin(), bids.rend());
    std::multiset<std::int64_t> won;
    for (const Trade& trade : outcome->trades) won.insert(prices[trade.bid]);
    ASSERT_EQ(won, std::multiset<std::int64_t>(bids.begin(), bids.begin() + expected.trades));
  }
}

TEST(WindowTest, SeveralSizesAreWhatTheDefinitionsSay) {
  Random random(92);
  int traded = 0;
  for (int round = 0; round < 24; ++round) {
    EpochInput input = Large(random, 0, 9);
    // Different prices, so that nothing is drawn among equals.
    std::set<std::int64_t> used;
    const auto differ = [&](std::int64_t& price) {
      while (!used.insert(price).second) price = Between(random, 0, round % 2 == 0 ? 10'000 : 1'000'000'000);
    };
    std::vector<ReferenceOrder> bids;
    std::vector<ReferenceOrder> asks;
    for (Bid& bid : input.bids)
      differ(bid.price_microcredits), bids.push_back({bid.price_microcredits, bid.units_milli});
    for (Ask& ask : input.asks)
      differ(ask.price_microcredits), asks.push_back({ask.price_microcredits, ask.units_milli});
    const ReferenceHuang expected = ReferenceMultiUnit(bids, asks);
    const auto outcome = ClearEpoch(input);
    ASSERT_TRUE(outcome.ok());
    ASSERT_TRUE(CheckOutcome(input, *outcome).ok());
    ASSERT_EQ(outcome->classes[0].units_lane_b_milli, expected.units);
    if (expected.units == 0) continue;
    ++traded;
    ASSERT_EQ(outcome->classes[0].price_microcredits, expected.buyer);
    ASSERT_EQ(outcome->classes[0].price_seller_microcredits, expected.seller);
  }
  EXPECT_GT(traded, 15);
}

// For losers of all ranks: just above the price named they win, just below they do not.
TEST(WindowTest, WhatALoserNeededIsExact) {
  Random random(93);
  int checked = 0;
  for (int round = 0; round < 4 * kShapes; ++round) {
    EpochInput input = Large(random, round % kShapes, 1);
    const auto outcome = ClearEpoch(input);
    ASSERT_TRUE(outcome.ok());
    const auto wins = [&](OrderId id, std::int64_t price) {
      EpochInput changed = input;
      for (Bid& bid : changed.bids) {
        if (bid.id == id) bid.price_microcredits = price;
      }
      const auto again = ClearEpoch(changed);
      for (const UnservedBid& unserved : again->unserved) {
        if (unserved.bid == id) return false;
      }
      return true;
    };
    // Those next to the margin, and some of the others.
    std::map<OrderId, std::int64_t> prices;
    for (const Bid& bid : input.bids) prices[bid.id] = bid.price_microcredits;
    std::vector<UnservedBid> losers = outcome->unserved;
    std::shuffle(losers.begin(), losers.end(), random);
    std::sort(losers.begin(), losers.end(),
              [&](const UnservedBid& a, const UnservedBid& b) { return prices[a.bid] > prices[b.bid]; });
    if (losers.size() > 5) std::shuffle(losers.begin() + 5, losers.end(), random);
    for (std::size_t i = 0; i < std::min<std::size_t>(losers.size(), 12); ++i) {
      const UnservedBid& unserved = losers[i];
      const std::int64_t price = unserved.price_to_win_microcredits;
      ++checked;
      if (price == -1) {
        ASSERT_FALSE(wins(unserved.bid, kPriceMicrocreditsMax));
        continue;
      }
      if (price < kPriceMicrocreditsMax) {
        ASSERT_TRUE(wins(unserved.bid, price + 1)) << round;
      }
      if (price > 0) {
        ASSERT_FALSE(wins(unserved.bid, price - 1)) << round;
      }
    }
  }
  EXPECT_GT(checked, 100);
}

TEST(WindowTest, TheOrderOfManyOrdersPlaysNoPart) {
  Random random(94);
  for (int round = 0; round < 2 * kShapes; ++round) {
    EpochInput input = Large(random, round % kShapes, round % 3 == 0 ? 9 : 1);
    const auto first = ClearEpoch(input);
    std::sort(input.asks.begin(), input.asks.end(), [](const Ask& a, const Ask& b) { return a.id < b.id; });
    std::sort(input.bids.begin(), input.bids.end(), [](const Bid& a, const Bid& b) { return a.id > b.id; });
    const auto again = ClearEpoch(input);
    ASSERT_TRUE(first.ok() && again.ok());
    ASSERT_TRUE(*first == *again);
  }
}

}  // namespace
}  // namespace accelmesh::market::auction
