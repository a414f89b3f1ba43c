#include "protocol/security/keys.h"

#include <gtest/gtest.h>

namespace accelmesh::security {
namespace {

// RFC 8032, 7.1, TEST 2: one byte.
TEST(KeysTest, SignsAsEveryoneElse) {
  Bytes seed(kKeyBytes);
  ASSERT_TRUE(ParseHex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb", seed).ok());
  const Result<SigningKey> key = SigningKey::FromSeed(seed);
  ASSERT_TRUE(key.ok());
  EXPECT_EQ(HexOf(key->public_key().bytes), "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c");
  const Bytes message = {0x72};
  const Signature signature = key->Sign(message);
  EXPECT_EQ(
      HexOf(signature),
      "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aee"
      "b00d291612bb0c00");
  EXPECT_TRUE(IsSignedBy(key->public_key(), message, signature));
  EXPECT_EQ(HexOf(key->seed()), HexOf(seed));
}

TEST(KeysTest, AnythingElseIsNotSigned) {
  const Result<SigningKey> key = SigningKey::Generate();
  const Result<SigningKey> other = SigningKey::Generate();
  ASSERT_TRUE(key.ok() && other.ok());
  const Bytes message = {1, 2, 3};
  const Signature signature = key->Sign(message);
  EXPECT_TRUE(IsSignedBy(key->public_key(), message, signature));
  EXPECT_FALSE(IsSignedBy(other->public_key(), message, signature));
  EXPECT_FALSE(IsSignedBy(PublicKey{}, message, Signature{}));
  for (std::size_t bit = 0; bit < 8 * kSignatureBytes; ++bit) {
    Signature wrong = signature;
    wrong[bit / 8] ^= static_cast<std::uint8_t>(1 << bit % 8);
    ASSERT_FALSE(IsSignedBy(key->public_key(), message, wrong)) << bit;
  }
  EXPECT_FALSE(IsSignedBy(key->public_key(), Bytes{1, 2}, signature));
  EXPECT_FALSE(IsSignedBy(key->public_key(), {}, signature));
}

TEST(KeysTest, SeedsHave32Bytes) {
  EXPECT_FALSE(SigningKey::FromSeed(Bytes(31)).ok());
  EXPECT_FALSE(SigningKey::FromSeed(Bytes(33)).ok());
}

TEST(KeysTest, HexIsExact) {
  Bytes bytes(2);
  EXPECT_TRUE(ParseHex("00ff", bytes).ok());
  EXPECT_EQ(bytes, (Bytes{0, 255}));
  for (const char* text : {"", "00f", "00ff0", "00FF", "0xff", "00 f"})
    EXPECT_FALSE(ParseHex(text, bytes).ok()) << text;
  EXPECT_EQ(bytes, (Bytes{0, 255}));
}

}  // namespace
}  // namespace accelmesh::security
