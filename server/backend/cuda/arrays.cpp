#include "server/backend/cuda/arrays.h"

#include <algorithm>

namespace accelmesh::cuda {
namespace {

std::uint64_t ElementBytes(const TextureJob& job) {
  switch (job.format) {
    case CU_AD_FORMAT_UNSIGNED_INT8:
    case CU_AD_FORMAT_SIGNED_INT8: return job.channels;
    case CU_AD_FORMAT_UNSIGNED_INT16:
    case CU_AD_FORMAT_SIGNED_INT16:
    case CU_AD_FORMAT_HALF: return 2ull * job.channels;
    case CU_AD_FORMAT_UNSIGNED_INT32:
    case CU_AD_FORMAT_SIGNED_INT32:
    case CU_AD_FORMAT_FLOAT: return 4ull * job.channels;
    case CU_AD_FORMAT_UNORM_INT_101010_2: return 4;
    default: return (job.format - CU_AD_FORMAT_UNORM_INT8X1) / 3 % 2 == 0 ? job.channels : 2ull * job.channels;
  }
}

CUresult FillLevel(const Driver& driver, const RealArray& array, const RealArray::Level& level) {
  for (std::uint64_t z = 0; z < level.slices; ++z) {
    CUDA_MEMCPY3D copy{};
    copy.srcMemoryType = CU_MEMORYTYPE_UNIFIED;
    copy.srcDevice = level.address + z * level.slice;
    copy.srcPitch = level.pitch;
    copy.dstMemoryType = CU_MEMORYTYPE_ARRAY;
    copy.dstArray = level.handle;
    copy.dstZ = z;
    copy.WidthInBytes = level.row_bytes;
    copy.Height = level.rows;
    copy.Depth = 1;
    const CUresult result = driver.Memcpy3DAsync(&copy, array.device->idle);
    if (result != CUDA_SUCCESS) return result;
  }
  return driver.StreamSynchronize(array.device->idle);
}

}  // namespace

const RealArray::Level* RealArray::At(std::uint64_t address) const {
  const auto found = std::find_if(levels.begin(), levels.end(), [address](const Level& level) {
    return address >= level.address && address - level.address < level.slice * level.slices;
  });
  return found == levels.end() || found->handle == nullptr ? nullptr : &*found;
}

std::shared_ptr<RealArray> PlanArray(const Device& device, const TextureJob& job) {
  auto array = std::make_shared<RealArray>();
  array->device = &device;
  const TextureJob::Level& largest = job.levels.front();
  array->descriptor.Width = largest.width;
  array->descriptor.Height = largest.height;
  array->descriptor.Depth = largest.depth;
  array->descriptor.Format = static_cast<CUarray_format>(job.format);
  array->descriptor.NumChannels = job.channels;
  array->descriptor.Flags = job.array_flags;
  for (const TextureJob::Level& from : job.levels) {
    RealArray::Level level;
    level.address = from.address;
    level.row_bytes = from.width * ElementBytes(job);
    level.rows = std::max(from.height, 1u);
    level.slices = std::max(from.depth, 1u);
    // One row or one slice may come without its distance to the next.
    level.pitch = std::max(from.pitch, level.row_bytes);
    level.slice = std::max(from.slice, level.pitch * (level.rows - 1) + level.row_bytes);
    array->levels.push_back(level);
  }
  return array;
}

CUresult MakeReal(const Driver& driver, RealArray* array) {
  CUresult result = CUDA_SUCCESS;
  std::vector<CUarray> handles(array->levels.size());
  if (array->levels.size() == 1) {
    result = driver.Array3DCreate(&array->array, &array->descriptor);
    handles[0] = array->array;
  } else {
    result =
        driver.MipmappedArrayCreate(&array->mipmapped, &array->descriptor, static_cast<unsigned>(array->levels.size()));
    for (unsigned i = 0; i < handles.size() && result == CUDA_SUCCESS; ++i)
      result = driver.MipmappedArrayGetLevel(&handles[i], array->mipmapped, i);
  }
  for (std::size_t i = 0; i < handles.size() && result == CUDA_SUCCESS; ++i) {
    RealArray::Level level = array->levels[i];
    level.handle = handles[i];
    result = FillLevel(driver, *array, level);
  }
  if (result != CUDA_SUCCESS) {
    DestroyArray(driver, *array);
    array->array = nullptr;
    array->mipmapped = nullptr;
    return result;
  }
  for (std::size_t i = 0; i < handles.size(); ++i) array->levels[i].handle = handles[i];
  return CUDA_SUCCESS;
}

void DestroyArray(const Driver& driver, const RealArray& array) {
  if (array.array != nullptr) (void)driver.ArrayDestroy(array.array);
  if (array.mipmapped != nullptr) (void)driver.MipmappedArrayDestroy(array.mipmapped);
}

CUresult MakeTextureObject(const Driver& driver, const TextureJob& job, const RealArray* array, std::uint64_t* handle) {
  CUDA_RESOURCE_DESC resource{};
  const TextureJob::Level& level = job.levels.front();
  // A level by itself is an array of its own.
  const bool is_level = job.source == TextureJob::Source::kArray && array != nullptr && array->mipmapped != nullptr;
  const std::uint32_t chosen = is_level && job.view.has_value() ? job.view->first_level : 0;
  switch (job.source) {
    case TextureJob::Source::kLinear:
      resource.resType = CU_RESOURCE_TYPE_LINEAR;
      resource.res.linear.devPtr = level.address;
      resource.res.linear.format = static_cast<CUarray_format>(job.format);
      resource.res.linear.numChannels = job.channels;
      resource.res.linear.sizeInBytes = level.width * ElementBytes(job);
      break;
    case TextureJob::Source::kPitched:
      resource.resType = CU_RESOURCE_TYPE_PITCH2D;
      resource.res.pitch2D.devPtr = level.address;
      resource.res.pitch2D.format = static_cast<CUarray_format>(job.format);
      resource.res.pitch2D.numChannels = job.channels;
      resource.res.pitch2D.width = level.width;
      resource.res.pitch2D.height = level.height;
      resource.res.pitch2D.pitchInBytes = level.pitch;
      break;
    case TextureJob::Source::kArray:
      resource.resType = CU_RESOURCE_TYPE_ARRAY;
      resource.res.array.hArray = array->levels[chosen].handle;
      break;
    case TextureJob::Source::kMipmapped:
      resource.resType = CU_RESOURCE_TYPE_MIPMAPPED_ARRAY;
      resource.res.mipmap.hMipmappedArray = array->mipmapped;
      // A mipmapped array of one level is an array here.
      if (array->mipmapped == nullptr) {
        resource.resType = CU_RESOURCE_TYPE_ARRAY;
        resource.res.array.hArray = array->array;
      }
      break;
  }
  if (job.is_surface) return driver.SurfObjectCreate(reinterpret_cast<CUsurfObject*>(handle), &resource);
  CUDA_TEXTURE_DESC how{};
  for (std::size_t i = 0; i < 3; ++i) how.addressMode[i] = static_cast<CUaddress_mode>(job.sampling.address[i]);
  how.filterMode = static_cast<CUfilter_mode>(job.sampling.filter);
  how.flags = job.sampling.flags;
  how.maxAnisotropy = job.sampling.anisotropy_max;
  how.mipmapFilterMode = static_cast<CUfilter_mode>(job.sampling.mipmap_filter);
  how.mipmapLevelBias = job.sampling.mipmap_bias;
  how.minMipmapLevelClamp = job.sampling.mipmap_min;
  how.maxMipmapLevelClamp = job.sampling.mipmap_max;
  std::copy(job.sampling.border.begin(), job.sampling.border.end(), std::begin(how.borderColor));
  CUDA_RESOURCE_VIEW_DESC view{};
  const bool has_view = job.view.has_value() && (!is_level || job.view->format != 0 || job.view->last_layer != 0);
  if (has_view) {
    const TextureJob::Level& seen = job.levels[chosen];
    view.format = static_cast<CUresourceViewFormat>(job.view->format);
    view.width = seen.width;
    view.height = seen.height;
    view.depth = seen.depth;
    view.firstMipmapLevel = is_level ? 0 : job.view->first_level;
    view.lastMipmapLevel = is_level ? 0 : job.view->last_level;
    view.firstLayer = job.view->first_layer;
    view.lastLayer = job.view->last_layer;
  }
  return driver.TexObjectCreate(reinterpret_cast<CUtexObject*>(handle), &resource, &how, has_view ? &view : nullptr);
}

CUresult DestroyTextureObject(const Driver& driver, bool is_surface, std::uint64_t handle) {
  return is_surface ? driver.SurfObjectDestroy(handle) : driver.TexObjectDestroy(handle);
}

}  // namespace accelmesh::cuda
