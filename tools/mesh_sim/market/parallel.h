// Work that is cut into pieces, on some threads.
//
// Threads: Parallel() starts them and joins them before it returns.
#pragma once

#include <cstddef>
#include <functional>

#include "protocol/base/result.h"

namespace accelmesh::sim {

// Calls work(0) to work(count - 1), each once, in order of start, on `threads` threads; after the first failure nothing
// more is started, and that is what is returned.
Status Parallel(std::size_t count, unsigned threads, const std::function<Status(std::size_t)>& work);

}  // namespace accelmesh::sim
