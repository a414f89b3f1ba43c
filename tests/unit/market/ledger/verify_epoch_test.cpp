// An epoch of a market that cheats: each way of cheating is found and named.
#include "market/ledger/verify_epoch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/market/ledger/epoch_world.h"
#include "tests/unit/market/ledger/scratch.h"

namespace accelmesh::market::ledger {
namespace {

using testing::HasSubstr;

class VerifyEpochTest : public testing::Test {
 protected:
  VerifyEpochTest() {
    world_.PostAsks(12);
    record_ = world_.MakeEpoch(30, 3);
    seal_ = world_.SealOf(record_);
    orders_ = world_.SealedOrders(record_);
  }
  // Has the epoch cleared anew, as a market that cheats would: so only what is not signed or sealed is found.
  void Recompute() { record_.outcome = DigestsOf(auction::ClearEpoch(record_.input).value()); }
  std::string Fault() const {
    const Result<EpochFacts> facts = VerifyEpoch(record_, seal_, orders_, world_.market());
    if (facts.ok()) return "";
    EXPECT_EQ(facts.code(), Code::kPermissionDenied);
    return facts.status().text();
  }
  auction::Ask& SignedAsk() {
    for (auction::Ask& ask : record_.input.asks) {
      if (ask.id < record_.orders.size() && orders_[ask.id].terms.units_milli != 0) return ask;
    }
    std::abort();
  }
  EpochWorld world_{std::make_unique<MemoryStore>(), 5};
  EpochRecord record_;
  Seal seal_;
  std::vector<SealedOrder> orders_;
};

TEST_F(VerifyEpochTest, AnHonestEpochHolds) {
  const Result<EpochFacts> facts = VerifyEpoch(record_, seal_, orders_, world_.market());
  ASSERT_TRUE(facts.ok()) << facts.status().ToString();
  EXPECT_EQ(facts->orders, 45u);
  EXPECT_GT(facts->trades, 5u);
  // Also as it comes out of the log.
  const EpochRecord read = ParseEpoch(EpochBytes(record_).value()).value();
  EXPECT_TRUE(VerifyEpoch(read, seal_, orders_, world_.market()).ok());
}

// Until 28 November 2026 gangs came before bids: such an epoch is no fraud, and cannot be cleared again here.
TEST_F(VerifyEpochTest, GangsOfEarlierRulesAreToldApartFromFraud) {
  record_.has_gangs_first = true;
  const EpochRecord read = ParseEpoch(EpochBytes(record_).value()).value();
  EXPECT_TRUE(read.has_gangs_first);
  ASSERT_FALSE(read.input.gangs.empty());
  const Status status = VerifyEpoch(read, seal_, orders_, world_.market()).status();
  EXPECT_EQ(status.code(), Code::kUnsupported);
  EXPECT_THAT(status.text(), HasSubstr("the slotctl of its time"));
  record_.time_ms = 1'796'083'200'000;
  EXPECT_THAT(Fault(), HasSubstr("rules which no market has had since December 2026"));
}

TEST_F(VerifyEpochTest, AnAskThatCountsByAnotherScoreIsFound) {
  EpochWorld::GiveScores(record_, 900'000, 300'000);
  EXPECT_EQ(Fault(), "");
  const EpochRecord read = ParseEpoch(EpochBytes(record_).value()).value();
  EXPECT_TRUE(VerifyEpoch(read, seal_, orders_, world_.market()).ok());
  auction::Ask& ask = record_.input.asks[1];
  ask.reputation_ppm = 1'000'000;
  Recompute();
  EXPECT_THAT(Fault(), HasSubstr("was cleared with another quality than its deliverer's score gives"));
}

// Nobody signs for a lease that he does not use: it is sold whole, for what is posted and nothing else.
TEST_F(VerifyEpochTest, AnUnusedLeaseIsSoldForWhatIsPosted) {
  auction::Ask* idle = nullptr;
  for (auction::Ask& ask : record_.input.asks) {
    if (ask.id >= record_.orders.size()) idle = &ask;
  }
  ASSERT_NE(idle, nullptr);
  // Some lease of which no ask is in the epoch.
  record_.lease_names.push_back("zz-unused");
  record_.idle_slots[idle->id - record_.orders.size()] = "zz-unused";
  std::sort(record_.idle_slots.begin(), record_.idle_slots.end());
  idle->id = record_.orders.size() + record_.idle_slots.size() - 1;
  idle->kind = auction::AskKind::kRelease;
  idle->is_divisible = false;
  idle->lease = record_.lease_names.size();
  idle->price_microcredits = 400'000;
  Recompute();
  EXPECT_EQ(Fault(), "");
  idle->price_microcredits = 300'000;
  Recompute();
  EXPECT_THAT(Fault(), HasSubstr("is said to be a lease"));
  idle->price_microcredits = 400'000;
  idle->lease = 1;
  EXPECT_THAT(Fault(), HasSubstr("is said to be a lease"));
}

TEST_F(VerifyEpochTest, AnotherOutcomeIsFound) {
  record_.outcome.trades[0] ^= 1;
  EXPECT_THAT(Fault(), HasSubstr("epoch 1: cleared again, it has other trades"));
}

TEST_F(VerifyEpochTest, AnotherPriceThanSignedIsFound) {
  record_.input.bids[0].price_microcredits += 1;
  Recompute();
  EXPECT_THAT(Fault(), HasSubstr("cleared with another price than its owner signed"));
}

TEST_F(VerifyEpochTest, EveryFieldThatWasSignedIsCompared) {
  const EpochRecord good = record_;
  const auto fault = [&](const auto& change) {
    record_ = good;
    change();
    return Fault();
  };
  EXPECT_THAT(fault([&] { record_.input.bids[0].units_milli += 250; }), HasSubstr("another size"));
  EXPECT_THAT(fault([&] { record_.input.bids[0].owner ^= 1; }), HasSubstr("another owner"));
  EXPECT_THAT(fault([&] { record_.input.bids[0].slot_class = (record_.input.bids[0].slot_class + 1) % 3; }),
              HasSubstr("another class"));
  EXPECT_THAT(fault([&] { record_.input.bids[0].is_divisible = !record_.input.bids[0].is_divisible; }),
              HasSubstr("another divisibility"));
  EXPECT_THAT(fault([&] { ++record_.input.bids[0].notice_ms_max; }), HasSubstr("another notice"));
  EXPECT_THAT(fault([&] { ++SignedAsk().price_microcredits; }), HasSubstr("another price"));
  EXPECT_THAT(fault([&] { ++SignedAsk().units_milli; }), HasSubstr("another size"));
  EXPECT_THAT(fault([&] { ++SignedAsk().notice_ms; }), HasSubstr("another notice"));
  EXPECT_THAT(fault([&] { SignedAsk().lease = SignedAsk().lease % 12 + 1; }), HasSubstr("another lease"));
  EXPECT_THAT(fault([&] { SignedAsk().slot_class = (SignedAsk().slot_class + 1) % 3; }), HasSubstr("another class"));
  EXPECT_THAT(fault([&] { SignedAsk().owner ^= 1; }), HasSubstr("another owner"));
  EXPECT_THAT(fault([&] { SignedAsk().kind = auction::AskKind::kIdle; }), HasSubstr("another kind"));
  // As a whole lease it would have its notice, and would not be cut up.
  EXPECT_THAT(fault([&] { SignedAsk().kind = auction::AskKind::kRelease; }), HasSubstr("another notice"));
  EXPECT_THAT(fault([&] {
                SignedAsk().notice_ms = 5000;
                SignedAsk().kind = auction::AskKind::kRelease;
              }),
              HasSubstr("another divisibility"));
  EXPECT_THAT(fault([&] { record_.input.asks.back().lease = 1; }), HasSubstr("is said to be a lease"));
  EXPECT_THAT(fault([&] { ++record_.input.gangs[0].bundles[0].value_microcredits; }), HasSubstr("another value"));
  EXPECT_THAT(fault([&] { ++record_.input.gangs[0].bundles[1].parts[0].units_milli; }), HasSubstr("another part"));
  EXPECT_THAT(fault([&] { record_.input.gangs[0].bundles.pop_back(); }), HasSubstr("another number of bundles"));
  EXPECT_EQ(fault([] {}), "");
}

TEST_F(VerifyEpochTest, AnOrderLeftOutOrSlippedInIsFound) {
  const EpochRecord good = record_;
  record_.input.bids.pop_back();
  Recompute();
  EXPECT_THAT(Fault(), HasSubstr("was sealed and then left out"));
  // Not sealed, and yet there.
  record_ = good;
  const SignedOrder late = world_.MakeBid(0);
  const Result<std::vector<PostedOrder>> posted = world_.ledger().Post({&late, 1});
  record_.orders.push_back((*posted)[0].index);
  orders_ = world_.SealedOrders(record_);
  EXPECT_THAT(Fault(), HasSubstr("45 orders were sealed, and it has 46"));
  seal_.orders = 46;
  EXPECT_THAT(Fault(), HasSubstr("not those that were sealed"));
}

TEST_F(VerifyEpochTest, LuckyNumbersAndSeedsAreFound) {
  const EpochRecord good = record_;
  const std::vector<SealedOrder> orders = orders_;
  // Two bids change places, and everything that goes with it is adjusted.
  auction::Bid& one = record_.input.bids[0];
  auction::Bid& other = record_.input.bids[1];
  std::swap(record_.orders[one.id], record_.orders[other.id]);
  std::swap(orders_[one.id], orders_[other.id]);
  std::swap(one.id, other.id);
  std::swap(one, other);
  Recompute();
  EXPECT_THAT(Fault(), HasSubstr("is not at its rank"));
  record_ = good;
  orders_ = orders;
  ++record_.input.seed;
  Recompute();
  EXPECT_THAT(Fault(), HasSubstr("seed does not follow"));
  record_ = good;
  record_.sealed_note += " ";
  EXPECT_THAT(Fault(), HasSubstr("seed does not follow"));
}

TEST_F(VerifyEpochTest, AnotherSealMarketOrTimeIsFound) {
  EXPECT_THAT(VerifyEpoch(record_, seal_, orders_, "another").status().text(), HasSubstr("for another market"));
  Seal seal = seal_;
  ++seal.number;
  EXPECT_THAT(VerifyEpoch(record_, seal, orders_, world_.market()).status().text(), HasSubstr("its seal is that of 2"));
  seal = seal_;
  seal.orders_root[0] ^= 1;
  EXPECT_FALSE(VerifyEpoch(record_, seal, orders_, world_.market()).ok());
  record_.time_ms += 61'000;
  EXPECT_THAT(Fault(), HasSubstr("had ended 1000 ms before"));
}

TEST_F(VerifyEpochTest, CreditsThatWereMadeAreFound) {
  ++record_.credits.after;
  EXPECT_THAT(Fault(), HasSubstr("5000000 microcredits and 1000 deposited became 5001001"));
  record_.credits = {INT64_MAX, INT64_MAX, -2};
  EXPECT_THAT(Fault(), HasSubstr("became -2")) << "no wrap";
}

TEST_F(VerifyEpochTest, WhatCannotBeClearedIsNoEpoch) {
  record_.input.classes[0].lot_milli = -5;
  EXPECT_THAT(Fault(), HasSubstr("cannot be cleared"));
}

TEST(VerifyEpochsTest, RandomEpochsHold) {
  for (std::uint64_t seed = 1; seed <= 25; ++seed) {
    EpochWorld world(std::make_unique<MemoryStore>(), seed);
    world.PostAsks(static_cast<int>(seed % 9));
    for (int round = 0; round < 3; ++round) {
      const EpochRecord record = world.MakeEpoch(static_cast<int>(seed * 3 % 40), static_cast<int>(seed % 4));
      const Result<EpochFacts> facts =
          VerifyEpoch(record, world.SealOf(record), world.SealedOrders(record), world.market());
      EXPECT_TRUE(facts.ok()) << seed << ": " << facts.status().ToString();
    }
  }
}

}  // namespace
}  // namespace accelmesh::market::ledger
