// One call of the contract libcublas: the same words as the client's (shim/blas/call.h), and the rules that a caller of
// the real library has to keep. It runs in its handle's stream, on the contract libcuda's device, by the software GPU's
// linear algebra.
//
// Threads: a handle is used by one thread at a time, which is a rule.
#pragma once

#include <cublas_api.h>
#include <cuda.h>

#include <array>
#include <atomic>
#include <vector>

#include "protocol/library/blas_settings.h"
#include "protocol/library/library.h"

struct cublasContext {
  CUcontext context = nullptr;
  CUstream stream = nullptr;
  cublasPointerMode_t pointer_mode = CUBLAS_POINTER_MODE_HOST;
  accelmesh::BlasSettings settings;
  std::atomic<int> users{0};
};

namespace accelmesh::blas {

// Null, and told, if it is none, of another context than the current one, or in use.
cublasContext* UseHandle(cublasHandle_t handle, const char* name);
inline void LeaveHandle(cublasContext* context) { context->users.fetch_sub(1); }

class BlasCall {
 public:
  BlasCall(cublasHandle_t handle, std::uint32_t function, const char* name);
  ~BlasCall() {
    if (context_ != nullptr) LeaveHandle(context_);
  }
  BlasCall(const BlasCall&) = delete;
  BlasCall& operator=(const BlasCall&) = delete;

  void Require(bool holds) { FailUnless(holds, CUBLAS_STATUS_INVALID_VALUE); }
  void Support(bool holds) { FailUnless(holds, CUBLAS_STATUS_NOT_SUPPORTED); }
  void Number(std::int64_t value) { words_.push_back(static_cast<std::uint64_t>(value)); }
  void Address(const void* pointer) {
    is_on_device_ = true;
    words_.push_back(reinterpret_cast<std::uintptr_t>(pointer));
  }
  void Scalar(const void* pointer, std::size_t bytes, std::size_t words);
  void Result(void* pointer, std::size_t bytes, std::size_t words);
  void InOut(void* pointer, std::size_t bytes, std::size_t words);
  void HostInfo(int* info);
  cublasStatus_t Send();

 private:
  struct HostResult {
    void* pointer = nullptr;
    std::size_t bytes = 0;
  };
  bool has_device_pointers() const {
    return context_ != nullptr && context_->pointer_mode == CUBLAS_POINTER_MODE_DEVICE;
  }
  void FailUnless(bool holds, cublasStatus_t status) {
    if (!holds && status_ == CUBLAS_STATUS_SUCCESS) status_ = status;
  }

  std::uint32_t function_;
  const char* name_;
  cublasContext* context_ = nullptr;
  cublasStatus_t status_ = CUBLAS_STATUS_SUCCESS;
  bool is_on_device_ = false;  // it touches the device's memory
  std::vector<std::uint64_t> words_;
  std::vector<HostResult> results_;
};

}  // namespace accelmesh::blas
