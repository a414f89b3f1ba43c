// Convolutions in all three directions, over shapes, strides, paddings, dilations, groups, layouts and types, against
// plain loops; the bias and its gradient; what an algorithm's query says and what wrong arguments are told.
#include <functional>
#include <string>

#include "cudnn_check.h"

struct Problem {
  const char* name;
  std::vector<int> x, w;  // of w: kernels, channels of a group, space
  std::vector<int> pads, strides, dilations;
  int groups = 1;
  cudnnConvolutionMode_t mode = CUDNN_CROSS_CORRELATION;
};

static std::vector<int> ResultDims(const Problem& p) {
  std::vector<int> y{p.x[0], p.w[0]};
  for (size_t d = 0; d < p.pads.size(); ++d)
    y.push_back((p.x[d + 2] + 2 * p.pads[d] - (p.w[d + 2] - 1) * p.dilations[d] - 1) / p.strides[d] + 1);
  return y;
}

// Calls visit(x, w, y) with the numbers of three elements for everything that is multiplied.
static void ForEachProduct(const Problem& p, const std::function<void(int, int, int)>& visit) {
  const std::vector<int> y = ResultDims(p);
  const int rank = static_cast<int>(p.pads.size());
  int places = 1, taps = 1, x_space = 1;
  for (int d = 0; d < rank; ++d) {
    places *= y[d + 2];
    taps *= p.w[d + 2];
    x_space *= p.x[d + 2];
  }
  const int channels = p.w[1], kernels = p.w[0] / p.groups;
  for (int n = 0; n < p.x[0]; ++n)
    for (int k = 0; k < p.w[0]; ++k)
      for (int place = 0; place < places; ++place)
        for (int tap = 0; tap < taps; ++tap) {
          int in_x = 0, scale = 1, rest_place = place, rest_tap = tap, in_w = 0;
          bool inside = true;
          for (int d = rank - 1; d >= 0; --d) {
            const int at_tap = rest_tap % p.w[d + 2];
            const int at = rest_place % y[d + 2] * p.strides[d] - p.pads[d] + at_tap * p.dilations[d];
            inside = inside && at >= 0 && at < p.x[d + 2];
            in_x += at * scale;
            scale *= p.x[d + 2];
            rest_place /= y[d + 2];
            rest_tap /= p.w[d + 2];
          }
          in_w = p.mode == CUDNN_CONVOLUTION ? taps - 1 - tap : tap;
          if (!inside) continue;
          for (int c = 0; c < channels; ++c)
            visit((n * p.x[1] + k / kernels * channels + c) * x_space + in_x, (k * channels + c) * taps + in_w,
                  (n * p.w[0] + k) * places + place);
        }
}

template <typename T>
class Test {
 public:
  Test(cudnnHandle_t handle, const Problem& p, bool channels_last, Random& random)
      : handle_(handle),
        p_(p),
        x_(channels_last ? Packed(p.x, true) : Padded(p.x), random),
        w_(Packed(p.w, channels_last), random),
        y_(channels_last ? Packed(ResultDims(p), true) : Padded(ResultDims(p)), random) {
    CHECK_DNN(cudnnCreateFilterDescriptor(&filter_));
    CHECK_DNN(cudnnSetFilterNdDescriptor(filter_, kTypeOf<T>, channels_last ? CUDNN_TENSOR_NHWC : CUDNN_TENSOR_NCHW,
                                         static_cast<int>(p.w.size()), p.w.data()));
    CHECK_DNN(cudnnCreateConvolutionDescriptor(&convolution_));
    CHECK_DNN(cudnnSetConvolutionNdDescriptor(convolution_, static_cast<int>(p.pads.size()), p.pads.data(),
                                              p.strides.data(), p.dilations.data(), p.mode, kTypeOf<ScalarOf<T>>));
    CHECK_DNN(cudnnSetConvolutionGroupCount(convolution_, p.groups));
    std::vector<int> dims(p.x.size());
    CHECK_DNN(cudnnGetConvolutionNdForwardOutputDim(convolution_, x_.descriptor(), filter_,
                                                    static_cast<int>(dims.size()), dims.data()));
    EXPECT(dims == ResultDims(p), "%s: the result has other dimensions", p.name);
  }
  ~Test() {
    cudnnDestroyFilterDescriptor(filter_);
    cudnnDestroyConvolutionDescriptor(convolution_);
  }
  Test(const Test&) = delete;
  Test& operator=(const Test&) = delete;

