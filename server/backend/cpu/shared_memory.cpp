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

Result<SharedMemory> CpuBackend::ExportMemory(std::uint32_t /*device*/, std::uint64_t address, std::uint64_t bytes) {
  SharedMemory memory;
  memory.lead = address % limits::kPageBytes;
  memory.pieces.push_back(
      {0, file_offset_ + (address - memory.lead - window_base_), AlignUp(memory.lead + bytes, limits::kPageBytes), -1});
  return memory;
}

Status CpuBackend::ShareMemory(std::uint32_t /*device*/, const SharedMemory& memory, std::uint64_t address,
                               std::uint64_t bytes) {
  constexpr const char* kWhere = "CpuBackend::ShareMemory";
  const std::uint64_t start = address - memory.lead;
  if (memory.pieces.size() != 1 || start % limits::kPageBytes != 0 ||
      memory.pieces.front().offset % limits::kPageBytes != 0)
    return {Code::kInvalidArgument, kWhere, "the address lies elsewhere in its page than the memory"};
  const SharedPiece& pages = memory.pieces.front();
  if (::mmap(reinterpret_cast<void*>(start), pages.bytes, PROT_READ | PROT_WRITE,
             MAP_SHARED | MAP_NORESERVE | MAP_FIXED, pages.fd, static_cast<off_t>(pages.offset)) == MAP_FAILED)
    return Status::System(errno, kWhere, "the memory cannot be mapped");
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
