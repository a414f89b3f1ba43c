// Registration by nvcc's host stubs, and launches.
#include "protocol/base/log.h"
#include "shim/gen_face.h"
#include "shim/runtime/kernel.h"
#include "shim/runtime/process.h"

namespace accelmesh {
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

// A launch with these numbers fills the device at most once: its blocks wait for one another.
cudaError_t CheckCooperative(ClientSession& session, const DeviceKernel& kernel, const LaunchGeometry& geometry) {
  const LeasedDevice& device = *Runtime::Get().device(CurrentDevice()).lease;
  if (device.Attribute(cudaDevAttrCooperativeLaunch) == 0) return cudaErrorNotSupported;
  const auto count = [](const auto& extents) { return std::uint64_t{extents[0]} * extents[1] * extents[2]; };
  std::uint64_t fitting = 0;
  DeviceResult asked = 0;
  if (const std::uint64_t of_cluster = count(geometry.cluster.size); of_cluster != 0) {
    asked = MaxActiveClusters(session, kernel, geometry, &fitting);
    fitting *= of_cluster;
  } else {
    asked = MaxActiveBlocks(session, kernel, count(geometry.block), geometry.shared_bytes, &fitting);
    fitting *= static_cast<std::uint64_t>(device.Attribute(cudaDevAttrMultiProcessorCount));
  }
  if (asked != 0) return static_cast<cudaError_t>(asked);
  return count(geometry.grid) > fitting ? cudaErrorCooperativeLaunchTooLarge : cudaSuccess;
}

}  // namespace

cudaError_t CheckLaunch(ClientSession& session, const DeviceKernel& kernel, const LaunchRequest& request,
                        LaunchGeometry* geometry) {
  const dim3& grid = request.grid;
  const dim3& block = request.block;
  if (const cudaError_t error = CheckGeometry(kernel, grid, block, request.shared_bytes); error != cudaSuccess)
    return error;
  *geometry = {{grid.x, grid.y, grid.z},
               {block.x, block.y, block.z},
               static_cast<std::uint32_t>(request.shared_bytes),
               request.is_cooperative ? kCooperative : std::uint8_t{0},
               {}};
  if (const cudaError_t error = SettleCluster(session, kernel, request.cluster, geometry); error != cudaSuccess)
    return error;
  return request.is_cooperative ? CheckCooperative(session, kernel, *geometry) : cudaSuccess;
}

