// A desk on a SQLite store, with a ledger, to which forty tenants bring signed orders; a server offers it two devices.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <thread>

#include "market/client/orders.h"
#include "market/desk/desk.h"
#include "market/ledger/folder_store.h"
#include "market/ledger/market_orders.h"
#include "market/ledger/verify_folder.h"
#include "market/registry/sqlite/sqlite_store.h"
#include "market/slot_market/epoch_ledger.h"
#include "market/slot_market/mailbox.h"
#include "protocol/base/log.h"
#include "tests/conformance/registry/world.h"
#include "tests/integration/market/market_messages.h"

namespace accelmesh::market {

inline security::SigningKey KeyOf(std::uint8_t number) {
  return std::move(security::SigningKey::FromSeed(Bytes(security::kKeyBytes, number))).value();
}
inline std::string Hex(const security::SigningKey& key) { return security::HexOf(key.public_key().bytes); }
constexpr std::uint16_t Of(Code code) { return static_cast<std::uint16_t>(code); }

class TradingTest : public testing::Test {
 protected:
  TradingTest() : market_(KeyOf(1)), server_(KeyOf(2)), admin_(KeyOf(3)) {
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
    if (change_options_) change_options_(desk);
    Desk::World world;
    world.post = [this](std::function<void()> what) { mailbox_.Post(std::move(what)); };
    world.send = [this](const Peer&, const Bytes& bytes) {
      Result<messages::FromMarketT> message = DecodeFromMarket(bytes);
      ASSERT_TRUE(message.ok()) << message.status().ToString();
      if (message->push != nullptr) pushes_.push_back(std::move(message->push->body));
      if (message->reply != nullptr) replies_[message->reply->number] = std::move(*message->reply);
    };
    world.local = [this](const std::string& identity) -> std::optional<IdentityRecord> {
      if (identity == Hex(server_)) return IdentityRecord{"server", MarketRole::kProvider, false, 0, {}};
      if (identity == Hex(admin_)) return IdentityRecord{"admin", MarketRole::kAdmin, false, 0, {}};
      return IdentityRecord{"tenant", MarketRole::kTenant, false, 0, {}};
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
  // For so many whole devices together.
  messages::OrderT WholeGang(const security::SigningKey& owner, int devices, std::int64_t value,
                             std::int64_t notice_us) {
    messages::OrderT gang = BidOrder(owner, 0, 0);
    gang.class_name.clear();
    gang.notice_us = notice_us;
    gang.bundles.push_back(std::make_unique<messages::BundleT>());
    gang.bundles.back()->value_microcredits_per_hour = value;
    for (int i = 0; i < devices; ++i) {
      gang.bundles.back()->parts.push_back(std::make_unique<messages::PartT>());
      gang.bundles.back()->parts.back()->class_name = class_name_;
      gang.bundles.back()->parts.back()->share_milli = 1000;
    }
    return gang;
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
  std::int64_t Owned() const { return desk_->book().sums().all(); }

  registry::ScratchFolder folder_;
  const security::SigningKey market_;
  const security::SigningKey server_;
  const security::SigningKey admin_;
  std::function<void(DeskOptions&)> change_options_;  // of the next Start()
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

}  // namespace accelmesh::market
