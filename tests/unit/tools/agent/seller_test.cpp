// A program sells what it has: at which price, what it hears, and what its keeper does then.
#include "tools/agent/seller.h"

#include "tests/unit/tools/agent/core/requests.h"
#include "tests/unit/tools/agent/fake_market.h"
#include "tools/agent/keeper.h"

namespace accelmesh::agent {
namespace {

using testing::Asked;
using testing::FakeMarket;

class TradingMarket : public FakeMarket {
 public:
  bool has_auction() const override { return true; }
  Status Post(const Offer& offer, const OperationId&, Deadline) override {
    if (!offers.empty() && offer.number <= offers.back().number)
      return {Code::kInvalidArgument, "fake", "an older one"};
    offers.push_back(offer);
    return Status::Ok();
  }
  Result<std::vector<Traded>> Trades(const std::string&, Deadline) override {
    ++looks;
    return trades;
  }
  std::vector<Offer> offers;
  std::vector<Traded> trades;
  int looks = 0;
};

class SellerTest : public ::testing::Test {
 protected:
  void Begin(const std::string& text, const SellPolicy& policy) {
    market_.slots = {scheduler::testing::OneGpu("one", "a")};
    wish_.asked = Asked(text);
    wish_.lease_us = 60'000'000;
    wish_.sell = policy;
    wish_.bids = false;
    Negotiator negotiator(market_, market_, market_, [](const Step&) {});
    Outcome outcome = negotiator.Negotiate(wish_);
    ASSERT_EQ(outcome.kind, Outcome::Kind::kLeased);
    lease_ = outcome.leases.front().won.lease;
    share_ = outcome.leases.front().won.share_milli;
    keeper_ = std::make_unique<Keeper>(
        market_, market_, market_, [this](const Step& step) { said_.push_back(step.text); }, wish_, std::move(outcome),
        [](std::size_t, const Held&) { return Status::Ok(); }, [] { return std::optional<Profile>(); });
  }
  std::int64_t Run(std::int64_t ms) {
    const std::int64_t until_ms = market_.now_ms + ms;
    std::int64_t next_ms = 0;
    while (market_.now_ms < until_ms) {
      next_ms = keeper_->Tick();
      if (next_ms < 0) return next_ms;
      market_.now_ms = std::max(market_.now_ms + 1, std::min(next_ms, until_ms));
    }
    return next_ms;
  }
  int Said(const std::string& text) const {
    return static_cast<int>(std::count_if(
        said_.begin(), said_.end(), [&text](const std::string& one) { return one.find(text) != std::string::npos; }));
  }
  Traded Sold(const std::string& buyers, std::uint32_t share, std::int64_t begins_ms) {
    return {lease_, buyers, "seller", "buyer", "auction", share, 5'000'000, 1'000, begins_ms};
  }

  TradingMarket market_;
  Wish wish_;
  std::unique_ptr<Keeper> keeper_;
  std::string lease_;
  std::uint32_t share_ = 0;
  std::vector<std::string> said_;
};

TEST_F(SellerTest, ThePriceFollowsThePolicy) {
  SellPolicy policy;
  // Half a device; 2 an hour are allowed, for half an hour to come, and 3 were spent: 2 + 3 x 2 for the half.
  const Seller::Worth worth{2'000'000, 3'000'000, 1'800'000};
  EXPECT_EQ(Seller::PriceOf(policy, 500, worth), 16'000'000);
  // Who has spent more gives way for more; nothing is known, nothing is sold.
  EXPECT_GT(Seller::PriceOf(policy, 500, {2'000'000, 4'000'000, 1'800'000}), 16'000'000);
  EXPECT_EQ(Seller::PriceOf(policy, 500, {-1, 3'000'000, 1'800'000}), -1);
  policy.kind = SellPolicy::Kind::kPrice;
  policy.price_microcredits_per_hour = 7;
  EXPECT_EQ(Seller::PriceOf(policy, 500, worth), 7);
  policy.kind = SellPolicy::Kind::kFirm;
  EXPECT_EQ(Seller::PriceOf(policy, 500, worth), -1);
}

TEST_F(SellerTest, TheAskFollowsWhatItStandsForInSteps) {
  market_.slots = {scheduler::testing::OneGpu("one", "a")};
  Seller seller(market_, market_, [](const Step&) {}, {});
  Won won;
  won.lease = "l";
  won.share_milli = 500;
  Seller::Worth worth{2'000'000, 0, 1'800'000};
  const auto look = [&](std::int64_t after_ms) {
    market_.now_ms += after_ms;
    seller.Tick(won, worth);
    return market_.offers.size();
  };
  EXPECT_EQ(look(0), 1U);
  EXPECT_EQ(market_.offers.back().price_microcredits_per_hour, 4'000'000);
  worth.spent_microcredits = 100'000;
  EXPECT_EQ(look(6000), 1U) << "4.4: not an eighth";
  worth.spent_microcredits = 200'000;
  EXPECT_EQ(look(600), 2U) << "4.8";
  EXPECT_EQ(market_.offers.back().price_microcredits_per_hour, 4'800'000);
  worth.ceiling_microcredits_per_hour = 1'000'000;
  EXPECT_EQ(look(600), 2U) << "not four times a second";
  EXPECT_EQ(look(5000), 3U) << "the profile says that it needs less: it is worth less";
  EXPECT_EQ(market_.offers.back().price_microcredits_per_hour, 2'800'000);
  EXPECT_EQ(look(60'000), 3U);
}

TEST_F(SellerTest, APartThatWasSoldIsToldOnceAndTheRestRenewed) {
  Begin("0.05 TOPS, 1GiB", {SellPolicy::Kind::kPrice, 9'000'000, 10, 0});
  Run(1000);
  ASSERT_EQ(market_.offers.size(), 1U);
  EXPECT_EQ(market_.offers.front().lease, lease_);
  EXPECT_EQ(market_.offers.front().price_microcredits_per_hour, 9'000'000);
  EXPECT_EQ(market_.offers.front().share_milli, share_ > 10 ? 10U : 0U);
  EXPECT_EQ(keeper_->renewals(), 0U);
  market_.trades.push_back(Sold("theirs", 5, market_.now_ms));
  // Other people's trades are none of its business.
  market_.trades.push_back({"another", "b", "x", "y", "auction", 5, 1, 1, 0});
  Run(3000);
  EXPECT_EQ(Said("sold 5 of 1000 to buyer"), 1);
  EXPECT_EQ(keeper_->renewals(), 1U);
  // After a renewal the ask stands anew, with a higher number.
  EXPECT_EQ(market_.offers.size(), 2U);
  EXPECT_FALSE(keeper_->has_lost());
}

TEST_F(SellerTest, WhenAllIsSoldNothingIsRenewedAndItEndsWithTheNotice) {
  Begin("0.05 TOPS, 1GiB", {SellPolicy::Kind::kPrice, 9'000'000, 1000, 5'000'000});
  Run(1000);
  market_.trades.push_back(Sold("theirs", share_, market_.now_ms + 5'000));
  EXPECT_GE(Run(4'000), 0);
  EXPECT_EQ(Said("sold all of it to buyer"), 1);
  EXPECT_EQ(Run(120'000), -1);
  EXPECT_EQ(Said("is its buyer's now"), 1);
  EXPECT_EQ(keeper_->renewals(), 0U);
  EXPECT_TRUE(keeper_->has_lost());
}

TEST_F(SellerTest, WhoIsFirmAsksNothing) {
  Begin("0.05 TOPS, 1GiB", {SellPolicy::Kind::kFirm, 0, 1000, 0});
  Run(5'000);
  EXPECT_TRUE(market_.offers.empty());
  EXPECT_EQ(market_.looks, 0);
}

}  // namespace
}  // namespace accelmesh::agent
