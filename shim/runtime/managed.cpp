// Managed memory: allocation, the streams that have it, and advice. On devices without concurrent access advice about
// them and prefetches are refused, as CUDA does; the rest is remembered and can be asked for.
#include <algorithm>
#include <cstring>

#include "protocol/base/log.h"
#include "shim/gen_face.h"
#include "shim/runtime/range.h"
#include "shim/runtime/runtime.h"

namespace accelmesh::face {
namespace {

constexpr int kHost = cudaCpuDeviceId;

bool IsConcurrent(ClientSession& session, std::uint32_t device) {
  return session.devices()[device].Attribute(cudaDevAttrConcurrentManagedAccess) != 0;
}
bool AllAreConcurrent(ClientSession& session) {
  for (std::uint32_t d = 0; d < session.devices().size(); ++d) {
    if (!IsConcurrent(session, d)) return false;
  }
  return true;
}

bool IsManaged(ClientSession& session, const void* pointer, std::size_t bytes) {
  return pointer != nullptr && bytes != 0 && session.WithAdvice(pointer, bytes, [](AdviceMap&) {});
}

// Whether memory can be advised to be at a location.
cudaError_t CheckLocation(ClientSession& session, const cudaMemLocation& location) {
  switch (location.type) {
    case cudaMemLocationTypeDevice:
      if (location.id < 0 || static_cast<std::size_t>(location.id) >= session.devices().size() ||
          !IsConcurrent(session, static_cast<std::uint32_t>(location.id)))
        return cudaErrorInvalidDevice;
      return cudaSuccess;
    case cudaMemLocationTypeHost:
    case cudaMemLocationTypeHostNumaCurrent: return cudaSuccess;
    case cudaMemLocationTypeHostNuma: return location.id >= 0 ? cudaSuccess : cudaErrorInvalidValue;
    default: return cudaErrorInvalidValue;
  }
}
AdviceLocation Remembered(const cudaMemLocation& location) {
  const bool has_id = location.type == cudaMemLocationTypeDevice || location.type == cudaMemLocationTypeHostNuma;
  return {static_cast<int>(location.type), has_id ? location.id : 0};
}

// As the older attributes name a location: by one number.
int AsDeviceId(const AdviceLocation& location) {
  if (location.type == cudaMemLocationTypeDevice) return location.id;
  return location.type == cudaMemLocationTypeHost ? kHost : cudaInvalidDeviceId;
}

cudaError_t WriteAttribute(const Advice& advice, cudaMemRangeAttribute attribute, void* data, std::size_t bytes) {
  int value = 0;
  switch (attribute) {
    case cudaMemRangeAttributeReadMostly: value = advice.is_read_mostly ? 1 : 0; break;
    case cudaMemRangeAttributePreferredLocation: value = AsDeviceId(advice.preferred); break;
    case cudaMemRangeAttributeLastPrefetchLocation: value = AsDeviceId(advice.prefetched); break;
    case cudaMemRangeAttributePreferredLocationType: value = advice.preferred.type; break;
    case cudaMemRangeAttributePreferredLocationId: value = advice.preferred.id; break;
    case cudaMemRangeAttributeLastPrefetchLocationType: value = advice.prefetched.type; break;
    case cudaMemRangeAttributeLastPrefetchLocationId: value = advice.prefetched.id; break;
    case cudaMemRangeAttributeAccessedBy: {
      if (bytes == 0 || bytes % sizeof(int) != 0) return cudaErrorInvalidValue;
      for (std::size_t i = 0; i < bytes / sizeof(int); ++i) {
        value = i < advice.accessed_by.size() ? advice.accessed_by[i] : cudaInvalidDeviceId;
        std::memcpy(static_cast<char*>(data) + i * sizeof(int), &value, sizeof(value));
      }
      return cudaSuccess;
    }
    default: return cudaErrorInvalidValue;
  }
  if (bytes != sizeof(value)) return cudaErrorInvalidValue;
  std::memcpy(data, &value, sizeof(value));
  return cudaSuccess;
}

// The locations of a batch and what they apply to.
bool LocationsAreValid(const cudaMemLocation* locations, const std::size_t* first, std::size_t locations_count,
                       std::size_t count) {
  if (locations == nullptr || first == nullptr || locations_count == 0 || locations_count > count || first[0] != 0)
    return false;
  for (std::size_t i = 1; i < locations_count; ++i) {
    if (first[i] <= first[i - 1] || first[i] >= count) return false;
  }
  return true;
}

// What batches of prefetches and discards have in common. `locations` is null for one that only discards.
cudaError_t Batch(ClientSession& session, void** pointers, const std::size_t* sizes, std::size_t count,
                  const cudaMemLocation* locations, const std::size_t* first, std::size_t locations_count,
                  bool prefetches, unsigned long long flags, cudaStream_t stream) {
  if (pointers == nullptr || sizes == nullptr || count == 0 || flags != 0) return Fail(cudaErrorInvalidValue);
  if (stream == nullptr || stream == cudaStreamLegacy) return Fail(cudaErrorInvalidValue);
  if (ResolveStream(session, stream) == nullptr) return Fail(cudaErrorInvalidResourceHandle);
  if (prefetches && !LocationsAreValid(locations, first, locations_count, count)) return Fail(cudaErrorInvalidValue);
  for (std::size_t i = 0; i < count; ++i) {
    if (!IsManaged(session, pointers[i], sizes[i])) return Fail(cudaErrorInvalidValue);
  }
  if (!AllAreConcurrent(session)) return Fail(cudaErrorInvalidDevice);
  if (!prefetches) return cudaSuccess;
  for (std::size_t l = 0; l < locations_count; ++l) {
    if (const cudaError_t error = CheckLocation(session, locations[l]); error != cudaSuccess) return Fail(error);
  }
  std::size_t location = 0;
  for (std::size_t i = 0; i < count; ++i) {
    if (location + 1 < locations_count && first[location + 1] == i) ++location;
    session.WithAdvice(pointers[i], sizes[i], [&](AdviceMap& map) {
      map.Change(Address(pointers[i]), sizes[i],
                 [&](Advice& advice) { advice.prefetched = Remembered(locations[location]); });
    });
  }
  return cudaSuccess;
}

}  // namespace

cudaError_t cudaMallocManaged(void** pointer, size_t size, unsigned int flags) {
  ACCELMESH_BEGIN_CALL();
  if (pointer == nullptr || (flags != cudaMemAttachGlobal && flags != cudaMemAttachHost))
    return Fail(cudaErrorInvalidValue);
  if (Runtime::Get().device(CurrentDevice()).lease->Attribute(cudaDevAttrManagedMemory) == 0)
    return Fail(cudaErrorNotSupported);
  std::uint64_t address = 0;
  if (size == 0) {
    *pointer = nullptr;
    return cudaSuccess;
  }
  if (const DeviceResult result = session.MallocManaged(CurrentDevice(), size, flags, &address); result != 0)
    return Done(session, result);
  if (flags == cudaMemAttachHost) session.AttachTwin(address, true);
  *pointer = reinterpret_cast<void*>(address);
  return cudaSuccess;
}

cudaError_t cudaStreamAttachMemAsync(cudaStream_t stream, void* pointer, size_t length, unsigned int flags) {
  ACCELMESH_BEGIN_STREAM_CALL(stream);
  if (flags != cudaMemAttachGlobal && flags != cudaMemAttachHost && flags != cudaMemAttachSingle)
    return Fail(cudaErrorInvalidValue);
  if (flags == cudaMemAttachSingle && stream_object->kind == wire::StreamKind::Legacy)
    return Fail(cudaErrorInvalidValue);
  ReachableMemory memory;
  if (!session.FindHost(pointer, &memory) || memory.kind != HostKind::kManaged || pointer != memory.memory ||
      (length != 0 && length != memory.requested_bytes))
    return Fail(cudaErrorInvalidValue);
  session.AttachTwin(memory.device_address, flags != cudaMemAttachGlobal);
  return cudaSuccess;
}

cudaError_t cudaMemAdvise(const void* pointer, size_t count, cudaMemoryAdvise advice, cudaMemLocation location) {
  ACCELMESH_BEGIN_CALL();
  if (!IsManaged(session, pointer, count)) return Fail(cudaErrorInvalidValue);
  const bool is_accessor = advice == cudaMemAdviseSetAccessedBy || advice == cudaMemAdviseUnsetAccessedBy;
  if (is_accessor && location.type != cudaMemLocationTypeDevice && location.type != cudaMemLocationTypeHost)
    return Fail(cudaErrorInvalidValue);
  if (is_accessor || advice == cudaMemAdviseSetPreferredLocation) {
    if (const cudaError_t error = CheckLocation(session, location); error != cudaSuccess) return Fail(error);
  }
  const int accessor = location.type == cudaMemLocationTypeDevice ? location.id : kHost;
  std::function<void(Advice&)> change;
  switch (advice) {
    case cudaMemAdviseSetReadMostly: change = [](Advice& a) { a.is_read_mostly = true; }; break;
    case cudaMemAdviseUnsetReadMostly: change = [](Advice& a) { a.is_read_mostly = false; }; break;
    case cudaMemAdviseSetPreferredLocation: change = [&](Advice& a) { a.preferred = Remembered(location); }; break;
    case cudaMemAdviseUnsetPreferredLocation: change = [](Advice& a) { a.preferred = {}; }; break;
    case cudaMemAdviseSetAccessedBy:
      change = [accessor](Advice& a) {
        if (std::find(a.accessed_by.begin(), a.accessed_by.end(), accessor) == a.accessed_by.end())
          a.accessed_by.push_back(accessor);
      };
      break;
    case cudaMemAdviseUnsetAccessedBy: change = [accessor](Advice& a) { std::erase(a.accessed_by, accessor); }; break;
    default: return Fail(cudaErrorInvalidValue);
  }
  session.WithAdvice(pointer, count, [&](AdviceMap& map) { map.Change(Address(pointer), count, change); });
  return cudaSuccess;
}

cudaError_t cudaMemPrefetchAsync(const void* pointer, size_t count, cudaMemLocation location, unsigned int flags,
                                 cudaStream_t stream) {
  ACCELMESH_BEGIN_STREAM_CALL(stream);
  if (flags != 0 || !IsManaged(session, pointer, count)) return Fail(cudaErrorInvalidValue);
  if (const cudaError_t error = CheckLocation(session, location); error != cudaSuccess) return Fail(error);
  if (!IsConcurrent(session, stream_object->device)) return Fail(cudaErrorInvalidDevice);
  session.WithAdvice(pointer, count, [&](AdviceMap& map) {
    map.Change(Address(pointer), count, [&](Advice& advice) { advice.prefetched = Remembered(location); });
  });
  return cudaSuccess;
}
cudaError_t cudaMemPrefetchBatchAsync(void** pointers, size_t* sizes, size_t count, cudaMemLocation* locations,
                                      size_t* first, size_t locations_count, unsigned long long flags,
                                      cudaStream_t stream) {
  ACCELMESH_BEGIN_CALL();
  return Batch(session, pointers, sizes, count, locations, first, locations_count, true, flags, stream);
}
cudaError_t cudaMemDiscardBatchAsync(void** pointers, size_t* sizes, size_t count, unsigned long long flags,
                                     cudaStream_t stream) {
  ACCELMESH_BEGIN_CALL();
  return Batch(session, pointers, sizes, count, nullptr, nullptr, 0, false, flags, stream);
}
cudaError_t cudaMemDiscardAndPrefetchBatchAsync(void** pointers, size_t* sizes, size_t count,
                                                cudaMemLocation* locations, size_t* first, size_t locations_count,
                                                unsigned long long flags, cudaStream_t stream) {
  ACCELMESH_BEGIN_CALL();
  return Batch(session, pointers, sizes, count, locations, first, locations_count, true, flags, stream);
}

cudaError_t cudaMemRangeGetAttribute(void* data, size_t bytes, cudaMemRangeAttribute attribute, const void* pointer,
                                     size_t count) {
  return face::cudaMemRangeGetAttributes(&data, &bytes, &attribute, 1, pointer, count);
}
cudaError_t cudaMemRangeGetAttributes(void** data, size_t* bytes, cudaMemRangeAttribute* attributes,
                                      size_t attributes_count, const void* pointer, size_t count) {
  ACCELMESH_BEGIN_QUERY();
  if (data == nullptr || bytes == nullptr || attributes == nullptr || attributes_count == 0 ||
      !IsManaged(session, pointer, count))
    return Fail(cudaErrorInvalidValue);
  Advice advice;
  session.WithAdvice(pointer, count, [&](AdviceMap& map) { advice = map.Common(Address(pointer), count); });
  for (std::size_t i = 0; i < attributes_count; ++i) {
    if (data[i] == nullptr) return Fail(cudaErrorInvalidValue);
    if (const cudaError_t error = WriteAttribute(advice, attributes[i], data[i], bytes[i]); error != cudaSuccess)
      return Fail(error);
  }
  return cudaSuccess;
}

}  // namespace accelmesh::face
