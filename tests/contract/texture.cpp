// Texture and surface objects, which the interpreter looks at as the software GPU's kernels do.
#include "tests/contract/state.h"

namespace accelmesh::contract {
namespace {

// Of every device here (device.cpp).
constexpr std::uint64_t kTextureAlignment = 512;
constexpr std::uint64_t kTexturePitchAlignment = 32;

// A level, and the array that it lies in, if it does.
struct Lying {
  std::vector<TextureJob::Level> levels;
  std::vector<std::shared_ptr<Array>> arrays;
};

void AddArray(const std::shared_ptr<Array>& array, Lying* lying) {
  TextureJob::Level level;
  level.address = reinterpret_cast<std::uint64_t>(array->bytes.data());
  level.pitch = array->pitch();
  level.slice = array->pitch() * array->height();
  level.width = array->descriptor.Width;
  level.height = static_cast<std::uint32_t>(array->descriptor.Height);
  level.depth = static_cast<std::uint32_t>(array->descriptor.Depth);
  lying->levels.push_back(level);
  lying->arrays.push_back(array);
}

CUresult ReadMemory(const Call& call, std::uint64_t address, std::uint64_t bytes) {
  if (address == 0 || bytes == 0 || address % kTextureAlignment != 0) return CUDA_ERROR_INVALID_VALUE;
  const std::lock_guard lock(state().mu);
  return CheckDeviceRange(call, {address, bytes});
}

CUresult ReadResource(const Call& call, const CUDA_RESOURCE_DESC& desc, TextureJob* job, Lying* lying) {
  if (desc.flags != 0) return CUDA_ERROR_INVALID_VALUE;
  const auto take_format = [job](CUarray_format format, unsigned channels) {
    job->format = static_cast<std::uint8_t>(format);
    job->channels = static_cast<std::uint8_t>(channels);
  };
  TextureJob::Level level;
  switch (desc.resType) {
    case CU_RESOURCE_TYPE_LINEAR: {
      job->source = TextureJob::Source::kLinear;
      take_format(desc.res.linear.format, desc.res.linear.numChannels);
      const std::uint64_t element = FormatBytes(desc.res.linear.format) * desc.res.linear.numChannels;
      if (element == 0) return CUDA_ERROR_INVALID_VALUE;
      level.address = desc.res.linear.devPtr;
      level.width = desc.res.linear.sizeInBytes / element;
      level.pitch = level.slice = level.width * element;
      lying->levels.push_back(level);
      return ReadMemory(call, level.address, level.pitch);
    }
    case CU_RESOURCE_TYPE_PITCH2D: {
      job->source = TextureJob::Source::kPitched;
      const auto& rows = desc.res.pitch2D;
      take_format(rows.format, rows.numChannels);
      const std::uint64_t row = rows.width * FormatBytes(rows.format) * rows.numChannels;
      if (row == 0 || rows.height == 0 || rows.pitchInBytes < row || rows.pitchInBytes % kTexturePitchAlignment != 0)
        return CUDA_ERROR_INVALID_VALUE;
      level.address = rows.devPtr;
      level.width = rows.width;
      level.height = static_cast<std::uint32_t>(rows.height);
      level.pitch = rows.pitchInBytes;
      level.slice = rows.pitchInBytes * rows.height;
      lying->levels.push_back(level);
      return ReadMemory(call, level.address, level.pitch * (rows.height - 1) + row);
    }
    case CU_RESOURCE_TYPE_ARRAY: {
      job->source = TextureJob::Source::kArray;
      const auto array = call.Find(state().arrays, desc.res.array.hArray);
      if (array == nullptr) return CUDA_ERROR_INVALID_HANDLE;
      AddArray(array, lying);
      break;
    }
    case CU_RESOURCE_TYPE_MIPMAPPED_ARRAY: {
      job->source = TextureJob::Source::kMipmapped;
      const auto whole = call.Find(state().mipmapped_arrays, desc.res.mipmap.hMipmappedArray);
      if (whole == nullptr) return CUDA_ERROR_INVALID_HANDLE;
      for (const std::uint64_t part : whole->levels) AddArray(state().arrays.Find(part), lying);
      break;
    }
    default: return CUDA_ERROR_INVALID_VALUE;
  }
  const CUDA_ARRAY3D_DESCRIPTOR& of = lying->arrays.front()->descriptor;
  take_format(of.Format, of.NumChannels);
  job->array_flags = of.Flags;
  return CUDA_SUCCESS;
}

CUresult Make(const Call& call, std::shared_ptr<Texture> texture, unsigned long long* handle) {
  TextureJob job;
  Lying lying;
  if (const CUresult result = ReadResource(call, texture->resource, &job, &lying); result != CUDA_SUCCESS)
    return result;
  job.is_surface = texture->is_surface;
  job.levels = lying.levels;
  const CUDA_TEXTURE_DESC& how = texture->sampling;
  for (std::size_t i = 0; i < 3; ++i) job.sampling.address[i] = static_cast<std::uint8_t>(how.addressMode[i]);
  std::copy(std::begin(how.borderColor), std::end(how.borderColor), job.sampling.border.begin());
  job.sampling.filter = static_cast<std::uint8_t>(how.filterMode);
  job.sampling.flags = how.flags;
  job.sampling.mipmap_filter = static_cast<std::uint8_t>(how.mipmapFilterMode);
  job.sampling.mipmap_bias = how.mipmapLevelBias;
  job.sampling.mipmap_min = how.minMipmapLevelClamp;
  job.sampling.mipmap_max = how.maxMipmapLevelClamp;
  if (texture->has_view) {
    if (lying.arrays.empty()) return CUDA_ERROR_INVALID_VALUE;
    const CUDA_RESOURCE_VIEW_DESC& view = texture->view;
    job.view = TextureJob::View{view.firstMipmapLevel, view.lastMipmapLevel, view.firstLayer, view.lastLayer,
                                static_cast<std::uint32_t>(view.format)};
  }
  auto made = tier0::MakeTexture(job);
  if (!made.ok()) return made.code() == Code::kUnsupported ? CUDA_ERROR_NOT_SUPPORTED : CUDA_ERROR_INVALID_VALUE;
  // A driver's arrays are no memory that its kernels have pointers to.
  (*made)->owns_memory = !lying.arrays.empty();
  (*made)->memory = std::make_shared<const std::vector<std::shared_ptr<Array>>>(std::move(lying.arrays));
  texture->context = call.context;
  texture->made = *std::move(made);
  *handle = state().textures.Add(std::move(texture));
  return CUDA_SUCCESS;
}

std::shared_ptr<Texture> Find(const Call& call, unsigned long long handle, bool is_surface) {
  const auto found = state().textures.Find(handle);
  if (found != nullptr && found->is_surface == is_surface) return found;
  call.BadHandle(state().textures.kind_name(), handle);
  return nullptr;
}

CUresult Destroy(const Call& call, unsigned long long handle, bool is_surface) {
  if (Find(call, handle, is_surface) == nullptr) return CUDA_ERROR_INVALID_VALUE;
  state().textures.Remove(handle);
  return CUDA_SUCCESS;
}

}  // namespace

tier0::TextureTable TexturesOf(const Context& context) {
  tier0::TextureTable table;
  state().textures.Each([&](std::uint64_t handle, const Texture& texture) {
    if (texture.context.get() == &context) table.emplace(handle, texture.made);
  });
  return table;
}

}  // namespace accelmesh::contract

