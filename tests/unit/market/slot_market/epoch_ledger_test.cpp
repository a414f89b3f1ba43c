// The ledger behind a desk by itself: what it hides after an error of the disk, and of whom how many orders are due.
#include "market/slot_market/epoch_ledger.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <thread>

#include "market/client/orders.h"
#include "market/ledger/tile.h"
#include "protocol/base/log.h"
#include "tests/conformance/registry/world.h"

namespace accelmesh::market {
namespace {

using testing::Each;
using testing::IsEmpty;
using testing::Not;
using testing::SizeIs;

constexpr std::int64_t kNowMs = 1'790'000'000'000;
constexpr std::int64_t kValidMs = 60'000;
constexpr std::size_t kDueOfOne = 1024;

security::SigningKey KeyOf(std::uint8_t number) {
  return std::move(security::SigningKey::FromSeed(Bytes(security::kKeyBytes, number))).value();
}

class EpochLedgerTest : public testing::Test {
 protected:
  EpochLedgerTest() {
    log::SetSink([](log::Level, std::string_view) {});
    Open();
  }
  void Open() {
    ledger_.reset();
    Result<std::unique_ptr<EpochLedger>> ledger = EpochLedger::Open(folder_.Path("ledger"), market_);
    ASSERT_TRUE(ledger.ok()) << ledger.status().ToString();
    ledger_ = std::move(*ledger);
  }
  SignedOrderBytes Order(const security::SigningKey& owner, messages::OrderKind kind) {
    messages::OrderT order;
    order.kind = kind;
    order.market = security::HexOf(market_.public_key().bytes);
    order.owner = security::HexOf(owner.public_key().bytes);
    order.operation_id = MakeOperationId();
    order.number = ++orders_;
    order.valid_until_ms = kNowMs + kValidMs;
    if (kind == messages::OrderKind::Bid) {
      order.class_name = "cpu/Device";
      order.share_milli = 100;
      order.holder_key.assign(32, 5);
    } else {
      order.lease = "lease";
    }
    order.price_microcredits_per_hour = 1000;
    const messages::PlaceOrderT placed = SignOrder(order, owner);
    return {{placed.order.begin(), placed.order.end()}, {placed.signature.begin(), placed.signature.end()}};
  }
  std::vector<SignedOrderBytes> Asks(const security::SigningKey& owner, std::size_t count) {
    std::vector<SignedOrderBytes> asks;
    for (std::size_t i = 0; i < count; ++i) asks.push_back(Order(owner, messages::OrderKind::Ask));
    return asks;
  }
  // Again until it can be written.
  std::vector<std::string> Take(const std::vector<SignedOrderBytes>& orders) {
    Result<std::vector<std::string>> promises = ledger_->Take(orders, kNowMs);
    for (int i = 0; i < 200 && !promises.ok(); ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
      promises = ledger_->Take(orders, kNowMs);
    }
    EXPECT_TRUE(promises.ok()) << promises.status().ToString();
    return promises.ok() ? *promises : std::vector<std::string>();
  }
  // An epoch that has what is due, and clears nothing.
  void RunEpoch() {
    const std::uint64_t number = ledger_->last_number() + 1;
    const Result<SealedOrders> sealed = ledger_->Seal(number, kNowMs, {}, {});
    ASSERT_TRUE(sealed.ok()) << sealed.status().ToString();
    EpochPlan plan;
    plan.input.number = number;
    plan.signed_orders = sealed->count;
    const Status recorded = ledger_->Record(plan, {}, kNowMs, 0, 0);
    ASSERT_TRUE(recorded.ok()) << recorded.ToString();
  }
  std::uint64_t Readable(std::int64_t now_ms) { return ledger_->Read(0, now_ms).value().readable; }

  const registry::ScratchFolder folder_;
  const security::SigningKey market_ = KeyOf(1);
  const security::SigningKey first_ = KeyOf(2);
  const security::SigningKey second_ = KeyOf(3);
  std::unique_ptr<EpochLedger> ledger_;
  std::uint64_t orders_ = 0;
};

// The journal has them; what failed was to write the tile that they completed.
TEST_F(EpochLedgerTest, BidsOfACallThatFailedAreInTheLedgerAndHidden) {
  const std::uint64_t before = ledger::kTileWidth - 1;
  Take(Asks(first_, before));
  ASSERT_EQ(Readable(kNowMs), before);
  const std::string tile = folder_.Path("ledger/" + PathOf(ledger::TileName{.is_entries = true}));
  std::filesystem::create_directories(tile);
  const SignedOrderBytes bid = Order(second_, messages::OrderKind::Bid);
  ASSERT_FALSE(ledger_->Take({bid}, kNowMs).ok());
  std::filesystem::remove(tile);
  EXPECT_THAT(Take({bid}), SizeIs(1));
  EXPECT_EQ(ledger_->due(), before + 1) << "it was taken by the call that failed";
  EXPECT_EQ(Readable(kNowMs), before);
  EXPECT_EQ(Readable(kNowMs + kValidMs - 1), before);
  // As it stands it is in no epoch for the first time.
  RunEpoch();
  EXPECT_EQ(Readable(kNowMs + kValidMs - 1), before);
  EXPECT_GT(Readable(kNowMs + kValidMs), before + 1);
}

// What is hidden is forgotten by epochs, too, and not only by whoever reads: an earlier look finds nothing of it.
TEST_F(EpochLedgerTest, WhatIsHiddenIsForgottenWhenNobodyReads) {
  Take({Order(first_, messages::OrderKind::Bid)});
  ASSERT_TRUE(ledger_->Seal(1, kNowMs, {}, {}).ok());
  EXPECT_EQ(Readable(kNowMs), 0U);
  ASSERT_TRUE(ledger_->Seal(2, kNowMs + kValidMs, {}, {}).ok());
  EXPECT_EQ(Readable(kNowMs), 3U);
}

TEST_F(EpochLedgerTest, OneOwnerDoesNotTakeTheRoomOfOthers) {
  const std::vector<SignedOrderBytes> asks = Asks(first_, kDueOfOne);
  EXPECT_THAT(Take(asks), Each(Not(IsEmpty())));
  const SignedOrderBytes more = Order(first_, messages::OrderKind::Ask);
  std::vector<std::string> promises = Take({more, Order(second_, messages::OrderKind::Ask), more, asks.front()});
  ASSERT_THAT(promises, SizeIs(4));
  EXPECT_THAT(promises[0], IsEmpty());
  EXPECT_THAT(promises[1], Not(IsEmpty()));
  EXPECT_THAT(promises[2], IsEmpty());
  EXPECT_THAT(promises[3], Not(IsEmpty())) << "it was taken before";
  EXPECT_EQ(ledger_->due(), kDueOfOne + 1);
  // As many after a start, and none when an epoch has had them.
  Open();
  EXPECT_THAT(Take({more})[0], IsEmpty());
  RunEpoch();
  EXPECT_EQ(ledger_->due(), 0U);
  EXPECT_THAT(Take({more})[0], Not(IsEmpty()));
}

TEST_F(EpochLedgerTest, OneOwnerMayHaveSoManyOfOneCall) {
  const std::vector<std::string> promises = Take(Asks(first_, kDueOfOne + 2));
  ASSERT_THAT(promises, SizeIs(kDueOfOne + 2));
  EXPECT_THAT(promises[kDueOfOne - 1], Not(IsEmpty()));
  EXPECT_THAT(promises[kDueOfOne], IsEmpty());
  EXPECT_THAT(promises[kDueOfOne + 1], IsEmpty());
}

}  // namespace
}  // namespace accelmesh::market
