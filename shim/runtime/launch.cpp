// Registration by nvcc's host stubs, launches, and what is known of a kernel.
#include <algorithm>

#include "gen_face.h"
#include "shim/runtime/runtime.h"

namespace accelmesh::face {
namespace {

struct Found {
  cudaError_t error = cudaSuccess;
  std::shared_ptr<const LoadedModule> module;
  const KernelLayout* kernel = nullptr;
};

Found FindLayout(ClientSession& session, const void* function) {
  Found found;
  RegisteredKernel* registered = Runtime::Get().FindKernel(function);
  if (registered == nullptr) {
    found.error = Fail(cudaErrorInvalidDeviceFunction);
    return found;
  }
  found.module = Runtime::Get().Load(session, *registered->fatbin);
  if (found.module->error != 0) {
    found.error = Done(found.module->error);
    return found;
  }
  const auto kernel = found.module->kernels.find(registered->name);
  if (kernel == found.module->kernels.end()) {
    found.error = Fail(cudaErrorInvalidDeviceFunction);
    return found;
  }
  found.kernel = &kernel->second;
  return found;
}

// What CUDA reports at the launch itself: geometry against the device, shared memory and threads against the kernel.
cudaError_t CheckGeometry(const LeasedDevice& device, const KernelLayout& kernel, dim3 grid, dim3 block,
                          std::size_t shared_bytes) {
  const auto at = [&device](cudaDeviceAttr attribute) {
    return static_cast<unsigned>(device.Attribute(static_cast<std::uint32_t>(attribute)));
  };
  const std::uint64_t threads = std::uint64_t{block.x} * block.y * block.z;
  if (threads == 0 || grid.x == 0 || grid.y == 0 || grid.z == 0) return cudaErrorInvalidConfiguration;
  if (block.x > at(cudaDevAttrMaxBlockDimX) || block.y > at(cudaDevAttrMaxBlockDimY) ||
      block.z > at(cudaDevAttrMaxBlockDimZ) || threads > at(cudaDevAttrMaxThreadsPerBlock))
    return cudaErrorInvalidConfiguration;
  if (grid.x > at(cudaDevAttrMaxGridDimX) || grid.y > at(cudaDevAttrMaxGridDimY) || grid.z > at(cudaDevAttrMaxGridDimZ))
    return cudaErrorInvalidConfiguration;
  if (threads > kernel.max_threads_per_block) return cudaErrorLaunchOutOfResources;
  if (shared_bytes + kernel.static_shared_bytes > at(cudaDevAttrMaxSharedMemoryPerBlockOptin))
    return cudaErrorInvalidValue;
  return cudaSuccess;
}

cudaError_t LaunchOn(ClientSession& session, Stream* stream, const void* function, dim3 grid, dim3 block,
                     void** arguments, std::size_t shared_bytes) {
  const Found found = FindLayout(session, function);
  if (found.kernel == nullptr) return found.error;
  const LeasedDevice& device = session.devices()[stream->device];
  if (const cudaError_t error = CheckGeometry(device, *found.kernel, grid, block, shared_bytes); error != cudaSuccess)
    return Fail(error);
  if (arguments == nullptr && !found.kernel->parameters.empty()) return Fail(cudaErrorInvalidValue);
  LaunchGeometry geometry{
      {grid.x, grid.y, grid.z}, {block.x, block.y, block.z}, static_cast<std::uint32_t>(shared_bytes), 0};
  return Done(session.Launch(stream, *found.kernel, geometry, arguments));
}

}  // namespace

void** __cudaRegisterFatBinary(void* wrapper) {
  return reinterpret_cast<void**>(Runtime::Get().RegisterFatbin(wrapper));
}
void __cudaRegisterFatBinaryEnd(void** /*handle*/) {}
// At exit nothing is torn down: the session ends as a whole.
void __cudaUnregisterFatBinary(void** /*handle*/) {}
void __cudaRegisterFunction(void** handle, const char* host_function, char* /*device_function*/,
                            const char* device_name, int /*thread_limit*/, uint3* /*tid*/, uint3* /*bid*/,
                            dim3* /*block_dim*/, dim3* /*grid_dim*/, int* /*warp_size*/) {
  Runtime::Get().RegisterKernel(reinterpret_cast<Fatbin*>(handle), host_function, device_name);
}
void __cudaRegisterVar(void** handle, char* host_variable, char* /*device_address*/, const char* device_name,
                       int /*external*/, size_t bytes, int /*constant*/, int /*global*/) {
  Runtime::Get().RegisterVariable(reinterpret_cast<Fatbin*>(handle), host_variable, device_name, bytes);
}
char __cudaInitModule(void** /*handle*/) { return 1; }

unsigned __cudaPushCallConfiguration(dim3 grid, dim3 block, size_t shared_bytes, cudaStream_t stream) {
  CurrentThread().configurations.push_back({grid, block, shared_bytes, stream});
  return 0;
}
cudaError_t __cudaPopCallConfiguration(dim3* grid, dim3* block, size_t* shared_bytes, void* stream) {
  auto& configurations = CurrentThread().configurations;
  if (configurations.empty()) return Fail(cudaErrorMissingConfiguration);
  const ThreadState::Configuration top = configurations.back();
  configurations.pop_back();
  *grid = top.grid;
  *block = top.block;
  *shared_bytes = top.shared_bytes;
  *static_cast<cudaStream_t*>(stream) = top.stream;
  return cudaSuccess;
}
cudaError_t __cudaGetKernel(cudaKernel_t* kernel, const void* host_function) {
  RegisteredKernel* registered = Runtime::Get().FindKernel(host_function);
  if (registered == nullptr) return Fail(cudaErrorInvalidDeviceFunction);
  *kernel = reinterpret_cast<cudaKernel_t>(registered);
  return cudaSuccess;
}
cudaError_t __cudaLaunchKernel(cudaKernel_t kernel, dim3 grid, dim3 block, void** arguments, size_t shared_bytes,
                               cudaStream_t stream) {
  ACCELMESH_BEGIN_STREAM_CALL(stream);
  return LaunchOn(session, stream_object, kernel, grid, block, arguments, shared_bytes);
}
cudaError_t cudaLaunchKernel(const void* func, dim3 grid, dim3 block, void** args, size_t shared_bytes,
                             cudaStream_t stream) {
  ACCELMESH_BEGIN_STREAM_CALL(stream);
  return LaunchOn(session, stream_object, func, grid, block, args, shared_bytes);
}
cudaError_t cudaLaunchKernelExC(const cudaLaunchConfig_t* config, const void* func, void** args) {
  if (config == nullptr) return Fail(cudaErrorInvalidValue);
  for (unsigned i = 0; i < config->numAttrs; ++i) {
    // Hints may be ignored; what changes the meaning of a launch may not.
    if (config->attrs[i].id != cudaLaunchAttributeIgnore && config->attrs[i].id != cudaLaunchAttributePriority)
      return Fail(cudaErrorNotSupported);
  }
  ACCELMESH_BEGIN_STREAM_CALL(config->stream);
  return LaunchOn(session, stream_object, func, config->gridDim, config->blockDim, args, config->dynamicSmemBytes);
}

cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* attributes, const void* func) {
  ACCELMESH_BEGIN_CALL();
  if (attributes == nullptr) return Fail(cudaErrorInvalidValue);
  const Found found = FindLayout(session, func);
  if (found.kernel == nullptr) return found.error;
  *attributes = {};
  attributes->sharedSizeBytes = found.kernel->static_shared_bytes;
  attributes->constSizeBytes = found.kernel->constant_bytes;
  attributes->localSizeBytes = found.kernel->local_bytes;
  attributes->maxThreadsPerBlock = static_cast<int>(found.kernel->max_threads_per_block);
  attributes->numRegs = static_cast<int>(found.kernel->registers);
  attributes->ptxVersion = static_cast<int>(found.kernel->ptx_version);
  attributes->binaryVersion = static_cast<int>(found.kernel->binary_version);
  const LeasedDevice& device = session.devices()[static_cast<std::size_t>(CurrentThread().device)];
  attributes->maxDynamicSharedSizeBytes =
      device.Attribute(cudaDevAttrMaxSharedMemoryPerBlock) - static_cast<int>(found.kernel->static_shared_bytes);
  return cudaSuccess;
}
cudaError_t cudaFuncSetAttribute(const void* func, cudaFuncAttribute attribute, int value) {
  ACCELMESH_BEGIN_CALL();
  const Found found = FindLayout(session, func);
  if (found.kernel == nullptr) return found.error;
  const LeasedDevice& device = session.devices()[static_cast<std::size_t>(CurrentThread().device)];
  if (attribute == cudaFuncAttributeMaxDynamicSharedMemorySize &&
      (value < 0 || value + static_cast<int>(found.kernel->static_shared_bytes) >
                        device.Attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin)))
    return Fail(cudaErrorInvalidValue);
  return cudaSuccess;
}
cudaError_t cudaFuncSetCacheConfig(const void* /*func*/, cudaFuncCache /*config*/) { return cudaSuccess; }  // a hint

cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, const void* func, int block_size,
                                                          size_t dynamic_shared_bytes) {
  ACCELMESH_BEGIN_CALL();
  if (blocks == nullptr || block_size <= 0) return Fail(cudaErrorInvalidValue);
  const Found found = FindLayout(session, func);
  if (found.kernel == nullptr) return found.error;
  const LeasedDevice& device = session.devices()[static_cast<std::size_t>(CurrentThread().device)];
  const auto at = [&device](cudaDeviceAttr attribute) {
    return device.Attribute(static_cast<std::uint32_t>(attribute));
  };
  const int warps = (block_size + 31) / 32 * 32;
  int limit = std::min(at(cudaDevAttrMaxThreadsPerMultiProcessor) / warps, at(cudaDevAttrMaxBlocksPerMultiprocessor));
  const auto shared = static_cast<int>(dynamic_shared_bytes + found.kernel->static_shared_bytes);
  if (shared > 0) limit = std::min(limit, at(cudaDevAttrMaxSharedMemoryPerMultiprocessor) / shared);
  if (static_cast<std::uint32_t>(block_size) > found.kernel->max_threads_per_block) limit = 0;
  *blocks = limit;
  return cudaSuccess;
}
cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int* blocks, const void* func, int block_size,
                                                                   size_t dynamic_shared_bytes,
                                                                   unsigned int /*flags*/) {
  return face::cudaOccupancyMaxActiveBlocksPerMultiprocessor(blocks, func, block_size, dynamic_shared_bytes);
}

}  // namespace accelmesh::face
