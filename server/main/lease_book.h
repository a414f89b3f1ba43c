// The leases that this server honours: tokens that were verified offline, against the markets it trusts, its own id,
// its disk's epochs and the clock, before any worker starts. A lease is admitted by whoever holds its key: at a
// session's hello, or beforehand by its agent (a notice), which is how it is extended and how programs that come over
// shared memory are known, by the group secret that the notice named.
//
// A slot may be let in shares, to several leases at a time, each under an epoch of its own. Whatever the market, clocks
// and networks did, what is admitted of a slot never exceeds it: a later grant (a higher epoch) displaces the earliest
// ones that stand in its way, and an earlier one does not come back. A grant of the whole slot fences off all before
// it. A lease that was sold out of another one says what its seller keeps: he gives way, and nobody else does.
//
// Time is Unix time in milliseconds, an argument. Threads: none; the supervisor's. What a market pushes reaches it
// through the supervisor's loop.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "market/client/epoch_file.h"
#include "protocol/base/result.h"
#include "protocol/security/curve.h"
#include "protocol/security/lease_token.h"
#include "server/main/lease_limits.h"

namespace accelmesh {

struct AdmittedLease {
  std::string lease;
  std::string slot;
  std::uint64_t epoch = 0;
  std::uint32_t share_milli = 0;
  std::uint64_t memory_bytes = 0;
  std::int64_t not_after_ms = 0;
  security::CurveKey client_key;  // who holds it
  std::size_t sublets = 0;        // how often it was let on

  // Names it among the leases of a server: a lease and its sublets have one id and holders of their own.
  std::string Key() const { return lease + "/" + security::HexOf(client_key.bytes); }
};

struct EndedLease {
  AdmittedLease lease;
  std::string why;  // for the client's log: the cause and what to do
};

class LeaseBook {
 public:
  static constexpr std::size_t kLeasesMax = 4096;
  // No sublet is admitted beyond.
  static constexpr std::size_t kSubletsUpTo = kLeasesMax / 2;
  // Of one lease: its own and those that it was let on to. No tenant takes the room of the others.
  static constexpr std::size_t kHoldersMax = 64;

  // `server` is what tokens name this server by. `epochs` keeps the highest epoch of each slot through crashes; null:
  // in memory only (tests).
  LeaseBook(std::string server, std::vector<security::PublicKey> markets, std::unique_ptr<market::EpochFile> epochs);

  const std::string& server() const { return server_; }
  // What a slot is; one that nobody told of is whole and its memory not counted.
  void SetSlot(const std::string& slot, std::uint32_t share_milli, std::uint64_t memory_bytes) {
    slots_[slot] = {share_milli, memory_bytes};
  }
  // The markets whose tokens count from now on; what was admitted stays.
  void Trust(std::vector<security::PublicKey> markets) { markets_ = std::move(markets); }

  // Verifies and admits, or renews what was admitted before, perhaps with less; a token never shortens a lease.
  // `client_key` is that of the connection by which the token came. kPermissionDenied or kBadFrame with the rule that
  // is broken.
  Result<AdmittedLease> Admit(ByteView token, const security::CurveKey& client_key, std::int64_t now_ms,
                              const std::optional<security::SecretHash>& group = std::nullopt);
  // The lease whose notice named this group secret; for clients without a connection key.
  Result<AdmittedLease> AdmitBySecret(std::string_view group_secret, std::int64_t now_ms) const;
  // An admitted one, until it has ended.
  const AdmittedLease* Find(const std::string& key) const;

  // Early ends; Expire() then names the lease. By its holder:
  Status End(const std::string& lease, const security::CurveKey& holder);
  // By the market or by this server, with all its sublets; `why` is told to its clients.
  // A token of it that comes later is refused as well, if `epoch` says which grant of that name it was.
  void Revoke(const std::string& lease, const std::string& why, std::uint64_t epoch = 0);
  // It has at most this much from now on: its holder sold the rest. Nothing: it ends.
  void Shrink(const security::LeaseRest& rest, const std::string& why);
  // Those whose share or memory has changed since the last call: running sessions get what they have now.
  std::vector<AdmittedLease> TakeChanged();
  // A floor that the market pushed: leases of `slot` with an older epoch end, and none is admitted again. kSystem: the
  // disk refused.
  Status Raise(const std::string& slot, std::uint64_t epoch);

  // The leases that have ended, by time or early, each told once: their sessions end.
  std::vector<EndedLease> Expire(std::int64_t now_ms);

 private:
  struct Entry {
    AdmittedLease lease;
    std::optional<security::SecretHash> group;
    std::string ended;  // why, once it has
    bool told = false;  // by Expire()
    // Of the lease that it is all or a part of.
    std::uint32_t whole_share_milli = 0;
    std::uint64_t whole_memory_bytes = 0;
  };
  struct Sum {
    std::uint64_t share_milli = 0;
    std::uint64_t memory_bytes = 0;
  };
  struct Slot {
    std::uint32_t share_milli = security::kShareMilliMax;
    std::uint64_t memory_bytes = ~std::uint64_t{0};
  };
  std::uint64_t FloorOf(const std::string& slot) const;
  std::size_t HoldersOf(const std::string& lease) const;
  // Ends what is older than `epoch`; on the disk first.
  Status Fence(const std::string& slot, std::uint64_t epoch, const std::string& why);
  // What those have to whom a lease was let on, but for one.
  Sum SubletsOf(const std::string& lease, const std::string& but = "") const;
  // Its holder has what he has not let on.
  void Divide(const std::string& lease);
  // Ends earlier leases of the slot until `lease` fits beside the others.
  Status MakeRoom(const AdmittedLease& lease, const Slot& slot);

  const std::string server_;
  std::vector<security::PublicKey> markets_;
  const std::unique_ptr<market::EpochFile> epochs_;
  std::map<std::string, Slot> slots_;
  std::map<std::string, std::uint64_t> floors_;  // by slot; without a disk
  std::map<std::string, Entry> entries_;         // by AdmittedLease::Key()
  std::set<std::string> changed_;                // keys
  LeaseLimits limits_;
  security::VerifiedSignatures verified_;
};

}  // namespace accelmesh
