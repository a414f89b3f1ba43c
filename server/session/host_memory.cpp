// The host window, and the commands that concern it.
#include "server/session/host_memory.h"

#include <sys/mman.h>

#include <cerrno>
#include <cstring>
#include <iterator>

#include "protocol/base/limits.h"
#include "protocol/base/log.h"
#include "server/session/session_inl.h"

namespace accelmesh {
namespace {

constexpr int kReserved = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;

void* Pointer(std::uint64_t address) { return reinterpret_cast<void*>(address); }

// As a processor writes memory that a device may be looking at: whole words where they lie as words do. Kernels that
// run may race with it, as they do with the program's own writes.
#define ACCELMESH_RACES __attribute__((no_sanitize("thread")))
template <typename Word>
ACCELMESH_RACES std::size_t WriteWord(std::uint64_t address, const std::uint8_t* from) {
  Word word = 0;
  std::memcpy(&word, from, sizeof(word));
  *reinterpret_cast<volatile Word*>(address) = word;
  return sizeof(Word);
}
ACCELMESH_RACES void WriteWords(std::uint64_t address, ByteView bytes) {
  for (std::size_t at = 0; at < bytes.size();) {
    const std::uint64_t to = address + at;
    const std::size_t left = bytes.size() - at;
    if (to % 8 == 0 && left >= 8) {
      at += WriteWord<std::uint64_t>(to, bytes.data() + at);
    } else if (to % 4 == 0 && left >= 4) {
      at += WriteWord<std::uint32_t>(to, bytes.data() + at);
    } else if (to % 2 == 0 && left >= 2) {
      at += WriteWord<std::uint16_t>(to, bytes.data() + at);
    } else {
      at += WriteWord<std::uint8_t>(to, bytes.data() + at);
    }
  }
}

}  // namespace

Status HostMemory::Reserve(std::uint64_t base, std::uint64_t bytes) {
  constexpr const char* kWhere = "OpenSession.host_window";
  if (base == 0 || base % (2 * limits::kMiB) != 0 || bytes % limits::kPageBytes != 0 || bytes > 8192 * limits::kGiB ||
      base > (std::uint64_t{1} << 47) - bytes)
    return {Code::kBadFrame, kWhere, "not a window"};
  if (!client_is_here_) {
    void* got = ::mmap(Pointer(base), bytes, PROT_NONE, kReserved | MAP_FIXED_NOREPLACE, -1, 0);
    if (got != Pointer(base)) {
      if (got != MAP_FAILED) ::munmap(got, bytes);
      return {Code::kFull, kWhere, "the host window is taken in the worker"};
    }
  }
  base_ = base;
  bytes_ = bytes;
  return Status::Ok();
}

void HostMemory::Release() {
  if (bytes_ != 0 && !client_is_here_) ::munmap(Pointer(base_), bytes_);
  bytes_ = 0;
  ranges_.clear();
}

Status HostMemory::CheckFree(std::uint64_t address, std::uint64_t bytes) const {
  constexpr const char* kWhere = "HostMap";
  const std::uint64_t offset = address - base_;
  if (bytes == 0 || bytes % limits::kPageBytes != 0 || address % limits::kPageBytes != 0 || offset >= bytes_ ||
      bytes > bytes_ - offset)
    return {Code::kInvalidArgument, kWhere, "not whole pages of the host window"};
  const auto next = ranges_.lower_bound(address);
  if (next != ranges_.end() && next->first - address < bytes) return {Code::kInvalidArgument, kWhere, "overlaps"};
  if (next != ranges_.begin()) {
    const auto before = std::prev(next);
    if (address - before->first < before->second.bytes) return {Code::kInvalidArgument, kWhere, "overlaps"};
  }
  return Status::Ok();
}

Status HostMemory::MapRegion(std::uint64_t address, MutableByteView region, std::uint32_t device) {
  ACCELMESH_RETURN_IF_ERROR(CheckFree(address, region.size()));
  // An old size of nothing makes a second mapping of the same shared pages.
  if (::mremap(region.data(), 0, region.size(), MREMAP_MAYMOVE | MREMAP_FIXED, Pointer(address)) == MAP_FAILED)
    return Status::System(errno, "HostMap.region", "mremap");
  ranges_.emplace(address, Range{region.size(), device, false});
  return Status::Ok();
}

Status HostMemory::MapTwin(std::uint64_t address, std::uint64_t bytes, std::uint32_t device) {
  ACCELMESH_RETURN_IF_ERROR(CheckFree(address, bytes));
  const bool is_bounded = device == kNobody;
  if (is_bounded && bytes > twin_bytes_max_ - twin_bytes_) {
    return {Code::kOutOfMemory, "HostMap.twin",
            std::to_string(bytes) + " bytes asked, " + std::to_string(twin_bytes_max_ - twin_bytes_) +
                " left for copies of host memory that the device reaches"};
  }
  if (!client_is_here_ &&
      ::mmap(Pointer(address), bytes, PROT_READ | PROT_WRITE, kReserved | MAP_FIXED, -1, 0) == MAP_FAILED)
    return Status::System(errno, "HostMap.twin", "mmap");
  if (is_bounded) twin_bytes_ += bytes;
  ranges_.emplace(address, Range{bytes, device, true});
  return Status::Ok();
}

const HostMemory::Range* HostMemory::Find(std::uint64_t address) const {
  const auto found = ranges_.find(address);
  return found == ranges_.end() ? nullptr : &found->second;
}

Status HostMemory::Unmap(std::uint64_t address) {
  const auto found = ranges_.find(address);
  if (found == ranges_.end()) return {Code::kInvalidArgument, "HostUnmap", "not the start of a range"};
  const Range& range = found->second;
  if (!client_is_here_ && ::mmap(Pointer(address), range.bytes, PROT_NONE, kReserved | MAP_FIXED, -1, 0) == MAP_FAILED)
    return Status::System(errno, "HostUnmap", "mmap");
  if (range.is_twin && range.device == kNobody) twin_bytes_ -= range.bytes;
  ranges_.erase(found);
  return Status::Ok();
}

bool HostMemory::Covers(std::uint64_t address, std::uint64_t bytes) const {
  const auto after = ranges_.upper_bound(address);
  if (after == ranges_.begin()) return false;
  const auto& [start, range] = *std::prev(after);
  const std::uint64_t offset = address - start;
  return offset <= range.bytes && bytes <= range.bytes - offset;
}

// Commands -----------------------------------------------------------------------------------------------------------

Status Session::On(const wire::HostMap& command, const RecordView& record) {
  const std::uint32_t device = command.device();
  const bool is_charged = device != HostMemory::kNobody;
  if (is_charged && device >= memory_.size()) return {Code::kBadFrame, "HostMap.device", "out of range"};
  if (command.kind() > wire::HostMapKind::Twin) return {Code::kBadFrame, "HostMap.kind", "neither region nor twin"};
  MutableByteView region;
  if (command.kind() == wire::HostMapKind::Region) {
    ACCELMESH_ASSIGN_OR_RETURN(region, channel_.SharedRegion(command.region()));
    if (region.size() != command.bytes()) return {Code::kBadFrame, "HostMap.bytes", "not the region's size"};
  }
  Status mapped = is_charged ? memory_[device].Charge(command.bytes()) : Status::Ok();
  if (mapped.ok()) {
    mapped = command.kind() == wire::HostMapKind::Region ? host_.MapRegion(command.address(), region, device)
                                                         : host_.MapTwin(command.address(), command.bytes(), device);
    if (!mapped.ok() && is_charged) memory_[device].Discharge(command.bytes());
  }
  if (!mapped.ok()) {
    const DeviceStatus status = mapped.code() == Code::kInvalidArgument ? kDeviceInvalidValue : kDeviceOutOfMemory;
    Failed(0, record.sequence, status, false, mapped.ToString());
    return Status::Ok();
  }
  return backend_.MapHost({static_cast<std::uint8_t*>(Pointer(command.address())), command.bytes()});
}

Status Session::On(const wire::HostUnmap& command, const RecordView& record) {
  const HostMemory::Range* found = host_.Find(command.address());
  if (found == nullptr) {
    Failed(0, record.sequence, kDeviceInvalidValue, false, "HostUnmap: not the start of mapped host memory");
    return Status::Ok();
  }
  const HostMemory::Range range = *found;
  std::erase_if(placed_, [&](const PlacedVariable& placed) {
    return reinterpret_cast<std::uint64_t>(placed.memory.data()) - command.address() < range.bytes;
  });
  // The client has waited for everything that uses it; one that has not loses this worker, which is its own.
  ACCELMESH_RETURN_IF_ERROR(backend_.UnmapHost(command.address()));
  ACCELMESH_RETURN_IF_ERROR(host_.Unmap(command.address()));
  if (range.device != HostMemory::kNobody) memory_[range.device].Discharge(range.bytes);
  return Status::Ok();
}

Status Session::On(const wire::HostWrite& command, const RecordView& record) {
  const std::size_t bytes = record.payload.size();
  if (bytes == 0 || !(host_.Covers(command.address(), bytes) || IsGlobal(command.address(), bytes, true)))
    return {Code::kBadFrame, "HostWrite", "not inside mapped host memory or a managed variable"};
  WriteWords(command.address(), record.payload);
  return Status::Ok();
}

Status Session::On(const wire::ManagedVariable& command, const RecordView& record) {
  if (!backend_.places_variables()) return {Code::kBadFrame, "ManagedVariable", "the driver places managed variables"};
  if (command.module_id() >= limits::kModulesMax || record.payload.empty() ||
      record.payload.size() > limits::kNameBytesMax || placed_.size() >= limits::kManagedVariablesMax ||
      !host_.Covers(command.address(), command.bytes()))
    return {Code::kBadFrame, "ManagedVariable", "module, name or memory out of range"};
  placed_.push_back({command.module_id(),
                     std::string(record.payload.begin(), record.payload.end()),
                     {static_cast<std::uint8_t*>(Pointer(command.address())), command.bytes()},
                     command.keep() != 0});
  return Status::Ok();
}

}  // namespace accelmesh
