#include "market/registry/state.h"

namespace accelmesh::registry {
namespace {

template <typename T>
bool Related(const T& is, Compare::Relation relation, const T& wanted) {
  switch (relation) {
    case Compare::Relation::kEqual: return is == wanted;
    case Compare::Relation::kGreater: return is > wanted;
    case Compare::Relation::kLess: return is < wanted;
    case Compare::Relation::kNotEqual: return is != wanted;
  }
  return false;
}

Status NoLease(LeaseId id) {
  return {Code::kNotFound, "Registry.lease",
          "lease " + std::to_string(id) + " is not there: it has expired or was revoked; take a new one"};
}

}  // namespace

State& State::operator=(const State& other) {
  if (this == &other) return *this;
  revision_ = other.revision_;
  last_lease_ = other.last_lease_;
  leases_ = other.leases_;
  places_.clear();
  entries_ = other.entries_;
  for (auto& [key, entry] : entries_) places_.emplace(key, &entry);
  return *this;
}

const Entry* State::Find(std::string_view key) const {
  const auto at = places_.find(key);
  return at == places_.end() ? nullptr : at->second;
}

bool State::Holds(const Compare& compare) const {
  static const Entry absent;
  const Entry* found = Find(compare.key);
  const Entry& entry = found != nullptr ? *found : absent;
  switch (compare.field) {
    case Compare::Field::kVersion: return Related(entry.version, compare.relation, compare.number);
    case Compare::Field::kCreateRevision: return Related(entry.create_revision, compare.relation, compare.number);
    case Compare::Field::kModRevision: return Related(entry.mod_revision, compare.relation, compare.number);
    case Compare::Field::kValue: return found != nullptr && Related(entry.value, compare.relation, compare.value);
  }
  return false;
}

void State::Detach(const Entry& entry) {
  if (entry.lease == kNoLease) return;
  const auto lease = leases_.find(entry.lease);
  if (lease != leases_.end()) lease->second.keys.erase(entry.key);
}

Entry& State::Place(const std::string& key) {
  if (const auto known = places_.find(key); known != places_.end()) return *known->second;
  const auto at = entries_.try_emplace(key).first;
  places_.emplace(at->first, &at->second);
  return at->second;
}

void State::Put(const Operation& operation, Revision revision, std::vector<Event>& events) {
  Entry& entry = Place(operation.key);
  Detach(entry);
  if (entry.version == 0) {
    entry.key = operation.key;
    entry.create_revision = revision;
  }
  entry.value = operation.value;
  entry.mod_revision = revision;
  ++entry.version;
  entry.lease = operation.lease;
  if (entry.lease != kNoLease) leases_[entry.lease].keys.insert(entry.key);
  events.push_back({Event::Kind::kPut, entry});
}

bool State::Delete(const std::string& key, Revision revision, std::vector<Event>& events) {
  const auto at = entries_.find(key);
  if (at == entries_.end()) return false;
  Detach(at->second);
  places_.erase(at->first);
  entries_.erase(at);
  Event event;
  event.kind = Event::Kind::kDelete;
  event.entry.key = key;
  event.entry.mod_revision = revision;
  events.push_back(std::move(event));
  return true;
}

Result<State::Applied> State::Apply(const Txn& txn) {
  Applied applied;
  applied.result.succeeded = true;
  for (const Compare& compare : txn.compares) applied.result.succeeded &= Holds(compare);
  const std::vector<Operation>& branch = applied.result.succeeded ? txn.then : txn.otherwise;
  for (const Operation& operation : branch) {
    if (operation.kind == Operation::Kind::kPut && operation.lease != kNoLease && !leases_.contains(operation.lease)) {
      return NoLease(operation.lease);
    }
  }
  const Revision revision = revision_ + 1;
  for (const Operation& operation : branch) {
    OperationResult result;
    switch (operation.kind) {
      case Operation::Kind::kGet:
        if (const Entry* entry = Find(operation.key)) result.entry = *entry;
        break;
      case Operation::Kind::kPut: Put(operation, revision, applied.events); break;
      case Operation::Kind::kDelete: result.deleted = Delete(operation.key, revision, applied.events); break;
    }
    applied.result.results.push_back(std::move(result));
  }
  if (!applied.events.empty()) revision_ = revision;
  applied.result.revision = revision_;
  return applied;
}

SnapshotResult State::Read(std::string_view prefix) const {
  SnapshotResult snapshot;
  snapshot.revision = revision_;
  for (auto at = entries_.lower_bound(prefix); at != entries_.end() && at->first.starts_with(prefix); ++at) {
    snapshot.entries.push_back(at->second);
  }
  return snapshot;
}

LeaseResult State::GrantLease(std::chrono::seconds ttl, Instant now) {
  Lease& lease = leases_[++last_lease_];
  lease.ttl = ttl;
  lease.expires = now + ttl;
  return {last_lease_, ttl};
}

Result<LeaseResult> State::KeepLease(LeaseId id, Instant now) {
  const auto at = leases_.find(id);
  if (at == leases_.end()) return NoLease(id);
  at->second.expires = now + at->second.ttl;
  return LeaseResult{id, at->second.ttl};
}

Result<State::Applied> State::RevokeLease(LeaseId id) {
  const auto at = leases_.find(id);
  if (at == leases_.end()) return NoLease(id);
  const std::set<std::string> keys = std::move(at->second.keys);
  leases_.erase(at);
  Applied applied;
  for (const std::string& key : keys) Delete(key, revision_ + 1, applied.events);
  if (!applied.events.empty()) ++revision_;
  applied.result.revision = revision_;
  return applied;
}

std::vector<LeaseId> State::ExpiredLeases(Instant now) const {
  std::vector<LeaseId> expired;
  for (const auto& [id, lease] : leases_) {
    if (lease.expires <= now) expired.push_back(id);
  }
  return expired;
}

std::optional<Instant> State::NextExpiry() const {
  std::optional<Instant> next;
  for (const auto& [id, lease] : leases_) {
    if (!next || lease.expires < *next) next = lease.expires;
  }
  return next;
}

void State::RestoreCounters(Revision revision, LeaseId last_lease) {
  revision_ = revision;
  last_lease_ = last_lease;
}

bool State::RestoreLease(LeaseId id, std::chrono::seconds ttl, Instant now) {
  if (id <= 0 || id > last_lease_) return false;
  return leases_.try_emplace(id, Lease{ttl, now + ttl, {}}).second;
}

bool State::RestoreEntry(Entry entry) {
  if (entry.lease != kNoLease) {
    const auto lease = leases_.find(entry.lease);
    if (lease == leases_.end()) return false;
    lease->second.keys.insert(entry.key);
  }
  if (entry.key.empty() || entry.version < 1 || entry.create_revision < 1 ||
      entry.mod_revision < entry.create_revision || entry.mod_revision > revision_) {
    return false;
  }
  std::string key = entry.key;
  const auto [at, is_new] = entries_.try_emplace(std::move(key), std::move(entry));
  if (is_new) places_.emplace(at->first, &at->second);
  return is_new;
}

}  // namespace accelmesh::registry
