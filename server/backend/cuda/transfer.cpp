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

// A corner of an array, and what is left of it from there.
struct Corner {
  CUarray handle = nullptr;
  std::uint64_t x = 0, y = 0, z = 0;
  bool fits = false;
};
Corner CornerOf(const Side& side, const Box& box) {
  const RealArray::Level* level = side.array->At(side.address);
  if (level == nullptr) return {};
  const std::uint64_t offset = side.address - level->address;
  Corner corner;
  corner.handle = level->handle;
  corner.z = offset / level->slice;
  corner.y = offset % level->slice / level->pitch;
  corner.x = offset % level->slice % level->pitch;
  corner.fits = corner.x + box.width <= level->row_bytes && corner.y + box.height <= level->rows &&
                corner.z + box.depth <= level->slices && (box.height == 1 || side.pitch == level->pitch) &&
                (box.depth == 1 || side.slice == level->slice);
  return corner;
}

// At least one side lies in an array: a slice at a time, as memory's slices may lie anywhere.
CUresult CopyArrayBox(const Driver& driver, CUstream stream, const Side& dst, const Side& src, const Box& box) {
  for (std::uint64_t z = 0; z < box.depth; ++z) {
    Piece slice;
    slice.z = z;
    const Box plane{box.width, box.height, 1};
    const Side to = dst.At(slice);
    const Side from = src.At(slice);
    CUDA_MEMCPY3D copy{};
    copy.WidthInBytes = box.width;
    copy.Height = box.height;
    copy.Depth = 1;
    copy.dstMemoryType = CU_MEMORYTYPE_UNIFIED;
    copy.srcMemoryType = CU_MEMORYTYPE_UNIFIED;
    copy.dstDevice = to.address;
    copy.srcDevice = from.address;
    copy.dstPitch = box.height == 1 ? box.width : to.pitch;
    copy.srcPitch = box.height == 1 ? box.width : from.pitch;
    if (to.array != nullptr) {
      const Corner corner = CornerOf(to, plane);
      if (!corner.fits) return CUDA_ERROR_INVALID_VALUE;
      copy.dstMemoryType = CU_MEMORYTYPE_ARRAY;
      copy.dstArray = corner.handle;
      copy.dstXInBytes = corner.x;
      copy.dstY = corner.y;
      copy.dstZ = corner.z;
    }
    if (from.array != nullptr) {
      const Corner corner = CornerOf(from, plane);
      if (!corner.fits) return CUDA_ERROR_INVALID_VALUE;
      copy.srcMemoryType = CU_MEMORYTYPE_ARRAY;
      copy.srcArray = corner.handle;
      copy.srcXInBytes = corner.x;
      copy.srcY = corner.y;
      copy.srcZ = corner.z;
    }
    const CUresult result = driver.Memcpy3DAsync(&copy, stream);
    if (result != CUDA_SUCCESS) return result;
  }
  return CUDA_SUCCESS;
}

}  // namespace

CUresult CopyBox(const Driver& driver, CUstream stream, const Side& dst, const Side& src, const Box& box,
                 std::uint64_t max_pitch) {
  if (dst.array != nullptr || src.array != nullptr) return CopyArrayBox(driver, stream, dst, src, box);
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
  const Side side{job.address, job.pitch, job.slice, nullptr};
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
