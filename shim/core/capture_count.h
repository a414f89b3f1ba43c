// How many streams of the process capture: all that a call asks while none does.
#pragma once

#include <atomic>

namespace accelmesh {

inline constinit std::atomic<int> g_capturing_streams{0};
inline int CapturingStreams() { return g_capturing_streams.load(std::memory_order_relaxed); }

}  // namespace accelmesh
