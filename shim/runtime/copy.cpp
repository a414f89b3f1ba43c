// Copies: linear, pitched, by symbol; and the addresses of symbols.
#include <cstring>

#include "protocol/base/log.h"
#include "shim/gen_face.h"
#include "shim/runtime/range.h"
#include "shim/runtime/runtime.h"

namespace accelmesh::face {
namespace {

// Whether a side of a copy is device memory, by what the kind says of it. With unified addressing pinned host memory
// may stand where device memory is named.
bool IsDeviceSide(ClientSession& session, const void* pointer, bool named_device) {
  PinnedRange pinned;
  return named_device && (session.IsDeviceAddress(pointer) || !session.FindPinned(pointer, &pinned));
}

// Which sides are device memory, by the kind asked for; cudaErrorInvalidMemcpyDirection if it is none.
cudaError_t Direction(ClientSession& session, const void* dst, const void* src, cudaMemcpyKind kind, bool* dst_device,
                      bool* src_device) {
  if (kind < cudaMemcpyHostToHost || kind > cudaMemcpyDefault) return cudaErrorInvalidMemcpyDirection;
  if (kind == cudaMemcpyDefault) {
    *dst_device = IsDevicePointer(session, dst);
    *src_device = IsDevicePointer(session, src);
    return cudaSuccess;
  }
  *dst_device = IsDeviceSide(session, dst, kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice);
  *src_device = IsDeviceSide(session, src, kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice);
  return cudaSuccess;
}

// `bytes` at `pointer` can be one side of a copy.
bool SideIsValid(ClientSession& session, const void* pointer, std::uint64_t bytes, bool is_device) {
  if (pointer == nullptr) return false;
  return is_device ? IsDeviceMemory(session, pointer, bytes) : !IsDevicePointer(session, pointer);
}

cudaError_t CopyLinear(ClientSession& session, Stream* stream, void* dst, const void* src, std::size_t count,
                       cudaMemcpyKind kind, bool wait) {
  bool to_device = false;
  bool from_device = false;
  if (const cudaError_t error = Direction(session, dst, src, kind, &to_device, &from_device); error != cudaSuccess)
    return Fail(error);
  if (count == 0) return cudaSuccess;
  if (!SideIsValid(session, dst, count, to_device) || !SideIsValid(session, src, count, from_device))
    return Fail(cudaErrorInvalidValue);
  DeviceResult result = 0;
  if (to_device && from_device) {
    result = session.CopyOnDevice(stream, Address(dst), Address(src), count);
  } else if (to_device) {
    result = session.CopyToDevice(stream, Address(dst), src, count, wait);
  } else if (from_device) {
    result = session.CopyToHost(stream, dst, Address(src), count, wait);
    if (!wait) Runtime::Get().NoteHostWrite();
  } else {
    result = session.Synchronize(*stream);
    if (result == 0) std::memmove(dst, src, count);
  }
  if (result != 0) return Done(session, result);
  return wait ? Done(session, session.TakeAsyncError()) : cudaSuccess;
}

cudaError_t CopyBox(ClientSession& session, Stream* stream, PitchedSide dst, PitchedSide src, std::size_t width,
                    std::size_t height, std::size_t depth, cudaMemcpyKind kind, bool wait) {
  const auto* to = reinterpret_cast<const void*>(dst.address);
  const auto* from = reinterpret_cast<const void*>(src.address);
  if (const cudaError_t error = Direction(session, to, from, kind, &dst.is_device, &src.is_device);
      error != cudaSuccess)
    return Fail(error);
  if (width == 0 || height == 0 || depth == 0) return cudaSuccess;
  const auto pitch_max =
      static_cast<std::uint64_t>(Runtime::Get().device(CurrentDevice()).lease->Attribute(cudaDevAttrMaxPitch));
  for (const PitchedSide* side : {&dst, &src}) {
    if (side->pitch < width || (pitch_max != 0 && side->pitch > pitch_max)) return Fail(cudaErrorInvalidPitchValue);
    std::uint64_t extent = 0;
    if (!BoxExtent(side->pitch, side->slice, width, height, depth, &extent) ||
        !SideIsValid(session, reinterpret_cast<const void*>(side->address), extent, side->is_device))
      return Fail(cudaErrorInvalidValue);
  }
  DeviceResult result = 0;
  if (!dst.is_device && !src.is_device) {
    result = session.Synchronize(*stream);
    for (std::size_t z = 0; result == 0 && z < depth; ++z) {
      for (std::size_t y = 0; y < height; ++y) {
        std::memmove(reinterpret_cast<void*>(dst.address + z * dst.slice + y * dst.pitch),
                     reinterpret_cast<void*>(src.address + z * src.slice + y * src.pitch), width);
      }
    }
  } else {
    result = session.CopyPitched(stream, dst, src, width, height, depth, wait);
    if (!dst.is_device && !wait) Runtime::Get().NoteHostWrite();
  }
  if (result != 0) return Done(session, result);
  return wait ? Done(session, session.TakeAsyncError()) : cudaSuccess;
}

// One side of a three-dimensional copy, as cudaPitchedPtr and cudaPos name it. An error if no box can lie there.
cudaError_t BoxSide(const cudaPitchedPtr& pointer, const cudaPos& position, const cudaExtent& extent,
                    PitchedSide* side) {
  std::uint64_t row_end = 0;
  std::uint64_t column_end = 0;
  if (extent.width > pointer.pitch) return cudaErrorInvalidPitchValue;
  if (__builtin_add_overflow(position.x, extent.width, &row_end) || row_end > pointer.pitch)
    return cudaErrorInvalidValue;
  // How tall a slice is matters only if there is another one behind or before it.
  const bool needs_slices = extent.depth > 1 || position.z > 0;
  if (__builtin_add_overflow(position.y, extent.height, &column_end) || (needs_slices && column_end > pointer.ysize))
    return cudaErrorInvalidValue;
  std::uint64_t planes = 0;
  std::uint64_t rows = 0;
  side->pitch = pointer.pitch;
  if (__builtin_mul_overflow(pointer.pitch, pointer.ysize, &side->slice) ||
      __builtin_mul_overflow(side->slice, position.z, &planes) ||
      __builtin_mul_overflow(side->pitch, position.y, &rows) ||
      __builtin_add_overflow(Address(pointer.ptr), planes, &side->address) ||
      __builtin_add_overflow(side->address, rows, &side->address) ||
      __builtin_add_overflow(side->address, position.x, &side->address))
    return cudaErrorInvalidValue;
  return cudaSuccess;
}

cudaError_t Copy3D(ClientSession& session, Stream* stream, const cudaMemcpy3DParms* p, bool wait) {
  if (p == nullptr) return Fail(cudaErrorInvalidValue);
  if (p->srcArray != nullptr || p->dstArray != nullptr) {
    log::Warning("cudaMemcpy3D",
                 "CUDA arrays are not supported by this release; the copy returns cudaErrorNotSupported");
    return Fail(cudaErrorNotSupported);
  }
  if (p->extent.width == 0 || p->extent.height == 0 || p->extent.depth == 0) return cudaSuccess;
  if (p->srcPtr.ptr == nullptr || p->dstPtr.ptr == nullptr) return Fail(cudaErrorInvalidValue);
  PitchedSide dst;
  PitchedSide src;
  cudaError_t error = BoxSide(p->dstPtr, p->dstPos, p->extent, &dst);
  if (error == cudaSuccess) error = BoxSide(p->srcPtr, p->srcPos, p->extent, &src);
  if (error != cudaSuccess) return Fail(error);
  return CopyBox(session, stream, dst, src, p->extent.width, p->extent.height, p->extent.depth, p->kind, wait);
}

cudaError_t FindSymbol(ClientSession& session, const void* symbol, GlobalVariable* found) {
  RegisteredVariable* variable = Registry::Get().FindVariable(symbol);
  if (variable == nullptr) return Fail(cudaErrorInvalidSymbol);
  const LoadedModule& module = Registry::Get().Load(session, *variable->fatbin, CurrentDevice());
  if (module.error != 0) return Done(session, module.error);
  const auto global = module.globals.find(variable->name);
  if (global == module.globals.end()) return Fail(cudaErrorInvalidSymbol);
  *found = global->second;
  return cudaSuccess;
}

enum class SymbolIs : std::uint8_t { kSource, kDestination };

cudaError_t CopySymbol(ClientSession& session, Stream* stream, const void* symbol, const void* other, std::size_t count,
                       std::size_t offset, cudaMemcpyKind kind, SymbolIs role, bool wait) {
  const cudaMemcpyKind with_host = role == SymbolIs::kDestination ? cudaMemcpyHostToDevice : cudaMemcpyDeviceToHost;
  if (kind != with_host && kind != cudaMemcpyDeviceToDevice && kind != cudaMemcpyDefault)
    return Fail(cudaErrorInvalidMemcpyDirection);
  GlobalVariable global;
  if (const cudaError_t error = FindSymbol(session, symbol, &global); error != cudaSuccess) return error;
  if (offset > global.bytes || count > global.bytes - offset) return Fail(cudaErrorInvalidValue);
  void* inside = reinterpret_cast<void*>(global.address + offset);
  return role == SymbolIs::kDestination
             ? CopyLinear(session, stream, inside, other, count, kind, wait)
             : CopyLinear(session, stream, const_cast<void*>(other), inside, count, kind, wait);
}

}  // namespace

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
  return Copy3D(session, stream_object, p, true);
}
cudaError_t cudaMemcpy3DAsync(const cudaMemcpy3DParms* p, cudaStream_t stream) {
  ACCELMESH_BEGIN_STREAM_CALL(stream);
  return Copy3D(session, stream_object, p, false);
}

