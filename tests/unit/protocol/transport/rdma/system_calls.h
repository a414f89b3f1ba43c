// Counts what a thread asks of the kernel.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "protocol/base/result.h"

namespace accelmesh::rdma {

// Runs `body` in a forked child, and counts the system calls of its own thread between one mark() and the next: one
// number less than there are marks. Reading the clock is none. `body` says whether it was content. Called while this
// process has no other thread. kUnsupported where a process may not trace its children.
using Marked = std::function<bool(const std::function<void()>& mark)>;
Result<std::vector<std::uint64_t>> CountSystemCalls(const Marked& body);

}  // namespace accelmesh::rdma
