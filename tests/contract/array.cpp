// Arrays: opaque memory that copies go to and from.
#include "tests/contract/state.h"

namespace accelmesh::contract {
namespace {

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

CUresult Make(const Call& call, CUarray* handle, const CUDA_ARRAY3D_DESCRIPTOR& descriptor) {
  const std::uint64_t element = FormatBytes(descriptor.Format) * descriptor.NumChannels;
  const unsigned channels = descriptor.NumChannels;
  if (handle == nullptr || element == 0 || (channels != 1 && channels != 2 && channels != 4) || descriptor.Width == 0)
    return CUDA_ERROR_INVALID_VALUE;
  constexpr unsigned kFlags = CUDA_ARRAY3D_LAYERED | CUDA_ARRAY3D_SURFACE_LDST | CUDA_ARRAY3D_CUBEMAP;
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
