// What the programs of cuBLAS share: checks of statuses, memory of the device that frees itself, and numbers that sums
// of some thousand of them represent exactly enough to be compared.
#pragma once

#include <cublas_v2.h>

#include <cmath>
#include <vector>

#include "check.h"

#define CHECK_BLAS(call)                                                           \
  do {                                                                             \
    const cublasStatus_t blas_status = (call);                                     \
    if (blas_status != CUBLAS_STATUS_SUCCESS)                                      \
      Fail(__FILE__, __LINE__, "%s: %s", #call, cublasGetStatusName(blas_status)); \
  } while (false)
#define CHECK_BLAS_STATUS(call, expected)                                                      \
  do {                                                                                         \
    const cublasStatus_t blas_status = (call);                                                 \
    if (blas_status != (expected))                                                             \
      Fail(__FILE__, __LINE__, "%s: %s, expected %s", #call, cublasGetStatusName(blas_status), \
           cublasGetStatusName(expected));                                                     \
  } while (false)

// An array of the device's, with what the host's had when it was made.
template <typename T>
class OnDevice {
 public:
  explicit OnDevice(const std::vector<T>& host) : count_(host.size()) {
    CHECK(cudaMalloc(reinterpret_cast<void**>(&memory_), count_ * sizeof(T)));
    CHECK(cudaMemcpy(memory_, host.data(), count_ * sizeof(T), cudaMemcpyHostToDevice));
    // Streams that wait for no other must not come before the bytes, which CUDA may have put aside only.
    CHECK(cudaStreamSynchronize(nullptr));
  }
  ~OnDevice() { cudaFree(memory_); }
  OnDevice(const OnDevice&) = delete;
  OnDevice& operator=(const OnDevice&) = delete;
  T* get() const { return memory_; }
  std::vector<T> Read() const {
    std::vector<T> host(count_);
    CHECK(cudaMemcpy(host.data(), memory_, count_ * sizeof(T), cudaMemcpyDeviceToHost));
    return host;
  }

 private:
  T* memory_ = nullptr;
  size_t count_ = 0;
};

// Small multiples of a quarter.
template <typename T>
std::vector<T> RandomNumbers(Random& random, size_t count) {
  std::vector<T> numbers(count);
  for (T& number : numbers) number = static_cast<T>((static_cast<int>(random.Below(33)) - 16) * 0.25);
  return numbers;
}

static inline void ExpectNear(double got, double wanted, double tolerance, const char* what, int index) {
  if (!(std::fabs(got - wanted) <= tolerance * (1 + std::fabs(wanted))))
    Fail(__FILE__, __LINE__, "%s: element %d is %.9g, not %.9g", what, index, got, wanted);
}
