// A small ResNet: a convolution, two blocks with a way around them, the mean of each channel, a linear layer and
// softmax; gradient descent with momentum.
#pragma once

#include <memory>

#include "resnet_layers.h"

static const int kBatch = 16, kSize = 16, kChannels = 3, kClasses = 5;

// Minus the logarithm of what was given to the right class, and the slope of their mean by the inputs of the softmax.
__global__ void CrossEntropy(const float* shares, const int* labels, float* losses, float* slopes) {
  const int i = threadIdx.x;
  losses[i] = -logf(shares[i * kClasses + labels[i]]);
  for (int k = 0; k < kClasses; ++k)
    slopes[i * kClasses + k] = (shares[i * kClasses + k] - (k == labels[i] ? 1.0f : 0.0f)) / kBatch;
}

// sum += around; where that is above 0 the block passes it on.
__global__ void AddAndRectify(float* sum, const float* around, int count) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < count) sum[i] = fmaxf(sum[i] + around[i], 0.0f);
}

// The slope of a sum that was rectified, for both of what was added.
__global__ void SplitSlope(const float* sum, const float* slope, float* through, float* around, int count) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < count) through[i] = around[i] = sum[i] > 0 ? slope[i] : 0.0f;
}

__global__ void StepWithMomentum(float* values, const float* slopes, float* speeds, float rate, float kept, int count) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= count) return;
  speeds[i] = kept * speeds[i] + slopes[i];
  values[i] -= rate * speeds[i];
}

static int BlocksOf(size_t count) { return static_cast<int>((count + 127) / 128); }

class Rectifier {
 public:
  explicit Rectifier(const Handles& handles) : dnn_(handles.dnn) {
    CHECK_DNN(cudnnCreateActivationDescriptor(&relu_));
    CHECK_DNN(cudnnSetActivationDescriptor(relu_, CUDNN_ACTIVATION_RELU, CUDNN_NOT_PROPAGATE_NAN, 0));
  }
  Rectifier(const Rectifier&) = delete;
  Rectifier& operator=(const Rectifier&) = delete;
  ~Rectifier() { CHECK_DNN(cudnnDestroyActivationDescriptor(relu_)); }
  void Forward(Images& images) {
    CHECK_DNN(cudnnActivationForward(dnn_, relu_, &kOne, images.descriptor, images.values, &kZero, images.descriptor,
                                     images.values));
  }
  // Of a rectifier in place: its result tells what its input was.
  void Backward(Images& images) {
    CHECK_DNN(cudnnActivationBackward(dnn_, relu_, &kOne, images.descriptor, images.values, images.descriptor,
                                      images.slopes, images.descriptor, images.values, &kZero, images.descriptor,
                                      images.slopes));
  }

 private:
  cudnnHandle_t dnn_;
  cudnnActivationDescriptor_t relu_ = nullptr;
};

// Two convolutions and what goes around them: the input itself, or its projection where the block changes the shape.
class Block {
 public:
  Block(const Handles& handles, Images& in, int kernels, int stride, Random& random)
      : first(handles, in, kernels, 3, stride, random),
        second(handles, first.out, kernels, 3, 1, random),
        handles_(handles),
        relu_(handles),
        in_(in) {
    if (stride != 1 || kernels != in.c)
      projection = std::make_unique<NormalisedConvolution>(handles, in, kernels, 1, stride, random);
  }
  Images& out() { return second.out; }
  void Forward() {
    first.Forward(in_);
    relu_.Forward(first.out);
    second.Forward(first.out);
    if (projection != nullptr) projection->Forward(in_);
    const Floats& around = projection != nullptr ? projection->out.values : in_.values;
    AddAndRectify<<<BlocksOf(around.count()), 128, 0, handles_.stream>>>(out().values, around,
                                                                         static_cast<int>(around.count()));
  }
  void Backward() {
    Images& added = projection != nullptr ? projection->out : in_;
    SplitSlope<<<BlocksOf(out().Count()), 128, 0, handles_.stream>>>(out().values, out().slopes, out().slopes,
                                                                     added.slopes, static_cast<int>(out().Count()));
    second.Backward(first.out, &kZero);
    relu_.Backward(first.out);
    if (projection != nullptr) projection->Backward(in_, &kZero);
    first.Backward(in_, &kOne);
  }

  NormalisedConvolution first, second;
  std::unique_ptr<NormalisedConvolution> projection;

 private:
  Handles handles_;
  Rectifier relu_;
  Images& in_;
};

