// The file behind a LibraryMemory, which processes read once and append to, one at a time.
//
//     file := record*
//     record := magic:u32 key_bytes:u32 status:u32 result_bytes:u32 checksum:u64 key results      little-endian
//
// The checksum is over the four numbers, key and results. What is appended later counts where two keys are equal.
//
// Whatever the file says is checked before it is used. One that is damaged is believed up to there, said once, and
// replaced by what is whole; so is one that has grown too long, by its later half. Replaced is: written beside it and
// renamed. A file that another user owns or may write is as good as not there, as is one that cannot be had: that is no
// error, as nothing but time is lost. Locks are of the open file (flock), so a process that dies leaves none.
//
// Threads: one at a time.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "protocol/base/bytes.h"

namespace accelmesh {

class LibraryMemoryFile {
 public:
  static constexpr std::size_t kFileBytesMax = 4 << 20;
  static constexpr std::size_t kKeyBytesMax = 64 << 10;
  static constexpr std::size_t kResultBytesMax = 256 << 10;

  struct Record {
    ByteView key;
    std::uint32_t status = 0;
    ByteView results;
  };
  struct Parsed {
    std::vector<Record> records;  // views of the file, in its order
    std::size_t whole_bytes = 0;  // that they fill; less than the file if it is damaged behind them
  };
  static Parsed Parse(ByteView file);
  // The bytes of a record, which is within the bounds.
  static Bytes Write(const Record& record);
  // The last records that fill no more than `bytes`, each key once.
  static Bytes LastOf(ByteView file, std::size_t bytes);

  explicit LibraryMemoryFile(std::string path) : path_(std::move(path)) {}

  // What is in it, whole records only; empty if there is none.
  Bytes Read();
  void Append(const Record& record);

 private:
  // Calls `work` with the file, locked, which is made if there is none and it may be; not at all if it cannot be had.
  void Locked(bool may_make, const std::function<void(int fd, std::size_t bytes)>& work);
  bool Replace(ByteView with) const;

  std::string path_;
};

}  // namespace accelmesh