  void Run(double alpha, double beta, double tolerance) {
    const ScalarOf<T> a = static_cast<ScalarOf<T>>(alpha), b = static_cast<ScalarOf<T>>(beta);
    const std::vector<double> x = x_.Values(), w = w_.Values(), y = y_.Values();
    std::vector<double> wanted_y(y.size()), wanted_x(x.size()), wanted_w(w.size());
    ForEachProduct(p_, [&](int in_x, int in_w, int in_y) {
      wanted_y[in_y] += x[in_x] * w[in_w];
      wanted_x[in_x] += y[in_y] * w[in_w];
      wanted_w[in_w] += x[in_x] * y[in_y];
    });
    // Each direction's result takes part in none of the others: y is overwritten last.
    Random random(7);
    Tensor<T> dx(x_.layout(), random), dw(w_.layout(), random), y_before(y_.layout());

    cudnnConvolutionBwdDataAlgoPerf_t data[8];
    int count = 0;
    CHECK_DNN(cudnnGetConvolutionBackwardDataAlgorithm_v7(handle_, filter_, y_.descriptor(), convolution_,
                                                          dx.descriptor(), 8, &count, data));
    EXPECT(count >= 1, "%s: no algorithm to the data", p_.name);
    {
      const Workspace space(data[0].memory);
      CHECK_DNN(cudnnConvolutionBackwardData(handle_, &a, filter_, w_.memory(), y_.descriptor(), y_.memory(),
                                             convolution_, data[0].algo, space.memory, space.bytes, &b, dx.descriptor(),
                                             dx.memory()));
      dx.Expect(Blended(wanted_x, dx.Values(), alpha, beta), tolerance,
                (std::string(p_.name) + " to the data").c_str());
    }
    cudnnConvolutionBwdFilterAlgoPerf_t filter[8];
    CHECK_DNN(cudnnGetConvolutionBackwardFilterAlgorithm_v7(handle_, x_.descriptor(), y_.descriptor(), convolution_,
                                                            filter_, 8, &count, filter));
    EXPECT(count >= 1, "%s: no algorithm to the filter", p_.name);
    {
      const Workspace space(filter[0].memory);
      CHECK_DNN(cudnnConvolutionBackwardFilter(handle_, &a, x_.descriptor(), x_.memory(), y_.descriptor(), y_.memory(),
                                               convolution_, filter[0].algo, space.memory, space.bytes, &b, filter_,
                                               dw.memory()));
      dw.Expect(Blended(wanted_w, dw.Values(), alpha, beta), tolerance,
                (std::string(p_.name) + " to the filter").c_str());
    }
    cudnnConvolutionFwdAlgoPerf_t forward[8];
    CHECK_DNN(cudnnGetConvolutionForwardAlgorithm_v7(handle_, x_.descriptor(), filter_, convolution_, y_.descriptor(),
                                                     8, &count, forward));
    EXPECT(count >= 1, "%s: no algorithm", p_.name);
    size_t bytes = 1;
    CHECK_DNN(cudnnGetConvolutionForwardWorkspaceSize(handle_, x_.descriptor(), filter_, convolution_, y_.descriptor(),
                                                      forward[0].algo, &bytes));
    EXPECT(bytes == forward[0].memory, "%s: two sizes of one workspace", p_.name);
    const Workspace space(bytes);
    CHECK_DNN(cudnnConvolutionForward(handle_, &a, x_.descriptor(), x_.memory(), filter_, w_.memory(), convolution_,
                                      forward[0].algo, space.memory, space.bytes, &b, y_.descriptor(), y_.memory()));
    y_.Expect(Blended(wanted_y, y, alpha, beta), tolerance, p_.name);
  }

 private:
  struct Workspace {
    explicit Workspace(size_t size) : bytes(size) {
      if (size != 0) CHECK(cudaMalloc(&memory, size));
    }
    ~Workspace() {
      CHECK(cudaDeviceSynchronize());
      cudaFree(memory);
    }
    void* memory = nullptr;
    size_t bytes;
  };

  cudnnHandle_t handle_;
  Problem p_;
  Tensor<T> x_, w_, y_;
  cudnnFilterDescriptor_t filter_ = nullptr;
  cudnnConvolutionDescriptor_t convolution_ = nullptr;
};

