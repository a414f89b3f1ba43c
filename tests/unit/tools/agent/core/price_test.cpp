#include "tools/agent/core/price.h"

#include "tests/unit/tools/agent/core/requests.h"

namespace accelmesh::agent {
namespace {

using testing::Asked;

std::int64_t BidOf(const std::string& text, Policy policy, std::int64_t posted) {
  return PriceBid(*Predict(Asked(text), {}, policy), policy, posted).price_max_microcredits_per_hour;
}

TEST(PriceTest, ABidLiesBetweenThePostedPriceAndWhatIsAllowed) {
  std::mt19937_64 random(11);
  for (int i = 0; i < 5000; ++i) {
    const auto policy = static_cast<Policy>(random() % 4);
    const auto prediction = Predict(testing::SomeRequest(random), testing::SomeProfile(random), policy);
    ASSERT_TRUE(prediction.ok());
    const auto posted =
        static_cast<std::int64_t>(random() % 4 == 0 ? random() >> (1 + random() % 63) : random() % 3'000'000);
    const Bid bid = PriceBid(*prediction, policy, posted);
    const std::int64_t ceiling = CeilingOf(prediction->request);
    EXPECT_LE(bid.urgency_milli, 1000U);
    EXPECT_GE(bid.price_max_microcredits_per_hour, 0);
    if (ceiling >= 0) {
      EXPECT_LE(bid.price_max_microcredits_per_hour, ceiling);
      EXPECT_GE(bid.price_max_microcredits_per_hour, std::min(posted, ceiling));
    } else {
      EXPECT_GE(bid.price_max_microcredits_per_hour, posted);
    }
    // Two of a price do not bid less for more urgency.
    Prediction pressed = *prediction;
    if (pressed.duration_us != 0 && pressed.request.deadline_us != 0) {
      pressed.duration_us = pressed.request.deadline_us;
      EXPECT_GE(PriceBid(pressed, policy, posted).price_max_microcredits_per_hour, bid.price_max_microcredits_per_hour);
    }
  }
}

TEST(PriceTest, BudgetAndPriceBothBind) {
  // 3 credits an hour, and 1 credit for 30 minutes: 2 an hour.
  EXPECT_EQ(CeilingOf(Asked("max-price=3")), 3'000'000);
  EXPECT_EQ(CeilingOf(Asked("budget=1, duration=30m")), 2'000'000);
  EXPECT_EQ(CeilingOf(Asked("budget=1, duration=30m, max-price=3")), 2'000'000);
  EXPECT_EQ(CeilingOf(Asked("1GiB")), -1);
  // As cheap as they can be had, at the foot of the range; nothing posted: all that is allowed.
  EXPECT_EQ(BidOf("max-price=3", Policy::kCost, 1'000'000), 1'200'000);
  EXPECT_EQ(BidOf("max-price=3", Policy::kLatency, 1'000'000), 2'800'000);
  EXPECT_EQ(BidOf("max-price=3", Policy::kCost, 0), 3'000'000);
  EXPECT_EQ(BidOf("max-price=3", Policy::kCost, 5'000'000), 3'000'000);
  EXPECT_EQ(BidOf("1GiB", Policy::kCost, 1'000'000), 1'550'000);
  EXPECT_EQ(BidOf("1GiB", Policy::kLatency, 1'000'000), 1'950'000);
}

TEST(PriceTest, ADeadlineRaisesTheBidAsItComesNear) {
  std::int64_t before = 0;
  for (const char* text : {"max-price=3, duration=1h, deadline=100h", "max-price=3, duration=1h, deadline=3h",
                           "max-price=3, duration=1h, deadline=90m", "max-price=3, duration=1h, deadline=1h"}) {
    const std::int64_t now = BidOf(text, Policy::kDeadline, 1'000'000);
    EXPECT_GT(now, before) << text;
    before = now;
  }
  EXPECT_EQ(before, 3'000'000);
}

TEST(PriceTest, ALeaseIsAsLongAsTheRunWithinBounds) {
  Prediction prediction;
  EXPECT_EQ(LeaseUs(prediction), 300'000'000);
  prediction.duration_us = 1;
  EXPECT_EQ(LeaseUs(prediction), 60'000'000);
  prediction.duration_us = 100'000'000;
  EXPECT_EQ(LeaseUs(prediction), 150'000'000);
  prediction.duration_us = 3'600'000'000;
  EXPECT_EQ(LeaseUs(prediction), 600'000'000);
}

}  // namespace
}  // namespace accelmesh::agent
