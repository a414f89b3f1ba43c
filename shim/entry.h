// What every generated entry point of the shim goes through: it may be counted, no exception leaves it, and a function
// that is not remoted says so once, by name.
#pragma once

#include <cuda_runtime_api.h>

#include "shim/entry_call.h"
#include "shim/runtime/capture.h"
#include "shim/runtime/log_buffer.h"
#include "shim/runtime/thread_state.h"

// Ends a body before it begins, while streams capture and the rule says so.
#define ACCELMESH_REFUSE_IN_CAPTURE(rule)                                                       \
  if (const cudaError_t refused = ::accelmesh::CheckForCapture(::accelmesh::CaptureRule::rule); \
      refused != cudaSuccess)                                                                   \
  return refused

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

struct RuntimeFace {
  static constexpr const char* kLibrary = "cudart";
  using Status = cudaError_t;
  static constexpr Status kNotSupported = cudaErrorNotSupported;
  static Status OutOfHostMemory() { return accelmesh::OutOfHostMemory(); }
  static void SayRefused(const char* name, const char* why) { accelmesh::SayRefused(name, why); }
  // What fails goes to the log of cudaLogs*.
  static void Note(const char* name, Status error) {
    if (error != cudaSuccess) [[unlikely]]
      NoteFailedCall(name, error);
  }
};
template <typename R>
R Refuse(const char* name, const char* why) {
  return RefuseBy<RuntimeFace, R>(name, why);
}
template <typename R, typename Body>
R Enter(const char* name, Body body) noexcept {
  return EnterBy<RuntimeFace, R>(name, body);
}

}  // namespace accelmesh
