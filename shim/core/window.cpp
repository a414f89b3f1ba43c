#include "shim/core/window.h"

#include <sys/mman.h>
#include <sys/resource.h>

#include <cerrno>

#include "protocol/base/limits.h"

namespace accelmesh {
std::span<const WindowCandidate> WindowCandidates() { return kWindowCandidates; }

Result<Window> Window::Reserve(const WindowCandidate& candidate) {
  constexpr const char* kWhere = "Window::Reserve";
  void* wanted = reinterpret_cast<void*>(candidate.base);
  void* got = ::mmap(wanted, candidate.bytes, PROT_NONE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
  if (got == wanted) return Window(candidate.base, candidate.bytes);
  const int error = got == MAP_FAILED ? errno : EEXIST;
  if (got != MAP_FAILED) ::munmap(got, candidate.bytes);
  if (error == EEXIST) return Status(Code::kFull, kWhere, "the addresses are taken");
  rlimit limit{};
  if (::getrlimit(RLIMIT_AS, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY) {
    return Status(Code::kSystem, kWhere,
                  "no room for the window of device addresses: the address space of this process is limited to " +
                      std::to_string(limit.rlim_cur / limits::kMiB) + " MiB; run with `ulimit -v unlimited`");
  }
  return Status::System(error, kWhere, "no room for the window of device addresses");
}

Window::~Window() {
  if (bytes_ != 0) ::munmap(reinterpret_cast<void*>(base_), bytes_);
}

}  // namespace accelmesh
