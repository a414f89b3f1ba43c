#include "shim/blaslt/handle.h"

#include <array>
#include <atomic>

#include "protocol/base/limits.h"
#include "protocol/base/mutex.h"
#include "protocol/library/library.h"
#include "shim/blas/entry.h"
#include "shim/blas/handle.h"
#include "shim/gen_blaslt_face.h"
#include "shim/runtime/library_handles.h"
#include "shim/runtime/runtime.h"

struct cublasLtContext {
  accelmesh::ClientSession* session = nullptr;
  std::uint32_t device = 0;
};

namespace accelmesh::blaslt {
namespace {

using Handles = LibraryHandles<cublasLtContext>;

constinit std::array<std::atomic<const OpenLibrary*>, limits::kDevicesMax> g_libraries{};

// The settings of calls have no words (lt_problem.h), but a number like others'.
cublasStatus_t Open(Target* target) {
  std::atomic<const OpenLibrary*>& place = g_libraries[target->device];
  target->library = place.load(std::memory_order_acquire);
  if (target->library != nullptr) return CUBLAS_STATUS_SUCCESS;
  auto library = std::make_unique<OpenLibrary>();
  std::shared_ptr<const Bytes> functions;
  DeviceResult opened = target->session->OpenLibrary(kLibraryBlasLt, target->device, &functions);
  if (opened == 0) opened = target->session->LibrarySettings(kLibraryBlasLt, {}, &library->settings);
  if (opened != 0) {
    const cublasStatus_t status = blas::StatusOf(opened);
    if (status == CUBLAS_STATUS_NOT_SUPPORTED) blas::SayRefused("cublasLtCreate", "the server has no such library");
    return status == CUBLAS_STATUS_EXECUTION_FAILED ? CUBLAS_STATUS_NOT_INITIALIZED : status;
  }
  library->functions = *functions;
  // Another thread may have been first: theirs is the same, and stays.
  if (place.compare_exchange_strong(target->library, library.get(), std::memory_order_acq_rel))
    target->library = library.release();
  return CUBLAS_STATUS_SUCCESS;
}

}  // namespace

cublasStatus_t FindTarget(cublasLtHandle_t handle, Target* target) {
  if (const cublasLtContext* const context = Handles::All().Find(handle); context != nullptr) {
    target->session = context->session;
    target->device = context->device;
    if (Runtime::Get().SessionIfOpen() != target->session) return CUBLAS_STATUS_NOT_INITIALIZED;
  } else {
    cublasContext* blas_context = nullptr;
    const cublasStatus_t status = blas::FindHandle(reinterpret_cast<cublasHandle_t>(handle), &blas_context);
    if (status != CUBLAS_STATUS_SUCCESS) return status;
    target->session = blas_context->session;
    target->device = blas_context->device;
  }
  return Open(target);
}

cublasStatus_t CurrentTarget(Target* target) {
  cudaError_t error = cudaSuccess;
  target->session = Runtime::Get().Session(&error);
  if (target->session == nullptr) return CUBLAS_STATUS_NOT_INITIALIZED;
  target->device = CurrentDevice();
  return Open(target);
}

Stream* StreamOf(const Target& target, cudaStream_t stream) {
  return StreamOfHandle(*target.session, target.device, stream);
}

}  // namespace accelmesh::blaslt

namespace accelmesh::face {

using namespace accelmesh::blaslt;

cublasStatus_t cublasLtCreate(cublasLtHandle_t* lightHandle) {
  if (lightHandle == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  Target target;
  if (const cublasStatus_t status = CurrentTarget(&target); status != CUBLAS_STATUS_SUCCESS) return status;
  auto context = std::make_unique<cublasLtContext>();
  context->session = target.session;
  context->device = target.device;
  *lightHandle = Handles::All().Add(std::move(context));
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtDestroy(cublasLtHandle_t lightHandle) {
  if (lightHandle == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  return Handles::All().Take(lightHandle) == nullptr ? CUBLAS_STATUS_NOT_INITIALIZED : CUBLAS_STATUS_SUCCESS;
}

}  // namespace accelmesh::face
