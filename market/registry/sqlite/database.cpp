#include "market/registry/sqlite/database.h"

#include <fcntl.h>
#include <unistd.h>
#include <zlib.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "protocol/base/bytes.h"
#include "protocol/base/log.h"

namespace accelmesh::registry {
namespace {

constexpr char kWhere[] = "registry::Database";
constexpr int kApplication = 0x414d5247;  // "AMRG"
constexpr int kFormat = 1;
constexpr char kRemedy[] =
    "; put a copy of it back, or move it away to begin with an empty registry, which knows nothing of the leases that "
    "run";

constexpr char kSchema[] =
    "CREATE TABLE entry(key BLOB PRIMARY KEY, value BLOB NOT NULL, created INTEGER NOT NULL, modified INTEGER NOT NULL,"
    " version INTEGER NOT NULL, lease INTEGER NOT NULL, checksum INTEGER NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE lease(id INTEGER PRIMARY KEY, ttl INTEGER NOT NULL, checksum INTEGER NOT NULL);"
    "CREATE TABLE counters(only INTEGER PRIMARY KEY CHECK(only = 1), revision INTEGER NOT NULL,"
    " last_lease INTEGER NOT NULL, entries INTEGER NOT NULL, checksum INTEGER NOT NULL);";

class Checksum {
 public:
  Checksum& Number(std::int64_t number) {
    value_ = crc32(value_, AsBytes(number).data(), sizeof(number));
    return *this;
  }
  Checksum& Text(std::string_view text) {
    Number(static_cast<std::int64_t>(text.size()));
    value_ = crc32(value_, AsBytes(text).data(), static_cast<uInt>(text.size()));
    return *this;
  }
  std::int64_t Value() const { return static_cast<std::int64_t>(value_); }

