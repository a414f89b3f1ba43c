#include "server/backend/cpu/tier1/cache.h"

#include <llvm/ADT/StringExtras.h>
#include <llvm/Support/SHA256.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <system_error>
#include <vector>

namespace accelmesh::tier1 {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kMagic = "accelmesh tier 1 object 1\n";
constexpr std::size_t kHashChars = 64;
constexpr std::string_view kEnding = ".object";
constexpr std::uint64_t kObjectBytesMax = 64ull << 20;

// What somebody else may have written is not run.
bool IsOwn(const std::string& path) {
  struct stat facts{};
  return ::stat(path.c_str(), &facts) == 0 && facts.st_uid == ::geteuid() && (facts.st_mode & (S_IWGRP | S_IWOTH)) == 0;
}

// Of an object, or of one that is being written; the folder may be the user's, with other files in it.
bool IsOfObject(const fs::path& path) { return path.filename().string().find(kEnding) == kHashChars; }

}  // namespace

std::string HashOf(std::string_view bytes) {
  llvm::SHA256 hash;
  hash.update(llvm::StringRef(bytes.data(), bytes.size()));
  const auto digest = hash.final();
  return llvm::toHex(llvm::ArrayRef<std::uint8_t>(digest.data(), digest.size()), true);
}

std::string Cache::PathOf(const std::string& key) const { return folder_ + "/" + key + std::string(kEnding); }

// The file: the magic, the hash of what follows, the key, the object.
std::optional<std::string> Cache::Find(const std::string& key) const {
  if (folder_.empty()) return std::nullopt;
  const std::string path = PathOf(key);
  if (!IsOwn(path)) return std::nullopt;
  std::error_code error;
  const std::uint64_t size = fs::file_size(path, error);
  const std::size_t head = kMagic.size() + kHashChars;
  if (error || size < head + key.size() || size > kObjectBytesMax) return std::nullopt;
  std::ifstream file(path, std::ios::binary);
  std::string bytes(size, '\0');
  if (!file.read(bytes.data(), static_cast<std::streamsize>(size))) return std::nullopt;
  const std::string_view all = bytes;
  if (all.substr(0, kMagic.size()) != kMagic || all.substr(head, key.size()) != key ||
      HashOf(all.substr(head)) != all.substr(kMagic.size(), kHashChars)) {
    fs::remove(path, error);
    return std::nullopt;
  }
  // What is used stays longest.
  fs::last_write_time(path, fs::file_time_type::clock::now(), error);
  return bytes.substr(head + key.size());
}

void Cache::Keep(const std::string& key, std::string_view object) const {
  if (folder_.empty() || object.size() > kObjectBytesMax / 2) return;
  std::error_code error;
  if (fs::create_directories(folder_, error)) ::chmod(folder_.c_str(), S_IRWXU);
  static std::atomic<std::uint32_t> serial{0};
  const std::string temporary =
      PathOf(key) + "." + std::to_string(::getpid()) + "." + std::to_string(serial.fetch_add(1));
  const std::string body = key + std::string(object);
  {
    std::ofstream file(temporary, std::ios::binary);
    file << kMagic << HashOf(body) << body;
    if (!file.flush()) {
      file.close();
      fs::remove(temporary, error);
      return;
    }
  }
  ::chmod(temporary.c_str(), S_IRUSR | S_IWUSR);
  fs::rename(temporary, PathOf(key), error);
  if (error) fs::remove(temporary, error);
  Shrink();
}

// Removes what was not used for longest until the rest fits.
void Cache::Shrink() const {
  struct File {
    fs::file_time_type used;
    std::uint64_t bytes;
    fs::path path;
  };
  std::vector<File> files;
  std::uint64_t total = 0;
  std::error_code error;
  for (fs::directory_iterator at(folder_, error), end; !error && at != end; at.increment(error)) {
    if (!IsOfObject(at->path())) continue;
    std::error_code gone;
    File file{fs::last_write_time(at->path(), gone), 0, at->path()};
    if (!gone) file.bytes = fs::file_size(at->path(), gone);
    if (gone) continue;
    total += file.bytes;
    files.push_back(std::move(file));
  }
  std::sort(files.begin(), files.end(), [](const File& a, const File& b) { return a.used < b.used; });
  for (std::size_t i = 0; i < files.size() && total > bytes_max_; ++i) {
    fs::remove(files[i].path, error);
    total -= files[i].bytes;
  }
}

}  // namespace accelmesh::tier1
