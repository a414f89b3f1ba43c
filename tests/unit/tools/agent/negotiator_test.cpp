#include "tools/agent/negotiator.h"

#include "tests/unit/tools/agent/core/requests.h"
#include "tests/unit/tools/agent/fake_market.h"

namespace accelmesh::agent {
namespace {

using testing::Asked;
using testing::FakeMarket;

class NegotiatorTest : public ::testing::Test {
 protected:
  NegotiatorTest() {
    market_.slots = {scheduler::testing::OneGpu("cheap", "a"), scheduler::testing::OneGpu("dear", "b")};
    market_.slots[0].price_microcredits_per_hour = 500'000;
    before_ = market_.slots;
  }
  Outcome Negotiate(const std::string& text, const std::string& when_nothing = "fail", Policy policy = Policy::kCost) {
    Wish wish;
    wish.asked = Asked(text);
    wish.policy = policy;
    wish.when_nothing = *ParseWhenNothing(when_nothing);
    wish.cheap_within_us = cheap_within_us_;
    Negotiator negotiator(market_, market_, market_, [this](const Step& step) { steps_.push_back(step); });
    return negotiator.Negotiate(wish);
  }
  bool Said(const std::string& text) const {
    for (const Step& step : steps_) {
      if (step.text.find(text) != std::string::npos) return true;
    }
    return false;
  }
  std::vector<std::string> Stages() const {
    std::vector<std::string> stages;
    for (const Step& step : steps_) {
      if (stages.empty() || stages.back() != step.stage) stages.push_back(step.stage);
    }
    return stages;
  }

