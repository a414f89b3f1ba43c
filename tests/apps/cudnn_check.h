// What the programs of cuDNN share: checks of statuses, descriptors that free themselves, tensors with what the host
// has of them.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cudnn.h>

#include <cmath>
#include <vector>

#include "check.h"

#define CHECK_DNN(call)                                                           \
  do {                                                                            \
    const cudnnStatus_t dnn_status = (call);                                      \
    if (dnn_status != CUDNN_STATUS_SUCCESS)                                       \
      Fail(__FILE__, __LINE__, "%s: %s", #call, cudnnGetErrorString(dnn_status)); \
  } while (false)
#define CHECK_DNN_STATUS(call, expected)                                                      \
  do {                                                                                        \
    const cudnnStatus_t dnn_status = (call);                                                  \
    if (dnn_status != (expected))                                                             \
      Fail(__FILE__, __LINE__, "%s: %s, expected %s", #call, cudnnGetErrorString(dnn_status), \
           cudnnGetErrorString(expected));                                                    \
  } while (false)

template <typename T>
constexpr cudnnDataType_t kTypeOf = CUDNN_DATA_FLOAT;
template <>
inline constexpr cudnnDataType_t kTypeOf<double> = CUDNN_DATA_DOUBLE;
template <>
inline constexpr cudnnDataType_t kTypeOf<__half> = CUDNN_DATA_HALF;
template <>
inline constexpr cudnnDataType_t kTypeOf<__nv_bfloat16> = CUDNN_DATA_BFLOAT16;
// Of alpha and beta.
template <typename T>
using ScalarOf = std::conditional_t<std::is_same_v<T, double>, double, float>;

// Dimensions and strides, the outermost first, of four or five.
struct Layout {
  std::vector<int> dims;
  std::vector<int> strides;
  int Extent() const {
    int last = 0;
    for (size_t d = 0; d < dims.size(); ++d) last += (dims[d] - 1) * strides[d];
    return last + 1;
  }
  int Count() const {
    int count = 1;
    for (const int size : dims) count *= size;
    return count;
  }
  // Where the element with this number is, numbered as if there were no gaps.
  int Offset(int element) const {
    int offset = 0;
    for (size_t d = dims.size(); d-- > 0;) {
      offset += element % dims[d] * strides[d];
      element /= dims[d];
    }
    return offset;
  }
};

inline Layout Packed(const std::vector<int>& dims, bool channels_last = false) {
  Layout layout{dims, std::vector<int>(dims.size())};
  int stride = 1;
  if (channels_last) {
    layout.strides[1] = 1;
    stride = dims[1];
  }
  for (size_t d = dims.size(); d-- > 0;) {
    if (channels_last && d == 1) continue;
    layout.strides[d] = stride;
    stride *= dims[d];
  }
  return layout;
}
// With some room behind every row and every image.
inline Layout Padded(const std::vector<int>& dims) {
  Layout layout{dims, std::vector<int>(dims.size())};
  int stride = 1;
  for (size_t d = dims.size(); d-- > 0;) {
    layout.strides[d] = stride;
    stride = stride * dims[d] + (d % 2 == 0 ? 1 : 3);
  }
  return layout;
}

// A tensor of the device's with its descriptor. What lies between its elements is 99 and must stay so.
template <typename T>
class Tensor {
 public:
  static constexpr float kBetween = 99;

  explicit Tensor(const Layout& layout) : layout_(layout), host_(layout.Extent(), T(kBetween)) {
    CHECK_DNN(cudnnCreateTensorDescriptor(&descriptor_));
    CHECK_DNN(cudnnSetTensorNdDescriptor(descriptor_, kTypeOf<T>, static_cast<int>(layout.dims.size()),
                                         layout.dims.data(), layout.strides.data()));
    size_t bytes = 0;
    CHECK_DNN(cudnnGetTensorSizeInBytes(descriptor_, &bytes));
    EXPECT(bytes == host_.size() * sizeof(T), "a tensor of %zu bytes, not %zu", bytes, host_.size() * sizeof(T));
    CHECK(cudaMalloc(reinterpret_cast<void**>(&memory_), bytes));
    Upload();
  }
  Tensor(const Layout& layout, Random& random) : Tensor(layout) {
    for (int i = 0; i < layout_.Count(); ++i)
      host_[layout_.Offset(i)] = T(static_cast<float>(static_cast<int>(random.Below(33)) - 16) * 0.25f);
    Upload();
  }
  ~Tensor() {
    cudaFree(memory_);
    cudnnDestroyTensorDescriptor(descriptor_);
  }
  Tensor(const Tensor&) = delete;
  Tensor& operator=(const Tensor&) = delete;

  cudnnTensorDescriptor_t descriptor() const { return descriptor_; }
  T* memory() const { return memory_; }
  const Layout& layout() const { return layout_; }
  int Count() const { return layout_.Count(); }
  std::vector<double> Values() const {
    std::vector<double> values(Count());
    for (int i = 0; i < Count(); ++i) values[i] = Value(host_[layout_.Offset(i)]);
    return values;
  }
  void Expect(const std::vector<double>& wanted, double tolerance, const char* what) const {
    std::vector<T> got(host_.size());
    CHECK(cudaMemcpy(got.data(), memory_, got.size() * sizeof(T), cudaMemcpyDeviceToHost));
    std::vector<bool> is_element(got.size());
    for (int i = 0; i < Count(); ++i) {
      const int at = layout_.Offset(i);
      is_element[at] = true;
      const double value = Value(got[at]);
      if (!(std::fabs(value - wanted[i]) <= tolerance * (1 + std::fabs(wanted[i]))))
        Fail(__FILE__, __LINE__, "%s: element %d is %.9g, not %.9g", what, i, value, wanted[i]);
    }
    for (size_t at = 0; at < got.size(); ++at)
      EXPECT(is_element[at] || Value(got[at]) == kBetween, "%s: wrote between elements, at %zu", what, at);
  }

 private:
  static double Value(T value) {
    if constexpr (std::is_same_v<T, double>) {
      return value;
    } else {
      return static_cast<double>(static_cast<float>(value));
    }
  }
  void Upload() {
    CHECK(cudaMemcpy(memory_, host_.data(), host_.size() * sizeof(T), cudaMemcpyHostToDevice));
    CHECK(cudaStreamSynchronize(nullptr));
  }

  Layout layout_;
  std::vector<T> host_;
  T* memory_ = nullptr;
  cudnnTensorDescriptor_t descriptor_ = nullptr;
};

// alpha * computed + beta * before.
inline std::vector<double> Blended(const std::vector<double>& computed, const std::vector<double>& before, double alpha,
                                   double beta) {
  std::vector<double> result(computed.size());
  for (size_t i = 0; i < result.size(); ++i) result[i] = alpha * computed[i] + beta * before[i];
  return result;
}
