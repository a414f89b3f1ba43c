// What the functions on convolutions share: the problem of one, and what is said of its algorithms.
//
// Threads: pure functions.
#pragma once

#include "shim/dnn/call.h"

namespace accelmesh::dnn {

enum Direction : std::int64_t { kForward = 0, kData = 1, kFilter = 2 };

inline DnnConvolution Convolution(Call& call, const cudnnConvolutionStruct* descriptor) {
  call.Require(descriptor != nullptr && descriptor->convolution.rank != 0);
  return call.status() == CUDNN_STATUS_SUCCESS ? descriptor->convolution : DnnConvolution{};
}

inline DnnFindAlgorithms Problem(Call& call, Direction direction, cudnnTensorDescriptor_t x, cudnnFilterDescriptor_t w,
                                 cudnnConvolutionDescriptor_t convolution, cudnnTensorDescriptor_t y) {
  return {direction, call.Tensor(x), call.Tensor(w), call.Tensor(y), Convolution(call, convolution)};
}

// What cudnnGetConvolution...Algorithm_v7 and cudnnFindConvolution...Algorithm say of one; `time` in milliseconds.
template <typename Algorithm, typename Performance>
void Fill(const DnnAlgorithm& algorithm, float time, Performance* performance) {
  *performance = {};
  performance->algo = static_cast<Algorithm>(algorithm.algorithm);
  performance->status = static_cast<cudnnStatus_t>(algorithm.status);
  performance->time = time;
  performance->memory = algorithm.workspace_bytes;
  performance->determinism = static_cast<cudnnDeterminism_t>(algorithm.determinism);
  performance->mathType = static_cast<cudnnMathType_t>(algorithm.math_type);
}

}  // namespace accelmesh::dnn
