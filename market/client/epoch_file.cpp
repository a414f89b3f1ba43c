#include "market/client/epoch_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <cerrno>

namespace accelmesh::market {
namespace {

constexpr char kWhere[] = "market::EpochFile";
constexpr std::string_view kMagic = "AMepoch1";
constexpr std::size_t kHeadBytes = sizeof(std::uint32_t) + sizeof(std::uint16_t) + sizeof(std::uint64_t);
// Beside this, so many records that a newer one has made useless are kept before the file is written anew.
constexpr std::size_t kSpareRecords = 4096;
constexpr std::size_t kFileBytesMax = std::size_t{1} << 30;

template <typename T>
void Append(Bytes& bytes, const T& value) {
  const ByteView view = AsBytes(value);
  bytes.insert(bytes.end(), view.begin(), view.end());
}

std::uint32_t Checksum(ByteView bytes) {
  return static_cast<std::uint32_t>(crc32(0, bytes.data(), static_cast<uInt>(bytes.size())));
}

void AppendRecord(Bytes& bytes, std::string_view slot, std::uint64_t epoch) {
  Bytes body;
  Append(body, static_cast<std::uint16_t>(slot.size()));
  Append(body, epoch);
  body.insert(body.end(), slot.begin(), slot.end());
  Append(bytes, Checksum(body));
  bytes.insert(bytes.end(), body.begin(), body.end());
}

Status WriteAt(int file, ByteView bytes, std::size_t offset, const std::string& path) {
  while (!bytes.empty()) {
    const ssize_t written = pwrite(file, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) {
      const int error = written < 0 ? errno : EIO;
      const bool is_full = error == ENOSPC || error == EDQUOT || error == EFBIG;
      return Status::System(error, kWhere, "writing " + path + (is_full ? ", for which there must be room" : ""));
    }
    offset += static_cast<std::size_t>(written);
    bytes = bytes.subspan(static_cast<std::size_t>(written));
  }
  return {};
}

// So that the name of a new file survives as well.
Status SyncFolder(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  const std::string folder = slash == std::string::npos ? "." : path.substr(0, std::max<std::size_t>(slash, 1));
  const int file = open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (file < 0) return Status::System(errno, kWhere, "opening " + folder);
  const Status status = fsync(file) == 0 ? Status() : Status::System(errno, kWhere, "syncing " + folder);
  close(file);
  return status;
}

}  // namespace

Result<EpochFile::Parsed> EpochFile::Parse(ByteView bytes) {
  Parsed parsed;
  // A file of fewer bytes than the magic was cut off while it was made, before anything was accepted.
  const std::size_t head = std::min(bytes.size(), kMagic.size());
  if (AsText(bytes.first(head)) != kMagic.substr(0, head)) {
    return Status(Code::kBadFrame, kWhere, "it does not begin as a file of epochs does");
  }
  if (head < kMagic.size()) return parsed;
  std::size_t at = head;
  while (bytes.size() - at >= kHeadBytes) {
    ByteReader reader(bytes.subspan(at), kWhere);
    const std::uint32_t checksum = *reader.Read<std::uint32_t>();
    const ByteView body = reader.rest();
    const std::size_t slot_bytes = *reader.Read<std::uint16_t>();
    const std::uint64_t epoch = *reader.Read<std::uint64_t>();
    const std::size_t size = kHeadBytes + slot_bytes;
    if (size > bytes.size() - at) break;
    if (Checksum(body.first(size - sizeof(checksum))) != checksum) {
      // What a loss of power leaves of the last record need not be shorter, only wrong.
      if (at + size == bytes.size()) break;
      return Status(Code::kBadFrame, kWhere, "the record at byte " + std::to_string(at) + " does not verify");
    }
    const std::string_view slot = AsText(bytes.subspan(at + kHeadBytes, slot_bytes));
    std::uint64_t& highest = parsed.epochs[std::string(slot)];
    if (slot.empty() || slot.size() > kSlotNameBytesMax || epoch <= highest) {
      return Status(Code::kBadFrame, kWhere,
                    "the record at byte " + std::to_string(at) + " lowers an epoch or names no slot");
    }
    highest = epoch;
    at += size;
    ++parsed.records;
  }
  // One record at most was under way when the server ended.
  if (bytes.size() - at > kHeadBytes + kSlotNameBytesMax) {
    return Status(Code::kBadFrame, kWhere, "the record at byte " + std::to_string(at) + " does not verify");
  }
  parsed.size = at;
  return parsed;
}

Result<std::unique_ptr<EpochFile>> EpochFile::Open(std::string path) {
  const int file = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (file < 0) return Status::System(errno, kWhere, "opening " + path);
  std::unique_ptr<EpochFile> epochs(new EpochFile(std::move(path), file));
  // A file beside it, because a rewrite puts another one in its place.
  const std::string lock = epochs->path_ + "-lock";
  epochs->lock_ = open(lock.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (epochs->lock_ < 0) return Status::System(errno, kWhere, "opening " + lock);
  if (flock(epochs->lock_, LOCK_EX | LOCK_NB) != 0) {
    return Status(Code::kUnavailable, kWhere,
                  epochs->path_ + " is in use by another gpu-server; give each its own state folder");
  }
  const MutexLock guard(epochs->mutex_);
  // Opened anew under the lock: whoever held it may have put another one in its place.
  close(epochs->file_);
  epochs->file_ = open(epochs->path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (epochs->file_ < 0) return Status::System(errno, kWhere, "opening " + epochs->path_);
  ACCELMESH_RETURN_IF_ERROR(epochs->Load());
  return epochs;
}

EpochFile::~EpochFile() {
  const MutexLock guard(mutex_);
  if (file_ >= 0) close(file_);
  if (lock_ >= 0) close(lock_);
}

Status EpochFile::Load() {
  struct stat info{};
  if (fstat(file_, &info) != 0) return Status::System(errno, kWhere, "reading " + path_);
  const auto file_bytes = static_cast<std::size_t>(info.st_size);
  if (!S_ISREG(info.st_mode) || file_bytes > kFileBytesMax) {
    return {Code::kInvalidArgument, kWhere, path_ + " is no file of epochs; name another"};
  }
  Bytes bytes(file_bytes);
  for (std::size_t got = 0; got < bytes.size();) {
    const ssize_t size = pread(file_, bytes.data() + got, bytes.size() - got, static_cast<off_t>(got));
    if (size < 0 && errno == EINTR) continue;
    if (size <= 0) return Status::System(size < 0 ? errno : EIO, kWhere, "reading " + path_);
    got += static_cast<std::size_t>(size);
  }
  Result<Parsed> parsed = Parse(bytes);
  if (!parsed.ok()) {
    return {parsed.code(), kWhere,
            path_ + " is damaged: " + parsed.status().text() +
                "; put a copy back, or delete it once every lease of this server has ended (15 minutes at most)"};
  }
  epochs_ = std::move(parsed->epochs);
  size_ = parsed->size;
  records_ = parsed->records;
  if (size_ == 0) {
    ACCELMESH_RETURN_IF_ERROR(WriteAt(file_, AsBytes(kMagic), 0, path_));
    size_ = kMagic.size();
  }
  if (ftruncate(file_, static_cast<off_t>(size_)) != 0 || fsync(file_) != 0) {
    return Status::System(errno, kWhere, "syncing " + path_);
  }
  return SyncFolder(path_);
}

Status EpochFile::Accept(std::string_view slot, std::uint64_t epoch) {
  if (slot.empty() || slot.size() > kSlotNameBytesMax || epoch == 0) {
    return {Code::kInvalidArgument, kWhere,
            "a grant names a slot, of at most " + std::to_string(kSlotNameBytesMax) + " bytes, and an epoch from 1 on"};
  }
  const MutexLock guard(mutex_);
  const auto known = epochs_.find(slot);
  const std::uint64_t highest = known == epochs_.end() ? 0 : known->second;
  if (epoch < highest) {
    return {Code::kPermissionDenied, kWhere,
            "the lease of slot " + std::string(slot) + " has epoch " + std::to_string(epoch) + ", and epoch " +
                std::to_string(highest) +
                " was granted since: the slot has another holder; ask the market for a new lease"};
  }
  if (epoch == highest) return {};
  ACCELMESH_RETURN_IF_ERROR(broken_);
  if (records_ > 2 * epochs_.size() + kSpareRecords) ACCELMESH_RETURN_IF_ERROR(Rewrite());
  Bytes record;
  AppendRecord(record, slot, epoch);
  Status status = WriteAt(file_, record, size_, path_);
  if (status.ok() && fdatasync(file_) != 0) {
    // After a failed sync nobody knows what the disk has; a later one that succeeds would say nothing about it.
    status = Status::System(errno, kWhere, "syncing " + path_);
    broken_ = status;
  }
  if (!status.ok()) {
    if (ftruncate(file_, static_cast<off_t>(size_)) != 0) broken_ = status;
    return status;
  }
  size_ += record.size();
  ++records_;
  epochs_.insert_or_assign(std::string(slot), epoch);
  return {};
}

Status EpochFile::Rewrite() {
  Bytes bytes(kMagic.begin(), kMagic.end());
  for (const auto& [slot, epoch] : epochs_) AppendRecord(bytes, slot, epoch);
  const std::string fresh = path_ + "-new";
  const int file = open(fresh.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (file < 0) return Status::System(errno, kWhere, "opening " + fresh);
  Status status = WriteAt(file, bytes, 0, fresh);
  if (status.ok() && (fsync(file) != 0 || rename(fresh.c_str(), path_.c_str()) != 0)) {
    status = Status::System(errno, kWhere, "putting " + fresh + " in the place of " + path_);
  }
  if (!status.ok()) {
    close(file);
    return status;
  }
  close(file_);
  file_ = file;
  size_ = bytes.size();
  records_ = epochs_.size();
  return SyncFolder(path_);
}

std::uint64_t EpochFile::Highest(std::string_view slot) const {
  const MutexLock guard(mutex_);
  const auto known = epochs_.find(slot);
  return known == epochs_.end() ? 0 : known->second;
}

}  // namespace accelmesh::market
