// Calls of cuDNN as they cross the wire. A function's words (library.h) are one of these structures, members in their
// order: whole numbers and enumerators of 32 bits, scalars as doubles, addresses of device memory. Descriptors are the
// client's; what they say travels with each call. Enumerators are those of cudnn_graph.h, cudnn_ops.h and cudnn_cnn.h.
//
// All are posted into their stream (wire::LibraryCall) but those that IsAsked() (library.h): DnnFindAlgorithms and the
// sizes and places of others depend on nothing but their words, are asked (wire::LibraryAsk) and may be remembered for
// good. The settings of all calls are number 0, which has no words. Some have a tail behind their words (kDnnHasTail).
//
// Threads: values.
#pragma once

#include <array>
#include <cstdint>

#include "protocol/library/dnn_attention.h"
#include "protocol/library/dnn_dropout.h"
#include "protocol/library/dnn_graph.h"
#include "protocol/library/dnn_layers.h"
#include "protocol/library/dnn_recurrent.h"
#include "protocol/library/dnn_tensor.h"
#include "protocol/library/library.h"

namespace accelmesh {

// What the three directions of a convolution have in common: y from x and w, dx from w and dy, dw from x and dy.
struct DnnConvolutionCall {
  DnnOperand x;
  DnnOperand w;
  DnnOperand y;
  DnnConvolution convolution;
  DnnBlend blend;
  std::int64_t algorithm = 0;
  std::uint64_t workspace = 0;
  std::uint64_t workspace_bytes = 0;
};
struct DnnConvolutionForward : DnnConvolutionCall {};
struct DnnConvolutionBackwardData : DnnConvolutionCall {};
struct DnnConvolutionBackwardFilter : DnnConvolutionCall {};
// y = activation(alpha1 * convolution(x, w) + alpha2 * z + bias).
struct DnnConvolutionBiasActivation {
  DnnConvolutionCall call;  // blend: alpha1 and alpha2
  DnnOperand z;
  DnnOperand bias;
  DnnActivation activation;
};
struct DnnConvolutionBackwardBias {
  DnnOperand dy;
  DnnOperand db;
  DnnBlend blend;
};

// Which algorithms there are for a convolution. Answer: DnnAlgorithm, the best first, and at most kDnnAlgorithmsMax.
struct DnnFindAlgorithms {
  std::int64_t direction = 0;  // 0: forward, 1: to the data, 2: to the filter
  DnnTensor x;
  DnnTensor w;
  DnnTensor y;
  DnnConvolution convolution;
};
struct DnnAlgorithm {
  std::int32_t algorithm = 0;
  std::int32_t status = 0;  // a cudnnStatus_t
  std::int32_t determinism = 0;
  std::int32_t math_type = 0;
  std::uint64_t workspace_bytes = 0;
};
inline constexpr std::size_t kDnnAlgorithmsMax = 10;

struct DnnActivationForward {
  DnnOperand x;
  DnnOperand y;
  DnnActivation activation;
  DnnBlend blend;
};
struct DnnActivationBackward {
  DnnOperand y;
  DnnOperand dy;
  DnnOperand x;
  DnnOperand dx;
  DnnActivation activation;
  DnnBlend blend;
};
struct DnnPoolingForward {
  DnnOperand x;
  DnnOperand y;
  DnnPooling pooling;
  DnnBlend blend;
};
struct DnnPoolingBackward {
  DnnOperand y;
  DnnOperand dy;
  DnnOperand x;
  DnnOperand dx;
  DnnPooling pooling;
  DnnBlend blend;
};
struct DnnSoftmaxForward {
  DnnOperand x;
  DnnOperand y;
  std::int32_t algorithm = 0;
  std::int32_t mode = 0;
  DnnBlend blend;
};
struct DnnSoftmaxBackward {
  DnnOperand y;
  DnnOperand dy;
  DnnOperand dx;
  std::int32_t algorithm = 0;
  std::int32_t mode = 0;
  DnnBlend blend;
};

// C = alpha * A + beta * C, where A is as large as C or 1 in each dimension.
struct DnnAddTensor {
  DnnOperand a;
  DnnOperand c;
  DnnBlend blend;
};
// C = op(alpha1 * A, alpha2 * B) + beta * C; A or B as in DnnAddTensor.
struct DnnOpTensor {
  DnnOperand a;
  DnnOperand b;
  DnnOperand c;
  std::int32_t operation = 0;
  std::int32_t compute_type = 0;
  std::int64_t propagates_nan = 0;
  double alpha1 = 1;
  double alpha2 = 1;
  double beta = 0;
};
// C = op(alpha * A) + beta * C, over the dimensions in which C is 1.
struct DnnReduceTensor {
  DnnOperand a;
  DnnOperand c;
  std::int32_t operation = 0;
  std::int32_t compute_type = 0;
  std::int64_t propagates_nan = 0;
  DnnBlend blend;
};
struct DnnScaleTensor {
  DnnOperand y;
  double alpha = 1;
};
struct DnnSetTensor {
  DnnOperand y;
  double value = 0;
};
struct DnnTransformTensor {
  DnnOperand x;
  DnnOperand y;
  DnnBlend blend;
};

// The six tensors of a batch normalisation that have one element a channel, or one a place of an image.
struct DnnBatchNormForwardTraining {
  DnnOperand x;
  DnnOperand y;
  DnnTensor parameters;
  std::uint64_t scale = 0;
  std::uint64_t bias = 0;
  std::uint64_t running_mean = 0;      // 0: not kept
  std::uint64_t running_variance = 0;  // as the mean
  std::uint64_t saved_mean = 0;        // 0: not kept
  std::uint64_t saved_inverse_deviation = 0;
  std::int64_t mode = 0;
  double average_factor = 0;
  double epsilon = 0;
  DnnBlend blend;
};
struct DnnBatchNormForwardInference {
  DnnOperand x;
  DnnOperand y;
  DnnTensor parameters;
  std::uint64_t scale = 0;
  std::uint64_t bias = 0;
  std::uint64_t mean = 0;
  std::uint64_t variance = 0;
  std::int64_t mode = 0;
  double epsilon = 0;
  DnnBlend blend;
};
struct DnnBatchNormBackward {
  DnnOperand x;
  DnnOperand dy;
  DnnOperand dx;
  DnnTensor parameters;
  std::uint64_t scale = 0;
  std::uint64_t scale_gradient = 0;
  std::uint64_t bias_gradient = 0;
  std::uint64_t saved_mean = 0;  // 0: computed anew
  std::uint64_t saved_inverse_deviation = 0;
  std::int64_t mode = 0;
  double epsilon = 0;
  DnnBlend data;
  DnnBlend parameter;
};

struct DnnDropoutForward {
  DnnOperand x;
  DnnOperand y;
  DnnDropout dropout;
  DnnSpace reserve;
};
struct DnnDropoutBackward {
  DnnOperand dy;
  DnnOperand dx;
  DnnDropout dropout;
  DnnSpace reserve;
};

// Whether a tail follows the words, whose first is how many words it has; and how many those may be.
template <typename Words>
inline constexpr bool kDnnHasTail = requires(Words words) { words.tail_words; };
inline constexpr std::size_t kDnnTailWordsMax = 3840;

template <typename Words>
inline constexpr std::uint32_t kDnnWords = sizeof(Words) / sizeof(std::uint64_t);

// The number of the function that has these words.
template <typename Words>
inline constexpr std::uint32_t kDnnFunction = 0;
#define ACCELMESH_DNN_FUNCTION(function, name, Words)            \
  template <>                                                    \
  inline constexpr std::uint32_t kDnnFunction<Words> = function; \
  static_assert(sizeof(Words) % sizeof(std::uint64_t) == 0 && kDnnWords<Words> <= kLibraryWordsMax);
#include "protocol/gen_dnn_functions.inc"
#undef ACCELMESH_DNN_FUNCTION

}  // namespace accelmesh
