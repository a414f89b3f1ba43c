#include "shim/runtime/kernel.h"

#include <algorithm>

#include "shim/gen_face.h"

namespace accelmesh {
namespace {

cudaError_t SetAttribute(DeviceKernel& kernel, cudaFuncAttribute attribute, int value) {
  switch (attribute) {
    case cudaFuncAttributeMaxDynamicSharedMemorySize: {
      const std::uint64_t total = static_cast<std::uint64_t>(std::max(value, 0)) + kernel.layout->static_shared_bytes;
      if (value < 0 || total > kernel.limits->shared_bytes_optin) return cudaErrorInvalidValue;
      kernel.dynamic_shared_bytes_max.store(static_cast<std::uint32_t>(value), std::memory_order_relaxed);
      return cudaSuccess;
    }
    case cudaFuncAttributePreferredSharedMemoryCarveout:  // a hint in per cent; -1 is the default
      if (value < -1 || value > 100) return cudaErrorInvalidValue;
      kernel.shared_carveout.store(value, std::memory_order_relaxed);
      return cudaSuccess;
    case cudaFuncAttributeRequiredClusterWidth:
    case cudaFuncAttributeRequiredClusterHeight:
    case cudaFuncAttributeRequiredClusterDepth:
      if (value < 0) return cudaErrorInvalidValue;
      if (kernel.layout->cluster[0] != 0) return cudaErrorNotPermitted;  // it was compiled for one
      kernel.required_cluster[attribute - cudaFuncAttributeRequiredClusterWidth].store(value,
                                                                                       std::memory_order_relaxed);
      return cudaSuccess;
    case cudaFuncAttributeNonPortableClusterSizeAllowed:
      kernel.non_portable_cluster_allowed.store(value, std::memory_order_relaxed);
      return cudaSuccess;
    case cudaFuncAttributeClusterSchedulingPolicyPreference:
      if (value < cudaClusterSchedulingPolicyDefault || value > cudaClusterSchedulingPolicyLoadBalancing)
        return cudaErrorInvalidValue;
      kernel.cluster_policy.store(value, std::memory_order_relaxed);
      return cudaSuccess;
    default: return cudaErrorInvalidValue;  // ClusterDimMustBeSet can only be read
  }
}

}  // namespace

RegisteredKernel* FindKernel(const void* function, cudaError_t* error) {
  RegisteredKernel* registered = Registry::Get().FindKernel(function);
  // What is no host stub counts as a handle, which this is not.
  if (registered == nullptr)
    *error = Fail(function == nullptr ? cudaErrorInvalidDeviceFunction : cudaErrorInvalidResourceHandle);
  return registered;
}

DeviceKernel* FindOnDevice(ClientSession& session, RegisteredKernel& kernel, std::uint32_t device, cudaError_t* error) {
  DeviceKernel* found = kernel.On(device);
  if (found != nullptr) return found;
  found = Registry::Get().Prepare(session, kernel, device, error);
  if (found == nullptr) Done(session, *error);
  return found;
}

DeviceKernel* FindOnDevice(ClientSession& session, const void* function, cudaError_t* error) {
  RegisteredKernel* registered = FindKernel(function, error);
  return registered == nullptr ? nullptr : FindOnDevice(session, *registered, CurrentDevice(), error);
}

namespace face {

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
  attributes->preferredShmemCarveout = kernel->shared_carveout.load(std::memory_order_relaxed);
  attributes->clusterDimMustBeSet = layout.cluster_must_be_set ? 1 : 0;
  attributes->requiredClusterWidth = kernel->required_cluster[0].load(std::memory_order_relaxed);
  attributes->requiredClusterHeight = kernel->required_cluster[1].load(std::memory_order_relaxed);
  attributes->requiredClusterDepth = kernel->required_cluster[2].load(std::memory_order_relaxed);
  attributes->clusterSchedulingPolicyPreference = kernel->cluster_policy.load(std::memory_order_relaxed);
  attributes->nonPortableClusterSizeAllowed = kernel->non_portable_cluster_allowed.load(std::memory_order_relaxed);
  return cudaSuccess;
}

cudaError_t cudaFuncSetAttribute(const void* func, cudaFuncAttribute attribute, int value) {
  ACCELMESH_BEGIN_CALL();
  cudaError_t error = cudaSuccess;
  DeviceKernel* kernel = FindOnDevice(session, func, &error);
  return kernel == nullptr ? error : Fail(SetAttribute(*kernel, attribute, value));
}

cudaError_t cudaKernelSetAttributeForDevice(cudaKernel_t kernel, cudaFuncAttribute attribute, int value, int device) {
  ACCELMESH_BEGIN_CALL();
  RegisteredKernel* registered = Registry::Get().FindKernel(kernel);
  if (registered == nullptr) return Fail(cudaErrorInvalidResourceHandle);
  if (device < 0 || static_cast<std::size_t>(device) >= session.devices().size()) return Fail(cudaErrorInvalidDevice);
  cudaError_t error = cudaSuccess;
  DeviceKernel* there = FindOnDevice(session, *registered, static_cast<std::uint32_t>(device), &error);
  return there == nullptr ? error : Fail(SetAttribute(*there, attribute, value));
}

// Two hints. Their numbers are judged first, then whether there is such a kernel.
cudaError_t cudaFuncSetCacheConfig(const void* func, cudaFuncCache config) {
  ACCELMESH_BEGIN_CALL();
  if (config < cudaFuncCachePreferNone || config > cudaFuncCachePreferEqual) return Fail(cudaErrorInvalidValue);
  cudaError_t error = cudaSuccess;
  FindOnDevice(session, func, &error);
  return error;
}
cudaError_t cudaFuncSetSharedMemConfig(const void* func, cudaSharedMemConfig config) {
  ACCELMESH_BEGIN_CALL();
  if (config < cudaSharedMemBankSizeDefault || config > cudaSharedMemBankSizeEightByte)
    return Fail(cudaErrorInvalidValue);
  cudaError_t error = cudaSuccess;
  FindOnDevice(session, func, &error);
  return error;
}

cudaError_t cudaFuncGetName(const char** name, const void* func) {
  ACCELMESH_BEGIN_CALL();
  if (name == nullptr) return Fail(cudaErrorInvalidValue);
  cudaError_t error = cudaSuccess;
  const RegisteredKernel* registered = FindKernel(func, &error);
  if (registered == nullptr) return error;
  *name = registered->name.c_str();
  return cudaSuccess;
}

cudaError_t cudaFuncGetParamInfo(const void* func, size_t index, size_t* offset, size_t* bytes) {
  ACCELMESH_BEGIN_CALL();
  if (offset == nullptr) return Fail(cudaErrorInvalidValue);
  cudaError_t error = cudaSuccess;
  const DeviceKernel* kernel = FindOnDevice(session, func, &error);
  if (kernel == nullptr) return error;
  const std::vector<wire::KernelParameter>& parameters = kernel->layout->parameters;
  if (index >= parameters.size()) return Fail(cudaErrorInvalidValue);
  *offset = parameters[index].offset();
  if (bytes != nullptr) *bytes = parameters[index].bytes();
  return cudaSuccess;
}

// The handle that cudaGetKernel gives out; it may be launched. Only what nvcc's stubs registered is a symbol.
cudaError_t cudaGetFuncBySymbol(cudaFunction_t* function, const void* symbol) {
  ACCELMESH_BEGIN_CALL();
  if (function == nullptr) return Fail(cudaErrorInvalidValue);
  RegisteredKernel* registered = Registry::Get().FindKernel(symbol);
  if (registered == nullptr || registered->host_function != symbol) return Fail(cudaErrorInvalidDeviceFunction);
  cudaError_t error = cudaSuccess;
  if (FindOnDevice(session, *registered, CurrentDevice(), &error) == nullptr) return error;
  *function = reinterpret_cast<cudaFunction_t>(registered);
  return cudaSuccess;
}

}  // namespace face
}  // namespace accelmesh
