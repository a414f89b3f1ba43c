// Stream-ordered allocation and its pools.
#include <limits>

#include "shim/entry.h"
#include "shim/gen_face.h"
#include "shim/runtime/range.h"
#include "shim/runtime/runtime.h"

namespace accelmesh::face {
namespace {

MemoryPool* PoolOf(cudaMemPool_t pool) { return reinterpret_cast<MemoryPool*>(pool); }
cudaMemPool_t HandleOf(MemoryPool* pool) { return reinterpret_cast<cudaMemPool_t>(pool); }

// A location's device; false if it is none that is leased.
bool ReadDevice(ClientSession& session, const cudaMemLocation& location, std::uint32_t* device) {
  if (location.type != cudaMemLocationTypeDevice || location.id < 0 ||
      static_cast<std::size_t>(location.id) >= session.devices().size())
    return false;
  *device = static_cast<std::uint32_t>(location.id);
  return true;
}
bool ReadDevice(ClientSession& session, int id, std::uint32_t* device) {
  return ReadDevice(session, {cudaMemLocationTypeDevice, id}, device);
}

constexpr const char* kWhyDevicePinned = "pools hold device memory of this process only";

// Whose pool is asked for, by location and type of allocation. Only devices have pools.
cudaError_t ReadPlace(ClientSession& session, const cudaMemLocation* location, cudaMemAllocationType type,
                      const char* name, std::uint32_t* device) {
  if (location == nullptr) return Fail(cudaErrorInvalidValue);
  const bool is_managed = type == cudaMemAllocationTypeManaged;
  if (!is_managed && type != cudaMemAllocationTypePinned) return Fail(cudaErrorInvalidValue);
  const bool is_device = ReadDevice(session, *location, device);
  const bool is_host = location->type == cudaMemLocationTypeHost || location->type == cudaMemLocationTypeHostNuma;
  const bool is_nowhere = is_managed && location->type == cudaMemLocationTypeNone;
  if (!is_device && !is_host && !is_nowhere) return Fail(cudaErrorInvalidValue);
  if (is_device && !is_managed) return cudaSuccess;
  SayRefused(name, kWhyDevicePinned);
  return cudaErrorNotSupported;
}

cudaError_t Allocate(ClientSession& session, Stream* stream, MemoryPool* pool, void** pointer, std::size_t size) {
  if (pointer == nullptr) return Fail(cudaErrorInvalidValue);
  if (size == 0) {
    *pointer = nullptr;
    return cudaSuccess;
  }
  if (size > limits::kAllocationBytesMax) return Fail(cudaErrorMemoryAllocation);
  std::uint64_t address = 0;
  if (const DeviceResult result = session.MallocFromPool(pool, stream, size, &address); result != 0)
    return Done(session, result);
  *pointer = reinterpret_cast<void*>(address);
  return cudaSuccess;
}

// The attributes that are an int, and those that are a cuuint64_t.
bool* FlagOf(MemoryPool::Policy& policy, cudaMemPoolAttr attribute) {
  switch (attribute) {
    case cudaMemPoolReuseFollowEventDependencies: return &policy.follows_events;
    case cudaMemPoolReuseAllowOpportunistic: return &policy.is_opportunistic;
    case cudaMemPoolReuseAllowInternalDependencies: return &policy.adds_dependencies;
    default: return nullptr;
  }
}

bool GetAttribute(MemoryPool& pool, cudaMemPoolAttr attribute, void* value) {
  if (const bool* flag = FlagOf(pool.policy(), attribute); flag != nullptr) {
    *static_cast<int*>(value) = *flag ? 1 : 0;
    return true;
  }
  auto* number = static_cast<std::uint64_t*>(value);
  switch (attribute) {
    case cudaMemPoolAttrReleaseThreshold: *number = pool.policy().release_threshold; return true;
    case cudaMemPoolAttrReservedMemCurrent: *number = pool.reserved_bytes(); return true;
    case cudaMemPoolAttrReservedMemHigh: *number = pool.reserved_high(); return true;
    case cudaMemPoolAttrUsedMemCurrent: *number = pool.used_bytes(); return true;
    case cudaMemPoolAttrUsedMemHigh: *number = pool.used_high(); return true;
    default: return false;
  }
}

bool SetAttribute(MemoryPool& pool, cudaMemPoolAttr attribute, const void* value) {
  if (bool* flag = FlagOf(pool.policy(), attribute); flag != nullptr) {
    *flag = *static_cast<const int*>(value) != 0;
    return true;
  }
  const std::uint64_t number = *static_cast<const std::uint64_t*>(value);
  switch (attribute) {
    case cudaMemPoolAttrReleaseThreshold: pool.policy().release_threshold = number; return true;
    // High watermarks can only be reset.
    case cudaMemPoolAttrReservedMemHigh:
      if (number == 0) pool.ResetReservedHigh();
      return number == 0;
    case cudaMemPoolAttrUsedMemHigh:
      if (number == 0) pool.ResetUsedHigh();
      return number == 0;
    default: return false;
  }
}

}  // namespace

// On a stream that is captured these become nodes of its graph: ClientSession::MallocFromPool, FreeInOrder.
cudaError_t cudaMallocAsync(void** pointer, size_t size, cudaStream_t stream) {
  ACCELMESH_BEGIN_STREAM_CALL(stream);
  return Allocate(session, stream_object, nullptr, pointer, size);
}
cudaError_t cudaMallocFromPoolAsync(void** pointer, size_t size, cudaMemPool_t pool, cudaStream_t stream) {
  ACCELMESH_BEGIN_STREAM_CALL(stream);
  if (pool == nullptr) return Fail(cudaErrorInvalidValue);
  return Allocate(session, stream_object, PoolOf(pool), pointer, size);
}
cudaError_t cudaFreeAsync(void* pointer, cudaStream_t stream) {
  ACCELMESH_BEGIN_STREAM_CALL(stream);
  return pointer == nullptr ? cudaSuccess : Done(session, session.FreeInOrder(stream_object, Address(pointer)));
}

cudaError_t cudaDeviceGetDefaultMemPool(cudaMemPool_t* pool, int device) {
  ACCELMESH_BEGIN_CALL();
  std::uint32_t ours = 0;
  if (pool == nullptr) return Fail(cudaErrorInvalidValue);
  if (!ReadDevice(session, device, &ours)) return Fail(cudaErrorInvalidDevice);
  *pool = HandleOf(session.DefaultPool(ours));
  return cudaSuccess;
}
cudaError_t cudaDeviceGetMemPool(cudaMemPool_t* pool, int device) {
  ACCELMESH_BEGIN_CALL();
  std::uint32_t ours = 0;
  if (pool == nullptr) return Fail(cudaErrorInvalidValue);
  if (!ReadDevice(session, device, &ours)) return Fail(cudaErrorInvalidDevice);
  *pool = HandleOf(session.CurrentPool(ours));
  return cudaSuccess;
}
cudaError_t cudaDeviceSetMemPool(int device, cudaMemPool_t pool) {
  ACCELMESH_BEGIN_CALL();
  std::uint32_t ours = 0;
  if (!ReadDevice(session, device, &ours)) return Fail(cudaErrorInvalidDevice);
  return session.SetCurrentPool(ours, PoolOf(pool)) ? cudaSuccess : Fail(cudaErrorInvalidValue);
}
cudaError_t cudaMemGetDefaultMemPool(cudaMemPool_t* pool, cudaMemLocation* location, cudaMemAllocationType type) {
  ACCELMESH_BEGIN_CALL();
  std::uint32_t device = 0;
  if (pool == nullptr) return Fail(cudaErrorInvalidValue);
  if (const cudaError_t error = ReadPlace(session, location, type, "cudaMemGetDefaultMemPool", &device);
      error != cudaSuccess)
    return error;
  *pool = HandleOf(session.DefaultPool(device));
  return cudaSuccess;
}
cudaError_t cudaMemGetMemPool(cudaMemPool_t* pool, cudaMemLocation* location, cudaMemAllocationType type) {
  ACCELMESH_BEGIN_CALL();
  std::uint32_t device = 0;
  if (pool == nullptr) return Fail(cudaErrorInvalidValue);
  if (const cudaError_t error = ReadPlace(session, location, type, "cudaMemGetMemPool", &device); error != cudaSuccess)
    return error;
  *pool = HandleOf(session.CurrentPool(device));
  return cudaSuccess;
}
cudaError_t cudaMemSetMemPool(cudaMemLocation* location, cudaMemAllocationType type, cudaMemPool_t pool) {
  ACCELMESH_BEGIN_CALL();
  std::uint32_t device = 0;
  if (const cudaError_t error = ReadPlace(session, location, type, "cudaMemSetMemPool", &device); error != cudaSuccess)
    return error;
  return session.SetCurrentPool(device, PoolOf(pool)) ? cudaSuccess : Fail(cudaErrorInvalidValue);
}

cudaError_t cudaMemPoolCreate(cudaMemPool_t* pool, const cudaMemPoolProps* props) {
  ACCELMESH_BEGIN_CALL();
  if (pool == nullptr || props == nullptr || props->win32SecurityAttributes != nullptr)
    return Fail(cudaErrorInvalidValue);
  for (const unsigned char reserved : props->reserved) {
    if (reserved != 0) return Fail(cudaErrorInvalidValue);
  }
  if ((props->usage & ~cudaMemPoolCreateUsageHwDecompress) != 0) return Fail(cudaErrorInvalidValue);
  std::uint32_t device = 0;
  if (const cudaError_t error = ReadPlace(session, &props->location, props->allocType, "cudaMemPoolCreate", &device);
      error != cudaSuccess)
    return error;
  if (props->handleTypes != cudaMemHandleTypeNone || props->usage != 0) {
    SayRefused("cudaMemPoolCreate", kWhyDevicePinned);
    return cudaErrorNotSupported;
  }
  *pool = HandleOf(session.CreatePool(device, props->maxSize));
  return cudaSuccess;
}
cudaError_t cudaMemPoolDestroy(cudaMemPool_t pool) {
  ACCELMESH_BEGIN_CALL();
  return session.DestroyPool(PoolOf(pool)) ? cudaSuccess : Fail(cudaErrorInvalidValue);
}
cudaError_t cudaMemPoolTrimTo(cudaMemPool_t pool, size_t minBytesToKeep) {
  ACCELMESH_BEGIN_CALL();
  return session.TrimPool(PoolOf(pool), minBytesToKeep) ? cudaSuccess : Fail(cudaErrorInvalidValue);
}
cudaError_t cudaMemPoolSetAttribute(cudaMemPool_t pool, cudaMemPoolAttr attr, void* value) {
  ACCELMESH_BEGIN_CALL();
  bool is_set = false;
  if (value != nullptr)
    session.WithPool(PoolOf(pool), [&](MemoryPool& ours) { is_set = SetAttribute(ours, attr, value); });
  return is_set ? cudaSuccess : Fail(cudaErrorInvalidValue);
}
cudaError_t cudaMemPoolGetAttribute(cudaMemPool_t pool, cudaMemPoolAttr attr, void* value) {
  ACCELMESH_BEGIN_CALL();
  bool is_got = false;
  if (value != nullptr)
    session.WithPool(PoolOf(pool), [&](MemoryPool& ours) { is_got = GetAttribute(ours, attr, value); });
  return is_got ? cudaSuccess : Fail(cudaErrorInvalidValue);
}

cudaError_t cudaMemPoolSetAccess(cudaMemPool_t pool, const cudaMemAccessDesc* descList, size_t count) {
  ACCELMESH_BEGIN_CALL();
  if (descList == nullptr || count == 0) return Fail(cudaErrorInvalidValue);
  cudaError_t error = cudaErrorInvalidValue;
  session.WithPool(PoolOf(pool), [&](MemoryPool& ours) {
    // All or nothing.
    error = cudaSuccess;
    for (std::size_t i = 0; i < count && error == cudaSuccess; ++i) {
      std::uint32_t device = 0;
      const bool is_none = descList[i].flags == cudaMemAccessFlagsProtNone;
      const bool is_known = ReadDevice(session, descList[i].location, &device) &&
                            (is_none || descList[i].flags == cudaMemAccessFlagsProtReadWrite);
      if (!is_known) error = cudaErrorInvalidValue;
      // A pool's own device keeps its access.
      if (is_known && is_none && device == ours.device()) error = cudaErrorInvalidDevice;
    }
    for (std::size_t i = 0; i < count && error == cudaSuccess; ++i) {
      ours.Admit(static_cast<std::uint32_t>(descList[i].location.id), descList[i].flags != cudaMemAccessFlagsProtNone);
    }
  });
  return Fail(error);
}
cudaError_t cudaMemPoolGetAccess(cudaMemAccessFlags* flags, cudaMemPool_t pool, cudaMemLocation* location) {
  ACCELMESH_BEGIN_CALL();
  std::uint32_t device = 0;
  if (flags == nullptr || location == nullptr || !ReadDevice(session, *location, &device))
    return Fail(cudaErrorInvalidValue);
  const bool is_pool = session.WithPool(PoolOf(pool), [&](MemoryPool& ours) {
    *flags = ours.admits(device) ? cudaMemAccessFlagsProtReadWrite : cudaMemAccessFlagsProtNone;
  });
  return is_pool ? cudaSuccess : Fail(cudaErrorInvalidValue);
}

}  // namespace accelmesh::face
