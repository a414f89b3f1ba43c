// Sealing of a bulk lane: AES-256-GCM, a key for each direction, made of the session's secret, which only the two ends
// know (it came by CURVE).
//
//   key, mark := HMAC-SHA-256(secret, label)          no label is used twice
//   nonce     := 4 zero bytes, u64 number of the record, from 0 on, little-endian
//
// A secret belongs to one session and a session has one connection, so that no nonce is used twice under a key. Records
// cannot be left out, repeated, exchanged or turned round: their number and their header are authenticated with them.
// AES instructions are used where the processor has them; OpenSSL's own code, without tables, where it has not.
//
// Threads: a Sealer or an Opener belongs to one at a time. Process: OpenSSL is initialised without its configuration
// file and without a handler at exit, for it may be a program that we live in.
#pragma once

#include <array>
#include <cstdint>
#include <memory>

#include "protocol/base/bytes.h"
#include "protocol/base/result.h"

namespace accelmesh {

inline constexpr std::size_t kSealTagBytes = 16;
using SealTag = std::array<std::uint8_t, kSealTagBytes>;
using SealKey = std::array<std::uint8_t, 32>;

struct SealKeys {
  SealKey mark;  // what the client shows when it connects
  SealKey up;
  SealKey down;
};
Result<SealKeys> KeysOfSecret(ByteView secret);

class Sealer {
 public:
  static Result<std::unique_ptr<Sealer>> Make(const SealKey& key);
  ~Sealer();
  Sealer(const Sealer&) = delete;
  Sealer& operator=(const Sealer&) = delete;

  // The next record. Its body follows in pieces; `to` has room for as many bytes.
  Status Begin(ByteView header);
  Status Add(ByteView piece, std::uint8_t* to);
  Status End(SealTag& tag);

 private:
  Sealer() = default;
  void* context_ = nullptr;
  std::uint64_t number_ = 0;
};

class Opener {
 public:
  static Result<std::unique_ptr<Opener>> Make(const SealKey& key);
  ~Opener();
  Opener(const Opener&) = delete;
  Opener& operator=(const Opener&) = delete;

  // The next record. Its body follows in pieces, opened in their place; nobody may use them before End() is kOk.
  Status Begin(ByteView header);
  Status Add(MutableByteView piece);
  // kBadFrame if the record is not what the other end sealed as the next one.
  Status End(const SealTag& tag);

 private:
  Opener() = default;
  void* context_ = nullptr;
  std::uint64_t number_ = 0;
};

}  // namespace accelmesh
