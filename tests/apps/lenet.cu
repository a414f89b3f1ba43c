// LeNet, trained with cuDNN and cuBLAS as the library's samples would: two convolutions with pooling, two products with
// activations, softmax and cross entropy, plain gradient descent. The digits are drawn here: seven segments with noise,
// shifted. The loss must fall, the gradients must be those of finite differences, and most digits must be known at the
// end.
//
//     lenet                 checks the gradients, trains, and prints the losses
//     lenet bench STEPS     that many steps, whose loss is looked at after each
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>

#include "cublas_check.h"
#include "cudnn_check.h"
#include "gradient_check.h"

static const int kBatch = 32, kSize = 28, kClasses = 10;
static const float kOne = 1, kZero = 0;

// Minus the logarithm of what was given to the right digit, and the slope of their mean by the inputs of the softmax.
__global__ void CrossEntropy(const float* shares, const int* labels, float* losses, float* slopes) {
  const int i = threadIdx.x;
  losses[i] = -logf(shares[i * kClasses + labels[i]]);
  for (int k = 0; k < kClasses; ++k)
    slopes[i * kClasses + k] = (shares[i * kClasses + k] - (k == labels[i] ? 1.0f : 0.0f)) / kBatch;
}

static float* Allocate(size_t count) {
  float* memory = nullptr;
  CHECK(cudaMalloc(reinterpret_cast<void**>(&memory), count * sizeof(float)));
  return memory;
}

// Weights of one layer, with their gradients.
struct Parameters {
  Parameters(size_t size, float spread, Random& random) : count(size), values(Allocate(size)), slopes(Allocate(size)) {
    std::vector<float> host(size);
    for (float& value : host) value = spread * (static_cast<float>(random.Below(2001)) / 1000 - 1);
    CHECK(cudaMemcpy(values, host.data(), size * sizeof(float), cudaMemcpyHostToDevice));
  }
  size_t count;
  float* values;
  float* slopes;
};

class Image4d {
 public:
  Image4d(int n, int c, int h, int w) {
    CHECK_DNN(cudnnCreateTensorDescriptor(&tensor_));
    CHECK_DNN(cudnnSetTensor4dDescriptor(tensor_, CUDNN_TENSOR_NCHW, CUDNN_DATA_FLOAT, n, c, h, w));
  }
  Image4d(const Image4d&) = delete;
  Image4d& operator=(const Image4d&) = delete;
  ~Image4d() { CHECK_DNN(cudnnDestroyTensorDescriptor(tensor_)); }
  operator cudnnTensorDescriptor_t() const { return tensor_; }

 private:
  cudnnTensorDescriptor_t tensor_ = nullptr;
};

