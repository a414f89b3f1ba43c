// A copy as the library sees it: a box of rows between two places. Private to this folder.
#pragma once

#include "tests/contract/state.h"

namespace accelmesh::contract {

struct Side {
  enum class Kind : std::uint8_t { kHost, kDevice, kEither };
  Kind kind = Kind::kDevice;
  std::uint64_t address = 0;
  std::uint64_t pitch = 0;  // bytes from row to row
  std::uint64_t slice = 0;  // bytes from slice to slice
  std::shared_ptr<Array> array;
};
struct Box {
  Side to;
  Side from;
  std::uint64_t width = 0;  // bytes
  std::uint64_t height = 1;
  std::uint64_t depth = 1;
};

// Queues the copy; `blocking` waits for it. An asynchronous one with a pageable side waits where CUDA's does.
CUresult Copy(const Call& call, Box box, CUstream stream, bool blocking);
// The place in an array; the box must fit.
CUresult ArraySide(const Call& call, CUarray handle, std::uint64_t x_bytes, std::uint64_t y, std::uint64_t z,
                   const Box& box, Side* side);

}  // namespace accelmesh::contract