cudaError_t cudaMemcpyToSymbol(const void* symbol, const void* src, size_t count, size_t offset, cudaMemcpyKind kind) {
  ACCELMESH_BEGIN_STREAM_CALL(nullptr);
  return CopySymbol(session, stream_object, symbol, src, count, offset, kind, SymbolIs::kDestination, true);
}
cudaError_t cudaMemcpyToSymbolAsync(const void* symbol, const void* src, size_t count, size_t offset,
                                    cudaMemcpyKind kind, cudaStream_t stream) {
  ACCELMESH_BEGIN_STREAM_CALL(stream);
  return CopySymbol(session, stream_object, symbol, src, count, offset, kind, SymbolIs::kDestination, false);
}
cudaError_t cudaMemcpyFromSymbol(void* dst, const void* symbol, size_t count, size_t offset, cudaMemcpyKind kind) {
  ACCELMESH_BEGIN_STREAM_CALL(nullptr);
  return CopySymbol(session, stream_object, symbol, dst, count, offset, kind, SymbolIs::kSource, true);
}
cudaError_t cudaMemcpyFromSymbolAsync(void* dst, const void* symbol, size_t count, size_t offset, cudaMemcpyKind kind,
                                      cudaStream_t stream) {
  ACCELMESH_BEGIN_STREAM_CALL(stream);
  return CopySymbol(session, stream_object, symbol, dst, count, offset, kind, SymbolIs::kSource, false);
}
cudaError_t cudaGetSymbolAddress(void** pointer, const void* symbol) {
  ACCELMESH_BEGIN_CALL();
  if (pointer == nullptr) return Fail(cudaErrorInvalidValue);
  GlobalVariable global;
  const cudaError_t error = FindSymbol(session, symbol, &global);
  if (error == cudaSuccess) *pointer = reinterpret_cast<void*>(global.address);
  return error;
}
cudaError_t cudaGetSymbolSize(size_t* size, const void* symbol) {
  ACCELMESH_BEGIN_CALL();
  if (size == nullptr) return Fail(cudaErrorInvalidValue);
  GlobalVariable global;
  const cudaError_t error = FindSymbol(session, symbol, &global);
  if (error == cudaSuccess) *size = global.bytes;
  return error;
}

}  // namespace accelmesh::face
