#include "server/shares/page.h"

#include <fcntl.h>
#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <ctime>
#include <new>

namespace accelmesh::shares {
namespace {

constexpr std::uint32_t kMagic = 0x53484132;  // changes with the layout
// Calls may be lost with a process that died: nobody waits longer without looking.
constexpr long kCallNs = 5'000'000;
constexpr std::size_t kBytes = (sizeof(PageLayout) + 4095) / 4096 * 4096;

Result<PageLayout*> MapBytes(int fd) {
  void* const memory = ::mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (memory == MAP_FAILED) return Status::System(errno, "Page", "cannot map the page of shares");
  return static_cast<PageLayout*>(memory);
}

}  // namespace

std::int64_t NowNs() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<std::int64_t>(now.tv_sec) * 1'000'000'000 + now.tv_nsec;
}

Result<std::unique_ptr<Page>> Page::Create(std::uint32_t threads) {
  const int fd = ::memfd_create("accelmesh-shares", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (fd < 0) return Status::System(errno, "Page", "memfd_create");
  if (::ftruncate(fd, kBytes) != 0 || ::fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) != 0) {
    const int error = errno;
    ::close(fd);
    return Status::System(error, "Page", "no memory for the page of shares");
  }
  Result<PageLayout*> memory = MapBytes(fd);
  if (!memory.ok()) {
    ::close(fd);
    return memory.status();
  }
  auto* const layout = new (*memory) PageLayout();
  pthread_mutexattr_t attributes;
  ::pthread_mutexattr_init(&attributes);
  ::pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
  ::pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
  ::pthread_mutex_init(&layout->mutex, &attributes);
  ::pthread_mutexattr_destroy(&attributes);
  layout->state.threads = threads == 0 ? 1 : threads;
  layout->magic = kMagic;
  return std::unique_ptr<Page>(new Page(fd, layout));
}

Result<std::unique_ptr<Page>> Page::Map(int fd) {
  struct stat info{};
  if (::fstat(fd, &info) != 0 || static_cast<std::size_t>(info.st_size) != kBytes) {
    ::close(fd);
    return Status(Code::kBadFrame, "Page::Map", "not a page of shares");
  }
  Result<PageLayout*> memory = MapBytes(fd);
  if (!memory.ok()) {
    ::close(fd);
    return memory.status();
  }
  std::unique_ptr<Page> page(new Page(fd, *memory));
  if (page->layout_->magic != kMagic) return Status(Code::kVersionMismatch, "Page::Map", "of another build");
  return page;
}

Page::~Page() {
  ::munmap(layout_, kBytes);
  ::close(fd_);
}

Page::Lock::Lock(Page& page, std::int64_t patience_ns) : page_(page) {
  int error = ::pthread_mutex_trylock(&page.layout_->mutex);
  if (error == EBUSY) {
    const std::int64_t end = NowNs() + patience_ns;
    const timespec until{end / 1'000'000'000, end % 1'000'000'000};
    error = ::pthread_mutex_clocklock(&page.layout_->mutex, CLOCK_MONOTONIC, &until);
  }
  if (error == EOWNERDEAD) {
    // Its holder died inside.
    turns().Repair();
    error = ::pthread_mutex_consistent(&page.layout_->mutex);
  }
  held_ = error == 0;
}

Page::Lock::~Lock() {
  if (held_) ::pthread_mutex_unlock(&page_.layout_->mutex);
}

void Page::Call(std::uint32_t seat) {
  std::atomic<std::uint32_t>& calls = layout_->calls[seat];
  calls.fetch_add(1, std::memory_order_release);
  ::syscall(SYS_futex, &calls, FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0);
}

void Page::AwaitCall(std::uint32_t seat, std::uint32_t seen) {
  const timespec wait{0, kCallNs};
  ::syscall(SYS_futex, &layout_->calls[seat], FUTEX_WAIT, seen, &wait, nullptr, 0);
}

}  // namespace accelmesh::shares
