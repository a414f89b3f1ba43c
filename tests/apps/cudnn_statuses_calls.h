// The rows of cudnn_statuses.cu that are calls: of no handle, which need no device, and of one.
#pragma once

#include "cudnn_statuses.h"

// Everything a call needs, of one small problem that fits.
struct Problem {
  Problem() {
    CHECK_STATUS(cudnnSetTensor4dDescriptor(x, CUDNN_TENSOR_NCHW, CUDNN_DATA_FLOAT, 2, 4, 6, 6));
    CHECK_STATUS(cudnnSetTensor4dDescriptor(y, CUDNN_TENSOR_NCHW, CUDNN_DATA_FLOAT, 2, 4, 4, 4));
    CHECK_STATUS(cudnnSetTensor4dDescriptor(half, CUDNN_TENSOR_NCHW, CUDNN_DATA_HALF, 2, 4, 6, 6));
    CHECK_STATUS(cudnnSetTensor4dDescriptor(small, CUDNN_TENSOR_NCHW, CUDNN_DATA_FLOAT, 2, 4, 3, 3));
    CHECK_STATUS(cudnnSetTensor4dDescriptor(bias, CUDNN_TENSOR_NCHW, CUDNN_DATA_FLOAT, 1, 4, 1, 1));
    CHECK_STATUS(cudnnSetTensor4dDescriptor(pooled, CUDNN_TENSOR_NCHW, CUDNN_DATA_FLOAT, 2, 4, 3, 3));
    CHECK_STATUS(cudnnSetFilter4dDescriptor(w, CUDNN_DATA_FLOAT, CUDNN_TENSOR_NCHW, 4, 4, 3, 3));
    CHECK_STATUS(cudnnSetFilter4dDescriptor(other, CUDNN_DATA_FLOAT, CUDNN_TENSOR_NCHW, 4, 3, 3, 3));
    CHECK_STATUS(cudnnSetConvolution2dDescriptor(c, 0, 0, 1, 1, 1, 1, CUDNN_CROSS_CORRELATION, CUDNN_DATA_FLOAT));
    CHECK_STATUS(cudnnSetPooling2dDescriptor(p, CUDNN_POOLING_MAX, CUDNN_PROPAGATE_NAN, 2, 2, 0, 0, 2, 2));
    CHECK_STATUS(cudnnSetActivationDescriptor(a, CUDNN_ACTIVATION_RELU, CUDNN_PROPAGATE_NAN, 0));
    CHECK_STATUS(cudnnSetOpTensorDescriptor(o, CUDNN_OP_TENSOR_ADD, CUDNN_DATA_FLOAT, CUDNN_PROPAGATE_NAN));
    CHECK_STATUS(cudnnSetReduceTensorDescriptor(r, CUDNN_REDUCE_TENSOR_ADD, CUDNN_DATA_FLOAT, CUDNN_PROPAGATE_NAN,
                                                CUDNN_REDUCE_TENSOR_NO_INDICES, CUDNN_32BIT_INDICES));
    CHECK_STATUS(cudnnSetLRNDescriptor(l, 5, 1e-4, 0.75, 2));
  }
  using Tensor = Descriptor<cudnnTensorDescriptor_t>;
  Tensor x{cudnnCreateTensorDescriptor, cudnnDestroyTensorDescriptor};
  Tensor y{cudnnCreateTensorDescriptor, cudnnDestroyTensorDescriptor};
  Tensor half{cudnnCreateTensorDescriptor, cudnnDestroyTensorDescriptor};
  Tensor small{cudnnCreateTensorDescriptor, cudnnDestroyTensorDescriptor};
  Tensor bias{cudnnCreateTensorDescriptor, cudnnDestroyTensorDescriptor};
  Tensor pooled{cudnnCreateTensorDescriptor, cudnnDestroyTensorDescriptor};
  Tensor unset{cudnnCreateTensorDescriptor, cudnnDestroyTensorDescriptor};
  Descriptor<cudnnFilterDescriptor_t> w{cudnnCreateFilterDescriptor, cudnnDestroyFilterDescriptor};
  Descriptor<cudnnFilterDescriptor_t> other{cudnnCreateFilterDescriptor, cudnnDestroyFilterDescriptor};
  Descriptor<cudnnConvolutionDescriptor_t> c{cudnnCreateConvolutionDescriptor, cudnnDestroyConvolutionDescriptor};
  Descriptor<cudnnPoolingDescriptor_t> p{cudnnCreatePoolingDescriptor, cudnnDestroyPoolingDescriptor};
  Descriptor<cudnnActivationDescriptor_t> a{cudnnCreateActivationDescriptor, cudnnDestroyActivationDescriptor};
  Descriptor<cudnnOpTensorDescriptor_t> o{cudnnCreateOpTensorDescriptor, cudnnDestroyOpTensorDescriptor};
  Descriptor<cudnnReduceTensorDescriptor_t> r{cudnnCreateReduceTensorDescriptor, cudnnDestroyReduceTensorDescriptor};
  Descriptor<cudnnLRNDescriptor_t> l{cudnnCreateLRNDescriptor, cudnnDestroyLRNDescriptor};
  float one = 1, zero = 0;
};

