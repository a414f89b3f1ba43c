// The layers between convolutions against plain loops: activations, pooling, softmax, batch normalisation, and what is
// done to whole tensors; in float, and where it matters in double and half precision.
#include <algorithm>
#include <limits>

#include "cudnn_check.h"

using Numbers = std::vector<double>;

static double Activated(cudnnActivationMode_t mode, double coefficient, double x) {
  switch (mode) {
    case CUDNN_ACTIVATION_SIGMOID: return 1 / (1 + std::exp(-x));
    case CUDNN_ACTIVATION_RELU: return std::max(x, 0.0);
    case CUDNN_ACTIVATION_TANH: return std::tanh(x);
    case CUDNN_ACTIVATION_CLIPPED_RELU: return std::min(std::max(x, 0.0), coefficient);
    case CUDNN_ACTIVATION_ELU: return x < 0 ? coefficient * (std::exp(x) - 1) : x;
    default: return x / (1 + std::exp(-x));
  }
}

template <typename T>
static void TestActivations(cudnnHandle_t handle, Random& random, double tolerance) {
  const std::vector<int> dims{2, 3, 4, 5};
  cudnnActivationDescriptor_t activation = nullptr;
  CHECK_DNN(cudnnCreateActivationDescriptor(&activation));
  for (const cudnnActivationMode_t mode : {CUDNN_ACTIVATION_SIGMOID, CUDNN_ACTIVATION_RELU, CUDNN_ACTIVATION_TANH,
                                           CUDNN_ACTIVATION_CLIPPED_RELU, CUDNN_ACTIVATION_ELU}) {
    const double coefficient = mode == CUDNN_ACTIVATION_ELU ? 0.75 : 2.0;
    CHECK_DNN(cudnnSetActivationDescriptor(activation, mode, CUDNN_NOT_PROPAGATE_NAN, coefficient));
    const Tensor<T> x(Packed(dims), random), y(Packed(dims), random), dy(Packed(dims), random),
        dx(Packed(dims), random);
    const Numbers xs = x.Values(), slopes = dy.Values();
    const ScalarOf<T> alpha = 2, beta = 0.5f;
    CHECK_DNN(cudnnActivationForward(handle, activation, &alpha, x.descriptor(), x.memory(), &beta, y.descriptor(),
                                     y.memory()));
    Numbers wanted, gradient;
    for (size_t i = 0; i < xs.size(); ++i) {
      wanted.push_back(Activated(mode, coefficient, xs[i]));
      // What the function makes of a little more and a little less; it has corners at 0 and at the ceiling.
      const double step = 1e-6;
      const bool is_corner = xs[i] == 0 || xs[i] == coefficient;
      gradient.push_back(
          is_corner
              ? 0
              : slopes[i] * (Activated(mode, coefficient, xs[i] + step) - Activated(mode, coefficient, xs[i] - step)) /
                    (2 * step));
    }
    y.Expect(Blended(wanted, y.Values(), 2, 0.5), tolerance, "activation");
    // The gradient is asked for with the y that belongs to x.
    const Tensor<T> exact(Packed(dims));
    const ScalarOf<T> one = 1, zero = 0;
    CHECK_DNN(cudnnActivationForward(handle, activation, &one, x.descriptor(), x.memory(), &zero, exact.descriptor(),
                                     exact.memory()));
    CHECK_DNN(cudnnActivationBackward(handle, activation, &one, exact.descriptor(), exact.memory(), dy.descriptor(),
                                      dy.memory(), x.descriptor(), x.memory(), &zero, dx.descriptor(), dx.memory()));
    std::vector<T> got(dx.Count());
    CHECK(cudaMemcpy(got.data(), dx.memory(), got.size() * sizeof(T), cudaMemcpyDeviceToHost));
    for (size_t i = 0; i < got.size(); ++i) {
      if (xs[i] == 0 || xs[i] == coefficient) continue;
      const double value = static_cast<double>(static_cast<float>(got[i]));
      EXPECT(std::fabs(value - gradient[i]) <= (tolerance + 1e-6) * (1 + std::fabs(gradient[i])),
             "gradient of activation %d at %g: %g, not %g", mode, xs[i], value, gradient[i]);
    }
  }
  CHECK_DNN(cudnnDestroyActivationDescriptor(activation));
}

