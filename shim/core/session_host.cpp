// Session: host memory that the device may reach: pinned, registered, managed.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "protocol/base/log.h"
#include "shim/core/session_inl.h"

namespace accelmesh {
namespace {

constexpr DeviceResult kAlreadyRegistered = 712;
constexpr DeviceResult kNotRegistered = 713;
constexpr std::uint32_t kNobody = 0xffffffff;  // HostMap.device: no device's quota

std::uint8_t* Pointer(std::uint64_t address) { return reinterpret_cast<std::uint8_t*>(address); }
std::uint64_t Address(const void* pointer) { return reinterpret_cast<std::uint64_t>(pointer); }

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

// A memfd with all its pages: later the want of one would be a signal instead of an error. Less than 0: errno says why.
int MakePages(std::uint64_t bytes) {
  const int fd = ::memfd_create("accelmesh-pinned", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (fd < 0) return fd;
  if (::ftruncate(fd, static_cast<off_t>(bytes)) == 0 && TakePages(fd, bytes)) return fd;
  const int error = errno;
  ::close(fd);
  errno = error;
  return -1;
}

// Every page of it is there in this process.
bool IsMapped(const std::uint8_t* memory, std::uint64_t bytes) {
  constexpr std::uint64_t kPagesAtATime = 4096;
  std::vector<unsigned char> resident(kPagesAtATime);
  const std::uint64_t first = Address(memory) / limits::kPageBytes * limits::kPageBytes;
  const std::uint64_t end = Address(memory) + bytes;
  for (std::uint64_t at = first; at < end; at += kPagesAtATime * limits::kPageBytes) {
    if (::mincore(Pointer(at), std::min(end - at, kPagesAtATime * limits::kPageBytes), resident.data()) != 0)
      return false;
  }
  return true;
}

}  // namespace

// Addresses ----------------------------------------------------------------------------------------------------------

HostRange* ClientSession::FindHostRange(std::uint64_t address) {
  auto after = host_.upper_bound(address);
  if (after != host_.begin()) {
    HostRange& range = std::prev(after)->second;
    if (address - Address(range.memory) < range.bytes) return &range;
  }
  auto alias = aliases_.upper_bound(address);
  if (alias == aliases_.begin()) return nullptr;
  HostRange& range = host_.find(std::prev(alias)->second)->second;
  return address - range.device_address < range.bytes ? &range : nullptr;
}

bool ClientSession::FindHost(const void* address, ReachableMemory* found) {
  if (!any_host_.load(std::memory_order_acquire)) return false;
  const MutexLock lock(pinned_mu_);
  const HostRange* range = FindHostRange(Address(address));
  if (range == nullptr) return false;
  *found = {range->kind,           range->memory, range->bytes, range->requested_bytes,
            range->device_address, range->device, range->flags};
  return true;
}

bool ClientSession::FindPinned(const void* address, PinnedRange* found) {
  if (!any_host_.load(std::memory_order_acquire)) return false;
  const MutexLock lock(pinned_mu_);
  const HostRange* range = FindHostRange(Address(address));
  if (range == nullptr || range->kind == HostKind::kManaged ||
      Address(address) - Address(range->memory) >= range->bytes)
    return false;
  *found = {range->memory, range->bytes, range->region, range->is_shared, range->flags};
  return true;
}

// Allocation ---------------------------------------------------------------------------------------------------------

DeviceResult ClientSession::MakeHostRange(std::size_t bytes, HostKind kind, HostRange* range) {
  range->kind = kind;
  range->bytes = AlignUp(bytes, limits::kPageBytes);
  range->requested_bytes = bytes;
  // Shared where the server can map the very pages; elsewhere it is ordinary memory.
  const bool shares = commands_->channel().traits().shares_memory;
  const bool needs_pages = shares || kind == HostKind::kPinned;
  const int fd = needs_pages ? MakePages(range->bytes) : -1;
  if (needs_pages && fd < 0) {
    log::Error(kind == HostKind::kPinned ? "cudaMallocHost" : "cudaMallocManaged",
               Status::System(errno, "memfd", "no host memory").text());
    return kOutOfMemory;
  }
  {
    const MutexLock lock(pinned_mu_);
    const Result<std::uint64_t> address = host_space_.Allocate(range->bytes);
    if (!address.ok()) {
      if (fd >= 0) ::close(fd);
      return kOutOfMemory;
    }
    range->device_address = *address;
    range->memory = Pointer(*address);
    if (shares) range->region = next_region_++;  // never given out twice: a release may still be on its way
  }
  const int flags = fd >= 0 ? MAP_SHARED | MAP_FIXED : MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
  if (::mmap(range->memory, range->bytes, PROT_READ | PROT_WRITE, flags, fd, 0) == MAP_FAILED) {
    if (fd >= 0) ::close(fd);
    const MutexLock lock(pinned_mu_);
    return host_space_.Free(range->device_address, 0, true).ok() ? kOutOfMemory : kUnknown;
  }
  if (shares) {
    // F_SEAL_SHRINK: the server refuses memory that could be cut away under it.
    const Status shared = ::fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) == 0
                              ? commands_->channel().ShareMemory(range->region, fd, range->bytes)
                              : Status::System(errno, "memfd", "cannot seal");
    if (!shared.ok()) log::Warning("cudaMallocHost", "copies go the long way: " + shared.ToString());
    range->is_shared = shared.ok();
  }
  if (fd >= 0) ::close(fd);
  return 0;
}

void ClientSession::AddHostRange(HostRange range) {
  const std::uint64_t key = Address(range.memory);
  if (range.kind != HostKind::kManaged) commands_->channel().NotePinned({range.memory, range.bytes});
  host_.emplace(key, std::move(range));
  any_host_.store(true, std::memory_order_release);
}

DeviceResult ClientSession::MallocPinned(std::size_t bytes, unsigned flags, void** address, std::uint32_t device) {
  if (bytes == 0 || bytes > limits::kAllocationBytesMax) return kInvalidValue;
  HostRange range;
  if (const DeviceResult made = MakeHostRange(bytes, HostKind::kPinned, &range); made != 0) return made;
  range.flags = flags;
  range.device = device;
  *address = range.memory;
  // The very memory, where both sides have it: the device may reach it from the start, and that costs nothing.
  DeviceResult mapped = 0;
  if (range.is_shared || facts_.client_is_here) mapped = MapOnServer(&range);
  const MutexLock lock(pinned_mu_);
  AddHostRange(std::move(range));
  return mapped;
}

DeviceResult ClientSession::ChargeManaged(std::uint32_t device, std::uint64_t bytes, bool may_wait) {
  {
    const MutexLock lock(memory_mu_);
    memory_[device].Release(PassedByAll());
    if (memory_[device].Charge(bytes).ok()) return 0;
    // When only quarantine could satisfy it, the allocation waits for the work that may still use those ranges.
    if (memory_[device].quarantined_bytes() == 0 || !may_wait) return kOutOfMemory;
  }
  const DeviceResult waited = SynchronizeDevice(device);
  return waited != 0 ? waited : ChargeManaged(device, bytes, false);
}

DeviceResult ClientSession::MallocManaged(std::uint32_t device, std::uint64_t bytes, unsigned flags,
                                          std::uint64_t* address) {
  if (bytes == 0 || bytes > limits::kAllocationBytesMax) return kOutOfMemory;
  const std::uint64_t rounded = AlignUp(bytes, limits::kPageBytes);
  if (const DeviceResult charged = ChargeManaged(device, rounded, true); charged != 0) return charged;
  HostRange range;
  DeviceResult result = MakeHostRange(bytes, HostKind::kManaged, &range);
  if (result == 0) {
    range.device = device;
    range.flags = flags;
    *address = range.device_address;
    result = MapOnServer(&range);
    std::shared_ptr<ReachedTwin> twin = range.twin;
    {
      const MutexLock lock(pinned_mu_);
      AddHostRange(std::move(range));
    }
    if (result == 0) return AddReached(std::move(twin));
    const DeviceResult gone = RemoveHostRange(*address);
    return gone != 0 ? gone : result;
  }
  const MutexLock lock(memory_mu_);
  memory_[device].Discharge(rounded);
  return result;
}

DeviceResult ClientSession::RegisterHost(void* memory, std::size_t bytes, unsigned flags, std::uint32_t device) {
  const std::uint64_t address = Address(memory);
  if (memory == nullptr || bytes == 0 || address + bytes < address || IsDeviceAddress(memory)) return kInvalidValue;
  if (!IsMapped(static_cast<const std::uint8_t*>(memory), bytes)) return kInvalidValue;
  const MutexLock lock(pinned_mu_);
  const auto next = host_.lower_bound(address);
  if (next != host_.end() && next->first - address < bytes) return kAlreadyRegistered;
  if (FindHostRange(address) != nullptr) return kAlreadyRegistered;
  HostRange range;
  range.kind = HostKind::kRegistered;
  range.memory = static_cast<std::uint8_t*>(memory);
  range.bytes = range.requested_bytes = bytes;
  range.device = device;
  range.flags = flags;
  AddHostRange(std::move(range));
  return 0;
}

bool ClientSession::WithAdvice(const void* address, std::uint64_t bytes, const std::function<void(AdviceMap&)>& visit) {
  const MutexLock lock(pinned_mu_);
  HostRange* range = FindHostRange(Address(address));
  if (range == nullptr || range->kind != HostKind::kManaged) return false;
  if (bytes > range->bytes - (Address(address) - Address(range->memory))) return false;
  visit(range->advice);
  return true;
}

// Ends ---------------------------------------------------------------------------------------------------------------

DeviceResult ClientSession::RemoveHostRange(std::uint64_t address) {
  // CUDA waits for the device here: a copy or a kernel may still read or write these pages.
  for (std::uint32_t device = 0; device < devices_.size(); ++device) {
    if (const DeviceResult waited = SynchronizeDevice(device); waited != 0) break;  // Lost: nobody writes any more.
  }
  HostRange range;
  {
    const MutexLock lock(pinned_mu_);
    const auto found = host_.find(address);
    if (found == host_.end()) return kInvalidValue;  // another thread was first
    range = std::move(found->second);
    host_.erase(found);
    aliases_.erase(range.device_address);
    any_host_.store(!host_.empty(), std::memory_order_release);
    any_reached_.store(
        std::any_of(host_.begin(), host_.end(), [](const auto& entry) { return entry.second.is_reached; }),
        std::memory_order_release);
  }
  if (range.kind != HostKind::kManaged) commands_->channel().NoteUnpinned(range.memory);
  if (range.twin != nullptr) RemoveTwin(*range.twin);
  const std::uint64_t page = range.device_address / limits::kPageBytes * limits::kPageBytes;
  const std::uint64_t page_bytes = range.PageBytes();
  if (range.is_foreign) {
    foreign_.Remove(range.device_address);
    return 0;
  }
  DeviceResult result = 0;
  if (range.is_mapped) {
    const auto posted = commands_->Post(wire::HostUnmap(page));
    if (!posted.ok()) result = Lost(posted.status());
  }
  if (range.is_shared) {
    const auto posted = commands_->Post(wire::SharedRelease(range.region, 0));
    if (!posted.ok()) result = Lost(posted.status());
  }
  if (range.device_address != 0) {
    // The addresses stay ours.
    ::mmap(Pointer(page), page_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
    const MutexLock lock(pinned_mu_);
    if (range.kind != HostKind::kManaged && range.twin != nullptr) twin_bytes_ -= page_bytes;
    if (!host_space_.Free(page, 0, true).ok()) log::Error("host memory", "an address was not given out");
  }
  if (range.kind == HostKind::kManaged) {
    const MutexLock lock(memory_mu_);
    memory_[range.device].Discharge(range.bytes);
  }
  // The program's memory is its own again; an end that was lost is said by the next call.
  return range.kind == HostKind::kRegistered ? 0 : result;
}

void ClientSession::RemoveHostRangesOf(std::uint32_t device) {
  std::vector<std::uint64_t> addresses;
  {
    const MutexLock lock(pinned_mu_);
    for (const auto& [address, range] : host_) {
      const bool is_variables = range.kind == HostKind::kManaged && range.flags == kVariables;
      if (range.device == device && !is_variables) addresses.push_back(address);
    }
  }
  // What another thread has ended meanwhile is none any more.
  for (const std::uint64_t address : addresses) RemoveHostRange(address);
}

DeviceResult ClientSession::FreePinned(void* address) {
  {
    const MutexLock lock(pinned_mu_);
    const auto found = host_.find(Address(address));
    if (found == host_.end() || found->second.kind != HostKind::kPinned) return kInvalidValue;
  }
  return RemoveHostRange(Address(address));
}

DeviceResult ClientSession::FreeManaged(std::uint64_t address) {
  {
    const MutexLock lock(pinned_mu_);
    const auto found = host_.find(address);
    if (found == host_.end() || found->second.kind != HostKind::kManaged || found->second.flags == kVariables)
      return kInvalidValue;
  }
  return RemoveHostRange(address);
}

DeviceResult ClientSession::UnregisterHost(void* memory) {
  {
    const MutexLock lock(pinned_mu_);
    const auto found = host_.find(Address(memory));
    if (found == host_.end()) return FindHostRange(Address(memory)) != nullptr ? kInvalidValue : kNotRegistered;
    if (found->second.kind != HostKind::kRegistered) return kInvalidValue;
  }
  return RemoveHostRange(Address(memory));
}

// Reach --------------------------------------------------------------------------------------------------------------

std::uint64_t HostRange::PageBytes() const {
  const std::uint64_t offset = device_address % limits::kPageBytes;
  return AlignUp(offset + bytes, limits::kPageBytes);
}

bool HostRange::MakeTwin() {
  twin = std::make_shared<ReachedTwin>();
  twin->twin = Twin::Make({memory, bytes});
  twin->device_address = device_address;
  twin->kind = kind;
  return twin->twin != nullptr;
}

// The server knows the range from here on. `range` is in nobody else's hands, or pinned_mu_ is held.
DeviceResult ClientSession::MapOnServer(HostRange* range) {
  const std::uint64_t page = range->device_address / limits::kPageBytes * limits::kPageBytes;
  const std::uint64_t bytes = range->PageBytes();
  const std::uint32_t device = range->kind == HostKind::kManaged ? range->device : kNobody;
  const bool is_same = range->is_shared || (facts_.client_is_here && range->kind != HostKind::kRegistered);
  if (!is_same && !range->MakeTwin()) return kOutOfMemory;
  const auto kind = range->is_shared ? wire::HostMapKind::Region : wire::HostMapKind::Twin;
  const auto posted = commands_->Post(wire::HostMap(page, bytes, range->region, device, kind));
  if (!posted.ok()) return Lost(posted.status());
  range->is_mapped = true;
  range->is_reached = range->kind == HostKind::kManaged;
  return 0;
}

DeviceResult ClientSession::NameOnDevice(HostRange* range) {
  if (range->device_address != 0) return 0;
  // An address that differs, but lies in its page as the memory does.
  const std::uint64_t offset = Address(range->memory) % limits::kPageBytes;
  const Result<std::uint64_t> page = host_space_.Allocate(AlignUp(offset + range->bytes, limits::kPageBytes));
  if (!page.ok()) return kOutOfMemory;
  range->device_address = *page + offset;
  aliases_[range->device_address] = Address(range->memory);
  // Only a server in this process finds these pages.
  if (facts_.client_is_here && ::mprotect(Pointer(*page), range->PageBytes(), PROT_READ | PROT_WRITE) != 0)
    return kOutOfMemory;
  return 0;
}

DeviceResult ClientSession::Reach(HostRange* range, std::shared_ptr<ReachedTwin>* twin) {
  if (const DeviceResult named = NameOnDevice(range); named != 0) return named;
  if (!range->is_mapped) {
    std::uint64_t twin_bytes_max = 0;
    for (const LeasedDevice& leased : devices_) twin_bytes_max += leased.memory_bytes;
    if (range->PageBytes() > twin_bytes_max - twin_bytes_) {
      log::Error("mapped memory", "the server keeps copies of host memory that kernels reach of at most " +
                                      std::to_string(twin_bytes_max / limits::kMiB) + " MiB");
      return kOutOfMemory;
    }
    if (const DeviceResult mapped = MapOnServer(range); mapped != 0) return mapped;
    if (range->twin != nullptr) twin_bytes_ += range->PageBytes();
    *twin = range->twin;
  }
  range->is_reached = true;
  any_reached_.store(true, std::memory_order_release);
  return 0;
}

DeviceResult ClientSession::DeviceAddressOf(const void* host, std::uint64_t* device_address, bool reach) {
  const MutexLock reach_lock(reach_mu_);
  std::shared_ptr<ReachedTwin> twin;
  {
    const MutexLock lock(pinned_mu_);
    HostRange* range = FindHostRange(Address(host));
    if (range == nullptr) return kInvalidValue;
    const DeviceResult known = reach ? Reach(range, &twin) : NameOnDevice(range);
    if (known != 0) return known;
    if (reach && range->twin != nullptr) range->twin->by_argument = false;
    const std::uint64_t offset = Address(host) - Address(range->memory);
    *device_address =
        offset < range->bytes ? range->device_address + offset : Address(host);  // it was the device's already
  }
  return reach ? AddReached(std::move(twin)) : 0;
}

DeviceResult ClientSession::ReachByArgument(std::uint64_t address, Named* named) {
  const auto is_reached = [&]() ACCELMESH_EXCLUDES(pinned_mu_) {
    const MutexLock lock(pinned_mu_);
    HostRange* range = FindHostRange(address);
    if (range == nullptr) return true;  // the kernel's own mistake, or no address at all
    if (!range->is_reached || (range->twin != nullptr && !range->twin->is_added)) return false;
    if (range->twin != nullptr) named->push_back(range->twin);
    return true;
  };
  if (is_reached()) return 0;
  // The first time: one thread makes the twin, and whoever else names the range waits until it is one.
  const MutexLock reach_lock(reach_mu_);
  if (is_reached()) return 0;
  // Copies into it may be on their way that the twin must have.
  if (HostWritesPending()) {
    for (std::uint32_t device = 0; device < devices_.size(); ++device) {
      if (const DeviceResult waited = SynchronizeDevice(device); waited != 0) return waited;
    }
  }
  std::shared_ptr<ReachedTwin> twin;
  {
    const MutexLock lock(pinned_mu_);
    HostRange* range = FindHostRange(address);
    if (range == nullptr) return 0;
    if (const DeviceResult reached = Reach(range, &twin); reached != 0) return reached;
    if (range->twin != nullptr) named->push_back(range->twin);
  }
  if (twin != nullptr) twin->by_argument = true;
  return AddReached(std::move(twin));
}

DeviceResult ClientSession::BeforeKernel(Stream* stream, ByteView arguments) {
  if (!any_host_.load(std::memory_order_acquire)) return 0;
  Named named;
  for (std::size_t at = 0; at + sizeof(std::uint64_t) <= arguments.size(); at += sizeof(std::uint64_t)) {
    std::uint64_t word = 0;
    std::memcpy(&word, arguments.data() + at, sizeof(word));
    if (!IsCommonAddress(word)) continue;
    if (const DeviceResult reached = ReachByArgument(word, &named); reached != 0) return reached;
  }
  return PushTwins(stream, named, true);
}

DeviceResult ClientSession::BeforeDeviceUse(Stream* stream, std::uint64_t address, bool writes) {
  if (!IsCommonAddress(address)) return 0;
  Named named;
  if (const DeviceResult reached = ReachByArgument(address, &named); reached != 0) return reached;
  return PushTwins(stream, named, writes);
}

bool ClientSession::HasTwin(const void* host, std::uint64_t bytes, std::uint64_t* device_address) {
  if (!any_reached_.load(std::memory_order_acquire)) return false;
  const MutexLock lock(pinned_mu_);
  const HostRange* range = FindHostRange(Address(host));
  if (range == nullptr) return false;
  // Also where the server is in this process and has no region of it: what kernels use must come in their order.
  if (range->twin == nullptr && (range->is_shared || !range->is_reached)) return false;
  const std::uint64_t offset = Address(host) - Address(range->memory);
  if (offset >= range->bytes || bytes > range->bytes - offset) return false;
  *device_address = range->device_address + offset;
  return true;
}

void ClientSession::NoteDeviceWork(std::uint32_t slot, std::uint64_t sequence) {
  if (!any_reached_.load(std::memory_order_acquire)) return;
  NotePinnedWrite(slot, sequence);
  NoteTwinWork(slot, sequence);
}

}  // namespace accelmesh
