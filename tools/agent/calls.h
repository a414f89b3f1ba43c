// How long the agent waits for the market and for servers, and how often it looks at the market's ledger.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "protocol/base/clock.h"
#include "protocol/security/keys.h"
#include "tools/agent/ports.h"

namespace accelmesh::agent {

inline constexpr std::int64_t kCallMs = 3000;
inline constexpr std::int64_t kLastCallMs = 1000;  // when the program has ended
inline constexpr std::int64_t kLookEachMs = 10'000;
inline constexpr std::int64_t kNever = std::int64_t{1} << 40;

inline Deadline In(std::int64_t ms) { return Deadline::After(std::chrono::milliseconds(ms)); }

// A little by chance, so that many of them do not come at once.
inline std::int64_t NextLookMs(WorldPort& world) {
  return world.NowMs() + kLookEachMs + static_cast<std::int64_t>(world.Draw() % (kLookEachMs / 4));
}

// Where in `folder` is what one identity has seen of one market.
inline std::string SeenFolder(const std::string& folder, const security::PublicKey& market,
                              const security::SigningKey& identity) {
  return folder + "/" + security::HexOf(ByteView(market.bytes).first(8)) + "-" +
         security::HexOf(ByteView(identity.public_key().bytes).first(8));
}

}  // namespace accelmesh::agent
