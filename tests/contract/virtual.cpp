// Virtual memory: reservations, physical memory, mappings of the one into the other, access. Addresses are those of
// this process, and physical memory a file without a name, so that two mappings of it are the same bytes.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include "tests/contract/state.h"

namespace accelmesh::contract {

Allocation::~Allocation() {
  if (fd >= 0) ::close(fd);
}

namespace {

bool Aligned(std::uint64_t value) { return value % kGranularity == 0; }
bool IsDevice(const CUmemLocation& location) {
  return location.type == CU_MEM_LOCATION_TYPE_DEVICE && location.id >= 0 &&
         static_cast<std::size_t>(location.id) < state().devices.size();
}

CUresult CheckProperties(const Call& call, const CUmemAllocationProp* properties) {
  if (properties == nullptr) return CUDA_ERROR_INVALID_VALUE;
  if (properties->type != CU_MEM_ALLOCATION_TYPE_PINNED)
    return call.Break(CONTRACT_RULE_WRONG_SIZE, CUDA_ERROR_INVALID_VALUE, "a type of memory other than PINNED");
  if (!IsDevice(properties->location)) return CUDA_ERROR_INVALID_DEVICE;
  const int handles = properties->requestedHandleTypes;
  if (handles != CU_MEM_HANDLE_TYPE_NONE && handles != CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR)
    return CUDA_ERROR_NOT_SUPPORTED;
  // The device says it has none of these.
  if (properties->allocFlags.compressionType != 0 || properties->allocFlags.gpuDirectRDMACapable != 0)
    return CUDA_ERROR_NOT_SUPPORTED;
  return CUDA_SUCCESS;
}

// The reservation that holds all of the range.
std::map<std::uint64_t, Reservation>::iterator FindReservation(const Range& range) {
  auto found = state().reservations.upper_bound(range.address);
  if (found == state().reservations.begin()) return state().reservations.end();
  --found;
  const std::uint64_t offset = range.address - found->first;
  const bool inside = offset < found->second.bytes && range.bytes <= found->second.bytes - offset;
  return inside ? found : state().reservations.end();
}

std::uint64_t ReserveAnywhere(std::uint64_t bytes) {
  void* got = ::mmap(nullptr, bytes + kGranularity, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (got == MAP_FAILED) return 0;
  const auto first = reinterpret_cast<std::uint64_t>(got);
  const std::uint64_t address = AlignUp(first, kGranularity);
  if (address != first) ::munmap(got, address - first);
  ::munmap(reinterpret_cast<void*>(address + bytes), first + kGranularity - address);
  return address;
}
bool ReserveAt(std::uint64_t address, std::uint64_t bytes) {
  void* wanted = reinterpret_cast<void*>(address);
  void* got =
      ::mmap(wanted, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
  if (got == wanted) return true;
  if (got != MAP_FAILED) ::munmap(got, bytes);
  return false;
}

// Puts memory of a file, or the bare reservation, at the address.
bool PutAt(std::uint64_t address, std::uint64_t bytes, int fd, int protection) {
  const int kind = fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE : MAP_SHARED;
  return ::mmap(reinterpret_cast<void*>(address), bytes, protection, kind | MAP_FIXED, fd, 0) != MAP_FAILED;
}

bool AnyMapping(const Range& range) {
  const auto next = state().regions.lower_bound(range.address);
  return FindRegion(range.address) != state().regions.end() ||
         (next != state().regions.end() && next->first < range.address + range.bytes);
}

// Physical memory goes when nobody holds it: no handle, and no mapping.
void DropIfUnused(std::uint64_t handle) {
  const auto allocation = state().allocations.Find(handle);
  if (allocation == nullptr || allocation->references != 0) return;
  for (const auto& [address, region] : state().regions) {
    if (region.allocation == handle) return;
  }
  if (!allocation->is_imported)
    state().devices[static_cast<std::size_t>(allocation->properties.location.id)]->used_bytes -= allocation->bytes;
  state().allocations.Remove(handle);
}

// The name of a file of memory tells its device to who imports it.
constexpr const char* kFileName = "contract-memory-";

int MakeFile(int device, std::uint64_t bytes) {
  const std::string name = kFileName + std::to_string(device);
  const int fd = ::memfd_create(name.c_str(), MFD_CLOEXEC);
  if (fd < 0 || ::ftruncate(fd, static_cast<off_t>(bytes)) == 0) return fd;
  ::close(fd);
  return -1;
}
// -1 if it is no file of memory.
int DeviceOf(int fd) {
  char target[256] = {};
  const std::string link = "/proc/self/fd/" + std::to_string(fd);
  if (::readlink(link.c_str(), target, sizeof(target) - 1) < 0) return -1;
  int device = -1;
  const std::string pattern = std::string("/memfd:") + kFileName + "%d";
  return std::sscanf(target, pattern.c_str(), &device) == 1 ? device : -1;
}

// A handle that the application still holds.
std::shared_ptr<Allocation> FindAllocation(const Call& call, CUmemGenericAllocationHandle handle) {
  auto found = state().allocations.Find(handle);
  if (found != nullptr && found->references != 0) return found;
  call.BadHandle("allocation", handle);
  return nullptr;
}

}  // namespace
}  // namespace accelmesh::contract

using namespace accelmesh;
using namespace accelmesh::contract;

CONTRACT_API CUresult cuMemAddressReserve(CUdeviceptr* address, std::size_t bytes, std::size_t alignment,
                                          CUdeviceptr hint, unsigned long long flags) {
  return Enter(Function::k_cuMemAddressReserve, [&](Call& call) -> CUresult {
    if (address == nullptr || flags != 0) return CUDA_ERROR_INVALID_VALUE;
    if (bytes == 0 || !Aligned(bytes) || (alignment & (alignment - 1)) != 0)
      return call.Break(CONTRACT_RULE_BAD_ARGUMENT, CUDA_ERROR_INVALID_VALUE, "a size of 0 or no multiple of 2 MiB");
    const std::lock_guard lock(state().mu);
    Reservation reservation;
    reservation.bytes = bytes;
    bool moves = false;
    for (unsigned left = settings().moves; left != 0 && !moves;)
      moves = settings().moves.compare_exchange_weak(left, left - 1);
    std::uint64_t got = 0;
    if (hint != 0 && Aligned(hint) && !moves && ReserveAt(hint, bytes)) got = hint;
    if (got == 0 && hint != 0 && settings().require_hints) {
      return call.Break(CONTRACT_RULE_RESERVATION_MOVED, CUDA_ERROR_OUT_OF_MEMORY,
                        "the range is taken, and hints are required");
    }
    reservation.moved = hint != 0 && got == 0;
    if (got == 0) got = ReserveAnywhere(bytes);
    if (got == 0) return CUDA_ERROR_OUT_OF_MEMORY;
    state().reservations[got] = reservation;
    *address = got;
    return CUDA_SUCCESS;
  });
}
CONTRACT_API CUresult cuMemAddressFree(CUdeviceptr address, std::size_t bytes) {
  return Enter(Function::k_cuMemAddressFree, [&](Call& call) -> CUresult {
    const std::lock_guard lock(state().mu);
    const auto found = state().reservations.find(address);
    if (found == state().reservations.end()) return CUDA_ERROR_INVALID_VALUE;
    if (found->second.bytes != bytes)
      return call.Break(CONTRACT_RULE_PARTIAL_UNMAP, CUDA_ERROR_INVALID_VALUE, "a part of a reservation");
    if (AnyMapping({address, bytes}))
      return call.Break(CONTRACT_RULE_UNMAP_IN_USE, CUDA_ERROR_INVALID_VALUE, "something is mapped there");
    ::munmap(reinterpret_cast<void*>(address), bytes);
    state().reservations.erase(found);
    return CUDA_SUCCESS;
  });
}

CONTRACT_API CUresult cuMemCreate(CUmemGenericAllocationHandle* handle, std::size_t bytes,
                                  const CUmemAllocationProp* properties, unsigned long long flags) {
  return Enter(Function::k_cuMemCreate, [&](Call& call) -> CUresult {
    if (handle == nullptr || flags != 0) return CUDA_ERROR_INVALID_VALUE;
    if (const CUresult result = CheckProperties(call, properties); result != CUDA_SUCCESS) return result;
    if (bytes == 0 || !Aligned(bytes))
      return call.Break(CONTRACT_RULE_BAD_ARGUMENT, CUDA_ERROR_INVALID_VALUE, "a size of 0 or no multiple of 2 MiB");
    const std::lock_guard lock(state().mu);
    Device& device = *state().devices[static_cast<std::size_t>(properties->location.id)];
    if (bytes > device.memory_bytes - device.used_bytes) return CUDA_ERROR_OUT_OF_MEMORY;
    auto made = std::make_shared<Allocation>();
    made->properties = *properties;
    made->bytes = bytes;
    made->fd = MakeFile(properties->location.id, bytes);
    if (made->fd < 0) return CUDA_ERROR_OUT_OF_MEMORY;
    device.used_bytes += bytes;
    *handle = made->handle = state().allocations.Add(made);
    return CUDA_SUCCESS;
  });
}
CONTRACT_API CUresult cuMemRelease(CUmemGenericAllocationHandle handle) {
  return Enter(Function::k_cuMemRelease, [&](Call& call) -> CUresult {
    const std::lock_guard lock(state().mu);
    const auto allocation = FindAllocation(call, handle);
    if (allocation == nullptr) return CUDA_ERROR_INVALID_VALUE;
    --allocation->references;
    DropIfUnused(handle);
    return CUDA_SUCCESS;
  });
}

CONTRACT_API CUresult cuMemMap(CUdeviceptr address, std::size_t bytes, std::size_t offset,
                               CUmemGenericAllocationHandle handle, unsigned long long flags) {
  return Enter(Function::k_cuMemMap, [&](Call& call) -> CUresult {
    const std::lock_guard lock(state().mu);
    const auto allocation = FindAllocation(call, handle);
    if (allocation == nullptr) return CUDA_ERROR_INVALID_VALUE;
    if (bytes == 0 || !Aligned(bytes) || !Aligned(address) || flags != 0)
      return call.Break(CONTRACT_RULE_BAD_ARGUMENT, CUDA_ERROR_INVALID_VALUE, "0 bytes, or not aligned to 2 MiB");
    if (offset != 0) return call.Break(CONTRACT_RULE_BAD_ARGUMENT, CUDA_ERROR_INVALID_VALUE, "an offset other than 0");
    if (bytes > allocation->bytes) return CUDA_ERROR_INVALID_VALUE;
    const auto reservation = FindReservation({address, bytes});
    if (reservation == state().reservations.end())
      return call.Break(CONTRACT_RULE_MAP_OUTSIDE, CUDA_ERROR_INVALID_VALUE, "the range is not reserved");
    if (reservation->second.moved) {
      return call.Break(CONTRACT_RULE_RESERVATION_MOVED, CUDA_ERROR_INVALID_VALUE,
                        "the reservation is not where it was asked for");
    }
    if (AnyMapping({address, bytes}))
      return call.Break(CONTRACT_RULE_DOUBLE_MAP, CUDA_ERROR_ALREADY_MAPPED, "something is mapped there");
    if (!PutAt(address, bytes, allocation->fd, PROT_NONE)) return CUDA_ERROR_OUT_OF_MEMORY;
    Region region;
    region.kind = Region::Kind::kMapped;
    region.bytes = bytes;
    region.device = allocation->properties.location.id;
    region.allocation = handle;
    AddRegion(address, region);
    return CUDA_SUCCESS;
  });
}
CONTRACT_API CUresult cuMemUnmap(CUdeviceptr address, std::size_t bytes) {
  return Enter(Function::k_cuMemUnmap, [&](Call& call) -> CUresult {
    const std::lock_guard lock(state().mu);
    // Whole mappings, one after the other.
    std::vector<std::pair<std::uint64_t, Region>> mappings;
    for (std::uint64_t at = address; at < address + bytes; at += mappings.back().second.bytes) {
      const auto found = FindRegion(at);
      if (found == state().regions.end() || found->second.kind != Region::Kind::kMapped)
        return call.Break(CONTRACT_RULE_MAP_OUTSIDE, CUDA_ERROR_INVALID_VALUE, "nothing is mapped there");
      if (found->first != at || found->second.bytes > address + bytes - at)
        return call.Break(CONTRACT_RULE_PARTIAL_UNMAP, CUDA_ERROR_INVALID_VALUE, "a part of a mapping");
      mappings.emplace_back(*found);
    }
    if (mappings.empty()) return CUDA_ERROR_INVALID_VALUE;
    if (InUse({address, bytes}))
      return call.Break(CONTRACT_RULE_UNMAP_IN_USE, CUDA_ERROR_INVALID_VALUE, "pending work names this memory");
    for (const auto& [at, region] : mappings) {
      RemoveRegion(at);
      (void)PutAt(at, region.bytes, -1, PROT_NONE);
      DropIfUnused(region.allocation);
    }
    return CUDA_SUCCESS;
  });
}

CONTRACT_API CUresult cuMemSetAccess(CUdeviceptr address, std::size_t bytes, const CUmemAccessDesc* accesses,
                                     std::size_t count) {
  return Enter(Function::k_cuMemSetAccess, [&](Call& call) -> CUresult {
    if (accesses == nullptr || count == 0 || bytes == 0)
      return call.Break(CONTRACT_RULE_BAD_ARGUMENT, CUDA_ERROR_INVALID_VALUE, "no bytes, or no access");
    const std::lock_guard lock(state().mu);
    for (std::size_t i = 0; i < count; ++i) {
      if (!IsDevice(accesses[i].location)) return CUDA_ERROR_INVALID_DEVICE;
    }
    std::vector<std::uint64_t> mappings;
    for (std::uint64_t at = address; at < address + bytes;) {
      const auto found = FindRegion(at);
      if (found == state().regions.end() || found->second.kind != Region::Kind::kMapped || found->first != at ||
          found->second.bytes > address + bytes - at) {
        return call.Break(CONTRACT_RULE_MAP_OUTSIDE, CUDA_ERROR_INVALID_VALUE, "the range is not whole mappings");
      }
      mappings.push_back(at);
      at += found->second.bytes;
    }
    for (const std::uint64_t at : mappings) {
      Region& region = state().regions.at(at);
      std::uint32_t access = region.access;
      for (std::size_t i = 0; i < count; ++i) {
        const std::uint32_t bit = 1u << static_cast<unsigned>(accesses[i].location.id);
        access = accesses[i].flags == CU_MEM_ACCESS_FLAGS_PROT_NONE ? access & ~bit : access | bit;
      }
      contract::SetAccess(at, region, access);
      (void)::mprotect(reinterpret_cast<void*>(at), region.bytes, access == 0 ? PROT_NONE : PROT_READ | PROT_WRITE);
    }
    return CUDA_SUCCESS;
  });
}
CONTRACT_API CUresult cuMemGetAccess(unsigned long long* flags, const CUmemLocation* location, CUdeviceptr address) {
  return Enter(Function::k_cuMemGetAccess, [&](Call&) -> CUresult {
    if (flags == nullptr || location == nullptr || !IsDevice(*location)) return CUDA_ERROR_INVALID_VALUE;
    const std::lock_guard lock(state().mu);
    const auto found = FindRegion(address);
    if (found == state().regions.end()) return CUDA_ERROR_INVALID_VALUE;
    const bool may = (found->second.access >> static_cast<unsigned>(location->id) & 1) != 0;
    *flags = may ? CU_MEM_ACCESS_FLAGS_PROT_READWRITE : CU_MEM_ACCESS_FLAGS_PROT_NONE;
    return CUDA_SUCCESS;
  });
}

CONTRACT_API CUresult cuMemGetAllocationGranularity(std::size_t* bytes, const CUmemAllocationProp* properties,
                                                    CUmemAllocationGranularity_flags) {
  return Enter(Function::k_cuMemGetAllocationGranularity, [&](Call& call) -> CUresult {
    if (const CUresult result = CheckProperties(call, properties); result != CUDA_SUCCESS) return result;
    *bytes = kGranularity;
    return CUDA_SUCCESS;
  });
}
CONTRACT_API CUresult cuMemGetAllocationPropertiesFromHandle(CUmemAllocationProp* properties,
                                                             CUmemGenericAllocationHandle handle) {
  return Enter(Function::k_cuMemGetAllocationPropertiesFromHandle, [&](Call& call) -> CUresult {
    const std::lock_guard lock(state().mu);
    const auto allocation = FindAllocation(call, handle);
    if (allocation == nullptr) return CUDA_ERROR_INVALID_VALUE;
    *properties = allocation->properties;
    return CUDA_SUCCESS;
  });
}
CONTRACT_API CUresult cuMemRetainAllocationHandle(CUmemGenericAllocationHandle* handle, void* address) {
  return Enter(Function::k_cuMemRetainAllocationHandle, [&](Call&) -> CUresult {
    const std::lock_guard lock(state().mu);
    const auto found = FindRegion(reinterpret_cast<std::uint64_t>(address));
    if (found == state().regions.end() || found->second.kind != Region::Kind::kMapped) return CUDA_ERROR_INVALID_VALUE;
    ++state().allocations.Find(found->second.allocation)->references;
    *handle = found->second.allocation;
    return CUDA_SUCCESS;
  });
}

// Sharing with other processes: the file itself. Whoever holds it or a mapping of it keeps the memory.
CONTRACT_API CUresult cuMemExportToShareableHandle(void* shareable, CUmemGenericAllocationHandle handle,
                                                   CUmemAllocationHandleType type, unsigned long long flags) {
  return Enter(Function::k_cuMemExportToShareableHandle, [&](Call& call) -> CUresult {
    if (shareable == nullptr || flags != 0) return CUDA_ERROR_INVALID_VALUE;
    if (type != CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR) return CUDA_ERROR_NOT_SUPPORTED;
    const std::lock_guard lock(state().mu);
    const auto allocation = FindAllocation(call, handle);
    if (allocation == nullptr) return CUDA_ERROR_INVALID_VALUE;
    if (allocation->properties.requestedHandleTypes != type)
      return call.Break(CONTRACT_RULE_BAD_ARGUMENT, CUDA_ERROR_INVALID_VALUE,
                        "memory that was not made to be exported");
    const int fd = ::fcntl(allocation->fd, F_DUPFD_CLOEXEC, 0);
    if (fd < 0) return CUDA_ERROR_OPERATING_SYSTEM;
    *static_cast<int*>(shareable) = fd;
    return CUDA_SUCCESS;
  });
}
// For network cards: here the file itself as well, so that it begins with the mapping that the range begins with. Like
// a dma-buf it keeps what it shows, whatever is mapped at the address afterwards.
CONTRACT_API CUresult cuMemGetHandleForAddressRange(void* handle, CUdeviceptr address, std::size_t bytes,
                                                    CUmemRangeHandleType type, unsigned long long flags) {
  return Enter(Function::k_cuMemGetHandleForAddressRange, [&](Call& call) -> CUresult {
    constexpr std::uint64_t kPage = 4096;
    if (handle == nullptr || flags != 0 || type != CU_MEM_RANGE_HANDLE_TYPE_DMA_BUF_FD) return CUDA_ERROR_INVALID_VALUE;
    if (bytes == 0 || bytes % kPage != 0 || address % kPage != 0)
      return call.Break(CONTRACT_RULE_BAD_ARGUMENT, CUDA_ERROR_INVALID_VALUE, "a range that is not whole pages");
    if (!settings().dma_buf) return CUDA_ERROR_NOT_SUPPORTED;
    const std::lock_guard lock(state().mu);
    const auto found = FindRegion(address);
    if (found == state().regions.end()) return CUDA_ERROR_INVALID_VALUE;
    if (found->second.kind != Region::Kind::kMapped || found->first != address || found->second.bytes < bytes)
      return CUDA_ERROR_NOT_SUPPORTED;
    const int fd = ::fcntl(state().allocations.Find(found->second.allocation)->fd, F_DUPFD_CLOEXEC, 0);
    if (fd < 0) return CUDA_ERROR_OPERATING_SYSTEM;
    *static_cast<int*>(handle) = fd;
    return CUDA_SUCCESS;
  });
}
CONTRACT_API CUresult cuMemImportFromShareableHandle(CUmemGenericAllocationHandle* handle, void* shareable,
                                                     CUmemAllocationHandleType type) {
  return Enter(Function::k_cuMemImportFromShareableHandle, [&](Call& call) -> CUresult {
    if (handle == nullptr) return CUDA_ERROR_INVALID_VALUE;
    if (type != CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR) return CUDA_ERROR_NOT_SUPPORTED;
    const int fd = static_cast<int>(reinterpret_cast<std::intptr_t>(shareable));
    const int device = DeviceOf(fd);
    const std::lock_guard lock(state().mu);
    if (device < 0 || static_cast<std::size_t>(device) >= state().devices.size())
      return call.Break(CONTRACT_RULE_BAD_ARGUMENT, CUDA_ERROR_INVALID_VALUE,
                        "a file that is no memory of a device here");
    auto made = std::make_shared<Allocation>();
    made->fd = ::fcntl(fd, F_DUPFD_CLOEXEC, 0);
    const off_t bytes = made->fd < 0 ? 0 : ::lseek(made->fd, 0, SEEK_END);
    if (bytes <= 0) return CUDA_ERROR_OPERATING_SYSTEM;
    made->is_imported = true;
    made->bytes = static_cast<std::uint64_t>(bytes);
    made->properties.type = CU_MEM_ALLOCATION_TYPE_PINNED;
    made->properties.location.type = CU_MEM_LOCATION_TYPE_DEVICE;
    made->properties.location.id = device;
    made->properties.requestedHandleTypes = type;
    *handle = made->handle = state().allocations.Add(made);
    return CUDA_SUCCESS;
  });
}
