// Layers of the small ResNet: each owns its descriptors, its parameters with their gradients, and what it computes.
#pragma once

#include <cublas_v2.h>

#include <algorithm>

#include "cublas_check.h"
#include "cudnn_check.h"

static const float kOne = 1, kZero = 0;

struct Handles {
  cudnnHandle_t dnn = nullptr;
  cublasHandle_t blas = nullptr;
  cudaStream_t stream = nullptr;
};

// Floats of the device's.
class Floats {
 public:
  explicit Floats(size_t count) : count_(count) {
    CHECK(cudaMalloc(reinterpret_cast<void**>(&memory_), count * sizeof(float)));
    CHECK(cudaMemset(memory_, 0, count * sizeof(float)));
  }
  ~Floats() { cudaFree(memory_); }
  Floats(const Floats&) = delete;
  Floats& operator=(const Floats&) = delete;
  operator float*() const { return memory_; }
  size_t count() const { return count_; }

 private:
  size_t count_;
  float* memory_ = nullptr;
};

// Weights with their gradients and the momentum that they have.
struct Parameters {
  Parameters(size_t count, float middle, float spread, Random& random) : values(count), slopes(count), speeds(count) {
    std::vector<float> host(count);
    for (float& value : host) value = middle + spread * (static_cast<float>(random.Below(2001)) / 1000 - 1);
    CHECK(cudaMemcpy(values, host.data(), count * sizeof(float), cudaMemcpyHostToDevice));
  }
  Floats values, slopes, speeds;
};

// Images of one shape, with the slope of the loss by each of their elements.
struct Images {
  Images(int n, int c, int h, int w) : n(n), c(c), h(h), w(w), values(Count()), slopes(Count()) {
    CHECK_DNN(cudnnCreateTensorDescriptor(&descriptor));
    CHECK_DNN(cudnnSetTensor4dDescriptor(descriptor, CUDNN_TENSOR_NCHW, CUDNN_DATA_FLOAT, n, c, h, w));
  }
  ~Images() { CHECK_DNN(cudnnDestroyTensorDescriptor(descriptor)); }
  Images(const Images&) = delete;
  Images& operator=(const Images&) = delete;
  size_t Count() const { return static_cast<size_t>(n) * c * h * w; }

  int n, c, h, w;
  Floats values, slopes;
  cudnnTensorDescriptor_t descriptor = nullptr;
};

