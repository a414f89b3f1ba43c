// Texture and surface objects. Everything that is wrong with a description is found here; what was described is kept
// for who asks.
#include <algorithm>

#include "shim/entry.h"
#include "shim/gen_face.h"
#include "shim/runtime/array.h"
#include "shim/runtime/range.h"
#include "shim/runtime/runtime.h"

namespace accelmesh {
namespace {

// What the program described, word for word, as far as it did.
struct Described {
  std::optional<cudaResourceDesc> resource;
  std::optional<cudaTextureDesc> texture;
  std::optional<cudaResourceViewDesc> view;
};

TextureResource::Level LevelOf(const Array& array) { return {array.address, array.pitch, array.slice, array.shape}; }

// What the texels are in the end: the resource's, or the view's.
struct ViewedFormat {
  ArrayFormat format;
  std::uint32_t channels;
};
constexpr ArrayFormat kViewFormats[] = {ArrayFormat::kUnsigned8, ArrayFormat::kSigned8,    ArrayFormat::kUnsigned16,
                                        ArrayFormat::kSigned16,  ArrayFormat::kUnsigned32, ArrayFormat::kSigned32,
                                        ArrayFormat::kHalf,      ArrayFormat::kFloat};
constexpr std::uint32_t kViewChannels[] = {1, 2, 4};

std::uint32_t BytesOf(ArrayFormat format) {
  switch (format) {
    case ArrayFormat::kUnsigned8:
    case ArrayFormat::kSigned8: return 1;
    case ArrayFormat::kUnsigned32:
    case ArrayFormat::kSigned32:
    case ArrayFormat::kFloat: return 4;
    default: return 2;
  }
}
bool IsInteger(ArrayFormat format) { return format < ArrayFormat::kHalf; }

// Device memory of the program's, `bytes` from `pointer` on. False if it is not all there.
bool ReadMemory(ClientSession& session, const void* pointer, std::uint64_t bytes, TextureResource* resource,
                std::uint64_t* address) {
  *address = Address(pointer);
  if (ReachableMemory host; session.FindHost(pointer, &host)) {
    if (session.DeviceAddressOf(pointer, address) != 0) return false;
    const std::uint64_t first = Address(pointer) - Address(host.memory);
    const std::uint64_t offset = first < host.bytes ? first : Address(pointer) - host.device_address;
    resource->device = CurrentDevice();
    return offset < host.bytes && bytes <= host.bytes - offset;
  }
  AddressSpace::Range range;
  if (!session.FindDeviceRange(*address, &range, &resource->device)) return false;
  const std::uint64_t offset = *address - range.address;
  return offset < range.bytes && bytes <= range.bytes - offset;
}

std::uint64_t LimitOf(std::uint32_t attribute) {
  return static_cast<std::uint64_t>(std::max(Runtime::Get().device(CurrentDevice()).lease->Attribute(attribute), 0));
}
bool IsAligned(std::uint64_t value, std::uint32_t attribute) {
  const std::uint64_t alignment = LimitOf(attribute);
  return alignment == 0 || value % alignment == 0;
}

cudaError_t ReadLinear(ClientSession& session, const cudaResourceDesc& desc, TextureResource* resource) {
  const auto& linear = desc.res.linear;
  TextureResource::Level level;
  if (!ReadFormat(linear.desc, &level.shape)) return cudaErrorInvalidChannelDescriptor;
  std::size_t widest = 0;
  if (const cudaError_t error =
          face::cudaDeviceGetTexture1DLinearMaxWidth(&widest, &linear.desc, static_cast<int>(CurrentDevice()));
      error != cudaSuccess)
    return error;
  level.shape.width = linear.sizeInBytes / level.shape.element_bytes;
  if (level.shape.width == 0 || (widest != 0 && level.shape.width > widest)) return cudaErrorInvalidValue;
  const std::uint64_t bytes = level.shape.width * level.shape.element_bytes;
  if (!ReadMemory(session, linear.devPtr, bytes, resource, &level.address) ||
      !IsAligned(level.address, cudaDevAttrTextureAlignment))
    return cudaErrorInvalidValue;
  level.pitch = level.slice = bytes;
  resource->source = TextureResource::Source::kLinear;
  resource->levels.push_back(level);
  return cudaSuccess;
}

cudaError_t ReadPitched(ClientSession& session, const cudaResourceDesc& desc, TextureResource* resource) {
  const auto& rows = desc.res.pitch2D;
  TextureResource::Level level;
  if (!ReadFormat(rows.desc, &level.shape)) return cudaErrorInvalidChannelDescriptor;
  const auto is_within = [](std::uint64_t value, std::uint32_t attribute) {
    const std::uint64_t most = LimitOf(attribute);
    return value != 0 && (most == 0 || value <= most);
  };
  if (!is_within(rows.width, cudaDevAttrMaxTexture2DLinearWidth) ||
      !is_within(rows.height, cudaDevAttrMaxTexture2DLinearHeight) ||
      !is_within(rows.pitchInBytes, cudaDevAttrMaxTexture2DLinearPitch) ||
      !IsAligned(rows.pitchInBytes, cudaDevAttrTexturePitchAlignment) || rows.width > limits::kAllocationBytesMax ||
      rows.height > limits::kAllocationBytesMax || rows.pitchInBytes > limits::kAllocationBytesMax)
    return cudaErrorInvalidValue;
  level.shape.width = rows.width;
  level.shape.height = rows.height;
  level.pitch = rows.pitchInBytes;
  const std::uint64_t row = rows.width * level.shape.element_bytes;
  std::uint64_t bytes = 0;
  if (row > level.pitch || __builtin_mul_overflow(level.pitch, rows.height, &level.slice) ||
      !BoxExtent(level.pitch, level.slice, row, rows.height, 1, &bytes) ||
      !ReadMemory(session, rows.devPtr, bytes, resource, &level.address) ||
      !IsAligned(level.address, cudaDevAttrTextureAlignment))
    return cudaErrorInvalidValue;
  resource->source = TextureResource::Source::kPitched;
  resource->levels.push_back(level);
  return cudaSuccess;
}

cudaError_t ReadResource(ClientSession& session, const cudaResourceDesc& desc, TextureResource* resource) {
  cudaError_t error = cudaSuccess;
  switch (desc.resType) {
    case cudaResourceTypeArray: {
      const Array* array = ResolveArray(session, desc.res.array.array);
      if (array == nullptr) return cudaErrorInvalidResourceHandle;
      resource->source = TextureResource::Source::kArray;
      resource->device = array->device;
      resource->shape = array->shape;
      if (array->whole == nullptr) {
        resource->levels.push_back(LevelOf(*array));
        return cudaSuccess;
      }
      // A level: the server is told of all, and which.
      for (const auto& level : array->whole->levels) {
        if (level.get() == array) resource->level = static_cast<std::uint32_t>(resource->levels.size());
        resource->levels.push_back(LevelOf(*level));
      }
      return cudaSuccess;
    }
    case cudaResourceTypeMipmappedArray: {
      const MipmappedArray* whole = ResolveMipmappedArray(session, desc.res.mipmap.mipmap);
      if (whole == nullptr) return cudaErrorInvalidResourceHandle;
      resource->source = TextureResource::Source::kMipmapped;
      resource->device = whole->levels.front()->device;
      for (const auto& level : whole->levels) resource->levels.push_back(LevelOf(*level));
      break;
    }
    case cudaResourceTypeLinear: error = ReadLinear(session, desc, resource); break;
    case cudaResourceTypePitch2D: error = ReadPitched(session, desc, resource); break;
    default: return cudaErrorInvalidValue;
  }
  if (error == cudaSuccess) resource->shape = resource->levels.front().shape;
  return error;
}

bool IsArray(const TextureResource& resource) {
  return resource.source == TextureResource::Source::kArray || resource.source == TextureResource::Source::kMipmapped;
}

// `format` is set to the view's, if it has one.
cudaError_t ReadView(const cudaResourceViewDesc& desc, const TextureResource& resource, TextureView* view,
                     ViewedFormat* format) {
  if (!IsArray(resource) || desc.format > cudaResViewFormatUnsignedBlockCompressed7 || desc.format < 0)
    return cudaErrorInvalidValue;
  if (desc.format >= cudaResViewFormatUnsignedBlockCompressed1) {
    SayRefused("cudaCreateTextureObject", "this release has no textures of block-compressed formats");
    return cudaErrorNotSupported;
  }
  const ArrayShape& shape = resource.shape;
  if (desc.width != shape.width || desc.height != shape.height || desc.depth != shape.depth)
    return cudaErrorInvalidValue;
  if (desc.format != cudaResViewFormatNone) {
    const auto row = static_cast<std::uint32_t>(desc.format) - 1;
    *format = {kViewFormats[row / 3], kViewChannels[row % 3]};
    if (BytesOf(format->format) * format->channels != shape.element_bytes) return cudaErrorInvalidValue;
  }
  const bool is_layered = shape.has(ArrayShape::kLayered);
  if (desc.firstMipmapLevel > desc.lastMipmapLevel || desc.lastMipmapLevel >= resource.levels.size() ||
      (resource.level.has_value() && desc.lastMipmapLevel != 0) || desc.firstLayer > desc.lastLayer ||
      (!is_layered && desc.lastLayer != 0) || (is_layered && desc.lastLayer >= shape.depth))
    return cudaErrorInvalidValue;
  *view = {static_cast<std::uint32_t>(desc.format), desc.firstMipmapLevel, desc.lastMipmapLevel, desc.firstLayer,
           desc.lastLayer};
  return cudaSuccess;
}

// Of an array that is a level, only that is seen.
void OnlyLevel(const TextureResource& resource, std::optional<TextureView>* view) {
  if (!resource.level.has_value()) return;
  if (!view->has_value()) view->emplace();
  (*view)->first_level = (*view)->last_level = *resource.level;
}

cudaError_t ReadSampling(const cudaTextureDesc& desc, const TextureResource& resource, const ViewedFormat& format,
                         TextureSampling* sampling) {
  // CU_TRSF_*.
  constexpr std::uint32_t kReadAsInteger = 0x01;
  constexpr std::uint32_t kNormalized = 0x02;
  constexpr std::uint32_t kSrgb = 0x10;
  constexpr std::uint32_t kNoTrilinearOptimization = 0x20;
  constexpr std::uint32_t kSeamless = 0x40;
  // Numbers of enumerations may be anything.
  for (std::size_t i = 0; i < 3; ++i) {
    const int mode = desc.addressMode[i];
    if (mode < cudaAddressModeWrap || mode > cudaAddressModeBorder) return cudaErrorInvalidValue;
    sampling->address[i] = static_cast<std::uint8_t>(mode);
  }
  const int modes[] = {desc.filterMode, desc.mipmapFilterMode, desc.readMode};
  if (std::any_of(std::begin(modes), std::end(modes), [](int mode) { return mode != 0 && mode != 1; }))
    return cudaErrorInvalidValue;
  if (resource.source == TextureResource::Source::kMipmapped && desc.normalizedCoords == 0)
    return cudaErrorInvalidValue;
  if (desc.seamlessCubemap != 0 && !resource.shape.has(ArrayShape::kCubemap)) return cudaErrorInvalidValue;
  const bool stays_integer =
      IsInteger(format.format) && (desc.readMode == cudaReadModeElementType || BytesOf(format.format) == 4);
  if (stays_integer && desc.filterMode == cudaFilterModeLinear && resource.source != TextureResource::Source::kLinear)
    return cudaErrorInvalidFilterSetting;
  sampling->filter = static_cast<std::uint8_t>(desc.filterMode);
  sampling->mipmap_filter = static_cast<std::uint8_t>(desc.mipmapFilterMode);
  if (IsInteger(format.format) && desc.readMode == cudaReadModeElementType) sampling->flags |= kReadAsInteger;
  if (desc.normalizedCoords != 0) sampling->flags |= kNormalized;
  if (desc.sRGB != 0) sampling->flags |= kSrgb;
  if (desc.disableTrilinearOptimization != 0) sampling->flags |= kNoTrilinearOptimization;
  if (desc.seamlessCubemap != 0) sampling->flags |= kSeamless;
  sampling->anisotropy_max = desc.maxAnisotropy;
  sampling->mipmap_bias = desc.mipmapLevelBias;
  sampling->mipmap_min = desc.minMipmapLevelClamp;
  sampling->mipmap_max = desc.maxMipmapLevelClamp;
  std::copy(std::begin(desc.borderColor), std::end(desc.borderColor), sampling->border.begin());
  return cudaSuccess;
}

// The session makes the object and keeps what the program described.
cudaError_t Create(ClientSession& session, bool is_surface, const TextureResource& resource,
                   const TextureSampling& sampling, std::optional<TextureView> view, const Described& described,
                   unsigned long long* object) {
  OnlyLevel(resource, &view);
  std::uint64_t handle = 0;
  const DeviceResult result = session.CreateTexture(is_surface, resource, sampling, view,
                                                    std::make_shared<const Described>(described), &handle);
  if (result != 0) return Done(session, result);
  *object = handle;
  return cudaSuccess;
}

// One part of what the program described.
template <typename Desc>
cudaError_t Tell(ClientSession& session, unsigned long long object, bool is_surface,
                 std::optional<Desc> Described::* part, Desc* desc) {
  const auto described = std::static_pointer_cast<const Described>(session.FindTexture(object, is_surface));
  if (desc == nullptr || described == nullptr || !((*described).*part).has_value()) return Fail(cudaErrorInvalidValue);
  *desc = *((*described).*part);
  return cudaSuccess;
}

}  // namespace

namespace face {

cudaError_t cudaCreateTextureObject(cudaTextureObject_t* object, const cudaResourceDesc* resource_desc,
                                    const cudaTextureDesc* texture_desc, const cudaResourceViewDesc* view_desc) {
  ACCELMESH_BEGIN_CALL();
  if (object == nullptr || resource_desc == nullptr || texture_desc == nullptr || resource_desc->flags != 0)
    return Fail(cudaErrorInvalidValue);
  Described described{*resource_desc, *texture_desc, {}};
  TextureResource resource;
  if (const cudaError_t error = ReadResource(session, *resource_desc, &resource); error != cudaSuccess)
    return Fail(error);
  ViewedFormat format{resource.shape.format, resource.shape.channels};
  std::optional<TextureView> view;
  if (view_desc != nullptr) {
    described.view = *view_desc;
    if (const cudaError_t error = ReadView(*view_desc, resource, &view.emplace(), &format); error != cudaSuccess)
      return Fail(error);
  }
  TextureSampling sampling;
  if (const cudaError_t error = ReadSampling(*texture_desc, resource, format, &sampling); error != cudaSuccess)
    return Fail(error);
  return Create(session, false, resource, sampling, view, described, object);
}
cudaError_t cudaDestroyTextureObject(cudaTextureObject_t object) {
  ACCELMESH_BEGIN_CALL();
  return Done(session, session.DestroyTexture(object, false));
}
cudaError_t cudaGetTextureObjectResourceDesc(cudaResourceDesc* desc, cudaTextureObject_t object) {
  ACCELMESH_BEGIN_CALL();
  return Tell(session, object, false, &Described::resource, desc);
}
cudaError_t cudaGetTextureObjectTextureDesc(cudaTextureDesc* desc, cudaTextureObject_t object) {
  ACCELMESH_BEGIN_CALL();
  return Tell(session, object, false, &Described::texture, desc);
}
cudaError_t cudaGetTextureObjectResourceViewDesc(cudaResourceViewDesc* desc, cudaTextureObject_t object) {
  ACCELMESH_BEGIN_CALL();
  return Tell(session, object, false, &Described::view, desc);
}

cudaError_t cudaCreateSurfaceObject(cudaSurfaceObject_t* object, const cudaResourceDesc* desc) {
  ACCELMESH_BEGIN_CALL();
  if (object == nullptr || desc == nullptr || desc->resType != cudaResourceTypeArray || desc->flags != 0)
    return Fail(cudaErrorInvalidValue);
  TextureResource resource;
  if (const cudaError_t error = ReadResource(session, *desc, &resource); error != cudaSuccess) return Fail(error);
  if (!resource.shape.has(ArrayShape::kSurface)) return Fail(cudaErrorInvalidValue);
  return Create(session, true, resource, {}, {}, {*desc, {}, {}}, object);
}
cudaError_t cudaDestroySurfaceObject(cudaSurfaceObject_t object) {
  ACCELMESH_BEGIN_CALL();
  return Done(session, session.DestroyTexture(object, true));
}
cudaError_t cudaGetSurfaceObjectResourceDesc(cudaResourceDesc* desc, cudaSurfaceObject_t object) {
  ACCELMESH_BEGIN_CALL();
  return Tell(session, object, true, &Described::resource, desc);
}

}  // namespace face
}  // namespace accelmesh
