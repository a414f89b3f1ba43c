// Devices, errors and versions: all answered from client state.
#include <algorithm>
#include <cstdio>
#include <cstring>

#include "gen_face.h"
#include "shim/runtime/runtime.h"

namespace accelmesh::face {
namespace {

struct NamedError {
  int value;
  const char* name;
};
constexpr NamedError kErrors[] = {
#include "gen_errors.inc"
};
// What the errors of this release mean, in CUDA's words where programs print them.
constexpr NamedError kTexts[] = {{0, "no error"},
                                 {1, "invalid argument"},
                                 {2, "out of memory"},
                                 {3, "initialization error"},
                                 {9, "invalid configuration argument"},
                                 {12, "invalid pitch argument"},
                                 {13, "invalid device symbol"},
                                 {17, "invalid device pointer"},
                                 {21, "invalid copy direction for memcpy"},
                                 {35, "CUDA driver version is insufficient for CUDA runtime version"},
                                 {52, "__global__ function call is not configured"},
                                 {98, "invalid device function"},
                                 {100, "no CUDA-capable device is detected"},
                                 {101, "invalid device ordinal"},
                                 {209, "no kernel image is available for execution on the device"},
                                 {218, "a PTX JIT compilation failed"},
                                 {400, "invalid resource handle"},
                                 {500, "named symbol not found"},
                                 {600, "device not ready"},
                                 {700, "an illegal memory access was encountered"},
                                 {701, "too many resources requested for launch"},
                                 {710, "device-side assert triggered"},
                                 {716, "misaligned address"},
                                 {719, "unspecified launch failure"},
                                 {801, "operation not supported"},
                                 {999, "unknown error"}};

bool ValidDevice(ClientSession& session, int device) {
  return device >= 0 && static_cast<std::size_t>(device) < session.devices().size();
}

// Device queries do not report asynchronous errors.
ClientSession* Quiet(cudaError_t* error) {
  ClientSession* session = Runtime::Get().Session(error);
  if (session == nullptr) Fail(*error);
  return session;
}

}  // namespace

cudaError_t cudaGetLastError() {
  ThreadState& thread = CurrentThread();
  cudaError_t error = thread.last_error;
  // A sticky error stays.
  if (ClientSession* session = Runtime::Get().SessionIfOpen()) {
    if (const DeviceResult sticky = session->StickyError(); sticky != 0) return static_cast<cudaError_t>(sticky);
    if (error == cudaSuccess) error = static_cast<cudaError_t>(session->TakeAsyncError());
  }
  thread.last_error = cudaSuccess;
  return error;
}
cudaError_t cudaPeekAtLastError() {
  ThreadState& thread = CurrentThread();
  if (ClientSession* session = Runtime::Get().SessionIfOpen()) {
    if (const DeviceResult pending = session->TakeAsyncError(); pending != 0) Fail(static_cast<cudaError_t>(pending));
  }
  return thread.last_error;
}
const char* cudaGetErrorName(cudaError_t error) {
  for (const NamedError& named : kErrors) {
    if (named.value == static_cast<int>(error)) return named.name;
  }
  return "unrecognized error code";
}
const char* cudaGetErrorString(cudaError_t error) {
  for (const NamedError& named : kTexts) {
    if (named.value == static_cast<int>(error)) return named.name;
  }
  return face::cudaGetErrorName(error);
}

cudaError_t cudaGetDeviceCount(int* count) {
  if (count == nullptr) return Fail(cudaErrorInvalidValue);
  cudaError_t error = cudaSuccess;
  *count = 0;
  ClientSession* session = Quiet(&error);
  if (session == nullptr) return error;
  *count = static_cast<int>(session->devices().size());
  return cudaSuccess;
}
cudaError_t cudaGetDevice(int* device) {
  if (device == nullptr) return Fail(cudaErrorInvalidValue);
  cudaError_t error = cudaSuccess;
  if (Quiet(&error) == nullptr) return error;
  *device = CurrentThread().device;
  return cudaSuccess;
}
cudaError_t cudaSetDevice(int device) {
  cudaError_t error = cudaSuccess;
  ClientSession* session = Quiet(&error);
  if (session == nullptr) return error;
  if (!ValidDevice(*session, device)) return Fail(cudaErrorInvalidDevice);
  CurrentThread().device = device;
  return cudaSuccess;
}
cudaError_t cudaSetDeviceFlags(unsigned int /*flags*/) { return cudaSuccess; }

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device) {
  if (value == nullptr) return Fail(cudaErrorInvalidValue);
  cudaError_t error = cudaSuccess;
  ClientSession* session = Quiet(&error);
  if (session == nullptr) return error;
  if (!ValidDevice(*session, device)) return Fail(cudaErrorInvalidDevice);
  *value = session->devices()[static_cast<std::size_t>(device)].Attribute(static_cast<std::uint32_t>(attribute));
  return cudaSuccess;
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* prop, int device) {
  if (prop == nullptr) return Fail(cudaErrorInvalidValue);
  cudaError_t error = cudaSuccess;
  ClientSession* session = Quiet(&error);
  if (session == nullptr) return error;
  if (!ValidDevice(*session, device)) return Fail(cudaErrorInvalidDevice);
  const LeasedDevice& from = session->devices()[static_cast<std::size_t>(device)];
  const auto at = [&from](cudaDeviceAttr attribute) { return from.Attribute(static_cast<std::uint32_t>(attribute)); };
  std::memset(prop, 0, sizeof(*prop));
  std::snprintf(prop->name, sizeof(prop->name), "%s", from.name.c_str());
  std::memcpy(&prop->uuid, from.uuid.data(), from.uuid.size());
  prop->totalGlobalMem = from.memory_bytes;
  prop->sharedMemPerBlock = static_cast<std::size_t>(at(cudaDevAttrMaxSharedMemoryPerBlock));
  prop->regsPerBlock = at(cudaDevAttrMaxRegistersPerBlock);
  prop->warpSize = at(cudaDevAttrWarpSize);
  prop->memPitch = static_cast<std::size_t>(at(cudaDevAttrMaxPitch));
  prop->maxThreadsPerBlock = at(cudaDevAttrMaxThreadsPerBlock);
  prop->maxThreadsDim[0] = at(cudaDevAttrMaxBlockDimX);
  prop->maxThreadsDim[1] = at(cudaDevAttrMaxBlockDimY);
  prop->maxThreadsDim[2] = at(cudaDevAttrMaxBlockDimZ);
  prop->maxGridSize[0] = at(cudaDevAttrMaxGridDimX);
  prop->maxGridSize[1] = at(cudaDevAttrMaxGridDimY);
  prop->maxGridSize[2] = at(cudaDevAttrMaxGridDimZ);
  prop->totalConstMem = static_cast<std::size_t>(at(cudaDevAttrTotalConstantMemory));
  prop->major = at(cudaDevAttrComputeCapabilityMajor);
  prop->minor = at(cudaDevAttrComputeCapabilityMinor);
  prop->textureAlignment = static_cast<std::size_t>(at(cudaDevAttrTextureAlignment));
  prop->multiProcessorCount = at(cudaDevAttrMultiProcessorCount);
  prop->canMapHostMemory = at(cudaDevAttrCanMapHostMemory);
  prop->concurrentKernels = at(cudaDevAttrConcurrentKernels);
  prop->asyncEngineCount = at(cudaDevAttrAsyncEngineCount);
  prop->unifiedAddressing = at(cudaDevAttrUnifiedAddressing);
  prop->memoryBusWidth = at(cudaDevAttrGlobalMemoryBusWidth);
  prop->maxThreadsPerMultiProcessor = at(cudaDevAttrMaxThreadsPerMultiProcessor);
  prop->streamPrioritiesSupported = at(cudaDevAttrStreamPrioritiesSupported);
  prop->sharedMemPerMultiprocessor = static_cast<std::size_t>(at(cudaDevAttrMaxSharedMemoryPerMultiprocessor));
  prop->regsPerMultiprocessor = at(cudaDevAttrMaxRegistersPerMultiprocessor);
  prop->sharedMemPerBlockOptin = static_cast<std::size_t>(at(cudaDevAttrMaxSharedMemoryPerBlockOptin));
  prop->maxBlocksPerMultiProcessor = at(cudaDevAttrMaxBlocksPerMultiprocessor);
  return cudaSuccess;
}

