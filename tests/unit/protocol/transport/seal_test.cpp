#include "protocol/transport/seal.h"

#include <gtest/gtest.h>
#include <openssl/evp.h>

namespace accelmesh {
namespace {

Bytes Pattern(std::size_t size) {
  Bytes bytes(size);
  for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::uint8_t>(i * 13 + (i >> 8));
  return bytes;
}

const SealKeys& Keys() {
  static const SealKeys keys = KeysOfSecret(Bytes(32, 7)).value();
  return keys;
}

struct Record {
  Bytes body;
  SealTag tag{};
};
Record Seal(Sealer& sealer, ByteView header, ByteView body, std::size_t step) {
  Record record;
  record.body.resize(body.size());
  EXPECT_TRUE(sealer.Begin(header).ok());
  for (std::size_t at = 0; at < body.size(); at += step) {
    EXPECT_TRUE(sealer.Add(body.subspan(at, std::min(step, body.size() - at)), record.body.data() + at).ok());
  }
  EXPECT_TRUE(sealer.End(record.tag).ok());
  return record;
}
Status Open(Opener& opener, ByteView header, Bytes& body, const SealTag& tag, std::size_t step) {
  EXPECT_TRUE(opener.Begin(header).ok());
  for (std::size_t at = 0; at < body.size(); at += step) {
    EXPECT_TRUE(opener.Add(MutableByteView(body).subspan(at, std::min(step, body.size() - at))).ok());
  }
  return opener.End(tag);
}

// Both libraries against each other: an end has what its processor and its build have.
class SealTest : public testing::TestWithParam<std::pair<GcmLibrary, GcmLibrary>> {
 protected:
  void SetUp() override {
    for (const GcmLibrary library : {GetParam().first, GetParam().second}) {
      if (!HasGcm(library)) GTEST_SKIP() << "ipsec-mb was not built in, or this processor has no VAES with AVX-512";
    }
  }
  static std::unique_ptr<Sealer> MakeSealer(const SealKey& key) { return Sealer::Make(key, GetParam().first).value(); }
  static std::unique_ptr<Opener> MakeOpener(const SealKey& key) { return Opener::Make(key, GetParam().second).value(); }
};

TEST_P(SealTest, WhatIsSealedIsOpened) {
  const auto sealer = MakeSealer(Keys().up);
  const auto opener = MakeOpener(Keys().up);
  const Bytes header(24, 3);
  for (const std::size_t size : {0, 1, 15, 16, 17, 1000, 100'000, 1 << 20}) {
    const Bytes body = Pattern(size);
    Record record = Seal(*sealer, header, body, 1 + size / 3);
    if (size > 15) {
      EXPECT_NE(record.body, body);
    }
    ASSERT_TRUE(Open(*opener, header, record.body, record.tag, 1 + size / 7).ok()) << size;
    EXPECT_EQ(record.body, body);
  }
}

// Against OpenSSL in one piece, with the nonce written out by hand.
TEST_P(SealTest, ItIsAes256Gcm) {
  const auto sealer = MakeSealer(Keys().down);
  const Bytes header(24, 9);
  const Bytes body = Pattern(5000);
  for (std::uint8_t number = 0; number < 3; ++number) {
    const Record record = Seal(*sealer, header, body, 777);
    const std::uint8_t nonce[12] = {0, 0, 0, 0, number, 0, 0, 0, 0, 0, 0, 0};
    Bytes expected(body.size());
    SealTag tag{};
    int size = 0;
    EVP_CIPHER_CTX* const context = EVP_CIPHER_CTX_new();
    ASSERT_EQ(EVP_EncryptInit_ex(context, EVP_aes_256_gcm(), nullptr, Keys().down.data(), nonce), 1);
    ASSERT_EQ(EVP_EncryptUpdate(context, nullptr, &size, header.data(), 24), 1);
    ASSERT_EQ(EVP_EncryptUpdate(context, expected.data(), &size, body.data(), 5000), 1);
    ASSERT_EQ(EVP_EncryptFinal_ex(context, expected.data() + size, &size), 1);
    ASSERT_EQ(EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, 16, tag.data()), 1);
    EVP_CIPHER_CTX_free(context);
    EXPECT_EQ(record.body, expected);
    EXPECT_EQ(record.tag, tag);
  }
}

TEST_P(SealTest, WhatWasChangedIsNotOpened) {
  const Bytes header(24, 3);
  const Bytes body = Pattern(100);
  for (int what = 0; what < 5; ++what) {
    const auto sealer = MakeSealer(Keys().up);
    const auto opener = MakeOpener(what == 4 ? Keys().down : Keys().up);
    Record record = Seal(*sealer, header, body, 100);
    Bytes changed = header;
    if (what == 0) changed[5] ^= 1;
    if (what == 1) record.body[99] ^= 0x80;
    if (what == 2) record.tag[15] ^= 1;
    if (what == 3) record = Seal(*sealer, header, body, 100);  // the one before was left out
    const Status opened = Open(*opener, changed, record.body, record.tag, 100);
    EXPECT_EQ(opened.code(), Code::kBadFrame) << what;
  }
}

TEST_P(SealTest, ARepeatedRecordIsNotOpened) {
  const auto sealer = MakeSealer(Keys().up);
  const auto opener = MakeOpener(Keys().up);
  const Bytes header(24, 3);
  const Record record = Seal(*sealer, header, Pattern(100), 100);
  Bytes first = record.body;
  Bytes second = record.body;
  EXPECT_TRUE(Open(*opener, header, first, record.tag, 100).ok());
  EXPECT_EQ(Open(*opener, header, second, record.tag, 100).code(), Code::kBadFrame);
}

INSTANTIATE_TEST_SUITE_P(Libraries, SealTest,
                         testing::Values(std::pair(GcmLibrary::kOpenSsl, GcmLibrary::kOpenSsl),
                                         std::pair(GcmLibrary::kOpenSsl, GcmLibrary::kIpsecMb),
                                         std::pair(GcmLibrary::kIpsecMb, GcmLibrary::kOpenSsl),
                                         std::pair(GcmLibrary::kIpsecMb, GcmLibrary::kIpsecMb)),
                         [](const auto& which) {
                           const auto name = [](GcmLibrary library) {
                             return std::string(library == GcmLibrary::kOpenSsl ? "openssl" : "ipsec_mb");
                           };
                           return name(which.param.first) + "_to_" + name(which.param.second);
                         });

TEST(SealKeysTest, KeysDifferByUseAndSecret) {
  const SealKeys other = KeysOfSecret(Bytes(32, 8)).value();
  EXPECT_NE(Keys().up, Keys().down);
  EXPECT_NE(Keys().up, Keys().mark);
  EXPECT_NE(Keys().down, Keys().mark);
  EXPECT_NE(Keys().up, other.up);
  EXPECT_EQ(KeysOfSecret(Bytes(32, 7))->up, Keys().up);
}

}  // namespace
}  // namespace accelmesh
