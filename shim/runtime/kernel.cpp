// What is known of a kernel: attributes, consent to more shared memory, occupancy.
#include <algorithm>

#include "shim/gen_face.h"
#include "shim/runtime/runtime.h"

namespace accelmesh::face {
namespace {

// The kernel on the thread's device; null with the thread's last error set.
DeviceKernel* FindOnDevice(ClientSession& session, const void* function, cudaError_t* error) {
  RegisteredKernel* registered = Registry::Get().FindKernel(function);
  if (registered == nullptr) {
    *error = Fail(cudaErrorInvalidResourceHandle);
    return nullptr;
  }
  DeviceKernel* kernel = registered->On(CurrentDevice());
  if (kernel != nullptr) return kernel;
  kernel = Registry::Get().Prepare(session, *registered, CurrentDevice(), error);
  if (kernel == nullptr) Done(session, *error);
  return kernel;
}

std::uint64_t DeviceAttribute(cudaDeviceAttr attribute) {
  const int value = Runtime::Get().device(CurrentDevice()).lease->Attribute(static_cast<std::uint32_t>(attribute));
  return static_cast<std::uint64_t>(std::max(value, 0));
}

}  // namespace

cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* attributes, const void* func) {
  ACCELMESH_BEGIN_CALL();
  if (attributes == nullptr) return Fail(cudaErrorInvalidValue);
  cudaError_t error = cudaSuccess;
  const DeviceKernel* kernel = FindOnDevice(session, func, &error);
  if (kernel == nullptr) return error;
  const KernelLayout& layout = *kernel->layout;
  *attributes = {};
  attributes->sharedSizeBytes = layout.static_shared_bytes;
  attributes->constSizeBytes = layout.constant_bytes;
  attributes->localSizeBytes = layout.local_bytes;
  attributes->maxThreadsPerBlock = static_cast<int>(layout.max_threads_per_block);
  attributes->numRegs = static_cast<int>(layout.registers);
  attributes->ptxVersion = static_cast<int>(layout.ptx_version);
  attributes->binaryVersion = static_cast<int>(layout.binary_version);
  attributes->maxDynamicSharedSizeBytes =
      static_cast<int>(kernel->dynamic_shared_bytes_max.load(std::memory_order_relaxed));
  attributes->preferredShmemCarveout = -1;
  return cudaSuccess;
}

cudaError_t cudaFuncSetAttribute(const void* func, cudaFuncAttribute attribute, int value) {
  ACCELMESH_BEGIN_CALL();
  cudaError_t error = cudaSuccess;
  DeviceKernel* kernel = FindOnDevice(session, func, &error);
  if (kernel == nullptr) return error;
  switch (attribute) {
    case cudaFuncAttributeMaxDynamicSharedMemorySize: {
      const std::uint64_t total = static_cast<std::uint64_t>(std::max(value, 0)) + kernel->layout->static_shared_bytes;
      if (value < 0 || total > kernel->limits->shared_bytes_optin) return Fail(cudaErrorInvalidValue);
      kernel->dynamic_shared_bytes_max.store(static_cast<std::uint32_t>(value), std::memory_order_relaxed);
      return cudaSuccess;
    }
    case cudaFuncAttributePreferredSharedMemoryCarveout:  // a hint in per cent; -1 is the default
      return value < -1 || value > 100 ? Fail(cudaErrorInvalidValue) : cudaSuccess;
    default: return Fail(cudaErrorInvalidValue);
  }
}

cudaError_t cudaFuncSetCacheConfig(const void* func, cudaFuncCache config) {  // a hint
  ACCELMESH_BEGIN_CALL();
  if (config < cudaFuncCachePreferNone || config > cudaFuncCachePreferEqual) return Fail(cudaErrorInvalidValue);
  cudaError_t error = cudaSuccess;
  FindOnDevice(session, func, &error);
  return error;
}

cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int* blocks, const void* func, int block_size,
                                                                   size_t dynamic_shared_bytes, unsigned int flags) {
  ACCELMESH_BEGIN_CALL();
  if (blocks == nullptr || block_size <= 0 || flags > cudaOccupancyDisableCachingOverride)
    return Fail(cudaErrorInvalidValue);
  cudaError_t error = cudaSuccess;
  const DeviceKernel* kernel = FindOnDevice(session, func, &error);
  if (kernel == nullptr) return error;
  *blocks = 0;
  const std::uint64_t threads = (static_cast<std::uint64_t>(block_size) + 31) / 32 * 32;
  const std::uint64_t shared_max = kernel->limits->shared_bytes_optin;
  if (static_cast<std::uint32_t>(block_size) > kernel->layout->max_threads_per_block ||
      dynamic_shared_bytes > shared_max || dynamic_shared_bytes + kernel->layout->static_shared_bytes > shared_max)
    return cudaSuccess;  // No block of this kind fits.
  const std::uint64_t shared = dynamic_shared_bytes + kernel->layout->static_shared_bytes;
  std::uint64_t limit = std::min(DeviceAttribute(cudaDevAttrMaxThreadsPerMultiProcessor) / threads,
                                 DeviceAttribute(cudaDevAttrMaxBlocksPerMultiprocessor));
  if (shared > 0) limit = std::min(limit, DeviceAttribute(cudaDevAttrMaxSharedMemoryPerMultiprocessor) / shared);
  *blocks = static_cast<int>(limit);
  return cudaSuccess;
}
cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, const void* func, int block_size,
                                                          size_t dynamic_shared_bytes) {
  return face::cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(blocks, func, block_size, dynamic_shared_bytes,
                                                                      cudaOccupancyDefault);
}

}  // namespace accelmesh::face
