#include "market/registry/etcd/convert.h"

#include <array>
#include <charconv>

namespace accelmesh::registry {
namespace {

Status Nonsense(const std::string& what) {
  return {Code::kBadFrame, "registry::EtcdStore", "etcd answered " + what + "; is it etcd that listens there?"};
}

std::string Prefixed(std::string_view prefix, const std::string& key) { return std::string(prefix) + key; }

// The key without the prefix that it must have.
Result<std::string> Unprefixed(std::string_view prefix, const std::string& key) {
  if (!key.starts_with(prefix) || key.size() == prefix.size()) return Nonsense("with a key that was not asked for");
  return key.substr(prefix.size());
}

void AddOperations(const std::vector<Operation>& branch, std::string_view prefix,
                   google::protobuf::RepeatedPtrField<etcdserverpb::RequestOp>& into) {
  for (const Operation& operation : branch) {
    etcdserverpb::RequestOp& op = *into.Add();
    switch (operation.kind) {
      case Operation::Kind::kGet: op.mutable_range()->set_key(Prefixed(prefix, operation.key)); break;
      case Operation::Kind::kPut:
        op.mutable_put()->set_key(Prefixed(prefix, operation.key));
        op.mutable_put()->set_value(operation.value);
        op.mutable_put()->set_lease(operation.lease);
        break;
      case Operation::Kind::kDelete: op.mutable_delete_()->set_key(Prefixed(prefix, operation.key)); break;
    }
  }
}

// etcd answers a transaction without any operation from what its member happens to know. One get makes it linearizable.
bool NeedsGet(const Txn& txn) { return txn.then.empty() && txn.otherwise.empty(); }

}  // namespace

etcdserverpb::TxnRequest ToEtcd(const Txn& txn, std::string_view prefix) {
  etcdserverpb::TxnRequest request;
  for (const Compare& compare : txn.compares) {
    etcdserverpb::Compare& to = *request.add_compares();
    // The numbers of registry.h are etcd's.
    to.set_relation(static_cast<int>(compare.relation));
    to.set_target(static_cast<int>(compare.field));
    to.set_key(Prefixed(prefix, compare.key));
    switch (compare.field) {
      case Compare::Field::kVersion: to.set_version(compare.number); break;
      case Compare::Field::kCreateRevision: to.set_create_revision(compare.number); break;
      case Compare::Field::kModRevision: to.set_mod_revision(compare.number); break;
      case Compare::Field::kValue: to.set_value(compare.value); break;
    }
  }
  AddOperations(txn.then, prefix, *request.mutable_then());
  AddOperations(txn.otherwise, prefix, *request.mutable_otherwise());
  if (NeedsGet(txn)) request.add_then()->mutable_range()->set_key(Prefixed(prefix, "/"));
  return request;
}

Result<Entry> FromEtcd(const etcdserverpb::KeyValue& pair, std::string_view prefix) {
  if (pair.key().empty() || pair.version() < 1 || pair.create_revision() < 1 ||
      pair.mod_revision() < pair.create_revision() || pair.lease() < 0) {
    return Nonsense("with an entry that none can be");
  }
  ACCELMESH_ASSIGN_OR_RETURN(std::string key, Unprefixed(prefix, pair.key()));
  return Entry{std::move(key), pair.value(), pair.create_revision(), pair.mod_revision(), pair.version(), pair.lease()};
}

Result<TxnResult> FromEtcd(const Txn& txn, const etcdserverpb::TxnResponse& response, std::string_view prefix) {
  TxnResult result;
  result.succeeded = response.succeeded();
  result.revision = response.header().revision();
  if (result.revision < 1) return Nonsense("without a revision");
  const std::vector<Operation>& branch = result.succeeded ? txn.then : txn.otherwise;
  if (NeedsGet(txn)) return result;
  if (static_cast<std::size_t>(response.responses_size()) != branch.size())
    return Nonsense("another number of operations");
  for (std::size_t i = 0; i < branch.size(); ++i) {
    const etcdserverpb::ResponseOp& op = response.responses(static_cast<int>(i));
    OperationResult one;
    switch (branch[i].kind) {
      case Operation::Kind::kGet: {
        // An empty answer may be left out of the message altogether.
        if ((op.response_case() != etcdserverpb::ResponseOp::kRange && op.response_case() != 0) ||
            op.range().kvs_size() > 1) {
          return Nonsense("a get with something else");
        }
        if (op.range().kvs_size() == 0) break;
        ACCELMESH_ASSIGN_OR_RETURN(Entry entry, FromEtcd(op.range().kvs(0), prefix));
        if (entry.key != branch[i].key) return Nonsense("with another key than it was asked for");
        one.entry = std::move(entry);
        break;
      }
      case Operation::Kind::kPut:
        if (op.response_case() != etcdserverpb::ResponseOp::kPut) return Nonsense("a put with something else");
        break;
      case Operation::Kind::kDelete:
        if (op.response_case() != etcdserverpb::ResponseOp::kDelete) return Nonsense("a delete with something else");
        one.deleted = op.delete_().deleted() > 0;
        break;
    }
    result.results.push_back(std::move(one));
  }
  return result;
}

Result<std::vector<Change>> FromEtcd(const etcdserverpb::WatchResponse& response, std::string_view prefix) {
  std::vector<Change> changes;
  for (const etcdserverpb::WatchEvent& from : response.events()) {
    Event event;
    if (from.type() == 0) {
      ACCELMESH_ASSIGN_OR_RETURN(event.entry, FromEtcd(from.kv(), prefix));
    } else {
      event.kind = Event::Kind::kDelete;
      ACCELMESH_ASSIGN_OR_RETURN(event.entry.key, Unprefixed(prefix, from.kv().key()));
      event.entry.mod_revision = from.kv().mod_revision();
    }
    const Revision revision = event.entry.mod_revision;
    if (event.entry.key.empty() || revision < 1 || (!changes.empty() && revision < changes.back().revision)) {
      return Nonsense("a watch with changes out of order");
    }
    if (changes.empty() || changes.back().revision != revision) changes.push_back({revision, {}});
    changes.back().events.push_back(std::move(event));
  }
  return changes;
}

std::string EndOfPrefix(std::string prefix) {
  while (!prefix.empty() && static_cast<unsigned char>(prefix.back()) == 0xff) prefix.pop_back();
  if (prefix.empty()) return std::string(1, '\0');
  prefix.back() = static_cast<char>(static_cast<unsigned char>(prefix.back()) + 1);
  return prefix;
}

bool IsOldEtcd(std::string_view version) {
  constexpr std::array<int, 3> kFirstGood{3, 6, 9};
  std::array<int, 3> parts{};
  const char* at = version.data();
  const char* end = at + version.size();
  for (int& part : parts) {
    const auto [stop, error] = std::from_chars(at, end, part);
    if (error != std::errc()) return true;
    at = stop != end && *stop == '.' ? stop + 1 : stop;
  }
  return parts < kFirstGood;
}

}  // namespace accelmesh::registry
