// What a library has answered, by what it was asked, across sessions: a file that processes append to.
//
//     file := record*      record := head key value      head := magic, bytes of key and of value, checksum of both
//
// A record is written at once at the file's end; a reader believes a file up to the first record that is none. A file
// that another user owns or may write is as good as not there, as is one that cannot be had: then answers are
// remembered in this process. Nothing that a client says goes into a file but as a key, beside what the library said.
// Threads: one at a time.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "protocol/base/bytes.h"

namespace accelmesh::cuda {

class LibraryMemory {
 public:
  static constexpr std::uint64_t kFileBytesMax = 8 << 20;  // a longer one begins anew

  // An empty path: no file. The file is read when it is first needed.
  explicit LibraryMemory(std::string path) : path_(std::move(path)) {}
  // "accelmesh/NAME" in the user's cache; empty if there is no such place.
  static std::string PathOf(const std::string& name);

  std::optional<Bytes> Find(const Bytes& key);
  void Keep(const Bytes& key, const Bytes& value);

 private:
  void Read();

  std::string path_;
  bool is_read_ = false;
  bool begins_anew_ = false;  // with the next record
  std::map<Bytes, Bytes> answers_;
};

}  // namespace accelmesh::cuda
