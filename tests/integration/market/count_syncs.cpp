// Preloaded into slot-market by market-bench: counts what it asks the disk to make last, in the file that
// ACCELMESH_SYNC_COUNT names (eight bytes, shared memory).
#include <dlfcn.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <cstdlib>

namespace {

std::atomic<std::uint64_t>* Counter() {
  static auto* const counter = [] {
    const char* path = std::getenv("ACCELMESH_SYNC_COUNT");
    const int file = path != nullptr ? ::open(path, O_RDWR | O_CLOEXEC) : -1;
    void* memory = file < 0 ? MAP_FAILED : ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    return memory == MAP_FAILED ? nullptr : static_cast<std::atomic<std::uint64_t>*>(memory);
  }();
  return counter;
}

int Synced(const char* name, int file) {
  if (auto* counter = Counter(); counter != nullptr) ++*counter;
  return reinterpret_cast<int (*)(int)>(::dlsym(RTLD_NEXT, name))(file);
}

}  // namespace

// Others are hidden.
#define COUNTED extern "C" __attribute__((visibility("default")))
COUNTED int fsync(int file) { return Synced("fsync", file); }
COUNTED int fdatasync(int file) { return Synced("fdatasync", file); }
