#include "server/backend/cuda/transfer.h"

namespace accelmesh::cuda {
namespace {

// A box with as few dimensions as it can have: what lies without a gap is one row.
struct Flat {
  Side dst;
  Side src;
  Box box;
};
Flat Flatten(const Side& dst, const Side& src, const Box& box) {
  Flat flat{dst, src, box};
  const auto drop_slices = [&] {
    flat.box.height = flat.box.depth;
    flat.box.depth = 1;
    flat.dst.pitch = flat.dst.slice;
    flat.src.pitch = flat.src.slice;
  };
  const bool rows_touch = flat.dst.pitch == flat.box.width && flat.src.pitch == flat.box.width;
  if (flat.box.height > 1 && rows_touch) {
    flat.box.width *= flat.box.height;
    flat.box.height = 1;
  }
  if (flat.box.height == 1) drop_slices();
  const std::uint64_t rows_bytes = flat.box.height * flat.dst.pitch;
  if (flat.box.depth > 1 && flat.dst.slice == rows_bytes && flat.src.slice == flat.box.height * flat.src.pitch) {
    flat.box.height *= flat.box.depth;
    flat.box.depth = 1;
  }
  if (flat.box.height > 1 && flat.dst.pitch == flat.box.width && flat.src.pitch == flat.box.width) {
    flat.box.width *= flat.box.height;
    flat.box.height = 1;
  }
  return flat;
}

CUresult CopyRows(const Driver& driver, CUstream stream, const Side& dst, const Side& src, std::uint64_t width,
                  std::uint64_t height, std::uint64_t max_pitch) {
  if (height == 1) return driver.MemcpyAsync(dst.address, src.address, width, stream);
  if (dst.pitch > max_pitch || src.pitch > max_pitch) {
    for (std::uint64_t y = 0; y < height; ++y) {
      const CUresult result =
          driver.MemcpyAsync(dst.address + y * dst.pitch, src.address + y * src.pitch, width, stream);
      if (result != CUDA_SUCCESS) return result;
    }
    return CUDA_SUCCESS;
  }
  CUDA_MEMCPY2D copy{};
  copy.srcMemoryType = CU_MEMORYTYPE_UNIFIED;
  copy.srcDevice = src.address;
  copy.srcPitch = src.pitch;
  copy.dstMemoryType = CU_MEMORYTYPE_UNIFIED;
  copy.dstDevice = dst.address;
  copy.dstPitch = dst.pitch;
  copy.WidthInBytes = width;
  copy.Height = height;
  return driver.Memcpy2DAsync(&copy, stream);
}

CUresult FillRow(const Driver& driver, CUstream stream, std::uint64_t address, std::uint64_t width,
                 const FillJob& job) {
  switch (job.element_bytes) {
    case 1: return driver.MemsetD8Async(address, static_cast<unsigned char>(job.value), width, stream);
    case 2: return driver.MemsetD16Async(address, static_cast<unsigned short>(job.value), width, stream);
    default: return driver.MemsetD32Async(address, job.value, width, stream);
  }
}

CUresult FillRows(const Driver& driver, CUstream stream, std::uint64_t address, std::uint64_t pitch,
                  std::uint64_t width, std::uint64_t height, const FillJob& job) {
  switch (job.element_bytes) {
    case 1: return driver.MemsetD2D8Async(address, pitch, static_cast<unsigned char>(job.value), width, height, stream);
    case 2:
      return driver.MemsetD2D16Async(address, pitch, static_cast<unsigned short>(job.value), width, height, stream);
    default: return driver.MemsetD2D32Async(address, pitch, job.value, width, height, stream);
  }
}

}  // namespace

CUresult CopyBox(const Driver& driver, CUstream stream, const Side& dst, const Side& src, const Box& box,
                 std::uint64_t max_pitch) {
  const Flat flat = Flatten(dst, src, box);
  if (flat.box.depth == 1) {
    return CopyRows(driver, stream, flat.dst, flat.src, flat.box.width, flat.box.height, max_pitch);
  }
  // The driver counts the distance of slices in rows.
  const bool in_rows = flat.dst.slice % flat.dst.pitch == 0 && flat.src.slice % flat.src.pitch == 0 &&
                       flat.dst.pitch <= max_pitch && flat.src.pitch <= max_pitch;
  if (!in_rows) {
    for (std::uint64_t z = 0; z < flat.box.depth; ++z) {
      Piece slice;
      slice.z = z;
      const CUresult result =
          CopyRows(driver, stream, flat.dst.At(slice), flat.src.At(slice), flat.box.width, flat.box.height, max_pitch);
      if (result != CUDA_SUCCESS) return result;
    }
    return CUDA_SUCCESS;
  }
  CUDA_MEMCPY3D copy{};
  copy.srcMemoryType = CU_MEMORYTYPE_UNIFIED;
  copy.srcDevice = flat.src.address;
  copy.srcPitch = flat.src.pitch;
  copy.srcHeight = flat.src.slice / flat.src.pitch;
  copy.dstMemoryType = CU_MEMORYTYPE_UNIFIED;
  copy.dstDevice = flat.dst.address;
  copy.dstPitch = flat.dst.pitch;
  copy.dstHeight = flat.dst.slice / flat.dst.pitch;
  copy.WidthInBytes = flat.box.width;
  copy.Height = flat.box.height;
  copy.Depth = flat.box.depth;
  return driver.Memcpy3DAsync(&copy, stream);
}

CUresult FillBox(const Driver& driver, CUstream stream, const FillJob& job, std::uint64_t max_pitch) {
  const Side side{job.address, job.pitch, job.slice};
  const Flat flat = Flatten(side, side, {job.width * job.element_bytes, job.height, job.depth});
  const std::uint64_t width = flat.box.width / job.element_bytes;
  const bool one_by_one = flat.dst.pitch > max_pitch;
  for (std::uint64_t z = 0; z < flat.box.depth; ++z) {
    const std::uint64_t slice = flat.dst.address + z * flat.dst.slice;
    const std::uint64_t rows = flat.box.height;
    if (rows > 1 && !one_by_one) {
      const CUresult result = FillRows(driver, stream, slice, flat.dst.pitch, width, rows, job);
      if (result != CUDA_SUCCESS) return result;
      continue;
    }
    for (std::uint64_t y = 0; y < rows; ++y) {
      const CUresult result = FillRow(driver, stream, slice + y * flat.dst.pitch, width, job);
      if (result != CUDA_SUCCESS) return result;
    }
  }
  return CUDA_SUCCESS;
}

}  // namespace accelmesh::cuda
