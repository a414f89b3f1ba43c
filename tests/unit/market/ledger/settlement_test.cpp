// Settlements as they are written, and each way of settling an epoch otherwise than it was cleared.
#include "market/ledger/settlement.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "market/ledger/entry.h"
#include "market/ledger/folder_store.h"
#include "market/ledger/market_orders.h"
#include "tests/unit/market/ledger/epoch_world.h"
#include "tests/unit/market/ledger/scratch.h"

namespace accelmesh::market::ledger {
namespace {

using testing::HasSubstr;

// The charge as it is written in docs: of the share, then of the time, each up to the next microcredit.
std::int64_t Charge(std::int64_t price, std::int64_t units, std::int64_t ms) {
  const std::int64_t share = (price * units + 999) / 1000;
  return (share * ms + 3'599'999) / 3'600'000;
}

// What an honest market writes of a bid: each trade is of a seller that keeps nothing in escrow.
SettledBid Honest(std::uint32_t rank, const ClearedBid& cleared, std::int64_t ms) {
  SettledBid settled;
  settled.bid = rank;
  std::map<std::array<std::uint8_t, 32>, Posting> postings;
  std::int64_t paid = 0;
  std::int64_t pool = 0;
  for (const auto& [place, trade] : cleared.trades) {
    SettledTrade one;
    one.trade = place;
    one.units_milli = trade.units_milli;
    one.ms = ms;
    one.paid = Charge(trade.price_buyer_microcredits, trade.units_milli, ms);
    one.pool = one.paid - Charge(trade.price_seller_microcredits, trade.units_milli, ms);
    paid += one.paid;
    pool += one.pool;
    settled.trades.push_back(one);
  }
  if (cleared.surcharge_nanocredits > 0) {
    settled.surcharge_ms = ms;
    settled.surcharge = (cleared.surcharge_nanocredits / 1000 * ms + 3'599'999) / 3'600'000;
  }
  const std::int64_t to_pool = pool + settled.surcharge;
  const security::PublicKey seller = KeyOf(77).public_key();
  if (to_pool != 0) postings[{}] = {{}, to_pool, 0, 0};
  postings[cleared.buyer.bytes] = {cleared.buyer, -paid - settled.surcharge, 5, 0};
  postings[seller.bytes] = {seller, paid - pool - 5, 0, 0};
  for (const auto& [key, posting] : postings) settled.postings.push_back(posting);
  return settled;
}

class SettlementTest : public testing::Test {
 protected:
  SettlementTest() {
    cleared_.buyer = KeyOf(100).public_key();
    cleared_.surcharge_nanocredits = 2'500'000;
    for (std::uint32_t place : {3U, 8U}) {
      auction::Trade& trade = cleared_.trades[place];
      trade.units_milli = 333;
      trade.price_buyer_microcredits = 1'000'001;
      trade.price_seller_microcredits = 900'007;
    }
    settled_ = Honest(4, cleared_, 100'001);
  }
  std::string Fault(const std::function<void(SettledBid&)>& change) const {
    SettledBid settled = settled_;
    change(settled);
    const Status status = CheckSettled(settled, cleared_);
    EXPECT_TRUE(status.ok() || status.code() == Code::kPermissionDenied);
    return status.ok() ? "" : status.text();
  }
  Posting& PostingOf(SettledBid& settled, const security::PublicKey& key) const {
    for (Posting& posting : settled.postings) {
      if (posting.account == key) return posting;
    }
    std::abort();
  }
  ClearedBid cleared_;
  SettledBid settled_;
};

TEST_F(SettlementTest, AnHonestOneHoldsAndOthersAreNamed) {
  EXPECT_EQ(Fault([](SettledBid&) {}), "");
  EXPECT_THAT(Fault([](SettledBid& bid) { bid.trades.pop_back(); }), HasSubstr("1 trades were settled of 2"));
  EXPECT_THAT(Fault([](SettledBid& bid) { bid.trades[0].trade = 4; }), HasSubstr("trade 4 was not cleared"));
  EXPECT_THAT(Fault([](SettledBid& bid) { ++bid.trades[0].units_milli; }), HasSubstr("cleared for 333"));
  EXPECT_THAT(Fault([](SettledBid& bid) { ++bid.trades[1].paid; }), HasSubstr("at the price that was cleared"));
  EXPECT_THAT(Fault([](SettledBid& bid) { --bid.trades[1].pool; }), HasSubstr("what the seller does not get"));
  EXPECT_THAT(Fault([](SettledBid& bid) { bid.trades[1].ms = 16 * 60'000; }), HasSubstr("a time that no lease has"));
  EXPECT_THAT(Fault([](SettledBid& bid) { bid.trades[1].ms = 0; }), HasSubstr("a time that no lease has"));
  EXPECT_THAT(Fault([](SettledBid& bid) { ++bid.surcharge; }), HasSubstr("a surcharge of "));
  // One that begins later has the pool's part in escrow until then.
  EXPECT_THAT(Fault([](SettledBid& bid) { bid.trades[0].begins_later = true; }), HasSubstr("the pool was given"));
  const security::PublicKey buyer = cleared_.buyer;
  const security::PublicKey seller = KeyOf(77).public_key();
  EXPECT_THAT(Fault([&](SettledBid& bid) { ++PostingOf(bid, seller).balance; }), HasSubstr("made or lost"));
  EXPECT_THAT(Fault([&](SettledBid& bid) {
                --PostingOf(bid, buyer).balance;
                ++PostingOf(bid, seller).balance;
              }),
              HasSubstr("charged more than the trades cost"));
  EXPECT_THAT(Fault([&](SettledBid& bid) {
                ++PostingOf(bid, {}).balance;
                --PostingOf(bid, seller).balance;
              }),
              HasSubstr("the pool was given"));
  // On a slot of its own the buyer is paid as the provider.
  EXPECT_EQ(Fault([&](SettledBid& bid) {
              PostingOf(bid, buyer).balance += 9;
              PostingOf(bid, seller).balance -= 9;
            }),
            "");
}

TEST_F(SettlementTest, NumbersAtTheirBoundsOverflowNothing) {
  for (auto& [place, trade] : cleared_.trades) {
    trade.price_buyer_microcredits = trade.price_seller_microcredits = std::int64_t{1} << 62;
    trade.units_milli = std::int64_t{1} << 40;
  }
  EXPECT_FALSE(CheckSettled(settled_, cleared_).ok());
  for (SettledTrade& trade : settled_.trades) trade.units_milli = std::int64_t{1} << 40;
  for (Posting& posting : settled_.postings) posting.balance = posting.held = std::int64_t{1} << 62;
  EXPECT_FALSE(CheckSettled(settled_, cleared_).ok());
}

TEST_F(SettlementTest, ItHasOneEncodingAndIsSplitWhereItIsTooLong) {
  Settlement settlement{7, {}};
  std::mt19937 random(5);
  for (std::uint32_t rank = 0; rank < 900; ++rank) {
    SettledBid bid = settled_;
    bid.bid = rank;
    if (random() % 3 == 0) bid.trades.pop_back();
    settlement.bids.push_back(bid);
  }
  EXPECT_EQ(EntryBytes(settlement).code(), Code::kInvalidArgument) << "too long for one";
  const std::vector<Settlement> parts = SplitSettlement(settlement);
  EXPECT_GT(parts.size(), 2U);
  std::vector<SettledBid> together;
  for (const Settlement& part : parts) {
    const Bytes bytes = EntryBytes(part).value();
    const Entry read = ParseEntry(bytes).value();
    EXPECT_EQ(std::get<Settlement>(read), part);
    EXPECT_EQ(part.number, 7U);
    together.insert(together.end(), part.bids.begin(), part.bids.end());
  }
  EXPECT_EQ(together, settlement.bids);

  const Bytes bytes = EntryBytes(Settlement{7, {settled_}}).value();
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_FALSE(ParseEntry(ByteView(bytes).first(size)).ok()) << size;
  }
  for (std::size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    Bytes other = bytes;
    other[bit / 8] ^= static_cast<std::uint8_t>(1 << bit % 8);
    const Result<Entry> read = ParseEntry(other);
    if (!read.ok()) continue;
    EXPECT_EQ(EntryBytes(*read).value(), other) << bit;
  }
  std::swap(settlement.bids[0], settlement.bids[1]);
  settlement.bids.resize(2);
  EXPECT_FALSE(CheckSettlement(settlement).ok()) << "not in its order";
}

// In a whole ledger: what was cleared is settled once, and as it was cleared.
class SettledLedgerTest : public testing::Test {
 protected:
  SettledLedgerTest() : world_(std::move(OpenFolder(scratch_.Path("ledger"), Access::kAppend)).value(), 3) {
    world_.PostAsks(5);
    const EpochRecord record = world_.RunEpoch(30, 3);
    const auction::EpochOutcome outcome = auction::ClearEpoch(record.input).value();
    settlement_.number = record.input.number;
    std::map<std::uint32_t, ClearedBid> bids;
    for (std::size_t place = 0; place < outcome.trades.size(); ++place) {
      const auction::Trade& trade = outcome.trades[place];
      if (trade.lane == auction::Lane::kNetted) continue;
      ClearedBid& bid = bids[static_cast<std::uint32_t>(trade.bid)];
      bid.buyer = record.parties[trade.buyer];
      bid.trades[static_cast<std::uint32_t>(place)] = trade;
      ++trades_;
    }
    for (const auction::GangAward& award : outcome.gangs) {
      bids[static_cast<std::uint32_t>(award.gang)].surcharge_nanocredits = award.surcharge_nanocredits;
    }
    for (const auto& [rank, bid] : bids) settlement_.bids.push_back(Honest(rank, bid, 60'000));
  }
  std::string Fault(const Settlement& settlement) {
    EXPECT_TRUE(world_.ledger().AppendSettlement(settlement).ok());
    const FolderReport report = Verify();
    return report.discrepancy.ok() ? "" : report.discrepancy.text();
  }
  FolderReport Verify() const {
    const Result<FolderReport> report = VerifyFolder(scratch_.Path("ledger"), world_.check(), MarketOrders());
    EXPECT_TRUE(report.ok()) << report.status().ToString();
    return report.ok() ? *report : FolderReport();
  }
  const Scratch scratch_;
  EpochWorld world_;
  Settlement settlement_;
  std::uint64_t trades_ = 0;
};

TEST_F(SettledLedgerTest, AnHonestOneHoldsAndIsCounted) {
  ASSERT_GE(settlement_.bids.size(), 2U);
  EXPECT_EQ(Fault(settlement_), "");
  const FolderReport report = Verify();
  EXPECT_EQ(report.facts.trades_settled, trades_);
  EXPECT_EQ(report.facts.settlements, 1U);
  world_.RunEpoch(3);
  EXPECT_TRUE(Verify().discrepancy.ok());
  EXPECT_THAT(Fault(settlement_), HasSubstr("it was not cleared, or was settled before"));
}

TEST_F(SettledLedgerTest, OneThatIsSettledOtherwiseIsFound) {
  ++settlement_.bids[1].trades[0].paid;
  EXPECT_THAT(Fault(settlement_),
              HasSubstr("epoch 1: the settlement of bid " + std::to_string(settlement_.bids[1].bid)));
}

TEST_F(SettledLedgerTest, OneOfNoEpochIsFound) {
  settlement_.number = 9;
  EXPECT_THAT(Fault(settlement_), HasSubstr("epoch 9: "));
}

}  // namespace
}  // namespace accelmesh::market::ledger