// A convolution with its bias, then a maximum over 2 x 2.
class Convolution {
 public:
  Convolution(cudnnHandle_t dnn, int channels, int kernels, int size, Random& random)
      : dnn_(dnn),
        weights(static_cast<size_t>(kernels) * channels * 25, 1.0f / static_cast<float>(channels * 5), random),
        bias(kernels, 0, random),
        in_(kBatch, channels, size, size),
        middle_(kBatch, kernels, size - 4, size - 4),
        out_(kBatch, kernels, (size - 4) / 2, (size - 4) / 2),
        bias_(1, kernels, 1, 1),
        convolved_(Allocate(static_cast<size_t>(kBatch) * kernels * (size - 4) * (size - 4))),
        convolved_slope_(Allocate(static_cast<size_t>(kBatch) * kernels * (size - 4) * (size - 4))),
        out(Allocate(static_cast<size_t>(kBatch) * kernels * (size - 4) / 2 * (size - 4) / 2)) {
    CHECK_DNN(cudnnCreateFilterDescriptor(&filter_));
    CHECK_DNN(cudnnSetFilter4dDescriptor(filter_, CUDNN_DATA_FLOAT, CUDNN_TENSOR_NCHW, kernels, channels, 5, 5));
    CHECK_DNN(cudnnCreateConvolutionDescriptor(&convolution_));
    CHECK_DNN(
        cudnnSetConvolution2dDescriptor(convolution_, 0, 0, 1, 1, 1, 1, CUDNN_CROSS_CORRELATION, CUDNN_DATA_FLOAT));
    CHECK_DNN(cudnnCreatePoolingDescriptor(&pooling_));
    CHECK_DNN(cudnnSetPooling2dDescriptor(pooling_, CUDNN_POOLING_MAX, CUDNN_NOT_PROPAGATE_NAN, 2, 2, 0, 0, 2, 2));
    int n = 0, c = 0, h = 0, w = 0, count = 0;
    CHECK_DNN(cudnnGetConvolution2dForwardOutputDim(convolution_, in_, filter_, &n, &c, &h, &w));
    EXPECT(n == kBatch && c == kernels && h == size - 4 && w == size - 4, "convolved to %d x %d x %d x %d", n, c, h, w);
    CHECK_DNN(cudnnGetConvolutionForwardAlgorithm_v7(dnn, in_, filter_, convolution_, middle_, 1, &count, &forward_));
    CHECK_DNN(cudnnGetConvolutionBackwardDataAlgorithm_v7(dnn, filter_, middle_, convolution_, in_, 1, &count, &data_));
    CHECK_DNN(cudnnGetConvolutionBackwardFilterAlgorithm_v7(dnn, in_, middle_, convolution_, filter_, 1, &count,
                                                            &filter_way_));
    workspace_bytes_ = std::max(forward_.memory, std::max(data_.memory, filter_way_.memory));
    if (workspace_bytes_ != 0) CHECK(cudaMalloc(&workspace_, workspace_bytes_));
  }
  Convolution(const Convolution&) = delete;
  Convolution& operator=(const Convolution&) = delete;
  ~Convolution() {
    CHECK_DNN(cudnnDestroyPoolingDescriptor(pooling_));
    CHECK_DNN(cudnnDestroyConvolutionDescriptor(convolution_));
    CHECK_DNN(cudnnDestroyFilterDescriptor(filter_));
  }
  void Forward(const float* in) {
    CHECK_DNN(cudnnConvolutionForward(dnn_, &kOne, in_, in, filter_, weights.values, convolution_, forward_.algo,
                                      workspace_, workspace_bytes_, &kZero, middle_, convolved_));
    CHECK_DNN(cudnnAddTensor(dnn_, &kOne, bias_, bias.values, &kOne, middle_, convolved_));
    CHECK_DNN(cudnnPoolingForward(dnn_, pooling_, &kOne, middle_, convolved_, &kZero, out_, out));
  }
  // `in_slope` may be null: nobody needs it.
  void Backward(const float* in, const float* out_slope, float* in_slope) {
    CHECK_DNN(cudnnPoolingBackward(dnn_, pooling_, &kOne, out_, out, out_, out_slope, middle_, convolved_, &kZero,
                                   middle_, convolved_slope_));
    CHECK_DNN(cudnnConvolutionBackwardBias(dnn_, &kOne, middle_, convolved_slope_, &kZero, bias_, bias.slopes));
    CHECK_DNN(cudnnConvolutionBackwardFilter(dnn_, &kOne, in_, in, middle_, convolved_slope_, convolution_,
                                             filter_way_.algo, workspace_, workspace_bytes_, &kZero, filter_,
                                             weights.slopes));
    if (in_slope == nullptr) return;
    CHECK_DNN(cudnnConvolutionBackwardData(dnn_, &kOne, filter_, weights.values, middle_, convolved_slope_,
                                           convolution_, data_.algo, workspace_, workspace_bytes_, &kZero, in_,
                                           in_slope));
  }

 private:
  cudnnHandle_t dnn_;

 public:
  Parameters weights, bias;

 private:
  Image4d in_, middle_, out_, bias_;
  float *convolved_, *convolved_slope_;

 public:
  float* out;

 private:
  cudnnFilterDescriptor_t filter_ = nullptr;
  cudnnConvolutionDescriptor_t convolution_ = nullptr;
  cudnnPoolingDescriptor_t pooling_ = nullptr;
  cudnnConvolutionFwdAlgoPerf_t forward_{};
  cudnnConvolutionBwdDataAlgoPerf_t data_{};
  cudnnConvolutionBwdFilterAlgoPerf_t filter_way_{};
  void* workspace_ = nullptr;
  size_t workspace_bytes_ = 0;
};

