// Registration by nvcc's host stubs, and launches.
#include "protocol/base/log.h"
#include "shim/gen_face.h"
#include "shim/runtime/process.h"
#include "shim/runtime/runtime.h"

namespace accelmesh::face {
namespace {

// What CUDA reports at the launch itself: geometry against the device, shared memory and threads against the kernel.
// The numbers are those of CUDA 13 on a real device (scripts/gpu-check), which differ from its manual's.
cudaError_t CheckGeometry(const DeviceKernel& kernel, dim3 grid, dim3 block, std::size_t shared_bytes) {
  const DeviceLimits& limits = *kernel.limits;
  const std::uint64_t threads = std::uint64_t{block.x} * block.y * block.z;
  if (threads == 0 || grid.x == 0 || grid.y == 0 || grid.z == 0) return cudaErrorInvalidValue;
  if (block.x > limits.block[0] || block.y > limits.block[1] || block.z > limits.block[2] || threads > limits.threads)
    return cudaErrorInvalidValue;
  if (grid.x > limits.grid[0] || grid.y > limits.grid[1] || grid.z > limits.grid[2]) return cudaErrorInvalidValue;
  if (threads > kernel.layout->max_threads_per_block) return cudaErrorLaunchOutOfResources;
  if (shared_bytes > kernel.dynamic_shared_bytes_max.load(std::memory_order_relaxed)) return cudaErrorInvalidValue;
  return cudaSuccess;
}

cudaError_t LaunchOn(ClientSession& session, Stream* stream, const void* function, dim3 grid, dim3 block,
                     void** arguments, std::size_t shared_bytes) {
  RegisteredKernel* registered = Registry::Get().FindKernel(function);
  // What is no host stub counts as a handle, which this is not.
  if (registered == nullptr) return Fail(cudaErrorInvalidResourceHandle);
  const std::uint32_t device = CurrentDevice();
  // A stream takes launches of its own device only.
  if (stream->device != device) return Fail(cudaErrorInvalidResourceHandle);
  const DeviceKernel* kernel = registered->On(device);
  if (kernel == nullptr) [[unlikely]] {
    cudaError_t error = cudaSuccess;
    kernel = Registry::Get().Prepare(session, *registered, device, &error);
    if (kernel == nullptr) return Done(session, error);
  }
  if (const cudaError_t error = CheckGeometry(*kernel, grid, block, shared_bytes); error != cudaSuccess)
    return Fail(error);
  if (arguments == nullptr && !kernel->layout->parameters.empty()) return Fail(cudaErrorInvalidValue);
  const LaunchGeometry geometry{
      {grid.x, grid.y, grid.z}, {block.x, block.y, block.z}, static_cast<std::uint32_t>(shared_bytes), 0};
  return Done(session, session.Launch(stream, *kernel->layout, geometry, arguments));
}

// Whether a launch attribute may be left out: hints, and values that ask for what happens anyway.
bool MayIgnore(const cudaLaunchAttribute& attribute) {
  switch (attribute.id) {
    case cudaLaunchAttributeIgnore:
    case cudaLaunchAttributeAccessPolicyWindow:
    case cudaLaunchAttributeSynchronizationPolicy:
    case cudaLaunchAttributePriority:
    case cudaLaunchAttributeProgrammaticStreamSerialization:  // allows an overlap that need not happen
    case cudaLaunchAttributeMemSyncDomain:
    case cudaLaunchAttributeMemSyncDomainMap:
    case cudaLaunchAttributePreferredSharedMemoryCarveout: return true;
    case cudaLaunchAttributeCooperative: return attribute.val.cooperative == 0;
    case cudaLaunchAttributeClusterDimension: {
      const auto& size = attribute.val.clusterDim;
      return size.x == 1 && size.y == 1 && size.z == 1;
    }
    default: return false;
  }
}

}  // namespace

void** __cudaRegisterFatBinary(void* wrapper) { return reinterpret_cast<void**>(Registry::Get().AddFatbin(wrapper)); }
void __cudaRegisterFatBinaryEnd(void** /*handle*/) {}
void __cudaUnregisterFatBinary(void** handle) {
  // At the end of the process the session ends as a whole; before it, a library is being closed.
  if (ProcessIsEnding()) return;
  Registry::Get().RemoveFatbin(reinterpret_cast<Fatbin*>(handle), Runtime::Get().SessionIfOpen());
}
void __cudaRegisterFunction(void** handle, const char* host_function, char* /*device_function*/,
                            const char* device_name, int /*thread_limit*/, uint3* /*tid*/, uint3* /*bid*/,
                            dim3* /*block_dim*/, dim3* /*grid_dim*/, int* /*warp_size*/) {
  Registry::Get().AddKernel(reinterpret_cast<Fatbin*>(handle), host_function, device_name);
}
void __cudaRegisterVar(void** handle, char* host_variable, char* /*device_address*/, const char* device_name,
                       int /*external*/, size_t /*bytes*/, int /*constant*/, int /*global*/) {
  Registry::Get().AddVariable(reinterpret_cast<Fatbin*>(handle), host_variable, device_name);
}
char __cudaInitModule(void** /*handle*/) { return 1; }

unsigned __cudaPushCallConfiguration(dim3 grid, dim3 block, size_t shared_bytes, cudaStream_t stream) {
  ThreadState& thread = CurrentThread();
  if (thread.configuration_count == ThreadState::kConfigurationsMax) {
    // Not zero: the stub is skipped.
    log::Error("accelmesh", "launches nest in one another's arguments deeper than any program's");
    Fail(cudaErrorInvalidConfiguration);
    return 1;
  }
  thread.configurations[thread.configuration_count++] = {grid, block, shared_bytes, stream};
  return 0;
}
cudaError_t __cudaPopCallConfiguration(dim3* grid, dim3* block, size_t* shared_bytes, void* stream) {
  ThreadState& thread = CurrentThread();
  if (thread.configuration_count == 0) return Fail(cudaErrorMissingConfiguration);
  const ThreadState::Configuration& top = thread.configurations[--thread.configuration_count];
  *grid = top.grid;
  *block = top.block;
  *shared_bytes = top.shared_bytes;
  *static_cast<cudaStream_t*>(stream) = top.stream;
  return cudaSuccess;
}
cudaError_t __cudaGetKernel(cudaKernel_t* kernel, const void* host_function) {
  RegisteredKernel* registered = Registry::Get().FindKernel(host_function);
  if (registered == nullptr) return Fail(cudaErrorInvalidDeviceFunction);
  *kernel = reinterpret_cast<cudaKernel_t>(registered);
  return cudaSuccess;
}
cudaError_t cudaGetKernel(cudaKernel_t* kernel, const void* host_function) {
  if (kernel == nullptr) return Fail(cudaErrorInvalidValue);
  return face::__cudaGetKernel(kernel, host_function);
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
  if (config == nullptr || (config->numAttrs != 0 && config->attrs == nullptr)) return Fail(cudaErrorInvalidValue);
  for (unsigned i = 0; i < config->numAttrs; ++i) {
    if (MayIgnore(config->attrs[i])) continue;
    log::Warning("cudaLaunchKernelExC", "launch attribute " + std::to_string(static_cast<int>(config->attrs[i].id)) +
                                            " is not supported by this release; the launch returns "
                                            "cudaErrorNotSupported");
    return Fail(cudaErrorNotSupported);
  }
  ACCELMESH_BEGIN_STREAM_CALL(config->stream);
  return LaunchOn(session, stream_object, func, config->gridDim, config->blockDim, args, config->dynamicSmemBytes);
}

}  // namespace accelmesh::face
