// What a session's secret, which only its two ends know (it came by CURVE), is made into: keys of its bulk lane.
//
//   key, mark := HMAC-SHA-256(secret, label)          no label is used twice
//
// Process: OpenSSL is initialised without its configuration file and without a handler at exit, for it may be a program
// that we live in.
#pragma once

#include <array>
#include <cstdint>

#include "protocol/base/bytes.h"
#include "protocol/base/result.h"

namespace accelmesh {

using SealKey = std::array<std::uint8_t, 32>;

struct SealKeys {
  SealKey mark;  // what the client shows when it connects
  SealKey up;
  SealKey down;
};
Result<SealKeys> KeysOfSecret(ByteView secret);

// Before anything else of OpenSSL is called, as often as wanted.
void PrepareOpenSsl();

}  // namespace accelmesh
