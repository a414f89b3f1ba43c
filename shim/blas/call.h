// One call of a function of cuBLAS under construction: generated entry points put their arguments into it, word by word
// as protocol/library/library.h lays them out, and send it.
//
// Threads: the caller's own. Errors: the first one is the call's status, and nothing is sent; nothing is allocated but
// for results on the host.
#pragma once

#include <cublas_api.h>

#include <array>
#include <cstring>

#include "protocol/library/library.h"
#include "shim/blas/handle.h"

namespace accelmesh::blas {

class BlasCall {
 public:
  BlasCall(cublasHandle_t handle, std::uint32_t function, const char* name) : function_(function), name_(name) {
    status_ = FindHandle(handle, &context_);
    if (status_ != CUBLAS_STATUS_SUCCESS) return;
    on_device_ = context_->pointer_mode.load(std::memory_order_relaxed) == CUBLAS_POINTER_MODE_DEVICE;
    words_[0] = on_device_ ? kDevicePointers : 0;
  }

  void Require(bool holds) { FailUnless(holds, CUBLAS_STATUS_INVALID_VALUE); }
  void Support(bool holds) { FailUnless(holds, CUBLAS_STATUS_NOT_SUPPORTED); }

  void Number(std::int64_t value) { words_[count_++] = static_cast<std::uint64_t>(value); }
  void Address(const void* pointer) { words_[count_++] = reinterpret_cast<std::uintptr_t>(pointer); }
  // `bytes` of it, in as many words.
  void Scalar(const void* pointer, std::size_t bytes, std::size_t words) {
    std::uint64_t* const place = Take(words);
    Require(pointer != nullptr);
    if (on_device_) {
      *place = reinterpret_cast<std::uintptr_t>(pointer);
    } else if (status_ == CUBLAS_STATUS_SUCCESS) {
      std::memcpy(place, pointer, bytes);
    }
  }
  void Result(void* pointer, std::size_t bytes, std::size_t words) {
    std::uint64_t* const place = Take(words);
    Require(pointer != nullptr);
    if (on_device_) {
      *place = reinterpret_cast<std::uintptr_t>(pointer);
    } else {
      results_[result_count_++] = {pointer, bytes};
    }
  }
  void InOut(void* pointer, std::size_t bytes, std::size_t words) {
    Scalar(pointer, bytes, words);
    if (!on_device_) results_[result_count_++] = {pointer, bytes};
  }
  // What the library says of the arguments themselves: nothing, once they are sent.
  void HostInfo(int* info) {
    Number(0);
    Require(info != nullptr);
    if (status_ == CUBLAS_STATUS_SUCCESS) *info = 0;
  }

  cublasStatus_t Send();

 private:
  struct HostResult {
    void* pointer = nullptr;
    std::size_t bytes = 0;
  };
  static constexpr std::size_t kResultsMax = 4;

  void FailUnless(bool holds, cublasStatus_t status) {
    if (!holds && status_ == CUBLAS_STATUS_SUCCESS) status_ = status;
  }
  std::uint64_t* Take(std::size_t words) {
    std::uint64_t* const place = &words_[count_];
    std::fill_n(place, words, 0);
    count_ += words;
    return place;
  }
  DeviceResult Query(Stream* stream, std::uint32_t settings, ByteView arguments);

  std::uint32_t function_;
  const char* name_;
  cublasContext* context_ = nullptr;
  cublasStatus_t status_;
  bool on_device_ = false;
  std::size_t count_ = 1;
  std::size_t result_count_ = 0;
  std::array<std::uint64_t, 1 + kLibraryWordsMax> words_;  // what Take() or Number() has written
  std::array<HostResult, kResultsMax> results_;
};

}  // namespace accelmesh::blas
