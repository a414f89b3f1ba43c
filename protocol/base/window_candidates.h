// Where a session's window of device addresses may lie, in order of preference. Clients offer these; a worker that is
// started ahead keeps them free. Behind each lies the host window: host memory with one address on both sides.
// Threads: constants.
#pragma once

#include <array>
#include <cstdint>

#include "protocol/base/limits.h"

namespace accelmesh {

struct WindowCandidate {
  std::uint64_t base = 0;
  std::uint64_t bytes = 0;
  std::uint64_t host_bytes = 0;  // of the host window, which lies right behind
  WindowCandidate Host() const { return {base + bytes, host_bytes}; }
};

// The last two work under AddressSanitizer and ThreadSanitizer as well (SEMANTICS.md 1). The first is a sanitizer's own
// in every sanitized build, and TSan kills a process that asks for it. Host windows there lie between the places that
// others have: programs lie from 0x5555_5555_4000 on.
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
inline constexpr std::array<WindowCandidate, 2> kWindowCandidates{
    {{0x7e80'0000'0000, 256 * limits::kGiB, 64 * limits::kGiB},
     {0x5500'0000'0000, 256 * limits::kGiB, 64 * limits::kGiB}}};
#else
inline constexpr std::array<WindowCandidate, 3> kWindowCandidates{
    {{0x2000'0000'0000, 4096 * limits::kGiB, 1024 * limits::kGiB},
     {0x7e80'0000'0000, 256 * limits::kGiB, 64 * limits::kGiB},
     {0x5500'0000'0000, 256 * limits::kGiB, 64 * limits::kGiB}}};
#endif

}  // namespace accelmesh