// out = weights * in + bias, a column an image.
class Product {
 public:
  Product(cudnnHandle_t dnn, cublasHandle_t blas, int inputs, int outputs, Random& random)
      : weights(static_cast<size_t>(inputs) * outputs, 2.0f / std::sqrt(static_cast<float>(inputs)), random),
        bias(outputs, 0, random),
        out(Allocate(static_cast<size_t>(kBatch) * outputs)),
        dnn_(dnn),
        blas_(blas),
        inputs_(inputs),
        outputs_(outputs),
        bias_(1, outputs, 1, 1),
        out_(kBatch, outputs, 1, 1) {}
  void Forward(const float* in) {
    CHECK_BLAS(cublasSgemm(blas_, CUBLAS_OP_T, CUBLAS_OP_N, outputs_, kBatch, inputs_, &kOne, weights.values, inputs_,
                           in, inputs_, &kZero, out, outputs_));
    CHECK_DNN(cudnnAddTensor(dnn_, &kOne, bias_, bias.values, &kOne, out_, out));
  }
  void Backward(const float* in, const float* out_slope, float* in_slope) {
    CHECK_BLAS(cublasSgemm(blas_, CUBLAS_OP_N, CUBLAS_OP_T, inputs_, outputs_, kBatch, &kOne, in, inputs_, out_slope,
                           outputs_, &kZero, weights.slopes, inputs_));
    CHECK_DNN(cudnnConvolutionBackwardBias(dnn_, &kOne, out_, out_slope, &kZero, bias_, bias.slopes));
    CHECK_BLAS(cublasSgemm(blas_, CUBLAS_OP_N, CUBLAS_OP_N, inputs_, kBatch, outputs_, &kOne, weights.values, inputs_,
                           out_slope, outputs_, &kZero, in_slope, inputs_));
  }
  cudnnTensorDescriptor_t descriptor() const { return out_; }

  Parameters weights, bias;
  float* out;

 private:
  cudnnHandle_t dnn_;
  cublasHandle_t blas_;
  int inputs_, outputs_;
  Image4d bias_, out_;
};

