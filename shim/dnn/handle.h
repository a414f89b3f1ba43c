// A handle of cuDNN: a device of the session and the stream that its calls go to.
//
// Threads: as shim/blas/handle.h.
#pragma once

#include <cudnn.h>

#include <atomic>
#include <memory>

#include "protocol/base/bytes.h"
#include "shim/core/session.h"

struct cudnnContext {
  accelmesh::ClientSession* session = nullptr;
  std::uint32_t device = 0;
  std::shared_ptr<const accelmesh::Bytes> functions;  // that the server runs: a bit each
  std::uint32_t settings = 0;
  std::atomic<cudaStream_t> stream{nullptr};
};

namespace accelmesh::dnn {

// CUDNN_STATUS_BAD_PARAM for what is no handle, and CUDNN_STATUS_NOT_INITIALIZED in a process whose session is gone.
cudnnStatus_t FindHandle(cudnnHandle_t handle, cudnnContext** found);
// The stream that the handle's calls go to; null if it was destroyed.
Stream* StreamOf(const cudnnContext& context);
// A device's error as the library's status.
cudnnStatus_t StatusOf(DeviceResult result);

}  // namespace accelmesh::dnn
