#include "market/ledger/witness.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "market/ledger/log.h"
#include "tests/unit/market/ledger/scratch.h"

namespace accelmesh::market::ledger {
namespace {

using testing::HasSubstr;

constexpr const char* kOrigin = "market.example/log";

std::unique_ptr<Log> MakeLog() {
  return std::move(Log::Open(std::make_unique<MemoryStore>(), kOrigin, KeyOf(1))).value();
}
void Append(Log& log, int count, const std::string& what) {
  std::vector<Bytes> batch;
  for (int i = 0; i < count; ++i) batch.push_back(BytesOf(what + std::to_string(log.size()) + "." + std::to_string(i)));
  ASSERT_TRUE(log.Append(batch).ok());
}

class WitnessTest : public testing::Test {
 protected:
  Result<Witness> Open(std::uint8_t key = 2) const {
    return Witness::Open(scratch_.Path("witness"), "w1", KeyOf(key), {log_key_});
  }
  static Result<Witness::Answer> Offer(Witness& witness, const Log& log, std::int64_t time_s = 100) {
    ACCELMESH_ASSIGN_OR_RETURN(const Extension extension, log.ProveExtension(witness.SeenSize(kOrigin)));
    return witness.Add(ParseExtension(ExtensionText(extension)).value(), time_s);
  }
  const Scratch scratch_;
  const NamedKey log_key_ = NamedKeyOf(kOrigin, 1);
};

TEST_F(WitnessTest, CosignsWhatExtendsAndRemembersItThroughARestart) {
  const std::unique_ptr<Log> log = MakeLog();
  for (int round = 0; round < 20; ++round) {
    Witness witness = std::move(Open()).value();
    EXPECT_EQ(witness.SeenSize(kOrigin), log->size());
    Append(*log, 1 + round * 3, "entry");
    const Result<Witness::Answer> answer = Offer(witness, *log, 1000 + round);
    ASSERT_TRUE(answer.ok()) << answer.status().ToString();
    ASSERT_EQ(answer->judgement.verdict, Verdict::kExtends);
    const NamedKey key = witness.key();
    ASSERT_TRUE(log->AddCosignature(key, answer->line).ok());
    const VerifiedCheckpoint verified = VerifyCheckpoint(log->note(), log_key_, {&key, 1}).value();
    ASSERT_EQ(verified.cosigners.size(), 1u);
    EXPECT_EQ(verified.cosigners[0].time_s, 1000 + round);
    // Asked again for the same, it says the same.
    EXPECT_EQ(Offer(witness, *log)->judgement.verdict, Verdict::kExtends);
  }
}

TEST_F(WitnessTest, AForkIsDetectedAndConvictsTheLogByItsOwnSignatures) {
  // All pairs of sizes: what the witness has seen, and what the other people were shown.
  for (int seen = 1; seen <= 20; ++seen) {
    for (int other = 1; other <= 20; ++other) {
      const std::unique_ptr<Log> log = MakeLog();
      const std::unique_ptr<Log> fork = MakeLog();
      Append(*log, seen, "honest");
      Append(*fork, other, "forked");
      std::filesystem::remove_all(scratch_.Path("witness"));
      Witness witness = std::move(Open()).value();
      ASSERT_EQ(Offer(witness, *log)->judgement.verdict, Verdict::kExtends);
      const bool is_smaller = other < seen;
      const Extension offered = fork->ProveExtension(is_smaller ? 0 : static_cast<std::uint64_t>(seen)).value();
      const Witness::Answer answer = witness.Add(offered, 200).value();
      EXPECT_TRUE(answer.line.empty());
      EXPECT_EQ(witness.SeenSize(kOrigin), static_cast<std::uint64_t>(seen)) << "it keeps to what it said";
      if (is_smaller) {
        EXPECT_EQ(answer.judgement.verdict, Verdict::kBehind);
      } else if (other > seen && (seen & (seen - 1)) == 0) {
        // A proof from a power of two does not tell what the older tree is said to be; the whole fork does (below).
        EXPECT_EQ(answer.judgement.verdict, Verdict::kUnproven);
      } else {
        ASSERT_EQ(answer.judgement.verdict, Verdict::kFork) << seen << " " << other;
        const std::string text = EvidenceText(*answer.judgement.evidence);
        EXPECT_TRUE(VerifyFork(ParseEvidence(text).value(), log_key_).ok());
      }
      // Whoever has one note and the other's tree has the evidence, whatever the sizes.
      const Log& longer = is_smaller ? *log : *fork;
      const Log& shorter = is_smaller ? *fork : *log;
      const Result<ForkEvidence> found = FindFork(shorter.note(), longer.note(), longer.nodes(), log_key_);
      ASSERT_TRUE(found.ok()) << found.status().ToString();
      const ForkEvidence read = ParseEvidence(EvidenceText(*found)).value();
      EXPECT_TRUE(VerifyFork(read, log_key_).ok());
      EXPECT_EQ(VerifyFork(read, NamedKeyOf(kOrigin, 7)).code(), Code::kPermissionDenied) << "another log's key";
    }
  }
}

TEST_F(WitnessTest, NobodyCanBeConvictedWhoDidNotFork) {
  const std::unique_ptr<Log> log = MakeLog();
  std::vector<std::string> notes;
  for (int i = 0; i < 12; ++i) {
    Append(*log, 1 + i % 3, "entry");
    notes.push_back(log->note());
  }
  for (const std::string& older : notes) {
    EXPECT_EQ(FindFork(older, log->note(), log->nodes(), log_key_).code(), Code::kNotFound);
    const std::uint64_t old_size = VerifyCheckpoint(older, log_key_, {})->checkpoint.head.size;
    const std::vector<Hash> proof = ProveConsistency(log->nodes(), old_size, log->size()).value();
    // Whatever is claimed: the right root, another, with the right proof, with none.
    for (const Hash& claimed :
         {VerifyCheckpoint(older, log_key_, {})->checkpoint.head.root, EmptyRoot(), log->head().root}) {
      EXPECT_EQ(VerifyFork({older, log->note(), claimed, proof}, log_key_).code(), Code::kPermissionDenied);
      EXPECT_EQ(VerifyFork({older, log->note(), claimed, {}}, log_key_).code(), Code::kPermissionDenied);
      EXPECT_EQ(VerifyFork({older, older, claimed, proof}, log_key_).code(), Code::kPermissionDenied);
      if (old_size < log->size()) {
        EXPECT_FALSE(VerifyFork({log->note(), older, claimed, proof}, log_key_).ok()) << "the wrong way round";
      }
    }
  }
}

TEST_F(WitnessTest, EveryFlippedBitOfEvidenceIsRefused) {
  const std::unique_ptr<Log> log = MakeLog();
  const std::unique_ptr<Log> fork = MakeLog();
  Append(*log, 5, "honest");
  Append(*fork, 9, "forked");
  const std::string text = EvidenceText(FindFork(log->note(), fork->note(), fork->nodes(), log_key_).value());
  for (std::size_t bit = 0; bit < text.size() * 8; ++bit) {
    std::string bad = text;
    bad[bit / 8] = static_cast<char>(bad[bit / 8] ^ 1 << bit % 8);
    const Result<ForkEvidence> read = ParseEvidence(bad);
    EXPECT_FALSE(read.ok() && VerifyFork(*read, log_key_).ok()) << bit;
  }
  for (std::size_t size = 0; size < text.size(); ++size) EXPECT_FALSE(ParseEvidence(text.substr(0, size)).ok());
}

TEST_F(WitnessTest, ARolledBackOrUnprovenTreeIsNotCosigned) {
  const std::unique_ptr<Log> log = MakeLog();
  Append(*log, 10, "entry");
  Witness witness = std::move(Open()).value();
  const Extension first = log->ProveExtension(0).value();
  ASSERT_EQ(witness.Add(first, 1)->judgement.verdict, Verdict::kExtends);
  Append(*log, 10, "entry");
  Extension second = log->ProveExtension(10).value();
  second.proof.pop_back();
  EXPECT_EQ(witness.Add(second, 1)->judgement.verdict, Verdict::kUnproven);
  const Extension from_nothing = log->ProveExtension(0).value();
  EXPECT_EQ(witness.Add(from_nothing, 1)->judgement.verdict, Verdict::kBehind) << "the proof begins elsewhere";
  ASSERT_EQ(Offer(witness, *log)->judgement.verdict, Verdict::kExtends);
  const Result<Witness::Answer> back = witness.Add(first, 1);
  EXPECT_EQ(back->judgement.verdict, Verdict::kBehind);
  EXPECT_EQ(back->judgement.seen_size, 20u);
}

TEST_F(WitnessTest, WhatItDoesNotWatchOrHasForgottenItRefuses) {
  const std::unique_ptr<Log> log = MakeLog();
  Append(*log, 3, "entry");
  Witness other = std::move(Witness::Open(scratch_.Path("other"), "w2", KeyOf(3), {NamedKeyOf("another", 4)})).value();
  EXPECT_EQ(other.Add(log->ProveExtension(0).value(), 1).code(), Code::kNotFound);
  Witness cheated = std::move(Witness::Open(scratch_.Path("other"), "w2", KeyOf(3), {NamedKeyOf(kOrigin, 4)})).value();
  EXPECT_EQ(cheated.Add(log->ProveExtension(0).value(), 1).code(), Code::kPermissionDenied) << "not the log's key";
  {
    Witness witness = std::move(Open()).value();
    ASSERT_EQ(Offer(witness, *log)->judgement.verdict, Verdict::kExtends);
  }
  EXPECT_THAT(Open(9).status().text(), HasSubstr("is damaged")) << "another key did not write it";
  const std::filesystem::path file = *std::filesystem::directory_iterator(scratch_.Path("witness"));
  const std::string whole = ReadWhole(file);
  for (std::size_t size = 0; size < whole.size(); size += 7) {
    WriteWhole(file, whole.substr(0, size));
    EXPECT_EQ(Open().code(), Code::kBadFrame) << size;
  }
  WriteWhole(file, whole);
  EXPECT_EQ(Open()->SeenSize(kOrigin), 3u);
}

}  // namespace
}  // namespace accelmesh::market::ledger
