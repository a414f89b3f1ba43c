// The keys and the lease of the seeds of lease_fuzz.
#pragma once

#include "protocol/security/lease_token.h"

namespace accelmesh::fuzz {

inline constexpr std::uint8_t kTenantClient = 10;
inline constexpr std::uint8_t kSecondClient = 11;

struct LeaseWorld {
  static security::SigningKey Key(std::uint8_t number) {
    const Bytes seed(security::kKeyBytes, number);
    return security::SigningKey::FromSeed(seed).value();
  }
  static security::CurveKey Curve(std::uint8_t number) {
    security::CurveKey key;
    key.bytes.fill(number);
    return key;
  }
  security::LeaseCheck Check(std::uint8_t client) const {
    return {std::span(&market.public_key(), 1), "server-1", Curve(client), 1'700'000'002'000, nullptr};
  }

  security::SigningKey market = Key(1);
  security::SigningKey tenant = Key(2);
  security::LeaseGrant grant{"lease-1", "slot-1", "server-1", 7};
  security::LeaseTerms whole{
      500, 1 << 30, 1'700'000'000'000, 1'700'000'900'000, Curve(kTenantClient), tenant.public_key()};
  security::LeaseTerms part{200, 1 << 20, 1'700'000'001'000, 1'700'000'060'000, Curve(kSecondClient), std::nullopt};
};

}  // namespace accelmesh::fuzz
