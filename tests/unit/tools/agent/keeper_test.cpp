#include "tools/agent/keeper.h"

#include "tests/unit/tools/agent/core/requests.h"
#include "tests/unit/tools/agent/fake_market.h"

namespace accelmesh::agent {
namespace {

using testing::Asked;
using testing::FakeMarket;

class KeeperTest : public ::testing::Test {
 protected:
  void Begin(const std::string& text, std::int64_t lease_s = 60) {
    market_.slots = {scheduler::testing::OneGpu("one", "a"), scheduler::testing::OneGpu("two", "b")};
    wish_.asked = Asked(text);
    wish_.lease_us = lease_s * 1'000'000;
    Negotiator negotiator(market_, market_, market_, [](const Step&) {});
    Outcome outcome = negotiator.Negotiate(wish_);
    ASSERT_EQ(outcome.kind, Outcome::Kind::kLeased);
    keeper_ = std::make_unique<Keeper>(
        market_, market_, market_, [this](const Step& step) { said_.push_back(step.text); }, wish_, std::move(outcome),
        [this](std::size_t index, const Held& held) {
          handed_.resize(std::max(handed_.size(), index + 1));
          handed_[index] = held.won;
          ++hands_;
          return Status::Ok();
        },
        [this] { return profile_; });
  }
  // Ticks whenever the keeper wants to, for so long.
  void Run(std::int64_t seconds) {
    const std::int64_t until_ms = market_.now_ms + seconds * 1000;
    while (market_.now_ms < until_ms) {
      const std::int64_t next_ms = keeper_->Tick();
      if (next_ms < 0) return;
      EXPECT_LE(next_ms, market_.now_ms + 60'000);
      market_.now_ms = std::max(market_.now_ms + 1, std::min(next_ms, until_ms));
    }
  }
  bool Said(const std::string& text) const {
    return std::any_of(said_.begin(), said_.end(),
                       [&text](const std::string& one) { return one.find(text) != std::string::npos; });
  }

  FakeMarket market_;
  Wish wish_;
  std::unique_ptr<Keeper> keeper_;
  std::optional<Profile> profile_;
  std::vector<std::string> said_;
  std::vector<Won> handed_;
  int hands_ = 0;
};

TEST_F(KeeperTest, ALeaseIsRenewedShownAndHandedOverInTime) {
  Begin("0.05 TOPS, 1GiB");
  Run(600);
  EXPECT_GE(keeper_->renewals(), 14U);  // of 60 s, in the middle third
  EXPECT_LE(keeper_->renewals(), 31U);
  const auto& lease = market_.leases.at("lease-1");
  EXPECT_GT(lease.not_after_ms, market_.now_ms + 10'000);
  EXPECT_EQ(lease.admitted_until_ms, lease.not_after_ms);
  EXPECT_EQ(handed_.at(0).not_after_ms, lease.not_after_ms);
  EXPECT_EQ(static_cast<std::size_t>(hands_), keeper_->renewals());
  EXPECT_FALSE(keeper_->has_lost());
  market_.use = {4321, 900'000};
  keeper_->End();
  EXPECT_EQ(market_.Live(), 0U);
  EXPECT_EQ(lease.admitted_until_ms, 0);
  EXPECT_EQ(keeper_->receipt().paid_microcredits, 7);
  ASSERT_EQ(keeper_->ended().size(), 1U);
  EXPECT_EQ(keeper_->ended()[0].lease, "lease-1");
  EXPECT_EQ(keeper_->ended()[0].share_milli, 250U);
  EXPECT_EQ(keeper_->ended()[0].ended_ms - keeper_->ended()[0].granted_ms, 600'000);
  EXPECT_EQ(keeper_->ended()[0].server_seen_ms, -1) << "it is there";
  ASSERT_TRUE(keeper_->ended()[0].use.has_value());
  EXPECT_EQ(keeper_->ended()[0].use->device_us, 4321U);
}

TEST_F(KeeperTest, WhenAServerThatIsGoneWasSeenLastIsKnown) {
  Begin("0.05 TOPS, 1GiB");
  const std::int64_t began_ms = market_.now_ms;
  Run(100);
  const std::int64_t renewed_ms = keeper_->renewals() > 0 ? market_.leases.at("lease-1").not_after_ms - 60'000 : -1;
  market_.dead_servers = {market_.slots[market_.leases.at("lease-1").slot].id};
  market_.now_ms += 5000;
  keeper_->End();
  ASSERT_EQ(keeper_->ended().size(), 1U);
  EXPECT_GT(renewed_ms, began_ms);
  EXPECT_EQ(keeper_->ended()[0].server_seen_ms, renewed_ms);
  EXPECT_FALSE(keeper_->ended()[0].use.has_value()) << "nobody has said it";
}

TEST_F(KeeperTest, AMarketThatIsAwayForAWhileCostsNothing) {
  Begin("0.05 TOPS, 1GiB", 300);
  market_.down_until_ms = market_.now_ms + 280'000;
  Run(600);
  EXPECT_FALSE(keeper_->has_lost());
  EXPECT_GT(keeper_->renewals(), 0U);
  EXPECT_TRUE(Said("not renewed: nobody answers; the program runs on"));
  EXPECT_LT(said_.size(), 25U) << "not a line for each attempt";
}

TEST_F(KeeperTest, AMarketThatStaysAwayLosesTheLeaseAtItsEndAndSaysSo) {
  Begin("0.05 TOPS, 1GiB");
  market_.down_until_ms = market_.now_ms + 1'000'000;
  Run(200);
  EXPECT_TRUE(keeper_->has_lost());
  EXPECT_EQ(keeper_->Tick(), -1);
  EXPECT_TRUE(Said("has ended and was not renewed"));
}

// Whatever the market's clock says, a lease lasts as long as it was asked for, and is renewed in time.
TEST_F(KeeperTest, AMarketWhoseClockIsWrongOrJumpsLosesNothing) {
  for (const std::int64_t first_ms : {0, 300'000, -300'000, 20'000, -20'000}) {
    market_ = FakeMarket();
    market_.ahead_ms = first_ms;
    Begin("0.05 TOPS, 1GiB");
    for (const std::int64_t ahead_ms : {first_ms, std::int64_t{300'000}, std::int64_t{-300'000}, std::int64_t{0}}) {
      market_.ahead_ms = ahead_ms;
      const std::size_t before = keeper_->renewals();
      for (int second = 0; second < 300; ++second) {
        Run(1);
        ASSERT_GT(market_.leases.at("lease-1").not_after_ms, market_.now_ms) << first_ms << ", then " << ahead_ms;
      }
      EXPECT_GE(keeper_->renewals() - before, 6U);
      EXPECT_LE(keeper_->renewals() - before, 70U) << "it is not asked all the time";
    }
    EXPECT_FALSE(keeper_->has_lost());
  }
}

// The market's clock jumps, its tokens do not count, and it comes back: the token of then is good.
TEST_F(KeeperTest, ATokenThatDoesNotCountIsNotShownForEver) {
  Begin("0.05 TOPS, 1GiB");
  Run(5);
  market_.skew_ms_max = 5000;
  for (const std::int64_t ahead_ms : {300'000, -300'000}) {
    market_.ahead_ms = ahead_ms;
    for (int second = 0; second < 60 && !Said("does not take the new token"); ++second) Run(1);
    ASSERT_TRUE(Said("does not take the new token: it begins in a while"));
    const std::size_t renewals = keeper_->renewals();
    Run(5);
    EXPECT_LE(keeper_->renewals() - renewals, 6U) << "in growing pauses";
    market_.ahead_ms = 0;
    Run(60);
    const auto& lease = market_.leases.at("lease-1");
    EXPECT_EQ(lease.admitted_until_ms, lease.not_after_ms);
    EXPECT_FALSE(keeper_->has_lost());
    said_.clear();
  }
}

TEST_F(KeeperTest, AServerThatMissesTheNewTokenIsShownItAgain) {
  Begin("0.05 TOPS, 1GiB");
  market_.dead_servers = {"one", "two"};
  Run(45);
  EXPECT_TRUE(Said("does not take the new token"));
  market_.dead_servers.clear();
  Run(15);
  const auto& lease = market_.leases.at("lease-1");
  EXPECT_EQ(lease.admitted_until_ms, lease.not_after_ms);
  EXPECT_FALSE(keeper_->has_lost());
}

TEST_F(KeeperTest, APriceAboveWhatIsAllowedIsAskedAgain) {
  Begin("0.05 TOPS, 1GiB, max-price=0.5");
  market_.price_factor_milli = 5000;
  Run(50);
  EXPECT_TRUE(Said("the price is above what you pay"));
  market_.price_factor_milli = 1000;
  Run(300);
  EXPECT_FALSE(keeper_->has_lost());
}

TEST_F(KeeperTest, ABudgetIsNeverSpentTwice) {
  // 0.25 credits an hour; 0.01 credits last for 144 s, and the program runs for longer than it was said to.
  Begin("0.05 TOPS, 1GiB, duration=2m, budget=0.01");
  const std::int64_t began_ms = market_.now_ms;
  Run(600);
  EXPECT_TRUE(keeper_->has_lost());
  EXPECT_TRUE(Said("the budget of 0.01 credits is used up"));
  const double lasted_s = static_cast<double>(market_.leases.at("lease-1").not_after_ms - began_ms) / 1000;
  EXPECT_GT(lasted_s, 140);
  EXPECT_LE(lasted_s, 144.5);
}

TEST_F(KeeperTest, WhoNeedsLessGivesSomeBack) {
  Profile before;
  AddRun(before, testing::OneRun(10'000, 1'000, 1000, 2048));
  wish_.profile = before;
  Begin("");
  const std::uint32_t share = market_.leases.at("lease-1").share_milli;
  EXPECT_EQ(share, 500U);
  Profile now;
  AddRun(now, testing::OneRun(10'000, 1'000, 400, 512));
  profile_ = now;
  Run(120);
  EXPECT_EQ(market_.leases.at("lease-1").share_milli, 200U);
  EXPECT_EQ(market_.leases.at("lease-1").memory_bytes, 576ULL << 20);
  EXPECT_TRUE(Said("shrink: memory"));
  EXPECT_EQ(handed_.at(0).share_milli, 200U);
}

TEST_F(KeeperTest, AFirstRunGivesNothingBackBeforeItHasEnded) {
  Begin("");
  Profile now;
  AddRun(now, testing::OneRun(10'000, 1'000, 0, 1));
  profile_ = now;
  Run(120);
  EXPECT_EQ(market_.leases.at("lease-1").memory_bytes, kMemoryBytesUnknown);
}

TEST_F(KeeperTest, WhoNeedsMoreGetsAnotherLeaseForWhatBeginsLater) {
  Profile before;
  AddRun(before, testing::OneRun(10'000, 1'000, 400, 512));
  wish_.profile = before;
  Begin("");
  Profile now;
  AddRun(now, testing::OneRun(10'000, 1'000, 1000, 2048));
  profile_ = now;
  Run(300);
  EXPECT_TRUE(Said("grow: memory"));
  EXPECT_EQ(market_.Live(), 2U) << "sessions that run keep the one that they have";
  EXPECT_EQ(handed_.at(0).share_milli, 500U);
  EXPECT_NE(handed_.at(0).lease, "lease-1");
  EXPECT_FALSE(keeper_->has_lost());
  keeper_->End();
  EXPECT_EQ(market_.Live(), 0U);
}

}  // namespace
}  // namespace accelmesh::agent
