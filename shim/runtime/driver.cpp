// The way from the runtime to the driver interface, which this release does not have: CUDA's answer for a function that
// the driver lacks.
#include "protocol/base/log.h"
#include "shim/gen_face.h"
#include "shim/runtime/runtime.h"

namespace accelmesh::face {
namespace {

cudaError_t SayNotFound(const char* symbol, void** function, unsigned long long flags,
                        cudaDriverEntryPointQueryResult* status) {
  if (symbol == nullptr || function == nullptr || flags > cudaEnablePerThreadDefaultStream)
    return Fail(cudaErrorInvalidValue);
  static std::atomic<bool> was_said{false};
  if (!was_said.exchange(true)) {
    log::Warning("cudaGetDriverEntryPoint",
                 "this release has no driver interface; every symbol is answered as not found");
  }
  *function = nullptr;
  if (status != nullptr) *status = cudaDriverEntryPointSymbolNotFound;
  return cudaSuccess;
}

}  // namespace

cudaError_t cudaGetDriverEntryPoint(const char* symbol, void** function, unsigned long long flags,
                                    cudaDriverEntryPointQueryResult* status) {
  return SayNotFound(symbol, function, flags, status);
}
cudaError_t cudaGetDriverEntryPointByVersion(const char* symbol, void** function, unsigned int /*version*/,
                                             unsigned long long flags, cudaDriverEntryPointQueryResult* status) {
  return SayNotFound(symbol, function, flags, status);
}

}  // namespace accelmesh::face
