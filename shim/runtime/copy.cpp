// Copies: linear, pitched, by symbol; and the addresses of symbols.
#include "shim/runtime/copy.h"

#include <cstring>

#include "shim/gen_face.h"
#include "shim/runtime/array.h"
#include "shim/runtime/range.h"
#include "shim/runtime/runtime.h"

namespace accelmesh {
namespace {

// Whether a side of a copy is device memory, by what the kind says of it. With unified addressing pinned host memory
// may stand where device memory is named; managed memory is copied by the device, whatever it is called.
bool IsDeviceSide(ClientSession& session, const void* pointer, bool named_device) {
  if (session.IsCommonAddress(Address(pointer)) && IsDeviceMemory(session, pointer, 1)) return true;
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

}  // namespace

cudaError_t CheckLinear(ClientSession& session, const void* dst, const void* src, std::size_t count,
                        cudaMemcpyKind kind) {
  bool to_device = false;
  bool from_device = false;
  if (const cudaError_t error = Direction(session, dst, src, kind, &to_device, &from_device); error != cudaSuccess)
    return error;
  const bool is_valid =
      count == 0 || (SideIsValid(session, dst, count, to_device) && SideIsValid(session, src, count, from_device));
  return is_valid ? cudaSuccess : cudaErrorInvalidValue;
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
    // The program may read there when the call returns.
    if (result == 0 && wait && session.IsCommonAddress(Address(dst))) result = session.Synchronize(*stream);
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

cudaError_t CheckBox(ClientSession& session, BoxSide* dst, BoxSide* src, const cudaExtent& bytes, cudaMemcpyKind kind) {
  const auto* to = reinterpret_cast<const void*>(dst->place.address);
  const auto* from = reinterpret_cast<const void*>(src->place.address);
  if (const cudaError_t error = Direction(session, to, from, kind, &dst->place.is_device, &src->place.is_device);
      error != cudaSuccess)
    return error;
  if (bytes.width == 0 || bytes.height == 0 || bytes.depth == 0) return cudaSuccess;
  const auto pitch_max =
      static_cast<std::uint64_t>(Runtime::Get().device(CurrentDevice()).lease->Attribute(cudaDevAttrMaxPitch));
  for (BoxSide* side : {dst, src}) {
    PitchedSide& place = side->place;
    if (side->is_array) {
      // Whatever the kind says of it; and its bounds have been looked at.
      place.is_device = true;
      continue;
    }
    if (place.pitch < bytes.width || (pitch_max != 0 && place.pitch > pitch_max))
      return dst->is_array || src->is_array ? cudaErrorInvalidValue : cudaErrorInvalidPitchValue;
    std::uint64_t extent = 0;
    if (!BoxExtent(place.pitch, place.slice, bytes.width, bytes.height, bytes.depth, &extent) ||
        !SideIsValid(session, reinterpret_cast<const void*>(place.address), extent, place.is_device))
      return cudaErrorInvalidValue;
  }
  return cudaSuccess;
}

cudaError_t CopyBox(ClientSession& session, Stream* stream, BoxSide to, BoxSide from, const cudaExtent& bytes,
                    cudaMemcpyKind kind, bool wait) {
  if (const cudaError_t error = CheckBox(session, &to, &from, bytes, kind); error != cudaSuccess) return Fail(error);
  const auto& [width, height, depth] = bytes;
  if (width == 0 || height == 0 || depth == 0) return cudaSuccess;
  const PitchedSide& dst = to.place;
  const PitchedSide& src = from.place;
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
    // The program may read there when the call returns.
    if (result == 0 && wait && session.IsCommonAddress(dst.address)) result = session.Synchronize(*stream);
    if (!dst.is_device && !wait) Runtime::Get().NoteHostWrite();
  }
  if (result != 0) return Done(session, result);
  return wait ? Done(session, session.TakeAsyncError()) : cudaSuccess;
}

namespace {

// One side of a three-dimensional copy, as cudaPitchedPtr and cudaPos name it. An error if no box can lie there.
cudaError_t PointerSide(const cudaPitchedPtr& pointer, const cudaPos& position, const cudaExtent& bytes,
                        BoxSide* side) {
  std::uint64_t row_end = 0;
  std::uint64_t column_end = 0;
  if (bytes.width > pointer.pitch) return cudaErrorInvalidPitchValue;
  if (__builtin_add_overflow(position.x, bytes.width, &row_end) || row_end > pointer.pitch)
    return cudaErrorInvalidValue;
  // How tall a slice is matters only if there is another one behind or before it.
  const bool needs_slices = bytes.depth > 1 || position.z > 0;
  if (__builtin_add_overflow(position.y, bytes.height, &column_end) || (needs_slices && column_end > pointer.ysize))
    return cudaErrorInvalidValue;
  std::uint64_t planes = 0;
  std::uint64_t rows = 0;
  PitchedSide& place = side->place;
  place.pitch = pointer.pitch;
  if (__builtin_mul_overflow(pointer.pitch, pointer.ysize, &place.slice) ||
      __builtin_mul_overflow(place.slice, position.z, &planes) ||
      __builtin_mul_overflow(place.pitch, position.y, &rows) ||
      __builtin_add_overflow(Address(pointer.ptr), planes, &place.address) ||
      __builtin_add_overflow(place.address, rows, &place.address) ||
      __builtin_add_overflow(place.address, position.x, &place.address))
    return cudaErrorInvalidValue;
  return cudaSuccess;
}

}  // namespace

cudaError_t ResolveBox(ClientSession& session, const cudaMemcpy3DParms& p, BoxSide* dst, BoxSide* src,
                       cudaExtent* bytes) {
  // One of the two on each side.
  if ((p.srcArray != nullptr) == (p.srcPtr.ptr != nullptr) || (p.dstArray != nullptr) == (p.dstPtr.ptr != nullptr))
    return cudaErrorInvalidValue;
  const Array* from = p.srcArray == nullptr ? nullptr : ResolveArray(session, p.srcArray);
  const Array* to = p.dstArray == nullptr ? nullptr : ResolveArray(session, p.dstArray);
  if ((p.srcArray != nullptr && from == nullptr) || (p.dstArray != nullptr && to == nullptr))
    return cudaErrorInvalidValue;
  // The extent counts the elements of an array that takes part, else bytes.
  const Array* counted = from != nullptr ? from : to;
  if (from != nullptr && to != nullptr && from->shape.element_bytes != to->shape.element_bytes)
    return cudaErrorInvalidValue;
  *bytes = p.extent;
  if (counted != nullptr &&
      __builtin_mul_overflow(p.extent.width, std::size_t{counted->shape.element_bytes}, &bytes->width))
    return cudaErrorInvalidValue;
  // And so do positions in memory beside it, whatever the manual says of bytes (seen on a real device).
  cudaPos in_memory = to != nullptr ? p.srcPos : p.dstPos;
  if (counted != nullptr &&
      __builtin_mul_overflow(in_memory.x, std::size_t{counted->shape.element_bytes}, &in_memory.x))
    return cudaErrorInvalidValue;
  const cudaError_t error = to != nullptr ? ArraySide(*to, p.dstPos, p.extent, dst)
                                          : PointerSide(p.dstPtr, from != nullptr ? in_memory : p.dstPos, *bytes, dst);
  if (error != cudaSuccess) return error;
  return from != nullptr ? ArraySide(*from, p.srcPos, p.extent, src)
                         : PointerSide(p.srcPtr, to != nullptr ? in_memory : p.srcPos, *bytes, src);
}

cudaError_t Copy3D(ClientSession& session, Stream* stream, const cudaMemcpy3DParms* p, bool wait) {
  if (p == nullptr) return Fail(cudaErrorInvalidValue);
  if (p->extent.width == 0 || p->extent.height == 0 || p->extent.depth == 0) return cudaSuccess;
  BoxSide dst;
  BoxSide src;
  cudaExtent bytes{};
  if (const cudaError_t error = ResolveBox(session, *p, &dst, &src, &bytes); error != cudaSuccess) return Fail(error);
  return CopyBox(session, stream, dst, src, bytes, p->kind, wait);
}

namespace face {
namespace {

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
  return CopyBox(session, stream_object, RowsAt(dst, dpitch), RowsAt(src, spitch), {width, height, 1}, kind, true);
}
cudaError_t cudaMemcpy2DAsync(void* dst, size_t dpitch, const void* src, size_t spitch, size_t width, size_t height,
                              cudaMemcpyKind kind, cudaStream_t stream) {
  ACCELMESH_BEGIN_STREAM_CALL(stream);
  return CopyBox(session, stream_object, RowsAt(dst, dpitch), RowsAt(src, spitch), {width, height, 1}, kind, false);
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

}  // namespace face
}  // namespace accelmesh
