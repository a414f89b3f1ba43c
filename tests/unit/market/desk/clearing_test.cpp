// Orders that are made to stop or to spoil the epochs of everybody, by tenants who need no credits for it.
#include <gmock/gmock.h>

#include "tests/unit/market/desk/trading_world.h"

namespace accelmesh::market {
namespace {

using testing::HasSubstr;

class ClearingTest : public TradingTest {
 protected:
  // Stands for a minute.
  void Stand(const security::SigningKey& owner, const messages::OrderT& order) {
    messages::PlaceOrderT placed = SignOrder(order, owner);
    placed.wait_us = 60'000'000;
    Send(owner, std::move(placed));
  }
  messages::OrderT GangOrder(const security::SigningKey& owner) {
    messages::OrderT gang = BidOrder(owner, 0, 0);
    gang.class_name.clear();
    return gang;
  }
  static messages::BundleT& AddBundle(messages::OrderT& gang) {
    gang.bundles.push_back(std::make_unique<messages::BundleT>());
    return *gang.bundles.back();
  }
  static void AddPart(messages::BundleT& bundle, const std::string& class_name) {
    bundle.parts.push_back(std::make_unique<messages::PartT>());
    bundle.parts.back()->class_name = class_name;
    bundle.parts.back()->share_milli = 1000;
  }
  // An honest bid is served all the same, and the ledger holds.
  void ExpectThatOthersTrade() {
    const messages::ReplyT served = Place(tenants_[39], BidOrder(tenants_[39], 100, 3 * reserve_), 500'000);
    ASSERT_EQ(served.code, 0) << served.text;
    ASSERT_EQ(served.body.AsGrants()->granted.size(), 1U) << served.body.AsGrants()->gaps.front()->text;
    Verify();
  }
};

TEST_F(ClearingTest, AGangOfAClassWithoutAName) {
  messages::OrderT gang = GangOrder(tenants_[0]);
  AddPart(AddBundle(gang), "");
  EXPECT_THAT(Place(tenants_[0], gang).text, HasSubstr("Part.class_name is missing"));
  ExpectThatOthersTrade();
}

TEST_F(ClearingTest, GangsOfMoreClassesThanAnEpochHas) {
  int name = 0;
  for (int i = 0; i < 20; ++i) {
    messages::OrderT gang = GangOrder(tenants_[0]);
    for (int bundle = 0; bundle < 10; ++bundle) {
      messages::BundleT& added = AddBundle(gang);
      for (int part = 0; part < 25; ++part) AddPart(added, std::to_string(++name));
    }
    Stand(tenants_[0], gang);
  }
  ASSERT_GT(name, static_cast<int>(auction::kClassesMax));
  ExpectThatOthersTrade();
}

TEST_F(ClearingTest, AnAskOfAnotherClassThanItsLease) {
  const std::string lease = Lease(tenants_[0], "0.5 TOPS fp32, memory=100B");
  messages::OrderT ask = AskOrder(tenants_[0], lease, reserve_);
  ask.class_name = "another";
  EXPECT_THAT(Place(tenants_[0], ask).text, HasSubstr("class"));
  ask.number = ++orders_;
  ask.class_name = class_name_;
  EXPECT_EQ(Place(tenants_[0], ask).code, 0);
  ExpectThatOthersTrade();
}

TEST_F(ClearingTest, ABidThatCanWaitForYears) {
  messages::OrderT bid = BidOrder(tenants_[0], 100, 3 * reserve_);
  bid.notice_us = 365LL * 24 * 3600 * 1'000'000;
  EXPECT_THAT(Place(tenants_[0], bid).text, HasSubstr("30 days"));
  bid.operation_id = MakeOperationId();
  bid.bundles.push_back(std::make_unique<messages::BundleT>());
  AddPart(*bid.bundles.back(), class_name_);
  EXPECT_THAT(Place(tenants_[0], bid).text, HasSubstr("30 days"));
  ExpectThatOthersTrade();
}

// A winner who cannot pay takes what he wins from others, and sets their price.
TEST_F(ClearingTest, ABidThatTakesOnlyAMomentIsPaidForAllTheSame) {
  messages::OrderT bid = BidOrder(tenants_[0], 1000, 1'000'000'000'000);
  bid.lease_us = 1;
  const messages::ReplyT idle = Place(tenants_[0], bid);
  ASSERT_EQ(idle.code, 0) << idle.text;
  ASSERT_TRUE(idle.body.AsGrants()->granted.empty());
  EXPECT_THAT(idle.body.AsGrants()->gaps.front()->text, HasSubstr("the account has less"));
  // What is left of another's lease is more than a moment, too.
  const std::string lease = Lease(tenants_[1], "1 TOPS fp32, memory=100B");
  ASSERT_FALSE(Lease(tenants_[2], "1 TOPS fp32, memory=100B").empty());
  ASSERT_EQ(Place(tenants_[1], AskOrder(tenants_[1], lease, reserve_)).code, 0);
  bid.operation_id = MakeOperationId();
  bid.lease_us = 2000;
  bid.price_microcredits_per_hour = 400'000'000'000;
  const messages::ReplyT held = Place(tenants_[0], bid);
  ASSERT_EQ(held.code, 0) << held.text;
  ASSERT_TRUE(held.body.AsGrants()->granted.empty());
  EXPECT_THAT(held.body.AsGrants()->gaps.front()->text, HasSubstr("the account has less"));
}

TEST_F(ClearingTest, ABidThatItsBudgetDoesNotPayFor) {
  messages::OrderT bid = BidOrder(tenants_[0], 1000, 5 * reserve_);
  bid.budget_microcredits = 1;
  const messages::ReplyT reply = Place(tenants_[0], bid);
  ASSERT_EQ(reply.code, 0) << reply.text;
  ASSERT_TRUE(reply.body.AsGrants()->granted.empty());
  EXPECT_THAT(reply.body.AsGrants()->gaps.front()->text, HasSubstr("the budget is less than"));
}

TEST_F(ClearingTest, BidsForManyKindsOfGoodsTakeTheTurnsOfNobody) {
  for (int i = 0; i < 60; ++i) {
    messages::OrderT bid = BidOrder(tenants_[0], 1000, 0);
    bid.notice_us = i * 1000;
    bid.memory_bytes = std::uint64_t{1} << i;
    Stand(tenants_[0], bid);
  }
  // As many epochs as mesh-run bids for.
  const messages::ReplyT served = Place(tenants_[39], BidOrder(tenants_[39], 100, 3 * reserve_), 8 * 20'000);
  ASSERT_EQ(served.code, 0) << served.text;
  EXPECT_EQ(served.body.AsGrants()->granted.size(), 1U);
}

// Where odd sizes take turns with the steps of slots, an epoch that serves nobody is not the last one.
TEST_F(ClearingTest, ABidOfAnOddSizeHasItsTurnAmongOthers) {
  const std::string lease = Lease(tenants_[0], "0.9 TOPS fp32, memory=500B");
  ASSERT_FALSE(Lease(tenants_[1], "0.9 TOPS fp32, memory=500B").empty());
  messages::OrderT ask = AskOrder(tenants_[0], lease, reserve_);
  ask.share_milli = 400;
  ASSERT_EQ(Place(tenants_[0], ask).code, 0);
  // Of whole steps, and too cheap for anybody.
  Stand(tenants_[2], BidOrder(tenants_[2], 20, 0));
  for (std::size_t round = 0; round < 6; ++round) {
    const security::SigningKey& buyer = tenants_[10 + round];
    const messages::ReplyT served = Place(buyer, BidOrder(buyer, 33, 3 * reserve_), 2'000'000);
    ASSERT_EQ(served.code, 0) << served.text;
    ASSERT_EQ(served.body.AsGrants()->granted.size(), 1U) << round;
    EXPECT_EQ(served.body.AsGrants()->granted.front()->lease->share_milli, 33U);
  }
  Verify();
}

// Two kinds of goods take turns. That nobody sells at once says nothing of who can wait.
TEST_F(ClearingTest, ATurnThatServesNobodyKeepsNobodyElseFromHis) {
  std::string leases[6];
  for (std::size_t i = 0; i < std::size(leases); ++i) {
    leases[i] = Lease(tenants_[i], "0.33 TOPS fp32, memory=300B");
    ASSERT_FALSE(leases[i].empty()) << i;
  }
  const std::uint32_t share = desk_->book().Lease(leases[0])->share_milli;
  Stand(tenants_[9], BidOrder(tenants_[9], share, 3 * reserve_));
  // Some of these come when it is the other's turn.
  for (std::size_t i = 0; i < std::size(leases); ++i) {
    messages::OrderT ask = AskOrder(tenants_[i], leases[i], reserve_);
    ask.notice_us = 100'000;
    ASSERT_EQ(Place(tenants_[i], ask).code, 0);
    messages::OrderT patient = BidOrder(tenants_[10 + i], share, 3 * reserve_);
    patient.notice_us = 10'000'000;
    const messages::ReplyT served = Place(tenants_[10 + i], patient, 2'000'000);
    ASSERT_EQ(served.code, 0) << served.text;
    ASSERT_EQ(served.body.AsGrants()->granted.size(), 1U) << i;
  }
  Verify();
}

// Each turn is tried once while nothing changes: bids that nobody can serve do not fill the ledger.
TEST_F(ClearingTest, BidsThatNobodyServesAreNotSealedAgainAndAgain) {
  const std::string lease = Lease(tenants_[0], "0.9 TOPS fp32, memory=500B");
  messages::OrderT ask = AskOrder(tenants_[0], lease, reserve_);
  ask.share_milli = 400;
  ASSERT_EQ(Place(tenants_[0], ask).code, 0);
  Stand(tenants_[2], BidOrder(tenants_[2], 20, 0));
  Stand(tenants_[3], BidOrder(tenants_[3], 33, 0));
  std::uint64_t epochs = 0;
  Instant since = Clock::now();
  EXPECT_TRUE(Until([&] {
    if (desk_->counts().epochs != epochs) {
      epochs = desk_->counts().epochs;
      since = Clock::now();
    }
    return Clock::now() - since > std::chrono::milliseconds(500);
  }));
  EXPECT_GE(epochs, 2U);
  // What is news is tried.
  const messages::ReplyT served = Place(tenants_[4], BidOrder(tenants_[4], 100, 3 * reserve_), 2'000'000);
  ASSERT_EQ(served.code, 0) << served.text;
  EXPECT_EQ(served.body.AsGrants()->granted.size(), 1U);
}

// A deal that both have signed counts once, however long its leases are forgotten.
TEST_F(ClearingTest, ADealThatIsValidForLongerThanItsLeaseIsRemembered) {
  const std::string lease = Lease(tenants_[0], "0.5 TOPS fp32, memory=500B");
  messages::OrderT deal = Order(tenants_[0], messages::OrderKind::Deal);
  deal.lease = lease;
  deal.share_milli = 100;
  deal.price_microcredits_per_hour = 2 * reserve_;
  deal.counterparty = Hex(tenants_[1]);
  deal.holder_key.assign(32, 6);
  const auto record = [&] {
    messages::PlaceOrderT placed = SignOrder(deal, tenants_[0]);
    const security::Signature signature = SignOrderBytes(placed.order, tenants_[1]);
    placed.counter_signature.assign(signature.begin(), signature.end());
    return Ask(tenants_[1], std::move(placed));
  };
  deal.valid_until_ms = Now() + kEndedKeptMs + 60'000;
  EXPECT_THAT(record().text, HasSubstr("15 minutes"));
  deal.valid_until_ms = Now() + kEndedKeptMs / 2;
  EXPECT_EQ(record().code, 0);
}

// Reports are pruned a few at a time: all at once they would be more than a transaction takes.
TEST_F(ClearingTest, SoManyDealsThatTheirReportsArePrunedLater) {
  const std::string lease = Lease(tenants_[0], "1 TOPS fp32, memory=500MiB");
  ASSERT_EQ(desk_->book().Lease(lease)->share_milli, 1000U);
  for (int i = 0; i < 400; ++i) {
    messages::OrderT deal = Order(tenants_[0], messages::OrderKind::Deal);
    deal.lease = lease;
    deal.share_milli = 1;
    deal.price_microcredits_per_hour = reserve_;
    deal.counterparty = Hex(tenants_[1]);
    deal.holder_key.assign(32, 6);
    messages::PlaceOrderT placed = SignOrder(deal, tenants_[0]);
    const security::Signature signature = SignOrderBytes(placed.order, tenants_[1]);
    placed.counter_signature.assign(signature.begin(), signature.end());
    if (i % 32 == 0) {
      ASSERT_EQ(Ask(server_, messages::KeepServerT{}).code, 0);
    }
    const messages::ReplyT sold = Ask(tenants_[1], std::move(placed));
    ASSERT_EQ(sold.code, 0) << i << ": " << sold.text;
  }
  EXPECT_LE(desk_->book().All(Family::kReport).size(), 256U);
  const std::uint64_t resyncs = desk_->counts().resyncs;
  ExpectThatOthersTrade();
  const auto is_reported = [this] {
    const auto& last = std::get<ReportRecord>(desk_->book().All(Family::kReport).rbegin()->second);
    return !last.trades.empty() && last.trades.front().buyer == Hex(tenants_[39]);
  };
  EXPECT_TRUE(Until(is_reported));
  EXPECT_EQ(desk_->counts().resyncs, resyncs);
}

// A server that was away while a lease was given back, and another made smaller, hears of both before it serves what is
// let next; else it would end the oldest lease, somebody else's, to make room.
TEST_F(ClearingTest, AServerThatWasAwayHearsOfLeasesThatItMissed) {
  const std::string smaller = Lease(tenants_[0], "0.4 TOPS fp32, memory=100B");
  const std::string given_back = Lease(tenants_[1], "0.4 TOPS fp32, memory=100B");
  messages::ResizeLeaseT resize;
  resize.operation_id = MakeOperationId();
  resize.lease = smaller;
  resize.share_milli = 200;
  ASSERT_EQ(Ask(tenants_[0], resize).code, 0);
  messages::ReleaseLeaseT release;
  release.operation_id = MakeOperationId();
  release.lease = given_back;
  ASSERT_EQ(Ask(tenants_[1], release).code, 0);
  pushes_.clear();
  ASSERT_EQ(Ask(server_, ServerWith("s", 2, 1, 10)).code, 0);
  const auto has_heard = [this](const auto& is_it) { return std::any_of(pushes_.begin(), pushes_.end(), is_it); };
  EXPECT_TRUE(has_heard([&](const auto& push) {
    const auto* ended = push.AsEpochRaised();
    return ended != nullptr && ended->lease == given_back;
  }));
  EXPECT_TRUE(has_heard([&](const auto& push) {
    const auto* shrunk = push.AsLeaseShrunk();
    return shrunk != nullptr && shrunk->lease == smaller && shrunk->share_milli == 200;
  }));
}

// FlatBuffers take bytes that nothing refers to; they would fill the ledger.
TEST_F(ClearingTest, AnOrderThatIsMostlyPadding) {
  messages::PlaceOrderT placed = SignOrder(BidOrder(tenants_[0], 100, 3 * reserve_), tenants_[0]);
  placed.order.resize(12'000);
  const security::Signature signature = SignOrderBytes(placed.order, tenants_[0]);
  placed.signature.assign(signature.begin(), signature.end());
  EXPECT_THAT(Ask(tenants_[0], std::move(placed)).text, HasSubstr("longer than"));
}

}  // namespace
}  // namespace accelmesh::market
