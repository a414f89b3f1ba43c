#include <gtest/gtest.h>

#include <map>

#include "tests/unit/market/auction/worlds.h"

namespace accelmesh::market::auction {
namespace {

// Breaks a good outcome in every way that money or units could go wrong; each must be found.
TEST(CheckOutcomeTest, EveryWrongIsFound) {
  Random random(53);
  std::map<int, int> found;
  constexpr int kWrongs = 12;
  for (int round = 0; round < 400; ++round) {
    WorldRules rules;
    const World world(random, rules);
    const auto good = ClearEpoch(world.input);
    ASSERT_TRUE(good.ok());
    ASSERT_TRUE(CheckOutcome(world.input, *good).ok());
    if (good->trades.empty()) continue;
    const std::size_t at = random() % good->trades.size();
    for (int wrong = 0; wrong < kWrongs; ++wrong) {
      EpochOutcome bad = *good;
      Trade& trade = bad.trades[at];
      switch (wrong) {
        case 0: trade.units_milli += 250 * 300; break;
        case 1: trade.units_milli = -trade.units_milli; break;
        case 2: trade.price_seller_microcredits += 1; break;
        case 3: trade.price_buyer_microcredits += 1; break;
        case 4: trade.price_seller_microcredits -= 1; break;
        case 5: trade.ask += 200'000; break;
        case 6: trade.bid += 200'000; break;
        case 7: std::swap(trade.seller, trade.buyer), trade.buyer += 100; break;
        case 8: bad.trades.erase(bad.trades.begin() + static_cast<std::ptrdiff_t>(at)); break;
        case 9: bad.sums.pool += 1; break;
        case 10:
          if (bad.gangs.empty()) continue;
          bad.gangs[0].pays_nanocredits += 1;
          break;
        default:
          if (bad.unserved.empty()) continue;
          bad.unserved.pop_back();
      }
      ++found[wrong];
      ASSERT_FALSE(CheckOutcome(world.input, bad).ok()) << wrong;
    }
  }
  EXPECT_EQ(found.size(), static_cast<std::size_t>(kWrongs));
}

// Sums that are right are not enough.
TEST(CheckOutcomeTest, PricesThatSuitOneSideOnlyAreFound) {
  EpochInput input = OneClass(50);
  input.asks = {AskOf(1, 1, 1000, 40)};
  input.bids = {BidOf(3, 3, 1000, 70)};
  const auto good = ClearEpoch(input);
  ASSERT_TRUE(good.ok());
  ASSERT_EQ(good->trades.size(), 1U);
  for (const std::int64_t price : {39, 40, 70, 71}) {
    EpochOutcome changed = *good;
    changed.trades[0].price_buyer_microcredits = changed.trades[0].price_seller_microcredits = price;
    changed.sums = {Wide{price} * 1000, Wide{price} * 1000, 0};
    EXPECT_EQ(CheckOutcome(input, changed).ok(), price >= 40 && price <= 70) << price;
  }
}

}  // namespace
}  // namespace accelmesh::market::auction
