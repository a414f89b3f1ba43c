#include "protocol/transport/shm_layout.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <new>

namespace accelmesh::shm {
namespace {

constexpr int kSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;

}  // namespace

Result<std::shared_ptr<Memory>> Memory::Create() {
  constexpr const char* kWhere = "shm::Memory::Create";
  const int fd = memfd_create("accelmesh-session", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (fd < 0) return Status::System(errno, kWhere, "memfd_create");
  if (ftruncate(fd, kMemoryBytes) != 0 || fcntl(fd, F_ADD_SEALS, kSeals) != 0) {
    const int error = errno;
    close(fd);
    return Status::System(error, kWhere, "sizing and sealing the session's memory");
  }
  void* base = mmap(nullptr, kMemoryBytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (base == MAP_FAILED) {
    const int error = errno;
    close(fd);
    return Status::System(error, kWhere, "mmap");
  }
  new (base) Shared();
  return std::shared_ptr<Memory>(new Memory(fd, static_cast<std::uint8_t*>(base)));
}

Result<std::shared_ptr<Memory>> Memory::Attach(int fd) {
  constexpr const char* kWhere = "shm::Memory::Attach";
  struct stat info{};
  const int seals = fcntl(fd, F_GET_SEALS);
  // Without the seals the peer could shrink the file under us: an access would then kill the process with SIGBUS.
  if (seals < 0 || (seals & kSeals) != kSeals || fstat(fd, &info) != 0 ||
      static_cast<std::uint64_t>(info.st_size) != kMemoryBytes) {
    close(fd);
    return Status(Code::kBadFrame, kWhere,
                  "the server's memory is not sealed or has another size; is it this version?");
  }
  void* base = mmap(nullptr, kMemoryBytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (base == MAP_FAILED) {
    const int error = errno;
    close(fd);
    return Status::System(error, kWhere, "mmap");
  }
  // A forked child has no session; were it to write here, it would corrupt its parent's.
  madvise(base, kMemoryBytes, MADV_DONTFORK);
  std::shared_ptr<Memory> memory(new Memory(fd, static_cast<std::uint8_t*>(base)));
  if (memory->shared().magic != kMagic) {
    return Status(Code::kVersionMismatch, kWhere, "the server lays shared memory out differently; use one version");
  }
  return memory;
}

Memory::~Memory() {
  munmap(base_, kMemoryBytes);
  close(fd_);
}

std::uint8_t* Memory::RingData(RingIndex index) const {
  std::size_t offset = kSharedBytes;
  for (int before = 0; before < index; ++before) offset += RingBytes(static_cast<RingIndex>(before));
  return base_ + offset;
}

}  // namespace accelmesh::shm
