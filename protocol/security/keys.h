// Ed25519 keys of identities (people, markets, servers, witnesses) and the kinds of keys that a token names.
//
// Ownership: a SigningKey wipes its secret when it goes. Threads: values; functions may be called from any thread.
// Process: any of these functions initialises libsodium, once.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "protocol/base/bytes.h"
#include "protocol/base/result.h"

namespace accelmesh::security {

inline constexpr std::size_t kKeyBytes = 32;
inline constexpr std::size_t kSignatureBytes = 64;

// Verifies what a SigningKey signed.
struct PublicKey {
  std::array<std::uint8_t, kKeyBytes> bytes{};
  bool operator==(const PublicKey&) const = default;
};
// The public X25519 key of a ZeroMQ CURVE connection: who is at the other end.
struct CurveKey {
  std::array<std::uint8_t, kKeyBytes> bytes{};
  bool operator==(const CurveKey&) const = default;
};
using Signature = std::array<std::uint8_t, kSignatureBytes>;

class SigningKey {
 public:
  // From the system's randomness.
  static Result<SigningKey> Generate();
  // From 32 secret bytes: the same bytes, the same key.
  static Result<SigningKey> FromSeed(ByteView seed);

  SigningKey(SigningKey&& other) noexcept;
  SigningKey& operator=(SigningKey&& other) noexcept;
  SigningKey(const SigningKey&) = delete;
  SigningKey& operator=(const SigningKey&) = delete;
  ~SigningKey();

  const PublicKey& public_key() const { return public_key_; }
  ByteView seed() const { return ByteView(secret_).first(kKeyBytes); }
  Signature Sign(ByteView message) const;

 private:
  SigningKey() = default;

  std::array<std::uint8_t, 64> secret_{};  // the seed, then the public key
  PublicKey public_key_;
};

// Whether `signature` is that of `message` by `key`. Weak and non-canonical keys and signatures are not.
bool IsSignedBy(const PublicKey& key, ByteView message, const Signature& signature);

// Lower-case hexadecimal digits, as keys are shown and stored.
std::string HexOf(ByteView bytes);
// kInvalidArgument unless `text` is exactly `bytes.size()` bytes in lower-case hexadecimal; says nothing of the text.
Status ParseHex(std::string_view text, MutableByteView bytes);

}  // namespace accelmesh::security
