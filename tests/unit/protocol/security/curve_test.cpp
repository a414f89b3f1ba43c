#include "protocol/security/curve.h"

#include <gtest/gtest.h>
#include <sodium.h>

namespace accelmesh::security {
namespace {

SigningKey Key(std::uint8_t number) { return SigningKey::FromSeed(Bytes(kKeyBytes, number)).value(); }

// What two ends of a box agree on: the plain definition of X25519.
std::array<std::uint8_t, 32> Shared(const CurveSecret& mine, const CurveKey& theirs) {
  std::array<std::uint8_t, 32> shared{};
  EXPECT_EQ(::crypto_scalarmult(shared.data(), mine.bytes.data(), theirs.bytes.data()), 0);
  return shared;
}

TEST(CurveTest, AnIdentitysTwoHalvesBelongTogether) {
  for (std::uint8_t number = 1; number < 20; ++number) {
    const SigningKey key = Key(number);
    const Result<CurveKey> curve = CurveKeyOf(key.public_key());
    ASSERT_TRUE(curve.ok()) << curve.status().ToString();
    EXPECT_EQ(CurveKeyOf(CurveSecretOf(key)), *curve);
    const Result<CurvePair> pair = CurvePairOf(key);
    ASSERT_TRUE(pair.ok());
    EXPECT_EQ(pair->key, *curve);
    EXPECT_EQ(pair->secret.bytes, CurveSecretOf(key).bytes);
  }
}

TEST(CurveTest, BothEndsAgree) {
  const SigningKey server = Key(1);
  const CurvePair client = NewCurvePair().value();
  EXPECT_EQ(Shared(client.secret, CurveKeyOf(server.public_key()).value()), Shared(CurveSecretOf(server), client.key));
}

TEST(CurveTest, FreshPairsDiffer) {
  const CurvePair a = NewCurvePair().value();
  const CurvePair b = NewCurvePair().value();
  EXPECT_NE(a.key, b.key);
  EXPECT_NE(a.secret.bytes, b.secret.bytes);
  EXPECT_EQ(CurveKeyOf(a.secret), a.key);
}

TEST(CurveTest, WhatIsNoIdentityHasNoConnectionKey) {
  PublicKey none;  // of small order
  none.bytes.front() = 1;
  const Result<CurveKey> curve = CurveKeyOf(none);
  EXPECT_EQ(curve.code(), Code::kInvalidArgument);
  EXPECT_NE(curve.status().text().find("slotctl keys list"), std::string::npos) << curve.status().text();
}

TEST(CurveTest, ASecretsHashIsItsOwn) {
  const SecretHash hash = HashOfSecret(AsBytes(std::string_view("0123456789")));
  EXPECT_EQ(HashOfSecret(AsBytes(std::string_view("0123456789"))), hash);
  EXPECT_NE(HashOfSecret(AsBytes(std::string_view("0123456788"))), hash);
  EXPECT_NE(HashOfSecret({}), hash);
  // Not the plain hash that somebody else may have made of it.
  SecretHash plain{};
  ::crypto_generichash(plain.data(), plain.size(), reinterpret_cast<const unsigned char*>("0123456789"), 10, nullptr,
                       0);
  EXPECT_NE(plain, hash);
}

}  // namespace
}  // namespace accelmesh::security