static void SayNullHandles() {
  Problem q;
  char memory[4096] = {};
  void* m = memory;
  cudaStream_t stream = nullptr;
  size_t bytes = 0;
  int count = 0;
  cudnnConvolutionFwdAlgoPerf_t forward{};
  const auto precise = CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_PRECOMP_GEMM;
  Say("Create(null)", cudnnCreate(nullptr));
  Say("Destroy(null)", cudnnDestroy(nullptr));
  Say("SetStream(null handle)", cudnnSetStream(nullptr, nullptr));
  Say("GetStream(null handle)", cudnnGetStream(nullptr, &stream));
  Say("GetProperty(unknown)", cudnnGetProperty(static_cast<libraryPropertyType>(9), &count));
  Say("GetProperty(null)", cudnnGetProperty(MAJOR_VERSION, nullptr));
  Say("GetConvolutionForwardWorkspaceSize(null handle)",
      cudnnGetConvolutionForwardWorkspaceSize(nullptr, q.x, q.w, q.c, q.y, precise, &bytes));
  Say("GetConvolutionForwardAlgorithmMaxCount(null handle)",
      cudnnGetConvolutionForwardAlgorithmMaxCount(nullptr, &count));
  Say("ConvolutionForward(null handle)",
      cudnnConvolutionForward(nullptr, &q.one, q.x, m, q.w, m, q.c, precise, m, 4096, &q.zero, q.y, m));
  Say("AddTensor(null handle)", cudnnAddTensor(nullptr, &q.one, q.bias, m, &q.one, q.x, m));
  Say("OpTensor(null handle)", cudnnOpTensor(nullptr, q.o, &q.one, q.x, m, &q.one, q.x, m, &q.zero, q.x, m));
  Say("ReduceTensor(null handle)",
      cudnnReduceTensor(nullptr, q.r, nullptr, 0, m, 4096, &q.one, q.x, m, &q.zero, q.bias, m));
  Say("GetReductionWorkspaceSize(null handle)", cudnnGetReductionWorkspaceSize(nullptr, q.r, q.x, q.bias, &bytes));
  Say("SetTensor(null handle)", cudnnSetTensor(nullptr, q.x, m, &q.one));
  Say("ScaleTensor(null handle)", cudnnScaleTensor(nullptr, q.x, m, &q.one));
  Say("TransformTensor(null handle)", cudnnTransformTensor(nullptr, &q.one, q.x, m, &q.zero, q.x, m));
  Say("PoolingForward(null handle)", cudnnPoolingForward(nullptr, q.p, &q.one, q.x, m, &q.zero, q.pooled, m));
  Say("ActivationForward(null handle)", cudnnActivationForward(nullptr, q.a, &q.one, q.x, m, &q.zero, q.x, m));
  Say("SoftmaxForward(null handle)", cudnnSoftmaxForward(nullptr, CUDNN_SOFTMAX_ACCURATE, CUDNN_SOFTMAX_MODE_CHANNEL,
                                                         &q.one, q.x, m, &q.zero, q.x, m));
  Say("ConvolutionBackwardBias(null handle)",
      cudnnConvolutionBackwardBias(nullptr, &q.one, q.x, m, &q.zero, q.bias, m));
}

