// A desk on a SQLite store to which tenants bring signed orders: what counts, what does not, and what an epoch does.
#include <gmock/gmock.h>

#include <filesystem>
#include <thread>

#include "market/client/orders.h"
#include "market/desk/desk.h"
#include "market/ledger/market_orders.h"
#include "market/ledger/verify_folder.h"
#include "market/registry/sqlite/sqlite_store.h"
#include "market/slot_market/epoch_ledger.h"
#include "market/slot_market/mailbox.h"
#include "protocol/base/log.h"
#include "tests/conformance/registry/world.h"
#include "tests/integration/market/market_messages.h"

namespace accelmesh::market {
namespace {

using testing::HasSubstr;

security::SigningKey KeyOf(std::uint8_t number) {
  return std::move(security::SigningKey::FromSeed(Bytes(security::kKeyBytes, number))).value();
}
std::string Hex(const security::SigningKey& key) { return security::HexOf(key.public_key().bytes); }
constexpr std::uint16_t Of(Code code) { return static_cast<std::uint16_t>(code); }

class TradingTest : public testing::Test {
 protected:
  TradingTest() : market_(KeyOf(1)), server_(KeyOf(2)) {
    log::SetSink([](log::Level, std::string_view) {});
    for (std::uint8_t i = 0; i < 40; ++i) tenants_.push_back(KeyOf(static_cast<std::uint8_t>(10 + i)));
    registry::SqliteOptions options;
    options.file.path = folder_.Path("market.sqlite");
    store_ = std::move(registry::OpenSqliteStore(options)).value();
    Start();
    messages::GreetT greet;
    greet.version_min = greet.version_max = kMarketVersion;
    for (const security::SigningKey& tenant : tenants_) EXPECT_EQ(Ask(tenant, greet).code, 0);
    EXPECT_EQ(Ask(server_, ServerWith("s", 2, 1, 10)).code, 0);
    const auto& record = std::get<SlotRecord>(desk_->book().All(Family::kSlot).begin()->second);
    class_name_ = record.class_name();
    reserve_ = record.reserve_price;
  }

  void Start() {
    DeskOptions desk;
    desk.urls = {"tcp://127.0.0.1:1"};
    desk.is_alone = desk.keeps_order = true;
    desk.welcome_credits = 1'000'000'000;
    desk.epoch = std::chrono::milliseconds(20);
    Result<std::unique_ptr<EpochLedger>> ledger = EpochLedger::Open(folder_.Path("ledger"), market_);
    ASSERT_TRUE(ledger.ok()) << ledger.status().ToString();
    ledger_ = std::move(*ledger);
    desk.epoch_log = ledger_.get();
    Desk::World world;
    world.post = [this](std::function<void()> what) { mailbox_.Post(std::move(what)); };
    world.send = [this](const Peer&, const Bytes& bytes) {
      Result<messages::FromMarketT> message = DecodeFromMarket(bytes);
      ASSERT_TRUE(message.ok()) << message.status().ToString();
      if (message->push != nullptr) pushes_.push_back(std::move(message->push->body));
      if (message->reply != nullptr) replies_[message->reply->number] = std::move(*message->reply);
    };
    world.local = [this](const std::string& identity) -> std::optional<IdentityRecord> {
      if (identity == Hex(server_)) return IdentityRecord{"server", MarketRole::kProvider, false};
      return IdentityRecord{"tenant", MarketRole::kTenant, false};
    };
    desk_.emplace(std::move(desk), *store_, market_, std::move(world), 1);
    EXPECT_TRUE(Until([this] { return desk_->is_leading(); }));
  }

  std::int64_t Now() const {
    return 1'000'000 + std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - began_).count();
  }
  bool Until(const std::function<bool()>& done) {
    const Deadline deadline = Deadline::After(std::chrono::seconds(10));
    while (!done()) {
      if (deadline.passed()) return false;
      mailbox_.Run();
      desk_->Tick(Clock::now(), Now());
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return true;
  }
  template <typename Body>
  std::uint64_t Send(const security::SigningKey& who, Body body) {
    messages::RequestT request;
    request.number = ++number_;
    request.body.Set(std::move(body));
    desk_->OnMessage(Hex(who).substr(0, 8), Hex(who), EncodeRequest(request));
    desk_->Flush();
    return request.number;
  }
  messages::ReplyT Await(std::uint64_t number) {
    messages::ReplyT none;
    none.code = 999;
    return Until([&] { return replies_.contains(number); }) ? std::move(replies_[number]) : std::move(none);
  }
  template <typename Body>
  messages::ReplyT Ask(const security::SigningKey& who, Body body) {
    return Await(Send(who, std::move(body)));
  }
  std::string Lease(const security::SigningKey& who, const std::string& request) {
    const messages::ReplyT reply = Ask(who, AskFor(request));
    if (reply.code != 0 || reply.body.AsGrants()->granted.empty()) return "";
    return reply.body.AsGrants()->granted.front()->lease->id;
  }
  messages::OrderT Order(const security::SigningKey& owner, messages::OrderKind kind) {
    messages::OrderT order;
    order.kind = kind;
    order.market = Hex(market_);
    order.owner = Hex(owner);
    order.operation_id = MakeOperationId();
    order.number = ++orders_;
    order.valid_until_ms = Now() + 60'000;
    return order;
  }
  messages::OrderT AskOrder(const security::SigningKey& owner, const std::string& lease, std::int64_t price) {
    messages::OrderT order = Order(owner, messages::OrderKind::Ask);
    order.lease = lease;
    order.price_microcredits_per_hour = price;
    return order;
  }
  messages::OrderT BidOrder(const security::SigningKey& owner, std::uint32_t share, std::int64_t price) {
    messages::OrderT order = Order(owner, messages::OrderKind::Bid);
    order.class_name = class_name_;
    order.share_milli = share;
    order.price_microcredits_per_hour = price;
    order.holder_key.assign(32, 5);
    return order;
  }
  messages::ReplyT Place(const security::SigningKey& owner, const messages::OrderT& order, std::int64_t wait_us = 0) {
    messages::PlaceOrderT placed = SignOrder(order, owner);
    placed.wait_us = wait_us;
    return Ask(owner, std::move(placed));
  }
  void Stop() {
    desk_.reset();
    ledger_.reset();
  }
  // Anybody can clear every epoch again, and comes to the same.
  ledger::FolderReport Verify() {
    ledger::FolderCheck check;
    check.log = {"accelmesh-market", market_.public_key()};
    check.market = Hex(market_);
    Result<ledger::FolderReport> report = ledger::VerifyFolder(folder_.Path("ledger"), check, ledger::MarketOrders());
    EXPECT_TRUE(report.ok()) << report.status().ToString();
    if (!report.ok()) return {};
    EXPECT_TRUE(report->discrepancy.ok()) << report->place << ": " << report->discrepancy.ToString();
    return std::move(*report);
  }
  std::int64_t Owned() const { return desk_->book().sums().balance + desk_->book().sums().held; }

  registry::ScratchFolder folder_;
  const security::SigningKey market_;
  const security::SigningKey server_;
  std::vector<security::SigningKey> tenants_;
  Mailbox mailbox_;
  std::map<std::uint64_t, messages::ReplyT> replies_;
  std::vector<messages::PushBodyUnion> pushes_;
  std::unique_ptr<registry::Registry> store_;
  std::unique_ptr<EpochLedger> ledger_;
  std::optional<Desk> desk_;
  std::uint64_t number_ = 0;
  std::uint64_t orders_ = 0;
  const Instant began_ = Clock::now();
  std::string class_name_;
  std::int64_t reserve_ = 0;
};

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
