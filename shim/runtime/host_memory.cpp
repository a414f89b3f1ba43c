// Host memory that the device may reach: pinned by CUDA, or the program's own, registered.
#include "protocol/base/log.h"
#include "shim/gen_face.h"
#include "shim/runtime/range.h"
#include "shim/runtime/runtime.h"

namespace accelmesh::face {

cudaError_t cudaHostAlloc(void** pointer, size_t size, unsigned int flags) {
  ACCELMESH_BEGIN_CALL();
  constexpr unsigned kKnownFlags = cudaHostAllocPortable | cudaHostAllocMapped | cudaHostAllocWriteCombined;
  if (pointer == nullptr || (flags & ~kKnownFlags) != 0) return Fail(cudaErrorInvalidValue);
  if (size > limits::kAllocationBytesMax) return Fail(cudaErrorMemoryAllocation);
  if (size == 0) {
    *pointer = nullptr;
    return cudaSuccess;
  }
  void* made = nullptr;
  DeviceResult result = session.MallocPinned(size, flags, &made, CurrentDevice());
  if (result != 0) return Done(session, result);
  if ((flags & cudaHostAllocMapped) != 0) {
    std::uint64_t address = 0;
    result = session.DeviceAddressOf(made, &address);
    if (result != 0) {
      if (session.FreePinned(made) != 0) log::Debug("cudaHostAlloc", "could not give the memory back");
      return Done(session, result);
    }
  }
  *pointer = made;
  return cudaSuccess;
}
cudaError_t cudaMallocHost(void** pointer, size_t size) {
  return face::cudaHostAlloc(pointer, size, cudaHostAllocDefault);
}
cudaError_t cudaFreeHost(void* pointer) {
  ACCELMESH_BEGIN_CALL();
  return pointer == nullptr ? cudaSuccess : Done(session, session.FreePinned(pointer));
}
cudaError_t cudaHostGetFlags(unsigned int* flags, void* pointer) {
  ACCELMESH_BEGIN_QUERY();
  PinnedRange pinned;
  if (flags == nullptr || !session.FindPinned(pointer, &pinned)) return Fail(cudaErrorInvalidValue);
  *flags = pinned.flags;
  return cudaSuccess;
}
cudaError_t cudaHostGetDevicePointer(void** device_pointer, void* host, unsigned int flags) {
  ACCELMESH_BEGIN_CALL();
  PinnedRange pinned;
  if (device_pointer == nullptr || flags != 0 || !session.FindPinned(host, &pinned)) return Fail(cudaErrorInvalidValue);
  std::uint64_t address = 0;
  if (const DeviceResult result = session.DeviceAddressOf(host, &address); result != 0) return Done(session, result);
  *device_pointer = reinterpret_cast<void*>(address);
  return cudaSuccess;
}

cudaError_t cudaHostRegister(void* pointer, size_t size, unsigned int flags) {
  ACCELMESH_BEGIN_CALL();
  constexpr unsigned kKnownFlags =
      cudaHostRegisterPortable | cudaHostRegisterMapped | cudaHostRegisterIoMemory | cudaHostRegisterReadOnly;
  if (pointer == nullptr || size == 0 || (flags & ~kKnownFlags) != 0) return Fail(cudaErrorInvalidValue);
  if ((flags & cudaHostRegisterIoMemory) != 0) {
    log::Warning("cudaHostRegister",
                 "memory of another device (cudaHostRegisterIoMemory) is out of a remote GPU's reach; the call returns "
                 "cudaErrorNotSupported");
    return Fail(cudaErrorNotSupported);
  }
  const LeasedDevice& lease = *Runtime::Get().device(CurrentDevice()).lease;
  if ((flags & cudaHostRegisterReadOnly) != 0 && lease.Attribute(cudaDevAttrHostRegisterReadOnlySupported) == 0)
    return Fail(cudaErrorNotSupported);
  return Done(session, session.RegisterHost(pointer, size, flags, CurrentDevice()));
}
cudaError_t cudaHostUnregister(void* pointer) {
  ACCELMESH_BEGIN_CALL();
  return pointer == nullptr ? Fail(cudaErrorInvalidValue) : Done(session, session.UnregisterHost(pointer));
}

}  // namespace accelmesh::face
