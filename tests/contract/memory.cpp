// Allocations of contexts: device, pinned and registered host memory, and what a pointer is.
#include <sys/mman.h>

#include "tests/contract/state.h"

namespace accelmesh::contract {
namespace {

constexpr std::uint64_t kPitchAlignment = 512;
constexpr unsigned kHostAllocFlags =
    CU_MEMHOSTALLOC_PORTABLE | CU_MEMHOSTALLOC_DEVICEMAP | CU_MEMHOSTALLOC_WRITECOMBINED;
constexpr unsigned kHostRegisterFlags = CU_MEMHOSTREGISTER_PORTABLE | CU_MEMHOSTREGISTER_DEVICEMAP |
                                        CU_MEMHOSTREGISTER_IOMEMORY | CU_MEMHOSTREGISTER_READ_ONLY;

std::uint32_t AllDevices() { return (1u << state().devices.size()) - 1; }
std::uint32_t OnlyThis(int device) { return 1u << static_cast<unsigned>(device); }

CUresult Allocate(const Call& call, Region::Kind kind, std::uint64_t bytes, unsigned flags, std::uint64_t* address) {
  if (bytes == 0) return call.Break(CONTRACT_RULE_BAD_ARGUMENT, CUDA_ERROR_INVALID_VALUE, "0 bytes");
  Region region;
  region.kind = kind;
  region.bytes = bytes;
  region.device = call.context->device;
  region.flags = flags;
  region.context = call.context.get();
  const std::lock_guard lock(state().mu);
  region.access = kind == Region::Kind::kDevice ? OnlyThis(region.device) : AllDevices();
  Device& device = *state().devices[static_cast<std::size_t>(region.device)];
  if (!region.host()) {
    if (bytes > device.memory_bytes - device.used_bytes) return CUDA_ERROR_OUT_OF_MEMORY;
  }
  *address = MapMemory(bytes);
  if (*address == 0) return CUDA_ERROR_OUT_OF_MEMORY;
  if (!region.host()) device.used_bytes += bytes;
  AddRegion(*address, region);
  return CUDA_SUCCESS;
}

// Takes away what lies exactly at the address, if it is of one of the kinds.
CUresult Free(const Call& call, std::uint64_t address, std::initializer_list<Region::Kind> kinds) {
  const std::lock_guard lock(state().mu);
  const auto found = state().regions.find(address);
  if (found == state().regions.end() || std::find(kinds.begin(), kinds.end(), found->second.kind) == kinds.end())
    return CUDA_ERROR_INVALID_VALUE;
  const Region region = found->second;
  if (InUse({address, region.bytes}))
    return call.Break(CONTRACT_RULE_UNMAP_IN_USE, CUDA_ERROR_INVALID_VALUE, "pending work names this memory");
  RemoveRegion(address);
  if (region.kind == Region::Kind::kRegistered) return CUDA_SUCCESS;
  if (!region.host()) state().devices[static_cast<std::size_t>(region.device)]->used_bytes -= region.bytes;
  UnmapMemory(address, region.bytes);
  return CUDA_SUCCESS;
}

bool AnyRegion(std::uint64_t address, std::uint64_t bytes) {
  if (FindRegion(address) != state().regions.end()) return true;
  const auto next = state().regions.lower_bound(address);
  return next != state().regions.end() && next->first - address < bytes;
}

CUresult Attribute(const Call& call, void* out, CUpointer_attribute attribute, std::uint64_t pointer) {
  const std::lock_guard lock(state().mu);
  const auto found = FindRegion(pointer);
  if (found == state().regions.end()) return CUDA_ERROR_INVALID_VALUE;
  const auto& [address, region] = *found;
  const bool managed = region.managed();
  switch (attribute) {
    case CU_POINTER_ATTRIBUTE_CONTEXT:
      *static_cast<CUcontext*>(out) = region.context == nullptr ? nullptr : region.context->handle;
      return CUDA_SUCCESS;
    case CU_POINTER_ATTRIBUTE_MEMORY_TYPE:
      *static_cast<unsigned*>(out) = region.host() ? CU_MEMORYTYPE_HOST : CU_MEMORYTYPE_DEVICE;
      return CUDA_SUCCESS;
    case CU_POINTER_ATTRIBUTE_DEVICE_POINTER: *static_cast<std::uint64_t*>(out) = pointer; return CUDA_SUCCESS;
    case CU_POINTER_ATTRIBUTE_HOST_POINTER:
      *static_cast<std::uint64_t*>(out) = pointer;
      return region.host() || managed ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
    case CU_POINTER_ATTRIBUTE_IS_MANAGED: *static_cast<unsigned*>(out) = managed ? 1 : 0; return CUDA_SUCCESS;
    case CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL: *static_cast<int*>(out) = region.device; return CUDA_SUCCESS;
    case CU_POINTER_ATTRIBUTE_RANGE_START_ADDR: *static_cast<std::uint64_t*>(out) = address; return CUDA_SUCCESS;
    case CU_POINTER_ATTRIBUTE_RANGE_SIZE: *static_cast<std::size_t*>(out) = region.bytes; return CUDA_SUCCESS;
    case CU_POINTER_ATTRIBUTE_MAPPED: *static_cast<unsigned*>(out) = 1; return CUDA_SUCCESS;
    default:
      return call.Break(CONTRACT_RULE_WRONG_SIZE, CUDA_ERROR_NOT_SUPPORTED,
                        "pointer attribute " + std::to_string(attribute) + " is not here");
  }
}

}  // namespace
}  // namespace accelmesh::contract