class LeNet {
 public:
  LeNet(cudnnHandle_t dnn, cublasHandle_t blas, cudaStream_t stream, Random& random)
      : dnn_(dnn),
        blas_(blas),
        stream_(stream),
        first_(dnn, 1, 6, kSize, random),
        second_(dnn, 6, 16, 12, random),
        third_(dnn, blas, 256, 64, random),
        fourth_(dnn, blas, 64, kClasses, random) {
    CHECK_DNN(cudnnCreateActivationDescriptor(&relu_));
    CHECK_DNN(cudnnSetActivationDescriptor(relu_, CUDNN_ACTIVATION_RELU, CUDNN_NOT_PROPAGATE_NAN, 0));
    CHECK(cudaMalloc(reinterpret_cast<void**>(&labels_), kBatch * sizeof(int)));
    CHECK(cudaMallocHost(reinterpret_cast<void**>(&told_), kBatch * sizeof(float)));
  }
  LeNet(const LeNet&) = delete;
  LeNet& operator=(const LeNet&) = delete;
  ~LeNet() {
    CHECK_DNN(cudnnDestroyActivationDescriptor(relu_));
    CHECK(cudaFreeHost(told_));
  }
  void SetBatch(const std::vector<float>& images, const std::vector<int>& labels) {
    CHECK(cudaMemcpyAsync(images_, images.data(), images.size() * sizeof(float), cudaMemcpyHostToDevice, stream_));
    CHECK(cudaMemcpyAsync(labels_, labels.data(), labels.size() * sizeof(int), cudaMemcpyHostToDevice, stream_));
  }
  void Forward() {
    first_.Forward(images_);
    second_.Forward(first_.out);
    third_.Forward(second_.out);
    CHECK_DNN(cudnnActivationForward(dnn_, relu_, &kOne, third_.descriptor(), third_.out, &kZero, third_.descriptor(),
                                     hidden_));
    fourth_.Forward(hidden_);
    CHECK_DNN(cudnnSoftmaxForward(dnn_, CUDNN_SOFTMAX_ACCURATE, CUDNN_SOFTMAX_MODE_CHANNEL, &kOne, fourth_.descriptor(),
                                  fourth_.out, &kZero, fourth_.descriptor(), shares_));
    CrossEntropy<<<1, kBatch, 0, stream_>>>(shares_, labels_, losses_, scores_slope_);
  }
  void Backward() {
    fourth_.Backward(hidden_, scores_slope_, hidden_slope_);
    CHECK_DNN(cudnnActivationBackward(dnn_, relu_, &kOne, third_.descriptor(), hidden_, third_.descriptor(),
                                      hidden_slope_, third_.descriptor(), third_.out, &kZero, third_.descriptor(),
                                      hidden_slope_));
    third_.Backward(second_.out, hidden_slope_, second_slope_);
    second_.Backward(first_.out, second_slope_, first_slope_);
    first_.Backward(images_, first_slope_, nullptr);
  }
  void Step(float rate) {
    const float minus = -rate;
    for (Parameters* layer : Layers())
      CHECK_BLAS(cublasSaxpy(blas_, static_cast<int>(layer->count), &minus, layer->slopes, 1, layer->values, 1));
  }
  std::vector<Parameters*> Layers() {
    return {&first_.weights, &first_.bias, &second_.weights, &second_.bias,
            &third_.weights, &third_.bias, &fourth_.weights, &fourth_.bias};
  }
  // The only wait of a step.
  double Loss() {
    CHECK(cudaMemcpyAsync(told_, losses_, kBatch * sizeof(float), cudaMemcpyDeviceToHost, stream_));
    CHECK(cudaStreamSynchronize(stream_));
    double sum = 0;
    for (int i = 0; i < kBatch; ++i) sum += static_cast<double>(told_[i]);
    return sum / kBatch;
  }
  int Known(const std::vector<int>& labels) {
    std::vector<float> shares(kBatch * kClasses);
    CHECK(cudaMemcpyAsync(shares.data(), shares_, shares.size() * sizeof(float), cudaMemcpyDeviceToHost, stream_));
    CHECK(cudaStreamSynchronize(stream_));
    int known = 0;
    for (int i = 0; i < kBatch; ++i) {
      const auto first = shares.begin() + i * kClasses;
      known += std::max_element(first, first + kClasses) - first == labels[i] ? 1 : 0;
    }
    return known;
  }

 private:
  cudnnHandle_t dnn_;
  cublasHandle_t blas_;
  cudaStream_t stream_;
  Convolution first_, second_;
  Product third_, fourth_;
  cudnnActivationDescriptor_t relu_ = nullptr;
  int* labels_ = nullptr;
  float* told_ = nullptr;
  float* images_ = Allocate(kBatch * kSize * kSize);
  float* hidden_ = Allocate(kBatch * 64);
  float* hidden_slope_ = Allocate(kBatch * 64);
  float* shares_ = Allocate(kBatch * kClasses);
  float* losses_ = Allocate(kBatch);
  float* scores_slope_ = Allocate(kBatch * kClasses);
  float* second_slope_ = Allocate(kBatch * 256);
  float* first_slope_ = Allocate(kBatch * 6 * 12 * 12);
};

// Seven segments, the first at the top, then clockwise, the last in the middle.
static void Draw(Random& random, int digit, float* image) {
  static const int kSegments[kClasses] = {0x3f, 0x06, 0x5b, 0x4f, 0x66, 0x6d, 0x7d, 0x07, 0x7f, 0x6f};
  const int left = 6 + static_cast<int>(random.Below(5)), top = 3 + static_cast<int>(random.Below(5));
  for (int i = 0; i < kSize * kSize; ++i) image[i] = static_cast<float>(random.Below(100)) / 400;
  const auto line = [&](int row, int column, int rows, int columns) {
    for (int a = row; a < row + rows; ++a)
      for (int b = column; b < column + columns; ++b) image[(top + a) * kSize + left + b] += 0.75f;
  };
  const int lit = kSegments[digit];
  if (lit & 0x01) line(0, 0, 2, 10);
  if (lit & 0x02) line(0, 8, 9, 2);
  if (lit & 0x04) line(8, 8, 10, 2);
  if (lit & 0x08) line(16, 0, 2, 10);
  if (lit & 0x10) line(8, 0, 10, 2);
  if (lit & 0x20) line(0, 0, 9, 2);
  if (lit & 0x40) line(8, 0, 2, 10);
}