static const std::vector<Problem> kProblems = {
    {"3x3", {2, 3, 8, 9}, {4, 3, 3, 3}, {1, 1}, {1, 1}, {1, 1}},
    {"1x1", {1, 16, 5, 5}, {8, 16, 1, 1}, {0, 0}, {1, 1}, {1, 1}},
    {"5x5 with strides", {3, 1, 14, 12}, {6, 1, 5, 5}, {2, 0}, {2, 3}, {1, 1}},
    {"3x2 dilated", {2, 4, 11, 10}, {5, 4, 3, 2}, {2, 1}, {1, 2}, {2, 3}},
    {"two groups", {2, 6, 7, 7}, {4, 3, 3, 3}, {1, 1}, {1, 1}, {1, 1}, 2},
    {"depthwise", {1, 8, 9, 9}, {8, 1, 3, 3}, {1, 1}, {2, 2}, {1, 1}, 8},
    {"turned around", {2, 3, 8, 9}, {4, 3, 3, 2}, {1, 0}, {1, 1}, {1, 1}, 1, CUDNN_CONVOLUTION},
    {"places that it does not reach", {1, 2, 10, 10}, {3, 2, 2, 2}, {0, 0}, {3, 4}, {1, 1}},
    {"of 16 channels", {2, 16, 8, 8}, {32, 16, 3, 3}, {1, 1}, {1, 1}, {1, 1}},
};
static const Problem kVolume = {"3x3x2", {1, 2, 5, 6, 4}, {3, 2, 3, 3, 2}, {1, 0, 1}, {1, 2, 1}, {1, 1, 1}};

static void TestBias(cudnnHandle_t handle, Random& random) {
  const Tensor<float> dy(Packed({3, 4, 5, 6}), random), db(Packed({1, 4, 1, 1}), random);
  std::vector<double> sums(4);
  const std::vector<double> slopes = dy.Values();
  for (int i = 0; i < dy.Count(); ++i) sums[i / 30 % 4] += slopes[i];
  const float alpha = 2, beta = 0.5f;
  CHECK_DNN(
      cudnnConvolutionBackwardBias(handle, &alpha, dy.descriptor(), dy.memory(), &beta, db.descriptor(), db.memory()));
  db.Expect(Blended(sums, db.Values(), 2, 0.5), 1e-5, "gradient of the bias");
}

static void TestFused(cudnnHandle_t handle, Random& random) {
  const Problem p{"fused", {2, 3, 6, 6}, {4, 3, 3, 3}, {1, 1}, {1, 1}, {1, 1}};
  const Tensor<float> x(Packed(p.x), random), w(Packed(p.w), random), z(Packed(ResultDims(p)), random),
      bias(Packed({1, 4, 1, 1}), random), y(Packed(ResultDims(p)), random);
  cudnnFilterDescriptor_t filter = nullptr;
  cudnnConvolutionDescriptor_t convolution = nullptr;
  cudnnActivationDescriptor_t relu = nullptr;
  CHECK_DNN(cudnnCreateFilterDescriptor(&filter));
  CHECK_DNN(cudnnSetFilter4dDescriptor(filter, CUDNN_DATA_FLOAT, CUDNN_TENSOR_NCHW, 4, 3, 3, 3));
  CHECK_DNN(cudnnCreateConvolutionDescriptor(&convolution));
  CHECK_DNN(cudnnSetConvolution2dDescriptor(convolution, 1, 1, 1, 1, 1, 1, CUDNN_CROSS_CORRELATION, CUDNN_DATA_FLOAT));
  CHECK_DNN(cudnnCreateActivationDescriptor(&relu));
  CHECK_DNN(cudnnSetActivationDescriptor(relu, CUDNN_ACTIVATION_RELU, CUDNN_NOT_PROPAGATE_NAN, 0));
  size_t bytes = 0;
  const cudnnConvolutionFwdAlgo_t algorithm = CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_PRECOMP_GEMM;
  CHECK_DNN(cudnnGetConvolutionForwardWorkspaceSize(handle, x.descriptor(), filter, convolution, y.descriptor(),
                                                    algorithm, &bytes));
  void* space = nullptr;
  if (bytes != 0) CHECK(cudaMalloc(&space, bytes));
  const float alpha1 = 0.5f, alpha2 = 2;
  CHECK_DNN(cudnnConvolutionBiasActivationForward(
      handle, &alpha1, x.descriptor(), x.memory(), filter, w.memory(), convolution, algorithm, space, bytes, &alpha2,
      z.descriptor(), z.memory(), bias.descriptor(), bias.memory(), relu, y.descriptor(), y.memory()));
  const std::vector<double> xs = x.Values(), ws = w.Values(), zs = z.Values(), biases = bias.Values();
  std::vector<double> wanted(y.Count());
  ForEachProduct(p, [&](int in_x, int in_w, int in_y) { wanted[in_y] += xs[in_x] * ws[in_w]; });
  for (int i = 0; i < y.Count(); ++i) wanted[i] = std::max(0.5 * wanted[i] + 2 * zs[i] + biases[i / 36 % 4], 0.0);
  y.Expect(wanted, 1e-4, "fused");
  CHECK(cudaFree(space));
  CHECK_DNN(cudnnDestroyActivationDescriptor(relu));
  CHECK_DNN(cudnnDestroyConvolutionDescriptor(convolution));
  CHECK_DNN(cudnnDestroyFilterDescriptor(filter));
}

