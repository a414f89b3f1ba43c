// Which memory there is, who may touch it, and what pending work means to touch.
#include <sys/mman.h>
#include <unistd.h>

#include "tests/contract/state.h"

namespace accelmesh::contract {
namespace {

// Whole pages of a region. Registered ranges and managed variables may share one; everything else has its own.
void Allow(Device& device, std::uint64_t address, const Region& region, bool on) {
  const std::uint64_t first = address & ~(kPageBytes - 1);
  const std::uint64_t end = AlignUp(address + region.bytes, kPageBytes);
  if (!region.shares_pages()) {
    if (on) {
      device.memory.AllowHost(first, end - first);
    } else {
      device.memory.DenyHost(first, end - first);
    }
    return;
  }
  for (std::uint64_t page = first; page < end; page += kPageBytes) {
    std::uint32_t& users = device.shared_pages[page];
    if (on && users++ == 0) device.memory.AllowHost(page, kPageBytes);
    if (!on && --users == 0) {
      device.memory.DenyHost(page, kPageBytes);
      device.shared_pages.erase(page);
    }
  }
}

}  // namespace

std::map<std::uint64_t, Region>::iterator FindRegion(std::uint64_t address) {
  auto found = state().regions.upper_bound(address);
  if (found == state().regions.begin()) return state().regions.end();
  --found;
  return address - found->first < found->second.bytes ? found : state().regions.end();
}

void AddRegion(std::uint64_t address, const Region& region) {
  Region& added = state().regions[address] = region;
  added.access = 0;
  SetAccess(address, added, region.access);
}

void RemoveRegion(std::uint64_t address) {
  const auto found = state().regions.find(address);
  SetAccess(address, found->second, 0);
  state().regions.erase(found);
}

void SetAccess(std::uint64_t address, Region& region, std::uint32_t access) {
  for (std::size_t d = 0; d < state().devices.size(); ++d) {
    const std::uint32_t bit = 1u << d;
    if ((region.access & bit) != (access & bit)) Allow(*state().devices[d], address, region, (access & bit) != 0);
  }
  region.access = access;
}

CUresult CheckDeviceRange(const Call& call, const Range& range) {
  std::uint64_t at = range.address;
  while (at < range.address + range.bytes) {
    const auto found = FindRegion(at);
    if (found == state().regions.end()) return CUDA_ERROR_INVALID_VALUE;
    if (found->second.access == 0) {
      return call.Break(CONTRACT_RULE_NO_ACCESS, CUDA_ERROR_INVALID_VALUE,
                        "memory is mapped, and no device was given access");
    }
    at = found->first + found->second.bytes;
  }
  return CUDA_SUCCESS;
}

bool InUse(const Range& range) {
  for (const auto& context : state().contexts.All()) {
    for (const auto& stream : context->streams) {
      for (const Task& task : stream->tasks) {
        for (const Range& touched : task.work.touches) {
          if (touched.Overlaps(range)) return true;
        }
      }
    }
  }
  return false;
}

std::uint64_t MapMemory(std::uint64_t bytes) {
  const std::uint64_t rounded = AlignUp(bytes, kGranularity);
  void* got = ::mmap(nullptr, rounded + kGranularity, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (got == MAP_FAILED) return 0;
  const auto first = reinterpret_cast<std::uint64_t>(got);
  const std::uint64_t address = AlignUp(first, kGranularity);
  if (address != first) ::munmap(got, address - first);
  ::munmap(reinterpret_cast<void*>(address + rounded), first + kGranularity - address);
  return address;
}

void UnmapMemory(std::uint64_t address, std::uint64_t bytes) {
  ::munmap(reinterpret_cast<void*>(address), AlignUp(bytes, kGranularity));
}

}  // namespace accelmesh::contract
