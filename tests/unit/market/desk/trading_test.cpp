// A desk to which tenants bring signed orders: what counts, what does not, and what an epoch does.
#include <gmock/gmock.h>

#include "tests/unit/market/desk/trading_world.h"

namespace accelmesh::market {
namespace {

using testing::HasSubstr;

TEST_F(TradingTest, AnAskMeetsABidAndTheServerHearsOfIt) {
  // Both devices are let, so that what is sold is the tenants'.
  const std::string lease = Lease(tenants_[0], "0.99 TOPS fp32, memory=500B");
  ASSERT_FALSE(lease.empty());
  ASSERT_FALSE(Lease(tenants_[1], "0.99 TOPS fp32, memory=500B").empty());
  messages::OrderT ask = AskOrder(tenants_[0], lease, reserve_);
  ask.share_milli = 400;
  ASSERT_EQ(Place(tenants_[0], ask).code, 0);
  const std::int64_t owned = Owned();
  const messages::ReplyT served = Place(tenants_[2], BidOrder(tenants_[2], 300, 3 * reserve_), 1'000'000);
  ASSERT_EQ(served.code, 0) << served.text;
  ASSERT_EQ(served.body.AsGrants()->granted.size(), 1U);
  const messages::GrantedT& granted = *served.body.AsGrants()->granted.front();
  EXPECT_EQ(granted.lease->share_milli, 300U);
  EXPECT_THAT(granted.why, HasSubstr("sold by the holder of a lease"));
  EXPECT_EQ(desk_->book().Lease(lease)->share_milli, 690U);
  EXPECT_EQ(Owned(), owned);
  EXPECT_TRUE(desk_->book().CountSums().balanced());
  const auto shrunk = std::find_if(pushes_.begin(), pushes_.end(),
                                   [](const auto& push) { return push.type == messages::PushBody::LeaseShrunk; });
  ASSERT_NE(shrunk, pushes_.end());
  EXPECT_EQ(shrunk->AsLeaseShrunk()->lease, lease);
  EXPECT_EQ(shrunk->AsLeaseShrunk()->share_milli, desk_->book().Lease(lease)->share_milli);
  // The seller was paid at least its ask, and the epoch says so.
  ASSERT_TRUE(Until([&] { return !desk_->book().All(Family::kReport).empty(); }));
  const messages::ReplyT epochs = Ask(tenants_[0], messages::ListEpochsT{});
  ASSERT_EQ(epochs.body.AsEpochs()->epochs.size(), 1U);
  const messages::TradeT& trade = *epochs.body.AsEpochs()->epochs.front()->trades.front();
  EXPECT_EQ(trade.from, lease);
  EXPECT_EQ(trade.buyer, Hex(tenants_[2]));
  EXPECT_GE(trade.price_seller_microcredits_per_hour, reserve_);
  EXPECT_LE(trade.price_buyer_microcredits_per_hour, 3 * reserve_);
  // It is known after a restart, and the epochs go on.
  Stop();
  Start();
  EXPECT_EQ(Ask(tenants_[0], messages::ListEpochsT{}).body.AsEpochs()->epochs.size(), 1U);
  const ledger::FolderReport before = Verify();
  EXPECT_GE(before.facts.trades, 1U);
  EXPECT_EQ(before.facts.credits, Owned());
  const messages::ReplyT more = Place(tenants_[3], BidOrder(tenants_[3], 100, 3 * reserve_), 1'000'000);
  ASSERT_EQ(more.body.AsGrants()->granted.size(), 1U);
  EXPECT_GT(Verify().facts.epoch_last, before.facts.epoch_last);
}

TEST_F(TradingTest, ABidIsServedOnceHoweverOftenItIsAsked) {
  const messages::OrderT bid = BidOrder(tenants_[0], 200, 5 * reserve_);
  const messages::ReplyT first = Place(tenants_[0], bid, 1'000'000);
  ASSERT_EQ(first.code, 0) << first.text;
  ASSERT_EQ(first.body.AsGrants()->granted.size(), 1U);
  for (int i = 0; i < 3; ++i) {
    const messages::ReplyT again = Place(tenants_[0], bid, 1'000'000);
    ASSERT_EQ(again.code, 0) << again.text;
    ASSERT_EQ(again.body.AsGrants()->granted.size(), 1U);
    EXPECT_EQ(again.body.AsGrants()->granted.front()->lease->id, first.body.AsGrants()->granted.front()->lease->id);
  }
  EXPECT_EQ(desk_->book().active_leases(), 1U);
}

TEST_F(TradingTest, OrdersThatDoNotCountAreRefused) {
  const std::string lease = Lease(tenants_[0], "0.5 TOPS fp32, memory=100B");
  messages::OrderT other = AskOrder(tenants_[0], lease, reserve_);
  other.market = Hex(server_);
  EXPECT_THAT(Place(tenants_[0], other).text, HasSubstr("another market"));
  messages::OrderT old = AskOrder(tenants_[0], lease, reserve_);
  old.valid_until_ms = Now() - 1000;
  EXPECT_THAT(Place(tenants_[0], old).text, HasSubstr("expired"));
  // Signed by its owner and brought by somebody else: only a deal's other side may.
  EXPECT_EQ(Ask(tenants_[1], SignOrder(AskOrder(tenants_[0], lease, reserve_), tenants_[0])).code,
            Of(Code::kPermissionDenied));
  EXPECT_EQ(Ask(tenants_[1], SignOrder(AskOrder(tenants_[0], lease, reserve_), tenants_[1])).code,
            Of(Code::kPermissionDenied));
  EXPECT_EQ(Place(tenants_[1], AskOrder(tenants_[1], lease, reserve_)).code, Of(Code::kPermissionDenied));
  EXPECT_TRUE(desk_->book().Asked().empty());
  const messages::ReplyT late = Place(tenants_[2], BidOrder(tenants_[2], 300, reserve_ / 10));
  ASSERT_EQ(late.code, 0);
  EXPECT_TRUE(late.body.AsGrants()->granted.empty());
  EXPECT_THAT(late.body.AsGrants()->gaps.front()->text, HasSubstr("the price was too low"));
  EXPECT_THAT(late.body.AsGrants()->gaps.front()->remedy, HasSubstr("credits an hour or more"));
  // Who cannot pay bids nothing.
  const messages::ReplyT poor = Place(tenants_[2], BidOrder(tenants_[2], 300, 1'000'000'000'000));
  ASSERT_EQ(poor.code, 0);
  EXPECT_THAT(poor.body.AsGrants()->gaps.front()->text, HasSubstr("the account has less"));
}

TEST_F(TradingTest, NobodyTradesWithHimself) {
  const std::string lease = Lease(tenants_[0], "0.99 TOPS fp32, memory=500B");
  ASSERT_FALSE(Lease(tenants_[1], "0.99 TOPS fp32, memory=500B").empty());
  messages::OrderT ask = AskOrder(tenants_[0], lease, reserve_);
  ask.share_milli = 400;
  ASSERT_EQ(Place(tenants_[0], ask).code, 0);
  const messages::ReplyT own = Place(tenants_[0], BidOrder(tenants_[0], 300, 3 * reserve_));
  ASSERT_EQ(own.code, 0);
  EXPECT_TRUE(own.body.AsGrants()->granted.empty());
  EXPECT_THAT(own.body.AsGrants()->gaps.front()->text, HasSubstr("sells that himself"));
}

TEST_F(TradingTest, ALeaseThatIsSoldWholeBeginsWhenTheNoticeIsOver) {
  const std::string lease = Lease(tenants_[0], "0.99 TOPS fp32, memory=500B");
  ASSERT_FALSE(Lease(tenants_[1], "0.99 TOPS fp32, memory=500B").empty());
  messages::OrderT ask = AskOrder(tenants_[0], lease, reserve_);
  ask.notice_us = 400'000;
  ASSERT_EQ(Place(tenants_[0], ask).code, 0);
  const std::uint32_t share = desk_->book().Lease(lease)->share_milli;
  // Who cannot wait so long is not served.
  const messages::ReplyT hasty = Place(tenants_[2], BidOrder(tenants_[2], share, 3 * reserve_));
  ASSERT_EQ(hasty.code, 0);
  EXPECT_TRUE(hasty.body.AsGrants()->granted.empty());
  messages::OrderT bid = BidOrder(tenants_[2], share, 3 * reserve_);
  bid.notice_us = 10'000'000;
  messages::PlaceOrderT placed = SignOrder(bid, tenants_[2]);
  placed.wait_us = 1'000'000;
  const std::uint64_t number = Send(tenants_[2], std::move(placed));
  ASSERT_TRUE(Until([&] { return !desk_->book().Lease(lease)->successor.empty(); }));
  EXPECT_EQ(desk_->book().Lease(lease)->state, LeaseState::kActive);
  EXPECT_FALSE(replies_.contains(number));
  // Also over a restart, after which the buyer asks again.
  Stop();
  Start();
  ASSERT_EQ(Ask(server_, ServerWith("s", 2, 1, 10)).code, 0);
  placed = SignOrder(bid, tenants_[2]);
  placed.wait_us = 1'000'000;
  const std::uint64_t again = Send(tenants_[2], std::move(placed));
  pushes_.clear();
  const messages::ReplyT served = Await(again);
  ASSERT_EQ(served.code, 0) << served.text;
  ASSERT_EQ(served.body.AsGrants()->granted.size(), 1U);
  EXPECT_EQ(desk_->book().Lease(lease)->state, LeaseState::kTransferred);
  EXPECT_TRUE(std::any_of(pushes_.begin(), pushes_.end(), [&](const auto& push) {
    return push.type == messages::PushBody::EpochRaised && push.AsEpochRaised()->lease == lease;
  }));
  EXPECT_TRUE(desk_->book().CountSums().balanced());
}

TEST_F(TradingTest, ADealIsRecordedWhenBothHaveSigned) {
  const std::string lease = Lease(tenants_[0], "0.5 TOPS fp32, memory=500B");
  messages::OrderT deal = Order(tenants_[0], messages::OrderKind::Deal);
  deal.lease = lease;
  deal.share_milli = 200;
  deal.price_microcredits_per_hour = 2 * reserve_;
  deal.counterparty = Hex(tenants_[1]);
  deal.holder_key.assign(32, 6);
  messages::PlaceOrderT placed = SignOrder(deal, tenants_[0]);
  EXPECT_EQ(Ask(tenants_[0], messages::PlaceOrderT(placed)).code, Of(Code::kPermissionDenied));
  const security::Signature signature = SignOrderBytes(placed.order, tenants_[1]);
  placed.counter_signature.assign(signature.begin(), signature.end());
  EXPECT_EQ(Ask(tenants_[2], messages::PlaceOrderT(placed)).code, Of(Code::kPermissionDenied));
  const messages::ReplyT sold = Ask(tenants_[0], messages::PlaceOrderT(placed));
  ASSERT_EQ(sold.code, 0) << sold.text;
  const std::string bought = sold.body.AsDone()->lease->id;
  const messages::ReplyT held = Ask(tenants_[1], messages::PlaceOrderT(placed));
  ASSERT_EQ(held.code, 0) << held.text;
  EXPECT_EQ(held.body.AsGrants()->granted.front()->lease->id, bought);
  EXPECT_EQ(desk_->book().Lease(lease)->share_milli, 300U);
  EXPECT_EQ(desk_->book().active_leases(), 2U);
  const messages::ReplyT epochs = Ask(tenants_[1], messages::ListEpochsT{});
  EXPECT_EQ(epochs.body.AsEpochs()->epochs.front()->trades.front()->lane, "direct");
}

TEST_F(TradingTest, AGangGetsAllOfOneOfItsBundlesOrNothing) {
  messages::OrderT gang = BidOrder(tenants_[0], 0, 0);
  gang.class_name.clear();
  for (int count = 3; count > 0; --count) {
    auto bundle = std::make_unique<messages::BundleT>();
    bundle->value_microcredits_per_hour = 5 * reserve_ * count;
    for (int i = 0; i < count; ++i) {
      bundle->parts.push_back(std::make_unique<messages::PartT>());
      bundle->parts.back()->class_name = class_name_;
      bundle->parts.back()->share_milli = 1000;
    }
    gang.bundles.push_back(std::move(bundle));
  }
  const std::int64_t owned = Owned();
  const messages::ReplyT served = Place(tenants_[0], gang, 1'000'000);
  ASSERT_EQ(served.code, 0) << served.text;
  // Three devices are not to be had; two are, whole, and of different slots.
  ASSERT_EQ(served.body.AsGrants()->granted.size(), 2U);
  std::set<std::string> slots;
  for (const auto& granted : served.body.AsGrants()->granted) {
    EXPECT_EQ(granted->lease->share_milli, 1000U);
    slots.insert(granted->lease->slot);
  }
  EXPECT_EQ(slots.size(), 2U);
  EXPECT_EQ(Owned(), owned);
  EXPECT_TRUE(desk_->book().CountSums().balanced());
  Verify();
  gang.operation_id = MakeOperationId();
  gang.bundles.back()->parts.back()->share_milli = 500;
  EXPECT_EQ(Place(tenants_[1], Order(tenants_[1], messages::OrderKind::Bid)).code, Of(Code::kBadFrame));
  gang.owner = Hex(tenants_[1]);
  EXPECT_EQ(Place(tenants_[1], gang).code, Of(Code::kUnsupported));
}

TEST_F(TradingTest, AGangBuysWholeLeasesOfSeveralBesideBidsForParts) {
  std::vector<std::string> leases;
  for (std::size_t i = 0; i < 2; ++i) {
    leases.push_back(Lease(tenants_[i], "1 TOPS fp32, memory=100B"));
    ASSERT_EQ(desk_->book().Lease(leases.back())->share_milli, 1000U);
    messages::OrderT ask = AskOrder(tenants_[i], leases.back(), reserve_);
    ask.notice_us = 200'000;
    ASSERT_EQ(Place(tenants_[i], ask).code, 0);
  }
  // Somebody bids for a part all the time, and has his turns.
  messages::PlaceOrderT part = SignOrder(BidOrder(tenants_[3], 300, 3 * reserve_), tenants_[3]);
  part.wait_us = 10'000'000;
  Send(tenants_[3], std::move(part));
  messages::OrderT gang = WholeGang(tenants_[2], 2, 4 * reserve_, 10'000'000);
  const std::int64_t owned = Owned();
  const messages::ReplyT served = Place(tenants_[2], gang, 2'000'000);
  ASSERT_EQ(served.code, 0) << served.text;
  const auto& grants = *served.body.AsGrants();
  ASSERT_EQ(grants.granted.size(), 2U) << grants.gaps.front()->text;
  for (const std::string& lease : leases) {
    EXPECT_EQ(desk_->book().Lease(lease)->state, LeaseState::kTransferred);
  }
  EXPECT_EQ(Owned(), owned);
  EXPECT_TRUE(desk_->book().CountSums().balanced());
  Verify();
}

TEST_F(TradingTest, WitnessesCosignTheLedgerAndItsBidsAreReadWhenTheyAreOver) {
  ASSERT_EQ(Place(tenants_[0], BidOrder(tenants_[0], 200, 5 * reserve_), 1'000'000).body.AsGrants()->granted.size(),
            1U);
  const auto checkpoint = [this](std::uint64_t size) {
    messages::GetCheckpointT ask;
    ask.old_size = size;
    const messages::ReplyT reply = Ask(tenants_[1], ask);
    EXPECT_EQ(reply.code, 0) << reply.text;
    return std::move(ledger::ParseExtension(reply.body.AsLedgerCheckpoint()->extension)).value();
  };
  const ledger::Extension first = checkpoint(0);
  const ledger::NamedKey log = ledger_->key();
  const auto head = ledger::VerifyCheckpoint(first.note, log, {})->checkpoint.head;
  EXPECT_GE(head.size, 3U) << "a bid, its seal, its epoch";
  const std::string name = ledger::WitnessNameOf(tenants_[1].public_key());
  const std::string text = ledger::ParseNote(first.note)->text;
  messages::CosignT cosign;
  cosign.size = head.size;
  cosign.line = ledger::CosignatureLine(text, name, tenants_[1], 7);
  EXPECT_EQ(Ask(tenants_[2], cosign).code, Of(Code::kPermissionDenied)) << "another's line";
  EXPECT_EQ(Ask(tenants_[1], cosign).code, 0);
  const ledger::NamedKey witness{name, tenants_[1].public_key()};
  EXPECT_EQ(ledger::VerifyCheckpoint(checkpoint(head.size).note, log, {&witness, 1})->cosigners.size(), 1U);
  ++cosign.size;
  EXPECT_EQ(Ask(tenants_[1], cosign).code, Of(Code::kNotFound));
  // It grows, and shows that it did; a line below the one before still counts, and is there for who reads the folder.
  ASSERT_EQ(Place(tenants_[0], BidOrder(tenants_[0], 100, 5 * reserve_), 1'000'000).body.AsGrants()->granted.size(),
            1U);
  const ledger::Extension next = checkpoint(head.size);
  const auto grown = ledger::VerifyCheckpoint(next.note, log, {})->checkpoint.head;
  EXPECT_GT(grown.size, head.size);
  EXPECT_TRUE(VerifyConsistency(head, grown, next.proof).ok());
  cosign.size = head.size;
  cosign.line = ledger::CosignatureLine(text, name, tenants_[1], 8);
  EXPECT_EQ(Ask(tenants_[1], cosign).code, 0);
  ASSERT_TRUE(ledger_->Publish().ok());
  const auto file = ledger::ReadFileBytes(folder_.Path("ledger/cosigned/" + name), 100'000);
  ASSERT_TRUE(file.ok());
  EXPECT_EQ(ledger::VerifyCheckpoint(AsText(*file), log, {&witness, 1})->cosigners.front().time_s, 8);
  // Until the first bid is over nobody reads it, or what came after it.
  const auto read = [this](std::int64_t now_ms) { return std::move(ledger_->Read(0, now_ms)).value(); };
  EXPECT_EQ(read(Now()).readable, 0U);
  EXPECT_EQ(read(Now() + 61'000).entries.size(), grown.size);
  EXPECT_EQ(Ask(tenants_[1], messages::ReadEntriesT{}).body.AsLedgerEntries()->readable, grown.size);
}

TEST_F(TradingTest, ManyWhoTradeMeetInAnAuction) {
  // One device is let to many; the other one to somebody who keeps it.
  ASSERT_FALSE(Lease(tenants_[39], "0.99 TOPS fp32, memory=100B").empty());
  std::vector<std::string> leases;
  for (std::size_t i = 0; i < 14; ++i) {
    leases.push_back(Lease(tenants_[i], "0.05 TOPS fp32, memory=10B"));
    ASSERT_FALSE(leases.back().empty()) << i;
  }
  ASSERT_FALSE(Lease(tenants_[38], "0.28 TOPS fp32, memory=10B").empty());
  for (std::size_t i = 0; i < 14; ++i) {
    ASSERT_EQ(Place(tenants_[i], AskOrder(tenants_[i], leases[i], reserve_ + static_cast<std::int64_t>(i) * 1000)).code,
              0);
  }
  const std::int64_t owned = Owned();
  std::vector<std::uint64_t> numbers;
  const std::uint32_t share = desk_->book().Lease(leases[0])->share_milli;
  for (std::size_t i = 0; i < 14; ++i) {
    messages::PlaceOrderT placed = SignOrder(
        BidOrder(tenants_[20 + i], share, 3 * reserve_ + static_cast<std::int64_t>(i) * 1000), tenants_[20 + i]);
    placed.wait_us = 1'000'000;
    numbers.push_back(Send(tenants_[20 + i], std::move(placed)));
  }
  std::size_t served = 0;
  for (const std::uint64_t number : numbers) {
    const messages::ReplyT reply = Await(number);
    ASSERT_EQ(reply.code, 0) << reply.text;
    served += reply.body.AsGrants()->granted.size();
  }
  EXPECT_GE(served, 12U);
  EXPECT_EQ(Owned(), owned);
  EXPECT_TRUE(desk_->book().CountSums().balanced());
  ASSERT_TRUE(Until([&] { return !desk_->book().All(Family::kReport).empty(); }));
  bool was_auction = false;
  for (const auto& [id, entry] : desk_->book().All(Family::kReport)) {
    const auto& report = std::get<ReportRecord>(entry);
    for (const ClassReport& one : report.classes) was_auction |= one.lane.starts_with("auction");
    for (const TradeRecord& trade : report.trades) {
      EXPECT_GE(trade.price_buyer, trade.price_seller);
      EXPECT_GE(trade.price_seller, reserve_);
    }
  }
  EXPECT_TRUE(was_auction);
  EXPECT_GE(Verify().facts.trades, 12U);
}

}  // namespace
}  // namespace accelmesh::market
