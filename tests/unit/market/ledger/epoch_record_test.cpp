#include "market/ledger/epoch_record.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "market/ledger/epoch_parts.h"
#include "tests/unit/market/ledger/epoch_world.h"
#include "tests/unit/market/ledger/scratch.h"

namespace accelmesh::market::ledger {
namespace {

using testing::HasSubstr;

class EpochRecordTest : public testing::Test {
 protected:
  EpochRecordTest() {
    world_.PostAsks(6);
    record_ = world_.MakeEpoch(9, 2);
    record_.input.classes[1].floors = {{0, 500}, {3, 250}};
  }
  EpochWorld world_{std::make_unique<MemoryStore>(), 3};
  EpochRecord record_;
};

TEST_F(EpochRecordTest, IsReadBackAsItWas) {
  const Bytes bytes = EpochBytes(record_).value();
  const EpochRecord read = ParseEpoch(bytes).value();
  EXPECT_EQ(EpochBytes(read).value(), bytes);
  EXPECT_EQ(read.seal, record_.seal);
  EXPECT_EQ(read.sealed_note, record_.sealed_note);
  EXPECT_EQ(read.parties, record_.parties);
  EXPECT_EQ(read.lease_names, record_.lease_names);
  EXPECT_EQ(read.orders, record_.orders);
  EXPECT_EQ(read.input.seed, record_.input.seed);
  EXPECT_EQ(read.input.asks.size(), 8u);
  EXPECT_EQ(read.input.bids.size(), 9u);
  EXPECT_EQ(read.input.gangs.size(), 2u);
  EXPECT_EQ(read.outcome, record_.outcome);
  EXPECT_EQ(read.credits, record_.credits);
  // What the auction sees is the same.
  EXPECT_EQ(DigestsOf(auction::ClearEpoch(read.input).value()), DigestsOf(auction::ClearEpoch(record_.input).value()));
}

TEST(EpochPartsTest, ComeInTheirOrderAndGoTogether) {
  const EpochPart first{7, 0, 2, {1, 2}};
  const EpochPart second{7, 1, 2, {3}};
  EpochParts parts;
  EXPECT_FALSE(parts.is_open());
  EXPECT_EQ(parts.Take(second).code(), Code::kBadFrame);
  EXPECT_FALSE(parts.Take(first).value().has_value());
  EXPECT_TRUE(parts.is_open());
  EXPECT_EQ(parts.number(), 7u);
  EXPECT_EQ(parts.taken(), 1u);
  EXPECT_EQ(parts.parts(), 2u);
  EXPECT_EQ(parts.Take(second).value(), (Bytes{1, 2, 3}));
  EXPECT_FALSE(parts.is_open());
  EXPECT_EQ(parts.number(), 7u);
  // The next one, of one part; then one whose parts are of others.
  EXPECT_EQ(parts.Take({8, 0, 1, {4}}).value(), Bytes{4});
  for (const EpochPart& other : {EpochPart{9, 1, 2, {3}}, EpochPart{7, 1, 3, {3}}, EpochPart{7, 0, 2, {3}}}) {
    ASSERT_TRUE(parts.Take(first).ok());
    EXPECT_EQ(parts.Take(other).code(), Code::kBadFrame);
    EXPECT_FALSE(parts.is_open());
  }
}

TEST_F(EpochRecordTest, ScoresAreReadBackAndGoWithTheAsks) {
  const Bytes plain = EpochBytes(record_).value();
  EpochWorld::GiveScores(record_, 5, 6);
  const Bytes bytes = EpochBytes(record_).value();
  EXPECT_GT(bytes.size(), plain.size());
  const EpochRecord read = ParseEpoch(bytes).value();
  EXPECT_EQ(read.deliverers, record_.deliverers);
  EXPECT_EQ(read.scores, record_.scores);
  EXPECT_EQ(read.ask_deliverers, record_.ask_deliverers);
  EpochRecord other = record_;
  other.scores.pop_back();
  EXPECT_EQ(EpochBytes(other).code(), Code::kInvalidArgument);
  other = record_;
  other.ask_deliverers.pop_back();
  EXPECT_EQ(EpochBytes(other).code(), Code::kInvalidArgument);
  other = record_;
  other.ask_deliverers[0] = 2;
  EXPECT_EQ(EpochBytes(other).code(), Code::kInvalidArgument);
  other = record_;
  std::swap(other.deliverers[0], other.deliverers[1]);
  EXPECT_EQ(EpochBytes(other).code(), Code::kInvalidArgument);
}

TEST_F(EpochRecordTest, CutOffOrFlippedItIsRefusedOrAnother) {
  EpochWorld::GiveScores(record_, 700'000, 300'000);
  const Bytes bytes = EpochBytes(record_).value();
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_EQ(ParseEpoch(ByteView(bytes).first(size)).code(), Code::kBadFrame) << size;
  }
  for (std::size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    Bytes other = bytes;
    other[bit / 8] ^= static_cast<std::uint8_t>(1 << bit % 8);
    const Result<EpochRecord> read = ParseEpoch(other);
    if (!read.ok()) continue;
    EXPECT_EQ(EpochBytes(*read).value(), other) << "one encoding: " << bit;
  }
  // With what is due, and without scores.
  record_.has_all_due = true;
  record_.left_out = {{0, LeftOut::kGoods}, {2, LeftOut::kExpired}};
  for (const bool has_scores : {true, false}) {
    if (!has_scores) {
      record_.deliverers.clear();
      record_.scores.clear();
      record_.ask_deliverers.clear();
    }
    const Bytes due = EpochBytes(record_).value();
    const EpochRecord read = ParseEpoch(due).value();
    EXPECT_TRUE(read.has_all_due);
    EXPECT_EQ(read.left_out, record_.left_out);
    EXPECT_EQ(read.deliverers, record_.deliverers);
    for (std::size_t size = bytes.size() / 2; size < due.size(); ++size) {
      EXPECT_EQ(ParseEpoch(ByteView(due).first(size)).code(), Code::kBadFrame) << size;
    }
    for (std::size_t at = due.size() - 40; at < due.size(); ++at) {
      Bytes other = due;
      other[at] ^= 0x81;
      const Result<EpochRecord> changed = ParseEpoch(other);
      if (!changed.ok()) continue;
      EXPECT_EQ(EpochBytes(*changed).value(), other) << "one encoding: " << at;
    }
  }
  Bytes longer = bytes;
  longer.push_back(0);
  EXPECT_FALSE(ParseEpoch(longer).ok());
}

TEST_F(EpochRecordTest, OnlyTheOneOrderIsCanonical) {
  const auto is_refused = [&](const auto& change) {
    EpochRecord record = record_;
    change(record);
    return EpochBytes(record).code() == Code::kInvalidArgument;
  };
  EXPECT_TRUE(is_refused([](EpochRecord& record) { std::swap(record.parties[0], record.parties[1]); }));
  EXPECT_TRUE(is_refused([](EpochRecord& record) { std::swap(record.class_names[0], record.class_names[1]); }));
  EXPECT_TRUE(is_refused([](EpochRecord& record) { record.lease_names[1] = record.lease_names[0]; }));
  EXPECT_TRUE(is_refused([](EpochRecord& record) { record.idle_slots[0].clear(); }));
  EXPECT_TRUE(is_refused([](EpochRecord& record) { std::swap(record.input.asks[0], record.input.asks[1]); }));
  EXPECT_TRUE(is_refused([](EpochRecord& record) { std::swap(record.input.bids[0], record.input.bids[1]); }));
  EXPECT_TRUE(is_refused([](EpochRecord& record) { std::swap(record.input.gangs[0], record.input.gangs[1]); }));
  EXPECT_TRUE(is_refused([](EpochRecord& record) { std::swap(record.input.classes[0], record.input.classes[1]); }));
  EXPECT_TRUE(is_refused(
      [](EpochRecord& record) { std::swap(record.input.classes[1].floors[0], record.input.classes[1].floors[1]); }));
  EXPECT_TRUE(is_refused([](EpochRecord& record) { record.input.bids[0].owner = 99; }));
  EXPECT_TRUE(is_refused([](EpochRecord& record) { record.input.bids[0].slot_class = 3; }));
  EXPECT_TRUE(is_refused([](EpochRecord& record) { record.input.asks.back().id = 99; }));
  EXPECT_TRUE(is_refused([](EpochRecord& record) { record.input.asks[0].lease = 99; }));
  EXPECT_TRUE(is_refused([](EpochRecord& record) { record.input.gangs[0].bundles[0].parts[0].slot_class = 9; }));
  EXPECT_TRUE(is_refused([](EpochRecord& record) { record.left_out = {{0, LeftOut::kGoods}}; }));
  record_.has_all_due = true;
  EXPECT_TRUE(is_refused([](EpochRecord& record) { record.left_out = {{1, LeftOut::kOver}, {0, LeftOut::kOver}}; }));
  EXPECT_TRUE(is_refused([](EpochRecord& record) { record.left_out = {{9999, LeftOut::kOver}}; }));
  EXPECT_FALSE(is_refused([](EpochRecord& record) { record.left_out = {{0, LeftOut::kOver}, {1, LeftOut::kOver}}; }));
  record_.has_all_due = false;
  EXPECT_FALSE(is_refused([](EpochRecord&) {}));
}

TEST_F(EpochRecordTest, LargeOnesAreCutIntoEntriesThatMakeThemUp) {
  for (int i = 0; i < 4000; ++i) {
    record_.lease_names.push_back("lease-of-somebody-" + std::to_string(10000 + i));
  }
  std::sort(record_.lease_names.begin(), record_.lease_names.end());
  const std::vector<Bytes> entries = EpochEntries(record_).value();
  ASSERT_GT(entries.size(), 1u);
  Bytes together;
  for (std::size_t i = 0; i < entries.size(); ++i) {
    const Entry entry = ParseEntry(entries[i]).value();
    const auto& part = std::get<EpochPart>(entry);
    EXPECT_EQ(part.part, i);
    EXPECT_EQ(part.parts, entries.size());
    EXPECT_EQ(part.number, record_.input.number);
    together.insert(together.end(), part.bytes.begin(), part.bytes.end());
  }
  EXPECT_EQ(together, EpochBytes(record_).value());
}

TEST_F(EpochRecordTest, EveryFieldOfAnOutcomeIsInItsDigests) {
  auction::EpochOutcome outcome = auction::ClearEpoch(record_.input).value();
  ASSERT_FALSE(outcome.trades.empty());
  ASSERT_FALSE(outcome.unserved.empty());
  outcome.gangs.resize(1);
  outcome.unserved_gangs.resize(1);
  const OutcomeDigests digests = DigestsOf(outcome);
  const auto difference = [&](const auto& change) {
    auction::EpochOutcome other = outcome;
    change(other);
    return DifferenceOf(DigestsOf(other), digests);
  };
  using auction::EpochOutcome;
  EXPECT_EQ(difference([](EpochOutcome&) {}), "");
  EXPECT_EQ(difference([](EpochOutcome& o) { ++o.trades[0].ask; }), "trades");
  EXPECT_EQ(difference([](EpochOutcome& o) { ++o.trades[0].bid; }), "trades");
  EXPECT_EQ(difference([](EpochOutcome& o) { ++o.trades[0].seller; }), "trades");
  EXPECT_EQ(difference([](EpochOutcome& o) { ++o.trades[0].buyer; }), "trades");
  EXPECT_EQ(difference([](EpochOutcome& o) { ++o.trades[0].slot_class; }), "trades");
  EXPECT_EQ(difference([](EpochOutcome& o) { ++o.trades[0].units_milli; }), "trades");
  EXPECT_EQ(difference([](EpochOutcome& o) { ++o.trades[0].price_buyer_microcredits; }), "trades");
  EXPECT_EQ(difference([](EpochOutcome& o) { ++o.trades[0].price_seller_microcredits; }), "trades");
  EXPECT_EQ(difference([](EpochOutcome& o) { o.trades[0].lane = auction::Lane::kNetted; }), "trades");
  EXPECT_EQ(difference([](EpochOutcome& o) { o.trades.pop_back(); }), "trades");
  EXPECT_EQ(difference([](EpochOutcome& o) { ++o.gangs[0].surcharge_nanocredits; }), "gangs' awards");
  EXPECT_EQ(difference([](EpochOutcome& o) { ++o.gangs[0].pays_nanocredits; }), "gangs' awards");
  EXPECT_EQ(difference([](EpochOutcome& o) { ++o.gangs[0].critical_microcredits; }), "gangs' awards");
  EXPECT_EQ(difference([](EpochOutcome& o) { ++o.classes[0].price_microcredits; }), "classes' prices and sums");
  EXPECT_EQ(difference([](EpochOutcome& o) { ++o.classes[0].units_unsold_milli; }), "classes' prices and sums");
  EXPECT_EQ(difference([](EpochOutcome& o) { ++o.unserved[0].price_to_win_microcredits; }),
            "bids that were not served");
  EXPECT_EQ(difference([](EpochOutcome& o) { ++o.unserved_gangs[0].value_to_win_microcredits; }),
            "gangs that were not served");
  EXPECT_EQ(difference([](EpochOutcome& o) {
              ++o.sums.pool;
              ++o.trades[0].ask;
            }),
            "trades, sums of money");
}

TEST_F(EpochRecordTest, OrdersGetTheNumbersThatTheyMustHave) {
  // As a market numbers them, in any order; then as the record must.
  auction::EpochInput input = record_.input;
  std::map<auction::OrderId, auction::OrderId> there;
  std::map<auction::OrderId, auction::OrderId> back;
  for (auction::OrderId id = 0; id < 19; ++id) {
    there[id] = 1000 - id;
    back[1000 - id] = id;
  }
  ASSERT_TRUE(Renumber(input, there).ok());
  EXPECT_NE(input.bids[0].price_microcredits, 0);
  EXPECT_GT(input.asks[0].id, 900u);
  ASSERT_TRUE(Renumber(input, back).ok());
  EpochRecord record = record_;
  record.input = input;
  EXPECT_EQ(EpochBytes(record).value(), EpochBytes(record_).value());
  there.erase(3);
  EXPECT_EQ(Renumber(input, there).code(), Code::kInvalidArgument);
}

TEST(SeedTest, FollowsFromTheEpochAndTheSealedNoteAndNothingElse) {
  EXPECT_EQ(SeedOf(7, "note"), SeedOf(7, "note"));
  EXPECT_NE(SeedOf(7, "note"), SeedOf(8, "note"));
  EXPECT_NE(SeedOf(7, "note"), SeedOf(7, "note "));
  // Computed with Python: sha256(b"accelmesh epoch seed 1\n" + struct.pack("<Q", 7) + b"note")[:8].
  EXPECT_EQ(SeedOf(7, "note"), 1880401011517710004ULL);
}

TEST(TableTest, NumbersNamesByTheirOrder) {
  const NameTable names({"b", "a", "c", "a"});
  EXPECT_THAT(names.names(), testing::ElementsAre("a", "b", "c"));
  EXPECT_EQ(names.IndexOf("c"), 2u);
  const PartyTable parties({KeyOf(2).public_key(), KeyOf(1).public_key(), KeyOf(2).public_key()});
  ASSERT_EQ(parties.names().size(), 2u);
  EXPECT_LT(parties.names()[0].bytes, parties.names()[1].bytes);
  EXPECT_EQ(parties.names()[parties.IndexOf(KeyOf(2).public_key())], KeyOf(2).public_key());
}

}  // namespace
}  // namespace accelmesh::market::ledger
