// What CUDA keeps per thread, and stays in the client (SEMANTICS: threads).
//
// Threads: the thread's own. Plain data without a destructor, so that it may be read even while the thread ends;
// streams that belong to a thread are destroyed at its end by runtime.cpp.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>

namespace accelmesh {

struct Stream;

struct ThreadState {
  // A launch's <<<...>>> between __cudaPushCallConfiguration and __cudaPopCallConfiguration. They nest only if a
  // launch's argument launches in turn.
  struct Configuration {
    dim3 grid;
    dim3 block;
    std::size_t shared_bytes = 0;
    cudaStream_t stream = nullptr;
  };
  static constexpr std::uint32_t kConfigurationsMax = 16;

  int device = 0;
  cudaError_t last_error = cudaSuccess;
  // The call under way is a _ptsz or _ptds variant: its default stream is the thread's own.
  bool per_thread_default = false;
  // Not only by default: cudaSetDevice was called.
  bool has_chosen_device = false;
  // A function of the program's runs in a stream's order; it may not call CUDA.
  bool in_host_function = false;
  std::uint32_t configuration_count = 0;
  // The per-thread default streams by device, made at first use; null while there is none.
  Stream** own_streams = nullptr;
  Configuration configurations[kConfigurationsMax];
};

// The preload is there from the start of the process, so the fast model of thread-local storage holds.
extern constinit thread_local ThreadState t_thread_state __attribute__((tls_model("initial-exec")));
inline ThreadState& CurrentThread() { return t_thread_state; }

// Remembers an error as the thread's last one and returns it.
inline cudaError_t Fail(cudaError_t error) {
  if (error != cudaSuccess) t_thread_state.last_error = error;
  return error;
}

}  // namespace accelmesh
