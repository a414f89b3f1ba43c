#include "market/auction/why.h"

#include <gtest/gtest.h>

#include "tests/unit/market/auction/worlds.h"

namespace accelmesh::market::auction {
namespace {

TEST(WhyTest, AQuoteIsWhatTheNextBidWouldPay) {
  EpochInput input = OneClass(50);
  input.rules = {DoubleAuction::kSbba, ThickBy::kCrossing, 2};
  for (OrderId id = 1; id <= 5; ++id) input.asks.push_back(AskOf(id, id, 1000, static_cast<std::int64_t>(10 * id)));
  for (OrderId id = 11; id <= 13; ++id) input.bids.push_back(BidOf(id, id, 1000, 100));
  const auto quote = Quote(input, BidOf(20, 20, 1000, 0));
  ASSERT_TRUE(quote.ok());
  EXPECT_EQ(quote->units_milli, 1000);
  EXPECT_EQ(quote->price_microcredits, 50);  // the fifth ask
  EXPECT_EQ(Why(input, 99).status().code(), Code::kNotFound);
  EXPECT_EQ(Quote(input, BidOf(11, 20, 1000, 0)).status().code(), Code::kInvalidArgument);
}

}  // namespace
}  // namespace accelmesh::market::auction
