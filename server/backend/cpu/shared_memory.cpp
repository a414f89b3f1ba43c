// CpuBackend: the window's memory, where sessions of a lease share it. A worker that opens another's memory maps pages
// of that session's file in its own window.
#include <sys/mman.h>

#include <cerrno>

#include "protocol/base/bytes.h"
#include "server/backend/cpu/device.h"

namespace accelmesh {

void* CpuBackend::MapWindow(std::uint64_t address, std::uint64_t bytes, int flags) const {
  void* const wanted = reinterpret_cast<void*>(address);
  constexpr int kAccess = PROT_READ | PROT_WRITE;
  if (file_ < 0) return ::mmap(wanted, bytes, kAccess, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | flags, -1, 0);
  return ::mmap(wanted, bytes, kAccess, MAP_SHARED | MAP_NORESERVE | flags, file_,
                static_cast<off_t>(file_offset_ + (address - window_base_)));
}

void CpuBackend::UseFile(int fd, std::uint64_t offset) {
  file_ = fd;
  file_offset_ = offset;
}

Status CpuBackend::ShareMemory(int fd, std::uint64_t offset, std::uint64_t address, std::uint64_t bytes) {
  const std::uint64_t before = address % limits::kPageBytes;
  if (offset % limits::kPageBytes != before)
    return {Code::kInvalidArgument, "CpuBackend::ShareMemory",
            "the address lies elsewhere in its page than the memory"};
  void* const pages = reinterpret_cast<void*>(address - before);
  if (::mmap(pages, AlignUp(before + bytes, limits::kPageBytes), PROT_READ | PROT_WRITE,
             MAP_SHARED | MAP_NORESERVE | MAP_FIXED, fd, static_cast<off_t>(offset - before)) == MAP_FAILED)
    return Status::System(errno, "CpuBackend::ShareMemory", "the memory cannot be mapped");
  memory_.Allow(address, bytes);
  return Status::Ok();
}

Status CpuBackend::UnshareMemory(std::uint64_t address, std::uint64_t bytes) {
  // Memory of our own takes the place at once: a kernel that is still in there must not end the worker.
  const std::uint64_t before = address % limits::kPageBytes;
  if (MapWindow(address - before, AlignUp(before + bytes, limits::kPageBytes), MAP_FIXED) == MAP_FAILED)
    return Status::System(errno, "CpuBackend::UnshareMemory", "the memory cannot be unmapped");
  return Status::Ok();
}

}  // namespace accelmesh
