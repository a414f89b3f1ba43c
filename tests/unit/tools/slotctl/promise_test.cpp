// What slotctl says of promises, word for word: kept, open and broken ones, by a folder, by a market, and by evidence.
#include "tools/slotctl/promise.h"

#include <gmock/gmock.h>

#include "market/ledger/folder_store.h"
#include "market/ledger/market_orders.h"
#include "tests/unit/market/ledger/epoch_world.h"
#include "tests/unit/market/ledger/scratch.h"

namespace accelmesh::slotctl {
namespace {

using market::ledger::EpochWorld;
using ::testing::HasSubstr;
using ::testing::StartsWith;
namespace ledger = market::ledger;

class WorldSource : public LedgerSource {
 public:
  explicit WorldSource(EpochWorld& world) : log_(world.ledger().log()) {}
  Result<ledger::Extension> Checkpoint(std::uint64_t old_size) override { return log_.ProveExtension(old_size); }
  Result<Entries> Read(std::uint64_t first) override {
    Entries read{{}, log_.size()};
    if (first < log_.size()) read.entries = log_.Entries(first, 500).value();
    return read;
  }

 private:
  ledger::Log& log_;
};

class SlotctlPromiseTest : public ::testing::Test {
 protected:
  SlotctlPromiseTest()
      : world_(std::move(ledger::OpenFolder(scratch_.Path("ledger"), ledger::Access::kAppend)).value(), 4) {
    world_.has_promises = true;
    world_.PostAsks(5);
    world_.RunEpoch(5);
    entry_ = world_.TakeBid(2);
    options_.promise = scratch_.Path("promise");
    options_.path = scratch_.Path("ledger");
    options_.log_key = VerifierKey(world_.ledger().log().key(), ledger::SignatureType::kEd25519);
    ledger::WriteWhole(options_.promise, PromiseText(world_.PromiseOf(entry_)));
  }
  std::string Promised() const {
    return "promised      a bid of " + security::HexOf(world_.tenant(2).public_key().bytes) + ", entry " +
           std::to_string(entry_) + " of the ledger, by the market's signature\n";
  }
  PromiseFile File() const { return ReadPromiseFile(options_).value(); }
  LedgerVerdict Remote() {
    WorldSource source(world_);
    return VerifyPromiseOf(File(), source, world_.ledger().log().key()).value();
  }
  const ledger::Scratch scratch_;
  EpochWorld world_;
  std::uint64_t entry_ = 0;
  LedgerOptions options_;
};

TEST_F(SlotctlPromiseTest, AnOpenOneAndAKeptOne) {
  LedgerVerdict verdict = Remote();
  EXPECT_TRUE(verdict.holds);
  EXPECT_EQ(verdict.report.text,
            "open          no epoch was recorded since\n" + Promised() +
                "              nothing is wrong so far; ask again when an epoch was recorded and may be read\n");
  world_.RunEpoch(3);
  verdict = Remote();
  EXPECT_TRUE(verdict.holds);
  EXPECT_EQ(verdict.report.text, "kept          it was in epoch 2\n" + Promised());
  EXPECT_EQ(verdict.report.json["promise"], "kept");
  EXPECT_EQ(verdict.report.json["epoch"], 2);
  verdict = VerifyPromiseInFolder(File(), options_).value();
  EXPECT_TRUE(verdict.holds) << verdict.report.text;
  EXPECT_THAT(verdict.report.text, StartsWith("kept          it was in epoch 2\n" + Promised() + "holds "));
  EXPECT_EQ(verdict.report.json["ledger"]["epochs"], 2);
}

TEST_F(SlotctlPromiseTest, ABrokenOneByFolderByMarketAndByEvidence) {
  world_.drops = {entry_};
  world_.RunEpoch(3);
  const std::string told =
      "BROKEN        epoch 2 was sealed after the market had taken the order, and does not have it\n" + Promised() +
      "              by its own signatures the market has dropped it: whoever sees this must not trust it\n";
  LedgerVerdict verdict = Remote();
  EXPECT_FALSE(verdict.holds);
  EXPECT_EQ(verdict.report.text, told);
  verdict = VerifyPromiseInFolder(File(), options_).value();
  EXPECT_FALSE(verdict.holds);
  EXPECT_THAT(verdict.report.text, StartsWith(told + "DOES NOT HOLD"));
  EXPECT_EQ(verdict.report.json["promise"], "broken");

  ledger::BrokenPromise evidence{world_.PromiseOf(entry_), {}, {}};
  for (std::uint64_t at = entry_; at < world_.ledger().log().size(); ++at) {
    evidence.entries.push_back(world_.ledger().log().Entry(at).value());
  }
  evidence.extension = world_.ledger().log().ProveExtension(world_.ledger().log().size()).value();
  ledger::WriteWhole(options_.promise, BrokenPromiseText(evidence));
  ASSERT_TRUE(File().is_evidence);
  verdict = VerifyPromise(File(), world_.ledger().log().key()).value();
  EXPECT_FALSE(verdict.holds);
  EXPECT_EQ(verdict.report.text, told);
  // To who knows the market by another key it shows nothing.
  verdict = VerifyPromise(File(), ledger::NamedKeyOf(EpochWorld::kOrigin, 9)).value();
  EXPECT_FALSE(verdict.holds);
  EXPECT_THAT(verdict.report.text, StartsWith("shows nothing "));
  EXPECT_EQ(verdict.report.json["promise"], "none");
}

TEST_F(SlotctlPromiseTest, AFolderOfAnotherHistoryConvicts) {
  EpochWorld other(std::move(ledger::OpenFolder(scratch_.Path("other"), ledger::Access::kAppend)).value(), 5);
  other.PostAsks(5);
  for (int i = 0; i < 4; ++i) other.RunEpoch(10);
  options_.path = scratch_.Path("other");
  options_.evidence = scratch_.Path("evidence");
  const LedgerVerdict verdict = VerifyPromiseInFolder(File(), options_).value();
  EXPECT_FALSE(verdict.holds);
  EXPECT_EQ(verdict.report.json["ledger"]["fork_proven"], true) << verdict.report.text;
}

TEST_F(SlotctlPromiseTest, WhatIsNeitherIsSaid) {
  ledger::WriteWhole(options_.promise, "nonsense");
  EXPECT_EQ(ReadPromiseFile(options_).code(), Code::kInvalidArgument);
  EXPECT_THAT(ReadPromiseFile(options_).status().text(), HasSubstr("neither a promise nor evidence"));
  options_.promise = scratch_.Path("nothing");
  EXPECT_EQ(ReadPromiseFile(options_).code(), Code::kNotFound);
}

}  // namespace
}  // namespace accelmesh::slotctl
