#include "server/session/library_memory_file.h"

#include <poll.h>
#include <sys/file.h>

#include <algorithm>
#include <bit>
#include <filesystem>
#include <set>
#include <string_view>
#include <system_error>

#include "protocol/base/log.h"
#include "server/session/own_file.h"

namespace accelmesh {
namespace {

constexpr std::uint32_t kMagic = 0x32684c41;  // "ALh2"
// Another process has the file for as long as it takes to write some megabytes.
constexpr int kLockTries = 40;
constexpr int kLockPauseMs = 1;

struct Head {
  std::uint32_t magic = kMagic;
  std::uint32_t key_bytes = 0;
  std::uint32_t status = 0;
  std::uint32_t result_bytes = 0;
  std::uint64_t checksum = 0;
};

// Finds what was torn or has rotted, not what was forged.
std::uint64_t ChecksumOf(const Head& head, ByteView key, ByteView results) {
  constexpr std::uint64_t kOdd = 0x9e3779b97f4a7c15;
  std::uint64_t sum = head.status;
  for (ByteView part : {key, results}) {
    sum = (std::rotl(sum, 23) ^ part.size()) * kOdd;
    while (!part.empty()) {
      std::uint64_t word = 0;
      const std::size_t bytes = std::min(part.size(), sizeof(word));
      std::memcpy(&word, part.data(), bytes);
      sum = (std::rotl(sum, 23) ^ word) * kOdd;
      part = part.subspan(bytes);
    }
  }
  return sum ^ sum >> 32;
}

bool Lock(const OwnFile& file) {
  for (int i = 0; i < kLockTries; ++i) {
    if (::flock(file.fd(), LOCK_EX | LOCK_NB) == 0) return true;
    ::poll(nullptr, 0, kLockPauseMs);
  }
  return false;
}

}  // namespace

LibraryMemoryFile::Parsed LibraryMemoryFile::Parse(ByteView file) {
  Parsed parsed;
  ByteReader reader(file, "LibraryMemoryFile::Parse");
  while (reader.left() != 0) {
    const Result<Head> head = reader.Read<Head>();
    if (!head.ok() || head->magic != kMagic || head->key_bytes > kKeyBytesMax || head->result_bytes > kResultBytesMax)
      break;
    const Result<ByteView> key = reader.Take(head->key_bytes);
    if (!key.ok()) break;
    const Result<ByteView> results = reader.Take(head->result_bytes);
    if (!results.ok() || ChecksumOf(*head, *key, *results) != head->checksum) break;
    parsed.records.push_back({*key, head->status, *results});
    parsed.whole_bytes = file.size() - reader.left();
  }
  return parsed;
}

Bytes LibraryMemoryFile::Write(const Record& record) {
  Head head;
  head.key_bytes = static_cast<std::uint32_t>(record.key.size());
  head.status = record.status;
  head.result_bytes = static_cast<std::uint32_t>(record.results.size());
  head.checksum = ChecksumOf(head, record.key, record.results);
  Bytes bytes;
  for (const ByteView part : {AsBytes(head), record.key, record.results})
    bytes.insert(bytes.end(), part.begin(), part.end());
  return bytes;
}

Bytes LibraryMemoryFile::LastOf(ByteView file, std::size_t bytes) {
  const Parsed parsed = Parse(file);
  std::set<std::string_view> seen;
  std::vector<const Record*> kept;
  for (auto record = parsed.records.rbegin(); record != parsed.records.rend(); ++record) {
    const std::size_t size = sizeof(Head) + record->key.size() + record->results.size();
    if (size > bytes) break;
    if (!seen.insert(AsText(record->key)).second) continue;
    bytes -= size;
    kept.push_back(&*record);
  }
  Bytes last;
  for (auto record = kept.rbegin(); record != kept.rend(); ++record) {
    const Bytes written = Write(**record);
    last.insert(last.end(), written.begin(), written.end());
  }
  return last;
}

void LibraryMemoryFile::Locked(bool may_make, const std::function<void(int fd, std::size_t bytes)>& work) {
  constexpr int kTries = 4;
  for (int i = 0; i < kTries; ++i) {
    const OwnFile file(path_, O_RDWR | O_APPEND | (may_make ? O_CREAT : 0));
    if (file.fd() < 0 || !Lock(file)) return;
    if (!file.IsAt(path_)) continue;
    struct stat facts{};
    if (::fstat(file.fd(), &facts) == 0) work(file.fd(), static_cast<std::size_t>(facts.st_size));
    return;
  }
}

bool LibraryMemoryFile::Replace(ByteView with) const {
  const std::string beside = path_ + ".new";
  {
    const OwnFile file(beside, O_WRONLY | O_CREAT | O_TRUNC);
    if (file.fd() < 0 || !WriteAll(file.fd(), with)) return false;
  }
  return ::rename(beside.c_str(), path_.c_str()) == 0;
}

Bytes LibraryMemoryFile::Read() {
  Bytes all;
  if (path_.empty()) return all;
  Locked(false, [&](int fd, std::size_t bytes) {
    // What nobody of us has written is not worth reading.
    if (bytes <= kFileBytesMax) all = Contents(fd, bytes);
    const std::size_t whole = Parse(all).whole_bytes;
    if (whole == bytes) return;
    log::Warning("library", "what libraries answered before, " + path_ + ", is damaged at byte " +
                                std::to_string(whole) + ": what stands before it is kept");
    all.resize(whole);
    (void)Replace(all);
  });
  return all;
}

void LibraryMemoryFile::Append(const Record& record) {
  if (path_.empty() || record.key.size() > kKeyBytesMax || record.results.size() > kResultBytesMax) return;
  std::error_code error;
  const std::filesystem::path folder = std::filesystem::path(path_).parent_path();
  if (std::filesystem::create_directories(folder, error)) ::chmod(folder.c_str(), S_IRWXU);
  const Bytes written = Write(record);
  Locked(true, [&](int fd, std::size_t bytes) {
    if (bytes + written.size() <= kFileBytesMax) {
      // A record that was cut short would hide what comes behind it.
      if (!WriteAll(fd, written)) (void)!::ftruncate(fd, static_cast<off_t>(bytes));
      return;
    }
    Bytes last;
    if (bytes <= kFileBytesMax) last = LastOf(Contents(fd, bytes), kFileBytesMax / 2);
    last.insert(last.end(), written.begin(), written.end());
    (void)Replace(last);
  });
}

}  // namespace accelmesh
