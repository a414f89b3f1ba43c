// AES-256-GCM, a message in pieces, by whichever library is the faster here. What one seals the other opens.
//
// With VAES and AVX-512 one instruction does a round of four blocks. ipsec-mb uses them and is 2.5 to 3.7 times as
// fast as OpenSSL 3.0 (docs/results), which has such code from 3.1 on. OpenSSL is there wherever we are, ipsec-mb if it
// was built in and the processor has those instructions.
//
// Threads: an object belongs to one at a time.
#pragma once

#include <array>
#include <cstdint>
#include <memory>

#include "protocol/transport/seal_keys.h"

namespace accelmesh {

using GcmNonce = std::array<std::uint8_t, 12>;
using GcmTag = std::array<std::uint8_t, 16>;

class Gcm {
 public:
  virtual ~Gcm() = default;

  virtual Status Begin(const GcmNonce& nonce, ByteView header) = 0;
  // `to` is the piece's own place, or memory apart from it.
  virtual Status Add(ByteView piece, std::uint8_t* to) = 0;
  // One of these ends the message: the tag of what was sealed; whether it is that of what was opened, else kBadFrame.
  virtual Status EndSealing(GcmTag& tag) = 0;
  virtual Status EndOpening(const GcmTag& tag) = 0;
};

enum class GcmLibrary : std::uint8_t { kOpenSsl, kIpsecMb };

bool HasGcm(GcmLibrary library);
// What sealing is done with unless a test asks for another.
GcmLibrary FastestGcm();
// `seals`: or opens. kUnsupported if the library is not here.
Result<std::unique_ptr<Gcm>> MakeGcm(GcmLibrary library, const SealKey& key, bool seals);

// The two libraries, behind MakeGcm(). Null: there is no memory, or OpenSSL has no AES.
std::unique_ptr<Gcm> MakeOpenSslGcm(const SealKey& key, bool seals);
bool HasIpsecMbGcm();
std::unique_ptr<Gcm> MakeIpsecMbGcm(const SealKey& key, bool seals);

}  // namespace accelmesh
