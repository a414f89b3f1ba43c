// Sealing of a bulk lane: AES-256-GCM (gcm.h), a key for each direction (seal_keys.h).
//
//   nonce     := 4 zero bytes, u64 number of the record, from 0 on, little-endian
//
// A secret belongs to one session and a session has one connection, so that no nonce is used twice under a key. Records
// cannot be left out, repeated, exchanged or turned round: their number and their header are authenticated with them.
//
// Threads: a Sealer or an Opener belongs to one at a time.
#pragma once

#include <cstdint>
#include <memory>

#include "protocol/transport/gcm.h"

namespace accelmesh {

inline constexpr std::size_t kSealTagBytes = 16;
using SealTag = GcmTag;

class Sealer {
 public:
  static Result<std::unique_ptr<Sealer>> Make(const SealKey& key, GcmLibrary library = FastestGcm());

  // The next record. Its body follows in pieces; `to` has room for as many bytes.
  Status Begin(ByteView header);
  Status Add(ByteView piece, std::uint8_t* to) { return gcm_->Add(piece, to); }
  Status End(SealTag& tag) { return gcm_->EndSealing(tag); }

 private:
  explicit Sealer(std::unique_ptr<Gcm> gcm) : gcm_(std::move(gcm)) {}
  const std::unique_ptr<Gcm> gcm_;
  std::uint64_t number_ = 0;
};

class Opener {
 public:
  static Result<std::unique_ptr<Opener>> Make(const SealKey& key, GcmLibrary library = FastestGcm());

  // The next record. Its body follows in pieces, opened in their place; nobody may use them before End() is kOk.
  Status Begin(ByteView header);
  Status Add(MutableByteView piece) { return gcm_->Add(piece, piece.data()); }
  // kBadFrame if the record is not what the other end sealed as the next one.
  Status End(const SealTag& tag);

 private:
  explicit Opener(std::unique_ptr<Gcm> gcm) : gcm_(std::move(gcm)) {}
  const std::unique_ptr<Gcm> gcm_;
  std::uint64_t number_ = 0;
};

}  // namespace accelmesh