class ResNet {
 public:
  ResNet(const Handles& handles, Random& random)
      : handles_(handles),
        images_(kBatch, kChannels, kSize, kSize),
        stem_(handles, images_, 8, 3, 1, random),
        relu_(handles),
        plain_(handles, stem_.out, 8, 1, random),
        halving_(handles, plain_.out(), 16, 2, random),
        means_(kBatch, 16, 1, 1),
        weights_(16 * kClasses, 0, 0.5f, random),
        bias_(kClasses, 0, 0, random),
        scores_(kBatch, kClasses, 1, 1),
        bias_shape_(1, kClasses, 1, 1),
        shares_(kBatch * kClasses),
        losses_(kBatch) {
    CHECK_DNN(cudnnCreatePoolingDescriptor(&pooling_));
    CHECK_DNN(cudnnSetPooling2dDescriptor(pooling_, CUDNN_POOLING_AVERAGE_COUNT_EXCLUDE_PADDING,
                                          CUDNN_NOT_PROPAGATE_NAN, kSize / 2, kSize / 2, 0, 0, 1, 1));
    CHECK(cudaMalloc(reinterpret_cast<void**>(&labels_), kBatch * sizeof(int)));
    CHECK(cudaMallocHost(reinterpret_cast<void**>(&told_), kBatch * sizeof(float)));
  }
  ResNet(const ResNet&) = delete;
  ResNet& operator=(const ResNet&) = delete;
  ~ResNet() {
    CHECK_DNN(cudnnDestroyPoolingDescriptor(pooling_));
    cudaFree(labels_);
    cudaFreeHost(told_);
  }
  void SetBatch(const std::vector<float>& images, const std::vector<int>& labels) {
    CHECK(cudaMemcpyAsync(images_.values, images.data(), images.size() * sizeof(float), cudaMemcpyHostToDevice,
                          handles_.stream));
    CHECK(
        cudaMemcpyAsync(labels_, labels.data(), labels.size() * sizeof(int), cudaMemcpyHostToDevice, handles_.stream));
  }
  void Forward() {
    stem_.Forward(images_);
    relu_.Forward(stem_.out);
    plain_.Forward();
    halving_.Forward();
    CHECK_DNN(cudnnPoolingForward(handles_.dnn, pooling_, &kOne, halving_.out().descriptor, halving_.out().values,
                                  &kZero, means_.descriptor, means_.values));
    CHECK_BLAS(cublasSgemm(handles_.blas, CUBLAS_OP_T, CUBLAS_OP_N, kClasses, kBatch, means_.c, &kOne, weights_.values,
                           means_.c, means_.values, means_.c, &kZero, scores_.values, kClasses));
    CHECK_DNN(cudnnAddTensor(handles_.dnn, &kOne, bias_shape_.descriptor, bias_.values, &kOne, scores_.descriptor,
                             scores_.values));
    CHECK_DNN(cudnnSoftmaxForward(handles_.dnn, CUDNN_SOFTMAX_ACCURATE, CUDNN_SOFTMAX_MODE_CHANNEL, &kOne,
                                  scores_.descriptor, scores_.values, &kZero, scores_.descriptor, shares_));
    CrossEntropy<<<1, kBatch, 0, handles_.stream>>>(shares_, labels_, losses_, scores_.slopes);
  }
  void Backward() {
    CHECK_BLAS(cublasSgemm(handles_.blas, CUBLAS_OP_N, CUBLAS_OP_T, means_.c, kClasses, kBatch, &kOne, means_.values,
                           means_.c, scores_.slopes, kClasses, &kZero, weights_.slopes, means_.c));
    CHECK_DNN(cudnnConvolutionBackwardBias(handles_.dnn, &kOne, scores_.descriptor, scores_.slopes, &kZero,
                                           bias_shape_.descriptor, bias_.slopes));
    CHECK_BLAS(cublasSgemm(handles_.blas, CUBLAS_OP_N, CUBLAS_OP_N, means_.c, kBatch, kClasses, &kOne, weights_.values,
                           means_.c, scores_.slopes, kClasses, &kZero, means_.slopes, means_.c));
    Images& last = halving_.out();
    CHECK_DNN(cudnnPoolingBackward(handles_.dnn, pooling_, &kOne, means_.descriptor, means_.values, means_.descriptor,
                                   means_.slopes, last.descriptor, last.values, &kZero, last.descriptor, last.slopes));
    halving_.Backward();
    plain_.Backward();
    relu_.Backward(stem_.out);
    stem_.Backward(images_, nullptr);
  }
  void Step(float rate) {
    for (Parameters* layer : Layers())
      StepWithMomentum<<<BlocksOf(layer->values.count()), 128, 0, handles_.stream>>>(
          layer->values, layer->slopes, layer->speeds, rate, 0.9f, static_cast<int>(layer->values.count()));
  }
  std::vector<Parameters*> Layers() {
    std::vector<Parameters*> layers;
    for (NormalisedConvolution* convolution :
         {&stem_, &plain_.first, &plain_.second, &halving_.first, &halving_.second, halving_.projection.get()})
      layers.insert(layers.end(), {&convolution->weights, &convolution->gains, &convolution->offsets});
    layers.insert(layers.end(), {&weights_, &bias_});
    return layers;
  }
  // The only wait of a step.
  double Loss() {
    CHECK(cudaMemcpyAsync(told_, losses_, kBatch * sizeof(float), cudaMemcpyDeviceToHost, handles_.stream));
    CHECK(cudaStreamSynchronize(handles_.stream));
    double sum = 0;
    for (int i = 0; i < kBatch; ++i) sum += static_cast<double>(told_[i]);
    return sum / kBatch;
  }

 private:
  Handles handles_;
  Images images_;
  NormalisedConvolution stem_;
  Rectifier relu_;
  Block plain_, halving_;
  Images means_;
  Parameters weights_, bias_;
  Images scores_, bias_shape_;
  Floats shares_, losses_;
  cudnnPoolingDescriptor_t pooling_ = nullptr;
  int* labels_ = nullptr;
  float* told_ = nullptr;
};
