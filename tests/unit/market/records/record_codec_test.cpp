#include "market/records/record_codec.h"

#include <gmock/gmock.h>

#include <random>

#include "market/registry/epochs.h"

namespace accelmesh::market {
namespace {

LeaseRecord SomeLease() {
  LeaseRecord lease;
  lease.slot = "s/0";
  lease.server = std::string(64, 'a');
  lease.tenant = std::string(64, 'b');
  lease.epoch = 7;
  lease.share_milli = 250;
  lease.memory_bytes = 1ULL << 40;
  lease.price_per_hour = 5;
  lease.not_before_ms = 1;
  lease.not_after_ms = 2;
  lease.paid_until_ms = 3;
  lease.held = 4;
  lease.paid = 5;
  lease.returned = 6;
  lease.state = LeaseState::kServerLost;
  lease.ended_ms = 8;
  lease.holder_key = std::string(32, '\0');
  lease.request = "1 TOPS";
  lease.why = "because";
  lease.last_operation = "00ff";
  return lease;
}

// Everything of a record comes back: encoded again, it is the same bytes.
void ExpectSame(const RecordKey& key, const Record& record) {
  const std::string bytes = EncodeRecord(record);
  Result<Record> back = DecodeRecord(key, bytes);
  ASSERT_TRUE(back.ok()) << back.status().ToString();
  EXPECT_EQ(EncodeRecord(*back), bytes);
}

TEST(RecordCodecTest, WhatIsWrittenIsRead) {
  const Result<Record> lease = DecodeRecord({Family::kLease, "x"}, EncodeRecord(SomeLease()));
  ASSERT_TRUE(lease.ok());
  const auto& read = std::get<LeaseRecord>(*lease);
  EXPECT_EQ(read.holder_key, std::string(32, '\0'));
  EXPECT_EQ(read.state, LeaseState::kServerLost);
  EXPECT_EQ(read.returned, 6);
  EXPECT_EQ(read.last_operation, "00ff");
  ExpectSame({Family::kLease, "x"}, SomeLease());

  LeaseRecord sold = SomeLease();
  sold.ask = {true, 3, 5, 100, 1ULL << 40, 1000, 77, std::string("\0order", 6), std::string(64, 's')};
  sold.bought = {"other", 200, 8, 1, 2};
  sold.successor = "next";
  const Result<Record> read_sold = DecodeRecord({Family::kLease, "x"}, EncodeRecord(sold));
  ASSERT_TRUE(read_sold.ok());
  const auto& ask = std::get<LeaseRecord>(*read_sold).ask;
  EXPECT_TRUE(ask.is_posted);
  EXPECT_EQ(ask.number, 3U);
  EXPECT_EQ(ask.order, sold.ask.order);
  EXPECT_EQ(std::get<LeaseRecord>(*read_sold).bought.from, "other");
  EXPECT_EQ(std::get<LeaseRecord>(*read_sold).bought.seller_part, 2);
  EXPECT_EQ(std::get<LeaseRecord>(*read_sold).successor, "next");
  ExpectSame({Family::kLease, "x"}, sold);
  ReportRecord report{4, 5, 6, {{"cpu/D", "none", "why", 1, 2, 3, 4, 5}}, {}};
  report.trades.push_back({"cpu/D", "s/0", "from", "lease", "a", "b", "auction", 100, 2, 1, 3, 4});
  const Result<Record> read_report = DecodeRecord({Family::kReport, "4"}, EncodeRecord(report));
  ASSERT_TRUE(read_report.ok());
  EXPECT_EQ(std::get<ReportRecord>(*read_report).trades.front().paid, 3);
  EXPECT_EQ(std::get<ReportRecord>(*read_report).classes.front().trades, 5U);
  ExpectSame({Family::kReport, "4"}, report);

  SlotRecord slot;
  slot.slot.id = "s/0";
  slot.slot.share_milli = 1000;
  slot.slot.labels = {"a", "b"};
  slot.slot.tags.round_trip_us = {3, 2, 4};
  slot.slot.tags.Throughput(scheduler::Operation::kConvolution, scheduler::NumberType::kFp64) = {1, 0.5, 2};
  slot.via = {"library"};
  slot.is_withdrawn = true;
  const Result<Record> read_slot = DecodeRecord({Family::kSlot, "s/0"}, EncodeRecord(slot));
  ASSERT_TRUE(read_slot.ok());
  EXPECT_EQ(std::get<SlotRecord>(*read_slot).slot.tags.round_trip_us, slot.slot.tags.round_trip_us);
  EXPECT_EQ(std::get<SlotRecord>(*read_slot).slot.tags.operations_per_s, slot.slot.tags.operations_per_s);
  ExpectSame({Family::kSlot, "s/0"}, slot);
  ExpectSame({Family::kServer, "x"}, ServerRecord{"n", {"tcp://a:1"}, std::string(32, 'k'), 5});
  ExpectSame({Family::kAccount, "x"}, AccountRecord{1, 2, 3, {"a", "b"}});
  ExpectSame({Family::kIdentity, "x"}, IdentityRecord{"n", MarketRole::kWitness, true});
  ExpectSame({Family::kPrice, "x"}, PriceRecord{1, 0.5, -0.25, {1, 2}, 9, {{1, 2, 3, 4}}});
  ExpectSame({Family::kEpoch, "x"}, EpochRecord{77});
  const LossRecord loss{5, {{"a", 3}, {"b", 4}}};
  const Result<Record> read_loss = DecodeRecord({Family::kLoss, "x"}, EncodeRecord(loss));
  ASSERT_TRUE(read_loss.ok());
  EXPECT_EQ(std::get<LossRecord>(*read_loss).since_ms, 5);
  EXPECT_EQ(std::get<LossRecord>(*read_loss).claims, loss.claims);
  // What it says is paid.
  EXPECT_FALSE(DecodeRecord({Family::kLoss, "x"}, EncodeRecord(LossRecord{5, {{"a", -1}}})).ok());
  EXPECT_EQ(DecodeLeader(EncodeLeader({{"tcp://a:1"}, "n", 4}))->urls, std::vector<std::string>{"tcp://a:1"});
}

TEST(RecordCodecTest, EpochsLieWhereTheRegistrysRulesHaveThem) {
  EXPECT_EQ(PathOf({Family::kEpoch, "s/0"}), registry::EpochKey("s/0"));
  registry::Entry entry;
  entry.value = EncodeRecord(EpochRecord{12});
  EXPECT_EQ(registry::ReadEpoch(entry)->epoch, 12U);
}

TEST(RecordCodecTest, PathsAreFoundAgain) {
  for (std::size_t i = 0; i < kFamilies; ++i) {
    const RecordKey key{static_cast<Family>(i), "a/b"};
    EXPECT_EQ(ParsePath(PathOf(key)), key);
  }
  EXPECT_FALSE(ParsePath("/leader"));
  EXPECT_FALSE(ParsePath(""));
}

// What somebody else wrote is an error that names the key; never a crash (the sanitizers see to that).
TEST(RecordCodecTest, DamageIsRefused) {
  std::mt19937_64 random(1);
  const std::string good = EncodeRecord(SomeLease());
  for (std::size_t size = 0; size < good.size(); ++size) {
    const Result<Record> cut = DecodeRecord({Family::kLease, "x"}, std::string(good.substr(0, size)));
    if (!cut.ok()) {
      EXPECT_THAT(cut.status().text(), testing::HasSubstr("/lease/x"));
    }
  }
  for (int i = 0; i < 20'000; ++i) {
    std::string bad = good;
    for (int j = 0; j < 3; ++j) bad[random() % bad.size()] = static_cast<char>(random());
    (void)DecodeRecord({Family::kLease, "x"}, bad);
  }
  EXPECT_EQ(DecodeRecord({Family::kAccount, "x"}, good).code(), Code::kBadFrame);
  EXPECT_EQ(DecodeRecord({Family::kEpoch, "x"}, "minus one").code(), Code::kBadFrame);
}

}  // namespace
}  // namespace accelmesh::market
