// Descriptors of cuDNN as they cross the wire (dnn_calls.h): tensors, and what is said of layers.
//
// Threads: values.
#pragma once

#include <array>
#include <cstdint>

namespace accelmesh {

inline constexpr std::int32_t kDnnDimensionsMax = 8;
inline constexpr std::int32_t kDnnSpatialMax = kDnnDimensionsMax - 2;

// cudnnTensorDescriptor_t, or a filter with the strides that its format gives it.
struct DnnTensor {
  std::int32_t type = 0;
  std::int32_t format = 0;  // a filter's
  std::int32_t rank = 0;    // 0: no tensor
  std::int32_t reserved = 0;
  std::array<std::int32_t, kDnnDimensionsMax> dims{};
  std::array<std::int32_t, kDnnDimensionsMax> strides{};  // elements
};

// cudnnConvolutionDescriptor_t.
struct DnnConvolution {
  std::int32_t rank = 0;  // of space
  std::int32_t mode = 0;
  std::int32_t compute_type = 0;
  std::int32_t math_type = 0;
  std::int32_t groups = 1;
  std::int32_t reorder = 0;
  std::array<std::int32_t, kDnnSpatialMax> pads{};
  std::array<std::int32_t, kDnnSpatialMax> strides{};
  std::array<std::int32_t, kDnnSpatialMax> dilations{};
};

// cudnnActivationDescriptor_t.
struct DnnActivation {
  std::int32_t mode = 0;
  std::int32_t propagates_nan = 0;
  double coefficient = 0;
  double swish_beta = 1;
};

// cudnnPoolingDescriptor_t.
struct DnnPooling {
  std::int32_t rank = 0;  // of space
  std::int32_t mode = 0;
  std::int32_t propagates_nan = 0;
  std::int32_t reserved = 0;
  std::array<std::int32_t, kDnnSpatialMax> window{};
  std::array<std::int32_t, kDnnSpatialMax> pads{};
  std::array<std::int32_t, kDnnSpatialMax> strides{};
};

// Results are alpha times what is computed plus beta times what was there, which is not read if beta is 0.
struct DnnBlend {
  double alpha = 1;
  double beta = 0;
};

// A tensor and where it lies.
struct DnnOperand {
  DnnTensor tensor;
  std::uint64_t address = 0;
};

}  // namespace accelmesh
