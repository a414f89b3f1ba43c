#include "shim/interpose/near_pages.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

namespace accelmesh {
namespace {

constexpr const char* kWhere = "NearPages::Map";
// Less than 2 GiB, so that nobody has to count the bytes of a jump.
constexpr std::uintptr_t kReach = (std::uintptr_t{1} << 31) - (1u << 20);
// Wide enough that a gigabyte in the way is passed in milliseconds; gaps between libraries are found nevertheless,
// because their ends are tried first.
constexpr std::uintptr_t kStride = 256u << 10;
constexpr std::uintptr_t kLowest = 64u << 10;  // what the kernel lets nobody map

// Null if something is there already, or the place is none.
void* TryAt(std::uintptr_t address, std::size_t bytes) {
  void* place = reinterpret_cast<void*>(address);
  void* mapped = ::mmap(place, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
  if (mapped == MAP_FAILED) return nullptr;
  if (mapped == place) return mapped;
  // A kernel that does not know MAP_FIXED_NOREPLACE takes the address for a wish.
  ::munmap(mapped, bytes);
  return nullptr;
}

}  // namespace

Result<NearPages> NearPages::Map(std::uintptr_t first, std::uintptr_t last, std::size_t bytes) {
  const auto page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
  bytes = static_cast<std::size_t>(AlignUp(bytes, page));
  if (last - first >= kReach) return Status(Code::kUnsupported, kWhere, "the code is too large for one jump to cross");
  const std::uintptr_t lowest = std::max(last > kReach ? AlignUp(last - kReach, page) : 0, std::uintptr_t{kLowest});
  const std::uintptr_t highest = first > UINTPTR_MAX - kReach ? UINTPTR_MAX : first + kReach;
  // Below first: above a program lies its heap, which would run into us.
  const std::uintptr_t below = first / page * page;
  for (std::uintptr_t down = bytes; below > lowest && down <= below - lowest; down += kStride) {
    if (void* mapped = TryAt(below - down, bytes)) return NearPages({static_cast<std::uint8_t*>(mapped), bytes});
  }
  const std::uintptr_t above = AlignUp(last + 1, page);
  for (std::uintptr_t at = above; at < highest && bytes <= highest - at; at += kStride) {
    if (void* mapped = TryAt(at, bytes)) return NearPages({static_cast<std::uint8_t*>(mapped), bytes});
  }
  return Status(Code::kOutOfMemory, kWhere, "no page within 2 GiB of the code is free");
}

NearPages& NearPages::operator=(NearPages&& other) noexcept {
  std::swap(bytes_, other.bytes_);
  return *this;
}

Status NearPages::MakeExecutable() {
  if (::mprotect(bytes_.data(), bytes_.size(), PROT_READ | PROT_EXEC) == 0) return Status::Ok();
  return Status::System(errno, "NearPages::MakeExecutable", "cannot make a page executable");
}

void NearPages::Unmap() {
  if (!bytes_.empty()) ::munmap(bytes_.data(), bytes_.size());
}

}  // namespace accelmesh