static void TestPooling(cudnnHandle_t handle, Random& random) {
  const int kernel[2] = {3, 2}, pad[2] = {1, 0}, stride[2] = {2, 1};
  cudnnPoolingDescriptor_t pooling = nullptr;
  CHECK_DNN(cudnnCreatePoolingDescriptor(&pooling));
  for (const cudnnPoolingMode_t mode : {CUDNN_POOLING_MAX_DETERMINISTIC, CUDNN_POOLING_AVERAGE_COUNT_INCLUDE_PADDING,
                                        CUDNN_POOLING_AVERAGE_COUNT_EXCLUDE_PADDING}) {
    CHECK_DNN(cudnnSetPooling2dDescriptor(pooling, mode, CUDNN_NOT_PROPAGATE_NAN, kernel[0], kernel[1], pad[0], pad[1],
                                          stride[0], stride[1]));
    const std::vector<int> in{2, 3, 7, 6}, out{2, 3, 4, 5};
    const Tensor<float> x(Packed(in), random), y(Packed(out), random), dy(Packed(out), random), dx(Packed(in), random);
    int n = 0, c = 0, h = 0, w = 0;
    CHECK_DNN(cudnnGetPooling2dForwardOutputDim(pooling, x.descriptor(), &n, &c, &h, &w));
    EXPECT(n == 2 && c == 3 && h == 4 && w == 5, "pooled to %d x %d x %d x %d", n, c, h, w);
    // Ties would make the gradient anybody's.
    Numbers xs = x.Values(), wanted(y.Count()), gradient(x.Count());
    std::vector<float> distinct(xs.size());
    for (size_t i = 0; i < xs.size(); ++i)
      xs[i] = distinct[i] = static_cast<float>(xs[i] + 0.001 * static_cast<double>(i));
    CHECK(cudaMemcpy(x.memory(), distinct.data(), distinct.size() * sizeof(float), cudaMemcpyHostToDevice));
    const Numbers slopes = dy.Values();
    for (int i = 0; i < y.Count(); ++i) {
      const int image = i / 20, row = i / 5 % 4, column = i % 5;
      int best = -1, count = 0;
      double sum = 0;
      std::vector<int> window;
      for (int a = row * stride[0] - pad[0]; a < row * stride[0] - pad[0] + kernel[0]; ++a)
        for (int b = column * stride[1] - pad[1]; b < column * stride[1] - pad[1] + kernel[1]; ++b) {
          if (a < 0 || a >= 7 || b < 0 || b >= 6) continue;
          const int at = image * 42 + a * 6 + b;
          window.push_back(at);
          if (best < 0 || xs[at] > xs[best]) best = at;
          sum += xs[at];
          ++count;
        }
      if (mode == CUDNN_POOLING_MAX_DETERMINISTIC) {
        wanted[i] = xs[best];
        gradient[best] += slopes[i];
        continue;
      }
      if (mode == CUDNN_POOLING_AVERAGE_COUNT_INCLUDE_PADDING) count = kernel[0] * kernel[1];
      wanted[i] = sum / count;
      for (const int at : window) gradient[at] += slopes[i] / count;
    }
    const float one = 1, zero = 0, alpha = 2, beta = -1;
    CHECK_DNN(
        cudnnPoolingForward(handle, pooling, &one, x.descriptor(), x.memory(), &zero, y.descriptor(), y.memory()));
    y.Expect(wanted, 1e-5, "pooling");
    CHECK_DNN(cudnnPoolingBackward(handle, pooling, &alpha, y.descriptor(), y.memory(), dy.descriptor(), dy.memory(),
                                   x.descriptor(), x.memory(), &beta, dx.descriptor(), dx.memory()));
    dx.Expect(Blended(gradient, dx.Values(), 2, -1), 1e-5, "gradient of pooling");
  }
  CHECK_DNN(cudnnDestroyPoolingDescriptor(pooling));
}

