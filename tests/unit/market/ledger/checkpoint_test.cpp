#include "market/ledger/checkpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/market/ledger/scratch.h"

namespace accelmesh::market::ledger {
namespace {

using testing::HasSubstr;

class CheckpointTest : public testing::Test {
 protected:
  const NamedKey log_ = NamedKeyOf("market.example/log", 1);
  const NamedKey witness_ = NamedKeyOf("agent.example/w", 2);
  const Checkpoint checkpoint_{"market.example/log", {20852163, LeafHash({})}};
  const std::string note_ = SignCheckpoint(checkpoint_, KeyOf(1));
  std::string CosignedAt(std::int64_t time_s) const {
    return note_ + CosignatureLine(CheckpointText(checkpoint_), witness_.name, KeyOf(2), time_s);
  }
};

TEST_F(CheckpointTest, TheTextIsThatOfTheSpecification) {
  EXPECT_EQ(CheckpointText(checkpoint_), "market.example/log\n20852163\n" + Base64(LeafHash({})) + "\n");
  EXPECT_EQ(ParseCheckpointText(CheckpointText(checkpoint_)).value(), checkpoint_);
  for (const char* const text :
       {"", "o\n1\n", "o\n01\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n",
        "o\n-1\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n", "o\n\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n",
        "o\n+1\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n",
        "o\n1\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", "\n1\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n",
        "o\n99999999999999999999\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n",
        "o\n1\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB=\n",
        "o\n1\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\nmore\n"}) {
    EXPECT_EQ(ParseCheckpointText(text).code(), Code::kBadFrame) << text;
  }
}

TEST_F(CheckpointTest, OnlyTheLogsOwnSignatureCounts) {
  const VerifiedCheckpoint verified = VerifyCheckpoint(note_, log_, {}).value();
  EXPECT_EQ(verified.checkpoint, checkpoint_);
  EXPECT_EQ(VerifyCheckpoint(note_, NamedKeyOf(log_.name, 3), {}).code(), Code::kPermissionDenied) << "another key";
  EXPECT_EQ(VerifyCheckpoint(note_, NamedKeyOf("other", 1), {}).code(), Code::kPermissionDenied) << "another log";
  // A cosignature by the log's key is none of its signatures, and the other way round.
  const std::string unsigned_note = NoteBytes({CheckpointText(checkpoint_), {}}) +
                                    CosignatureLine(CheckpointText(checkpoint_), log_.name, KeyOf(1), 5);
  EXPECT_EQ(VerifyCheckpoint(unsigned_note, log_, {}).code(), Code::kPermissionDenied);
  for (std::size_t bit = 0; bit < note_.size() * 8; ++bit) {
    std::string other = note_;
    other[bit / 8] = static_cast<char>(other[bit / 8] ^ 1 << bit % 8);
    EXPECT_FALSE(VerifyCheckpoint(other, log_, {}).ok()) << bit;
  }
}

TEST_F(CheckpointTest, WitnessesAreCountedOnceAndForgeriesRefused) {
  const VerifiedCheckpoint verified = VerifyCheckpoint(CosignedAt(1679315147), log_, {&witness_, 1}).value();
  ASSERT_EQ(verified.cosigners.size(), 1u);
  EXPECT_EQ(verified.cosigners[0].witness, witness_);
  EXPECT_EQ(verified.cosigners[0].time_s, 1679315147);
  EXPECT_TRUE(VerifyCheckpoint(CosignedAt(5), log_, {})->cosigners.empty()) << "an unknown one counts for nothing";
  const std::string twice = CosignedAt(5) + CosignatureLine(CheckpointText(checkpoint_), witness_.name, KeyOf(2), 6);
  EXPECT_EQ(VerifyCheckpoint(twice, log_, {&witness_, 1})->cosigners.size(), 1u);
  // The time is signed, too.
  Note note = ParseNote(CosignedAt(5)).value();
  ++note.signatures[1].bytes[7];
  EXPECT_THAT(VerifyCheckpoint(NoteBytes(note), log_, {&witness_, 1}).status().text(), HasSubstr("in the name of"));
  note.signatures[1].bytes.pop_back();
  EXPECT_EQ(VerifyCheckpoint(NoteBytes(note), log_, {&witness_, 1}).code(), Code::kPermissionDenied);
}

TEST_F(CheckpointTest, ALineReplacesAnOlderOneOfItsKey) {
  const std::string newer = CosignatureLine(CheckpointText(checkpoint_), witness_.name, KeyOf(2), 9);
  const std::string note = WithSignature(CosignedAt(5), newer).value();
  EXPECT_EQ(VerifyCheckpoint(note, log_, {&witness_, 1})->cosigners[0].time_s, 9);
  EXPECT_EQ(ParseNote(note)->signatures.size(), 2u);
  EXPECT_EQ(WithSignature(note_, "no line").code(), Code::kBadFrame);
}

TEST_F(CheckpointTest, ProofsAsTextsAreReadBack) {
  const Extension extension{5, {LeafHash({}), EmptyRoot()}, note_};
  const std::string text = ExtensionText(extension);
  const Extension read = ParseExtension(text).value();
  EXPECT_EQ(read.old_size, 5u);
  EXPECT_EQ(read.proof, extension.proof);
  EXPECT_EQ(read.note, note_);
  const Inclusion inclusion{7, {EmptyRoot()}, note_};
  const std::string shown = InclusionText(inclusion);
  const Inclusion back = ParseInclusion(shown).value();
  EXPECT_EQ(back.index, 7u);
  EXPECT_EQ(back.proof, inclusion.proof);
  EXPECT_EQ(back.note, note_);
  for (std::size_t size = 0; size < text.size(); ++size) EXPECT_FALSE(ParseExtension(text.substr(0, size)).ok());
  for (std::size_t size = 0; size < shown.size(); ++size) EXPECT_FALSE(ParseInclusion(shown.substr(0, size)).ok());
  EXPECT_FALSE(ParseExtension("old 05\n\n" + note_).ok());
  EXPECT_TRUE(ParseExtension("old 0\n\n" + note_).ok());
  const Extension many{5, std::vector<Hash>(kProofHashesMax + 1), note_};
  EXPECT_FALSE(ParseExtension(ExtensionText(many)).ok());
}

}  // namespace
}  // namespace accelmesh::market::ledger
