#include "protocol/transport/seal.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <cstring>
#include <limits>

namespace accelmesh {
namespace {

constexpr std::size_t kNonceBytes = 12;

void Initialise() {
  static const int ready = ::OPENSSL_init_crypto(
      OPENSSL_INIT_NO_LOAD_CONFIG | OPENSSL_INIT_NO_ATEXIT | OPENSSL_INIT_ADD_ALL_CIPHERS, nullptr);
  (void)ready;
}

Status Failed(const char* what) { return {Code::kSystem, "Seal", std::string("OpenSSL refused: ") + what}; }

bool Derive(ByteView secret, std::string_view label, SealKey& key) {
  unsigned size = key.size();
  return ::HMAC(::EVP_sha256(), secret.data(), static_cast<int>(secret.size()),
                reinterpret_cast<const unsigned char*>(label.data()), label.size(), key.data(), &size) != nullptr;
}

EVP_CIPHER_CTX* Context(void* context) { return static_cast<EVP_CIPHER_CTX*>(context); }

// A context with the key and no nonce yet; null if there is none.
EVP_CIPHER_CTX* MakeContext(const SealKey& key, bool seals) {
  Initialise();
  EVP_CIPHER_CTX* const context = ::EVP_CIPHER_CTX_new();
  if (context == nullptr) return nullptr;
  if (::EVP_CipherInit_ex(context, ::EVP_aes_256_gcm(), nullptr, key.data(), nullptr, seals ? 1 : 0) == 1)
    return context;
  ::EVP_CIPHER_CTX_free(context);
  return nullptr;
}

Status BeginRecord(void* context, std::uint64_t& number, ByteView header) {
  if (number == std::numeric_limits<std::uint64_t>::max())
    return {Code::kLimitExceeded, "Seal", "the connection has sent as many records as one key allows"};
  std::array<std::uint8_t, kNonceBytes> nonce{};
  std::memcpy(nonce.data() + 4, &number, sizeof(number));
  ++number;
  int ignored = 0;
  if (::EVP_CipherInit_ex(Context(context), nullptr, nullptr, nullptr, nonce.data(), -1) != 1) return Failed("a nonce");
  if (::EVP_CipherUpdate(Context(context), nullptr, &ignored, header.data(), static_cast<int>(header.size())) != 1)
    return Failed("a header");
  return {};
}

Status AddPiece(void* context, ByteView piece, std::uint8_t* to) {
  int done = 0;
  if (piece.empty()) return {};
  if (::EVP_CipherUpdate(Context(context), to, &done, piece.data(), static_cast<int>(piece.size())) != 1 ||
      static_cast<std::size_t>(done) != piece.size()) {
    return Failed("a piece");
  }
  return {};
}

}  // namespace

Result<SealKeys> KeysOfSecret(ByteView secret) {
  Initialise();
  SealKeys keys;
  if (!Derive(secret, "accelmesh bulk mark 1", keys.mark) || !Derive(secret, "accelmesh bulk up 1", keys.up) ||
      !Derive(secret, "accelmesh bulk down 1", keys.down)) {
    return Failed("HMAC-SHA-256");
  }
  return keys;
}

Result<std::unique_ptr<Sealer>> Sealer::Make(const SealKey& key) {
  std::unique_ptr<Sealer> sealer(new Sealer);
  sealer->context_ = MakeContext(key, /*seals=*/true);
  if (sealer->context_ == nullptr) return Failed("AES-256-GCM");
  return sealer;
}
Sealer::~Sealer() { ::EVP_CIPHER_CTX_free(Context(context_)); }
Status Sealer::Begin(ByteView header) { return BeginRecord(context_, number_, header); }
Status Sealer::Add(ByteView piece, std::uint8_t* to) { return AddPiece(context_, piece, to); }
Status Sealer::End(SealTag& tag) {
  int ignored = 0;
  if (::EVP_CipherFinal_ex(Context(context_), tag.data(), &ignored) != 1 ||
      ::EVP_CIPHER_CTX_ctrl(Context(context_), EVP_CTRL_AEAD_GET_TAG, kSealTagBytes, tag.data()) != 1) {
    return Failed("a tag");
  }
  return {};
}

Result<std::unique_ptr<Opener>> Opener::Make(const SealKey& key) {
  std::unique_ptr<Opener> opener(new Opener);
  opener->context_ = MakeContext(key, /*seals=*/false);
  if (opener->context_ == nullptr) return Failed("AES-256-GCM");
  return opener;
}
Opener::~Opener() { ::EVP_CIPHER_CTX_free(Context(context_)); }
Status Opener::Begin(ByteView header) { return BeginRecord(context_, number_, header); }
Status Opener::Add(MutableByteView piece) { return AddPiece(context_, piece, piece.data()); }
Status Opener::End(const SealTag& tag) {
  SealTag expected = tag;
  int ignored = 0;
  std::array<std::uint8_t, 16> rest{};
  if (::EVP_CIPHER_CTX_ctrl(Context(context_), EVP_CTRL_AEAD_SET_TAG, kSealTagBytes, expected.data()) != 1)
    return Failed("a tag");
  if (::EVP_CipherFinal_ex(Context(context_), rest.data(), &ignored) == 1) return {};
  return {Code::kBadFrame, "Seal", "a record was changed on its way, or comes from somebody else"};
}

}  // namespace accelmesh
