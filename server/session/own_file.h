// Files of a user's caches, which processes of that user share.
//
// Threads: one at a time.
#pragma once

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <string>

#include "protocol/base/bytes.h"

namespace accelmesh {

inline bool WriteAll(int fd, ByteView bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(fd, bytes.data(), bytes.size());
    if (written <= 0) return false;
    bytes = bytes.subspan(static_cast<std::size_t>(written));
  }
  return true;
}

// So many from the file's beginning, or as many as there are.
inline Bytes Contents(int fd, std::size_t bytes) {
  Bytes all(bytes);
  const ssize_t got = ::pread(fd, all.data(), all.size(), 0);
  all.resize(got < 0 ? 0 : static_cast<std::size_t>(got));
  return all;
}

// An open file that nobody else may have written to; -1 if it is none.
class OwnFile {
 public:
  OwnFile(const std::string& path, int flags) : fd_(::open(path.c_str(), flags | O_CLOEXEC | O_NOFOLLOW, 0600)) {
    const bool is_own = fd_ >= 0 && ::fstat(fd_, &facts_) == 0 && S_ISREG(facts_.st_mode) &&
                        facts_.st_uid == ::geteuid() && (facts_.st_mode & (S_IWGRP | S_IWOTH)) == 0;
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

  int fd() const { return fd_; }
  // When it was opened.
  std::size_t bytes() const { return static_cast<std::size_t>(facts_.st_size); }
  // Whether the name still means it: another process may have put one in its place.
  bool IsAt(const std::string& path) const {
    struct stat named{};
    return ::lstat(path.c_str(), &named) == 0 && named.st_ino == facts_.st_ino && named.st_dev == facts_.st_dev;
  }

 private:
  int fd_;
  struct stat facts_{};
};

}  // namespace accelmesh
