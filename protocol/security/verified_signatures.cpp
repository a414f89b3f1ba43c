#include "protocol/security/verified_signatures.h"

#include <sodium.h>

namespace accelmesh::security {

bool VerifiedSignatures::Verify(const PublicKey& key, ByteView message, const Signature& signature) {
  // The parts before the message have fixed lengths, so that no two triples are the same bytes.
  Hash hash{};
  crypto_generichash_state state;
  ::crypto_generichash_init(&state, nullptr, 0, hash.size());
  ::crypto_generichash_update(&state, key.bytes.data(), key.bytes.size());
  ::crypto_generichash_update(&state, signature.data(), signature.size());
  ::crypto_generichash_update(&state, message.data(), message.size());
  ::crypto_generichash_final(&state, hash.data(), hash.size());
  if (known_.contains(hash)) return true;
  if (!IsSignedBy(key, message, signature)) return false;
  if (known_.size() >= kKeptMax) {
    known_.erase(oldest_first_.front());
    oldest_first_.pop_front();
  }
  known_.insert(hash);
  oldest_first_.push_back(hash);
  return true;
}

}  // namespace accelmesh::security