namespace face {
namespace {

cudaError_t LaunchOn(ClientSession& session, Stream* stream, const void* function, const LaunchRequest& request,
                     void** arguments) {
  cudaError_t error = cudaSuccess;
  RegisteredKernel* registered = FindKernel(function, &error);
  if (registered == nullptr) return error;
  // A stream takes launches of its own device only.
  if (stream->device != CurrentDevice()) return Fail(cudaErrorInvalidResourceHandle);
  const DeviceKernel* kernel = FindOnDevice(session, *registered, stream->device, &error);
  if (kernel == nullptr) return error;
  LaunchGeometry geometry;
  error = CheckLaunch(session, *kernel, request, &geometry);
  if (error != cudaSuccess) return Fail(error);
  if (arguments == nullptr && !kernel->layout->parameters.empty()) return Fail(cudaErrorInvalidValue);
  const DeviceResult launched = session.Launch(stream, *kernel->layout, geometry, arguments);
  if (session.ReachesHost()) Runtime::Get().NoteHostWrite();
  return Done(session, launched);
}

// What the attributes of a launch ask for beyond hints.
struct LaunchAttributes {
  bool is_cooperative = false;
  ClusterRequest cluster;
  // Recorded behind the launch, which is not before what they wait for: its blocks' beginning, or a point in them.
  Event* events[2] = {};
};

cudaError_t ReadEvent(ClientSession& session, cudaEvent_t event, Event** found) {
  auto* ours = reinterpret_cast<Event*>(event);
  if (!session.IsEvent(ours)) return cudaErrorInvalidResourceHandle;
  if (ours->timing) return cudaErrorInvalidValue;
  *found = ours;
  return cudaSuccess;
}

cudaError_t ReadAttribute(ClientSession& session, const cudaLaunchAttribute& attribute, LaunchAttributes* read) {
  const cudaLaunchAttributeValue& value = attribute.val;
  const auto valid_if = [](bool is_valid) { return is_valid ? cudaSuccess : cudaErrorInvalidValue; };
  switch (attribute.id) {
    // Hints.
    case cudaLaunchAttributeIgnore:
    case cudaLaunchAttributeAccessPolicyWindow:
    case cudaLaunchAttributePriority:
    case cudaLaunchAttributeProgrammaticStreamSerialization:  // allows an overlap that need not happen
    case cudaLaunchAttributeMemSyncDomainMap:
    case cudaLaunchAttributePreferredSharedMemoryCarveout: return cudaSuccess;
    case cudaLaunchAttributeMemSyncDomain:
      return valid_if(value.memSyncDomain == cudaLaunchMemSyncDomainDefault ||
                      value.memSyncDomain == cudaLaunchMemSyncDomainRemote);
    case cudaLaunchAttributeNvlinkUtilCentricScheduling: return valid_if(value.nvlinkUtilCentricScheduling <= 1);
    case cudaLaunchAttributeCooperative: read->is_cooperative = value.cooperative != 0; return cudaSuccess;
    case cudaLaunchAttributeClusterDimension:
    case cudaLaunchAttributePreferredClusterDimension:
    case cudaLaunchAttributeClusterSchedulingPolicyPreference:
      return ReadClusterAttribute(attribute.id, value, &read->cluster);
    case cudaLaunchAttributeProgrammaticEvent:
      return ReadEvent(session, value.programmaticEvent.event, &read->events[0]);
    case cudaLaunchAttributeLaunchCompletionEvent:
      return ReadEvent(session, value.launchCompletionEvent.event, &read->events[1]);
    case cudaLaunchAttributeDeviceUpdatableKernelNode: return cudaErrorNotSupported;  // of captured launches only
    default: return cudaErrorInvalidValue;                                            // of streams only, or none at all
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
void __cudaRegisterManagedVar(void** handle, void** host_variable, char* /*device_address*/, const char* device_name,
                              int /*external*/, size_t bytes, int /*constant*/, int /*global*/) {
  Registry::Get().AddManaged(reinterpret_cast<Fatbin*>(handle), host_variable, device_name, bytes);
}
// The program is about to use a managed variable of the module: from here on its pointer is set.
char __cudaInitModule(void** handle) {
  auto* fatbin = reinterpret_cast<Fatbin*>(handle);
  if (!Registry::Get().HasManaged(fatbin)) return 1;
  cudaError_t error = cudaSuccess;
  ClientSession* session = Runtime::Get().Session(&error);
  if (session == nullptr) return Fail(error) == cudaSuccess;
  const LoadedModule& module = Registry::Get().Load(*session, *fatbin, CurrentDevice());
  return module.error == 0 || Done(*session, module.error) == cudaSuccess;
}

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
  return LaunchOn(session, stream_object, kernel, {grid, block, shared_bytes, false, {}}, arguments);
}
cudaError_t cudaLaunchKernel(const void* func, dim3 grid, dim3 block, void** args, size_t shared_bytes,
                             cudaStream_t stream) {
  ACCELMESH_BEGIN_STREAM_CALL(stream);
  return LaunchOn(session, stream_object, func, {grid, block, shared_bytes, false, {}}, args);
}
cudaError_t cudaLaunchCooperativeKernel(const void* func, dim3 grid, dim3 block, void** args, size_t shared_bytes,
                                        cudaStream_t stream) {
  ACCELMESH_BEGIN_STREAM_CALL(stream);
  return LaunchOn(session, stream_object, func, {grid, block, shared_bytes, true, {}}, args);
}
cudaError_t cudaLaunchKernelExC(const cudaLaunchConfig_t* config, const void* func, void** args) {
  if (config == nullptr || (config->numAttrs != 0 && config->attrs == nullptr)) return Fail(cudaErrorInvalidValue);
  ACCELMESH_BEGIN_STREAM_CALL(config->stream);
  LaunchAttributes read;
  for (unsigned i = 0; i < config->numAttrs; ++i) {
    if (const cudaError_t error = ReadAttribute(session, config->attrs[i], &read); error != cudaSuccess)
      return Fail(error);
  }
  const LaunchRequest request{config->gridDim, config->blockDim, config->dynamicSmemBytes, read.is_cooperative,
                              read.cluster};
  if (const cudaError_t error = LaunchOn(session, stream_object, func, request, args); error != cudaSuccess)
    return error;
  for (Event* event : read.events) {
    if (event == nullptr) continue;
    if (const DeviceResult result = session.RecordEvent(event, stream_object); result != 0)
      return Done(session, result);
  }
  return cudaSuccess;
}

}  // namespace face
}  // namespace accelmesh
