// Whole ledgers, honest and not: the first thing that does not hold is found and named.
#include "market/ledger/verify_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "market/ledger/folder_store.h"
#include "market/ledger/market_orders.h"
#include "tests/unit/market/ledger/epoch_world.h"
#include "tests/unit/market/ledger/scratch.h"

namespace accelmesh::market::ledger {
namespace {

using testing::AnyOf;
using testing::HasSubstr;

class VerifyFolderTest : public testing::Test {
 protected:
  VerifyFolderTest() {
    // A journal this small is begun anew each time: so most entries are in tiles only.
    EpochWorld world(std::move(OpenFolder(path(), Access::kAppend, {.journal_bytes_max = 1})).value(), 11);
    world.PostAsks(10);
    for (int epoch = 0; epoch < 25; ++epoch) {
      world.RunEpoch(20, 1);
      if (epoch % 5 == 0) world.AppendReceipt();
      if (epoch == 12) {
        EXPECT_TRUE(world.ledger().log().Publish().ok());
        held_ = world.ledger().log().note();
      }
    }
    check_ = world.check();
    head_ = world.ledger().log().head();
  }
  std::string path() const { return scratch_.Path("ledger"); }
  FolderReport Verify() const {
    const Result<FolderReport> report = VerifyFolder(path(), check_, MarketOrders());
    EXPECT_TRUE(report.ok()) << report.status().ToString();
    return report.ok() ? *report : FolderReport();
  }
  // Its first discrepancy, with the place.
  std::string Fault() const {
    const FolderReport report = Verify();
    return report.discrepancy.ok() ? "" : report.place + ": " + report.discrepancy.text();
  }
  const Scratch scratch_;
  FolderCheck check_;
  TreeHead head_;
  std::string held_;
};

TEST_F(VerifyFolderTest, AnHonestLedgerHolds) {
  std::vector<std::uint64_t> progress;
  check_.progress = [&](std::uint64_t done, std::uint64_t all) {
    EXPECT_EQ(all, head_.size);
    progress.push_back(done);
  };
  check_.held = {held_};
  const FolderReport report = Verify();
  EXPECT_TRUE(report.discrepancy.ok()) << report.place << ": " << report.discrepancy.text();
  EXPECT_EQ(report.facts.head, head_);
  EXPECT_EQ(report.facts.epochs, 25u);
  EXPECT_EQ(report.facts.seals, 25u);
  EXPECT_EQ(report.facts.orders, 10u + 25 * 21);
  EXPECT_EQ(report.facts.receipts, 5u);
  EXPECT_GT(report.facts.trades, 50u);
  EXPECT_EQ(report.facts.epoch_first, 1u);
  EXPECT_EQ(report.facts.epoch_last, 25u);
  EXPECT_EQ(report.facts.credits, 5'000'000 + 25 * 1000);
  EXPECT_GE(progress.size(), 2u);
  EXPECT_EQ(progress.back(), head_.size);
}

TEST_F(VerifyFolderTest, EveryByteOfTilesCounts) {
  for (const char* const name : {"/tile/0/000", "/tile/0/001", "/tile/entries/000", "/tile/entries/001"}) {
    const std::string good = ReadWhole(path() + name);
    for (std::size_t at = 0; at < good.size(); at += 1 + good.size() / 60) {
      std::string bad = good;
      bad[at] = static_cast<char>(bad[at] ^ 0x10);
      WriteWhole(path() + name, bad);
      const std::string fault = Fault();
      EXPECT_THAT(fault, HasSubstr(std::string(name).substr(std::string(name).size() - 4))) << name << " " << at;
    }
    WriteWhole(path() + name, good.substr(0, good.size() - 1));
    EXPECT_THAT(Fault(), HasSubstr(std::string(name + 1)));
    std::filesystem::remove(path() + name);
    EXPECT_THAT(Fault(), HasSubstr("is not there"));
    WriteWhole(path() + name, good);
  }
  EXPECT_EQ(Fault(), "");
}

TEST_F(VerifyFolderTest, KeysWitnessesAndHeldCheckpointsCount) {
  FolderCheck good = check_;
  check_.log = NamedKeyOf(EpochWorld::kOrigin, 9);
  EXPECT_THAT(Fault(), HasSubstr("sealed checkpoint: ")) << "of another key";
  check_ = good;
  check_.market = "another";
  EXPECT_THAT(Fault(), HasSubstr("for another market"));
  check_ = good;
  check_.witnesses = {NamedKeyOf("w1", 5)};
  check_.witnesses_min = 1;
  EXPECT_THAT(Fault(), HasSubstr("checkpoint: 0 of the witnesses have cosigned it, and 1 are asked for"));
  check_ = good;
  // A checkpoint of another history that the log has signed.
  const std::string fork = SignCheckpoint({EpochWorld::kOrigin, {100, LeafHash({})}}, KeyOf(1));
  check_.held = {held_, fork};
  const FolderReport report = Verify();
  EXPECT_THAT(report.discrepancy.text(), HasSubstr("of 100 entries: the log has signed two histories"));
  EXPECT_EQ(report.place, "held checkpoint");
  ASSERT_TRUE(report.fork);
  EXPECT_TRUE(VerifyFork(ParseEvidence(EvidenceText(*report.fork)).value(), check_.log).ok());
  check_.held = {SignCheckpoint({EpochWorld::kOrigin, {head_.size + 5, LeafHash({})}}, KeyOf(1))};
  EXPECT_THAT(Fault(), HasSubstr("get the newest copy"));
  check_.held = {SignCheckpoint({EpochWorld::kOrigin, {100, LeafHash({})}}, KeyOf(4))};
  EXPECT_THAT(Fault(), HasSubstr("held checkpoint: ")) << "signed by somebody else";
}

// A market that signs what it likes, and writes it into a log of its own.
class CheatingMarketTest : public testing::Test {
 protected:
  std::string Fault() {
    const Result<FolderReport> report = VerifyStore(*store_, world_.check(), MarketOrders());
    EXPECT_TRUE(report.ok()) << report.status().ToString();
    return report->discrepancy.ok() ? "" : report->place + ": " + report->discrepancy.text();
  }
  void AppendBytes(const Bytes& entry) { ASSERT_TRUE(world_.ledger().log().Append({&entry, 1}).ok()); }
  // The world's store, which the world owns.
  static std::unique_ptr<Store> Make(MemoryStore** store) {
    auto own = std::make_unique<MemoryStore>();
    *store = own.get();
    return own;
  }
  MemoryStore* store_ = nullptr;
  EpochWorld world_{Make(&store_), 21};
};

TEST_F(CheatingMarketTest, AnUnsignedOrderIsFound) {
  world_.PostAsks(2);
  SignedOrder order = world_.MakeBid(0);
  order.signature[0] ^= 1;
  AppendBytes(EntryBytes(order).value());
  EXPECT_THAT(Fault(), HasSubstr("entry 2: it is not signed by its owner"));
}

TEST_F(CheatingMarketTest, AForgedReceiptOrAnotherMarketsIsFound) {
  world_.AppendReceipt();
  const Entry entry = ParseEntry(world_.ledger().log().Entry(0).value()).value();
  auto receipt = std::get<CounterSignedReceipt>(entry);
  receipt.receipt.delivered_ppm = kPpm;
  AppendBytes(EntryBytes(receipt).value());
  EXPECT_THAT(Fault(), HasSubstr("entry 1: the receipt is not signed by the provider"));
}

TEST_F(CheatingMarketTest, AScoreThatNoReceiptsGiveIsFound) {
  world_.PostAsks(3);
  EpochRecord record = world_.MakeEpoch(10, 0);
  EpochWorld::GiveScores(record, 50'000, 50'000);
  ASSERT_TRUE(world_.ledger().Record(record).ok());
  EXPECT_EQ(Fault(), "") << "a newcomer's";
  // With receipts it may be more, for whom they are of.
  for (int i = 0; i < 10; ++i) world_.AppendReceipt();
  record = world_.MakeEpoch(10, 0);
  const bool is_first = record.parties[0] == world_.tenant(0).public_key();
  const bool is_second = record.parties[1] == world_.tenant(0).public_key();
  EpochWorld::GiveScores(record, is_first ? 300'000 : 50'000, is_second ? 300'000 : 50'000);
  ASSERT_TRUE(world_.ledger().Record(record).ok());
  EXPECT_EQ(Fault(), "");
  record = world_.MakeEpoch(10, 0);
  EpochWorld::GiveScores(record, 50'000, 999'999);
  ASSERT_TRUE(world_.ledger().Record(record).ok());
  EXPECT_THAT(Fault(), HasSubstr("counts for 999999 millionths, and its receipts give"));
}

// What a good many receipts of before come to, of the world's first tenant, as a provider.
StatedReputation Stated(const security::PublicKey& provider, const security::PublicKey& buyer, std::int64_t end_ms) {
  ReputationBook book;
  Receipt receipt;
  receipt.provider = provider;
  receipt.buyer = buyer;
  receipt.end_ms = end_ms;
  receipt.begin_ms = end_ms - 3'600'000;
  receipt.price_microcredits = receipt.paid_microcredits = receipt.bond_microcredits = 100'000'000;
  receipt.delivered_ppm = receipt.uptime_ppm = kPpm;
  receipt.market = "before";
  receipt.lease = "l";
  receipt.slot_class = "c";
  EXPECT_TRUE(book.Add(receipt).ok());
  return {provider, book.StateOf(provider)};
}

TEST_F(CheatingMarketTest, ALedgerMayBeginWithWhatReceiptsOfBeforeHadComeTo) {
  const StatedReputation first = Stated(world_.tenant(0).public_key(), world_.tenant(1).public_key(), world_.Now());
  const StatedReputation second = Stated(world_.tenant(1).public_key(), world_.tenant(2).public_key(), world_.Now());
  // A crash in between: the rest follows, once.
  AppendBytes(EntryBytes(first).value());
  const std::vector<StatedReputation> both{first, second};
  ASSERT_TRUE(world_.ledger().Begin(both).ok());
  ASSERT_TRUE(world_.ledger().Begin(both).ok());
  EXPECT_EQ(world_.ledger().log().size(), 2U);
  world_.PostAsks(3);
  EpochRecord record = world_.MakeEpoch(10, 0);
  const bool is_first = record.parties[0] == world_.tenant(0).public_key();
  const bool is_second = record.parties[1] == world_.tenant(0).public_key();
  EpochWorld::GiveScores(record, is_first ? 900'000 : 50'000, is_second ? 900'000 : 50'000);
  ASSERT_TRUE(world_.ledger().Record(record).ok());
  EXPECT_EQ(Fault(), "");
  const Result<FolderReport> report = VerifyStore(*store_, world_.check(), MarketOrders());
  ASSERT_TRUE(report.ok());
  EXPECT_EQ(report->facts.stated, 2U);
  // Later it is no market's to say what anybody's receipts come to.
  const std::uint64_t size = world_.ledger().log().size();
  ASSERT_TRUE(world_.ledger().Begin(std::vector<StatedReputation>(size + 5, first)).ok());
  EXPECT_EQ(world_.ledger().log().size(), size);
  AppendBytes(EntryBytes(first).value());
  EXPECT_THAT(Fault(), HasSubstr("a stated reputation that does not come before everything else"));
}

TEST_F(CheatingMarketTest, AReputationIsStatedOnce) {
  const StatedReputation stated = Stated(world_.tenant(0).public_key(), world_.tenant(1).public_key(), world_.Now());
  AppendBytes(EntryBytes(stated).value());
  AppendBytes(EntryBytes(stated).value());
  EXPECT_THAT(Fault(), HasSubstr("entry 1: the reputation of "));
}

TEST_F(CheatingMarketTest, CreditsThatComeFromNowhereBetweenEpochsAreFound) {
  world_.PostAsks(3);
  world_.RunEpoch(10);
  EpochRecord record = world_.MakeEpoch(10, 0);
  record.credits.before += 5;
  record.credits.after += 5;
  ASSERT_TRUE(world_.ledger().Record(record).ok());
  EXPECT_THAT(Fault(), HasSubstr("epoch 2: the market had 5001000 microcredits after the epoch before, and 5001005"));
}

TEST_F(CheatingMarketTest, AnEpochClearedBeforeItsSealOrTwiceIsFound) {
  world_.PostAsks(3);
  const EpochRecord record = world_.RunEpoch(10);
  EXPECT_EQ(Fault(), "");
  ASSERT_TRUE(world_.ledger().Record(record).ok());
  EXPECT_THAT(Fault(), HasSubstr("there is no seal at entry 13 that is not used"));
}

TEST_F(CheatingMarketTest, ASealedCheckpointOfAnotherHistoryIsFound) {
  world_.PostAsks(3);
  EpochRecord record = world_.MakeEpoch(10, 0);
  // The market signs another tree of that size, with a seed that it likes, and clears with it.
  record.sealed_note = SignCheckpoint({EpochWorld::kOrigin, {record.seal + 1, LeafHash({})}}, KeyOf(1));
  record.input.seed = SeedOf(record.input.number, record.sealed_note);
  record.outcome = DigestsOf(auction::ClearEpoch(record.input).value());
  ASSERT_TRUE(world_.ledger().Record(record).ok());
  EXPECT_THAT(Fault(), HasSubstr("is of another history"));
}

TEST_F(CheatingMarketTest, ACheckpointFromBeforeTheSealIsFound) {
  world_.PostAsks(3);
  const std::string early = world_.ledger().log().note();
  EpochRecord record = world_.MakeEpoch(10, 0);
  record.sealed_note = early;
  record.input.seed = SeedOf(record.input.number, record.sealed_note);
  record.outcome = DigestsOf(auction::ClearEpoch(record.input).value());
  ASSERT_TRUE(world_.ledger().Record(record).ok());
  EXPECT_THAT(Fault(), HasSubstr("is not between its seal and it"));
}

TEST_F(CheatingMarketTest, PartsOfAnEpochThatAreMissingAreFound) {
  AppendBytes(EntryBytes(EpochPart{1, 0, 2, BytesOf("half")}).value());
  EXPECT_THAT(Fault(), HasSubstr("entry 0: epoch 1 has 1 of 2 parts"));
  AppendBytes(EntryBytes(world_.MakeBid(0)).value());
  EXPECT_THAT(Fault(), HasSubstr("entry 1: it stands between the parts of epoch 1"));
}

TEST_F(CheatingMarketTest, EntriesThatAreNoneAndSealsOutOfOrderAreFound) {
  ASSERT_TRUE(world_.ledger().Seal(5, 1, {}, {}).ok());
  ASSERT_TRUE(world_.ledger().Seal(4, 1, {}, {}).ok());
  EXPECT_THAT(Fault(), HasSubstr("entry 1: the seal of epoch 4 comes after that of 5"));
}

TEST_F(CheatingMarketTest, BytesThatAreNoEntryAreFound) {
  AppendBytes(BytesOf("anything"));
  EXPECT_THAT(Fault(), HasSubstr("entry 0: no entry of a ledger"));
}

}  // namespace
}  // namespace accelmesh::market::ledger
