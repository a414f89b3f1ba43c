// VerifiedSignatures: signatures that have been verified already. A token comes again with each program of its lease,
// and a sublet's begins with the blocks of the lease that it is of; its signatures are all that it costs to verify.
//
// Only the very same key, message and signature are known again (a hash of all three decides), and only what held is
// kept. Bounded: the oldest are forgotten.
// Threads: one at a time.
#pragma once

#include <deque>
#include <set>

#include "protocol/security/keys.h"

namespace accelmesh::security {

class VerifiedSignatures {
 public:
  static constexpr std::size_t kKeptMax = 4096;

  // As IsSignedBy().
  bool Verify(const PublicKey& key, ByteView message, const Signature& signature);
  std::size_t size() const { return known_.size(); }

 private:
  using Hash = std::array<std::uint8_t, 32>;

  std::set<Hash> known_;
  std::deque<Hash> oldest_first_;
};

}  // namespace accelmesh::security
