// Copies and fills of boxes as calls of the driver, all asynchronous on one stream. Where a side lies is told by its
// address (unified addressing): on any device, in mapped host memory, in pinned staging.
//
// Threads: any that has the stream's context current.
#pragma once

#include "server/backend/cuda/arrays.h"
#include "server/backend/cuda/driver.h"
#include "server/backend/cuda/pieces.h"
#include "server/device.h"

namespace accelmesh::cuda {

struct Side {
  std::uint64_t address = 0;
  std::uint64_t pitch = 0;
  std::uint64_t slice = 0;
  const RealArray* array = nullptr;  // of the driver's, that the address means
  // The corner of a piece of this side.
  Side At(const Piece& piece) const {
    return {address + piece.z * slice + piece.y * pitch + piece.x, pitch, slice, array};
  }
};
// Memory where a box lies without gaps.
inline Side Packed(std::uint64_t address, const Box& box) {
  return {address, box.width, box.width * box.height, nullptr};
}
inline Side Packed(const void* memory, const Box& box) { return Packed(reinterpret_cast<std::uint64_t>(memory), box); }

// `max_pitch` is the device's: rows further apart than that are copied one by one.
CUresult CopyBox(const Driver& driver, CUstream stream, const Side& dst, const Side& src, const Box& box,
                 std::uint64_t max_pitch);
CUresult FillBox(const Driver& driver, CUstream stream, const FillJob& job, std::uint64_t max_pitch);

}  // namespace accelmesh::cuda
