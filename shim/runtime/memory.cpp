// Memory: allocation, copies, fills, symbols.
#include <algorithm>

#include "gen_face.h"
#include "protocol/base/bytes.h"
#include "shim/runtime/runtime.h"

namespace accelmesh::face {
namespace {

constexpr std::size_t kPitchAlignment = 512;

std::uint64_t Address(const void* pointer) { return reinterpret_cast<std::uint64_t>(pointer); }

// Whether [pointer, pointer + bytes) is live device memory.
bool IsDeviceMemory(ClientSession& session, const void* pointer, std::uint64_t bytes) {
  AddressSpace::Range range;
  std::uint32_t device = 0;
  if (!session.FindDeviceRange(Address(pointer), &range, &device)) return false;
  return bytes <= range.bytes - (Address(pointer) - range.address);
}
bool IsDevicePointer(ClientSession& session, const void* pointer) {
  return session.IsDeviceAddress(pointer) || IsDeviceMemory(session, pointer, 1);
}

// Which sides are device memory, by the kind asked for; cudaErrorInvalidMemcpyDirection if it is none.
cudaError_t Direction(ClientSession& session, const void* dst, const void* src, cudaMemcpyKind kind, bool* dst_device,
                      bool* src_device) {
  if (kind < cudaMemcpyHostToHost || kind > cudaMemcpyDefault) return cudaErrorInvalidMemcpyDirection;
  *dst_device = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
  *src_device = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
  if (kind == cudaMemcpyDefault) {
    *dst_device = IsDevicePointer(session, dst);
    *src_device = IsDevicePointer(session, src);
  }
  return cudaSuccess;
}

cudaError_t CopyLinear(ClientSession& session, Stream* stream, void* dst, const void* src, std::size_t count,
                       cudaMemcpyKind kind, bool wait) {
  bool to_device = false;
  bool from_device = false;
  if (const cudaError_t error = Direction(session, dst, src, kind, &to_device, &from_device); error != cudaSuccess)
    return Fail(error);
  if (count == 0) return cudaSuccess;
  if (dst == nullptr || src == nullptr) return Fail(cudaErrorInvalidValue);
  if (to_device && !IsDeviceMemory(session, dst, count)) return Fail(cudaErrorInvalidValue);
  if (from_device && !IsDeviceMemory(session, src, count)) return Fail(cudaErrorInvalidValue);
  if (!to_device && IsDevicePointer(session, dst)) return Fail(cudaErrorInvalidValue);
  if (!from_device && IsDevicePointer(session, src)) return Fail(cudaErrorInvalidValue);
  DeviceResult result = 0;
  if (to_device && from_device) {
    result = session.CopyOnDevice(stream, Address(dst), Address(src), count);
  } else if (to_device) {
    result = session.CopyToDevice(stream, Address(dst), src, count, wait);
  } else if (from_device) {
    result = session.CopyToHost(stream, dst, Address(src), count, wait);
  } else {
    if (const DeviceResult waited = session.Synchronize(*stream); waited != 0) return Done(waited);
    std::memmove(dst, src, count);
  }
  if (result != 0) return Done(result);
  return wait ? Done(session.TakeAsyncError()) : cudaSuccess;
}

cudaError_t CopyBox(ClientSession& session, Stream* stream, const PitchedSide& dst_in, const PitchedSide& src_in,
                    std::size_t width, std::size_t height, std::size_t depth, cudaMemcpyKind kind, bool wait) {
  PitchedSide dst = dst_in;
  PitchedSide src = src_in;
  if (width == 0 || height == 0 || depth == 0) return cudaSuccess;
  if (dst.pitch < width || src.pitch < width) return Fail(cudaErrorInvalidPitchValue);
  if (const cudaError_t error = Direction(session, reinterpret_cast<void*>(dst.address),
                                          reinterpret_cast<void*>(src.address), kind, &dst.is_device, &src.is_device);
      error != cudaSuccess)
    return Fail(error);
  for (const PitchedSide* side : {&dst, &src}) {
    const std::uint64_t extent = side->slice * (depth - 1) + side->pitch * (height - 1) + width;
    if (side->is_device && !IsDeviceMemory(session, reinterpret_cast<void*>(side->address), extent))
      return Fail(cudaErrorInvalidValue);
  }
  if (!dst.is_device && !src.is_device) {
    if (const DeviceResult waited = session.Synchronize(*stream); waited != 0) return Done(waited);
    for (std::size_t z = 0; z < depth; ++z) {
      for (std::size_t y = 0; y < height; ++y) {
        std::memmove(reinterpret_cast<void*>(dst.address + z * dst.slice + y * dst.pitch),
                     reinterpret_cast<void*>(src.address + z * src.slice + y * src.pitch), width);
      }
    }
    return cudaSuccess;
  }
  return Done(session.CopyPitched(stream, dst, src, width, height, depth, wait));
}

cudaError_t FillBox(ClientSession& session, Stream* stream, void* pointer, std::size_t pitch, std::size_t slice,
                    int value, std::size_t width, std::size_t height, std::size_t depth) {
  if (width == 0 || height == 0 || depth == 0) return cudaSuccess;
  const std::uint64_t extent = slice * (depth - 1) + pitch * (height - 1) + width;
  if ((height > 1 && pitch < width) || !IsDeviceMemory(session, pointer, extent)) return Fail(cudaErrorInvalidValue);
  return Done(session.Fill(stream, wire::Fill(Address(pointer), pitch, slice, width, height, depth,
                                              static_cast<std::uint32_t>(value) & 255, 1, stream->slot, 0)));
}

cudaError_t CopyArray3D(ClientSession& session, Stream* stream, const cudaMemcpy3DParms* p, bool wait) {
  if (p == nullptr || p->srcArray != nullptr || p->dstArray != nullptr)
    return Fail(p == nullptr ? cudaErrorInvalidValue : cudaErrorNotSupported);
  const auto side = [](const cudaPitchedPtr& pointer, const cudaPos& position) {
    PitchedSide out;
    out.pitch = pointer.pitch;
    out.slice = pointer.pitch * pointer.ysize;
    out.address = Address(pointer.ptr) + position.z * out.slice + position.y * out.pitch + position.x;
    return out;
  };
  return CopyBox(session, stream, side(p->dstPtr, p->dstPos), side(p->srcPtr, p->srcPos), p->extent.width,
                 p->extent.height, p->extent.depth, p->kind, wait);
}

cudaError_t SymbolRange(ClientSession& session, const void* symbol, std::uint64_t* address, std::uint64_t* bytes) {
  RegisteredVariable* variable = Runtime::Get().FindVariable(symbol);
  if (variable == nullptr) return Fail(cudaErrorInvalidSymbol);
  const std::shared_ptr<const LoadedModule> module = Runtime::Get().Load(session, *variable->fatbin);
  if (module->error != 0) return Done(module->error);
  const auto global = module->globals.find(variable->name);
  if (global == module->globals.end()) return Fail(cudaErrorInvalidSymbol);
  *address = global->second.address;
  *bytes = global->second.bytes;
  return cudaSuccess;
}

cudaError_t CopySymbol(ClientSession& session, Stream* stream, const void* symbol, const void* other, std::size_t count,
                       std::size_t offset, cudaMemcpyKind kind, bool to_symbol, bool wait) {
  std::uint64_t address = 0;
  std::uint64_t bytes = 0;
  if (const cudaError_t error = SymbolRange(session, symbol, &address, &bytes); error != cudaSuccess) return error;
  if (offset > bytes || count > bytes - offset) return Fail(cudaErrorInvalidValue);
  void* inside = reinterpret_cast<void*>(address + offset);
  return to_symbol ? CopyLinear(session, stream, inside, other, count, kind, wait)
                   : CopyLinear(session, stream, const_cast<void*>(other), inside, count, kind, wait);
}

}  // namespace

cudaError_t cudaMalloc(void** pointer, size_t size) {
  ACCELMESH_BEGIN_CALL();
  if (pointer == nullptr) return Fail(cudaErrorInvalidValue);
  *pointer = nullptr;
  if (size == 0) return cudaSuccess;
  std::uint64_t address = 0;
  if (const DeviceResult result = session.Malloc(static_cast<std::uint32_t>(CurrentThread().device), size, &address);
      result != 0)
    return Done(result == 1 ? 2 : result);
  *pointer = reinterpret_cast<void*>(address);
  return cudaSuccess;
}
cudaError_t cudaFree(void* pointer) {
  ACCELMESH_BEGIN_CALL();
  return pointer == nullptr ? cudaSuccess : Done(session.Free(Address(pointer)));
}
cudaError_t cudaMallocAsync(void** pointer, size_t size, cudaStream_t stream) {
  ACCELMESH_BEGIN_STREAM_CALL(stream);
  return face::cudaMalloc(pointer, size);
}
cudaError_t cudaFreeAsync(void* pointer, cudaStream_t stream) {
  ACCELMESH_BEGIN_STREAM_CALL(stream);
  return face::cudaFree(pointer);
}
cudaError_t cudaMallocPitch(void** pointer, size_t* pitch, size_t width, size_t height) {
  if (pitch == nullptr) return Fail(cudaErrorInvalidValue);
  *pitch = AlignUp(width, kPitchAlignment);
  return face::cudaMalloc(pointer, *pitch * height);
}
cudaError_t cudaMalloc3D(cudaPitchedPtr* pitched, cudaExtent extent) {
  if (pitched == nullptr) return Fail(cudaErrorInvalidValue);
  pitched->pitch = AlignUp(extent.width, kPitchAlignment);
  pitched->xsize = extent.width;
  pitched->ysize = extent.height;
  return face::cudaMalloc(&pitched->ptr, pitched->pitch * extent.height * extent.depth);
}
cudaError_t cudaHostAlloc(void** pointer, size_t size, unsigned int flags) {
  ACCELMESH_BEGIN_CALL();
  if (pointer == nullptr) return Fail(cudaErrorInvalidValue);
  *pointer = nullptr;
  return size == 0 ? cudaSuccess : Done(session.MallocPinned(size, flags, pointer));
}
cudaError_t cudaMallocHost(void** pointer, size_t size) { return face::cudaHostAlloc(pointer, size, 0); }
cudaError_t cudaFreeHost(void* pointer) {
  ACCELMESH_BEGIN_CALL();
  return pointer == nullptr ? cudaSuccess : Done(session.FreePinned(pointer));
}
cudaError_t cudaMemGetInfo(size_t* free_bytes, size_t* total_bytes) {
  ACCELMESH_BEGIN_CALL();
  if (free_bytes == nullptr || total_bytes == nullptr) return Fail(cudaErrorInvalidValue);
  std::uint64_t available = 0;
  std::uint64_t total = 0;
  session.MemoryInfo(static_cast<std::uint32_t>(CurrentThread().device), &available, &total);
  *free_bytes = available;
  *total_bytes = total;
  return cudaSuccess;
}

cudaError_t cudaMemcpy(void* dst, const void* src, size_t count, cudaMemcpyKind kind) {
  ACCELMESH_BEGIN_STREAM_CALL(nullptr);
  return CopyLinear(session, stream_object, dst, src, count, kind, true);
}
cudaError_t cudaMemcpyAsync(void* dst, const void* src, size_t count, cudaMemcpyKind kind, cudaStream_t stream) {
  ACCELMESH_BEGIN_STREAM_CALL(stream);
  return CopyLinear(session, stream_object, dst, src, count, kind, false);
}
cudaError_t cudaMemcpy2D(void* dst, size_t dpitch, const void* src, size_t spitch, size_t width, size_t height,
                         cudaMemcpyKind kind) {
  ACCELMESH_BEGIN_STREAM_CALL(nullptr);
  return CopyBox(session, stream_object, {Address(dst), dpitch, 0, false}, {Address(src), spitch, 0, false}, width,
                 height, 1, kind, true);
}
cudaError_t cudaMemcpy2DAsync(void* dst, size_t dpitch, const void* src, size_t spitch, size_t width, size_t height,
                              cudaMemcpyKind kind, cudaStream_t stream) {
  ACCELMESH_BEGIN_STREAM_CALL(stream);
  return CopyBox(session, stream_object, {Address(dst), dpitch, 0, false}, {Address(src), spitch, 0, false}, width,
                 height, 1, kind, false);
}
cudaError_t cudaMemcpy3D(const cudaMemcpy3DParms* p) {
  ACCELMESH_BEGIN_STREAM_CALL(nullptr);
  return CopyArray3D(session, stream_object, p, true);
}
cudaError_t cudaMemcpy3DAsync(const cudaMemcpy3DParms* p, cudaStream_t stream) {
  ACCELMESH_BEGIN_STREAM_CALL(stream);
  return CopyArray3D(session, stream_object, p, false);
}
cudaError_t cudaMemset(void* pointer, int value, size_t count) {
  return face::cudaMemsetAsync(pointer, value, count, nullptr);
}
cudaError_t cudaMemsetAsync(void* pointer, int value, size_t count, cudaStream_t stream) {
  ACCELMESH_BEGIN_STREAM_CALL(stream);
  return FillBox(session, stream_object, pointer, count, count, value, count, 1, 1);
}
cudaError_t cudaMemset2D(void* pointer, size_t pitch, int value, size_t width, size_t height) {
  return face::cudaMemset2DAsync(pointer, pitch, value, width, height, nullptr);
}
cudaError_t cudaMemset2DAsync(void* pointer, size_t pitch, int value, size_t width, size_t height,
                              cudaStream_t stream) {
  ACCELMESH_BEGIN_STREAM_CALL(stream);
  return FillBox(session, stream_object, pointer, pitch, 0, value, width, height, 1);
}
cudaError_t cudaMemset3D(cudaPitchedPtr pitched, int value, cudaExtent extent) {
  ACCELMESH_BEGIN_STREAM_CALL(nullptr);
  return FillBox(session, stream_object, pitched.ptr, pitched.pitch, pitched.pitch * pitched.ysize, value, extent.width,
                 extent.height, extent.depth);
}

cudaError_t cudaMemcpyToSymbol(const void* symbol, const void* src, size_t count, size_t offset, cudaMemcpyKind kind) {
  ACCELMESH_BEGIN_STREAM_CALL(nullptr);
  return CopySymbol(session, stream_object, symbol, src, count, offset, kind, true, true);
}
cudaError_t cudaMemcpyToSymbolAsync(const void* symbol, const void* src, size_t count, size_t offset,
                                    cudaMemcpyKind kind, cudaStream_t stream) {
  ACCELMESH_BEGIN_STREAM_CALL(stream);
  return CopySymbol(session, stream_object, symbol, src, count, offset, kind, true, false);
}
cudaError_t cudaMemcpyFromSymbol(void* dst, const void* symbol, size_t count, size_t offset, cudaMemcpyKind kind) {
  ACCELMESH_BEGIN_STREAM_CALL(nullptr);
  return CopySymbol(session, stream_object, symbol, dst, count, offset, kind, false, true);
}
cudaError_t cudaMemcpyFromSymbolAsync(void* dst, const void* symbol, size_t count, size_t offset, cudaMemcpyKind kind,
                                      cudaStream_t stream) {
  ACCELMESH_BEGIN_STREAM_CALL(stream);
  return CopySymbol(session, stream_object, symbol, dst, count, offset, kind, false, false);
}
cudaError_t cudaGetSymbolAddress(void** pointer, const void* symbol) {
  ACCELMESH_BEGIN_CALL();
  if (pointer == nullptr) return Fail(cudaErrorInvalidValue);
  std::uint64_t address = 0;
  std::uint64_t bytes = 0;
  const cudaError_t error = SymbolRange(session, symbol, &address, &bytes);
  if (error == cudaSuccess) *pointer = reinterpret_cast<void*>(address);
  return error;
}
cudaError_t cudaGetSymbolSize(size_t* size, const void* symbol) {
  ACCELMESH_BEGIN_CALL();
  if (size == nullptr) return Fail(cudaErrorInvalidValue);
  std::uint64_t address = 0;
  std::uint64_t bytes = 0;
  const cudaError_t error = SymbolRange(session, symbol, &address, &bytes);
  if (error == cudaSuccess) *size = bytes;
  return error;
}

}  // namespace accelmesh::face
