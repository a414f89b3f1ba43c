#include "shim/core/foreign_memory.h"

#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <iterator>

#include "protocol/base/bytes.h"
#include "protocol/base/limits.h"

namespace accelmesh {
namespace {

// Below lies nothing in any process, so that a null pointer of the program's faults.
constexpr std::uint64_t kAddressFirst = 64 * limits::kKiB;
constexpr std::uint64_t kAddressEnd = std::uint64_t{1} << 47;

void* Pointer(std::uint64_t address) { return reinterpret_cast<void*>(address); }

// Exactly there. Kernels before 4.17 take the flag for none, and the address for a wish.
Status MapPages(std::uint64_t first, std::uint64_t end) {
  const std::uint64_t bytes = end - first;
  void* got = ::mmap(Pointer(first), bytes, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
  if (got == Pointer(first)) return Status::Ok();
  const int error = got == MAP_FAILED ? errno : EEXIST;
  if (got != MAP_FAILED) ::munmap(got, bytes);
  if (error == EEXIST) return {Code::kFull, "ForeignMemory::Add", "something of this program is there"};
  return Status::System(error, "ForeignMemory::Add", "mmap");
}

}  // namespace

ForeignMemory::~ForeignMemory() {
  while (!ranges_.empty()) Remove(ranges_.begin()->first);
}

ForeignMemory::Span ForeignMemory::PagesOf(std::uint64_t address, std::uint64_t bytes) {
  return {address / limits::kPageBytes * limits::kPageBytes, AlignUp(address + bytes, limits::kPageBytes)};
}

ForeignMemory::Span ForeignMemory::OwnPagesOf(std::uint64_t address, std::uint64_t bytes) const {
  Span pages = PagesOf(address, bytes);
  const auto next = ranges_.upper_bound(address);
  if (next != ranges_.end() && PagesOf(next->first, 1).first < pages.end) pages.end -= limits::kPageBytes;
  const auto found = ranges_.lower_bound(address);
  if (found != ranges_.begin()) {
    const auto& [before, range] = *std::prev(found);
    if (PagesOf(before, range.bytes).end > pages.first) pages.first += limits::kPageBytes;
  }
  return pages;
}

Status ForeignMemory::Add(std::uint64_t address, std::uint64_t bytes, bool is_here) {
  if (address < kAddressFirst || bytes == 0 || bytes > limits::kAllocationBytesMax || address > kAddressEnd - bytes)
    return {Code::kInvalidArgument, "ForeignMemory::Add", "no address of a variable"};
  const MutexLock lock(mu_);
  const auto next = ranges_.lower_bound(address);
  const bool is_known = (next != ranges_.end() && next->first - address < bytes) ||
                        (next != ranges_.begin() && address - std::prev(next)->first < std::prev(next)->second.bytes);
  if (is_known) return {Code::kInvalidArgument, "ForeignMemory::Add", "another variable lies there"};
  if (!is_here) {
    const Span wanted = OwnPagesOf(address, bytes);
    if (wanted.first < wanted.end) ACCELMESH_RETURN_IF_ERROR(MapPages(wanted.first, wanted.end));
    // Pages that were here already may hold what an earlier variable left.
    const std::uint64_t end = address + bytes;
    if (address < wanted.first) std::memset(Pointer(address), 0, std::min(end, wanted.first) - address);
    const std::uint64_t rest = std::max(address, wanted.end);
    if (rest < end) std::memset(Pointer(rest), 0, end - rest);
  }
  ranges_.emplace(address, Range{bytes, !is_here});
  NoteBounds();
  return Status::Ok();
}

void ForeignMemory::Remove(std::uint64_t address) {
  const MutexLock lock(mu_);
  const auto found = ranges_.find(address);
  if (found == ranges_.end()) return;
  const Span pages = OwnPagesOf(address, found->second.bytes);
  if (found->second.is_mapped && pages.first < pages.end) ::munmap(Pointer(pages.first), pages.end - pages.first);
  ranges_.erase(found);
  NoteBounds();
}

void ForeignMemory::NoteBounds() {
  std::uint64_t end = 0;
  if (!ranges_.empty()) end = std::prev(ranges_.end())->first + std::prev(ranges_.end())->second.bytes;
  // In between a reader may miss what is being added, which no other thread can know of yet.
  lowest_.store(ranges_.empty() ? 0 : ranges_.begin()->first, std::memory_order_release);
  end_.store(end, std::memory_order_release);
}

bool ForeignMemory::Contains(std::uint64_t address) const {
  if (address >= end_.load(std::memory_order_acquire) || address < lowest_.load(std::memory_order_acquire))
    return false;
  const MutexLock lock(mu_);
  const auto after = ranges_.upper_bound(address);
  return after != ranges_.begin() && address - std::prev(after)->first < std::prev(after)->second.bytes;
}

}  // namespace accelmesh
