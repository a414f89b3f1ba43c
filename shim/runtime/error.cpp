// The last error, and what errors are called.
#include "shim/gen_face.h"
#include "shim/runtime/runtime.h"

namespace accelmesh::face {
namespace {

struct NamedError {
  int value;
  const char* name;
};
constexpr NamedError kErrors[] = {
#include "shim/gen_errors.inc"
};
// What errors mean, in CUDA's words where programs print them.
constexpr NamedError kTexts[] = {{0, "no error"},
                                 {1, "invalid argument"},
                                 {2, "out of memory"},
                                 {3, "initialization error"},
                                 {4, "driver shutting down"},
                                 {9, "invalid configuration argument"},
                                 {12, "invalid pitch argument"},
                                 {13, "invalid device symbol"},
                                 {17, "invalid device pointer"},
                                 {21, "invalid copy direction for memcpy"},
                                 {35, "CUDA driver version is insufficient for CUDA runtime version"},
                                 {46, "all CUDA-capable devices are busy or unavailable"},
                                 {52, "__global__ function call is not configured"},
                                 {98, "invalid device function"},
                                 {100, "no CUDA-capable device is detected"},
                                 {101, "invalid device ordinal"},
                                 {200, "device kernel image is invalid"},
                                 {201, "invalid device context"},
                                 {209, "no kernel image is available for execution on the device"},
                                 {218, "a PTX JIT compilation failed"},
                                 {222, "the provided PTX was compiled with an unsupported toolchain."},
                                 {304, "OS call failed or operation not supported on this OS"},
                                 {400, "invalid resource handle"},
                                 {401, "the operation cannot be performed in the present state"},
                                 {500, "named symbol not found"},
                                 {600, "device not ready"},
                                 {700, "an illegal memory access was encountered"},
                                 {701, "too many resources requested for launch"},
                                 {702, "the launch timed out and was terminated"},
                                 {709, "context is destroyed"},
                                 {710, "device-side assert triggered"},
                                 {714, "hardware stack error"},
                                 {715, "an illegal instruction was encountered"},
                                 {716, "misaligned address"},
                                 {717, "operation not supported on global/shared address space"},
                                 {718, "invalid program counter"},
                                 {719, "unspecified launch failure"},
                                 {720, "too many blocks in cooperative launch"},
                                 {800, "operation not permitted"},
                                 {801, "operation not supported"},
                                 {999, "unknown error"}};

template <std::size_t kCount>
const char* Find(const NamedError (&errors)[kCount], cudaError_t error) {
  for (const NamedError& named : errors) {
    if (named.value == static_cast<int>(error)) return named.name;
  }
  return nullptr;
}

}  // namespace

// Neither asks the device: what a launch did wrong there is reported by a call that works on it. A sticky error that
// some call has returned stays.
cudaError_t cudaGetLastError() {
  ThreadState& thread = CurrentThread();
  const cudaError_t error = thread.last_error;
  thread.last_error = cudaSuccess;
  return error != cudaSuccess ? error : Runtime::Get().sticky_seen();
}
cudaError_t cudaPeekAtLastError() {
  const cudaError_t error = CurrentThread().last_error;
  return error != cudaSuccess ? error : Runtime::Get().sticky_seen();
}
const char* cudaGetErrorName(cudaError_t error) {
  const char* name = Find(kErrors, error);
  return name != nullptr ? name : "unrecognized error code";
}
const char* cudaGetErrorString(cudaError_t error) {
  const char* text = Find(kTexts, error);
  return text != nullptr ? text : face::cudaGetErrorName(error);
}

}  // namespace accelmesh::face
