// Transactions and answers between registry.h and etcd's messages. What comes from etcd is checked before it is
// believed.
//
// Threads: pure functions.
#pragma once

#include <market/registry/etcd/etcd.pb.h>

#include "market/registry/registry.h"

namespace accelmesh::registry {

etcdserverpb::TxnRequest ToEtcd(const Txn& txn);
// kBadFrame if it is no answer to `txn`.
Result<TxnResult> FromEtcd(const Txn& txn, const etcdserverpb::TxnResponse& response);
Result<Entry> FromEtcd(const etcdserverpb::KeyValue& pair);
// The changes that a response of a watch carries, a revision each.
Result<std::vector<Change>> FromEtcd(const etcdserverpb::WatchResponse& response);
// The first key behind all that begin with `prefix`; a zero byte, etcd's sign for the end of all keys, if there is
// none.
std::string EndOfPrefix(std::string prefix);
// Whether `version` ("3.4.23") is one whose known faults touch what a registry promises.
bool IsOldEtcd(std::string_view version);

}  // namespace accelmesh::registry
