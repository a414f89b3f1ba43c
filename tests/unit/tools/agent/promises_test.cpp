// An agent that holds markets to their promises: honest ones, those that drop an order, those that hide what is not
// over yet, and those that show another history.
#include "tools/agent/promises.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <set>
#include <thread>

#include "market/ledger/folder_store.h"
#include "market/ledger/market_orders.h"
#include "market/ledger/witness.h"
#include "tests/unit/market/ledger/epoch_world.h"
#include "tests/unit/market/ledger/scratch.h"
#include "tests/unit/tools/agent/fake_market.h"

namespace accelmesh::agent {
namespace {

namespace ledger = market::ledger;
using ledger::EpochWorld;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class PromisingMarket : public testing::FakeMarket {
 public:
  std::vector<std::string> TakePromises() override { return std::exchange(promises, {}); }
  Result<LedgerPiece> ReadLedger(std::uint64_t first, Deadline deadline) override {
    asked.push_back(first);
    deadlines.insert(deadline.at());
    if (is_silent) return Status(Code::kUnavailable, "fake", "nobody answers");
    LedgerPiece piece;
    const ledger::Log& log = (forged != nullptr ? forged : shown)->ledger().log();
    piece.readable = std::min(readable, log.size());
    if (first >= piece.readable) return piece;
    piece.entries = log.Entries(first, 700).value();
    if (piece.entries.size() > piece.readable - first) piece.entries.resize(piece.readable - first);
    if (dawdles) {
      piece.entries.resize(1);
      while (asked.size() > 1 && !deadline.passed()) std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return piece;
  }
  Result<std::string> Checkpoint(std::uint64_t old_size, Deadline deadline) override {
    deadlines.insert(deadline.at());
    if (is_silent || hides_checkpoints) return Status(Code::kUnavailable, "fake", "nobody answers");
    const ledger::Log& log = shown->ledger().log();
    return ExtensionText(log.ProveExtension(std::min(old_size, log.size())).value());
  }

  std::uint64_t orders_answered() const override { return answered; }

  std::vector<std::string> promises;
  std::uint64_t answered = 0;
  EpochWorld* shown = nullptr;
  EpochWorld* forged = nullptr;  // has the entries, if any; checkpoints are those of `shown`
  std::uint64_t readable = ~std::uint64_t{0};
  bool is_silent = false;
  bool hides_checkpoints = false;
  // Gives one entry at a time, and from the second on only when nobody should wait for it any more.
  bool dawdles = false;
  std::vector<std::uint64_t> asked;  // of its ledger, from which entries on
  std::set<Instant> deadlines;
};

class PromisesTest : public ::testing::Test {
 protected:
  PromisesTest() : world_(NewWorld(3)), identity_(ledger::KeyOf(100)), market_key_(ledger::KeyOf(1).public_key()) {
    market_.shown = &*world_;
    world_->PostAsks(5);
    world_->RunEpoch(4);
  }
  static std::unique_ptr<EpochWorld> NewWorld(std::uint64_t seed) {
    auto world = std::make_unique<EpochWorld>(std::make_unique<ledger::MemoryStore>(), seed, ledger::kMarketLog);
    world->has_promises = true;
    return world;
  }
  Promises NewPromises() {
    return Promises(
        market_, market_, [this](const Step& step) { steps_.push_back(step); }, scratch_.Path("witness"), identity_,
        market_key_);
  }
  // Tenant 0's key is the agent's.
  std::uint64_t Bid() {
    const std::uint64_t entry = world_->TakeBid(0);
    market_.promises.push_back(PromiseText(world_->PromiseOf(entry)));
    return entry;
  }
  void Look(Promises& promises) {
    market_.now_ms = std::max(market_.now_ms, promises.Tick());
    promises.Tick();
  }
  std::vector<std::string> Texts(bool troubles) const {
    std::vector<std::string> texts;
    for (const Step& step : steps_) {
      if (step.is_trouble == troubles) texts.push_back(step.text);
    }
    return texts;
  }
  std::vector<std::string> Files(const std::string& extension) const {
    std::vector<std::string> files;
    for (const auto& file : std::filesystem::recursive_directory_iterator(scratch_.Path(""))) {
      if (file.is_regular_file() && file.path().extension() == extension) files.push_back(file.path().string());
    }
    return files;
  }
  const ledger::Scratch scratch_;
  PromisingMarket market_;
  std::unique_ptr<EpochWorld> world_;
  const security::SigningKey identity_;
  const security::PublicKey market_key_;
  std::vector<Step> steps_;
};

TEST_F(PromisesTest, WhatIsKeptIsForgottenAndNothingIsSaidAloud) {
  Promises promises = NewPromises();
  const std::uint64_t entry = Bid();
  promises.Collect();
  EXPECT_THAT(Files(".promise"), SizeIs(1));
  Look(promises);
  EXPECT_THAT(Files(".promise"), SizeIs(1)) << "no epoch so far";
  world_->RunEpoch(20);
  Look(promises);
  EXPECT_THAT(Files(".promise"), IsEmpty());
  EXPECT_THAT(Texts(true), IsEmpty());
  EXPECT_THAT(Texts(false).back(),
              HasSubstr("kept its promise of entry " + std::to_string(entry) + ": it was in epoch 2"));
  EXPECT_EQ(promises.broken(), 0U);
}

TEST_F(PromisesTest, ADroppedBidIsToldOnceAndConvictsTheMarket) {
  Promises promises = NewPromises();
  const std::uint64_t entry = Bid();
  Bid();
  promises.Collect();
  world_->drops = {entry};
  world_->RunEpoch(20);
  Look(promises);
  Look(promises);
  ASSERT_THAT(Texts(true), SizeIs(1));
  EXPECT_THAT(Texts(true)[0], HasSubstr("THE MARKET HAS BROKEN ITS PROMISE"));
  EXPECT_THAT(Texts(true)[0], HasSubstr("slotctl ledger verify --promise "));
  EXPECT_EQ(promises.broken(), 1U);
  EXPECT_THAT(Files(".promise"), IsEmpty()) << "the other one was kept";
  const std::string text = ledger::ReadWhole(scratch_.Path(
      "witness/" + security::HexOf(ByteView(market_key_.bytes).first(8)) + "-" +
      security::HexOf(ByteView(identity_.public_key().bytes).first(8)) + "/promises/broken-" + std::to_string(entry)));
  const Result<ledger::BrokenPromise> evidence = ledger::ParseBrokenPromise(text);
  ASSERT_TRUE(evidence.ok()) << evidence.status().ToString();
  EXPECT_EQ(JudgeEvidence(*evidence, {ledger::kMarketLog, market_key_}, ledger::MarketOrders())->standing,
            ledger::Standing::kBroken);
}

TEST_F(PromisesTest, WhatMayNotBeReadYetAnotherRunReads) {
  {
    Promises promises = NewPromises();
    market_.readable = Bid();
    promises.Collect();
    world_->RunEpoch(5);
    Look(promises);
    market_.is_silent = true;
    promises.End();
    EXPECT_THAT(Files(".promise"), SizeIs(1));
  }
  market_.is_silent = false;
  market_.readable = ~std::uint64_t{0};
  Promises later = NewPromises();
  Look(later);
  EXPECT_THAT(Files(".promise"), IsEmpty());
  EXPECT_THAT(Texts(true), IsEmpty());
}

TEST_F(PromisesTest, AMarketThatShowsAnotherHistoryIsConvictedByThePromise) {
  for (const int bids_before : {0, 3}) {
    steps_.clear();
    Promises promises = NewPromises();
    market_.shown = &*world_;
    for (int i = 0; i < bids_before; ++i) world_->TakeBid(1);
    Bid();
    promises.Collect();
    // The same market, in whose log the bid never was.
    const std::unique_ptr<EpochWorld> other = NewWorld(4);
    other->PostAsks(5);
    for (int i = 0; i < 3; ++i) other->RunEpoch(20);
    market_.shown = &*other;
    Look(promises);
    EXPECT_THAT(Texts(true), ::testing::Contains(HasSubstr("THE MARKET HAS SIGNED TWO HISTORIES")));
    const std::string text = ledger::ReadWhole(
        scratch_.Path("witness/" + security::HexOf(ByteView(market_key_.bytes).first(8)) + "-" +
                      security::HexOf(ByteView(identity_.public_key().bytes).first(8)) + "/promises/fork-evidence"));
    const Result<ledger::ForkEvidence> evidence = ledger::ParseEvidence(text);
    ASSERT_TRUE(evidence.ok()) << evidence.status().ToString();
    EXPECT_TRUE(VerifyFork(*evidence, {ledger::kMarketLog, market_key_}).ok());
    std::filesystem::remove_all(scratch_.Path("witness"));
    world_->RunEpoch(1);
  }
}

// The market has gone back behind an order, and gives its place to the next one.
TEST_F(PromisesTest, TwoPromisesOfOneEntryAreBothKeptAndTheFirstConvicts) {
  Promises promises = NewPromises();
  const std::uint64_t entry = Bid();
  promises.Collect();
  const std::unique_ptr<EpochWorld> other = NewWorld(4);
  other->PostAsks(5);
  while (other->ledger().log().size() < entry) other->TakeBid(1);
  ASSERT_EQ(other->TakeBid(0), entry);
  market_.shown = &*other;
  market_.promises.push_back(PromiseText(other->PromiseOf(entry)));
  promises.Collect();
  EXPECT_THAT(Files(".promise"), SizeIs(2));
  Look(promises);
  EXPECT_THAT(Texts(true), ::testing::Contains(HasSubstr("THE MARKET HAS SIGNED TWO HISTORIES")));
  EXPECT_THAT(Files(".promise"), SizeIs(1)) << "that of the history that is shown is open";
  EXPECT_THAT(Files(".refused"), SizeIs(1));
}

TEST_F(PromisesTest, AnOrderThatIsPromisedAgainIsHeldToTheFirstTime) {
  Promises promises = NewPromises();
  const std::uint64_t entry = world_->TakeBid(0);
  const std::string first = PromiseText(world_->PromiseOf(entry));
  world_->TakeBid(1);
  const std::string again = PromiseText(world_->PromiseOf(entry));
  ASSERT_NE(first, again);
  market_.promises = {first, again};
  promises.Collect();
  ASSERT_THAT(Files(".promise"), SizeIs(1));
  EXPECT_EQ(ledger::ReadWhole(Files(".promise")[0]), first);
}

TEST_F(PromisesTest, WhatIsContradictedIsKeptAsEvidenceAndNotAskedForAgain) {
  Promises promises = NewPromises();
  Bid();
  promises.Collect();
  const std::unique_ptr<EpochWorld> other = NewWorld(4);
  other->PostAsks(5);
  for (int i = 0; i < 3; ++i) other->RunEpoch(20);
  market_.shown = &*other;
  market_.hides_checkpoints = true;
  Look(promises);
  EXPECT_THAT(Files(".promise"), SizeIs(1)) << "it may convict the market yet";
  ASSERT_THAT(Texts(true), SizeIs(1));
  EXPECT_THAT(Texts(true)[0], HasSubstr("has something else at entry"));
  market_.hides_checkpoints = false;
  Look(promises);
  ASSERT_THAT(Files(".refused"), SizeIs(1));
  EXPECT_THAT(Files(".promise"), IsEmpty());
  EXPECT_THAT(Texts(true), ::testing::Contains(HasSubstr("THE MARKET HAS SIGNED TWO HISTORIES")));
  EXPECT_THAT(Texts(true).back(), HasSubstr("slotctl ledger verify --promise " + Files(".refused")[0]));
  const std::size_t told = steps_.size();
  market_.asked.clear();
  Look(promises);
  EXPECT_THAT(market_.asked, IsEmpty());
  EXPECT_EQ(steps_.size(), told);
}

TEST_F(PromisesTest, OneThatTheMarketDoesNotShowKeepsNoOtherFromBeingLookedAt) {
  Promises promises = NewPromises();
  std::vector<std::uint64_t> entries;
  for (int i = 0; i < 3; ++i) entries.push_back(Bid());
  promises.Collect();
  market_.is_silent = true;
  for (int i = 0; i < 3; ++i) Look(promises);
  EXPECT_THAT(market_.asked, ::testing::ElementsAreArray(entries));
  Look(promises);
  EXPECT_EQ(market_.asked.back(), entries[0]);
}

TEST_F(PromisesTest, ManyThatStayOpenKeepNoOtherFromBeingLookedAt) {
  Promises promises = NewPromises();
  std::set<std::uint64_t> entries;
  for (int i = 0; i < 40; ++i) entries.insert(Bid());
  promises.Collect();
  market_.readable = 0;
  // Each look has time for one at least, whatever the machine does meanwhile.
  for (int i = 0; i < 40; ++i) Look(promises);
  EXPECT_EQ(std::set<std::uint64_t>(market_.asked.begin(), market_.asked.end()), entries);
}

TEST_F(PromisesTest, ALookHasOneDeadlineForAllThatItAsks) {
  Promises promises = NewPromises();
  for (int i = 0; i < 5; ++i) Bid();
  promises.Collect();
  world_->RunEpoch(5);
  Look(promises);
  EXPECT_GE(market_.asked.size(), 1U);
  EXPECT_THAT(market_.deadlines, SizeIs(1));
}

TEST_F(PromisesTest, ALookEndsInTimeHoweverManyPiecesTheMarketMakes) {
  Promises promises = NewPromises();
  Bid();
  promises.Collect();
  for (int i = 0; i < 20; ++i) world_->TakeBid(1);
  world_->RunEpoch(5);
  market_.dawdles = true;
  promises.End();
  EXPECT_LE(market_.asked.size(), 2U) << "the second one came too late";
  EXPECT_THAT(Files(".promise"), SizeIs(1));
  EXPECT_THAT(Texts(true), IsEmpty());
}

TEST_F(PromisesTest, EntriesThatTheMarketHasNotSignedKeepNoPromise) {
  Promises promises = NewPromises();
  // The log drops the bid; what is shown of it is another one, which has the same bid and keeps it.
  const std::uint64_t entry = Bid();
  promises.Collect();
  const std::unique_ptr<EpochWorld> forged = NewWorld(3);
  forged->PostAsks(5);
  forged->RunEpoch(4);
  ASSERT_EQ(forged->TakeBid(0), entry);
  forged->RunEpoch(7);
  world_->drops = {entry};
  world_->RunEpoch(7);
  market_.forged = &*forged;
  Look(promises);
  EXPECT_THAT(Files(".promise"), SizeIs(1)) << "not taken for kept";
  ASSERT_THAT(Texts(true), SizeIs(1));
  EXPECT_THAT(Texts(true)[0], HasSubstr("entries of its ledger that it has not signed"));
  market_.forged = nullptr;
  Look(promises);
  EXPECT_EQ(promises.broken(), 1U);
}

TEST_F(PromisesTest, PromisesThatAreNoneOrOfOthersAreToldAndNotKept) {
  Promises promises = NewPromises();
  market_.promises = {"nonsense"};
  promises.Collect();
  const std::uint64_t entry = world_->TakeBid(1);
  market_.promises = {PromiseText(world_->PromiseOf(entry))};
  promises.Collect();
  market_.promises = {"nonsense"};
  promises.Collect();
  ASSERT_THAT(Texts(true), SizeIs(2));
  EXPECT_THAT(Texts(true)[0], HasSubstr("the market's promise is none"));
  EXPECT_THAT(Texts(true)[1], HasSubstr("not ours"));
  EXPECT_THAT(Files(".promise"), IsEmpty());
}

TEST_F(PromisesTest, AMarketThatPromisesNothingIsSaidToBeOne) {
  Promises promises = NewPromises();
  Bid();
  market_.answered = 1;
  promises.Collect();
  EXPECT_THAT(Texts(false), SizeIs(1));
  for (market_.answered = 2; market_.answered < 5; ++market_.answered) promises.Collect();
  ASSERT_THAT(Texts(false), SizeIs(2));
  EXPECT_THAT(Texts(false)[1], HasSubstr("promised nothing of an order that it answered"));
  EXPECT_THAT(Texts(true), IsEmpty());
}

TEST_F(PromisesTest, WhoWatchesNothingKeepsNothing) {
  Promises promises(market_, market_, [this](const Step& step) { steps_.push_back(step); }, "", identity_, market_key_);
  Bid();
  EXPECT_GT(promises.Tick(), market_.now_ms + 1'000'000);
  promises.End();
  EXPECT_THAT(Files(".promise"), IsEmpty());
  EXPECT_THAT(steps_, IsEmpty());
}

}  // namespace
}  // namespace accelmesh::agent
