#include "server/backend/cuda/library_memory.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <system_error>

namespace accelmesh::cuda {
namespace {

constexpr std::uint32_t kMagic = 0x31684c41;  // "ALh1"
constexpr std::uint32_t kPartBytesMax = 64 << 10;
constexpr std::size_t kAnswersMax = 4096;

struct Head {
  std::uint32_t magic = kMagic;
  std::uint32_t key_bytes = 0;
  std::uint32_t value_bytes = 0;
  std::uint32_t reserved = 0;
  std::uint64_t checksum = 0;
};

// FNV-1a: finds what was torn, not what was forged.
std::uint64_t ChecksumOf(ByteView key, ByteView value) {
  std::uint64_t sum = 0xcbf29ce484222325;
  for (const ByteView part : {key, value}) {
    for (const std::uint8_t byte : part) sum = (sum ^ byte) * 0x100000001b3;
  }
  return sum;
}

// An open file that nobody else may have written to; -1 if it is none.
class OwnFile {
 public:
  OwnFile(const std::string& path, int flags) : fd_(::open(path.c_str(), flags | O_CLOEXEC | O_NOFOLLOW, 0600)) {
    struct stat facts{};
    const bool is_own = fd_ >= 0 && ::fstat(fd_, &facts) == 0 && S_ISREG(facts.st_mode) &&
                        facts.st_uid == ::geteuid() && (facts.st_mode & (S_IWGRP | S_IWOTH)) == 0;
    bytes_ = static_cast<std::uint64_t>(facts.st_size);
    if (fd_ >= 0 && !is_own) {
      ::close(fd_);
      fd_ = -1;
    }
  }
  ~OwnFile() {
    if (fd_ >= 0) ::close(fd_);
  }
  OwnFile(const OwnFile&) = delete;
  OwnFile& operator=(const OwnFile&) = delete;

  bool is_open() const { return fd_ >= 0; }
  std::uint64_t bytes() const { return bytes_; }
  int fd() const { return fd_; }

 private:
  int fd_;
  std::uint64_t bytes_ = 0;
};

}  // namespace

std::string LibraryMemory::PathOf(const std::string& name) {
  const char* const cache = std::getenv("XDG_CACHE_HOME");
  if (cache != nullptr && cache[0] == '/') return std::string(cache) + "/accelmesh/" + name;
  const char* const home = std::getenv("HOME");
  return home == nullptr || home[0] != '/' ? std::string() : std::string(home) + "/.cache/accelmesh/" + name;
}

void LibraryMemory::Read() {
  is_read_ = true;
  if (path_.empty()) return;
  const OwnFile file(path_, O_RDONLY);
  if (!file.is_open()) return;
  begins_anew_ = file.bytes() > kFileBytesMax;
  if (begins_anew_) return;
  Bytes all(file.bytes());
  const ssize_t got = ::pread(file.fd(), all.data(), all.size(), 0);
  if (got < 0) return;
  ByteView rest = ByteView(all).first(static_cast<std::size_t>(got));
  while (rest.size() >= sizeof(Head)) {
    Head head;
    std::memcpy(&head, rest.data(), sizeof(head));
    rest = rest.subspan(sizeof(head));
    if (head.magic != kMagic || head.key_bytes > kPartBytesMax || head.value_bytes > kPartBytesMax ||
        std::size_t{head.key_bytes} + head.value_bytes > rest.size())
      break;
    const ByteView key = rest.first(head.key_bytes);
    const ByteView value = rest.subspan(head.key_bytes, head.value_bytes);
    if (ChecksumOf(key, value) != head.checksum) break;
    answers_[Bytes(key.begin(), key.end())] = Bytes(value.begin(), value.end());
    rest = rest.subspan(key.size() + value.size());
    if (rest.empty()) return;
  }
  // What cannot be read on would hide what is appended.
  begins_anew_ = !all.empty();
}

std::optional<Bytes> LibraryMemory::Find(const Bytes& key) {
  if (!is_read_) Read();
  const auto known = answers_.find(key);
  if (known == answers_.end()) return std::nullopt;
  return known->second;
}

void LibraryMemory::Keep(const Bytes& key, const Bytes& value) {
  if (!is_read_) Read();
  if (key.size() > kPartBytesMax || value.size() > kPartBytesMax || answers_.size() >= kAnswersMax) return;
  answers_[key] = value;
  if (path_.empty()) return;
  std::error_code error;
  const std::filesystem::path folder = std::filesystem::path(path_).parent_path();
  if (std::filesystem::create_directories(folder, error)) ::chmod(folder.c_str(), S_IRWXU);
  if (std::exchange(begins_anew_, false)) std::filesystem::remove(path_, error);
  const OwnFile file(path_, O_WRONLY | O_APPEND | O_CREAT);
  if (!file.is_open() || file.bytes() > kFileBytesMax) return;
  Head head;
  head.key_bytes = static_cast<std::uint32_t>(key.size());
  head.value_bytes = static_cast<std::uint32_t>(value.size());
  head.checksum = ChecksumOf(key, value);
  const ByteView bytes = AsBytes(head);
  Bytes record(bytes.begin(), bytes.end());
  record.insert(record.end(), key.begin(), key.end());
  record.insert(record.end(), value.begin(), value.end());
  // A record that was cut short ends the file for who reads it next.
  (void)!::write(file.fd(), record.data(), record.size());
}

}  // namespace accelmesh::cuda