using namespace accelmesh;
using namespace accelmesh::contract;

CONTRACT_API CUresult cuMemGetInfo(std::size_t* free_bytes, std::size_t* total_bytes) {
  return Enter(Function::k_cuMemGetInfo, [&](Call& call) -> CUresult {
    const std::lock_guard lock(state().mu);
    const Device& device = *state().devices[static_cast<std::size_t>(call.context->device)];
    *free_bytes = device.memory_bytes - device.used_bytes;
    *total_bytes = device.memory_bytes;
    return CUDA_SUCCESS;
  });
}
CONTRACT_API CUresult cuMemAlloc(CUdeviceptr* address, std::size_t bytes) {
  return Enter(Function::k_cuMemAlloc, [&](Call& call) -> CUresult {
    std::uint64_t made = 0;
    const CUresult result = Allocate(call, Region::Kind::kDevice, bytes, 0, &made);
    if (result == CUDA_SUCCESS) *address = made;
    return result;
  });
}
CONTRACT_API CUresult cuMemAllocPitch(CUdeviceptr* address, std::size_t* pitch, std::size_t width, std::size_t height,
                                      unsigned int element_bytes) {
  return Enter(Function::k_cuMemAllocPitch, [&](Call& call) -> CUresult {
    if (element_bytes != 4 && element_bytes != 8 && element_bytes != 16)
      return call.Break(CONTRACT_RULE_BAD_ARGUMENT, CUDA_ERROR_INVALID_VALUE, "elements of neither 4, 8 nor 16 bytes");
    std::uint64_t made = 0;
    const std::uint64_t row = AlignUp(width, kPitchAlignment);
    const CUresult result = Allocate(call, Region::Kind::kDevice, row * height, 0, &made);
    if (result != CUDA_SUCCESS) return result;
    *address = made;
    *pitch = row;
    return CUDA_SUCCESS;
  });
}
CONTRACT_API CUresult cuMemAllocManaged(CUdeviceptr* address, std::size_t bytes, unsigned int flags) {
  return Enter(Function::k_cuMemAllocManaged, [&](Call& call) -> CUresult {
    if (flags != CU_MEM_ATTACH_GLOBAL && flags != CU_MEM_ATTACH_HOST) return CUDA_ERROR_INVALID_VALUE;
    std::uint64_t made = 0;
    const CUresult result = Allocate(call, Region::Kind::kManaged, bytes, flags, &made);
    if (result == CUDA_SUCCESS) *address = made;
    return result;
  });
}
CONTRACT_API CUresult cuMemFree(CUdeviceptr address) {
  return Enter(Function::k_cuMemFree, [&](Call& call) -> CUresult {
    if (address == 0) return CUDA_SUCCESS;
    // The driver waits for the whole device.
    if (const CUresult result = DrainAll(call.context); result != CUDA_SUCCESS) return result;
    return Free(call, address, {Region::Kind::kDevice, Region::Kind::kManaged});
  });
}
CONTRACT_API CUresult cuMemGetAddressRange(CUdeviceptr* base, std::size_t* bytes, CUdeviceptr pointer) {
  return Enter(Function::k_cuMemGetAddressRange, [&](Call&) -> CUresult {
    const std::lock_guard lock(state().mu);
    const auto found = FindRegion(pointer);
    if (found == state().regions.end()) return CUDA_ERROR_NOT_FOUND;
    if (base != nullptr) *base = found->first;
    if (bytes != nullptr) *bytes = found->second.bytes;
    return CUDA_SUCCESS;
  });
}

// Host memory --------------------------------------------------------------------------------------------------------

