#include "market/ledger/ledger.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/market/ledger/epoch_world.h"
#include "tests/unit/market/ledger/scratch.h"

namespace accelmesh::market::ledger {
namespace {

std::unique_ptr<Ledger> MakeLedger() {
  return std::move(Ledger::Open(std::make_unique<MemoryStore>(), "market.example/log", KeyOf(1))).value();
}
SignedOrder OrderOf(const std::string& text) { return {BytesOf(text), {}, std::nullopt}; }

TEST(LedgerTest, TheSealHasAllOrdersByRankBeforeAnythingIsCleared) {
  const std::unique_ptr<Ledger> ledger = MakeLedger();
  const std::vector<SignedOrder> asks{OrderOf("ask 1"), OrderOf("ask 2"), OrderOf("ask 3")};
  const std::vector<PostedOrder> standing = ledger->Post(asks).value();
  ASSERT_EQ(standing.size(), 3u);
  EXPECT_EQ(standing[2].index, 2u);
  const std::vector<SignedOrder> bids{OrderOf("bid 1"), OrderOf("bid 2")};
  const SealedEpoch sealed = ledger->Seal(7, 99, bids, standing).value();
  EXPECT_EQ(sealed.index, 5u);
  ASSERT_EQ(sealed.orders.size(), 5u);
  std::vector<Hash> leaves;
  for (std::size_t rank = 0; rank < 5; ++rank) {
    const Bytes entry = ledger->log().Entry(sealed.orders[rank].index).value();
    EXPECT_EQ(LeafHash(entry), sealed.orders[rank].leaf);
    leaves.push_back(sealed.orders[rank].leaf);
  }
  EXPECT_TRUE(std::is_sorted(leaves.begin(), leaves.end()));
  EXPECT_EQ(sealed.orders[sealed.ranks[0]].index, 3u) << "the first new one";
  EXPECT_EQ(sealed.orders[sealed.ranks[2]].index, 0u) << "the first standing one";
  const Entry entry = ParseEntry(ledger->log().Entry(5).value()).value();
  EXPECT_EQ(std::get<Seal>(entry), (Seal{7, 99, 5, OrdersRoot(leaves)}));
  EXPECT_EQ(VerifyCheckpoint(sealed.note, ledger->log().key(), {})->checkpoint.head, ledger->log().head());
}

TEST(LedgerTest, AnOrderCountsOnceInAnEpoch) {
  const std::unique_ptr<Ledger> ledger = MakeLedger();
  const std::vector<SignedOrder> twice{OrderOf("bid"), OrderOf("bid")};
  EXPECT_EQ(ledger->Seal(1, 1, twice, {}).code(), Code::kInvalidArgument);
  const std::vector<PostedOrder> posted = ledger->Post(std::span(twice).first(1)).value();
  EXPECT_EQ(ledger->Seal(1, 1, std::span(twice).first(1), posted).code(), Code::kInvalidArgument);
  EXPECT_EQ(ledger->log().size(), 1u) << "nothing was written";
  EXPECT_TRUE(ledger->Seal(1, 1, {}, posted).ok());
  EXPECT_TRUE(ledger->Seal(2, 2, {}, {}).ok()) << "an epoch without orders";
}

TEST(LedgerTest, MoreOrdersThanAreAppendedAtOnceAreSealedAllTheSame) {
  const std::unique_ptr<Ledger> ledger = MakeLedger();
  std::vector<SignedOrder> bids;
  const std::string padding(kSignedOrderBytesMax - 8, ' ');
  for (std::size_t bytes = 0; bytes <= kBatchBytesMax; bytes += kSignedOrderBytesMax) {
    bids.push_back(OrderOf(padding + std::to_string(bids.size())));
  }
  const Result<SealedEpoch> sealed = ledger->Seal(1, 1, bids, {});
  ASSERT_TRUE(sealed.ok()) << sealed.status().ToString();
  EXPECT_EQ(sealed->index, bids.size());
  EXPECT_EQ(ledger->log().size(), bids.size() + 1);
  EXPECT_EQ(VerifyCheckpoint(sealed->note, ledger->log().key(), {})->checkpoint.head, ledger->log().head());
  const PostedOrder& first = sealed->orders[sealed->ranks.front()];
  EXPECT_EQ(LeafHash(ledger->log().Entry(first.index).value()), first.leaf);
}

TEST(LedgerTest, ReceiptsWithoutBothSignaturesAreNotWritten) {
  const std::unique_ptr<Ledger> ledger = MakeLedger();
  CounterSignedReceipt receipt;
  receipt.receipt.market = "market.example/log";
  receipt.receipt.lease = "lease";
  receipt.receipt.slot_class = "class";
  receipt.receipt.provider = KeyOf(1).public_key();
  receipt.receipt.buyer = KeyOf(2).public_key();
  receipt.receipt.end_ms = 1;
  receipt.provider = SignReceipt(receipt.receipt, ReceiptSide::kProvider, KeyOf(1));
  EXPECT_EQ(ledger->AppendReceipts({&receipt, 1}).code(), Code::kPermissionDenied);
  receipt.buyer = SignReceipt(receipt.receipt, ReceiptSide::kBuyer, KeyOf(2));
  EXPECT_TRUE(ledger->AppendReceipts({&receipt, 1}).ok());
  EXPECT_EQ(ledger->log().size(), 1u);
}

}  // namespace
}  // namespace accelmesh::market::ledger