// A convolution with padding that keeps the size, or halves it, and batch normalisation of what it gives.
class NormalisedConvolution {
 public:
  NormalisedConvolution(const Handles& handles, const Images& in, int kernels, int size, int stride, Random& random)
      : out(in.n, kernels, in.h / stride, in.w / stride),
        weights(static_cast<size_t>(kernels) * in.c * size * size, 0, 2.0f / static_cast<float>(size * std::sqrt(in.c)),
                random),
        gains(kernels, 1, 0.1f, random),
        offsets(kernels, 0, 0.1f, random),
        handles_(handles),
        convolved_(out.n, out.c, out.h, out.w),
        running_mean_(kernels),
        running_variance_(kernels),
        mean_(kernels),
        inverse_(kernels) {
    CHECK_DNN(cudnnCreateFilterDescriptor(&filter_));
    CHECK_DNN(cudnnSetFilter4dDescriptor(filter_, CUDNN_DATA_FLOAT, CUDNN_TENSOR_NCHW, kernels, in.c, size, size));
    CHECK_DNN(cudnnCreateConvolutionDescriptor(&convolution_));
    CHECK_DNN(cudnnSetConvolution2dDescriptor(convolution_, size / 2, size / 2, stride, stride, 1, 1,
                                              CUDNN_CROSS_CORRELATION, CUDNN_DATA_FLOAT));
    int n = 0, c = 0, h = 0, w = 0, count = 0;
    CHECK_DNN(cudnnGetConvolution2dForwardOutputDim(convolution_, in.descriptor, filter_, &n, &c, &h, &w));
    EXPECT(n == out.n && c == out.c && h == out.h && w == out.w, "convolved to %d x %d x %d x %d", n, c, h, w);
    CHECK_DNN(cudnnGetConvolutionForwardAlgorithm_v7(handles.dnn, in.descriptor, filter_, convolution_, out.descriptor,
                                                     1, &count, &forward_));
    CHECK_DNN(cudnnGetConvolutionBackwardDataAlgorithm_v7(handles.dnn, filter_, out.descriptor, convolution_,
                                                          in.descriptor, 1, &count, &data_));
    CHECK_DNN(cudnnGetConvolutionBackwardFilterAlgorithm_v7(handles.dnn, in.descriptor, out.descriptor, convolution_,
                                                            filter_, 1, &count, &filter_way_));
    workspace_bytes_ = std::max({forward_.memory, data_.memory, filter_way_.memory});
    if (workspace_bytes_ != 0) CHECK(cudaMalloc(&workspace_, workspace_bytes_));
    CHECK_DNN(cudnnCreateTensorDescriptor(&per_channel_));
    CHECK_DNN(cudnnDeriveBNTensorDescriptor(per_channel_, out.descriptor, CUDNN_BATCHNORM_SPATIAL));
  }
  NormalisedConvolution(const NormalisedConvolution&) = delete;
  NormalisedConvolution& operator=(const NormalisedConvolution&) = delete;
  ~NormalisedConvolution() {
    CHECK_DNN(cudnnDestroyTensorDescriptor(per_channel_));
    CHECK_DNN(cudnnDestroyConvolutionDescriptor(convolution_));
    CHECK_DNN(cudnnDestroyFilterDescriptor(filter_));
    cudaFree(workspace_);
  }
  void Forward(const Images& in) {
    CHECK_DNN(cudnnConvolutionForward(handles_.dnn, &kOne, in.descriptor, in.values, filter_, weights.values,
                                      convolution_, forward_.algo, workspace_, workspace_bytes_, &kZero,
                                      convolved_.descriptor, convolved_.values));
    CHECK_DNN(cudnnBatchNormalizationForwardTraining(
        handles_.dnn, CUDNN_BATCHNORM_SPATIAL, &kOne, &kZero, convolved_.descriptor, convolved_.values, out.descriptor,
        out.values, per_channel_, gains.values, offsets.values, 0.1, running_mean_, running_variance_,
        CUDNN_BN_MIN_EPSILON, mean_, inverse_));
  }
  // Adds to the slopes of `in` as `before` says, 0 or 1; null: nobody needs them.
  void Backward(Images& in, const float* before) {
    CHECK_DNN(cudnnBatchNormalizationBackward(handles_.dnn, CUDNN_BATCHNORM_SPATIAL, &kOne, &kZero, &kOne, &kZero,
                                              convolved_.descriptor, convolved_.values, out.descriptor, out.slopes,
                                              convolved_.descriptor, convolved_.slopes, per_channel_, gains.values,
                                              gains.slopes, offsets.slopes, CUDNN_BN_MIN_EPSILON, mean_, inverse_));
    CHECK_DNN(cudnnConvolutionBackwardFilter(handles_.dnn, &kOne, in.descriptor, in.values, out.descriptor,
                                             convolved_.slopes, convolution_, filter_way_.algo, workspace_,
                                             workspace_bytes_, &kZero, filter_, weights.slopes));
    if (before == nullptr) return;
    CHECK_DNN(cudnnConvolutionBackwardData(handles_.dnn, &kOne, filter_, weights.values, out.descriptor,
                                           convolved_.slopes, convolution_, data_.algo, workspace_, workspace_bytes_,
                                           before, in.descriptor, in.slopes));
  }

  Images out;
  Parameters weights, gains, offsets;

 private:
  Handles handles_;
  Images convolved_;
  Floats running_mean_, running_variance_, mean_, inverse_;
  cudnnFilterDescriptor_t filter_ = nullptr;
  cudnnConvolutionDescriptor_t convolution_ = nullptr;
  cudnnTensorDescriptor_t per_channel_ = nullptr;
  cudnnConvolutionFwdAlgoPerf_t forward_{};
  cudnnConvolutionBwdDataAlgoPerf_t data_{};
  cudnnConvolutionBwdFilterAlgoPerf_t filter_way_{};
  void* workspace_ = nullptr;
  size_t workspace_bytes_ = 0;
};
