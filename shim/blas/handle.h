// A handle of cuBLAS: nothing but what the program has set it to. All of it is the client's; calls carry it as a number
// of settings that the server was told once (wire::LibrarySettings).
//
// Threads: CUDA lets several threads use a handle, and says that none may set it meanwhile. Setting from one and using
// from another at a time sees the one value or the other.
#pragma once

#include <cublas_api.h>

#include <atomic>
#include <memory>

#include "protocol/base/bytes.h"
#include "protocol/base/mutex.h"
#include "protocol/library/blas_settings.h"
#include "shim/core/session.h"

struct cublasContext {
  static constexpr std::uint32_t kNotTold = 0xffffffffu;

  accelmesh::ClientSession* session = nullptr;
  std::uint32_t device = 0;
  std::shared_ptr<const accelmesh::Bytes> functions;  // that the server runs: a bit each
  std::atomic<cudaStream_t> stream{nullptr};
  std::atomic<cublasPointerMode_t> pointer_mode{CUBLAS_POINTER_MODE_HOST};

  accelmesh::Mutex mu;
  accelmesh::BlasSettings settings ACCELMESH_GUARDED_BY(mu);
  std::atomic<std::uint32_t> settings_id{kNotTold};
};

namespace accelmesh::blas {

// CUBLAS_STATUS_NOT_INITIALIZED for what is no handle, and in a process whose session is gone.
cublasStatus_t FindHandle(cublasHandle_t handle, cublasContext** found);
// The stream that the handle's calls go to; null if it was destroyed.
Stream* StreamOf(const cublasContext& context);
// What the server knows the handle's settings by.
DeviceResult SettingsOf(cublasContext& context, std::uint32_t* id);
// A device's error as the library's status.
cublasStatus_t StatusOf(DeviceResult result);

}  // namespace accelmesh::blas
