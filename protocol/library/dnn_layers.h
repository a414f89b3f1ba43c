// Layers of cuDNN's older interface as they cross the wire (dnn_calls.h): local response and divisive normalisation,
// spatial transformers, CTC loss, normalisation with what follows it, transforms of tensors. Enumerators are those of
// cudnn_ops.h, cudnn_cnn.h and cudnn_adv.h; an address of 0 is what the program left out.
//
// Threads: values.
#pragma once

#include <array>
#include <cstdint>

#include "protocol/library/dnn_recurrent.h"
#include "protocol/library/dnn_tensor.h"

namespace accelmesh {

// cudnnLRNDescriptor_t.
struct DnnLrn {
  std::int64_t window = 5;
  double alpha = 1e-4;
  double beta = 0.75;
  double k = 2;
};
struct DnnLrnForward {
  DnnOperand x;
  DnnOperand y;
  DnnLrn lrn;
  DnnBlend blend;
};
struct DnnLrnBackward {
  DnnOperand y;
  DnnOperand dy;
  DnnOperand x;
  DnnOperand dx;
  DnnLrn lrn;
  DnnBlend blend;
};
// Means and both temporaries lie as x does.
struct DnnDivisiveForward {
  DnnOperand x;
  DnnOperand y;
  std::uint64_t means = 0;
  std::uint64_t temporary = 0;
  std::uint64_t temporary2 = 0;
  DnnLrn lrn;
  DnnBlend blend;
};
// dy, too; the gradient of the means lies as dx does.
struct DnnDivisiveBackward {
  DnnOperand x;
  DnnOperand dx;
  std::uint64_t means = 0;
  std::uint64_t dy = 0;
  std::uint64_t temporary = 0;
  std::uint64_t temporary2 = 0;
  std::uint64_t means_gradient = 0;
  DnnLrn lrn;
  DnnBlend blend;
};

// cudnnSpatialTransformerDescriptor_t: the dimensions are those of the result. A grid has two numbers for each place of
// each of its images, a theta six for each image, both without gaps.
struct DnnSpatialTransformer {
  std::int32_t sampler = 0;
  std::int32_t type = 0;
  std::int32_t rank = 0;
  std::int32_t reserved = 0;
  std::array<std::int32_t, kDnnDimensionsMax> dims{};
};
struct DnnGridForward {
  DnnSpatialTransformer transformer;
  std::uint64_t theta = 0;
  std::uint64_t grid = 0;
};
struct DnnGridBackward {
  DnnSpatialTransformer transformer;
  std::uint64_t grid_gradient = 0;
  std::uint64_t theta_gradient = 0;
};
struct DnnSamplerForward {
  DnnSpatialTransformer transformer;
  DnnOperand x;
  DnnOperand y;
  std::uint64_t grid = 0;
  DnnBlend blend;
};
struct DnnSamplerBackward {
  DnnSpatialTransformer transformer;
  DnnOperand x;
  DnnOperand dx;
  DnnOperand dy;
  std::uint64_t grid = 0;
  std::uint64_t grid_gradient = 0;
  DnnBlend data;
  DnnBlend of_grid;
};

// cudnnCTCLossDescriptor_t, as cudnnSetCTCLossDescriptor_v9 takes it.
struct DnnCtc {
  std::int32_t type = 0;
  std::int32_t normalization = 0;
  std::int32_t gradient_mode = 0;
  std::int32_t label_length_max = 0;
};
// How large the workspace is. Asked, and remembered for good; the answer is DnnSize. Of a cudnnCTCLoss the longest
// label stands for all: who answers says what is enough for any labels that are not longer.
struct DnnCtcSizes {
  DnnTensor probabilities;
  DnnTensor gradients;  // of rank 0: there are none
  DnnCtc ctc;
  std::int32_t algorithm = 0;
  std::int32_t is_version_8 = 0;
  std::int64_t label_length_max = 0;
};
struct DnnSize {
  std::uint64_t bytes = 0;
};
// cudnnCTCLoss: the host's arrays are the tail, as int32: the length of each label, of each input, and the labels, one
// behind the other. A batch of more labels than one message holds is posted in several calls, whose tensors then have
// the strides of the whole. cudnnCTCLoss_v8: the arrays are the device's, and the tail is empty.
struct DnnCtcLoss {
  std::uint64_t tail_words = 0;
  std::int32_t algorithm = 0;
  std::int32_t is_version_8 = 0;
  DnnCtc ctc;
  DnnOperand probabilities;
  DnnOperand gradients;  // of rank 0: there are none
  std::uint64_t costs = 0;
  std::uint64_t labels = 0;
  std::uint64_t label_lengths = 0;
  std::uint64_t input_lengths = 0;
  DnnSpace workspace;
};

// What cudnnBatchNormalization...Ex, if is_batch, and cudnnNormalization... do. Modes and operations are their own,
// whose numbers mean the same but for the modes past 1.
struct DnnNorm {
  std::int32_t is_batch = 0;
  std::int32_t mode = 0;
  std::int32_t operations = 0;
  std::int32_t algorithm = 0;
  std::int64_t groups = 1;
  DnnActivation activation;
};
// How large the workspace of a direction or the reserve is. Asked, and remembered for good; the answer is DnnSize.
// Tensors that the query does not have are of rank 0.
struct DnnNormSizes {
  std::int64_t what = 0;  // 0: the workspace forward, 1: backward, 2: the reserve
  DnnNorm norm;
  DnnTensor x;
  DnnTensor y;
  DnnTensor z;
  DnnTensor dy;
  DnnTensor dx;
  DnnTensor parameters;
  DnnTensor moments;
};
// Scale and bias lie as `parameters` says, and means and variances as `moments`, which is the same in a batch
// normalisation.
struct DnnNormForwardTraining {
  DnnOperand x;
  DnnOperand z;
  DnnOperand y;
  DnnTensor parameters;
  DnnTensor moments;
  std::uint64_t scale = 0;
  std::uint64_t bias = 0;
  std::uint64_t running_mean = 0;
  std::uint64_t running_variance = 0;
  std::uint64_t saved_mean = 0;
  std::uint64_t saved_inverse_deviation = 0;
  DnnNorm norm;
  double average_factor = 0;
  double epsilon = 0;
  DnnBlend blend;
  DnnSpace workspace;
  DnnSpace reserve;
};
struct DnnNormForwardInference {
  DnnOperand x;
  DnnOperand z;
  DnnOperand y;
  DnnTensor parameters;
  DnnTensor moments;
  std::uint64_t scale = 0;
  std::uint64_t bias = 0;
  std::uint64_t mean = 0;
  std::uint64_t variance = 0;
  DnnNorm norm;
  double epsilon = 0;
  DnnBlend blend;
};
struct DnnNormBackward {
  DnnOperand x;
  DnnOperand y;
  DnnOperand dy;
  DnnOperand dz;
  DnnOperand dx;
  DnnTensor parameters;
  DnnTensor moments;
  std::uint64_t scale = 0;
  std::uint64_t bias = 0;
  std::uint64_t scale_gradient = 0;
  std::uint64_t bias_gradient = 0;
  std::uint64_t saved_mean = 0;
  std::uint64_t saved_inverse_deviation = 0;
  DnnNorm norm;
  double epsilon = 0;
  DnnBlend data;
  DnnBlend parameter;
  DnnSpace workspace;
  DnnSpace reserve;
};

// cudnnTensorTransformDescriptor_t: folds are those of space.
struct DnnTransform {
  std::int32_t rank = 0;
  std::int32_t format = 0;
  std::int32_t direction = 0;
  std::int32_t reserved = 0;
  std::array<std::int32_t, kDnnDimensionsMax> before{};
  std::array<std::int32_t, kDnnDimensionsMax> after{};
  std::array<std::int32_t, kDnnDimensionsMax> folds{};
};
// cudnnTransformTensorEx.
struct DnnTransformEx {
  DnnOperand x;
  DnnOperand y;
  DnnTransform transform;
  DnnBlend blend;
};
// cudnnTransformFilter.
struct DnnTransformFilter {
  DnnOperand x;
  DnnOperand y;
  DnnTransform transform;
  DnnBlend blend;
};
// A matrix without gaps: a row for each place of the result, in it a number for each element of a filter.
struct DnnIm2Col {
  DnnOperand x;
  DnnTensor w;
  DnnConvolution convolution;
  std::uint64_t columns = 0;
};
}  // namespace accelmesh
