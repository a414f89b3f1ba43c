// Preloaded into a daemon by a test: moves what the clock of the day says by as many milliseconds as stand in the file
// that ACCELMESH_CLOCK_SHIFT names (eight bytes, shared memory). Clocks that only count go on as they are.
#include <dlfcn.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <cstdlib>

namespace {

constexpr std::int64_t kNsOfSecond = 1'000'000'000;

std::int64_t ShiftNs() {
  static const auto* const shift = []() -> const std::atomic<std::int64_t>* {
    const char* path = std::getenv("ACCELMESH_CLOCK_SHIFT");
    const int file = path != nullptr ? ::open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0) return nullptr;
    void* memory = ::mmap(nullptr, 8, PROT_READ, MAP_SHARED, file, 0);
    ::close(file);
    return memory == MAP_FAILED ? nullptr : static_cast<const std::atomic<std::int64_t>*>(memory);
  }();
  return shift != nullptr ? shift->load() * 1'000'000 : 0;
}

std::int64_t NowNs() {
  static const auto real = reinterpret_cast<int (*)(clockid_t, timespec*)>(::dlsym(RTLD_NEXT, "clock_gettime"));
  timespec now{};
  real(CLOCK_REALTIME, &now);
  return std::int64_t{now.tv_sec} * kNsOfSecond + now.tv_nsec + ShiftNs();
}

}  // namespace

// Others are hidden.
#define SHIFTED extern "C" __attribute__((visibility("default")))

SHIFTED int clock_gettime(clockid_t clock, timespec* to) noexcept {
  static const auto real = reinterpret_cast<int (*)(clockid_t, timespec*)>(::dlsym(RTLD_NEXT, "clock_gettime"));
  if (clock != CLOCK_REALTIME && clock != CLOCK_REALTIME_COARSE) return real(clock, to);
  const std::int64_t now = NowNs();
  to->tv_sec = now / kNsOfSecond;
  to->tv_nsec = now % kNsOfSecond;
  return 0;
}
SHIFTED int gettimeofday(timeval* __restrict to, void* __restrict) noexcept {
  const std::int64_t now = NowNs();
  to->tv_sec = now / kNsOfSecond;
  to->tv_usec = now % kNsOfSecond / 1000;
  return 0;
}
SHIFTED time_t time(time_t* to) noexcept {
  const time_t now = NowNs() / kNsOfSecond;
  if (to != nullptr) *to = now;
  return now;
}
