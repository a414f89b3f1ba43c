// A file's bytes, mapped read-only: of a program of gigabytes only the pages that are looked at are read.
//
// Threads: a value that moves; the bytes may be read by anybody while it lives.
#pragma once

#include <string>

#include "protocol/base/bytes.h"
#include "protocol/base/result.h"

namespace accelmesh {

class MappedFile {
 public:
  // kNotFound if `path` is no regular file with bytes in it.
  static Result<MappedFile> Open(const std::string& path);

  MappedFile(MappedFile&& other) noexcept : bytes_(other.bytes_) { other.bytes_ = {}; }
  MappedFile& operator=(MappedFile&&) = delete;
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  ~MappedFile();

  ByteView bytes() const { return bytes_; }

 private:
  explicit MappedFile(ByteView bytes) : bytes_(bytes) {}
  ByteView bytes_;
};

}  // namespace accelmesh
