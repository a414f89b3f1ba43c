// Registry: the one consistent place where slots, nodes, accounts and epochs are written down. Three stores stand
// behind it: sim (market/registry/sim), sqlite and etcd; tests/conformance/registry says what they have in common.
//
// Contract:
// * A Txn is atomic and linearizable: it takes effect at one point between Submit() and its answer, all or nothing.
//   What was acknowledged is durable: it survives kill -9 of the store at any moment.
// * Every transaction that puts, or deletes something that is there, makes the registry's revision grow; one that
//   changes nothing leaves it. An answer carries the revision after the transaction.
// * Keys are ordered bytes. A branch writes a key at most once; its operations run in order, and a get sees what the
//   same branch wrote before it. Compares look at the state before the transaction.
// * Watches are hints: they may end at any time (Code says why), and then the client takes a snapshot and watches
//   from the revision behind it. While a watch lives it misses nothing: changes come in order, once, all of a
//   revision together.
// * A lease deletes its keys, in one revision, once it was not kept alive for its ttl; a store may take longer, and
//   a clock that jumps may make it shorter. It is for noticing dead nodes, never for mutual exclusion: grants carry
//   an epoch (market/registry/epochs.h), which the gpu-server enforces (market/client/epoch_file.h).
//
// Errors: kInvalidArgument, kLimitExceeded, kNotFound (a lease) and kFull (the store has no room, in its queue or on
// its disk) mean that nothing happened. kDeadlineExceeded, kUnavailable and kClosed mean that nobody knows: the
// transaction may have been applied or not, or be applied later. So a transaction that must not happen twice compares
// what it changes.
//
// Ownership: a Registry outlives its watches; ending it answers what is under way with kClosed.
// Threads: all methods are safe from many threads (sim: from the thread that runs the simulation). Answers and sinks
// run on a thread of the store's, one at a time in a store; they are short, never wait, and may call the registry. Only
// what is refused for itself (kInvalidArgument, kLimitExceeded, kFull of a queue) may be answered by the very call.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/base/clock.h"
#include "protocol/base/result.h"

namespace accelmesh::registry {

using Revision = std::int64_t;
using LeaseId = std::int64_t;
inline constexpr LeaseId kNoLease = 0;

// Bounds that all stores share. etcd's own: 128 operations and 1.5 MiB a request, so that a transaction fits
// everywhere.
inline constexpr std::size_t kKeyBytesMax = 512;
inline constexpr std::size_t kValueBytesMax = 256 * 1024;
inline constexpr std::size_t kOperationsMax = 128;
inline constexpr std::size_t kTxnBytesMax = 1024 * 1024;
// etcd lengthens shorter leases to about its election timeout.
inline constexpr std::chrono::seconds kLeaseTtlMin{2};
inline constexpr std::chrono::seconds kLeaseTtlMax{3600};

struct Entry {
  std::string key;
  std::string value;
  Revision create_revision = 0;
  Revision mod_revision = 0;
  std::int64_t version = 0;  // 1 at creation, one more with each put
  LeaseId lease = kNoLease;
  bool operator==(const Entry&) const = default;
};

// Holds or not for the state before a transaction. An absent key has revisions and version 0; a compare of its value
// never holds, whatever the relation.
struct Compare {
  enum class Field : std::uint8_t { kVersion, kCreateRevision, kModRevision, kValue };
  enum class Relation : std::uint8_t { kEqual, kGreater, kLess, kNotEqual };
  std::string key;
  Field field = Field::kModRevision;
  Relation relation = Relation::kEqual;
  std::int64_t number = 0;
  std::string value;

  static Compare Unchanged(std::string key, Revision mod_revision) {
    return {std::move(key), Field::kModRevision, Relation::kEqual, mod_revision, {}};
  }
  static Compare Absent(std::string key) { return {std::move(key), Field::kVersion, Relation::kEqual, 0, {}}; }
  static Compare Exists(std::string key) { return {std::move(key), Field::kVersion, Relation::kGreater, 0, {}}; }
  static Compare Value(std::string key, std::string value, Relation relation = Relation::kEqual) {
    return {std::move(key), Field::kValue, relation, 0, std::move(value)};
  }
};

struct Operation {
  enum class Kind : std::uint8_t { kGet, kPut, kDelete };
  Kind kind = Kind::kGet;
  std::string key;
  std::string value;
  LeaseId lease = kNoLease;

  static Operation Get(std::string key) { return {Kind::kGet, std::move(key), {}, kNoLease}; }
  // A put without a lease takes the key off the one it had.
  static Operation Put(std::string key, std::string value, LeaseId lease = kNoLease) {
    return {Kind::kPut, std::move(key), std::move(value), lease};
  }
  static Operation Delete(std::string key) { return {Kind::kDelete, std::move(key), {}, kNoLease}; }
};

// `then` if all compares hold, else `otherwise`.
struct Txn {
  std::vector<Compare> compares;
  std::vector<Operation> then;
  std::vector<Operation> otherwise;
};

struct OperationResult {
  std::optional<Entry> entry;  // of a get
  bool deleted = false;        // of a delete: the key was there
};

struct TxnResult {
  bool succeeded = false;  // the branch was `then`
  Revision revision = 0;
  std::vector<OperationResult> results;  // one for each operation of the branch
};

struct SnapshotResult {
  Revision revision = 0;
  std::vector<Entry> entries;  // in the order of their keys
};

struct LeaseResult {
  LeaseId id = kNoLease;
  std::chrono::seconds ttl{0};  // what the store made of it: as asked, or longer
};

struct Event {
  enum class Kind : std::uint8_t { kPut, kDelete };
  Kind kind = Kind::kPut;
  Entry entry;  // of a delete: key and mod_revision only
};

struct Change {
  Revision revision = 0;
  std::vector<Event> events;
};

template <typename T>
using Done = std::function<void(Result<T>)>;
// A failure is the last call: kLimitExceeded if the revision asked for was compacted away, kUnavailable if the store
// was lost, kClosed if the registry ended.
using WatchSink = std::function<void(Result<Change>)>;

// Destroying it ends the watch; afterwards its sink is not called, and is not running unless on this very thread.
class WatchHandle {
 public:
  virtual ~WatchHandle() = default;
};

class Registry {
 public:
  virtual ~Registry() = default;
  virtual void Submit(Txn txn, Instant deadline, Done<TxnResult> done) = 0;
  // All keys that begin with `prefix`, at one revision, linearizable.
  virtual void Snapshot(std::string prefix, Instant deadline, Done<SnapshotResult> done) = 0;
  virtual void GrantLease(std::chrono::seconds ttl, Instant deadline, Done<LeaseResult> done) = 0;
  // kNotFound once it has expired or was revoked.
  virtual void KeepLease(LeaseId id, Instant deadline, Done<LeaseResult> done) = 0;
  // Deletes its keys; answers the revision after that.
  virtual void RevokeLease(LeaseId id, Instant deadline, Done<Revision> done) = 0;
  // Changes below `prefix` from revision `from` on; 0: whatever changes after the store has taken the watch up.
  virtual std::unique_ptr<WatchHandle> Watch(std::string prefix, Revision from, WatchSink sink) = 0;
};

// What every store asks of a transaction, a prefix and a ttl before it looks at it.
Status CheckTxn(const Txn& txn);
Status CheckPrefix(std::string_view prefix);
Status CheckTtl(std::chrono::seconds ttl);
// Keys go into messages for people: bounded, with what does not print as \xNN.
std::string KeyText(std::string_view key);

}  // namespace accelmesh::registry
