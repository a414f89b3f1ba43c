// A handle of cuBLASLt is a device of the session; one of cuBLAS is one as well.
//
// Threads: everything from any thread.
#pragma once

#include <cublasLt.h>

#include <memory>

#include "protocol/base/bytes.h"
#include "shim/core/session.h"

namespace accelmesh::blaslt {

// The server's library on a device, once it has been opened; it stays.
struct OpenLibrary {
  Bytes functions;  // that the server runs: a bit each
  std::uint32_t settings = 0;
};

struct Target {
  ClientSession* session = nullptr;
  std::uint32_t device = 0;
  const OpenLibrary* library = nullptr;
};

// CUBLAS_STATUS_NOT_INITIALIZED for what is no handle, and in a process whose session is gone.
cublasStatus_t FindTarget(cublasLtHandle_t handle, Target* target);
// The calling thread's current device, for functions that take no handle.
cublasStatus_t CurrentTarget(Target* target);
// Null if it was destroyed; the default stream is the handle's device's.
Stream* StreamOf(const Target& target, cudaStream_t stream);

}  // namespace accelmesh::blaslt
