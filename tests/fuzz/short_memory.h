// Memory of C++ code that is short while a fuzzer's call is under way: who links short_memory.cpp has its operator new.
//
// Threads: one that fuzzes.
#pragma once

#include <cstddef>

namespace accelmesh::fuzz {

// While it lives, pieces of 16 KiB and more come to `bytes` at most; the next one throws std::bad_alloc. One of more
// than `outrageous` is no fuzzer's fault and ends the process: whoever asks for it has not looked at what it is for.
class ShortMemory {
 public:
  ShortMemory(std::size_t bytes, std::size_t outrageous);
  ~ShortMemory();
  ShortMemory(const ShortMemory&) = delete;
  ShortMemory& operator=(const ShortMemory&) = delete;
};

}  // namespace accelmesh::fuzz
