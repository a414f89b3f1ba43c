// Copies: linear ones, boxes, between devices, to and from arrays. All come down to boxes of rows.
#include <cstring>

#include "tests/contract/copy.h"

namespace accelmesh::contract {
namespace {

// CUDA stages pageable sources up to this size within the call.
constexpr std::uint64_t kStagedBytesMax = 64 * 1024;

enum class Where : std::uint8_t { kPageable, kPinned, kDevice };
Where Find(std::uint64_t address) {
  const std::lock_guard lock(state().mu);
  const auto found = FindRegion(address);
  if (found == state().regions.end()) return Where::kPageable;
  return found->second.host() ? Where::kPinned : Where::kDevice;
}

std::uint64_t SpanOf(const Side& side, const Box& box) {
  return (box.depth - 1) * side.slice + (box.height - 1) * side.pitch + box.width;
}

void Run(const Box& box) {
  for (std::uint64_t z = 0; z < box.depth; ++z) {
    for (std::uint64_t y = 0; y < box.height; ++y) {
      auto* to = reinterpret_cast<std::uint8_t*>(box.to.address + z * box.to.slice + y * box.to.pitch);
      const auto* from =
          reinterpret_cast<const std::uint8_t*>(box.from.address + z * box.from.slice + y * box.from.pitch);
      std::memmove(to, from, box.width);
    }
  }
}

// Checks one side; whether it is pageable.
CUresult CheckSide(const Call& call, const Side& side, const Box& box, bool* pageable) {
  *pageable = false;
  if (side.array != nullptr) return CUDA_SUCCESS;
  const bool many_rows = box.height > 1 || box.depth > 1;
  if (many_rows && side.pitch < box.width) return CUDA_ERROR_INVALID_VALUE;
  const Range range{side.address, SpanOf(side, box)};
  if (Find(side.address) == Where::kPageable) {
    if (side.kind == Side::Kind::kDevice) return CUDA_ERROR_INVALID_VALUE;
    *pageable = true;
    return CUDA_SUCCESS;
  }
  const std::lock_guard lock(state().mu);
  const CUresult result = CheckDeviceRange(call, range);
  // Host memory may go on behind what is registered.
  if (result == CUDA_ERROR_INVALID_VALUE && side.kind != Side::Kind::kDevice &&
      FindRegion(side.address)->second.host()) {
    *pageable = true;
    return CUDA_SUCCESS;
  }
  return result;
}

// The source's bytes as they are now, so that the caller may write over them.
std::shared_ptr<Bytes> Stage(Box* box) {
  auto staged = std::make_shared<Bytes>(box->width * box->height * box->depth);
  Box out = *box;
  out.to = {Side::Kind::kHost, reinterpret_cast<std::uint64_t>(staged->data()), box->width, box->width * box->height,
            nullptr};
  Run(out);
  box->from = out.to;
  return staged;
}

}  // namespace

CUresult Copy(const Call& call, Box box, CUstream handle, bool blocking) {
  if (box.width == 0 || box.height == 0 || box.depth == 0) return CUDA_SUCCESS;
  const auto stream = call.FindStream(handle);
  if (stream == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  bool to_pageable = false;
  bool from_pageable = false;
  if (const CUresult result = CheckSide(call, box.to, box, &to_pageable); result != CUDA_SUCCESS) return result;
  if (const CUresult result = CheckSide(call, box.from, box, &from_pageable); result != CUDA_SUCCESS) return result;
  if (!blocking && (to_pageable || from_pageable)) {
    if (const CUresult may = call.MayWait("a side of the copy is pageable host memory"); may != CUDA_SUCCESS)
      return may;
    const bool capturing = [&] {
      const std::lock_guard lock(state().mu);
      return stream->capture != nullptr;
    }();
    // The manual: such a copy may be synchronous; to pageable memory it is.
    if (!capturing && (to_pageable || box.width * box.height * box.depth > kStagedBytesMax)) blocking = true;
  }
  Work work;
  work.type = CU_GRAPH_NODE_TYPE_MEMCPY;
  if (box.to.array == nullptr && !to_pageable) work.touches.push_back({box.to.address, SpanOf(box.to, box)});
  if (box.from.array == nullptr && !from_pageable) work.touches.push_back({box.from.address, SpanOf(box.from, box)});
  std::shared_ptr<Bytes> staged;
  if (from_pageable && !blocking) staged = Stage(&box);
  work.run = [box, staged] {
    Run(box);
    return CUDA_SUCCESS;
  };
  const CUresult result = Submit(call, stream, std::move(work));
  if (result != CUDA_SUCCESS || !blocking) return result;
  const CUresult end = Drain(stream);
  WriteOut(*stream->context);
  return end;
}

CUresult ArraySide(const Call& call, CUarray handle, std::uint64_t x_bytes, std::uint64_t y, std::uint64_t z,
                   const Box& box, Side* side) {
  const auto array = call.Find(state().arrays, handle);
  if (array == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  if (x_bytes + box.width > array->pitch() || y + box.height > array->height() || z + box.depth > array->depth())
    return CUDA_ERROR_INVALID_VALUE;
  side->array = array;
  side->pitch = array->pitch();
  side->slice = array->pitch() * array->height();
  side->address = reinterpret_cast<std::uint64_t>(array->bytes.data()) + z * side->slice + y * side->pitch + x_bytes;
  return CUDA_SUCCESS;
}

namespace {

Side Linear(Side::Kind kind, std::uint64_t address) { return {kind, address, 0, 0, nullptr}; }
Side OnDevice(CUdeviceptr address) { return Linear(Side::Kind::kDevice, address); }
Side OnHost(const void* address) { return Linear(Side::Kind::kHost, reinterpret_cast<std::uint64_t>(address)); }
Side Anywhere(CUdeviceptr address) { return Linear(Side::Kind::kEither, address); }

CUresult CopyLinear(const Call& call, const Side& to, const Side& from, std::size_t bytes, CUstream stream,
                    bool blocking) {
  return Copy(call, {to, from, bytes, 1, 1}, stream, blocking);
}

CUresult CopyArray(const Call& call, CUarray to_array, std::size_t to_x, Side to, CUarray from_array,
                   std::size_t from_x, Side from, std::size_t bytes, CUstream stream, bool blocking) {
  const Box size{{}, {}, bytes, 1, 1};
  if (to_array != nullptr) {
    if (const CUresult result = ArraySide(call, to_array, to_x, 0, 0, size, &to); result != CUDA_SUCCESS) return result;
  }
  if (from_array != nullptr) {
    const CUresult result = ArraySide(call, from_array, from_x, 0, 0, size, &from);
    if (result != CUDA_SUCCESS) return result;
  }
  return CopyLinear(call, to, from, bytes, stream, blocking);
}

// A side of the structs of CUDA.
CUresult ReadSide(const Call& call, CUmemorytype type, const void* host, CUdeviceptr device, CUarray array,
                  std::uint64_t x_bytes, std::uint64_t y, std::uint64_t z, std::uint64_t pitch, std::uint64_t height,
                  const Box& box, Side* side) {
  if (type == CU_MEMORYTYPE_ARRAY) return ArraySide(call, array, x_bytes, y, z, box, side);
  std::uint64_t base = device;
  switch (type) {
    case CU_MEMORYTYPE_HOST:
      side->kind = Side::Kind::kHost;
      base = reinterpret_cast<std::uint64_t>(host);
      break;
    case CU_MEMORYTYPE_DEVICE: side->kind = Side::Kind::kDevice; break;
    case CU_MEMORYTYPE_UNIFIED: side->kind = Side::Kind::kEither; break;
    default: return call.Break(CONTRACT_RULE_WRONG_SIZE, CUDA_ERROR_INVALID_VALUE, "no such type of memory");
  }
  side->pitch = pitch == 0 ? box.width + x_bytes : pitch;
  side->slice = side->pitch * (height == 0 ? box.height + y : height);
  side->address = base + x_bytes + y * side->pitch + z * side->slice;
  return CUDA_SUCCESS;
}

template <typename Params>
CUresult Copy3D(const Call& call, const Params* p, CUstream stream, bool blocking) {
  if (p == nullptr) return CUDA_ERROR_INVALID_VALUE;
  if (p->srcLOD != 0 || p->dstLOD != 0) return CUDA_ERROR_INVALID_VALUE;
  Box box{{}, {}, p->WidthInBytes, p->Height, p->Depth};
  CUresult result = ReadSide(call, p->dstMemoryType, p->dstHost, p->dstDevice, p->dstArray, p->dstXInBytes, p->dstY,
                             p->dstZ, p->dstPitch, p->dstHeight, box, &box.to);
  if (result != CUDA_SUCCESS) return result;
  result = ReadSide(call, p->srcMemoryType, p->srcHost, p->srcDevice, p->srcArray, p->srcXInBytes, p->srcY, p->srcZ,
                    p->srcPitch, p->srcHeight, box, &box.from);
  return result == CUDA_SUCCESS ? Copy(call, box, stream, blocking) : result;
}
CUresult Copy2D(const Call& call, const CUDA_MEMCPY2D* p, CUstream stream, bool blocking) {
  if (p == nullptr) return CUDA_ERROR_INVALID_VALUE;
  Box box{{}, {}, p->WidthInBytes, p->Height, 1};
  CUresult result = ReadSide(call, p->dstMemoryType, p->dstHost, p->dstDevice, p->dstArray, p->dstXInBytes, p->dstY, 0,
                             p->dstPitch, 0, box, &box.to);
  if (result != CUDA_SUCCESS) return result;
  result = ReadSide(call, p->srcMemoryType, p->srcHost, p->srcDevice, p->srcArray, p->srcXInBytes, p->srcY, 0,
                    p->srcPitch, 0, box, &box.from);
  return result == CUDA_SUCCESS ? Copy(call, box, stream, blocking) : result;
}

// Both contexts of a copy between devices have to be.
CUresult CheckContexts(const Call& call, CUcontext to, CUcontext from) {
  const bool are = call.Find(state().contexts, to) != nullptr && call.Find(state().contexts, from) != nullptr;
  return are ? CUDA_SUCCESS : CUDA_ERROR_INVALID_CONTEXT;
}

}  // namespace
}  // namespace accelmesh::contract

using namespace accelmesh::contract;

CONTRACT_API CUresult cuMemcpy(CUdeviceptr to, CUdeviceptr from, std::size_t bytes) {
  return Enter(Function::k_cuMemcpy, [&](Call& call) -> CUresult {
    return CopyLinear(call, Anywhere(to), Anywhere(from), bytes, nullptr, true);
  });
}
CONTRACT_API CUresult cuMemcpyAsync(CUdeviceptr to, CUdeviceptr from, std::size_t bytes, CUstream stream) {
  return Enter(Function::k_cuMemcpyAsync, [&](Call& call) -> CUresult {
    return CopyLinear(call, Anywhere(to), Anywhere(from), bytes, stream, false);
  });
}
CONTRACT_API CUresult cuMemcpyPeer(CUdeviceptr to, CUcontext to_context, CUdeviceptr from, CUcontext from_context,
                                   std::size_t bytes) {
  return Enter(Function::k_cuMemcpyPeer, [&](Call& call) -> CUresult {
    const CUresult result = CheckContexts(call, to_context, from_context);
    return result == CUDA_SUCCESS ? CopyLinear(call, OnDevice(to), OnDevice(from), bytes, nullptr, true) : result;
  });
}
CONTRACT_API CUresult cuMemcpyPeerAsync(CUdeviceptr to, CUcontext to_context, CUdeviceptr from, CUcontext from_context,
                                        std::size_t bytes, CUstream stream) {
  return Enter(Function::k_cuMemcpyPeerAsync, [&](Call& call) -> CUresult {
    const CUresult result = CheckContexts(call, to_context, from_context);
    return result == CUDA_SUCCESS ? CopyLinear(call, OnDevice(to), OnDevice(from), bytes, stream, false) : result;
  });
}
CONTRACT_API CUresult cuMemcpyHtoD(CUdeviceptr to, const void* from, std::size_t bytes) {
  return Enter(Function::k_cuMemcpyHtoD, [&](Call& call) -> CUresult {
    return CopyLinear(call, OnDevice(to), OnHost(from), bytes, nullptr, true);
  });
}
CONTRACT_API CUresult cuMemcpyDtoH(void* to, CUdeviceptr from, std::size_t bytes) {
  return Enter(Function::k_cuMemcpyDtoH, [&](Call& call) -> CUresult {
    return CopyLinear(call, OnHost(to), OnDevice(from), bytes, nullptr, true);
  });
}
CONTRACT_API CUresult cuMemcpyDtoD(CUdeviceptr to, CUdeviceptr from, std::size_t bytes) {
  return Enter(Function::k_cuMemcpyDtoD, [&](Call& call) -> CUresult {
    return CopyLinear(call, OnDevice(to), OnDevice(from), bytes, nullptr, true);
  });
}
CONTRACT_API CUresult cuMemcpyHtoDAsync(CUdeviceptr to, const void* from, std::size_t bytes, CUstream stream) {
  return Enter(Function::k_cuMemcpyHtoDAsync, [&](Call& call) -> CUresult {
    return CopyLinear(call, OnDevice(to), OnHost(from), bytes, stream, false);
  });
}
CONTRACT_API CUresult cuMemcpyDtoHAsync(void* to, CUdeviceptr from, std::size_t bytes, CUstream stream) {
  return Enter(Function::k_cuMemcpyDtoHAsync, [&](Call& call) -> CUresult {
    return CopyLinear(call, OnHost(to), OnDevice(from), bytes, stream, false);
  });
}
CONTRACT_API CUresult cuMemcpyDtoDAsync(CUdeviceptr to, CUdeviceptr from, std::size_t bytes, CUstream stream) {
  return Enter(Function::k_cuMemcpyDtoDAsync, [&](Call& call) -> CUresult {
    return CopyLinear(call, OnDevice(to), OnDevice(from), bytes, stream, false);
  });
}

// Boxes --------------------------------------------------------------------------------------------------------------

CONTRACT_API CUresult cuMemcpy2D(const CUDA_MEMCPY2D* copy) {
  return Enter(Function::k_cuMemcpy2D, [&](Call& call) -> CUresult { return Copy2D(call, copy, nullptr, true); });
}
CONTRACT_API CUresult cuMemcpy2DUnaligned(const CUDA_MEMCPY2D* copy) {
  return Enter(Function::k_cuMemcpy2DUnaligned,
               [&](Call& call) -> CUresult { return Copy2D(call, copy, nullptr, true); });
}
CONTRACT_API CUresult cuMemcpy2DAsync(const CUDA_MEMCPY2D* copy, CUstream stream) {
  return Enter(Function::k_cuMemcpy2DAsync, [&](Call& call) -> CUresult { return Copy2D(call, copy, stream, false); });
}
CONTRACT_API CUresult cuMemcpy3D(const CUDA_MEMCPY3D* copy) {
  return Enter(Function::k_cuMemcpy3D, [&](Call& call) -> CUresult { return Copy3D(call, copy, nullptr, true); });
}
CONTRACT_API CUresult cuMemcpy3DAsync(const CUDA_MEMCPY3D* copy, CUstream stream) {
  return Enter(Function::k_cuMemcpy3DAsync, [&](Call& call) -> CUresult { return Copy3D(call, copy, stream, false); });
}
CONTRACT_API CUresult cuMemcpy3DPeerAsync(const CUDA_MEMCPY3D_PEER* copy, CUstream stream) {
  return Enter(Function::k_cuMemcpy3DPeerAsync, [&](Call& call) -> CUresult {
    if (copy == nullptr) return CUDA_ERROR_INVALID_VALUE;
    const CUresult result = CheckContexts(call, copy->dstContext, copy->srcContext);
    return result == CUDA_SUCCESS ? Copy3D(call, copy, stream, false) : result;
  });
}

// Arrays -------------------------------------------------------------------------------------------------------------

CONTRACT_API CUresult cuMemcpyDtoA(CUarray to, std::size_t to_x, CUdeviceptr from, std::size_t bytes) {
  return Enter(Function::k_cuMemcpyDtoA, [&](Call& call) -> CUresult {
    return CopyArray(call, to, to_x, {}, nullptr, 0, OnDevice(from), bytes, nullptr, true);
  });
}
CONTRACT_API CUresult cuMemcpyAtoD(CUdeviceptr to, CUarray from, std::size_t from_x, std::size_t bytes) {
  return Enter(Function::k_cuMemcpyAtoD, [&](Call& call) -> CUresult {
    return CopyArray(call, nullptr, 0, OnDevice(to), from, from_x, {}, bytes, nullptr, true);
  });
}
CONTRACT_API CUresult cuMemcpyHtoA(CUarray to, std::size_t to_x, const void* from, std::size_t bytes) {
  return Enter(Function::k_cuMemcpyHtoA, [&](Call& call) -> CUresult {
    return CopyArray(call, to, to_x, {}, nullptr, 0, OnHost(from), bytes, nullptr, true);
  });
}
CONTRACT_API CUresult cuMemcpyAtoH(void* to, CUarray from, std::size_t from_x, std::size_t bytes) {
  return Enter(Function::k_cuMemcpyAtoH, [&](Call& call) -> CUresult {
    return CopyArray(call, nullptr, 0, OnHost(to), from, from_x, {}, bytes, nullptr, true);
  });
}
CONTRACT_API CUresult cuMemcpyAtoA(CUarray to, std::size_t to_x, CUarray from, std::size_t from_x, std::size_t bytes) {
  return Enter(Function::k_cuMemcpyAtoA, [&](Call& call) -> CUresult {
    return CopyArray(call, to, to_x, {}, from, from_x, {}, bytes, nullptr, true);
  });
}
CONTRACT_API CUresult cuMemcpyHtoAAsync(CUarray to, std::size_t to_x, const void* from, std::size_t bytes,
                                        CUstream stream) {
  return Enter(Function::k_cuMemcpyHtoAAsync, [&](Call& call) -> CUresult {
    return CopyArray(call, to, to_x, {}, nullptr, 0, OnHost(from), bytes, stream, false);
  });
}
CONTRACT_API CUresult cuMemcpyAtoHAsync(void* to, CUarray from, std::size_t from_x, std::size_t bytes,
                                        CUstream stream) {
  return Enter(Function::k_cuMemcpyAtoHAsync, [&](Call& call) -> CUresult {
    return CopyArray(call, nullptr, 0, OnHost(to), from, from_x, {}, bytes, stream, false);
  });
}