cudaError_t cudaDriverGetVersion(int* version) {
  if (version == nullptr) return Fail(cudaErrorInvalidValue);
  cudaError_t error = cudaSuccess;
  ClientSession* session = Quiet(&error);
  if (session == nullptr) return error;
  *version = session->driver_version();
  return cudaSuccess;
}
cudaError_t cudaRuntimeGetVersion(int* version) {
  if (version == nullptr) return Fail(cudaErrorInvalidValue);
  *version = CUDART_VERSION;
  return cudaSuccess;
}

cudaError_t cudaDeviceSynchronize() {
  ACCELMESH_BEGIN_CALL();
  if (const DeviceResult waited = session.SynchronizeDevice(static_cast<std::uint32_t>(CurrentThread().device));
      waited != 0)
    return Done(waited);
  return Done(session.TakeAsyncError());
}
cudaError_t cudaDeviceReset() {
  // Everything the program made stays valid until it frees it; the device is idle when this returns.
  return face::cudaDeviceSynchronize();
}

cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* attributes, const void* pointer) {
  if (attributes == nullptr) return Fail(cudaErrorInvalidValue);
  cudaError_t error = cudaSuccess;
  ClientSession* session = Quiet(&error);
  if (session == nullptr) return error;
  *attributes = {};
  attributes->device = CurrentThread().device;
  AddressSpace::Range range;
  std::uint32_t device = 0;
  PinnedRange pinned;
  void* address = const_cast<void*>(pointer);
  if (session->FindDeviceRange(reinterpret_cast<std::uint64_t>(pointer), &range, &device)) {
    attributes->type = cudaMemoryTypeDevice;
    attributes->device = static_cast<int>(device);
    attributes->devicePointer = address;
  } else if (session->FindPinned(pointer, &pinned)) {
    attributes->type = cudaMemoryTypeHost;
    attributes->hostPointer = address;
  } else {
    attributes->type = cudaMemoryTypeUnregistered;
    attributes->hostPointer = address;
    attributes->device = -2;
  }
  return cudaSuccess;
}

}  // namespace accelmesh::face
