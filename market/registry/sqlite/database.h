// Database: the file of the sqlite store. Every write is one SQLite transaction in WAL mode with synchronous=FULL: when
// Write() returns, what it wrote is on the disk.
//
// Files: PATH, PATH-wal beside it while it is open, and PATH-mark, which says which revision was acknowledged last. The
// mark is written without a sync after each commit: it may be behind the database, never before it, so a database
// behind its mark has lost something (SQLite itself takes a truncated write-ahead log for a shorter history). Each row
// carries a checksum, because SQLite notices damage of its own structures only.
//
// Threads: one at a time. One process at a time: the file stays locked.
#pragma once

#include <sqlite3.h>

#include <set>
#include <string>

#include "market/registry/state.h"

namespace accelmesh::registry {

class Database {
 public:
  struct Options {
    std::string path;
    const char* vfs = nullptr;  // SQLite's name of the file layer; null: its default. Tests put faults there.
    int checkpoint_pages = 2048;
  };
  // What became of a write that failed.
  enum class Outcome { kWritten, kNothing, kUnknown };
  struct Written {
    Outcome outcome = Outcome::kWritten;
    Status status;
  };

  // Makes the file if it is not there. A damaged one, one that another process has open, one that is no registry, or
  // one that lost acknowledged transactions is refused with the reason and the remedy.
  static Result<std::unique_ptr<Database>> Open(Options options);
  ~Database();
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  // Everything that is in it. Leases begin their ttl at `now`.
  Result<State> Load(Instant now);
  // Writes what `state` now says of these keys and leases, and its counters. After kUnknown the database must be
  // closed.
  Written Write(const State& state, const std::set<std::string>& keys, const std::set<LeaseId>& leases);
  // Moves a long write-ahead log into the file, which takes a while: call it once what was written has been answered.
  // What it fails at it does another time; nothing is lost.
  void ShortenLog();

 private:
  explicit Database(Options options) : options_(std::move(options)) {}
  Status Prepare();
  Status Execute(const char* sql);
  Status Statement(sqlite3_stmt** statement, const char* sql);
  Status Error(int code, const char* doing) const;
  Status Damaged(const std::string& what) const;
  int Step(sqlite3_stmt* statement);
  int WriteKey(const State& state, const std::string& key);
  int WriteLease(const State& state, LeaseId id);
  int WriteCounters(const State& state);
  Status OpenMark();
  Result<Revision> ReadMark() const;
  void WriteMark(Revision revision);

  Options options_;
  sqlite3* database_ = nullptr;
  int log_pages_ = 0;  // of the write-ahead log
  sqlite3_stmt* begin_ = nullptr;
  sqlite3_stmt* commit_ = nullptr;
  sqlite3_stmt* put_ = nullptr;
  sqlite3_stmt* delete_ = nullptr;
  sqlite3_stmt* put_lease_ = nullptr;
  sqlite3_stmt* delete_lease_ = nullptr;
  sqlite3_stmt* put_counters_ = nullptr;
  int mark_ = -1;
};

}  // namespace accelmesh::registry
