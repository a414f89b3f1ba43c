// In the place of the shim's file of this name: a handle of the contract libcudnn.
//
// Threads: a handle is used by one thread at a time, which is a rule.
#pragma once

#include <cuda.h>
#include <cudnn.h>

#include <atomic>
#include <cstdint>

#include "protocol/base/bytes.h"

struct cudnnContext {
  CUcontext context = nullptr;
  CUstream stream = nullptr;
  std::atomic<int> users{0};
};

namespace accelmesh {
using DeviceResult = std::uint32_t;
}

namespace accelmesh::dnn {

// CUDNN_STATUS_BAD_PARAM, and told, for what is no handle or one of another context than the current one.
cudnnStatus_t FindHandle(cudnnHandle_t handle, cudnnContext** found);

}  // namespace accelmesh::dnn
