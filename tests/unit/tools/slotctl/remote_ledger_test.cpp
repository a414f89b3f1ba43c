// A ledger that is read from the market: what is verified, what is held back, and a market that shows another one.
#include "tools/slotctl/remote_ledger.h"

#include <gmock/gmock.h>

#include "tests/unit/market/ledger/epoch_world.h"
#include "tests/unit/market/ledger/scratch.h"

namespace accelmesh::slotctl {
namespace {

using market::ledger::EpochWorld;
using ::testing::HasSubstr;
namespace ledger = market::ledger;

// Shows a log, a few entries at a time, and no more than may be read.
class FakeSource : public LedgerSource {
 public:
  explicit FakeSource(ledger::Log& log) : log_(&log), readable(log.size()) {}
  Result<ledger::Extension> Checkpoint(std::uint64_t old_size) override {
    return log_->ProveExtension(std::min(old_size, log_->size()));
  }
  Result<Entries> Read(std::uint64_t first) override {
    Entries read{{}, readable};
    if (first >= readable) return read;
    ACCELMESH_ASSIGN_OR_RETURN(read.entries, log_->Entries(first, 2000));
    read.entries.resize(std::min<std::uint64_t>(read.entries.size(), readable - first));
    if (spoiled) read.entries.front().back() ^= 1;
    return read;
  }
  void Show(ledger::Log& log) { log_ = &log; }

 private:
  ledger::Log* log_;

 public:
  std::uint64_t readable;
  bool spoiled = false;
};

class RemoteLedgerTest : public ::testing::Test {
 protected:
  RemoteLedgerTest() : world_(std::make_unique<ledger::MemoryStore>(), 4), log_(world_.ledger().log().key()) {
    world_.PostAsks(5);
    for (int i = 0; i < 4; ++i) world_.RunEpoch(10);
    options_.path = "tcp://market";
    options_.market = world_.market();
  }
  ledger::Log& log() { return world_.ledger().log(); }
  const ledger::Scratch scratch_;
  EpochWorld world_;
  const ledger::NamedKey log_;
  LedgerOptions options_;
};

TEST_F(RemoteLedgerTest, WhatMayBeReadIsVerifiedAndTheRestExtendsIt) {
  FakeSource source(log());
  const LedgerVerdict all = VerifyRemote(source, log_, options_).value();
  EXPECT_TRUE(all.holds) << all.report.text;
  EXPECT_EQ(all.report.json["epochs"], 4);
  EXPECT_EQ(all.report.json["entries"], log().size());
  EXPECT_THAT(all.report.text, ::testing::Not(HasSubstr("can be read when")));
  // Up to the last epoch's bids: those of an epoch come before its seal and its record.
  source.readable = log().size() - 5;
  const LedgerVerdict part = VerifyRemote(source, log_, options_).value();
  EXPECT_TRUE(part.holds) << part.report.text;
  EXPECT_EQ(part.report.json["epochs"], 3);
  EXPECT_EQ(part.report.json["signed_entries"], log().size());
  EXPECT_THAT(part.report.text, HasSubstr("5 can be read when the bids in them are over"));
  source.readable = 0;
  EXPECT_EQ(VerifyRemote(source, log_, options_).code(), Code::kUnavailable);
  EXPECT_THAT(VerifyRemote(source, log_, options_).status().text(), HasSubstr("ask again in two minutes"));
}

TEST_F(RemoteLedgerTest, EntriesThatTheCheckpointDoesNotCoverDoNotHold) {
  FakeSource source(log());
  source.readable = log().size() - 5;
  // Of another history, in which each epoch holds by itself.
  EpochWorld other(std::make_unique<ledger::MemoryStore>(), 5);
  other.PostAsks(5);
  for (int i = 0; i < 4; ++i) other.RunEpoch(10);
  class Mixed : public LedgerSource {
   public:
    Mixed(FakeSource& entries, FakeSource& checkpoints) : entries_(entries), checkpoints_(checkpoints) {}
    Result<ledger::Extension> Checkpoint(std::uint64_t size) override { return checkpoints_.Checkpoint(size); }
    Result<Entries> Read(std::uint64_t first) override { return entries_.Read(first); }

   private:
    FakeSource& entries_;
    FakeSource& checkpoints_;
  };
  FakeSource others(other.ledger().log());
  ASSERT_EQ(other.ledger().log().key(), log_) << "one key signs both";
  Mixed mixed(source, others);
  const LedgerVerdict verdict = VerifyRemote(mixed, log_, options_).value();
  EXPECT_FALSE(verdict.holds);
  EXPECT_THAT(verdict.report.text, HasSubstr("is not shown to extend these"));
  source.spoiled = true;
  const Result<LedgerVerdict> spoiled = VerifyRemote(source, log_, options_);
  EXPECT_TRUE(!spoiled.ok() || !spoiled->holds);
}

TEST_F(RemoteLedgerTest, WhatSomebodyHoldsConvictsAMarketThatShowsAnotherHistory) {
  FakeSource source(log());
  options_.out = scratch_.Path("kept");
  const Report kept = CheckpointOf(source, log_, options_).value();
  EXPECT_EQ(kept.json["entries"], log().size());
  EXPECT_THAT(kept.text, HasSubstr("cosigned by   nobody yet"));
  options_.held = {options_.out};
  options_.evidence = scratch_.Path("evidence");
  world_.RunEpoch(3);
  source.readable = log().size();
  EXPECT_TRUE(VerifyRemote(source, log_, options_)->holds);
  EpochWorld other(std::make_unique<ledger::MemoryStore>(), 5);
  other.PostAsks(5);
  for (int i = 0; i < 6; ++i) other.RunEpoch(10);
  FakeSource forked(other.ledger().log());
  const LedgerVerdict verdict = VerifyRemote(forked, log_, options_).value();
  EXPECT_FALSE(verdict.holds);
  EXPECT_EQ(verdict.report.json["fork_proven"], true) << verdict.report.text;
  LedgerOptions convict;
  convict.path = options_.evidence;
  convict.log_key = VerifierKey(log_, ledger::SignatureType::kEd25519);
  EXPECT_TRUE(VerifyEvidence(convict)->holds);
}

TEST_F(RemoteLedgerTest, ACheckpointSaysWhoCosignedItAndWhoseKeysAreKnown) {
  const ledger::NamedKey witness = ledger::NamedKeyOf("w1", 7);
  const std::string text = ledger::ParseNote(log().note())->text;
  ASSERT_TRUE(log().AddCosignature(witness, ledger::CosignatureLine(text, "w1", ledger::KeyOf(7), 1'790'000'000)).ok());
  FakeSource source(log());
  EXPECT_THAT(CheckpointOf(source, log_, options_)->text, HasSubstr("w1 (not verified)"));
  options_.witnesses = {VerifierKey(witness, ledger::SignatureType::kCosignature)};
  const Report report = CheckpointOf(source, log_, options_).value();
  EXPECT_THAT(report.text, HasSubstr("cosigned by   w1\n"));
  EXPECT_EQ(report.json["cosigned"][0]["verified"], true);
  EXPECT_EQ(CheckpointOf(source, ledger::NamedKeyOf(EpochWorld::kOrigin, 3), options_).code(), Code::kPermissionDenied);
}

}  // namespace
}  // namespace accelmesh::slotctl