static void NextBatch(Random& random, std::vector<float>* images, std::vector<int>* labels) {
  for (int i = 0; i < kBatch; ++i) {
    (*labels)[i] = static_cast<int>(random.Below(kClasses));
    Draw(random, (*labels)[i], images->data() + i * kSize * kSize);
  }
}

static double Step(LeNet& network, Random& random, std::vector<float>* images, std::vector<int>* labels) {
  NextBatch(random, images, labels);
  network.SetBatch(*images, *labels);
  network.Forward();
  network.Backward();
  network.Step(0.1f);
  return network.Loss();
}

static void TestGradients(LeNet& network, Random& random, std::vector<float>* images, std::vector<int>* labels) {
  NextBatch(random, images, labels);
  network.SetBatch(*images, *labels);
  network.Forward();
  network.Backward();
  CHECK(cudaDeviceSynchronize());
  const std::vector<Parameters*> layers = network.Layers();
  for (size_t i = 0; i < layers.size(); ++i)
    ExpectSlope(network, *layers[i], layers[i]->count / 3, "layer " + std::to_string(i));
}

static void Train(LeNet& network, Random& random, std::vector<float>* images, std::vector<int>* labels) {
  const int steps = 150;
  double begin = 0, end = 0;
  int known = 0;
  std::uint64_t trace = 0xcbf29ce484222325ull;  // of every bit of every loss
  for (int step = 0; step < steps; ++step) {
    const double loss = Step(network, random, images, labels);
    std::uint64_t bits = 0;
    std::memcpy(&bits, &loss, sizeof(bits));
    trace = (trace ^ bits) * 0x100000001b3ull;
    if (step < 10) begin += loss / 10;
    if (step >= steps - 10) {
      end += loss / 10;
      known += network.Known(*labels);
    }
  }
  std::printf("lenet: %d steps, loss %.6f to %.6f, %d of %d digits known, trace %016llx\n", steps, begin, end, known,
              10 * kBatch, static_cast<unsigned long long>(trace));
  EXPECT(end < begin / 4, "the loss fell from %g to %g only", begin, end);
  EXPECT(known >= 10 * kBatch * 9 / 10, "of the last %d digits it knows %d", 10 * kBatch, known);
}

int main(int argc, char** argv) {
  const bool is_bench = argc == 3 && std::string(argv[1]) == "bench";
  if (argc != 1 && !is_bench) {
    std::fprintf(stderr, "usage: lenet [bench STEPS]\n");
    return 2;
  }
  cudaStream_t stream = nullptr;
  cudnnHandle_t dnn = nullptr;
  cublasHandle_t blas = nullptr;
  CHECK(cudaStreamCreate(&stream));
  CHECK_DNN(cudnnCreate(&dnn));
  CHECK_DNN(cudnnSetStream(dnn, stream));
  CHECK_BLAS(cublasCreate(&blas));
  CHECK_BLAS(cublasSetStream(blas, stream));
  {
    Random random(11);
    LeNet network(dnn, blas, stream, random);
    std::vector<float> images(kBatch * kSize * kSize);
    std::vector<int> labels(kBatch);
    if (is_bench) {
      for (int step = 0; step < std::atoi(argv[2]); ++step) Step(network, random, &images, &labels);
    } else {
      TestGradients(network, random, &images, &labels);
      Train(network, random, &images, &labels);
    }
  }
  CHECK_BLAS(cublasDestroy(blas));
  CHECK_DNN(cudnnDestroy(dnn));
  CHECK(cudaStreamDestroy(stream));
  return Passed();
}
