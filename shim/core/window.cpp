#include "shim/core/window.h"

#include <sys/mman.h>
#include <sys/resource.h>

#include <array>
#include <cerrno>

#include "protocol/base/limits.h"

namespace accelmesh {
namespace {
// The first is a sanitizer's own in every sanitized build, and TSan kills a process that asks for it.
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
constexpr std::array<WindowCandidate, 2> kCandidates{
    {{0x7e80'0000'0000, 256 * limits::kGiB}, {0x5500'0000'0000, 256 * limits::kGiB}}};
#else
constexpr std::array<WindowCandidate, 3> kCandidates{{{0x2000'0000'0000, 4096 * limits::kGiB},
                                                      {0x7e80'0000'0000, 256 * limits::kGiB},
                                                      {0x5500'0000'0000, 256 * limits::kGiB}}};
#endif
}  // namespace

std::span<const WindowCandidate> WindowCandidates() { return kCandidates; }

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