static void TestSoftmax(cudnnHandle_t handle, Random& random) {
  const std::vector<int> dims{2, 5, 2, 3};
  for (const cudnnSoftmaxAlgorithm_t algorithm : {CUDNN_SOFTMAX_FAST, CUDNN_SOFTMAX_ACCURATE, CUDNN_SOFTMAX_LOG}) {
    for (const cudnnSoftmaxMode_t mode : {CUDNN_SOFTMAX_MODE_INSTANCE, CUDNN_SOFTMAX_MODE_CHANNEL}) {
      const Tensor<float> x(Packed(dims), random), y(Packed(dims), random), dy(Packed(dims), random),
          dx(Packed(dims), random);
      const Numbers xs = x.Values(), slopes = dy.Values();
      // Element i belongs to this distribution.
      const auto owner = [&](int i) { return mode == CUDNN_SOFTMAX_MODE_INSTANCE ? i / 30 : i / 30 * 6 + i % 6; };
      Numbers sums(12), wanted(xs.size()), products(12), gradient(xs.size());
      for (int i = 0; i < x.Count(); ++i) sums[owner(i)] += std::exp(xs[i]);
      const bool is_log = algorithm == CUDNN_SOFTMAX_LOG;
      for (int i = 0; i < x.Count(); ++i) {
        const double share = std::exp(xs[i]) / sums[owner(i)];
        wanted[i] = is_log ? std::log(share) : share;
        products[owner(i)] += is_log ? slopes[i] : slopes[i] * share;
      }
      for (int i = 0; i < x.Count(); ++i) {
        const double share = std::exp(xs[i]) / sums[owner(i)];
        gradient[i] = is_log ? slopes[i] - share * products[owner(i)] : share * (slopes[i] - products[owner(i)]);
      }
      const float one = 1, zero = 0, alpha = 0.5f, beta = 2;
      CHECK_DNN(cudnnSoftmaxForward(handle, algorithm, mode, &one, x.descriptor(), x.memory(), &zero, y.descriptor(),
                                    y.memory()));
      y.Expect(wanted, 1e-5, "softmax");
      CHECK_DNN(cudnnSoftmaxBackward(handle, algorithm, mode, &alpha, y.descriptor(), y.memory(), dy.descriptor(),
                                     dy.memory(), &beta, dx.descriptor(), dx.memory()));
      dx.Expect(Blended(gradient, dx.Values(), 0.5, 2), 1e-5, "gradient of softmax");
    }
  }
}

