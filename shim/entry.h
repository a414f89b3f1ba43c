// What every generated entry point of the shim goes through: it may be counted, no exception leaves it, and a function
// that is not remoted says so once, by name.
#pragma once

#include <cuda_runtime_api.h>

#include <exception>
#include <type_traits>

#include "shim/runtime/capture.h"
#include "shim/runtime/log_buffer.h"
#include "shim/runtime/statistics.h"
#include "shim/runtime/thread_state.h"

// Ends a body before it begins, while streams capture and the rule says so.
#define ACCELMESH_REFUSE_IN_CAPTURE(rule)                                                       \
  if (const cudaError_t refused = ::accelmesh::CheckForCapture(::accelmesh::CaptureRule::rule); \
      refused != cudaSuccess)                                                                   \
  return refused
#define ACCELMESH_EXPORT __attribute__((visibility("default")))

namespace accelmesh {

// While it lives, the calling thread's default stream is its own per-thread one (the _ptsz and _ptds variants).
class PerThreadDefault {
 public:
  PerThreadDefault() { CurrentThread().per_thread_default = true; }
  ~PerThreadDefault() { CurrentThread().per_thread_default = false; }
  PerThreadDefault(const PerThreadDefault&) = delete;
  PerThreadDefault& operator=(const PerThreadDefault&) = delete;
};

// Logs that NAME is not supported and why, once a name, and records cudaErrorNotSupported as the thread's last error.
void SayRefused(const char* name, const char* why);
// An exception of ours (out of host memory) arrives as this.
cudaError_t OutOfHostMemory();

template <typename R>
R Refuse(const char* name, const char* why) {
  SayRefused(name, why);
  if constexpr (std::is_same_v<R, cudaError_t>) {
    return cudaErrorNotSupported;
  } else if constexpr (!std::is_void_v<R>) {
    return R{};
  }
}

// Every entry point has a Body type of its own, and so a counter of its own. What fails goes to the log of cudaLogs*.
template <typename R, typename Body>
R Enter(const char* name, Body body) noexcept {
  static constinit FunctionCount count;
  const CountedCall counted(count, name);
  try {
    if constexpr (std::is_same_v<R, cudaError_t>) {
      const cudaError_t error = body();
      if (error != cudaSuccess) [[unlikely]]
        NoteFailedCall(name, error);
      return error;
    } else {
      return body();
    }
  } catch (const std::exception&) {
    if constexpr (std::is_same_v<R, cudaError_t>) return OutOfHostMemory();
    if constexpr (!std::is_void_v<R>) return R{};
  }
}

}  // namespace accelmesh
