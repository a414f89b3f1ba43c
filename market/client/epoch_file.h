// EpochFile: the highest epoch of each slot that a gpu-server has accepted, on its disk. Before a lease's session
// starts, Accept() is asked: an older epoch than the highest is refused, a newer one is on the disk before it is
// accepted. So what was fenced off stays so through kill -9 and a loss of power.
//
// File: an 8-byte magic, then records, appended; anew from time to time (a new file, synced, renamed over it).
//   record := u32 crc of what follows | u16 size of slot | u64 epoch | slot
// What is incomplete at the end was never accepted and is cut off; damage before it is refused.
//
// Threads: Accept and Highest are safe from many. One process at a time: the file is locked.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "protocol/base/bytes.h"
#include "protocol/base/mutex.h"
#include "protocol/base/result.h"

namespace accelmesh::market {

inline constexpr std::size_t kSlotNameBytesMax = 256;

class EpochFile {
 public:
  using Epochs = std::map<std::string, std::uint64_t, std::less<>>;
  struct Parsed {
    Epochs epochs;
    std::size_t size = 0;  // of what is whole
    std::size_t records = 0;
  };

  static Result<std::unique_ptr<EpochFile>> Open(std::string path);
  ~EpochFile();
  EpochFile(const EpochFile&) = delete;
  EpochFile& operator=(const EpochFile&) = delete;

  // kPermissionDenied: a later grant of the slot is known. kSystem: the disk refused; nothing was accepted.
  Status Accept(std::string_view slot, std::uint64_t epoch);
  // 0: none yet.
  std::uint64_t Highest(std::string_view slot) const;

  static Result<Parsed> Parse(ByteView bytes);

 private:
  EpochFile(std::string path, int file) : path_(std::move(path)), file_(file) {}
  Status Load() ACCELMESH_REQUIRES(mutex_);
  Status Rewrite() ACCELMESH_REQUIRES(mutex_);

  const std::string path_;
  mutable Mutex mutex_;
  int file_ ACCELMESH_GUARDED_BY(mutex_);
  int lock_ = -1;
  Epochs epochs_ ACCELMESH_GUARDED_BY(mutex_);
  std::size_t size_ ACCELMESH_GUARDED_BY(mutex_) = 0;
  std::size_t records_ ACCELMESH_GUARDED_BY(mutex_) = 0;
  Status broken_ ACCELMESH_GUARDED_BY(mutex_);
};

}  // namespace accelmesh::market
