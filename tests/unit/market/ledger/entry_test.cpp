#include "market/ledger/entry.h"

#include <gtest/gtest.h>

#include <random>

#include "market/ledger/tile.h"
#include "tests/unit/market/ledger/scratch.h"

namespace accelmesh::market::ledger {
namespace {

CounterSignedReceipt SomeReceipt() {
  CounterSignedReceipt receipt;
  receipt.receipt.market = "market.example/log";
  receipt.receipt.lease = "lease-1";
  receipt.receipt.slot_class = "cuda/fast card";
  receipt.receipt.provider = KeyOf(1).public_key();
  receipt.receipt.buyer = KeyOf(2).public_key();
  receipt.receipt.begin_ms = 5;
  receipt.receipt.end_ms = 9;
  receipt.receipt.price_microcredits = 100;
  return receipt;
}

StatedReputation SomeReputation() {
  StatedReputation stated;
  stated.key = KeyOf(3).public_key();
  stated.state.tracks = {
      {ReputationRole::kProvider, ReputationEvent::kDelivered, {UnsignedWide{5} << 64, 7}, {3, 8}},
      {ReputationRole::kBuyer, ReputationEvent::kPaid, {1, 2}, {}},
  };
  stated.state.payers = {{KeyOf(1).public_key(), {9, 10}}, {KeyOf(2).public_key(), {11, 12}}};
  if (stated.state.payers[1].first.bytes < stated.state.payers[0].first.bytes) {
    std::swap(stated.state.payers[0], stated.state.payers[1]);
  }
  return stated;
}

std::vector<Entry> AllKinds() {
  SignedOrder order{BytesOf("order"), {}, std::nullopt};
  order.signature[3] = 7;
  SignedOrder deal = order;
  deal.counter_signature = order.signature;
  return {order,           deal, Seal{7, 99, 3, LeafHash({})}, EpochPart{7, 1, 2, BytesOf("bytes")}, SomeReceipt(),
          SomeReputation()};
}

TEST(EntryTest, EveryKindIsReadBackAndNoOtherBytesMeanTheSame) {
  for (const Entry& entry : AllKinds()) {
    const Bytes bytes = EntryBytes(entry).value();
    EXPECT_EQ(ParseEntry(bytes).value(), entry);
    for (std::size_t size = 0; size < bytes.size(); ++size) {
      EXPECT_EQ(ParseEntry(ByteView(bytes).first(size)).code(), Code::kBadFrame) << size;
    }
    Bytes longer = bytes;
    longer.push_back(0);
    EXPECT_EQ(ParseEntry(longer).code(), Code::kBadFrame);
    for (std::size_t bit = 0; bit < bytes.size() * 8; ++bit) {
      Bytes other = bytes;
      other[bit / 8] ^= static_cast<std::uint8_t>(1 << bit % 8);
      const Result<Entry> read = ParseEntry(other);
      if (!read.ok()) continue;
      EXPECT_FALSE(*read == entry) << bit;
      EXPECT_EQ(EntryBytes(*read).value(), other) << "one encoding";
    }
  }
}

TEST(EntryTest, PartsOutOfTheirBoundsAreRefused) {
  EXPECT_FALSE(EntryBytes(SignedOrder{Bytes(kSignedOrderBytesMax + 1), {}, {}}).ok());
  EXPECT_FALSE(EntryBytes(EpochPart{1, 2, 2, BytesOf("x")}).ok());
  EXPECT_FALSE(EntryBytes(EpochPart{1, 0, 1, {}}).ok());
  EXPECT_FALSE(EntryBytes(EpochPart{1, 0, kPartsMax + 1, BytesOf("x")}).ok());
  EXPECT_FALSE(EntryBytes(EpochPart{1, 0, 1, Bytes(kPartBytesMax + 1)}).ok());
  CounterSignedReceipt receipt = SomeReceipt();
  receipt.receipt.end_ms = 5;
  EXPECT_FALSE(EntryBytes(receipt).ok());
  EXPECT_FALSE(ParseEntry(Bytes(kEntryBytesMax + 1)).ok());
  const auto refused = [](auto change) {
    StatedReputation stated = SomeReputation();
    EXPECT_TRUE(EntryBytes(stated).ok());
    change(stated.state);
    return !EntryBytes(stated).ok();
  };
  EXPECT_TRUE(refused([](ReputationState& state) { state.tracks[0].good.hour = -1; }));
  EXPECT_TRUE(refused([](ReputationState& state) { state.tracks[0].bad.hour = INT64_MAX; }));
  EXPECT_TRUE(refused([](ReputationState& state) { state.tracks[1].good.value = UnsignedWide{1} << 120; }));
  EXPECT_TRUE(refused([](ReputationState& state) { state.payers[1].second.value = UnsignedWide{1} << 120; }));
  EXPECT_TRUE(refused([](ReputationState& state) { std::swap(state.tracks[0], state.tracks[1]); }));
  EXPECT_TRUE(refused([](ReputationState& state) { state.payers[0] = state.payers[1]; }));
  EXPECT_TRUE(refused([](ReputationState& state) { state.tracks[0].event = static_cast<ReputationEvent>(9); }));
  EXPECT_TRUE(refused([](ReputationState& state) { state.payers.resize(kPayersKept + 1); }));
}

TEST(EntryTest, TheRootOfOrdersDoesNotTellTheirOrder) {
  std::mt19937_64 random(1);
  std::vector<Hash> leaves;
  for (std::uint8_t i = 0; i < 50; ++i) leaves.push_back(LeafHash({&i, 1}));
  const Hash root = OrdersRoot(leaves);
  for (int round = 0; round < 20; ++round) {
    std::shuffle(leaves.begin(), leaves.end(), random);
    EXPECT_EQ(OrdersRoot(leaves), root);
  }
  leaves.pop_back();
  EXPECT_NE(OrdersRoot(leaves), root);
  EXPECT_EQ(OrdersRoot({}), EmptyRoot());
}

}  // namespace
}  // namespace accelmesh::market::ledger
