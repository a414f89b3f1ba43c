// Keys of ZeroMQ CURVE connections (X25519). An identity's connection key is the X25519 form of its Ed25519 key, so
// that whoever knows an identity can connect to it and knows whom it reached; a lease's key is made fresh and used for
// that lease alone.
//
// Ownership: a CurveSecret wipes itself. Threads: values; functions may be called from any thread.
#pragma once

#include <string.h>

#include <array>
#include <cstdint>

#include "protocol/base/bytes.h"
#include "protocol/base/result.h"
#include "protocol/security/keys.h"

namespace accelmesh::security {

struct CurveSecret {
  std::array<std::uint8_t, kKeyBytes> bytes{};

  CurveSecret() = default;
  CurveSecret(const CurveSecret&) = default;
  CurveSecret& operator=(const CurveSecret&) = default;
  ~CurveSecret() { ::explicit_bzero(bytes.data(), bytes.size()); }
};

struct CurvePair {
  CurveKey key;
  CurveSecret secret;
};

// What a client needs to reach one server and to be known there.
struct CurveCredentials {
  CurveKey server_key;
  CurvePair own;
};

Result<CurvePair> NewCurvePair();
// The key by which the identity is reached. kInvalidArgument if `key` is no key that signs.
Result<CurveKey> CurveKeyOf(const PublicKey& key);
CurveSecret CurveSecretOf(const SigningKey& key);
// Both halves of an identity's connection key.
Result<CurvePair> CurvePairOf(const SigningKey& key);
// The public half; tells whether a secret and a key that came apart belong together.
CurveKey CurveKeyOf(const CurveSecret& secret);

// What a lease's group secret (ACCELMESH_GROUP) is known by to those that must not learn it.
using SecretHash = std::array<std::uint8_t, 32>;
SecretHash HashOfSecret(ByteView secret);

}  // namespace accelmesh::security
