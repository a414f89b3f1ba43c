#include "protocol/security/verified_signatures.h"

#include <gtest/gtest.h>

namespace accelmesh::security {
namespace {

TEST(VerifiedSignaturesTest, KnowsAgainOnlyWhatHeldByteForByte) {
  const SigningKey key = SigningKey::Generate().value();
  const SigningKey other = SigningKey::Generate().value();
  const Bytes message(300, 5);
  const Signature signature = key.Sign(message);
  VerifiedSignatures verified;
  EXPECT_TRUE(verified.Verify(key.public_key(), message, signature));
  EXPECT_EQ(verified.size(), 1U);
  EXPECT_TRUE(verified.Verify(key.public_key(), message, signature));
  EXPECT_EQ(verified.size(), 1U);
  EXPECT_FALSE(verified.Verify(other.public_key(), message, signature));
  for (std::size_t i = 0; i < message.size(); ++i) {
    Bytes changed = message;
    changed[i] ^= 1;
    EXPECT_FALSE(verified.Verify(key.public_key(), changed, signature)) << "byte " << i << " of the message";
  }
  for (std::size_t i = 0; i < signature.size(); ++i) {
    Signature changed = signature;
    changed[i] ^= 1;
    EXPECT_FALSE(verified.Verify(key.public_key(), message, changed)) << "byte " << i << " of the signature";
  }
  Bytes longer = message;
  longer.push_back(0);
  EXPECT_FALSE(verified.Verify(key.public_key(), longer, signature));
  EXPECT_FALSE(verified.Verify(key.public_key(), ByteView(message).first(299), signature));
  EXPECT_EQ(verified.size(), 1U);
}

TEST(VerifiedSignaturesTest, KeepsSoManyAndForgetsTheOldest) {
  const SigningKey key = SigningKey::Generate().value();
  VerifiedSignatures verified;
  for (std::size_t i = 0; i < VerifiedSignatures::kKeptMax + 10; ++i) {
    const Bytes message(8 + i, 1);
    ASSERT_TRUE(verified.Verify(key.public_key(), message, key.Sign(message)));
  }
  EXPECT_EQ(verified.size(), VerifiedSignatures::kKeptMax);
  const Bytes first(8, 1);
  EXPECT_TRUE(verified.Verify(key.public_key(), first, key.Sign(first)));
  EXPECT_EQ(verified.size(), VerifiedSignatures::kKeptMax);
}

}  // namespace
}  // namespace accelmesh::security
