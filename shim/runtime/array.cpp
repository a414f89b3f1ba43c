// Arrays: allocation and what can be asked of them. Copies are in array_copy.cpp.
#include "shim/runtime/array.h"

#include <algorithm>

#include "shim/entry.h"
#include "shim/gen_face.h"
#include "shim/runtime/runtime.h"

namespace accelmesh {

bool ReadFormat(const cudaChannelFormatDesc& desc, ArrayShape* shape) {
  // As many channels as have bits, all of as many: one, two or four.
  const int bits[] = {desc.x, desc.y, desc.z, desc.w};
  std::uint32_t channels = 0;
  while (channels < 4 && bits[channels] != 0) ++channels;
  const bool is_equal = std::all_of(bits, bits + channels, [&desc](int one) { return one == desc.x; }) &&
                        std::all_of(bits + channels, bits + 4, [](int one) { return one == 0; });
  shape->channels = channels;
  if (desc.f == cudaChannelFormatKindUnsignedNormalized1010102) {
    shape->format = ArrayFormat::kUnorm1010102;
    shape->element_bytes = 4;
    return desc.x == 10 && desc.y == 10 && desc.z == 10 && desc.w == 2;
  }
  if (!is_equal || (channels != 1 && channels != 2 && channels != 4)) return false;
  if (desc.x != 8 && desc.x != 16 && desc.x != 32) return false;
  shape->element_bytes = channels * static_cast<std::uint32_t>(desc.x) / 8;
  const int size = desc.x == 8 ? 0 : desc.x == 16 ? 1 : 2;
  const auto plus = [](ArrayFormat first, int offset) {
    return static_cast<ArrayFormat>(static_cast<int>(first) + offset);
  };
  switch (desc.f) {
    case cudaChannelFormatKindUnsigned: shape->format = plus(ArrayFormat::kUnsigned8, size); return true;
    case cudaChannelFormatKindSigned: shape->format = plus(ArrayFormat::kSigned8, size); return true;
    case cudaChannelFormatKindFloat:
      shape->format = size == 1 ? ArrayFormat::kHalf : ArrayFormat::kFloat;
      return size != 0;
    default: break;
  }
  if (desc.f < cudaChannelFormatKindUnsignedNormalized8X1 || desc.f > cudaChannelFormatKindSignedNormalized16X4)
    return false;
  // In rows of x1, x2, x4: 8 and 16 bits unsigned, then the same signed.
  const int row = desc.f - cudaChannelFormatKindUnsignedNormalized8X1;
  shape->format = plus(ArrayFormat::kUnorm8x1, row);
  constexpr std::uint32_t kChannels[] = {1, 2, 4};
  return channels == kChannels[row % 3] && size == row / 3 % 2;
}

namespace {

// Formats whose elements are no single texels, and memory that the program maps by itself.
bool IsRefused(const cudaChannelFormatDesc& desc, unsigned flags, const char* name) {
  const bool is_planar = desc.f == cudaChannelFormatKindNV12;
  const bool is_compressed = desc.f >= cudaChannelFormatKindUnsignedBlockCompressed1 &&
                             desc.f <= cudaChannelFormatKindUnsignedBlockCompressed7SRGB;
  const bool is_unbacked = (flags & (cudaArraySparse | cudaArrayDeferredMapping)) != 0;
  if (!is_planar && !is_compressed && !is_unbacked) return false;
  SayRefused(name, is_unbacked ? "this release has no sparse arrays and no deferred mapping"
                   : is_planar ? "this release has no arrays of planar formats"
                               : "this release has no arrays of block-compressed formats");
  return true;
}

// What a program asks for, checked. An error sets the thread's last one.
cudaError_t ReadShape(const cudaChannelFormatDesc* desc, const cudaExtent& extent, unsigned flags, bool is_mipmapped,
                      const char* name, ArrayShape* shape) {
  constexpr unsigned kKnownFlags = cudaArrayLayered | cudaArraySurfaceLoadStore | cudaArrayCubemap |
                                   cudaArrayTextureGather | cudaArraySparse | cudaArrayDeferredMapping;
  if (desc == nullptr || (flags & ~kKnownFlags) != 0) return Fail(cudaErrorInvalidValue);
  if (IsRefused(*desc, flags, name)) return cudaErrorNotSupported;
  if (!ReadFormat(*desc, shape)) return Fail(cudaErrorInvalidChannelDescriptor);
  shape->width = extent.width;
  shape->height = extent.height;
  shape->depth = extent.depth;
  shape->flags = flags;
  const LeasedDevice& device = *Runtime::Get().device(CurrentDevice()).lease;
  const auto limit = [&device](std::uint32_t attribute) {
    return static_cast<std::uint64_t>(std::max(device.Attribute(attribute), 0));
  };
  return ShapeIsValid(*shape, is_mipmapped, limit) ? cudaSuccess : Fail(cudaErrorInvalidValue);
}

cudaChannelFormatDesc DescriptionOf(const ArrayShape& shape) {
  if (shape.format == ArrayFormat::kUnorm1010102)
    return {10, 10, 10, 2, cudaChannelFormatKindUnsignedNormalized1010102};
  const int bits = static_cast<int>(8 * shape.element_bytes / shape.channels);
  cudaChannelFormatKind kind = cudaChannelFormatKindUnsigned;
  if (shape.format >= ArrayFormat::kUnorm8x1) {
    kind =
        static_cast<cudaChannelFormatKind>(static_cast<int>(shape.format) - static_cast<int>(ArrayFormat::kUnorm8x1) +
                                           cudaChannelFormatKindUnsignedNormalized8X1);
  } else if (shape.format >= ArrayFormat::kHalf) {
    kind = cudaChannelFormatKindFloat;
  } else if (shape.format >= ArrayFormat::kSigned8) {
    kind = cudaChannelFormatKindSigned;
  }
  return {bits, shape.channels > 1 ? bits : 0, shape.channels > 2 ? bits : 0, shape.channels > 2 ? bits : 0, kind};
}

}  // namespace

const MipmappedArray* ResolveMipmappedArray(ClientSession& session, cudaMipmappedArray_const_t array) {
  const auto* ours = reinterpret_cast<const MipmappedArray*>(array);
  return session.IsMipmappedArray(ours) ? ours : nullptr;
}

const Array* ResolveArray(ClientSession& session, cudaArray_const_t array) {
  const auto* ours = reinterpret_cast<const Array*>(array);
  return session.IsArray(ours) ? ours : nullptr;
}

cudaError_t ArraySide(const Array& array, const cudaPos& position, const cudaExtent& extent, BoxSide* side) {
  const ArrayShape& shape = array.shape;
  const auto fits = [](std::uint64_t from, std::uint64_t count, std::uint64_t most) {
    return from <= most && count <= most - from;
  };
  if (!fits(position.x, extent.width, shape.width) || !fits(position.y, extent.height, shape.rows()) ||
      !fits(position.z, extent.depth, shape.slices()))
    return cudaErrorInvalidValue;
  side->is_array = true;
  side->place = {array.address + position.z * array.slice + position.y * array.pitch + position.x * shape.element_bytes,
                 array.pitch, array.slice, true};
  return cudaSuccess;
}

namespace face {

cudaError_t cudaMalloc3DArray(cudaArray_t* array, const cudaChannelFormatDesc* desc, cudaExtent extent,
                              unsigned int flags) {
  ACCELMESH_BEGIN_CALL();
  if (array == nullptr) return Fail(cudaErrorInvalidValue);
  ArrayShape shape;
  if (const cudaError_t error = ReadShape(desc, extent, flags, false, "cudaMalloc3DArray", &shape);
      error != cudaSuccess)
    return error;
  Array* made = nullptr;
  if (const DeviceResult result = session.CreateArray(CurrentDevice(), shape, &made); result != 0)
    return Done(session, result);
  *array = reinterpret_cast<cudaArray_t>(made);
  return cudaSuccess;
}
cudaError_t cudaMallocArray(cudaArray_t* array, const cudaChannelFormatDesc* desc, size_t width, size_t height,
                            unsigned int flags) {
  return face::cudaMalloc3DArray(array, desc, {width, height, 0}, flags);
}
cudaError_t cudaFreeArray(cudaArray_t array) {
  ACCELMESH_BEGIN_CALL();
  if (array == nullptr) return cudaSuccess;
  return Done(session, session.DestroyArray(reinterpret_cast<const Array*>(array)));
}

cudaError_t cudaMallocMipmappedArray(cudaMipmappedArray_t* array, const cudaChannelFormatDesc* desc, cudaExtent extent,
                                     unsigned int levels, unsigned int flags) {
  ACCELMESH_BEGIN_CALL();
  if (array == nullptr) return Fail(cudaErrorInvalidValue);
  ArrayShape shape;
  if (const cudaError_t error = ReadShape(desc, extent, flags, true, "cudaMallocMipmappedArray", &shape);
      error != cudaSuccess)
    return error;
  MipmappedArray* made = nullptr;
  const std::uint32_t count = std::clamp(levels, 1u, LevelsMax(shape));
  if (const DeviceResult result = session.CreateMipmappedArray(CurrentDevice(), shape, count, &made); result != 0)
    return Done(session, result);
  *array = reinterpret_cast<cudaMipmappedArray_t>(made);
  return cudaSuccess;
}
cudaError_t cudaFreeMipmappedArray(cudaMipmappedArray_t array) {
  ACCELMESH_BEGIN_CALL();
  if (array == nullptr) return cudaSuccess;
  return Done(session, session.DestroyMipmappedArray(reinterpret_cast<const MipmappedArray*>(array)));
}
cudaError_t cudaGetMipmappedArrayLevel(cudaArray_t* level_array, cudaMipmappedArray_const_t array, unsigned int level) {
  ACCELMESH_BEGIN_CALL();
  if (level_array == nullptr) return Fail(cudaErrorInvalidValue);
  const MipmappedArray* whole = ResolveMipmappedArray(session, array);
  if (whole == nullptr) return Fail(cudaErrorInvalidResourceHandle);
  const Array* found = session.LevelOfArray(whole, level);
  if (found == nullptr) return Fail(cudaErrorInvalidValue);
  *level_array = reinterpret_cast<cudaArray_t>(const_cast<Array*>(found));
  return cudaSuccess;
}

cudaError_t cudaArrayGetInfo(cudaChannelFormatDesc* desc, cudaExtent* extent, unsigned int* flags, cudaArray_t array) {
  ACCELMESH_BEGIN_CALL();
  const Array* ours = ResolveArray(session, array);
  if (ours == nullptr) return Fail(cudaErrorInvalidValue);
  const ArrayShape& shape = ours->shape;
  if (desc != nullptr) *desc = DescriptionOf(shape);
  if (extent != nullptr) *extent = {shape.width, shape.height, shape.depth};
  if (flags != nullptr) *flags = shape.flags;
  return cudaSuccess;
}
cudaError_t cudaGetChannelDesc(cudaChannelFormatDesc* desc, cudaArray_const_t array) {
  ACCELMESH_BEGIN_CALL();
  const Array* ours = ResolveArray(session, array);
  if (desc == nullptr || ours == nullptr) return Fail(cudaErrorInvalidValue);
  *desc = DescriptionOf(ours->shape);
  return cudaSuccess;
}
cudaChannelFormatDesc cudaCreateChannelDesc(int x, int y, int z, int w, cudaChannelFormatKind f) {
  return {x, y, z, w, f};
}
cudaError_t cudaArrayGetPlane(cudaArray_t* plane, cudaArray_t array, unsigned int index) {
  ACCELMESH_BEGIN_CALL();
  static_cast<void>(index);
  if (plane == nullptr) return Fail(cudaErrorInvalidValue);
  // No array has a planar format.
  return Fail(ResolveArray(session, array) == nullptr ? cudaErrorInvalidResourceHandle : cudaErrorInvalidValue);
}

// An array that has its memory from the start, as all here do, is none that these describe.
cudaError_t cudaArrayGetMemoryRequirements(cudaArrayMemoryRequirements* requirements, cudaArray_t array, int device) {
  ACCELMESH_BEGIN_CALL();
  static_cast<void>(requirements);
  static_cast<void>(array);
  static_cast<void>(device);
  return Fail(cudaErrorInvalidValue);
}
cudaError_t cudaMipmappedArrayGetMemoryRequirements(cudaArrayMemoryRequirements* requirements,
                                                    cudaMipmappedArray_t array, int device) {
  ACCELMESH_BEGIN_CALL();
  static_cast<void>(requirements);
  static_cast<void>(array);
  static_cast<void>(device);
  return Fail(cudaErrorInvalidValue);
}
cudaError_t cudaArrayGetSparseProperties(cudaArraySparseProperties* properties, cudaArray_t array) {
  ACCELMESH_BEGIN_CALL();
  static_cast<void>(properties);
  static_cast<void>(array);
  return Fail(cudaErrorInvalidValue);
}
cudaError_t cudaMipmappedArrayGetSparseProperties(cudaArraySparseProperties* properties, cudaMipmappedArray_t array) {
  ACCELMESH_BEGIN_CALL();
  static_cast<void>(properties);
  static_cast<void>(array);
  return Fail(cudaErrorInvalidValue);
}

}  // namespace face
}  // namespace accelmesh