// Algorithms by the time that they take: on memory of one's own, and of the library's.
static void TestFind(cudnnHandle_t handle, Random& random) {
  const Tensor<float> x(Packed({2, 3, 8, 8}), random), y(Packed({2, 4, 6, 6})), w(Packed({4, 3, 3, 3}), random);
  cudnnFilterDescriptor_t filter = nullptr;
  cudnnConvolutionDescriptor_t convolution = nullptr;
  CHECK_DNN(cudnnCreateFilterDescriptor(&filter));
  CHECK_DNN(cudnnSetFilter4dDescriptor(filter, CUDNN_DATA_FLOAT, CUDNN_TENSOR_NCHW, 4, 3, 3, 3));
  CHECK_DNN(cudnnCreateConvolutionDescriptor(&convolution));
  CHECK_DNN(cudnnSetConvolution2dDescriptor(convolution, 0, 0, 1, 1, 1, 1, CUDNN_CROSS_CORRELATION, CUDNN_DATA_FLOAT));
  cudnnConvolutionFwdAlgoPerf_t forward[8];
  cudnnConvolutionBwdDataAlgoPerf_t data[8];
  cudnnConvolutionBwdFilterAlgoPerf_t to_filter[8];
  int count = 0;
  CHECK_DNN(cudnnFindConvolutionForwardAlgorithmEx(handle, x.descriptor(), x.memory(), filter, w.memory(), convolution,
                                                   y.descriptor(), y.memory(), 8, &count, forward, nullptr, 0));
  EXPECT(count >= 1 && count <= 8 && forward[0].status == CUDNN_STATUS_SUCCESS, "%d algorithms", count);
  for (int i = 1; i < count; ++i) EXPECT(forward[i].time >= forward[i - 1].time, "not the fastest first");
  EXPECT(forward[0].time > 0, "it took %g ms", static_cast<double>(forward[0].time));
  CHECK_DNN(cudnnFindConvolutionForwardAlgorithm(handle, x.descriptor(), filter, convolution, y.descriptor(), 1, &count,
                                                 forward));
  EXPECT(count == 1, "%d algorithms, where one was asked for", count);
  CHECK_DNN(cudnnFindConvolutionBackwardDataAlgorithm(handle, filter, y.descriptor(), convolution, x.descriptor(), 8,
                                                      &count, data));
  EXPECT(count >= 1, "no algorithm to the data");
  CHECK_DNN(cudnnFindConvolutionBackwardFilterAlgorithm(handle, x.descriptor(), y.descriptor(), convolution, filter, 8,
                                                        &count, to_filter));
  EXPECT(count >= 1, "no algorithm to the filter");
  CHECK_DNN(cudnnDestroyConvolutionDescriptor(convolution));
  CHECK_DNN(cudnnDestroyFilterDescriptor(filter));
}

