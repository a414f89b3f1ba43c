#include "tools/slotctl/ledger.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "market/ledger/folder_store.h"
#include "tests/unit/market/ledger/epoch_world.h"
#include "tests/unit/market/ledger/scratch.h"

namespace accelmesh::slotctl {
namespace {

using market::ledger::EpochWorld;
using testing::HasSubstr;
namespace ledger = market::ledger;

class SlotctlLedgerTest : public testing::Test {
 protected:
  SlotctlLedgerTest() {
    options_.path = scratch_.Path("ledger");
    EpochWorld world(std::move(ledger::OpenFolder(options_.path, ledger::Access::kAppend)).value(), 4);
    world.PostAsks(5);
    for (int i = 0; i < 4; ++i) world.RunEpoch(10);
    const ledger::NamedKey witness = ledger::NamedKeyOf("w1", 7);
    const std::string text = ledger::ParseNote(world.ledger().log().note())->text;
    EXPECT_TRUE(world.ledger()
                    .log()
                    .AddCosignature(witness, ledger::CosignatureLine(text, "w1", ledger::KeyOf(7), 1'790'000'000))
                    .ok());
    log_ = world.ledger().log().key();
    note_ = world.ledger().log().note();
    witness_ = VerifierKey(witness, ledger::SignatureType::kCosignature);
  }
  const ledger::Scratch scratch_;
  LedgerOptions options_;
  ledger::NamedKey log_;
  std::string note_;
  std::string witness_;
};

TEST_F(SlotctlLedgerTest, TellsThatALedgerHoldsAndByWhoseWord) {
  const LedgerVerdict own = VerifyLedger(options_).value();
  EXPECT_TRUE(own.holds) << own.report.text;
  EXPECT_THAT(own.report.text, HasSubstr("4, from 1 to 4, each cleared again"));
  EXPECT_THAT(own.report.text, HasSubstr("the key is the folder's own word"));
  options_.log_key = VerifierKey(log_, ledger::SignatureType::kEd25519);
  options_.witnesses = {witness_};
  options_.witnesses_min = 1;
  const LedgerVerdict known = VerifyLedger(options_).value();
  EXPECT_TRUE(known.holds);
  EXPECT_THAT(known.report.text, HasSubstr("w1 2026-09-21 14:13:20Z"));
  EXPECT_THAT(known.report.text, testing::Not(HasSubstr("own word")));
  EXPECT_EQ(known.report.json["epochs"], 4);
  EXPECT_EQ(known.report.json["holds"], true);
  EXPECT_EQ(known.report.json["cosigners"][0]["witness"], "w1");
}

TEST_F(SlotctlLedgerTest, WhatWitnessesCosignedBesideItIsOfTheSameHistory) {
  const std::string folder = options_.path + "/cosigned";
  std::filesystem::create_directory(folder);
  const auto keep = [&](const std::string& text) {
    const std::string line = ledger::CosignatureLine(ledger::ParseNote(text)->text, "w1", ledger::KeyOf(7), 5);
    ledger::WriteWhole(folder + "/w1", ledger::WithSignature(text, line).value());
  };
  keep(note_);
  ledger::WriteWhole(folder + "/nonsense", "x");
  const LedgerVerdict unknown = VerifyLedger(options_).value();
  EXPECT_TRUE(unknown.holds);
  EXPECT_THAT(unknown.report.text, HasSubstr("watched by    w1 up to entry "));
  EXPECT_THAT(unknown.report.text, HasSubstr("(--witness KEY verifies it)"));
  options_.witnesses = {witness_};
  const LedgerVerdict known = VerifyLedger(options_).value();
  EXPECT_EQ(known.report.json["watched"].size(), 1U);
  EXPECT_EQ(known.report.json["watched"][0]["verified"], true);
  // A witness saw another history than the folder has.
  keep(ledger::SignCheckpoint({EpochWorld::kOrigin, {20, ledger::LeafHash({})}}, ledger::KeyOf(1)));
  const LedgerVerdict forked = VerifyLedger(options_).value();
  EXPECT_FALSE(forked.holds);
  EXPECT_EQ(forked.report.json["fork_proven"], true);
}

TEST_F(SlotctlLedgerTest, NamesWhatDoesNotHold) {
  options_.log_key = VerifierKey(ledger::NamedKeyOf(EpochWorld::kOrigin, 3), ledger::SignatureType::kEd25519);
  options_.market = security::HexOf(log_.key.bytes);
  const LedgerVerdict verdict = VerifyLedger(options_).value();
  EXPECT_FALSE(verdict.holds);
  EXPECT_THAT(verdict.report.text, HasSubstr("DOES NOT HOLD entry 16: epoch 1: its sealed checkpoint: "));
  EXPECT_EQ(verdict.report.json["holds"], false);
  EXPECT_EQ(verdict.report.json["place"], "entry 16");
}

TEST_F(SlotctlLedgerTest, AForkIsWrittenDownAndConvicts) {
  options_.log_key = VerifierKey(log_, ledger::SignatureType::kEd25519);
  options_.held = {scratch_.Path("held")};
  options_.evidence = scratch_.Path("evidence");
  ledger::WriteWhole(options_.held[0],
                     ledger::SignCheckpoint({EpochWorld::kOrigin, {20, ledger::LeafHash({})}}, ledger::KeyOf(1)));
  const LedgerVerdict verdict = VerifyLedger(options_).value();
  EXPECT_FALSE(verdict.holds);
  EXPECT_EQ(verdict.report.json["fork_proven"], true);
  LedgerOptions convict;
  convict.path = options_.evidence;
  convict.log_key = options_.log_key;
  EXPECT_TRUE(VerifyEvidence(convict)->holds);
  convict.log_key = VerifierKey(ledger::NamedKeyOf(EpochWorld::kOrigin, 3), ledger::SignatureType::kEd25519);
  EXPECT_FALSE(VerifyEvidence(convict)->holds) << "another log's key";
  convict.path = options_.held[0];
  EXPECT_FALSE(VerifyEvidence(convict)->holds) << "no evidence";
}

TEST_F(SlotctlLedgerTest, WhatCannotBeVerifiedIsSaid) {
  options_.path = scratch_.Path("nothing");
  EXPECT_EQ(VerifyLedger(options_).code(), Code::kNotFound);
  options_.log_key = "no key";
  EXPECT_EQ(VerifyLedger(options_).code(), Code::kInvalidArgument);
  options_.log_key = witness_;
  EXPECT_THAT(VerifyLedger(options_).status().text(), HasSubstr("name the log's"));
}

}  // namespace
}  // namespace accelmesh::slotctl
