// Memory of the program that the server has a twin of: what each side has changed since both were the same.
//
// The shadow is what both had last. A byte of the program's that differs from it was written by the program, a byte of
// the twin's that differs was written by the device; so each side's changes go over without undoing the other's, byte
// by byte. Threads: none; the owner locks. The program may write at any time: what counts as sent is the shadow, not
// its memory. Units: bytes; offsets from the start of the memory.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <vector>

#include "protocol/base/bytes.h"

namespace accelmesh {

class Twin {
 public:
  // A twin of zeros. Null if there is no memory for the shadow. `memory` outlives it.
  static std::unique_ptr<Twin> Make(MutableByteView memory);

  struct Run {
    std::uint64_t offset = 0;
    std::uint64_t bytes = 0;
  };
  // What the program has written since the two were the same; it then counts as sent (Sent()). `exact`: not one byte
  // beside it, for the device may be writing there.
  std::vector<Run> TakeWritten(bool exact);
  ByteView Sent(const Run& run) const { return {shadow_.get() + run.offset, run.bytes}; }

  // Takes in what the twin held, from `offset` on.
  void Merge(std::uint64_t offset, ByteView bytes);

  std::uint64_t bytes() const { return memory_.size(); }

 private:
  struct Free {
    void operator()(std::uint8_t* pointer) const { std::free(pointer); }
  };
  Twin(MutableByteView memory, std::uint8_t* shadow) : memory_(memory), shadow_(shadow) {}
  void Append(std::vector<Run>& runs, std::uint64_t offset, std::uint64_t bytes);

  MutableByteView memory_;
  std::unique_ptr<std::uint8_t[], Free> shadow_;
};

}  // namespace accelmesh
