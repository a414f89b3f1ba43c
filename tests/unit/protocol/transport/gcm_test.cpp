#include "protocol/transport/gcm.h"

#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <random>

namespace accelmesh {
namespace {

constexpr GcmLibrary kLibraries[] = {GcmLibrary::kOpenSsl, GcmLibrary::kIpsecMb};
std::string Name(GcmLibrary library) { return library == GcmLibrary::kOpenSsl ? "openssl" : "ipsec_mb"; }

struct Message {
  GcmNonce nonce{};
  Bytes header;
  Bytes body;
  Bytes sealed;
  GcmTag tag{};
};

class Generator {
 public:
  std::size_t Below(std::size_t bound) { return std::uniform_int_distribution<std::size_t>(0, bound - 1)(random_); }
  Bytes Some(std::size_t size) {
    Bytes bytes(size);
    for (std::uint8_t& byte : bytes) byte = static_cast<std::uint8_t>(random_());
    return bytes;
  }
  template <typename Array>
  Array Filled() {
    Array array;
    for (std::uint8_t& byte : array) byte = static_cast<std::uint8_t>(random_());
    return array;
  }
  // Sizes about what a library does at once: bytes, blocks, 16 and 48 blocks, and far more.
  std::size_t Size() {
    static constexpr std::size_t kAbout[] = {1, 16, 64, 256, 768, 4096, 70'000, 300'000};
    return Below(2 * kAbout[Below(std::size(kAbout))] + 1);
  }
  Message Sealed(const SealKey& key);

 private:
  std::mt19937_64 random_{20261127};
};

// The reference: OpenSSL in one piece.
Message Generator::Sealed(const SealKey& key) {
  Message message{Filled<GcmNonce>(), Some(Below(70)), Some(Size()), {}, {}};
  message.sealed.resize(message.body.size());
  int size = 0;
  EVP_CIPHER_CTX* const context = EVP_CIPHER_CTX_new();
  EXPECT_EQ(EVP_EncryptInit_ex(context, EVP_aes_256_gcm(), nullptr, key.data(), message.nonce.data()), 1);
  EXPECT_EQ(EVP_EncryptUpdate(context, nullptr, &size, message.header.data(), static_cast<int>(message.header.size())),
            1);
  if (!message.body.empty()) {
    EXPECT_EQ(EVP_EncryptUpdate(context, message.sealed.data(), &size, message.body.data(),
                                static_cast<int>(message.body.size())),
              1);
  }
  std::uint8_t rest[16];
  EXPECT_EQ(EVP_EncryptFinal_ex(context, rest, &size), 1);
  EXPECT_EQ(EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, 16, message.tag.data()), 1);
  EVP_CIPHER_CTX_free(context);
  return message;
}

class GcmTest : public testing::TestWithParam<GcmLibrary> {
 protected:
  void SetUp() override {
    if (!HasGcm(GetParam())) GTEST_SKIP() << "ipsec-mb was not built in, or this processor has no VAES with AVX-512";
    key_ = random_.Filled<SealKey>();
    sealing_ = MakeGcm(GetParam(), key_, /*seals=*/true).value();
    opening_ = MakeGcm(GetParam(), key_, /*seals=*/false).value();
  }
  // In pieces of random sizes, empty ones among them.
  void AddAll(Gcm& gcm, ByteView from, std::uint8_t* to) {
    for (std::size_t at = 0; at < from.size();) {
      const std::size_t size = std::min(from.size() - at, random_.Size());
      ASSERT_TRUE(gcm.Add(from.subspan(at, size), to + at).ok());
      at += size;
    }
  }
  Status Open(const Message& message, Bytes& body) {
    body = message.sealed;
    EXPECT_TRUE(opening_->Begin(message.nonce, message.header).ok());
    AddAll(*opening_, body, body.data());
    return opening_->EndOpening(message.tag);
  }