 private:
  uLong value_ = crc32(0, nullptr, 0);
};

std::int64_t ChecksumOf(const Entry& entry) {
  return Checksum()
      .Text(entry.key)
      .Text(entry.value)
      .Number(entry.create_revision)
      .Number(entry.mod_revision)
      .Number(entry.version)
      .Number(entry.lease)
      .Value();
}
std::int64_t ChecksumOfLease(LeaseId id, std::int64_t ttl) { return Checksum().Number(id).Number(ttl).Value(); }
std::int64_t ChecksumOfCounters(Revision revision, LeaseId last_lease, std::int64_t entries) {
  return Checksum().Number(revision).Number(last_lease).Number(entries).Value();
}

struct Mark {
  std::int64_t revision;
  std::int64_t checksum;
};

std::string BlobText(sqlite3_stmt* statement, int column) {
  const void* bytes = sqlite3_column_blob(statement, column);
  const int size = sqlite3_column_bytes(statement, column);
  return bytes == nullptr ? std::string()
                          : std::string(static_cast<const char*>(bytes), static_cast<std::size_t>(size));
}

// SQLite keeps no copy: the text outlives the step.
int BindText(sqlite3_stmt* statement, int index, const std::string& text) {
  return sqlite3_bind_blob64(statement, index, text.data(), text.size(), SQLITE_STATIC);
}

}  // namespace

Result<std::unique_ptr<Database>> Database::Open(Options options) {
  std::unique_ptr<Database> database(new Database(std::move(options)));
  ACCELMESH_RETURN_IF_ERROR(database->Prepare());
  return database;
}

Database::~Database() {
  for (sqlite3_stmt* statement : {begin_, commit_, put_, delete_, put_lease_, delete_lease_, put_counters_}) {
    sqlite3_finalize(statement);
  }
  sqlite3_close(database_);
  if (mark_ >= 0) close(mark_);
}

Status Database::Error(int code, const char* doing) const {
  const std::string reason = database_ != nullptr ? sqlite3_errmsg(database_) : sqlite3_errstr(code);
  const int system = database_ != nullptr ? sqlite3_system_errno(database_) : 0;
  const std::string start = std::string(doing) + " " + options_.path + ": ";
  switch (code & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return {Code::kUnavailable, kWhere,
              start + "another process has it open; a registry file belongs to one slot-market"};
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB: return Damaged(reason);
    case SQLITE_FULL:
      return {Code::kFull, kWhere, start + "the disk is full; nothing of it was applied; make room and try again"};
    case SQLITE_IOERR:
      // SQLite knows ENOSPC only, and keeps no other number of a write: a quota and a limit of file sizes look like
      // this.
      if (code != SQLITE_IOERR_WRITE) break;
      return {Code::kFull, kWhere,
              start +
                  "the disk does not take it (it is full, or over a quota or a limit of file sizes, or fails); nothing "
                  "of it was applied; make room and try again"};
    case SQLITE_CANTOPEN:
    case SQLITE_READONLY:
    case SQLITE_PERM:
      if (system == 0) return {Code::kSystem, kWhere, start + reason + "; its folder must exist and be writable"};
      return Status::System(system, kWhere, start + reason + "; its folder must exist and be writable");
    default: break;
  }
  if (system != 0) return Status::System(system, kWhere, start + reason);
  return {Code::kSystem, kWhere, start + reason};
}

Status Database::Damaged(const std::string& what) const {
  return {Code::kBadFrame, kWhere, "the registry " + options_.path + " is damaged: " + what + kRemedy};
}

Status Database::Execute(const char* sql) {
  const int code = sqlite3_exec(database_, sql, nullptr, nullptr, nullptr);
  return code == SQLITE_OK ? Status() : Error(code, "setting up");
}

Status Database::Statement(sqlite3_stmt** statement, const char* sql) {
  const int code = sqlite3_prepare_v3(database_, sql, -1, SQLITE_PREPARE_PERSISTENT, statement, nullptr);
  return code == SQLITE_OK ? Status() : Error(code, "reading");
}

Status Database::Prepare() {
  const int code = sqlite3_open_v2(options_.path.c_str(), &database_,
                                   SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, options_.vfs);
  if (code != SQLITE_OK) return Error(code, "opening");
  sqlite3_extended_result_codes(database_, 1);
  // The lock before WAL: the index of the log then lives in this process's memory, and nobody else comes in between.
  ACCELMESH_RETURN_IF_ERROR(Execute("PRAGMA locking_mode=EXCLUSIVE"));
  ACCELMESH_RETURN_IF_ERROR(Execute("PRAGMA journal_mode=WAL"));
  ACCELMESH_RETURN_IF_ERROR(Execute("PRAGMA synchronous=FULL"));
  ACCELMESH_RETURN_IF_ERROR(Execute("PRAGMA trusted_schema=OFF"));
  // In KiB. A row may go to any page, and reading that from the file again would cost as much as writing it.
  ACCELMESH_RETURN_IF_ERROR(Execute("PRAGMA cache_size=-65536"));
  const auto note = [](void* pages, sqlite3*, const char*, int logged) {
    *static_cast<int*>(pages) = logged;
    return SQLITE_OK;
  };
  // Instead of checkpoints as a part of commits.
  sqlite3_wal_hook(database_, note, &log_pages_);
  ACCELMESH_RETURN_IF_ERROR(Execute("BEGIN IMMEDIATE; COMMIT"));

  std::int64_t application = 0;
  std::int64_t tables = 0;
  std::int64_t format = 0;
  std::string check;
  sqlite3_stmt* question = nullptr;
  ACCELMESH_RETURN_IF_ERROR(
      Statement(&question,
                "SELECT (SELECT application_id FROM pragma_application_id),"
                " (SELECT count(*) FROM sqlite_schema), (SELECT user_version FROM "
                "pragma_user_version), (SELECT group_concat(quick_check) FROM pragma_quick_check(1))"));
  const int row = sqlite3_step(question);
  if (row == SQLITE_ROW) {
    application = sqlite3_column_int64(question, 0);
    tables = sqlite3_column_int64(question, 1);
    format = sqlite3_column_int64(question, 2);
    check = BlobText(question, 3);
  }
  const Status failed = row == SQLITE_ROW ? Status() : Error(row, "checking");
  sqlite3_finalize(question);
  ACCELMESH_RETURN_IF_ERROR(failed);
  if (check != "ok") return Damaged(check);
  if (tables == 0 && application == 0) {
    const std::string make = "BEGIN IMMEDIATE; PRAGMA application_id=" + std::to_string(kApplication) +
                             "; PRAGMA user_version=" + std::to_string(kFormat) + ";" + kSchema + "COMMIT";
    ACCELMESH_RETURN_IF_ERROR(Execute(make.c_str()));
  } else if (application != kApplication) {
    return {Code::kInvalidArgument, kWhere,
            options_.path + " is a SQLite database of something else; name another file"};
  } else if (format != kFormat) {
    return {Code::kVersionMismatch, kWhere,
            options_.path + " has format " + std::to_string(format) + " and this program knows " +
                std::to_string(kFormat) + "; use the version of AccelMesh that wrote it"};
  }
  ACCELMESH_RETURN_IF_ERROR(Statement(&begin_, "BEGIN IMMEDIATE"));
  ACCELMESH_RETURN_IF_ERROR(Statement(&commit_, "COMMIT"));
  ACCELMESH_RETURN_IF_ERROR(Statement(&put_, "REPLACE INTO entry VALUES(?1,?2,?3,?4,?5,?6,?7)"));
  ACCELMESH_RETURN_IF_ERROR(Statement(&delete_, "DELETE FROM entry WHERE key=?1"));
  ACCELMESH_RETURN_IF_ERROR(Statement(&put_lease_, "REPLACE INTO lease VALUES(?1,?2,?3)"));
  ACCELMESH_RETURN_IF_ERROR(Statement(&delete_lease_, "DELETE FROM lease WHERE id=?1"));
  ACCELMESH_RETURN_IF_ERROR(Statement(&put_counters_, "REPLACE INTO counters VALUES(1,?1,?2,?3,?4)"));
  return OpenMark();
}

Result<State> Database::Load(Instant now) {
  State state;
  std::int64_t entries = 0;
  sqlite3_stmt* rows = nullptr;
  const auto each = [&](const char* sql, auto take) -> Status {
    ACCELMESH_RETURN_IF_ERROR(Statement(&rows, sql));
    int code = SQLITE_OK;
    Status status;
    while (status.ok() && (code = sqlite3_step(rows)) == SQLITE_ROW) status = take();
    if (status.ok() && code != SQLITE_DONE) status = Error(code, "reading");
    sqlite3_finalize(rows);
    return status;
  };
  const auto number = [&](int column) { return sqlite3_column_int64(rows, column); };
  ACCELMESH_RETURN_IF_ERROR(each("SELECT revision, last_lease, entries, checksum FROM counters", [&]() -> Status {
    if (number(3) != ChecksumOfCounters(number(0), number(1), number(2))) return Damaged("its counters do not verify");
    state.RestoreCounters(number(0), number(1));
    entries = number(2);
    return {};
  }));
  ACCELMESH_RETURN_IF_ERROR(each("SELECT id, ttl, checksum FROM lease", [&]() -> Status {
    if (number(2) != ChecksumOfLease(number(0), number(1)) ||
        !state.RestoreLease(number(0), std::chrono::seconds(number(1)), now)) {
      return Damaged("lease " + std::to_string(number(0)) + " does not verify");
    }
    return {};
  }));
  ACCELMESH_RETURN_IF_ERROR(
      each("SELECT key, value, created, modified, version, lease, checksum FROM entry", [&]() -> Status {
        Entry entry{BlobText(rows, 0), BlobText(rows, 1), number(2), number(3), number(4), number(5)};
        const std::string name = KeyText(entry.key);
        if (number(6) != ChecksumOf(entry) || !state.RestoreEntry(std::move(entry))) {
          return Damaged("the entry of " + name + " does not verify");
        }
        return {};
      }));
  if (state.entries().size() != static_cast<std::size_t>(entries)) {
    return Damaged(std::to_string(state.entries().size()) + " entries where " + std::to_string(entries) +
                   " were written");
  }
  ACCELMESH_ASSIGN_OR_RETURN(const Revision mark, ReadMark());
  if (state.revision() < mark) {
    return Status(Code::kBadFrame, kWhere,
                  "the registry " + options_.path + " ends at revision " + std::to_string(state.revision()) + ", and " +
                      std::to_string(mark) +
                      " was acknowledged: its end was lost, most likely with its write-ahead log (" + options_.path +
                      "-wal); put that back, or delete " + options_.path + "-mark to go on without what is missing");
  }
  return state;
}

int Database::Step(sqlite3_stmt* statement) {
  const int code = sqlite3_step(statement);
  sqlite3_reset(statement);
  return code == SQLITE_DONE || code == SQLITE_ROW ? SQLITE_OK : code;
}

int Database::WriteKey(const State& state, const std::string& key) {
  const Entry* found = state.Find(key);
  if (found == nullptr) {
    BindText(delete_, 1, key);
    return Step(delete_);
  }
  const Entry& entry = *found;
  BindText(put_, 1, entry.key);
  // An empty blob, not NULL.
  if (entry.value.empty()) {
    sqlite3_bind_zeroblob(put_, 2, 0);
  } else {
    BindText(put_, 2, entry.value);
  }
  const std::array numbers{entry.create_revision, entry.mod_revision, entry.version, entry.lease, ChecksumOf(entry)};
  for (int i = 0; i < 5; ++i) sqlite3_bind_int64(put_, 3 + i, numbers[static_cast<std::size_t>(i)]);
  return Step(put_);
}

int Database::WriteLease(const State& state, LeaseId id) {
  const auto at = state.leases().find(id);
  if (at == state.leases().end()) {
    sqlite3_bind_int64(delete_lease_, 1, id);
    return Step(delete_lease_);
  }
  const std::int64_t ttl = at->second.ttl.count();
  sqlite3_bind_int64(put_lease_, 1, id);
  sqlite3_bind_int64(put_lease_, 2, ttl);
  sqlite3_bind_int64(put_lease_, 3, ChecksumOfLease(id, ttl));
  return Step(put_lease_);
}

int Database::WriteCounters(const State& state) {
  const auto entries = static_cast<std::int64_t>(state.entries().size());
  sqlite3_bind_int64(put_counters_, 1, state.revision());
  sqlite3_bind_int64(put_counters_, 2, state.last_lease());
  sqlite3_bind_int64(put_counters_, 3, entries);
  sqlite3_bind_int64(put_counters_, 4, ChecksumOfCounters(state.revision(), state.last_lease(), entries));
  return Step(put_counters_);
}

Database::Written Database::Write(const State& state, const std::set<std::string>& keys,
                                  const std::set<LeaseId>& leases) {
  int code = Step(begin_);
  for (auto key = keys.begin(); code == SQLITE_OK && key != keys.end(); ++key) code = WriteKey(state, *key);
  for (auto id = leases.begin(); code == SQLITE_OK && id != leases.end(); ++id) code = WriteLease(state, *id);
  if (code == SQLITE_OK) code = WriteCounters(state);
  const bool committing = code == SQLITE_OK;
  if (committing) code = Step(commit_);
  if (code == SQLITE_OK) {
    WriteMark(state.revision());
    return {};
  }
  Written failed{Outcome::kNothing, Error(code, "writing")};
  // A write that failed leaves the log without the mark of a commit, which is the last thing of it; after any other
  // failure of a commit, such as that of a sync, it may be there.
  if (committing && failed.status.code() != Code::kFull) failed.outcome = Outcome::kUnknown;
  if (sqlite3_get_autocommit(database_) == 0 &&
      sqlite3_exec(database_, "ROLLBACK", nullptr, nullptr, nullptr) != SQLITE_OK) {
    failed.outcome = Outcome::kUnknown;
  }
  return failed;
}

void Database::ShortenLog() {
  if (log_pages_ < options_.checkpoint_pages) return;
  log_pages_ = 0;
  sqlite3_wal_checkpoint_v2(database_, nullptr, SQLITE_CHECKPOINT_PASSIVE, nullptr, nullptr);
}

Status Database::OpenMark() {
  const std::string path = options_.path + "-mark";
  mark_ = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (mark_ < 0) return Status::System(errno, kWhere, "opening " + path);
  return {};
}

Result<Revision> Database::ReadMark() const {
  Mark mark{};
  const ssize_t size = pread(mark_, &mark, sizeof(mark), 0);
  if (size < 0) return Status::System(errno, kWhere, "reading " + options_.path + "-mark");
  if (size == 0) return Revision{0};
  if (size != sizeof(mark) || mark.checksum != Checksum().Number(mark.revision).Value()) {
    // Written without a sync, it may be anything after a loss of power.
    log::Warning(kWhere, options_.path + "-mark does not verify; going on without it");
    return Revision{0};
  }
  return Revision{mark.revision};
}

void Database::WriteMark(Revision revision) {
  const Mark mark{revision, Checksum().Number(revision).Value()};
  // It guards, and nothing rests on it: one that could not be written is behind, as after a loss of power.
  [[maybe_unused]] const ssize_t written = pwrite(mark_, &mark, sizeof(mark), 0);
}

}  // namespace accelmesh::registry