template <typename T>
static void TestBatchNorm(cudnnHandle_t handle, Random& random, cudnnBatchNormMode_t mode, double tolerance) {
  using Parameter = ScalarOf<T>;
  const std::vector<int> dims{4, 3, 2, 5};
  const bool is_spatial = mode == CUDNN_BATCHNORM_SPATIAL;
  const std::vector<int> parameters = is_spatial ? std::vector<int>{1, 3, 1, 1} : std::vector<int>{1, 3, 2, 5};
  const Tensor<T> x(Packed(dims), random), y(Packed(dims), random), dy(Packed(dims), random), dx(Packed(dims), random);
  const Tensor<Parameter> scale(Packed(parameters), random), bias(Packed(parameters), random),
      mean(Packed(parameters), random), variance(Packed(parameters), random), saved_mean(Packed(parameters)),
      saved_inverse(Packed(parameters)), scale_gradient(Packed(parameters), random),
      bias_gradient(Packed(parameters), random);
  cudnnTensorDescriptor_t derived = nullptr;
  CHECK_DNN(cudnnCreateTensorDescriptor(&derived));
  CHECK_DNN(cudnnDeriveBNTensorDescriptor(derived, x.descriptor(), mode));
  int rank = 0, size[8], strides[8];
  cudnnDataType_t type = CUDNN_DATA_HALF;
  CHECK_DNN(cudnnGetTensorNdDescriptor(derived, 8, &type, &rank, size, strides));
  EXPECT(rank == 4 && std::vector<int>(size, size + 4) == parameters && type == kTypeOf<Parameter>,
         "derived other parameters");

  const int owners = scale.Count(), count = x.Count() / owners;
  const auto owner = [&](int i) { return is_spatial ? i / 10 % 3 : i % 30; };
  const double epsilon = 1e-3, factor = 0.25;
  const Numbers xs = x.Values(), slopes = dy.Values(), gains = scale.Values(), offsets = bias.Values();
  Numbers means(owners), variances(owners), wanted(xs.size()), sums(owners), products(owners), gradient(xs.size());
  for (int i = 0; i < x.Count(); ++i) means[owner(i)] += xs[i] / count;
  for (int i = 0; i < x.Count(); ++i)
    variances[owner(i)] += (xs[i] - means[owner(i)]) * (xs[i] - means[owner(i)]) / count;
  Numbers inverse(owners), unbiased(owners);
  for (int k = 0; k < owners; ++k) {
    inverse[k] = 1 / std::sqrt(variances[k] + epsilon);
    unbiased[k] = variances[k] * count / (count - 1);
  }
  const auto normal = [&](int i) { return (xs[i] - means[owner(i)]) * inverse[owner(i)]; };
  for (int i = 0; i < x.Count(); ++i) {
    wanted[i] = gains[owner(i)] * normal(i) + offsets[owner(i)];
    sums[owner(i)] += slopes[i];
    products[owner(i)] += slopes[i] * normal(i);
  }
  for (int i = 0; i < x.Count(); ++i)
    gradient[i] =
        gains[owner(i)] * inverse[owner(i)] * (slopes[i] - (sums[owner(i)] + normal(i) * products[owner(i)]) / count);

  const ScalarOf<T> one = 1, zero = 0, half = 0.5f;
  CHECK_DNN(cudnnBatchNormalizationForwardTraining(
      handle, mode, &one, &zero, x.descriptor(), x.memory(), y.descriptor(), y.memory(), derived, scale.memory(),
      bias.memory(), factor, mean.memory(), variance.memory(), epsilon, saved_mean.memory(), saved_inverse.memory()));
  y.Expect(wanted, tolerance, "batch normalisation");
  const double exact = std::is_same_v<T, double> ? 1e-12 : 1e-5;
  saved_mean.Expect(means, exact, "mean");
  saved_inverse.Expect(inverse, exact, "inverse deviation");
  mean.Expect(Blended(means, mean.Values(), factor, 1 - factor), exact, "running mean");
  variance.Expect(Blended(unbiased, variance.Values(), factor, 1 - factor), exact, "running variance");

  CHECK_DNN(cudnnBatchNormalizationBackward(handle, mode, &one, &zero, &one, &half, x.descriptor(), x.memory(),
                                            dy.descriptor(), dy.memory(), dx.descriptor(), dx.memory(), derived,
                                            scale.memory(), scale_gradient.memory(), bias_gradient.memory(), epsilon,
                                            saved_mean.memory(), saved_inverse.memory()));
  dx.Expect(gradient, tolerance, "gradient of batch normalisation");
  scale_gradient.Expect(Blended(products, scale_gradient.Values(), 1, 0.5), exact * 10, "gradient of the scale");
  bias_gradient.Expect(Blended(sums, bias_gradient.Values(), 1, 0.5), exact * 10, "gradient of the bias");

  // As if what was measured were what is known.
  std::vector<Parameter> known(variances.begin(), variances.end());
  CHECK(cudaMemcpy(variance.memory(), known.data(), known.size() * sizeof(Parameter), cudaMemcpyHostToDevice));
  CHECK_DNN(cudnnBatchNormalizationForwardInference(handle, mode, &one, &zero, x.descriptor(), x.memory(),
                                                    dx.descriptor(), dx.memory(), derived, scale.memory(),
                                                    bias.memory(), saved_mean.memory(), variance.memory(), epsilon));
  dx.Expect(wanted, tolerance, "batch normalisation, inference");
  CHECK_DNN(cudnnDestroyTensorDescriptor(derived));
}

