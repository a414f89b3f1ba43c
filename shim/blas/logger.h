// The library's log of calls: to the program's function, to a file or to its standard streams, as it asked.
//
// Threads: everything from any thread.
#pragma once

#include <cublas_api.h>

#include <atomic>

namespace accelmesh::blas {

extern constinit std::atomic<bool> g_logger_is_on;
inline bool LoggerIsOn() { return g_logger_is_on.load(std::memory_order_relaxed); }
void LogCall(const char* name, cublasStatus_t status);

}  // namespace accelmesh::blas
