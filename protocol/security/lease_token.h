// Lease tokens: the market's word, in its signature, that a client may use a share of a slot for a while. A gpu-server
// verifies one offline, before it starts a worker.
//
//   token     := version block {block}                   (protocol/schema/lease.fbs)
//   block     := (grant terms | terms) signature          the first has the grant: lease, slot, server, epoch
//   signature := Ed25519 over "accelmesh lease block 1", the signature before (64 zeros for the first) and the block
//
// The first block is signed by a market; each other one by the next_key that the block before names. So whoever holds a
// lease can let a part of it (a sublet) without asking anybody, and only ever less than it has: no larger share, no
// more memory, no earlier beginning, no later end. A block without next_key ends the chain. Cutting blocks off a token
// gives that of an earlier holder; it is of no use, because a token is bound to the CURVE key of the connection it
// comes by.
//
// Time is Unix time in milliseconds, an argument. A token lasts at most 15 minutes. Clocks may differ by kClockSkewMs:
// a token counts so long before its beginning, for its issuer's clock may be ahead; it never counts at or after its
// end, because the slot may then be another's. What clocks cannot keep apart, epochs do (EpochFence).
//
// The bytes may be anything: they are bounded, verified and copied before they are read.
// Threads: functions on values; an EpochFence and VerifiedSignatures belong to one thread.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>

#include "protocol/base/bytes.h"
#include "protocol/base/result.h"
#include "protocol/security/keys.h"
#include "protocol/security/verified_signatures.h"

namespace accelmesh::security {

inline constexpr std::size_t kLeaseTokenBytesMax = 4096;
inline constexpr std::size_t kLeaseBlocksMax = 8;
inline constexpr std::size_t kLeaseNameBytesMax = 64;
inline constexpr std::int64_t kLeaseLifeMsMax = 15 * 60 * 1000;
inline constexpr std::int64_t kClockSkewMs = 5000;
inline constexpr std::uint32_t kShareMilliMax = 1000;

// The lease out of which another one was sold, and what is left of it: nothing, it ends. So a server that has heard of
// no sale makes room by taking from the seller, and ends nobody else's lease.
struct LeaseRest {
  std::string lease;  // empty: none was sold
  std::uint32_t share_milli = 0;
  std::uint64_t memory_bytes = 0;
  bool operator==(const LeaseRest&) const = default;
};

struct LeaseGrant {
  std::string lease;
  std::string slot;
  std::string server;
  std::uint64_t epoch = 0;  // of the slot; never 0
  LeaseRest rest{};
  bool operator==(const LeaseGrant&) const = default;
};

struct LeaseTerms {
  std::uint32_t share_milli = 0;
  std::uint64_t memory_bytes = 0;
  std::int64_t not_before_ms = 0;
  std::int64_t not_after_ms = 0;
  CurveKey holder_key;                // who may use it
  std::optional<PublicKey> next_key;  // who may let less of it
  bool operator==(const LeaseTerms&) const = default;
};

// What a verified token allows: the grant, and the terms of its last block.
struct Lease {
  LeaseGrant grant;
  LeaseTerms terms;
  std::size_t sublets = 0;
  // What the market let: the holder and all whom he lets it on to share this.
  std::uint32_t whole_share_milli = 0;
  std::uint64_t whole_memory_bytes = 0;
  bool operator==(const Lease&) const = default;
};

// The highest epoch of each slot that a server has seen or was pushed; a lower one has been revoked or let anew.
// Whoever owns it keeps it on disk: Seen() tells what to keep.
class EpochFence {
 public:
  static constexpr std::size_t kSlotsMax = 65536;

  // From a push of the market or from disk. kLimitExceeded if there are too many slots. Never lowers.
  Status Raise(const std::string& slot, std::uint64_t epoch);
  std::uint64_t Seen(const std::string& slot) const;

 private:
  std::unordered_map<std::string, std::uint64_t> epochs_;
};

// Signs the first block. kInvalidArgument if the grant or its terms are none that a server would accept.
Result<Bytes> GrantLease(const SigningKey& market, const LeaseGrant& grant, const LeaseTerms& terms);

// Appends a block that allows `terms` of what `token` allows. kPermissionDenied if that is more, or if `holder` may not
// (its key is not the token's next_key); kLimitExceeded at kLeaseBlocksMax. Does not know whether the token is genuine.
Result<Bytes> AttenuateLease(ByteView token, const SigningKey& holder, const LeaseTerms& terms);

// What the verifying server knows.
struct LeaseCheck {
  std::span<const PublicKey> markets;  // trusted; more than one while keys are rotated
  std::string server;                  // its own id
  CurveKey client_key;                 // of the connection that the token came by
  std::int64_t now_ms = 0;
  const EpochFence* fence = nullptr;
  VerifiedSignatures* verified = nullptr;  // what it has verified before
};

// kBadFrame if the bytes are no token, kPermissionDenied with the rule that it breaks otherwise.
Result<Lease> VerifyLease(ByteView token, const LeaseCheck& check);

}  // namespace accelmesh::security