static void TestWholeTensors(cudnnHandle_t handle, Random& random) {
  const std::vector<int> dims{2, 3, 4, 5};
  const float alpha = 2, beta = 0.5f, one = 1, zero = 0;
  {
    const Tensor<float> bias(Packed({1, 3, 1, 1}), random), c(Padded(dims), random);
    const Numbers biases = bias.Values();
    Numbers spread(c.Count());
    for (int i = 0; i < c.Count(); ++i) spread[i] = biases[i / 20 % 3];
    CHECK_DNN(cudnnAddTensor(handle, &alpha, bias.descriptor(), bias.memory(), &beta, c.descriptor(), c.memory()));
    c.Expect(Blended(spread, c.Values(), 2, 0.5), 1e-6, "AddTensor");
  }
  {
    const Tensor<float> x(Packed(dims, true), random), y(Padded(dims), random);
    CHECK_DNN(cudnnTransformTensor(handle, &alpha, x.descriptor(), x.memory(), &beta, y.descriptor(), y.memory()));
    y.Expect(Blended(x.Values(), y.Values(), 2, 0.5), 1e-6, "TransformTensor");
  }
  {
    const Tensor<float> y(Padded(dims), random);
    CHECK_DNN(cudnnScaleTensor(handle, y.descriptor(), y.memory(), &beta));
    y.Expect(Blended(y.Values(), y.Values(), 0.5, 0), 1e-6, "ScaleTensor");
    CHECK_DNN(cudnnSetTensor(handle, y.descriptor(), y.memory(), &alpha));
    y.Expect(Numbers(y.Count(), 2), 0, "SetTensor");
  }
  cudnnOpTensorDescriptor_t operation = nullptr;
  CHECK_DNN(cudnnCreateOpTensorDescriptor(&operation));
  for (const cudnnOpTensorOp_t op :
       {CUDNN_OP_TENSOR_ADD, CUDNN_OP_TENSOR_MUL, CUDNN_OP_TENSOR_MIN, CUDNN_OP_TENSOR_MAX}) {
    const Tensor<float> a(Packed(dims), random), b(Packed({1, 3, 1, 5}), random), c(Packed(dims), random);
    const Numbers as = a.Values(), bs = b.Values();
    Numbers wanted(c.Count());
    for (int i = 0; i < c.Count(); ++i) {
      const double left = 2 * as[i], right = bs[i / 20 % 3 * 5 + i % 5];
      wanted[i] = op == CUDNN_OP_TENSOR_ADD   ? left + right
                  : op == CUDNN_OP_TENSOR_MUL ? left * right
                  : op == CUDNN_OP_TENSOR_MIN ? std::min(left, right)
                                              : std::max(left, right);
    }
    CHECK_DNN(cudnnSetOpTensorDescriptor(operation, op, CUDNN_DATA_FLOAT, CUDNN_NOT_PROPAGATE_NAN));
    CHECK_DNN(cudnnOpTensor(handle, operation, &alpha, a.descriptor(), a.memory(), &one, b.descriptor(), b.memory(),
                            &beta, c.descriptor(), c.memory()));
    c.Expect(Blended(wanted, c.Values(), 1, 0.5), 1e-6, "OpTensor");
  }
  CHECK_DNN(cudnnDestroyOpTensorDescriptor(operation));
  cudnnReduceTensorDescriptor_t reduction = nullptr;
  CHECK_DNN(cudnnCreateReduceTensorDescriptor(&reduction));
  for (const cudnnReduceTensorOp_t op :
       {CUDNN_REDUCE_TENSOR_ADD, CUDNN_REDUCE_TENSOR_AVG, CUDNN_REDUCE_TENSOR_MAX, CUDNN_REDUCE_TENSOR_MIN,
        CUDNN_REDUCE_TENSOR_AMAX, CUDNN_REDUCE_TENSOR_NORM2}) {
    const Tensor<float> a(Packed(dims), random), c(Packed({1, 3, 1, 5}), random);
    const Numbers as = a.Values();
    Numbers wanted(15), sums(15), squares(15), largest(15, -100), smallest(15, 100), extreme(15);
    for (int i = 0; i < a.Count(); ++i) {
      const int to = i / 20 % 3 * 5 + i % 5;
      sums[to] += as[i];
      squares[to] += as[i] * as[i];
      largest[to] = std::max(largest[to], as[i]);
      smallest[to] = std::min(smallest[to], as[i]);
      extreme[to] = std::max(extreme[to], std::fabs(as[i]));
    }
    for (int k = 0; k < 15; ++k) {
      switch (op) {
        case CUDNN_REDUCE_TENSOR_ADD: wanted[k] = sums[k]; break;
        case CUDNN_REDUCE_TENSOR_AVG: wanted[k] = sums[k] / 8; break;
        case CUDNN_REDUCE_TENSOR_MAX: wanted[k] = largest[k]; break;
        case CUDNN_REDUCE_TENSOR_MIN: wanted[k] = smallest[k]; break;
        case CUDNN_REDUCE_TENSOR_AMAX: wanted[k] = extreme[k]; break;
        default: wanted[k] = std::sqrt(squares[k]); break;
      }
    }
    CHECK_DNN(cudnnSetReduceTensorDescriptor(reduction, op, CUDNN_DATA_FLOAT, CUDNN_NOT_PROPAGATE_NAN,
                                             CUDNN_REDUCE_TENSOR_NO_INDICES, CUDNN_32BIT_INDICES));
    size_t bytes = 0;
    CHECK_DNN(cudnnGetReductionWorkspaceSize(handle, reduction, a.descriptor(), c.descriptor(), &bytes));
    void* space = nullptr;
    if (bytes != 0) CHECK(cudaMalloc(&space, bytes));
    CHECK_DNN(cudnnReduceTensor(handle, reduction, nullptr, 0, space, bytes, &one, a.descriptor(), a.memory(), &zero,
                                c.descriptor(), c.memory()));
    c.Expect(wanted, 1e-5, "ReduceTensor");
    CHECK(cudaFree(space));
  }
  CHECK_DNN(cudnnDestroyReduceTensorDescriptor(reduction));
}

int main() {
  cudnnHandle_t handle = nullptr;
  CHECK_DNN(cudnnCreate(&handle));
  EXPECT(cudnnGetVersion() == CUDNN_VERSION, "version %zu", cudnnGetVersion());
  Random random(3);
  TestActivations<float>(handle, random, 1e-5);
  TestActivations<double>(handle, random, 1e-7);
  TestActivations<__half>(handle, random, 4e-3);
  TestPooling(handle, random);
  TestSoftmax(handle, random);
  for (const cudnnBatchNormMode_t mode : {CUDNN_BATCHNORM_SPATIAL, CUDNN_BATCHNORM_PER_ACTIVATION}) {
    TestBatchNorm<float>(handle, random, mode, 1e-4);
    TestBatchNorm<double>(handle, random, mode, 1e-11);
    TestBatchNorm<__half>(handle, random, mode, 5e-3);
  }
  TestWholeTensors(handle, random);
  CHECK_DNN(cudnnDestroy(handle));
  return Passed();
}
