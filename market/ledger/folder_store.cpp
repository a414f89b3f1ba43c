#include "market/ledger/folder_store.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <set>
#include <utility>

#include "market/ledger/file_syncer.h"
#include "market/ledger/journal.h"
#include "market/ledger/note.h"

namespace accelmesh::market::ledger {
namespace {

constexpr char kWhere[] = "ledger::FolderStore";
constexpr std::size_t kJournalBytesMax = std::size_t{1} << 30;
// A journal that is so many times as large as it should be waits for its tiles' syncs; before, it grows meanwhile.
constexpr std::size_t kPatience = 4;

class File {
 public:
  explicit File(int descriptor = -1) : descriptor_(descriptor) {}
  File(File&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}
  File& operator=(File&& other) noexcept {
    std::swap(descriptor_, other.descriptor_);
    return *this;
  }
  ~File() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }
  int get() const { return descriptor_; }
  int Release() { return std::exchange(descriptor_, -1); }
  bool is_open() const { return descriptor_ >= 0; }

 private:
  int descriptor_;
};

Status WriteAt(int file, ByteView bytes, std::size_t offset, const std::string& path) {
  while (!bytes.empty()) {
    const ssize_t written = ::pwrite(file, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return Status::System(errno, kWhere, "writing " + path);
    offset += static_cast<std::size_t>(written);
    bytes = bytes.subspan(static_cast<std::size_t>(written));
  }
  return Status::Ok();
}

std::string FolderOf(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  return slash == std::string::npos ? "." : path.substr(0, std::max<std::size_t>(slash, 1));
}

Status SyncFolder(const std::string& path) {
  const File folder(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!folder.is_open() || ::fsync(folder.get()) != 0) return Status::System(errno, kWhere, "syncing " + path);
  return Status::Ok();
}

class FolderStore final : public Store {
 public:
  FolderStore(std::string path, Access access, FolderOptions options)
      : path_(std::move(path)), access_(access), options_(options) {}

  Status Open();
  Result<Content> Load() override;
  Status Commit(std::uint64_t first, std::span<const Bytes> entries, std::string_view note) override;
  Status Put(const TileName& name, ByteView bytes) override;
  Status Settle(std::uint64_t base, std::span<const Bytes> tail, std::string_view note) override;
  Result<Bytes> Read(const TileName& name) const override { return ReadFileBytes(At(PathOf(name)), kBundleBytesMax); }
  Status Publish(std::span<const StoredFile> files, std::span<const std::string> obsolete) override;

 private:
  std::string At(const std::string& path) const { return path_ + "/" + path; }
  Status MakeFolders(const std::string& path);
  Status CheckMayAppend() const;
  Status StartJournal(std::uint64_t base, std::span<const Bytes> tail, std::string_view note);
  void WriteMark(std::uint64_t entries);

  const std::string path_;
  const Access access_;
  const FolderOptions options_;
  File lock_;
  File journal_;
  File mark_;
  std::size_t journal_bytes_ = 0;
  std::size_t fresh_bytes_ = 0;  // that it began with
  std::uint64_t salt_ = 0;
  bool is_loaded_ = false;
  FileSyncer syncer_;  // of tiles
  std::set<std::string> unsynced_folders_;
  Status broken_;
};

Status FolderStore::Open() {
  if (access_ == Access::kRead) return Status::Ok();
  for (std::size_t slash = path_.find('/', 1); slash != std::string::npos; slash = path_.find('/', slash + 1)) {
    ::mkdir(path_.substr(0, slash).c_str(), 0755);
  }
  // It has bids that others must not read while they stand; who may read copies its owner says.
  if (::mkdir(path_.c_str(), 0700) != 0 && errno != EEXIST) return Status::System(errno, kWhere, "making " + path_);
  lock_ = File(::open(At("journal-lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
  if (!lock_.is_open()) return Status::System(errno, kWhere, "opening " + At("journal-lock"));
  if (::flock(lock_.get(), LOCK_EX | LOCK_NB) != 0) {
    return {Code::kUnavailable, kWhere, path_ + " is in use by another process; give each market a folder of its own"};
  }
  mark_ = File(::open(At("journal-mark").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
  if (!mark_.is_open()) return Status::System(errno, kWhere, "opening " + At("journal-mark"));
  return Status::Ok();
}

Result<Store::Content> FolderStore::Load() {
  const auto damaged = [&](const std::string& what) {
    return Status(Code::kBadFrame, kWhere,
                  path_ + ": " + what + "; put a copy back (any that a witness has is as good), or begin a new log");
  };
  // The mark first: whoever appends writes it last.
  const Result<Bytes> mark = ReadFileBytes(At("journal-mark"), 64);
  const std::uint64_t marked = mark.ok() ? ParseMark(*mark).value_or(0) : 0;
  Result<Bytes> bytes = ReadFileBytes(At("journal"), kJournalBytesMax);
  if (bytes.code() == Code::kNotFound) {
    if (access_ == Access::kRead) {
      return Status(Code::kNotFound, kWhere, path_ + " is no folder of a ledger: it has no journal; name another");
    }
    if (marked > 0) return damaged("its journal is not there");
    if (const Result<Bytes> tile = Read({.is_entries = true}); tile.ok()) return damaged("its journal is not there");
    ACCELMESH_RETURN_IF_ERROR(StartJournal(0, {}, {}));
    is_loaded_ = true;
    return Content{};
  }
  if (!bytes.ok()) return bytes.status();
  const Result<Journal> journal = ParseJournal(*bytes);
  if (!journal.ok()) return damaged("journal: " + journal.status().text());
  Content content;
  content.base = journal->base;
  content.note = journal->note;
  for (const ByteView entry : journal->entries) content.entries.emplace_back(entry.begin(), entry.end());
  if (const std::uint64_t entries = content.base + content.entries.size(); entries < marked) {
    return damaged("it has " + std::to_string(entries) + " entries, and " + std::to_string(marked) +
                   " were acknowledged");
  }
  if (access_ == Access::kRead) return content;
  if (options_.is_rewritten) {
    // After a sync that failed nobody knows what of it the disk has, whatever is read: all of it is written anew.
    ACCELMESH_RETURN_IF_ERROR(ReplaceFile(At("journal"), ByteView(*bytes).first(journal->size)));
  }
  journal_ = File(::open(At("journal").c_str(), O_RDWR | O_CLOEXEC));
  // What was cut off must be gone before something is written behind it.
  if (!journal_.is_open() || ::ftruncate(journal_.get(), static_cast<off_t>(journal->size)) != 0 ||
      ::fdatasync(journal_.get()) != 0) {
    return Status::System(errno, kWhere, "opening " + At("journal"));
  }
  journal_bytes_ = journal->size;
  salt_ = journal->salt;
  is_loaded_ = true;
  return content;
}

Status FolderStore::CheckMayAppend() const {
  if (!is_loaded_)
    return {Code::kInvalidArgument, kWhere, "a store is loaded before it is written, and not to be read"};
  return broken_;
}

Status FolderStore::Commit(std::uint64_t first, std::span<const Bytes> entries, std::string_view note) {
  ACCELMESH_RETURN_IF_ERROR(CheckMayAppend());
  Bytes record;
  AppendRecord(record, salt_, first, entries, note);
  if (journal_bytes_ + record.size() > kJournalBytesMax) {
    return {Code::kFull, kWhere, path_ + ": the journal is full; settle it"};
  }
  Status status = WriteAt(journal_.get(), record, journal_bytes_, At("journal"));
  if (status.ok() && ::fdatasync(journal_.get()) != 0) status = Status::System(errno, kWhere, "syncing the journal");
  if (!status.ok()) {
    // After a failed sync nobody knows what the disk has; a later one that succeeds would say nothing about it.
    broken_ = status;
    return status;
  }
  journal_bytes_ += record.size();
  WriteMark(first + entries.size());
  return Status::Ok();
}

void FolderStore::WriteMark(std::uint64_t entries) {
  // Best effort: a mark that stays behind only notices less.
  (void)WriteAt(mark_.get(), MarkBytes(entries), 0, "journal-mark");
}

Status FolderStore::MakeFolders(const std::string& path) {
  for (std::size_t slash = path.find('/'); slash != std::string::npos; slash = path.find('/', slash + 1)) {
    const std::string folder = path.substr(0, slash);
    if (::mkdir(At(folder).c_str(), 0755) == 0) {
      unsynced_folders_.insert(FolderOf(At(folder)));
    } else if (errno != EEXIST) {
      return Status::System(errno, kWhere, "making " + At(folder));
    }
  }
  unsynced_folders_.insert(FolderOf(At(path)));
  return Status::Ok();
}

Status FolderStore::Put(const TileName& name, ByteView bytes) {
  ACCELMESH_RETURN_IF_ERROR(CheckMayAppend());
  const std::string path = PathOf(name);
  ACCELMESH_RETURN_IF_ERROR(MakeFolders(path));
  File file(::open(At(path).c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
  if (!file.is_open()) return Status::System(errno, kWhere, "opening " + At(path));
  ACCELMESH_RETURN_IF_ERROR(WriteAt(file.get(), bytes, 0, At(path)));
  if (::ftruncate(file.get(), static_cast<off_t>(bytes.size())) != 0) {
    return Status::System(errno, kWhere, "writing " + At(path));
  }
  return syncer_.Add(At(path), file.Release());
}

Status FolderStore::Settle(std::uint64_t base, std::span<const Bytes> tail, std::string_view note) {
  ACCELMESH_RETURN_IF_ERROR(CheckMayAppend());
  const std::size_t grown = journal_bytes_ - fresh_bytes_;
  if (grown < options_.journal_bytes_max) return Status::Ok();
  if (grown / kPatience < options_.journal_bytes_max && !syncer_.IsIdle()) return Status::Ok();
  if (const Status status = syncer_.Wait(); !status.ok()) return broken_ = status;
  for (const std::string& folder : unsynced_folders_) {
    if (const Status status = SyncFolder(folder); !status.ok()) return broken_ = status;
  }
  unsynced_folders_.clear();
  return StartJournal(base, tail, note);
}

Status FolderStore::StartJournal(std::uint64_t base, std::span<const Bytes> tail, std::string_view note) {
  std::uint64_t salt = 0;
  if (::getrandom(&salt, sizeof(salt), 0) != sizeof(salt)) return Status::System(errno, kWhere, "getting randomness");
  Bytes bytes = JournalHead(base, salt);
  if (!tail.empty() || !note.empty()) AppendRecord(bytes, salt, base, tail, note);
  if (const Status status = ReplaceFile(At("journal"), bytes); !status.ok()) return broken_ = status;
  journal_ = File(::open(At("journal").c_str(), O_RDWR | O_CLOEXEC));
  if (!journal_.is_open()) return broken_ = Status::System(errno, kWhere, "opening " + At("journal"));
  journal_bytes_ = fresh_bytes_ = bytes.size();
  salt_ = salt;
  return Status::Ok();
}

Status FolderStore::Publish(std::span<const StoredFile> files, std::span<const std::string> obsolete) {
  ACCELMESH_RETURN_IF_ERROR(CheckMayAppend());
  for (const StoredFile& file : files) {
    ACCELMESH_RETURN_IF_ERROR(MakeFolders(file.path));
    // Not synced: the journal has all of it.
    const std::string beside = At(file.path) + "-new";
    const File written(::open(beside.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
    if (!written.is_open()) return Status::System(errno, kWhere, "opening " + beside);
    ACCELMESH_RETURN_IF_ERROR(WriteAt(written.get(), file.bytes, 0, beside));
    if (::rename(beside.c_str(), At(file.path).c_str()) != 0) {
      return Status::System(errno, kWhere, "putting " + beside + " in its place");
    }
  }
  for (const std::string& path : obsolete) {
    ::unlink(At(path).c_str());
    const std::string folder = FolderOf(At(path));  // N.p, goes once it is empty
    if (::rmdir(folder.c_str()) == 0) unsynced_folders_.erase(folder);
  }
  return Status::Ok();
}

}  // namespace

Result<std::unique_ptr<Store>> OpenFolder(const std::string& path, Access access, FolderOptions options) {
  if (path.empty()) return Status(Code::kInvalidArgument, kWhere, "a ledger needs a folder; name one");
  auto store = std::make_unique<FolderStore>(path, access, options);
  ACCELMESH_RETURN_IF_ERROR(store->Open());
  return std::unique_ptr<Store>(std::move(store));
}

Result<Bytes> ReadFileBytes(const std::string& path, std::size_t bytes_max) {
  const File file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!file.is_open()) {
    if (errno == ENOENT || errno == ENOTDIR) return Status(Code::kNotFound, kWhere, path + " is not there");
    return Status::System(errno, kWhere, "opening " + path);
  }
  struct stat info{};
  if (::fstat(file.get(), &info) != 0) return Status::System(errno, kWhere, "reading " + path);
  if (!S_ISREG(info.st_mode)) return Status(Code::kInvalidArgument, kWhere, path + " is no file");
  if (static_cast<std::uint64_t>(info.st_size) > bytes_max) {
    return Status(Code::kLimitExceeded, kWhere, path + " is larger than such a file can be");
  }
  Bytes bytes(static_cast<std::size_t>(info.st_size));
  std::size_t got = 0;
  while (got < bytes.size()) {
    const ssize_t size = ::pread(file.get(), bytes.data() + got, bytes.size() - got, static_cast<off_t>(got));
    if (size < 0 && errno == EINTR) continue;
    if (size < 0) return Status::System(errno, kWhere, "reading " + path);
    if (size == 0) break;  // it was cut off meanwhile
    got += static_cast<std::size_t>(size);
  }
  bytes.resize(got);
  return bytes;
}

Status ReplaceFile(const std::string& path, ByteView bytes) {
  const std::string beside = path + "-new";
  const File file(::open(beside.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
  if (!file.is_open()) return Status::System(errno, kWhere, "opening " + beside);
  ACCELMESH_RETURN_IF_ERROR(WriteAt(file.get(), bytes, 0, beside));
  if (::fsync(file.get()) != 0 || ::rename(beside.c_str(), path.c_str()) != 0) {
    return Status::System(errno, kWhere, "putting " + beside + " in the place of " + path);
  }
  return SyncFolder(FolderOf(path));
}

}  // namespace accelmesh::market::ledger
