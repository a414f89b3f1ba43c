// Session: allocation.
#include "shim/core/session_inl.h"

namespace accelmesh {

DeviceResult ClientSession::Malloc(std::uint32_t device, std::uint64_t bytes, std::uint64_t* address) {
  while (true) {
    StreamPoint next;
    {
      const MutexLock lock(memory_mu_);
      AddressSpace& space = memory_[device];
      // Asked under the lock: a range that is freed from now on waits for work that was posted before.
      space.Release(PassedByAll());
      const Result<std::uint64_t> got = space.Allocate(bytes);
      if (got.ok()) {
        // Posted under the lock: an allocation must reach the server after the free whose range it reuses.
        // The whole range, so that the server checks accesses by the same bounds as the client.
        const std::uint64_t range_bytes = AlignUp(bytes, AddressSpace::kAlignment);
        const auto posted = commands_->Post(wire::MemAlloc(*got, range_bytes, device, 0));
        if (!posted.ok()) return Lost(posted.status());
        *address = *got;
        return 0;
      }
      if (ReleaseIdle(device)) continue;
      next = NextToPass(device, bytes);
    }
    if (next.sequence == 0 && ReapHeld()) continue;
    // When only what was freed could satisfy it, the allocation waits for the work that may still use that.
    if (next.sequence == 0) return kOutOfMemory;
    if (const DeviceResult waited = WaitFor(next); waited != 0) return waited;
  }
}

DeviceResult ClientSession::Free(std::uint64_t address) {
  if (IsCommonAddress(address)) return FreeManaged(address);
  if (DeviceResult freed = 0; FreeGraphMemory(address, &freed)) return freed;
  if (any_export_.load(std::memory_order_acquire)) [[unlikely]] {
    bool is_held = false;
    if (const DeviceResult ended = EndExport(address, &is_held); ended != 0 || is_held) return ended;
  }
  const bool idle = !AnythingPending();
  const MutexLock lock(memory_mu_);
  for (std::uint32_t device = 0; device < memory_.size(); ++device) {
    AddressSpace& space = memory_[device];
    if (!space.Contains(address)) continue;
    if (MemoryPool* pool = pools_.Find(address)) return FreePooled(*pool, address);
    if (space.Find(address).address != address) return kInvalidValue;
    const auto posted = commands_->Post(wire::MemFree(address, device, 0));
    if (!posted.ok()) return Lost(posted.status());
    return space.Free(address, *posted, idle).ok() ? 0 : kInvalidValue;
  }
  return kInvalidValue;
}

void ClientSession::MemoryInfo(std::uint32_t device, std::uint64_t* free_bytes, std::uint64_t* total_bytes) {
  const MutexLock lock(memory_mu_);
  *total_bytes = memory_[device].memory_bytes();
  *free_bytes = memory_[device].memory_bytes() - memory_[device].allocated_bytes();
}

bool ClientSession::FindDeviceRange(std::uint64_t address, AddressSpace::Range* range, std::uint32_t* device) {
  if (IsCommonAddress(address)) {
    // Pinned memory is the program's own as well, and counts as that.
    ReachableMemory host;
    if (!FindHost(reinterpret_cast<void*>(address), &host) || host.kind == HostKind::kPinned) return false;
    *range = {host.device_address, host.bytes};
    *device = host.device;
    return true;
  }
  const MutexLock lock(memory_mu_);
  for (std::uint32_t d = 0; d < memory_.size(); ++d) {
    if (!memory_[d].Contains(address)) continue;
    *range = memory_[d].Find(address);
    *device = d;
    if (range->bytes == 0) continue;
    if (IsHeld(range->address)) return false;
    if (const MemoryPool* pool = pools_.Find(address)) *range = pool->FindLive(address);
    return range->bytes != 0;
  }
  if (const auto next = leased_.opened.upper_bound(address); next != leased_.opened.begin()) {
    const auto& [start, import] = *std::prev(next);
    if (address - start < import.memory.bytes) {
      *range = {start, import.memory.bytes};
      *device = import.memory.device;
      return true;
    }
  }
  auto after = globals_.upper_bound(address);
  if (after == globals_.begin()) return false;
  const auto& [start, global] = *std::prev(after);
  if (address - start >= global.first) return false;
  *range = {start, global.first};
  *device = global.second;
  return true;
}

}  // namespace accelmesh
