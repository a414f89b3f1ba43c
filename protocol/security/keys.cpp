#include "protocol/security/keys.h"

#include <sodium.h>

#include <utility>

namespace accelmesh::security {
namespace {

static_assert(crypto_sign_PUBLICKEYBYTES == kKeyBytes && crypto_sign_SEEDBYTES == kKeyBytes &&
              crypto_sign_BYTES == kSignatureBytes && crypto_sign_SECRETKEYBYTES == 64);

bool Initialise() {
  static const bool is_ready = ::sodium_init() >= 0;
  return is_ready;
}

}  // namespace

SigningKey::SigningKey(SigningKey&& other) noexcept : secret_(other.secret_), public_key_(other.public_key_) {
  ::sodium_memzero(other.secret_.data(), other.secret_.size());
}

SigningKey& SigningKey::operator=(SigningKey&& other) noexcept {
  if (this != &other) {
    secret_ = other.secret_;
    public_key_ = other.public_key_;
    ::sodium_memzero(other.secret_.data(), other.secret_.size());
  }
  return *this;
}

SigningKey::~SigningKey() { ::sodium_memzero(secret_.data(), secret_.size()); }

Result<SigningKey> SigningKey::Generate() {
  if (!Initialise()) {
    return Status(Code::kSystem, "SigningKey::Generate", "the system gives no randomness; is /dev/urandom there?");
  }
  SigningKey key;
  ::crypto_sign_keypair(key.public_key_.bytes.data(), key.secret_.data());
  return key;
}

Result<SigningKey> SigningKey::FromSeed(ByteView seed) {
  if (!Initialise()) return Status(Code::kSystem, "SigningKey::FromSeed", "libsodium does not start");
  if (seed.size() != kKeyBytes) {
    return Status(Code::kInvalidArgument, "SigningKey::FromSeed.seed",
                  std::to_string(seed.size()) + " bytes; a seed has " + std::to_string(kKeyBytes));
  }
  SigningKey key;
  ::crypto_sign_seed_keypair(key.public_key_.bytes.data(), key.secret_.data(), seed.data());
  return key;
}

Signature SigningKey::Sign(ByteView message) const {
  Signature signature{};
  ::crypto_sign_detached(signature.data(), nullptr, message.data(), message.size(), secret_.data());
  return signature;
}

bool IsSignedBy(const PublicKey& key, ByteView message, const Signature& signature) {
  return Initialise() &&
         ::crypto_sign_verify_detached(signature.data(), message.data(), message.size(), key.bytes.data()) == 0;
}

}  // namespace accelmesh::security