// Of a handle: its own state first, then what does not fit together. Those that the library could run in spite of what
// is wrong have null in place of memory.
static void SayCalls() {
  Problem q;
  cudnnHandle_t h = nullptr;
  CHECK_STATUS(cudnnCreate(&h));
  void* m = nullptr;
  CHECK(cudaMalloc(&m, 1 << 16));
  CHECK(cudaMemset(m, 0, 1 << 16));
  size_t bytes = 0;
  int count = 0;
  cudnnConvolutionFwdAlgoPerf_t forward{};
  cudnnConvolutionBwdDataAlgoPerf_t data{};
  const auto precise = CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_PRECOMP_GEMM;
  const auto size = [&](const char* row, cudnnTensorDescriptor_t x, cudnnFilterDescriptor_t w,
                        cudnnTensorDescriptor_t y, cudnnConvolutionFwdAlgo_t algorithm) {
    Say(row, cudnnGetConvolutionForwardWorkspaceSize(h, x, w, q.c, y, algorithm, &bytes));
  };
  Say("GetStream(null)", cudnnGetStream(h, nullptr));
  size("WorkspaceSize(output does not fit)", q.x, q.w, q.small, precise);
  size("WorkspaceSize(other channels)", q.x, q.other, q.y, precise);
  size("WorkspaceSize(types differ)", q.half, q.w, q.y, precise);
  size("WorkspaceSize(algorithm 99)", q.x, q.w, q.y, Unknown<cudnnConvolutionFwdAlgo_t>());
  size("WorkspaceSize(null x)", nullptr, q.w, q.y, precise);
  size("WorkspaceSize(unset x)", q.unset, q.w, q.y, precise);
  Say("WorkspaceSize(null result)", cudnnGetConvolutionForwardWorkspaceSize(h, q.x, q.w, q.c, q.y, precise, nullptr));
  Say("ForwardAlgorithm(0 asked)", cudnnGetConvolutionForwardAlgorithm_v7(h, q.x, q.w, q.c, q.y, 0, &count, &forward));
  Say("ForwardAlgorithm(-1 asked)",
      cudnnGetConvolutionForwardAlgorithm_v7(h, q.x, q.w, q.c, q.y, -1, &count, &forward));
  Say("ForwardAlgorithm(null results)",
      cudnnGetConvolutionForwardAlgorithm_v7(h, q.x, q.w, q.c, q.y, 1, &count, nullptr));
  Say("ForwardAlgorithm(output does not fit)",
      cudnnGetConvolutionForwardAlgorithm_v7(h, q.x, q.w, q.c, q.small, 1, &count, &forward));
  Say("BackwardDataAlgorithm(output does not fit)",
      cudnnGetConvolutionBackwardDataAlgorithm_v7(h, q.w, q.small, q.c, q.x, 1, &count, &data));
  const auto convolve = [&](const char* row, const void* x, cudnnTensorDescriptor_t yd, void* y, const void* alpha) {
    Say(row, cudnnConvolutionForward(h, alpha, q.x, x, q.w, m, q.c, precise, m, 1 << 16, &q.zero, yd, y));
  };
  convolve("ConvolutionForward(output does not fit)", m, q.small, m, &q.one);
  convolve("ConvolutionForward(null x)", nullptr, q.y, m, &q.one);
  convolve("ConvolutionForward(null y)", m, q.y, nullptr, &q.one);
  convolve("ConvolutionForward(null alpha)", m, q.y, m, nullptr);
  Say("AddTensor(shapes differ)", cudnnAddTensor(h, &q.one, q.small, nullptr, &q.one, q.x, nullptr));
  Say("AddTensor(null memory)", cudnnAddTensor(h, &q.one, q.bias, nullptr, &q.one, q.x, m));
  Say("OpTensor(shapes differ)",
      cudnnOpTensor(h, q.o, &q.one, q.small, nullptr, &q.one, q.x, nullptr, &q.zero, q.x, nullptr));
  Say("ReduceTensor(result larger)",
      cudnnReduceTensor(h, q.r, nullptr, 0, nullptr, 0, &q.one, q.bias, m, &q.zero, q.x, m));
  Say("GetReductionWorkspaceSize(result larger)", cudnnGetReductionWorkspaceSize(h, q.r, q.bias, q.x, &bytes));
  Say("GetReductionIndicesSize(null)", cudnnGetReductionIndicesSize(h, nullptr, q.x, q.bias, &bytes));
  Say("SetTensor(null value)", cudnnSetTensor(h, q.x, m, nullptr));
  Say("ScaleTensor(null)", cudnnScaleTensor(h, nullptr, m, &q.one));
  Say("TransformTensor(shapes differ)", cudnnTransformTensor(h, &q.one, q.x, m, &q.zero, q.small, m));
  Say("PoolingForward(output does not fit)", cudnnPoolingForward(h, q.p, &q.one, q.x, m, &q.zero, q.y, m));
  Say("PoolingForward(types differ)", cudnnPoolingForward(h, q.p, &q.one, q.half, m, &q.zero, q.pooled, m));
  Say("PoolingForward(null x)", cudnnPoolingForward(h, q.p, &q.one, q.x, nullptr, &q.zero, q.pooled, m));
  Say("ActivationForward(shapes differ)", cudnnActivationForward(h, q.a, &q.one, q.x, m, &q.zero, q.small, m));
  Say("ActivationForward(types differ)", cudnnActivationForward(h, q.a, &q.one, q.x, m, &q.zero, q.half, m));
  Say("SoftmaxForward(algorithm 99)", cudnnSoftmaxForward(h, Unknown<cudnnSoftmaxAlgorithm_t>(),
                                                          CUDNN_SOFTMAX_MODE_CHANNEL, &q.one, q.x, m, &q.zero, q.x, m));
  Say("SoftmaxForward(mode 99)",
      cudnnSoftmaxForward(h, CUDNN_SOFTMAX_ACCURATE, Unknown<cudnnSoftmaxMode_t>(), &q.one, q.x, m, &q.zero, q.x, m));
  Say("SoftmaxForward(shapes differ)",
      cudnnSoftmaxForward(h, CUDNN_SOFTMAX_ACCURATE, CUDNN_SOFTMAX_MODE_CHANNEL, &q.one, q.x, m, &q.zero, q.small, m));
  Say("LRNCrossChannelForward(mode 99)",
      cudnnLRNCrossChannelForward(h, q.l, Unknown<cudnnLRNMode_t>(), &q.one, q.x, m, &q.zero, q.x, m));
  const auto normalise = [&](const char* row, cudnnBatchNormMode_t mode, cudnnTensorDescriptor_t of, double epsilon) {
    Say(row,
        cudnnBatchNormalizationForwardInference(h, mode, &q.one, &q.zero, q.x, m, q.x, m, of, m, m, m, m, epsilon));
  };
  normalise("BatchNormalizationForwardInference(mode 99)", Unknown<cudnnBatchNormMode_t>(), q.bias, 1e-5);
  normalise("BatchNormalizationForwardInference(parameters do not fit)", CUDNN_BATCHNORM_SPATIAL, q.small, 1e-5);
  normalise("BatchNormalizationForwardInference(epsilon -1)", CUDNN_BATCHNORM_SPATIAL, q.bias, -1);
  Say("ConvolutionBackwardBias(bias does not fit)",
      cudnnConvolutionBackwardBias(h, &q.one, q.x, m, &q.zero, q.small, m));
  Descriptor<cudnnDropoutDescriptor_t> d(cudnnCreateDropoutDescriptor, cudnnDestroyDropoutDescriptor);
  Say("DropoutGetStatesSize(null)", cudnnDropoutGetStatesSize(h, nullptr));
  Say("SetDropout(probability 2)", cudnnSetDropoutDescriptor(d, h, 2, m, 1 << 16, 1));
  Say("SetDropout(probability -1)", cudnnSetDropoutDescriptor(d, h, -1, m, 1 << 16, 1));
  Say("SetDropout(states too small)", cudnnSetDropoutDescriptor(d, h, 0.5f, m, 16, 1));
  Say("RestoreDropout(states too small)", cudnnRestoreDropoutDescriptor(d, h, 0.5f, m, 16, 1));
  cudnnDestroy(h);
  cudaFree(m);
}
