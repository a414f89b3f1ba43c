// SqliteStore: the registry in a file, for one machine; the default. The state lies in memory; one writer thread takes
// all requests that have gathered while it wrote, applies them in order, writes them in one transaction (group commit)
// and answers when that is on the disk.
//
// A full disk is answered with kFull, and the next request tries again. After a failure that leaves open what the disk
// has, the store answers kUnavailable until it is opened anew.
#pragma once

#include "market/registry/registry.h"
#include "market/registry/sqlite/database.h"

namespace accelmesh::registry {

struct SqliteOptions {
  Database::Options file;
  std::size_t batch_max = 1024;      // requests of one commit
  std::size_t queue_max = 65536;     // requests that wait; more are answered with kFull
  std::size_t changes_max = 100000;  // events kept for watches that begin in the past
};

Result<std::unique_ptr<Registry>> OpenSqliteStore(SqliteOptions options);

}  // namespace accelmesh::registry
