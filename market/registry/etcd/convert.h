// Transactions and answers between registry.h and etcd's messages. What comes from etcd is checked before it is
// believed.
//
// `prefix` stands before every key that etcd sees, and before none that a registry's client sees.
// Threads: pure functions.
#pragma once

#include <market/registry/etcd/etcd.pb.h>

#include "market/registry/registry.h"

namespace accelmesh::registry {

etcdserverpb::TxnRequest ToEtcd(const Txn& txn, std::string_view prefix = {});
// kBadFrame if it is no answer to `txn`.
Result<TxnResult> FromEtcd(const Txn& txn, const etcdserverpb::TxnResponse& response, std::string_view prefix = {});
Result<Entry> FromEtcd(const etcdserverpb::KeyValue& pair, std::string_view prefix = {});
// The changes that a response of a watch carries, a revision each.
Result<std::vector<Change>> FromEtcd(const etcdserverpb::WatchResponse& response, std::string_view prefix = {});
// The first key behind all that begin with `prefix`; a zero byte, etcd's sign for the end of all keys, if there is
// none.
std::string EndOfPrefix(std::string prefix);
// Whether `version` ("3.4.23") is one whose known faults touch what a registry promises.
bool IsOldEtcd(std::string_view version);

}  // namespace accelmesh::registry
