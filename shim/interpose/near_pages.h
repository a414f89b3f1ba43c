// Executable pages near some code, for jumps whose distance has 32 bits.
//
// Threads: a value that moves; not for two threads at a time.
#pragma once

#include <cstddef>
#include <cstdint>

#include "protocol/base/bytes.h"
#include "protocol/base/result.h"

namespace accelmesh {

class NearPages {
 public:
  NearPages() = default;
  // Writable pages, all of whose bytes a jump from anywhere in [first, last] reaches.
  static Result<NearPages> Map(std::uintptr_t first, std::uintptr_t last, std::size_t bytes);

  NearPages(NearPages&& other) noexcept : bytes_(other.bytes_) { other.bytes_ = {}; }
  NearPages& operator=(NearPages&& other) noexcept;
  NearPages(const NearPages&) = delete;
  NearPages& operator=(const NearPages&) = delete;
  ~NearPages() { Unmap(); }

  MutableByteView bytes() const { return bytes_; }
  // They are executable and no longer writable from then on.
  Status MakeExecutable();

 private:
  explicit NearPages(MutableByteView bytes) : bytes_(bytes) {}
  void Unmap();

  MutableByteView bytes_;
};

}  // namespace accelmesh