static void TestErrors(cudnnHandle_t handle) {
  const Tensor<float> x(Packed({1, 3, 8, 8})), y(Packed({1, 4, 6, 6})), other(Packed({1, 4, 5, 6}));
  cudnnFilterDescriptor_t filter = nullptr;
  cudnnConvolutionDescriptor_t convolution = nullptr;
  CHECK_DNN(cudnnCreateFilterDescriptor(&filter));
  CHECK_DNN(cudnnCreateConvolutionDescriptor(&convolution));
  CHECK_DNN_STATUS(
      cudnnSetConvolution2dDescriptor(convolution, 0, 0, 0, 1, 1, 1, CUDNN_CROSS_CORRELATION, CUDNN_DATA_FLOAT),
      CUDNN_STATUS_BAD_PARAM);
  CHECK_DNN_STATUS(
      cudnnSetConvolution2dDescriptor(convolution, -1, 0, 1, 1, 1, 1, CUDNN_CROSS_CORRELATION, CUDNN_DATA_FLOAT),
      CUDNN_STATUS_BAD_PARAM);
  CHECK_DNN(cudnnSetConvolution2dDescriptor(convolution, 0, 0, 1, 1, 1, 1, CUDNN_CROSS_CORRELATION, CUDNN_DATA_FLOAT));
  CHECK_DNN_STATUS(cudnnSetConvolutionGroupCount(convolution, 0), CUDNN_STATUS_BAD_PARAM);
  CHECK_DNN_STATUS(cudnnSetFilter4dDescriptor(filter, CUDNN_DATA_FLOAT, CUDNN_TENSOR_NCHW, 4, 3, 0, 3),
                   CUDNN_STATUS_BAD_PARAM);
  CHECK_DNN(cudnnSetFilter4dDescriptor(filter, CUDNN_DATA_FLOAT, CUDNN_TENSOR_NCHW, 4, 2, 3, 3));
  int n = 0, c = 0, h = 0, w = 0;
  CHECK_DNN_STATUS(cudnnGetConvolution2dForwardOutputDim(convolution, x.descriptor(), filter, &n, &c, &h, &w),
                   CUDNN_STATUS_BAD_PARAM);
  CHECK_DNN(cudnnSetFilter4dDescriptor(filter, CUDNN_DATA_FLOAT, CUDNN_TENSOR_NCHW, 4, 3, 3, 3));
  CHECK_DNN(cudnnGetConvolution2dForwardOutputDim(convolution, x.descriptor(), filter, &n, &c, &h, &w));
  EXPECT(n == 1 && c == 4 && h == 6 && w == 6, "a result of %d x %d x %d x %d", n, c, h, w);
  const float one = 1, zero = 0;
  const auto forward = [&](cudnnHandle_t to, const void* alpha, const Tensor<float>& result, const void* from) {
    return cudnnConvolutionForward(to, alpha, x.descriptor(), from, filter, x.memory(), convolution,
                                   CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_GEMM, nullptr, 0, &zero, result.descriptor(),
                                   result.memory());
  };
  CHECK_DNN_STATUS(forward(nullptr, &one, y, x.memory()), CUDNN_STATUS_BAD_PARAM);
  CHECK_DNN_STATUS(forward(handle, nullptr, y, x.memory()), CUDNN_STATUS_BAD_PARAM);
  CHECK_DNN_STATUS(forward(handle, &one, other, x.memory()), CUDNN_STATUS_BAD_PARAM);
  char message[200] = "";
  cudnnGetLastErrorString(message, sizeof(message));
  EXPECT(message[0] != '\0', "no last error");
  cudnnGetLastErrorString(message, sizeof(message));
  EXPECT(message[0] == '\0', "the last error came twice: %s", message);
  CHECK_DNN(cudnnDestroyConvolutionDescriptor(convolution));
  CHECK_DNN(cudnnDestroyFilterDescriptor(filter));
}

int main() {
  cudnnHandle_t handle = nullptr;
  CHECK_DNN(cudnnCreate(&handle));
  cudaStream_t stream = nullptr, set = nullptr;
  CHECK(cudaStreamCreate(&stream));
  CHECK_DNN(cudnnSetStream(handle, stream));
  CHECK_DNN(cudnnGetStream(handle, &set));
  EXPECT(set == stream, "the handle has another stream");
  Random random(1);
  for (const Problem& problem : kProblems) {
    for (const bool channels_last : {false, true}) {
      Test<float>(handle, problem, channels_last, random).Run(1, 0, 1e-4);
      Test<float>(handle, problem, channels_last, random).Run(-0.5, 2, 1e-4);
    }
    Test<double>(handle, problem, false, random).Run(2, 1, 1e-12);
    Test<__half>(handle, problem, true, random).Run(1, 0, 2e-3);
    Test<__nv_bfloat16>(handle, problem, true, random).Run(1, 0, 1e-2);
  }
  Test<float>(handle, kVolume, false, random).Run(1, 0.5, 1e-4);
  TestBias(handle, random);
  TestFused(handle, random);
  TestFind(handle, random);
  TestErrors(handle);
  CHECK_DNN(cudnnDestroy(handle));
  CHECK(cudaStreamDestroy(stream));
  return Passed();
}
