// Arrays: opaque memory that copies go to and from.
#include "tests/contract/state.h"

namespace accelmesh::contract {

std::uint64_t FormatBytes(CUarray_format format) {
  switch (format) {
    case CU_AD_FORMAT_UNSIGNED_INT8:
    case CU_AD_FORMAT_SIGNED_INT8: return 1;
    case CU_AD_FORMAT_UNSIGNED_INT16:
    case CU_AD_FORMAT_SIGNED_INT16:
    case CU_AD_FORMAT_HALF: return 2;
    case CU_AD_FORMAT_UNSIGNED_INT32:
    case CU_AD_FORMAT_SIGNED_INT32:
    case CU_AD_FORMAT_FLOAT: return 4;
    default: return 0;
  }
}

namespace {

CUresult Make(const Call& call, CUarray* handle, const CUDA_ARRAY3D_DESCRIPTOR& descriptor) {
  const std::uint64_t element = FormatBytes(descriptor.Format) * descriptor.NumChannels;
  const unsigned channels = descriptor.NumChannels;
  if (handle == nullptr || element == 0 || (channels != 1 && channels != 2 && channels != 4) || descriptor.Width == 0)
    return CUDA_ERROR_INVALID_VALUE;
  constexpr unsigned kFlags =
      CUDA_ARRAY3D_LAYERED | CUDA_ARRAY3D_SURFACE_LDST | CUDA_ARRAY3D_CUBEMAP | CUDA_ARRAY3D_TEXTURE_GATHER;
  if ((descriptor.Flags & ~kFlags) != 0) return CUDA_ERROR_NOT_SUPPORTED;
  auto array = std::make_shared<Array>();
  array->context = call.context;
  array->descriptor = descriptor;
  array->element_bytes = element;
  array->bytes.resize(array->pitch() * array->height() * array->depth());
  *handle = AsHandle<CUarray>(state().arrays.Add(std::move(array)));
  return CUDA_SUCCESS;
}

}  // namespace
}  // namespace accelmesh::contract

using namespace accelmesh::contract;

CONTRACT_API CUresult cuArrayCreate(CUarray* handle, const CUDA_ARRAY_DESCRIPTOR* descriptor) {
  return Enter(Function::k_cuArrayCreate, [&](Call& call) -> CUresult {
    if (descriptor == nullptr) return CUDA_ERROR_INVALID_VALUE;
    return Make(call, handle,
                {descriptor->Width, descriptor->Height, 0, descriptor->Format, descriptor->NumChannels, 0});
  });
}
CONTRACT_API CUresult cuArray3DCreate(CUarray* handle, const CUDA_ARRAY3D_DESCRIPTOR* descriptor) {
  return Enter(Function::k_cuArray3DCreate, [&](Call& call) -> CUresult {
    return descriptor == nullptr ? CUDA_ERROR_INVALID_VALUE : Make(call, handle, *descriptor);
  });
}
CONTRACT_API CUresult cuArrayDestroy(CUarray handle) {
  return Enter(Function::k_cuArrayDestroy, [&](Call& call) -> CUresult {
    if (call.Find(state().arrays, handle) == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    state().arrays.Remove(reinterpret_cast<std::uint64_t>(handle));
    return CUDA_SUCCESS;
  });
}
CONTRACT_API CUresult cuArrayGetDescriptor(CUDA_ARRAY_DESCRIPTOR* descriptor, CUarray handle) {
  return Enter(Function::k_cuArrayGetDescriptor, [&](Call& call) -> CUresult {
    const auto array = call.Find(state().arrays, handle);
    if (array == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    const CUDA_ARRAY3D_DESCRIPTOR& of = array->descriptor;
    if (of.Depth != 0) return CUDA_ERROR_INVALID_VALUE;
    *descriptor = {of.Width, of.Height, of.Format, of.NumChannels};
    return CUDA_SUCCESS;
  });
}
CONTRACT_API CUresult cuArray3DGetDescriptor(CUDA_ARRAY3D_DESCRIPTOR* descriptor, CUarray handle) {
  return Enter(Function::k_cuArray3DGetDescriptor, [&](Call& call) -> CUresult {
    const auto array = call.Find(state().arrays, handle);
    if (array == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    *descriptor = array->descriptor;
    return CUDA_SUCCESS;
  });
}

// Mipmapped arrays: an array a level --------------------------------------------------------------------------------

CONTRACT_API CUresult cuMipmappedArrayCreate(CUmipmappedArray* handle, const CUDA_ARRAY3D_DESCRIPTOR* descriptor,
                                             unsigned int levels) {
  return Enter(Function::k_cuMipmappedArrayCreate, [&](Call& call) -> CUresult {
    if (handle == nullptr || descriptor == nullptr || levels == 0) return CUDA_ERROR_INVALID_VALUE;
    auto whole = std::make_shared<MipmappedArray>();
    whole->context = call.context;
    for (unsigned level = 0; level < levels; ++level) {
      CUDA_ARRAY3D_DESCRIPTOR part = *descriptor;
      const auto halved = [level](std::size_t extent) {
        return extent == 0 ? 0 : std::max<std::size_t>(extent >> level, 1);
      };
      part.Width = halved(part.Width);
      part.Height = halved(part.Height);
      if ((part.Flags & (CUDA_ARRAY3D_LAYERED | CUDA_ARRAY3D_CUBEMAP)) == 0) part.Depth = halved(part.Depth);
      CUarray array = nullptr;
      if (const CUresult result = Make(call, &array, part); result != CUDA_SUCCESS) return result;
      whole->levels.push_back(reinterpret_cast<std::uint64_t>(array));
    }
    *handle = AsHandle<CUmipmappedArray>(state().mipmapped_arrays.Add(std::move(whole)));
    return CUDA_SUCCESS;
  });
}
CONTRACT_API CUresult cuMipmappedArrayGetLevel(CUarray* level_handle, CUmipmappedArray handle, unsigned int level) {
  return Enter(Function::k_cuMipmappedArrayGetLevel, [&](Call& call) -> CUresult {
    const auto whole = call.Find(state().mipmapped_arrays, handle);
    if (whole == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    if (level_handle == nullptr || level >= whole->levels.size()) return CUDA_ERROR_INVALID_VALUE;
    *level_handle = AsHandle<CUarray>(whole->levels[level]);
    return CUDA_SUCCESS;
  });
}
CONTRACT_API CUresult cuMipmappedArrayDestroy(CUmipmappedArray handle) {
  return Enter(Function::k_cuMipmappedArrayDestroy, [&](Call& call) -> CUresult {
    const auto whole = call.Find(state().mipmapped_arrays, handle);
    if (whole == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    for (const std::uint64_t level : whole->levels) state().arrays.Remove(level);
    state().mipmapped_arrays.Remove(reinterpret_cast<std::uint64_t>(handle));
    return CUDA_SUCCESS;
  });
}