CONTRACT_API CUresult cuMemHostAlloc(void** pointer, std::size_t bytes, unsigned int flags) {
  return Enter(Function::k_cuMemHostAlloc, [&](Call& call) -> CUresult {
    if ((flags & ~kHostAllocFlags) != 0) return CUDA_ERROR_INVALID_VALUE;
    std::uint64_t made = 0;
    const CUresult result = Allocate(call, Region::Kind::kPinned, bytes, flags, &made);
    if (result == CUDA_SUCCESS) *pointer = reinterpret_cast<void*>(made);
    return result;
  });
}
CONTRACT_API CUresult cuMemAllocHost(void** pointer, std::size_t bytes) {
  return Enter(Function::k_cuMemAllocHost, [&](Call& call) -> CUresult {
    std::uint64_t made = 0;
    const CUresult result = Allocate(call, Region::Kind::kPinned, bytes, 0, &made);
    if (result == CUDA_SUCCESS) *pointer = reinterpret_cast<void*>(made);
    return result;
  });
}
CONTRACT_API CUresult cuMemFreeHost(void* pointer) {
  return Enter(Function::k_cuMemFreeHost, [&](Call& call) -> CUresult {
    return Free(call, reinterpret_cast<std::uint64_t>(pointer), {Region::Kind::kPinned});
  });
}
CONTRACT_API CUresult cuMemHostRegister(void* pointer, std::size_t bytes, unsigned int flags) {
  return Enter(Function::k_cuMemHostRegister, [&](Call& call) -> CUresult {
    if (bytes == 0 || pointer == nullptr)
      return call.Break(CONTRACT_RULE_BAD_ARGUMENT, CUDA_ERROR_INVALID_VALUE, "0 bytes, or nowhere");
    if ((flags & ~kHostRegisterFlags) != 0) return CUDA_ERROR_INVALID_VALUE;
    Region region;
    region.kind = Region::Kind::kRegistered;
    region.bytes = bytes;
    region.device = call.context->device;
    region.flags = flags;
    region.context = call.context.get();
    region.access = AllDevices();
    const auto address = reinterpret_cast<std::uint64_t>(pointer);
    const std::uint64_t first_page = address & ~(kPageBytes - 1);
    // The driver pins pages; ones that are not there cannot be.
    if (::madvise(reinterpret_cast<void*>(first_page), AlignUp(address + bytes, kPageBytes) - first_page,
                  MADV_WILLNEED) != 0) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    const std::lock_guard lock(state().mu);
    if (AnyRegion(address, bytes)) return CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED;
    AddRegion(address, region);
    return CUDA_SUCCESS;
  });
}
CONTRACT_API CUresult cuMemHostUnregister(void* pointer) {
  return Enter(Function::k_cuMemHostUnregister, [&](Call& call) -> CUresult {
    const CUresult result = Free(call, reinterpret_cast<std::uint64_t>(pointer), {Region::Kind::kRegistered});
    const bool in_use = result != CUDA_SUCCESS && [&] {
      const std::lock_guard lock(state().mu);
      return state().regions.contains(reinterpret_cast<std::uint64_t>(pointer));
    }();
    return result == CUDA_SUCCESS || in_use ? result : CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED;
  });
}
CONTRACT_API CUresult cuMemHostGetDevicePointer(CUdeviceptr* address, void* pointer, unsigned int flags) {
  return Enter(Function::k_cuMemHostGetDevicePointer, [&](Call&) -> CUresult {
    if (flags != 0) return CUDA_ERROR_INVALID_VALUE;
    const std::lock_guard lock(state().mu);
    const auto found = FindRegion(reinterpret_cast<std::uint64_t>(pointer));
    if (found == state().regions.end() || !found->second.host()) return CUDA_ERROR_INVALID_VALUE;
    *address = reinterpret_cast<std::uint64_t>(pointer);
    return CUDA_SUCCESS;
  });
}
CONTRACT_API CUresult cuMemHostGetFlags(unsigned int* flags, void* pointer) {
  return Enter(Function::k_cuMemHostGetFlags, [&](Call&) -> CUresult {
    const std::lock_guard lock(state().mu);
    const auto found = FindRegion(reinterpret_cast<std::uint64_t>(pointer));
    if (found == state().regions.end() || found->second.kind != Region::Kind::kPinned) return CUDA_ERROR_INVALID_VALUE;
    *flags = found->second.flags;
    return CUDA_SUCCESS;
  });
}

// Pointers -----------------------------------------------------------------------------------------------------------

CONTRACT_API CUresult cuPointerGetAttribute(void* data, CUpointer_attribute attribute, CUdeviceptr pointer) {
  return Enter(Function::k_cuPointerGetAttribute,
               [&](Call& call) -> CUresult { return Attribute(call, data, attribute, pointer); });
}
CONTRACT_API CUresult cuPointerGetAttributes(unsigned int count, CUpointer_attribute* attributes, void** data,
                                             CUdeviceptr pointer) {
  return Enter(Function::k_cuPointerGetAttributes, [&](Call& call) -> CUresult {
    for (unsigned i = 0; i < count; ++i) {
      const CUresult result = Attribute(call, data[i], attributes[i], pointer);
      if (result != CUDA_SUCCESS) return result;
    }
    return CUDA_SUCCESS;
  });
}
