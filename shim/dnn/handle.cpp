#include "shim/dnn/handle.h"

#include "protocol/library/library.h"
#include "shim/dnn/report.h"
#include "shim/gen_dnn_face.h"
#include "shim/runtime/library_handles.h"
#include "shim/runtime/runtime.h"

namespace accelmesh::dnn {
namespace {

constexpr DeviceResult kDeviceOutOfMemory = 2;
constexpr DeviceResult kDeviceNotSupported = 801;

using Handles = LibraryHandles<cudnnContext>;

}  // namespace

cudnnStatus_t FindHandle(cudnnHandle_t handle, cudnnContext** found) {
  cudnnContext* const context = Handles::All().Find(handle);
  if (context == nullptr) return CUDNN_STATUS_BAD_PARAM;
  if (Runtime::Get().SessionIfOpen() != context->session) return CUDNN_STATUS_NOT_INITIALIZED;
  *found = context;
  return CUDNN_STATUS_SUCCESS;
}

Stream* StreamOf(const cudnnContext& context) {
  return StreamOfHandle(*context.session, context.device, context.stream.load(std::memory_order_relaxed));
}

cudnnStatus_t StatusOf(DeviceResult result) {
  switch (result) {
    case 0: return CUDNN_STATUS_SUCCESS;
    case kDeviceOutOfMemory: return CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED;
    case kDeviceNotSupported: return CUDNN_STATUS_NOT_SUPPORTED;
    default: return CUDNN_STATUS_EXECUTION_FAILED;
  }
}

}  // namespace accelmesh::dnn

namespace accelmesh::face {

using namespace accelmesh::dnn;

cudnnStatus_t cudnnCreate(cudnnHandle_t* handle) {
  if (handle == nullptr) return CUDNN_STATUS_BAD_PARAM;
  cudaError_t error = cudaSuccess;
  ClientSession* const session = Runtime::Get().Session(&error);
  if (session == nullptr) return CUDNN_STATUS_NOT_INITIALIZED;
  auto context = std::make_unique<cudnnContext>();
  context->session = session;
  context->device = CurrentDevice();
  DeviceResult opened = session->OpenLibrary(kLibraryDnn, context->device, &context->functions);
  // The settings of calls have no words (dnn_calls.h), but a number like others'.
  if (opened == 0) opened = session->LibrarySettings(kLibraryDnn, {}, &context->settings);
  if (opened != 0) {
    const cudnnStatus_t status = StatusOf(opened);
    if (status == CUDNN_STATUS_NOT_SUPPORTED) SayRefused("cudnnCreate", "the server has no such library");
    return status == CUDNN_STATUS_EXECUTION_FAILED ? CUDNN_STATUS_NOT_INITIALIZED : status;
  }
  *handle = Handles::All().Add(std::move(context));
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnDestroy(cudnnHandle_t handle) {
  if (handle == nullptr) return CUDNN_STATUS_SUCCESS;
  return Handles::All().TakeIdle(handle) == nullptr ? CUDNN_STATUS_BAD_PARAM : CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnSetStream(cudnnHandle_t handle, cudaStream_t streamId) {
  cudnnContext* context = nullptr;
  if (const cudnnStatus_t status = FindHandle(handle, &context); status != CUDNN_STATUS_SUCCESS) return status;
  context->stream.store(streamId, std::memory_order_relaxed);
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnGetStream(cudnnHandle_t handle, cudaStream_t* streamId) {
  cudnnContext* context = nullptr;
  if (const cudnnStatus_t status = FindHandle(handle, &context); status != CUDNN_STATUS_SUCCESS) return status;
  if (streamId == nullptr) return CUDNN_STATUS_BAD_PARAM;
  *streamId = context->stream.load(std::memory_order_relaxed);
  return CUDNN_STATUS_SUCCESS;
}

}  // namespace accelmesh::face
