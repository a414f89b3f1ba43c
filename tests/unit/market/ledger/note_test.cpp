#include "market/ledger/note.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/market/ledger/scratch.h"

namespace accelmesh::market::ledger {
namespace {

// A key and a note that are in the documentation of Go's sumdb/note.
constexpr const char* kPublicKey = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
constexpr const char* kPublicNote =
    "If you think cryptography is the answer to your problem,\n"
    "then you don't know what your problem is.\n"
    "\n"
    "\u2014 PeterNeumann "
    "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";

TEST(NoteTest, ReadsWhatOthersHaveSigned) {
  const TypedKey key = ParseVerifierKey(kPublicKey).value();
  EXPECT_EQ(key.key.name, "PeterNeumann");
  EXPECT_EQ(key.type, SignatureType::kEd25519);
  EXPECT_EQ(KeyIdOf(key.key, key.type), 0xc74f20a3u);
  EXPECT_EQ(VerifierKey(key.key, key.type), kPublicKey);
  const Note note = ParseNote(kPublicNote).value();
  ASSERT_EQ(note.signatures.size(), 1u);
  EXPECT_EQ(note.signatures[0].key_id, 0xc74f20a3u);
  security::Signature signature;
  ASSERT_EQ(note.signatures[0].bytes.size(), signature.size());
  std::copy(note.signatures[0].bytes.begin(), note.signatures[0].bytes.end(), signature.begin());
  EXPECT_TRUE(security::IsSignedBy(key.key.key, AsBytes(std::string_view(note.text)), signature));
  EXPECT_EQ(NoteBytes(note), kPublicNote);
}

TEST(NoteTest, WhatIsNoNoteIsRefused) {
  const std::string good = kPublicNote;
  for (std::size_t size = 0; size < good.size(); ++size) EXPECT_FALSE(ParseNote(good.substr(0, size)).ok()) << size;
  const std::string line = good.substr(good.find("\n\n") + 2);
  EXPECT_FALSE(ParseNote("text\n\n" + line + "text\n").ok());
  EXPECT_FALSE(ParseNote("te\x01xt\n\n" + line).ok());
  EXPECT_FALSE(ParseNote("te\xc3\xa9xt\n\n" + line).ok());
  EXPECT_TRUE(ParseNote("two\n\nparts\n\n" + line).ok()) << "a text may have empty lines";
  std::string many = "text\n\n";
  for (std::size_t i = 0; i < kNoteSignaturesMax; ++i) many += line;
  EXPECT_TRUE(ParseNote(many).ok());
  EXPECT_FALSE(ParseNote(many + line).ok());
  EXPECT_FALSE(ParseNote(std::string(kNoteBytesMax, 'x') + good).ok());
  for (const char* const bad : {"\u2014 a+b AAAAAAA=\n", "\u2014  AAAAAAA=\n", "\u2014 a AAAA\n", "\u2014 a AAAAAA\n",
                                "\u2014 a AAAAAAB=\n", "- a AAAAAAA=\n", "\u2014 a AAAAAAA= \n", "\u2014 a\n"}) {
    EXPECT_FALSE(ParseNoteLine(bad).ok()) << bad;
  }
  EXPECT_TRUE(ParseNoteLine("\u2014 a AAAAAAA=\n").ok());
}

TEST(NoteTest, VerifierKeysThatDoNotFitTheirIdAreRefused) {
  const NamedKey key = NamedKeyOf("witness.example/w1", 9);
  for (const SignatureType type : {SignatureType::kEd25519, SignatureType::kCosignature}) {
    const std::string text = VerifierKey(key, type);
    const TypedKey read = ParseVerifierKey(text).value();
    EXPECT_EQ(read.key, key);
    EXPECT_EQ(read.type, type);
    for (std::size_t i = 0; i < text.size(); ++i) {
      std::string other = text;
      other[i] = other[i] == 'A' ? 'B' : 'A';
      EXPECT_FALSE(ParseVerifierKey(other).ok()) << i;
      EXPECT_FALSE(ParseVerifierKey(text.substr(0, i)).ok()) << i;
    }
  }
  EXPECT_NE(KeyIdOf(key, SignatureType::kEd25519), KeyIdOf(key, SignatureType::kCosignature));
}

}  // namespace
}  // namespace accelmesh::market::ledger
