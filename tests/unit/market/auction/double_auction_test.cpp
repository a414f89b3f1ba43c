#include "market/auction/double_auction.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "tests/unit/market/auction/reference.h"
#include "tests/unit/market/auction/worlds.h"

namespace accelmesh::market::auction {
namespace {

Side SideOf(std::vector<std::int64_t> prices, bool falling, std::int64_t units = 1) {
  std::sort(prices.begin(), prices.end());
  if (falling) std::reverse(prices.begin(), prices.end());
  return {prices, std::vector<std::int64_t>(prices.size(), units)};
}

// The example of SBBA's paper has k trades and both cases; so have these.
TEST(DoubleAuctionTest, SbbaTakesThePriceOfTheFirstOneOutside) {
  const Side buyers = SideOf({20, 15, 10, 2}, true);
  Side sellers = SideOf({1, 3, 5, 8}, false);
  Crossing crossing = FindCrossing(buyers, sellers);
  EXPECT_EQ(crossing.buyers, 3U);
  AuctionPlan plan = PlanOneSize(buyers, sellers, crossing, 1, DoubleAuction::kSbba);
  EXPECT_EQ(plan.price_buyer, 8);  // s(4) <= b(3)
  EXPECT_EQ(plan.buyers, 3U);
  EXPECT_EQ(plan.sellers, 3U);
  EXPECT_EQ(plan.given_up, 0U);
  sellers = SideOf({1, 3, 5, 11}, false);
  crossing = FindCrossing(buyers, sellers);
  plan = PlanOneSize(buyers, sellers, crossing, 1, DoubleAuction::kSbba);
  EXPECT_EQ(plan.price_buyer, 10);  // b(3) < s(4): that buyer is out, and one of three sellers by draw
  EXPECT_EQ(plan.price_seller, 10);
  EXPECT_EQ(plan.buyers, 2U);
  EXPECT_EQ(plan.sellers, 3U);
  EXPECT_EQ(plan.units_max, 2);
}

TEST(DoubleAuctionTest, McAfeeTakesTheMiddleOfThoseOutsideIfItCan) {
  const Side buyers = SideOf({20, 15, 10, 4}, true);
  Side sellers = SideOf({1, 3, 5, 12}, false);
  AuctionPlan plan = PlanOneSize(buyers, sellers, FindCrossing(buyers, sellers), 1, DoubleAuction::kMcAfee);
  EXPECT_EQ(plan.price_buyer, 8);
  EXPECT_EQ(plan.price_seller, 8);
  EXPECT_EQ(plan.buyers, 3U);
  sellers = SideOf({1, 3, 5, 19}, false);
  plan = PlanOneSize(buyers, sellers, FindCrossing(buyers, sellers), 1, DoubleAuction::kMcAfee);
  EXPECT_EQ(plan.price_buyer, 10);  // (4 + 19) / 2 = 11 > 10
  EXPECT_EQ(plan.price_seller, 5);
  EXPECT_EQ(plan.buyers, 2U);
  EXPECT_EQ(plan.sellers, 2U);
}

TEST(DoubleAuctionTest, OneSizeIsWhatThePapersSay) {
  Random random(21);
  for (int round = 0; round < 20'000; ++round) {
    std::vector<std::int64_t> bids(static_cast<std::size_t>(Between(random, 0, 12)));
    std::vector<std::int64_t> asks(static_cast<std::size_t>(Between(random, 0, 12)));
    const std::int64_t most = Chance(random, 50) ? 8 : 1000;
    for (std::int64_t& price : bids) price = Between(random, 0, most);
    for (std::int64_t& price : asks) price = Between(random, 0, most);
    const Side buyers = SideOf(bids, true, 250);
    const Side sellers = SideOf(asks, false, 250);
    const Crossing crossing = FindCrossing(buyers, sellers);
    for (const auto auction : {DoubleAuction::kSbba, DoubleAuction::kMcAfee}) {
      const ReferencePrices expected = ReferenceOneSize(bids, asks, auction);
      ASSERT_EQ(crossing.buyers, expected.k);
      ASSERT_EQ(crossing.sellers, expected.k);
      const AuctionPlan plan = PlanOneSize(buyers, sellers, crossing, 250, auction);
      ASSERT_EQ(plan.units_max, expected.trades * 250);
      ASSERT_EQ(plan.price_buyer, expected.buyer);
      ASSERT_EQ(plan.price_seller, expected.seller);
      ASSERT_EQ(plan.buyers, expected.trades);
      ASSERT_LE(plan.given_up, 1U);
    }
  }
}

// For each buyer that lost: with one microcredit more than the price to win it wins, with one less it does not.
TEST(DoubleAuctionTest, ThePriceToWinIsExact) {
  Random random(22);
  int checked = 0;
  for (int round = 0; round < 5000; ++round) {
    std::vector<std::int64_t> bids(static_cast<std::size_t>(Between(random, 1, 9)));
    std::vector<std::int64_t> asks(static_cast<std::size_t>(Between(random, 1, 9)));
    for (std::int64_t& price : bids) price = Between(random, 0, 300);
    for (std::int64_t& price : asks) price = Between(random, 0, 300);
    const Side buyers = SideOf(bids, true);
    const Side sellers = SideOf(asks, false);
    const Crossing crossing = FindCrossing(buyers, sellers);
    for (const auto auction : {DoubleAuction::kSbba, DoubleAuction::kMcAfee}) {
      const AuctionPlan plan = PlanOneSize(buyers, sellers, crossing, 1, auction);
      for (std::uint32_t place = plan.buyers; place < bids.size(); ++place) {
        // The buyer wins if its price is above the one at which the others would leave it out.
        const auto wins = [&](std::int64_t price) {
          std::vector<std::int64_t> changed = buyers.prices;
          changed[place] = price;
          const ReferencePrices result = ReferenceOneSize(changed, asks, auction);
          const auto dearer = std::count_if(changed.begin(), changed.end(), [&](auto p) { return p > price; });
          const auto equal = std::count(changed.begin(), changed.end(), price);
          if (dearer + equal <= result.trades) return 1;
          return dearer >= result.trades ? 0 : -1;  // -1: by draw
        };
        const std::int64_t to_win = PriceToWin(buyers, sellers, crossing, auction, place);
        ++checked;
        if (to_win == -1) {
          ASSERT_EQ(wins(kPriceMicrocreditsMax), 0);
          continue;
        }
        ASSERT_EQ(wins(to_win + 1), 1) << place;
        if (to_win > 0) {
          ASSERT_NE(wins(to_win - 1), 1) << place;
        }
        ASSERT_GE(to_win, buyers.prices[place]);
      }
    }
  }
  EXPECT_GT(checked, 10'000);
}

std::vector<ReferenceOrder> DistinctOrders(Random& random, std::set<std::int64_t>& used) {
  std::vector<ReferenceOrder> orders(static_cast<std::size_t>(Between(random, 0, 10)));
  for (ReferenceOrder& order : orders) {
    do order.price = Between(random, 0, 2000);
    while (!used.insert(order.price).second);
    order.units = Between(random, 1, 9);
  }
  return orders;
}

TEST(DoubleAuctionTest, SeveralSizesAreWhatHuangAndOthersSay) {
  Random random(23);
  int traded = 0;
  for (int round = 0; round < 20'000; ++round) {
    std::set<std::int64_t> used;
    auto bids = DistinctOrders(random, used);
    auto asks = DistinctOrders(random, used);
    const ReferenceHuang expected = ReferenceMultiUnit(bids, asks);
    std::sort(bids.begin(), bids.end(), [](const auto& a, const auto& b) { return a.price > b.price; });
    std::sort(asks.begin(), asks.end(), [](const auto& a, const auto& b) { return a.price < b.price; });
    Side buyers;
    Side sellers;
    for (const auto& bid : bids) buyers.prices.push_back(bid.price), buyers.units.push_back(bid.units);
    for (const auto& ask : asks) sellers.prices.push_back(ask.price), sellers.units.push_back(ask.units);
    const Crossing crossing = FindCrossing(buyers, sellers);
    ASSERT_EQ(crossing.buyers, expected.buyers);
    ASSERT_EQ(crossing.sellers, expected.sellers);
    const AuctionPlan plan = PlanHuang(buyers, sellers, crossing);
    ASSERT_EQ(plan.price_buyer, expected.buyer);
    ASSERT_EQ(plan.price_seller, expected.seller);
    ASSERT_EQ(plan.units_max, expected.units);
    traded += expected.units > 0 ? 1 : 0;
  }
  EXPECT_GT(traded, 5000);
}

}  // namespace
}  // namespace accelmesh::market::auction
