// Arrays of the driver's that stand for arrays of the client's.
//
// The client's arrays lie in the window like all memory, which no texture unit reads as it has to. One that gets a
// texture or surface object gets an array of the driver's (RealArray), with what the window holds; from then on copies
// that name its addresses go there, and the window's memory is only its name. Threads: a RealArray is filled in by the
// service thread while all streams wait, and constant afterwards.
#pragma once

#include <atomic>
#include <memory>
#include <vector>

#include "server/backend/cuda/stream.h"
#include "server/device.h"

namespace accelmesh::cuda {

struct RealArray {
  struct Level {
    std::uint64_t address = 0;
    std::uint64_t pitch = 0;
    std::uint64_t slice = 0;
    std::uint64_t row_bytes = 0;
    std::uint64_t rows = 1;
    std::uint64_t slices = 1;
    CUarray handle = nullptr;  // null: it could not be made, and the window's memory is all there is
  };
  const Device* device = nullptr;
  CUDA_ARRAY3D_DESCRIPTOR descriptor{};
  CUarray array = nullptr;
  CUmipmappedArray mipmapped = nullptr;
  std::vector<Level> levels;
  std::atomic<bool> is_settled{false};  // made, or known not to be

  // The level that the address lies in; null if none.
  const Level* At(std::uint64_t address) const;
};

// Without handles yet.
std::shared_ptr<RealArray> PlanArray(const Device& device, const TextureJob& job);
// Makes the driver's array and brings what the window holds. May take long; the device's context is current.
CUresult MakeReal(const Driver& driver, RealArray* array);
void DestroyArray(const Driver& driver, const RealArray& array);

// The driver's object for the job; `array` is null where that lies in linear memory.
CUresult MakeTextureObject(const Driver& driver, const TextureJob& job, const RealArray* array, std::uint64_t* handle);
CUresult DestroyTextureObject(const Driver& driver, bool is_surface, std::uint64_t handle);

}  // namespace accelmesh::cuda
