// Receipts at a desk: who signs what, what is refused, and what follows for money, reputation and the ledger.
#include "market/client/receipts.h"

#include <gmock/gmock.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <csignal>

#include "market/core/receipts.h"
#include "market/desk/reputations.h"
#include "tests/unit/market/desk/trading_world.h"

namespace accelmesh::market {
namespace {

using testing::HasSubstr;

class ReceiptsDeskTest : public TradingTest {
 protected:
  ReceiptsDeskTest() {
    messages::GreetT greet;
    greet.version_min = greet.version_max = kMarketVersion;
    EXPECT_EQ(Ask(server_, greet).code, 0);
    EXPECT_EQ(Ask(server_, ServerWith("s", 2, 1, 10)).code, 0);
  }
  // A lease that was held for a while and given back; its receipt.
  messages::ReceiptT Over(const security::SigningKey& tenant) {
    messages::ReleaseLeaseT release;
    release.operation_id = MakeOperationId();
    release.lease = Lease(tenant, "0.5 TOPS fp32, memory=100B");
    const std::int64_t until_ms = Now() + 30;
    EXPECT_TRUE(Until([&] { return Now() >= until_ms; }));
    const messages::ReplyT reply = Ask(tenant, release);
    const auto* done = reply.body.AsDone();
    EXPECT_TRUE(done != nullptr && done->receipt != nullptr) << reply.text;
    return done != nullptr && done->receipt != nullptr ? *done->receipt : messages::ReceiptT();
  }
  messages::ReplyT Sign(const security::SigningKey& who, const messages::ReceiptT& receipt, const ReceiptWords& words) {
    Result<messages::SignReceiptT> sign = SignReceipt(receipt, words, who);
    EXPECT_TRUE(sign.ok()) << sign.status().ToString();
    return sign.ok() ? Ask(who, std::move(*sign)) : messages::ReplyT();
  }
  std::vector<messages::ReceiptT> OpenAtServer() {
    std::vector<messages::ReceiptT> open;
    const messages::ReplyT kept = Ask(server_, messages::KeepServerT{});
    EXPECT_EQ(kept.code, 0) << kept.text;
    if (kept.code == 0) {
      for (const auto& receipt : kept.body.AsKept()->receipts) open.push_back(*receipt);
    }
    return open;
  }
  const AccountRecord& AccountOf(const security::SigningKey& who) { return *desk_->book().Account(Hex(who)); }
};

TEST_F(ReceiptsDeskTest, BothSidesSignTheSameAndItIsInTheLedger) {
  EXPECT_EQ(AccountOf(server_).bond, 2'000'000) << "an hour of its two slots";
  const messages::ReceiptT receipt = Over(tenants_[0]);
  EXPECT_EQ(receipt.state, "open");
  EXPECT_EQ(receipt.market, Hex(market_));
  EXPECT_EQ(receipt.provider, Hex(server_));
  EXPECT_EQ(receipt.buyer, Hex(tenants_[0]));
  EXPECT_GE(receipt.end_ms - receipt.begin_ms, 25);
  EXPECT_GT(receipt.paid_microcredits, 0);
  EXPECT_EQ(receipt.bond_microcredits, 2'000'000);
  const ReceiptWords words{.used_ppm = 250'000};
  const messages::ReplyT first = Sign(tenants_[0], receipt, words);
  ASSERT_EQ(first.code, 0) << first.text;
  EXPECT_EQ(first.body.AsReceipt()->state, "buyer");
  EXPECT_EQ(desk_->counts().receipts, 0U);
  const std::vector<messages::ReceiptT> open = OpenAtServer();
  ASSERT_EQ(open.size(), 1U);
  EXPECT_EQ(WordsOf(open.front()), words);
  const messages::ReplyT second = Sign(server_, open.front(), WordsOf(open.front()));
  ASSERT_EQ(second.code, 0) << second.text;
  EXPECT_EQ(second.body.AsReceipt()->state, "both");
  EXPECT_EQ(second.body.AsReceipt()->provider_signature.size(), 64U);
  EXPECT_EQ(second.body.AsReceipt()->buyer_signature.size(), 64U);
  EXPECT_TRUE(OpenAtServer().empty());
  // Again is once.
  EXPECT_EQ(Sign(server_, open.front(), words).body.AsReceipt()->state, "both");
  EXPECT_EQ(Verify().facts.receipts, 1U);
  EXPECT_EQ(desk_->counts().receipts, 1U);
  messages::ListReceiptsT list;
  EXPECT_EQ(Ask(tenants_[0], list).body.AsReceipts()->receipts.size(), 1U);
  EXPECT_EQ(Ask(server_, list).body.AsReceipts()->receipts.size(), 1U);
  EXPECT_TRUE(Ask(tenants_[1], list).body.AsReceipts()->receipts.empty()) << "it is of others";
  list.all = true;
  EXPECT_TRUE(Ask(tenants_[1], list).body.AsReceipts()->receipts.empty());
  EXPECT_EQ(Ask(admin_, list).body.AsReceipts()->receipts.size(), 1U);
  list.open = true;
  EXPECT_TRUE(Ask(server_, list).body.AsReceipts()->receipts.empty());
  const messages::ReplyT reputation = Ask(tenants_[1], messages::ListReputationT{});
  ASSERT_EQ(reputation.code, 0);
  EXPECT_EQ(reputation.body.AsReputations()->reputations.size(), 4U) << "delivered, uptime; paid, used";
}

TEST_F(ReceiptsDeskTest, WhatIsForgedReplayedOrOfOthersIsRefused) {
  const messages::ReceiptT receipt = Over(tenants_[0]);
  const messages::ReceiptT later = Over(tenants_[0]);
  messages::SignReceiptT sign = *SignReceipt(receipt, {.used_ppm = 1}, tenants_[0]);
  messages::SignReceiptT forged = sign;
  forged.used_ppm = 2;
  EXPECT_THAT(Ask(tenants_[0], forged).text, HasSubstr("not signed by the buyer"));
  forged = sign;
  forged.lease = later.lease;
  EXPECT_EQ(Ask(tenants_[0], forged).code, Of(Code::kPermissionDenied)) << "a signature of another lease's";
  EXPECT_THAT(Ask(tenants_[1], sign).text, HasSubstr("of others"));
  // A server cannot bring the buyer's signature as its own.
  EXPECT_THAT(Ask(server_, sign).text, HasSubstr("not signed by the provider"));
  forged = sign;
  forged.lease = "none";
  EXPECT_EQ(Ask(tenants_[0], forged).code, Of(Code::kNotFound));
  forged.lease = Lease(tenants_[0], "0.2 TOPS fp32, memory=100B");
  EXPECT_THAT(Ask(tenants_[0], forged).text, HasSubstr("not over"));
  // Who is paid by a receipt cannot write a better one: the market's own numbers are signed, too.
  messages::ReceiptT dear = receipt;
  dear.paid_microcredits = dear.price_microcredits = 1'000'000'000;
  EXPECT_EQ(Ask(server_, *SignReceipt(dear, {}, server_)).code, Of(Code::kPermissionDenied));
  ASSERT_EQ(Ask(tenants_[0], sign).code, 0);
  ASSERT_EQ(Sign(server_, receipt, {.used_ppm = 1}).code, 0);
  EXPECT_THAT(Sign(tenants_[0], receipt, {.used_ppm = 3}).text, HasSubstr("both have signed"));
  EXPECT_EQ(Verify().facts.receipts, 1U);
}

TEST_F(ReceiptsDeskTest, OneSidedOnesCountForNobodyAndDisputesNeither) {
  const messages::ReceiptT receipt = Over(tenants_[0]);
  ASSERT_EQ(Sign(server_, receipt, {}).body.AsReceipt()->state, "provider");
  ASSERT_EQ(Sign(tenants_[0], receipt, {.delivered_ppm = 500'000}).body.AsReceipt()->state, "disputed");
  EXPECT_EQ(Verify().facts.receipts, 0U);
  EXPECT_TRUE(desk_->book().All(Family::kReputation).empty());
  EXPECT_EQ(AccountOf(server_).bond, 2'000'000);
  EXPECT_EQ(desk_->counts().receipts_one_sided, 2U);
}

TEST_F(ReceiptsDeskTest, WhatWasNotDeliveredIsRefundedWithAPenalty) {
  const messages::ReceiptT receipt = Over(tenants_[0]);
  const ReceiptWords words{.delivered_ppm = 250'000, .used_ppm = 900'000};
  ASSERT_EQ(Sign(tenants_[0], receipt, words).code, 0);
  const std::int64_t buyer = AccountOf(tenants_[0]).balance;
  const std::int64_t provider = AccountOf(server_).balance;
  ASSERT_EQ(Sign(server_, receipt, words).body.AsReceipt()->state, "both");
  const std::int64_t refund = receipt.price_microcredits * 3 / 4;
  const std::int64_t penalty = refund / 10;
  EXPECT_EQ(AccountOf(tenants_[0]).balance, buyer + refund + penalty);
  EXPECT_EQ(AccountOf(server_).balance, provider - refund);
  EXPECT_EQ(AccountOf(server_).bond, 2'000'000 - penalty);
  EXPECT_TRUE(desk_->book().CountSums().balanced());
  EXPECT_EQ(desk_->book().Lease(receipt.lease)->refunded, refund + penalty);
  // It is once, also after a restart.
  Stop();
  Start();
  ASSERT_EQ(Sign(server_, receipt, words).body.AsReceipt()->refunded_microcredits, refund + penalty);
  EXPECT_EQ(AccountOf(tenants_[0]).balance, buyer + refund + penalty);
}

TEST_F(ReceiptsDeskTest, AsksCountByReceiptsAndEveryLeaderKnowsTheSame) {
  // Two dear servers of one class: one delivers, the other does not.
  const security::SigningKey other = KeyOf(4);
  messages::GreetT greet;
  greet.version_min = greet.version_max = kMarketVersion;
  ASSERT_EQ(Ask(other, greet).code, 0);
  const auto dear = [](const std::string& name) {
    messages::RegisterServerT server = ServerWith(name, 1, 1, 10);
    server.slots.front()->reserve_price_microcredits_per_hour = 20'000'000'000;
    server.slots.front()->device_name = "Dear";
    return server;
  };
  const security::SigningKey good = KeyOf(5);
  ASSERT_EQ(Ask(good, greet).code, 0);
  // Identities of this test's user that are not the server are tenants; an admin makes them providers.
  for (const auto* who : {&other, &good}) {
    messages::TrustT trust;
    trust.identity = Hex(*who);
    trust.role = "provider";
    trust.name = who == &good ? "good" : "bad";
    ASSERT_EQ(Ask(admin_, trust).code, 0);
  }
  ASSERT_EQ(Ask(good, dear("g")).code, 0);
  ASSERT_EQ(Ask(other, dear("b")).code, 0);
  EXPECT_EQ(AccountOf(good).bond, 1'000'000'000) << "all that it has";
  for (const auto* who : {&other, &good}) {
    messages::RequestLeaseT ask = AskFor("0.99 TOPS fp32, memory=100B", 1000);
    ask.slots = {who == &good ? "g/0" : "b/0"};
    const messages::ReplyT reply = Ask(tenants_[0], ask);
    ASSERT_EQ(reply.code, 0) << reply.text;
    ASSERT_EQ(reply.body.AsGrants()->granted.size(), 1U);
    const std::string lease = reply.body.AsGrants()->granted.front()->lease->id;
    ASSERT_TRUE(Until([&] { return desk_->book().Lease(lease)->state == LeaseState::kExpired; }));
    messages::ListReceiptsT list;
    list.lease = lease;
    list.open = true;
    const messages::ReplyT open = Ask(tenants_[0], list);
    ASSERT_EQ(open.body.AsReceipts()->receipts.size(), 1U);
    const messages::ReceiptT& receipt = *open.body.AsReceipts()->receipts.front();
    EXPECT_GT(receipt.paid_microcredits, 5'000'000);
    const ReceiptWords words{.delivered_ppm = who == &good ? ledger::kPpm : 100'000, .used_ppm = ledger::kPpm};
    ASSERT_EQ(Sign(tenants_[0], receipt, words).code, 0);
    ASSERT_EQ(Sign(*who, receipt, words).body.AsReceipt()->state, "both");
  }
  const std::uint32_t newcomers = ledger::ReputationBook().ScorePpm({}, ledger::ReputationRole::kProvider, 0);
  const std::uint32_t best = ScoreOf(desk_->book(), Hex(good));
  const std::uint32_t worst = ScoreOf(desk_->book(), Hex(other));
  EXPECT_GT(best, newcomers);
  EXPECT_LT(worst, newcomers);
  EXPECT_EQ(ScoreOf(desk_->book(), Hex(server_)), newcomers);
  // At what the good one asks both would sell, but the bad one counts for a tenth or so.
  messages::OrderT bid = BidOrder(tenants_[1], 300, 30'000'000'000);
  bid.class_name = "cpu/Dear";
  bid.lease_us = 1'000'000;
  for (int i = 0; i < 2; ++i) {
    bid.operation_id = MakeOperationId();
    const messages::ReplyT served = Place(tenants_[1], bid, 1'000'000);
    ASSERT_EQ(served.code, 0) << served.text;
    ASSERT_EQ(served.body.AsGrants()->granted.size(), 1U) << served.body.AsGrants()->gaps.front()->text;
    EXPECT_EQ(served.body.AsGrants()->granted.front()->lease->server, Hex(good));
  }
  EXPECT_EQ(Verify().facts.receipts, 2U);
  const auto records = desk_->book().All(Family::kReputation);
  Stop();
  Start();
  EXPECT_EQ(ScoreOf(desk_->book(), Hex(good)), best);
  EXPECT_EQ(ScoreOf(desk_->book(), Hex(other)), worst);
  // What is remembered is what the next leader goes on from: a receipt more is the same as without a restart.
  Reputations anew;
  anew.Load(desk_->book());
  for (const auto& [id, record] : records) {
    EXPECT_EQ(std::get<ReputationRecord>(record), *desk_->book().Reputation(id)) << id;
  }
  // A ledger that is lost begins anew with what its receipts had come to: else nobody could count for more than a
  // newcomer in it.
  Stop();
  std::filesystem::remove_all(folder_.Path("ledger"));
  Start();
  bid.operation_id = MakeOperationId();
  const messages::ReplyT served = Place(tenants_[1], bid, 1'000'000);
  ASSERT_EQ(served.code, 0) << served.text;
  ASSERT_EQ(served.body.AsGrants()->granted.size(), 1U) << served.body.AsGrants()->gaps.front()->text;
  ledger::FolderReport report = Verify();
  EXPECT_EQ(report.facts.stated, 3U) << "two providers and their tenant";
  EXPECT_GE(report.facts.epochs, 1U);
  EXPECT_GE(report.facts.trades, 1U);
  // It is said once.
  Stop();
  Start();
  const std::uint64_t entries = report.facts.head.size;
  report = Verify();
  EXPECT_EQ(report.facts.head.size, entries);
}

TEST_F(ReceiptsDeskTest, ALeaseThatNobodyUsesIsForSale) {
  change_options_ = [](DeskOptions& options) { options.unused = std::chrono::milliseconds(200); };
  Stop();
  Start();
  ASSERT_EQ(Ask(server_, ServerWith("s", 2, 1, 10)).code, 0);
  std::vector<std::string> leases;
  for (int i = 0; i < 2; ++i)
    leases.push_back(Lease(tenants_[static_cast<std::size_t>(i)], "0.99 TOPS fp32, memory=500B"));
  ASSERT_FALSE(leases[1].empty());
  // The first one is used, the second is not.
  const auto keep = [&] {
    messages::KeepServerT told;
    auto use = std::make_unique<messages::LeaseUseT>();
    use->lease = leases[0];
    use->device_time_us = 50'000;
    told.uses.push_back(std::move(use));
    return Ask(server_, std::move(told)).code;
  };
  ASSERT_EQ(keep(), 0);
  messages::OrderT bid = BidOrder(tenants_[2], 990, 3 * reserve_);
  bid.notice_us = 20'000'000;
  messages::PlaceOrderT placed = SignOrder(bid, tenants_[2]);
  placed.wait_us = 30'000'000;
  const std::uint64_t number = Send(tenants_[2], std::move(placed));
  for (int i = 0; i < 6; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(60));
    ASSERT_EQ(keep(), 0);
  }
  ASSERT_TRUE(Until([&] { return !desk_->book().Lease(leases[1])->successor.empty(); }));
  EXPECT_TRUE(desk_->book().Lease(leases[0])->successor.empty());
  EXPECT_FALSE(replies_.contains(number)) << "its holder has his notice";
  EXPECT_TRUE(desk_->book().CountSums().balanced());
  EXPECT_GE(Verify().facts.trades, 1U);
}

// No message takes longer for what else its server has: a thousand leases are looked at each time.
TEST_F(ReceiptsDeskTest, OfAServerWithManyLeasesAllAreLookedAtInTurn) {
  constexpr int kLeases = 1200;
  change_options_ = [](DeskOptions& options) { options.unused = std::chrono::milliseconds(1); };
  Stop();
  Start();
  ASSERT_EQ(Ask(server_, ServerWith("s", 2, 1, 1)).code, 0);
  std::vector<std::uint64_t> asked;
  for (int i = 0; i < kLeases; ++i)
    asked.push_back(Send(tenants_[static_cast<std::size_t>(i) % tenants_.size()], AskFor("0.001 TOPS fp32")));
  for (const std::uint64_t number : asked) ASSERT_EQ(Await(number).code, 0);
  ASSERT_EQ(desk_->book().active_leases(), static_cast<std::size_t>(kLeases));
  messages::PriceToWinT price;
  price.class_name = class_name_;
  price.share_milli = 1;
  price.notice_us = 60'000'000;
  int for_sale = 0;
  for (int keeps = 0; keeps < 100 && for_sale < kLeases; ++keeps) {
    ASSERT_EQ(Ask(server_, messages::KeepServerT()).code, 0);
    for_sale = std::stoi(Ask(tenants_[0], price).body.AsWinningPrice()->why);
  }
  EXPECT_GE(for_sale, kLeases);
}

TEST_F(ReceiptsDeskTest, AFloorIsHadAtThePostedPriceBeforeOthers) {
  messages::SetSharesT shares;
  shares.identity = Hex(tenants_[0]);
  shares.floors.push_back(std::make_unique<messages::FloorT>());
  shares.floors.back()->class_name = class_name_;
  shares.floors.back()->share_ppm = 250'000;
  EXPECT_EQ(Ask(tenants_[0], shares).code, Of(Code::kPermissionDenied));
  const messages::ReplyT set = Ask(admin_, shares);
  ASSERT_EQ(set.code, 0) << set.text;
  EXPECT_EQ(set.body.AsAccount()->floors.front()->share_ppm, 250'000U);
  // A quarter of two devices.
  const auto call = [&](std::size_t who, std::uint32_t share) {
    messages::OrderT bid = BidOrder(tenants_[who], share, 2 * reserve_);
    bid.uses_floor = true;
    return Place(tenants_[who], bid, 100'000);
  };
  const messages::ReplyT first = call(0, 400);
  ASSERT_EQ(first.body.AsGrants()->granted.size(), 1U);
  EXPECT_THAT(first.body.AsGrants()->granted.front()->why, HasSubstr("floor"));
  EXPECT_EQ(first.body.AsGrants()->granted.front()->lease->price_microcredits_per_hour, reserve_ * 4 / 10);
  const messages::ReplyT second = call(0, 400);
  EXPECT_TRUE(second.body.AsGrants()->granted.empty());
  EXPECT_THAT(second.body.AsGrants()->gaps.front()->text, HasSubstr("the floor is used up"));
  EXPECT_TRUE(call(1, 100).body.AsGrants()->granted.empty()) << "it has none";
  EXPECT_EQ(call(0, 100).body.AsGrants()->granted.size(), 1U);
  EXPECT_GE(Verify().facts.trades, 2U);
}

TEST_F(ReceiptsDeskTest, BudgetsAreHandedOutOncePerPeriodByWeight) {
  for (std::size_t i = 0; i < 2; ++i) {
    messages::SetSharesT shares;
    shares.identity = Hex(tenants_[i]);
    shares.budget_weight = i == 0 ? 1 : 3;
    ASSERT_EQ(Ask(admin_, shares).code, 0);
  }
  change_options_ = [](DeskOptions& options) {
    options.budget = 4'000'000'000;
    options.budget_period = std::chrono::hours(1000);
  };
  const std::int64_t before[] = {AccountOf(tenants_[0]).balance, AccountOf(tenants_[1]).balance};
  const std::int64_t owned = Owned();
  for (int i = 0; i < 2; ++i) {
    Stop();
    Start();
    ASSERT_TRUE(Until([&] { return Owned() != owned; }));
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    EXPECT_EQ(AccountOf(tenants_[0]).balance, before[0] + 1'000'000'000);
    EXPECT_EQ(AccountOf(tenants_[1]).balance, before[1] + 3'000'000'000);
    EXPECT_EQ(Owned(), owned + 4'000'000'000);
    EXPECT_TRUE(desk_->book().CountSums().balanced());
  }
}

// A limit of file sizes is a full disk, as far as a write is concerned.
TEST_F(ReceiptsDeskTest, ALedgerWhoseDiskWasFullGoesOnWhenThereIsRoom) {
  const messages::ReplyT before = Place(tenants_[0], BidOrder(tenants_[0], 200, 5 * reserve_), 1'000'000);
  ASSERT_EQ(before.body.AsGrants()->granted.size(), 1U);
  const std::uint64_t last = ledger_->last_number();
  struct stat file{};
  ASSERT_EQ(::stat(folder_.Path("ledger/journal").c_str(), &file), 0);
  std::signal(SIGXFSZ, SIG_IGN);
  rlimit old{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &old), 0);
  const rlimit full{static_cast<rlim_t>(file.st_size) + 10, old.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &full), 0);
  const Result<SealedOrders> sealed = ledger_->Seal(last + 1, Now(), {}, {});
  const Result<SealedOrders> at_once = ledger_->Seal(last + 2, Now(), {}, {});
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &old), 0);
  EXPECT_EQ(sealed.code(), Code::kSystem) << sealed.status().ToString();
  EXPECT_FALSE(at_once.ok()) << "it is not tried at each call";
  const messages::ReplyT after = Place(tenants_[1], BidOrder(tenants_[1], 200, 5 * reserve_), 5'000'000);
  ASSERT_EQ(after.code, 0);
  ASSERT_EQ(after.body.AsGrants()->granted.size(), 1U) << after.body.AsGrants()->gaps.front()->text;
  EXPECT_GT(ledger_->last_number(), last);
  EXPECT_GE(Verify().facts.trades, 2U);
}

// A server that is killed and never comes back: its lease of the registry runs out, its tenant's lease ends, and a
// while later its bond is due.
TEST_F(ReceiptsDeskTest, TheBondOfAServerThatIsGoneIsPaidOut) {
  Stop();
  change_options_ = [](DeskOptions& options) {
    options.node_ttl = std::chrono::seconds(2);
    options.gone = std::chrono::milliseconds(500);
  };
  Start();
  const security::SigningKey other = KeyOf(4);
  messages::GreetT greet;
  greet.version_min = greet.version_max = kMarketVersion;
  ASSERT_EQ(Ask(other, greet).code, 0);
  messages::TrustT trust;
  trust.identity = Hex(other);
  trust.role = "provider";
  trust.name = "other";
  ASSERT_EQ(Ask(admin_, trust).code, 0);
  const messages::ReplyT registered = Ask(other, ServerWith("o", 2, 1, 10));
  ASSERT_EQ(registered.code, 0) << registered.text;
  const std::int64_t all = Owned();
  const std::int64_t owners = AccountOf(other).balance + AccountOf(other).bond;
  EXPECT_EQ(AccountOf(other).bond, 2'000'000);
  messages::RequestLeaseT ask = AskFor("0.5 TOPS fp32, memory=100B");
  ask.slots = {"o/0"};
  const messages::ReplyT reply = Ask(tenants_[0], ask);
  ASSERT_EQ(reply.code, 0) << reply.text;
  ASSERT_EQ(reply.body.AsGrants()->granted.size(), 1U);
  const std::string id = reply.body.AsGrants()->granted.front()->lease->id;
  // It is paid for as long as it was seen.
  const std::int64_t seen_ms = Now() + 100;
  EXPECT_TRUE(Until([&] { return Now() >= seen_ms; }));
  EXPECT_EQ(Ask(other, messages::KeepServerT{}).code, 0);
  EXPECT_TRUE(Until([&] { return desk_->book().Lease(id)->state == LeaseState::kServerLost; }));
  EXPECT_EQ(AccountOf(tenants_[0]).held, 0);
  const LeaseRecord lost = *desk_->book().Lease(id);
  EXPECT_GT(lost.paid, 0);
  EXPECT_TRUE(Until([&] { return desk_->book().SlotsOfServer(Hex(other)).empty(); }));
  EXPECT_TRUE(Until([&] { return desk_->book().Find<LossRecord>(Family::kLoss, Hex(other)) == nullptr; }));
  // What it was paid is its tenant's again, and a tenth of what was left; all else is its own.
  const std::int64_t tenth = PenaltyOf(lost.returned);
  EXPECT_GT(tenth, 0);
  EXPECT_EQ(AccountOf(tenants_[0]).balance, 1'000'000'000 + tenth);
  EXPECT_EQ(AccountOf(other).bond, 0);
  EXPECT_EQ(AccountOf(other).balance, owners - tenth);
  EXPECT_EQ(Owned(), all);
  EXPECT_TRUE(desk_->book().CountSums().balanced());
}

}  // namespace
}  // namespace accelmesh::market