  FakeMarket market_;
  std::int64_t cheap_within_us_ = 0;
  std::vector<scheduler::Slot> before_;
  Explanation steps_;
};

TEST_F(NegotiatorTest, StepByStepToTheSlotThatThePolicyWants) {
  const Outcome outcome = Negotiate("0.05 TOPS, 1GiB, max-price=3");
  ASSERT_EQ(outcome.kind, Outcome::Kind::kLeased) << outcome.status.ToString();
  ASSERT_EQ(outcome.leases.size(), 1U);
  EXPECT_EQ(outcome.leases[0].won.slot, "cheap");
  EXPECT_EQ(outcome.leases[0].won.share_milli, 250U);
  EXPECT_EQ(market_.leases.at("lease-1").admitted_until_ms, outcome.leases[0].won.not_after_ms);
  EXPECT_EQ(Stages(),
            (std::vector<std::string>{"analyse", "request", "query", "price", "select", "secure", "allocate"}));
  EXPECT_TRUE(Said("dear: tried as number 2"));
  EXPECT_EQ(Negotiate("0.05 TOPS", "fail").leases[0].won.memory_bytes, kMemoryBytesUnknown);
}

constexpr std::int64_t kHourUs = 3'600'000'000;

// Of five hours one was cheap: whoever needs an hour of the ten that he has does not pay more than that one cost.
TEST_F(NegotiatorTest, WhoCanWaitTakesNoHourThatIsDear) {
  cheap_within_us_ = 10 * kHourUs;
  market_.cheap_from_ms = market_.now_ms + 2 * 3'600'000;
  const Outcome outcome = Negotiate("0.05 TOPS, 1GiB, max-price=3, duration=1h");
  ASSERT_EQ(outcome.kind, Outcome::Kind::kLeased) << outcome.status.ToString();
  EXPECT_GE(market_.now_ms, market_.cheap_from_ms);
  EXPECT_LT(market_.now_ms, market_.cheap_from_ms + 60'000);
  EXPECT_EQ(outcome.leases[0].won.price_microcredits_per_hour, 25'000) << "a quarter of a device";
  EXPECT_EQ(outcome.prediction.request.price_microcredits_per_hour, 3'000'000) << "it is renewed for all it is worth";
  EXPECT_TRUE(Said("pays 0.05"));
}

TEST_F(NegotiatorTest, WhenTheTimeIsOverItTakesAnyPriceThatIsAllowed) {
  cheap_within_us_ = 10 * kHourUs;
  const std::int64_t begin = market_.now_ms;
  const Outcome outcome = Negotiate("0.05 TOPS, 1GiB, max-price=3, duration=1h");
  ASSERT_EQ(outcome.kind, Outcome::Kind::kLeased) << outcome.status.ToString();
  EXPECT_EQ(outcome.leases[0].won.price_microcredits_per_hour, 125'000);
  // After 2.5 hours more, one of 7.5 was cheap, and it needs one of the 7.5 that are left.
  EXPECT_GT(market_.now_ms - begin, 2 * 3'600'000);
  EXPECT_LT(market_.now_ms - begin, 3 * 3'600'000);
}

TEST_F(NegotiatorTest, WithoutPricesOfThePastItDoesNotWait) {
  cheap_within_us_ = 10 * kHourUs;
  market_.has_prices = false;
  const std::int64_t begin = market_.now_ms;
  EXPECT_EQ(Negotiate("0.05 TOPS, 1GiB, max-price=3").kind, Outcome::Kind::kLeased);
  EXPECT_EQ(market_.now_ms, begin);
  EXPECT_TRUE(Said("does not wait for a lower price: this market keeps no prices of the past"));
}

TEST_F(NegotiatorTest, AMarketThatIsAwayForAWhileEndsNoWaiting) {
  cheap_within_us_ = 10 * kHourUs;
  market_.cheap_from_ms = market_.now_ms + 2 * 3'600'000;
  market_.down_from_ms = market_.now_ms + 3'600'000;
  market_.down_until_ms = market_.now_ms + 3'700'000;
  const Outcome outcome = Negotiate("0.05 TOPS, 1GiB, max-price=3, duration=1h");
  ASSERT_EQ(outcome.kind, Outcome::Kind::kLeased) << outcome.status.ToString();
  EXPECT_EQ(outcome.leases[0].won.price_microcredits_per_hour, 25'000);
  EXPECT_TRUE(Said("the market does not answer: nobody answers; asks again"));
}

// What was waited for a lower price is not there for the queue any more.
TEST_F(NegotiatorTest, TheDeadlineIsThatOfTheBeginning) {
  cheap_within_us_ = 2 * kHourUs;
  for (scheduler::Slot& slot : market_.slots) slot.share_milli_free = 0;
  const std::int64_t begin = market_.now_ms;
  const Outcome outcome =
      Negotiate("0.05 TOPS, 1GiB, max-price=3, duration=1h, deadline=2h", "wait", Policy::kDeadline);
  EXPECT_EQ(outcome.kind, Outcome::Kind::kFailed);
  EXPECT_LE(market_.now_ms - begin, 3'600'000 + 60'000);
  // And nobody waits into a deadline of which he knows not whether it can be met.
  const std::int64_t again = market_.now_ms;
  Negotiate("0.05 TOPS, 1GiB, max-price=3, deadline=2h", "fail", Policy::kDeadline);
  EXPECT_LE(market_.now_ms - again, 60'000);
  EXPECT_TRUE(Said("nobody knows how long the run takes, and it has a deadline"));
}

TEST_F(NegotiatorTest, WhoIsEndedWhileHeWaitsHasNoLease) {
  cheap_within_us_ = 10 * kHourUs;
  market_.stopped_ms = market_.now_ms + 3'600'000;
  const Outcome outcome = Negotiate("0.05 TOPS, 1GiB, max-price=3, duration=1h", "wait");
  EXPECT_EQ(outcome.kind, Outcome::Kind::kFailed);
  EXPECT_EQ(outcome.status.code(), Code::kClosed);
  EXPECT_EQ(market_.Live(), 0U);
}

TEST_F(NegotiatorTest, AServerThatDoesNotTakeTheLeaseLosesItToTheNext) {
  market_.dead_servers = {"cheap"};
  const Outcome outcome = Negotiate("0.05 TOPS, 1GiB");
  ASSERT_EQ(outcome.kind, Outcome::Kind::kLeased);
  EXPECT_EQ(outcome.leases[0].won.slot, "dear");
  EXPECT_TRUE(Said("cheap: its gpu-server does not take the lease: nobody answers at tcp://nowhere"));
  EXPECT_EQ(market_.Live(), 1U) << "what could not be used was given back";
  EXPECT_TRUE(market_.IsSound(before_));
}

TEST_F(NegotiatorTest, AllServersDead) {
  market_.dead_servers = {"cheap", "dear"};
  const Outcome outcome = Negotiate("0.05 TOPS, 1GiB");
  EXPECT_EQ(outcome.kind, Outcome::Kind::kFailed);
  EXPECT_FALSE(outcome.status.ok());
  EXPECT_EQ(market_.Live(), 0U);
}

TEST_F(NegotiatorTest, ALostAnswerIsAskedForAgainAndNothingIsWonTwice) {
  market_.lost_answers = 1;
  const Outcome outcome = Negotiate("0.05 TOPS, 1GiB");
  ASSERT_EQ(outcome.kind, Outcome::Kind::kLeased);
  EXPECT_EQ(market_.asked, 2);
  EXPECT_EQ(market_.leases.size(), 1U);
}

TEST_F(NegotiatorTest, AMarketThatComesBackInTimeIsWaitedFor) {
  market_.down_until_ms = market_.now_ms + 4000;
  EXPECT_EQ(Negotiate("0.05 TOPS, 1GiB").kind, Outcome::Kind::kLeased);
  EXPECT_TRUE(Said("the market does not answer yet"));
  market_.down_until_ms = market_.now_ms + 100'000;
  const Outcome outcome = Negotiate("0.05 TOPS, 1GiB", "wait");
  EXPECT_EQ(outcome.kind, Outcome::Kind::kFailed);
  EXPECT_EQ(outcome.status.code(), Code::kUnavailable);
}

TEST_F(NegotiatorTest, ThePriceBindsAndEverySlotSaysWhyNot) {
  const Outcome outcome = Negotiate("0.2 TOPS, 1GiB, max-price=0.4");
  EXPECT_EQ(outcome.kind, Outcome::Kind::kFailed);
  EXPECT_TRUE(Said("cheap: price above the bid of 0.4 credits an hour"));
  EXPECT_TRUE(Said("dear: price above the bid of 0.4 credits an hour"));
  EXPECT_EQ(market_.asked, 0);
  // What rises between looking and asking is refused by the market, and the next is tried.
  market_.price_factor_milli = 10'000;
  EXPECT_EQ(Negotiate("0.05 TOPS, 1GiB, max-price=1").kind, Outcome::Kind::kFailed);
  EXPECT_TRUE(Said("cheap: not granted: the price has risen"));
}

TEST_F(NegotiatorTest, ItScalesDownAsTheUserSays) {
  EXPECT_EQ(Negotiate("0.4 TOPS, 1GiB").kind, Outcome::Kind::kFailed);
  const Outcome shrunk = Negotiate("0.4 TOPS, 1GiB", "shrink");
  ASSERT_EQ(shrunk.kind, Outcome::Kind::kLeased);
  EXPECT_EQ(shrunk.leases[0].won.share_milli, 1000U);
  EXPECT_TRUE(Said("asks for 1/2: "));
  const Outcome command = Negotiate("0.4 TOPS, 1GiB", "echo on the processor");
  EXPECT_EQ(command.kind, Outcome::Kind::kCommand);
  EXPECT_EQ(command.command, "echo on the processor");
  market_.down_until_ms = market_.now_ms + 1'000'000;
  EXPECT_EQ(Negotiate("0.1 TOPS", "true").kind, Outcome::Kind::kCommand) << "no market is nothing as well";
}

TEST_F(NegotiatorTest, TheQueueEndsWithTheDeadlineOrWhenSomethingIsFree) {
  market_.slots[0].share_milli_free = market_.slots[1].share_milli_free = 0;
  const std::int64_t began_ms = market_.now_ms;
  const Outcome late = Negotiate("0.1 TOPS, 1GiB, duration=30s, deadline=2m", "wait");
  EXPECT_EQ(late.kind, Outcome::Kind::kFailed);
  EXPECT_GE(market_.now_ms - began_ms, 90'000);
  EXPECT_LE(market_.now_ms - began_ms, 92'000);
  EXPECT_TRUE(Said("nothing was free in time"));
  market_.slots[1].share_milli_free = 1000;
  EXPECT_EQ(Negotiate("0.1 TOPS, 1GiB", "wait").kind, Outcome::Kind::kLeased);
}

TEST_F(NegotiatorTest, AGangIsWonWholeOrNotAtAll) {
  const Outcome gang = Negotiate("0.1 TOPS, 1GiB, 2 slots, topology=spread");
  ASSERT_EQ(gang.kind, Outcome::Kind::kLeased);
  EXPECT_EQ(gang.leases.size(), 2U);
  market_.dead_servers = {"dear"};
  EXPECT_EQ(Negotiate("0.1 TOPS, 1GiB, 2 slots, topology=spread").kind, Outcome::Kind::kFailed);
  EXPECT_EQ(market_.Live(), 2U);
}

TEST_F(NegotiatorTest, WhateverBreaksNothingIsWonTwiceOrKeptForNothing) {
  std::mt19937_64 random(17);
  int leased = 0;
  for (int i = 0; i < 2000; ++i) {
    FakeMarket market;
    market.random.seed(random());
    market.slots = testing::SomeSlots(random);
    const auto before = market.slots;
    for (const auto& slot : market.slots) {
      if (random() % 3 == 0) market.dead_servers.insert(slot.id);
    }
    market.lost_answers = static_cast<int>(random() % 3);
    market.down_until_ms = random() % 3 == 0 ? market.now_ms + static_cast<std::int64_t>(random() % 20'000) : 0;
    market.price_factor_milli = 500 + static_cast<std::int64_t>(random() % 1000);
    Wish wish;
    wish.asked = testing::SomeRequest(random);
    wish.profile = testing::SomeProfile(random);
    wish.policy = static_cast<Policy>(random() % 4);
    wish.when_nothing = *ParseWhenNothing(std::array{"fail", "shrink", "true"}[random() % 3]);
    const std::int64_t began_ms = market.now_ms;
    Negotiator negotiator(market, market, market, [](const Step& step) { EXPECT_FALSE(step.text.empty()); });
    const Outcome outcome = negotiator.Negotiate(wish);
    EXPECT_TRUE(market.IsSound(before));
    EXPECT_LT(market.now_ms - began_ms, 200'000) << "it ends";
    if (outcome.kind != Outcome::Kind::kLeased) {
      EXPECT_EQ(market.Live(), 0U);
      EXPECT_EQ(outcome.kind == Outcome::Kind::kFailed, !outcome.status.ok());
      continue;
    }
    ++leased;
    EXPECT_EQ(market.Live(), wish.asked.count);
    std::int64_t price = 0;
    for (const Held& held : outcome.leases) {
      EXPECT_GT(market.leases.at(held.won.lease).admitted_until_ms, market.now_ms);
      price += held.won.price_microcredits_per_hour;
    }
    if (const std::int64_t ceiling = CeilingOf(outcome.prediction.request); ceiling >= 0) {
      EXPECT_LE(price, ceiling);
    }
  }
  EXPECT_GT(leased, 300);
}

}  // namespace
}  // namespace accelmesh::agent
