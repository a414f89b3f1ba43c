// Managed variables of modules: the driver has them in managed memory at addresses of its own, several to a page, and
// gives an address out again once nobody has it.
#include <sys/mman.h>

#include "tests/contract/state.h"

namespace accelmesh::contract {
namespace {

// They lie close together: who writes more than a variable writes another.
constexpr std::uint64_t kAlignmentMin = 4;
// So far from where the system maps next that processes with the same layout, as a forked one has, leave it free.
constexpr std::uint64_t kDistance = std::uint64_t{32} << 30;

// Room at an address of the driver's choice; 0 if there is none.
std::uint64_t MapChunk(std::uint64_t bytes) {
  const std::uint64_t near = MapMemory(bytes);
  if (near == 0) return 0;
  for (std::uint64_t at = near - kDistance; at > near - 2 * kDistance; at -= kGranularity) {
    void* const wish = reinterpret_cast<void*>(at);
    void* const got = ::mmap(wish, bytes, PROT_READ | PROT_WRITE,
                             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
    if (got == wish) {
      UnmapMemory(near, bytes);
      return at;
    }
    if (got != MAP_FAILED) ::munmap(got, bytes);
  }
  return near;
}

// The first address in the chunk with so much free behind it; 0 if there is none. Under State::mu.
std::uint64_t FindRoom(const Range& chunk, std::uint64_t bytes, std::uint64_t alignment) {
  const std::uint64_t end = chunk.address + chunk.bytes;
  std::uint64_t at = chunk.address;
  for (auto used = state().variables.lower_bound(at); used != state().variables.end() && used->first < end; ++used) {
    if (used->first >= at && used->first - at >= bytes) return at;
    at = AlignUp(used->first + used->second, alignment);
  }
  return at <= end && end - at >= bytes ? at : 0;
}

}  // namespace

bool ManagedVariables::Place(const ptx::Variable& variable, int device) {
  const std::uint64_t alignment = std::max<std::uint64_t>(variable.alignment, kAlignmentMin);
  const std::lock_guard lock(state().mu);
  std::uint64_t address = 0;
  for (const Range& chunk : state().variable_chunks) {
    address = FindRoom(chunk, variable.bytes, alignment);
    if (address != 0) break;
  }
  if (address == 0) {
    const std::uint64_t bytes = AlignUp(variable.bytes, kGranularity);
    address = MapChunk(bytes);
    if (address == 0) return false;
    state().variable_chunks.push_back({address, bytes});
  }
  state().variables[address] = variable.bytes;
  ranges[variable.name] = {address, variable.bytes};
  Region region;
  region.kind = Region::Kind::kVariable;
  region.bytes = variable.bytes;
  region.device = device;
  region.access = (1u << state().devices.size()) - 1;
  AddRegion(address, region);
  return true;
}

ManagedVariables::~ManagedVariables() {
  const std::lock_guard lock(state().mu);
  for (const auto& [name, range] : ranges) {
    // A forked child has begun anew.
    if (state().variables.erase(range.address) != 0) RemoveRegion(range.address);
  }
}

}  // namespace accelmesh::contract
