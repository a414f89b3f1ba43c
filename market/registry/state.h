// State: keys, leases and the revision, as the stores of our own (sim, sqlite) hold them in memory. Pure: what it does
// depends on its arguments only, so that a replay of the same calls gives the same state.
//
// Threads: one at a time. Ownership: owns all it holds; what it returns is a copy.
#pragma once

#include <map>
#include <set>
#include <string_view>
#include <unordered_map>

#include "market/registry/registry.h"

namespace accelmesh::registry {

class State {
 public:
  struct Lease {
    std::chrono::seconds ttl{0};
    Instant expires;
    std::set<std::string> keys;
  };
  struct Applied {
    TxnResult result;
    std::vector<Event> events;  // empty: the revision stayed
  };

  State() = default;
  State(const State& other) { *this = other; }
  State& operator=(const State& other);
  State(State&&) = default;
  State& operator=(State&&) = default;

  // kNotFound if a put of the branch taken names a lease that is not there; then nothing has changed. Precondition:
  // CheckTxn(txn).
  Result<Applied> Apply(const Txn& txn);
  SnapshotResult Read(std::string_view prefix) const;

  LeaseResult GrantLease(std::chrono::seconds ttl, Instant now);
  Result<LeaseResult> KeepLease(LeaseId id, Instant now);
  // Deletes its keys.
  Result<Applied> RevokeLease(LeaseId id);
  std::vector<LeaseId> ExpiredLeases(Instant now) const;
  // Of the lease that expires first.
  std::optional<Instant> NextExpiry() const;

  Revision revision() const { return revision_; }
  LeaseId last_lease() const { return last_lease_; }
  const std::map<std::string, Entry, std::less<>>& entries() const { return entries_; }
  // Null: is not there.
  const Entry* Find(std::string_view key) const;
  const std::map<LeaseId, Lease>& leases() const { return leases_; }

  // For a store that reads itself back. False if it does not fit together: a key twice, or its lease is not there.
  void RestoreCounters(Revision revision, LeaseId last_lease);
  bool RestoreLease(LeaseId id, std::chrono::seconds ttl, Instant now);
  bool RestoreEntry(Entry entry);

 private:
  bool Holds(const Compare& compare) const;
  // The entry of a key; made if it is not there.
  Entry& Place(const std::string& key);
  void Put(const Operation& operation, Revision revision, std::vector<Event>& events);
  bool Delete(const std::string& key, Revision revision, std::vector<Event>& events);
  void Detach(const Entry& entry);

  Revision revision_ = 0;
  LeaseId last_lease_ = 0;
  std::map<std::string, Entry, std::less<>> entries_;
  // Where each lies in `entries_`: a transaction looks for each of its keys several times.
  std::unordered_map<std::string_view, Entry*> places_;
  std::map<LeaseId, Lease> leases_;
};

}  // namespace accelmesh::registry