using namespace accelmesh::contract;

CONTRACT_API CUresult cuTexObjectCreate(CUtexObject* handle, const CUDA_RESOURCE_DESC* resource,
                                        const CUDA_TEXTURE_DESC* sampling, const CUDA_RESOURCE_VIEW_DESC* view) {
  return Enter(Function::k_cuTexObjectCreate, [&](Call& call) -> CUresult {
    if (handle == nullptr || resource == nullptr || sampling == nullptr) return CUDA_ERROR_INVALID_VALUE;
    auto texture = std::make_shared<Texture>();
    texture->resource = *resource;
    texture->sampling = *sampling;
    texture->has_view = view != nullptr;
    if (view != nullptr) texture->view = *view;
    return Make(call, std::move(texture), handle);
  });
}
CONTRACT_API CUresult cuTexObjectDestroy(CUtexObject handle) {
  return Enter(Function::k_cuTexObjectDestroy, [&](Call& call) -> CUresult { return Destroy(call, handle, false); });
}
CONTRACT_API CUresult cuTexObjectGetResourceDesc(CUDA_RESOURCE_DESC* resource, CUtexObject handle) {
  return Enter(Function::k_cuTexObjectGetResourceDesc, [&](Call& call) -> CUresult {
    const auto texture = Find(call, handle, false);
    if (texture == nullptr || resource == nullptr) return CUDA_ERROR_INVALID_VALUE;
    *resource = texture->resource;
    return CUDA_SUCCESS;
  });
}
CONTRACT_API CUresult cuTexObjectGetTextureDesc(CUDA_TEXTURE_DESC* sampling, CUtexObject handle) {
  return Enter(Function::k_cuTexObjectGetTextureDesc, [&](Call& call) -> CUresult {
    const auto texture = Find(call, handle, false);
    if (texture == nullptr || sampling == nullptr) return CUDA_ERROR_INVALID_VALUE;
    *sampling = texture->sampling;
    return CUDA_SUCCESS;
  });
}
CONTRACT_API CUresult cuTexObjectGetResourceViewDesc(CUDA_RESOURCE_VIEW_DESC* view, CUtexObject handle) {
  return Enter(Function::k_cuTexObjectGetResourceViewDesc, [&](Call& call) -> CUresult {
    const auto texture = Find(call, handle, false);
    if (texture == nullptr || view == nullptr || !texture->has_view) return CUDA_ERROR_INVALID_VALUE;
    *view = texture->view;
    return CUDA_SUCCESS;
  });
}
CONTRACT_API CUresult cuSurfObjectCreate(CUsurfObject* handle, const CUDA_RESOURCE_DESC* resource) {
  return Enter(Function::k_cuSurfObjectCreate, [&](Call& call) -> CUresult {
    if (handle == nullptr || resource == nullptr || resource->resType != CU_RESOURCE_TYPE_ARRAY)
      return CUDA_ERROR_INVALID_VALUE;
    const auto array = call.Find(state().arrays, resource->res.array.hArray);
    if (array == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    if ((array->descriptor.Flags & CUDA_ARRAY3D_SURFACE_LDST) == 0) return CUDA_ERROR_INVALID_VALUE;
    auto texture = std::make_shared<Texture>();
    texture->resource = *resource;
    texture->is_surface = true;
    return Make(call, std::move(texture), handle);
  });
}
CONTRACT_API CUresult cuSurfObjectDestroy(CUsurfObject handle) {
  return Enter(Function::k_cuSurfObjectDestroy, [&](Call& call) -> CUresult { return Destroy(call, handle, true); });
}
CONTRACT_API CUresult cuSurfObjectGetResourceDesc(CUDA_RESOURCE_DESC* resource, CUsurfObject handle) {
  return Enter(Function::k_cuSurfObjectGetResourceDesc, [&](Call& call) -> CUresult {
    const auto texture = Find(call, handle, true);
    if (texture == nullptr || resource == nullptr) return CUDA_ERROR_INVALID_VALUE;
    *resource = texture->resource;
    return CUDA_SUCCESS;
  });
}
