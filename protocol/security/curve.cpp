#include "protocol/security/curve.h"

#include <sodium.h>

namespace accelmesh::security {
namespace {

static_assert(crypto_box_PUBLICKEYBYTES == kKeyBytes && crypto_box_SECRETKEYBYTES == kKeyBytes &&
              crypto_scalarmult_curve25519_BYTES == kKeyBytes);
// Set apart from hashes of the same secret that others make.
constexpr std::string_view kSecretLabel = "accelmesh group secret 1";

}  // namespace

Result<CurvePair> NewCurvePair() {
  if (::sodium_init() < 0) {
    return Status(Code::kSystem, "NewCurvePair", "the system gives no randomness; is /dev/urandom there?");
  }
  CurvePair pair;
  ::crypto_box_keypair(pair.key.bytes.data(), pair.secret.bytes.data());
  return pair;
}

Result<CurveKey> CurveKeyOf(const PublicKey& key) {
  CurveKey curve;
  if (::sodium_init() < 0 || ::crypto_sign_ed25519_pk_to_curve25519(curve.bytes.data(), key.bytes.data()) != 0) {
    return Status(Code::kInvalidArgument, "CurveKeyOf.key",
                  HexOf(key.bytes) + " is no key of an identity; take it from slotctl keys list");
  }
  return curve;
}

CurveSecret CurveSecretOf(const SigningKey& key) {
  // The seed and the public key, as libsodium lays out a secret key.
  std::array<std::uint8_t, crypto_sign_SECRETKEYBYTES> whole{};
  std::copy(key.seed().begin(), key.seed().end(), whole.begin());
  std::copy(key.public_key().bytes.begin(), key.public_key().bytes.end(), whole.begin() + kKeyBytes);
  CurveSecret secret;
  ::crypto_sign_ed25519_sk_to_curve25519(secret.bytes.data(), whole.data());
  ::sodium_memzero(whole.data(), whole.size());
  return secret;
}

Result<CurvePair> CurvePairOf(const SigningKey& key) {
  CurvePair pair;
  ACCELMESH_ASSIGN_OR_RETURN(pair.key, CurveKeyOf(key.public_key()));
  pair.secret = CurveSecretOf(key);
  return pair;
}

CurveKey CurveKeyOf(const CurveSecret& secret) {
  CurveKey key;
  ::crypto_scalarmult_curve25519_base(key.bytes.data(), secret.bytes.data());
  return key;
}

SecretHash HashOfSecret(ByteView secret) {
  SecretHash hash{};
  ::crypto_generichash(hash.data(), hash.size(), secret.data(), secret.size(),
                       reinterpret_cast<const unsigned char*>(kSecretLabel.data()), kSecretLabel.size());
  return hash;
}

}  // namespace accelmesh::security
