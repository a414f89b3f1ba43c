// The library's log: of calls that failed and, if asked for, of all calls; to the program's function and to a file.
//
// Threads: everything from any thread.
#pragma once

#include <cublasLt.h>

#include <atomic>

namespace accelmesh::blaslt {

// Bits of cublasLtLoggerSetMask().
inline constexpr int kLogErrors = 1;
inline constexpr int kLogCalls = 16;

extern constinit std::atomic<int> g_log_mask;
inline bool Logs(cublasStatus_t status) {
  const int mask = g_log_mask.load(std::memory_order_relaxed);
  return (mask & kLogCalls) != 0 || ((mask & kLogErrors) != 0 && status != CUBLAS_STATUS_SUCCESS);
}
void LogCall(const char* name, cublasStatus_t status);

}  // namespace accelmesh::blaslt