  Generator random_;
  SealKey key_{};
  std::unique_ptr<Gcm> sealing_;
  std::unique_ptr<Gcm> opening_;
};

TEST_P(GcmTest, SealsWhatTheReferenceSeals) {
  for (int round = 0; round < 400; ++round) {
    const Message message = random_.Sealed(key_);
    // In its place or elsewhere.
    Bytes body = message.body;
    Bytes elsewhere(body.size());
    Bytes& sealed = round % 2 == 0 ? body : elsewhere;
    ASSERT_TRUE(sealing_->Begin(message.nonce, message.header).ok());
    AddAll(*sealing_, body, sealed.data());
    GcmTag tag{};
    ASSERT_TRUE(sealing_->EndSealing(tag).ok());
    ASSERT_EQ(sealed, message.sealed) << round << ": " << message.body.size() << " bytes";
    ASSERT_EQ(tag, message.tag) << round << ": " << message.body.size() << " bytes";
  }
}

TEST_P(GcmTest, OpensWhatTheReferenceSealed) {
  for (int round = 0; round < 400; ++round) {
    const Message message = random_.Sealed(key_);
    Bytes body;
    ASSERT_TRUE(Open(message, body).ok()) << round << ": " << message.body.size() << " bytes";
    ASSERT_EQ(body, message.body) << round;
  }
}

TEST_P(GcmTest, RefusesWhatWasChangedByOneBit) {
  int changed[4] = {};
  for (int round = 0; round < 400; ++round) {
    Message message = random_.Sealed(key_);
    const auto flip = [&](auto& bytes) { bytes[random_.Below(bytes.size())] ^= 1 << random_.Below(8); };
    int what = round % 4;
    if ((what == 0 && message.sealed.empty()) || (what == 1 && message.header.empty())) what = 3;
    if (what == 0)
      flip(message.sealed);
    else if (what == 1)
      flip(message.header);
    else if (what == 2)
      flip(message.nonce);
    else
      flip(message.tag);
    ++changed[what];
    Bytes body;
    ASSERT_EQ(Open(message, body).code(), Code::kBadFrame) << round;
    // And goes on with the next one.
    if (round % 20 != 0) continue;
    const Message good = random_.Sealed(key_);
    ASSERT_TRUE(Open(good, body).ok());
  }
  // Few are empty.
  for (const int count : changed) EXPECT_GE(count, 80);
}

TEST_P(GcmTest, RefusesWhatIsShorterOrLonger) {
  for (int round = 0; round < 100; ++round) {
    Message message = random_.Sealed(key_);
    if (round % 2 == 0 || message.sealed.empty())
      message.sealed.push_back(0);
    else
      message.sealed.pop_back();
    Bytes body;
    ASSERT_EQ(Open(message, body).code(), Code::kBadFrame) << round;
  }
}

TEST_P(GcmTest, AnotherKeyOpensNothing) {
  const SealKey other = random_.Filled<SealKey>();
  for (int round = 0; round < 50; ++round) {
    Bytes body;
    ASSERT_EQ(Open(random_.Sealed(other), body).code(), Code::kBadFrame) << round;
  }
}

// A sanitizer does not see what assembly touches: nothing lies before and behind these pieces.
TEST_P(GcmTest, TouchesNoByteBeyondAPiece) {
  const std::size_t page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  constexpr std::size_t kPages = 4;
  std::uint8_t* const memory =
      static_cast<std::uint8_t*>(::mmap(nullptr, (kPages + 2) * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  ASSERT_NE(memory, MAP_FAILED);
  std::uint8_t* const begin = memory + page;
  std::uint8_t* const end = begin + kPages * page;
  ASSERT_EQ(::mprotect(begin, kPages * page, PROT_READ | PROT_WRITE), 0);
  const GcmNonce nonce{};
  GcmTag tag{};
  for (std::size_t size = 1; size <= kPages * page; size += size < 1100 ? 1 : 977) {
    for (std::uint8_t* const at : {begin, end - size}) {
      for (Gcm* const gcm : {sealing_.get(), opening_.get()}) {
        ASSERT_TRUE(gcm->Begin(nonce, {at, std::min<std::size_t>(size, 24)}).ok());
        ASSERT_TRUE(gcm->Add({at, size}, at).ok());
        // The second piece begins within a block.
        ASSERT_TRUE(gcm->Add({at, size}, at).ok());
      }
      ASSERT_TRUE(sealing_->EndSealing(tag).ok());
      ASSERT_EQ(opening_->EndOpening(GcmTag{}).code(), Code::kBadFrame);
    }
  }
  ::munmap(memory, (kPages + 2) * page);
}

INSTANTIATE_TEST_SUITE_P(Libraries, GcmTest, testing::ValuesIn(kLibraries),
                         [](const auto& which) { return Name(which.param); });

TEST(GcmLibraryTest, OpenSslIsAlwaysThereAndTheFastestIs) {
  EXPECT_TRUE(HasGcm(GcmLibrary::kOpenSsl));
  EXPECT_TRUE(HasGcm(FastestGcm()));
  EXPECT_EQ(FastestGcm() == GcmLibrary::kIpsecMb, HasGcm(GcmLibrary::kIpsecMb));
  if (!HasGcm(GcmLibrary::kIpsecMb)) {
    EXPECT_EQ(MakeGcm(GcmLibrary::kIpsecMb, SealKey{}, true).code(), Code::kUnsupported);
  }
}

}  // namespace
}  // namespace accelmesh
