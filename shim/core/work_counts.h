// How much a program asks of its device while it is counted (statistics.h): arithmetic of library calls, the most
// memory at a time. mesh-run's agent keeps it as the profile of the program.
//
// One for the process, as its session is. What a graph repeats is counted once, when it is recorded; what the program's
// own kernels compute is not known. Threads: any. Costs one load while nobody counts.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>

#include "protocol/base/bytes.h"
#include "protocol/library/operations.h"

namespace accelmesh {

struct WorkCounts {
  std::atomic<bool> is_counting{false};
  std::array<std::array<std::atomic<double>, kWorkTypes>, kWorkKinds> operations{};
  std::atomic<std::uint64_t> memory_bytes_high{0};  // of one device
};
inline constinit WorkCounts g_work;

void NoteLibraryCall(std::uint32_t library, std::uint32_t function, ByteView arguments);

inline void NoteMemory(std::uint64_t allocated_bytes) {
  if (!g_work.is_counting.load(std::memory_order_relaxed)) [[likely]]
    return;
  std::uint64_t high = g_work.memory_bytes_high.load(std::memory_order_relaxed);
  while (allocated_bytes > high &&
         !g_work.memory_bytes_high.compare_exchange_weak(high, allocated_bytes, std::memory_order_relaxed)) {
  }
}

}  // namespace accelmesh
