// Session: allocation and pinned host memory.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "protocol/base/log.h"
#include "shim/core/session_inl.h"

namespace accelmesh {
namespace {

// Gives a memfd its pages. In pieces: a signal interrupts a piece, which is then begun anew, so that a program under a
// profiler's timer gets there, too.
bool TakePages(int fd, std::uint64_t bytes) {
  constexpr std::uint64_t kPiece = 4 * limits::kMiB;
  for (std::uint64_t done = 0; done < bytes; done += kPiece) {
    const auto piece = static_cast<off_t>(std::min(kPiece, bytes - done));
    while (::fallocate(fd, 0, static_cast<off_t>(done), piece) != 0) {
      if (errno != EINTR) return false;
    }
  }
  return true;
}

}  // namespace

DeviceResult ClientSession::Malloc(std::uint32_t device, std::uint64_t bytes, std::uint64_t* address) {
  while (true) {
    std::uint64_t oldest = 0;
    bool could_fit = false;
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
      oldest = space.oldest_quarantined();
      could_fit = oldest != 0 && bytes <= space.memory_bytes() - space.allocated_bytes();
    }
    // When only quarantine could satisfy it, the allocation waits for the work that may still use those ranges.
    if (!could_fit) return kOutOfMemory;
    const DeviceResult waited = Wait([this, oldest] { return PassedByAll() >= oldest; });
    if (waited != 0) return waited;
  }
}

DeviceResult ClientSession::Free(std::uint64_t address) {
  const bool idle = !AnythingPending();
  const MutexLock lock(memory_mu_);
  for (std::uint32_t device = 0; device < memory_.size(); ++device) {
    AddressSpace& space = memory_[device];
    if (!space.Contains(address)) continue;
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
  const MutexLock lock(memory_mu_);
  for (std::uint32_t d = 0; d < memory_.size(); ++d) {
    if (!memory_[d].Contains(address)) continue;
    *range = memory_[d].Find(address);
    *device = d;
    if (range->bytes != 0) return true;
  }
  auto after = globals_.upper_bound(address);
  if (after == globals_.begin()) return false;
  const auto& [start, global] = *std::prev(after);
  if (address - start >= global.first) return false;
  *range = {start, global.first};
  *device = global.second;
  return true;
}

// Pinned host memory -------------------------------------------------------------------------------------------------

DeviceResult ClientSession::MallocPinned(std::size_t bytes, unsigned flags, void** address) {
  if (bytes == 0 || bytes > limits::kAllocationBytesMax) return kInvalidValue;
  const std::size_t page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  PinnedRange range;
  range.bytes = AlignUp(bytes, page);
  range.flags = flags;
  // A memfd, so that a server on this host can map the very pages; elsewhere it is ordinary memory.
  const int fd = ::memfd_create("accelmesh-pinned", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  // Its pages are taken now: later the want of one would be a signal instead of an error.
  if (fd < 0 || ::ftruncate(fd, static_cast<off_t>(range.bytes)) != 0 || !TakePages(fd, range.bytes)) {
    log::Error("cudaMallocHost", Status::System(errno, "memfd", "no pinned memory").text());
    if (fd >= 0) ::close(fd);
    return kOutOfMemory;
  }
  void* mapped = ::mmap(nullptr, range.bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (mapped == MAP_FAILED) {
    ::close(fd);
    return kOutOfMemory;
  }
  range.address = static_cast<std::uint8_t*>(mapped);
  {
    const MutexLock lock(pinned_mu_);
    if (commands_->channel().traits().shares_memory) {
      range.region = next_region_++;  // never given out twice: a release may still be on its way
      range.shared = true;
    }
  }
  if (range.shared) {
    // F_SEAL_SHRINK: the server refuses memory that could be cut away under it.
    Status shared = ::fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) == 0
                        ? commands_->channel().ShareMemory(range.region, fd, range.bytes)
                        : Status::System(errno, "memfd", "cannot seal");
    if (!shared.ok()) {
      log::Warning("cudaMallocHost", "copies go the long way: " + shared.ToString());
      range.shared = false;
    }
  }
  ::close(fd);
  const MutexLock lock(pinned_mu_);
  pinned_.emplace(reinterpret_cast<std::uintptr_t>(mapped), range);
  *address = mapped;
  return 0;
}

DeviceResult ClientSession::FreePinned(void* address) {
  // CUDA's cudaFreeHost waits for the device: a copy may still read or write these pages.
  PinnedRange range;
  {
    const MutexLock lock(pinned_mu_);
    const auto found = pinned_.find(reinterpret_cast<std::uintptr_t>(address));
    if (found == pinned_.end()) return kInvalidValue;
    range = found->second;
  }
  for (std::uint32_t device = 0; device < devices_.size(); ++device) {
    if (const DeviceResult waited = SynchronizeDevice(device); waited != 0) break;  // Lost: nobody writes any more.
  }
  {
    const MutexLock lock(pinned_mu_);
    pinned_.erase(reinterpret_cast<std::uintptr_t>(address));
  }
  if (range.shared) {
    const auto posted = commands_->Post(wire::SharedRelease(range.region, 0));
    if (!posted.ok()) Lost(posted.status());
  }
  ::munmap(range.address, range.bytes);
  return 0;
}

bool ClientSession::FindPinned(const void* address, PinnedRange* range) {
  const MutexLock lock(pinned_mu_);
  auto after = pinned_.upper_bound(reinterpret_cast<std::uintptr_t>(address));
  if (after == pinned_.begin()) return false;
  const PinnedRange& found = std::prev(after)->second;
  if (static_cast<std::size_t>(static_cast<const std::uint8_t*>(address) - found.address) >= found.bytes) return false;
  *range = found;
  return true;
}

}  // namespace accelmesh
