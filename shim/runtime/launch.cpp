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
  // cudaFuncSetAttribute asked for clusters; no launch here has one.
  for (const std::atomic<int>& required : kernel.required_cluster) {
    if (required.load(std::memory_order_relaxed) > 1) return cudaErrorInvalidClusterSize;
  }
  if (threads > kernel.layout->max_threads_per_block) return cudaErrorLaunchOutOfResources;
  if (shared_bytes > kernel.dynamic_shared_bytes_max.load(std::memory_order_relaxed)) return cudaErrorInvalidValue;
  return cudaSuccess;
}

// A launch with these numbers fills the device at most once: its blocks wait for one another.
cudaError_t CheckCooperative(ClientSession& session, const DeviceKernel& kernel, dim3 grid, dim3 block,
                             std::size_t shared_bytes) {
  const LeasedDevice& device = *Runtime::Get().device(CurrentDevice()).lease;
  if (device.Attribute(cudaDevAttrCooperativeLaunch) == 0) return cudaErrorNotSupported;
  std::uint64_t per_processor = 0;
  if (const DeviceResult asked =
          MaxActiveBlocks(session, kernel, std::uint64_t{block.x} * block.y * block.z, shared_bytes, &per_processor);
      asked != 0)
    return static_cast<cudaError_t>(asked);
  const auto processors = static_cast<std::uint64_t>(device.Attribute(cudaDevAttrMultiProcessorCount));
  return std::uint64_t{grid.x} * grid.y * grid.z > per_processor * processors ? cudaErrorCooperativeLaunchTooLarge
                                                                              : cudaSuccess;
}

}  // namespace

cudaError_t CheckLaunch(ClientSession& session, const DeviceKernel& kernel, dim3 grid, dim3 block,
                        std::size_t shared_bytes, bool is_cooperative) {
  const cudaError_t error = CheckGeometry(kernel, grid, block, shared_bytes);
  return error == cudaSuccess && is_cooperative ? CheckCooperative(session, kernel, grid, block, shared_bytes) : error;
}

namespace face {
namespace {

constexpr std::uint32_t kCooperative = 1;  // wire::Launch.attributes

cudaError_t LaunchOn(ClientSession& session, Stream* stream, const void* function, dim3 grid, dim3 block,
                     void** arguments, std::size_t shared_bytes, bool is_cooperative = false) {
  cudaError_t error = cudaSuccess;
  RegisteredKernel* registered = FindKernel(function, &error);
  if (registered == nullptr) return error;
  // A stream takes launches of its own device only.
  if (stream->device != CurrentDevice()) return Fail(cudaErrorInvalidResourceHandle);
  const DeviceKernel* kernel = FindOnDevice(session, *registered, stream->device, &error);
  if (kernel == nullptr) return error;
  error = CheckLaunch(session, *kernel, grid, block, shared_bytes, is_cooperative);
  if (error != cudaSuccess) return Fail(error);
  if (arguments == nullptr && !kernel->layout->parameters.empty()) return Fail(cudaErrorInvalidValue);
  const LaunchGeometry geometry{{grid.x, grid.y, grid.z},
                                {block.x, block.y, block.z},
                                static_cast<std::uint32_t>(shared_bytes),
                                is_cooperative ? kCooperative : 0};
  const DeviceResult launched = session.Launch(stream, *kernel->layout, geometry, arguments);
  if (session.ReachesHost()) Runtime::Get().NoteHostWrite();
  return Done(session, launched);
}

// What the attributes of a launch ask for beyond hints.
struct LaunchAttributes {
  bool is_cooperative = false;
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

cudaError_t ReadCluster(unsigned x, unsigned y, unsigned z) {
  if (x == 1 && y == 1 && z == 1) return cudaSuccess;
  if (x == 0 || y == 0 || z == 0) return cudaErrorInvalidClusterSize;
  log::Warning("cudaLaunchKernelExC",
               "clusters of blocks are not supported by this release; the launch returns cudaErrorNotSupported");
  return cudaErrorNotSupported;
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
    case cudaLaunchAttributeClusterSchedulingPolicyPreference:
      return valid_if(value.clusterSchedulingPolicyPreference >= cudaClusterSchedulingPolicyDefault &&
                      value.clusterSchedulingPolicyPreference <= cudaClusterSchedulingPolicyLoadBalancing);
    case cudaLaunchAttributeNvlinkUtilCentricScheduling: return valid_if(value.nvlinkUtilCentricScheduling <= 1);
    case cudaLaunchAttributePreferredClusterDimension: {  // of a launch that has a required one
      const auto& size = value.preferredClusterDim;
      const bool is_none = size.x == 0 && size.y == 0 && size.z == 0;
      return is_none || (size.x != 0 && size.y != 0 && size.z != 0) ? cudaSuccess : cudaErrorInvalidClusterSize;
    }
    case cudaLaunchAttributeCooperative: read->is_cooperative = value.cooperative != 0; return cudaSuccess;
    case cudaLaunchAttributeClusterDimension:
      return ReadCluster(value.clusterDim.x, value.clusterDim.y, value.clusterDim.z);
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
  return LaunchOn(session, stream_object, kernel, grid, block, arguments, shared_bytes);
}
cudaError_t cudaLaunchKernel(const void* func, dim3 grid, dim3 block, void** args, size_t shared_bytes,
                             cudaStream_t stream) {
  ACCELMESH_BEGIN_STREAM_CALL(stream);
  return LaunchOn(session, stream_object, func, grid, block, args, shared_bytes);
}
cudaError_t cudaLaunchCooperativeKernel(const void* func, dim3 grid, dim3 block, void** args, size_t shared_bytes,
                                        cudaStream_t stream) {
  ACCELMESH_BEGIN_STREAM_CALL(stream);
  return LaunchOn(session, stream_object, func, grid, block, args, shared_bytes, true);
}
cudaError_t cudaLaunchKernelExC(const cudaLaunchConfig_t* config, const void* func, void** args) {
  if (config == nullptr || (config->numAttrs != 0 && config->attrs == nullptr)) return Fail(cudaErrorInvalidValue);
  ACCELMESH_BEGIN_STREAM_CALL(config->stream);
  LaunchAttributes read;
  for (unsigned i = 0; i < config->numAttrs; ++i) {
    if (const cudaError_t error = ReadAttribute(session, config->attrs[i], &read); error != cudaSuccess)
      return Fail(error);
  }
  if (const cudaError_t error = LaunchOn(session, stream_object, func, config->gridDim, config->blockDim, args,
                                         config->dynamicSmemBytes, read.is_cooperative);
      error != cudaSuccess)
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
