// Batch normalisation with what follows it, under both of its names, and the transforms of tensors: sizes, statuses,
// and results against plain loops. A strided convolution's gradient, folded, is the one that is not.
#include <algorithm>

#include "cudnn_check.h"

using Numbers = std::vector<double>;

static void* Space(size_t bytes) {
  void* memory = nullptr;
  if (bytes != 0) CHECK(cudaMalloc(&memory, bytes));
  return memory;
}

// y = relu(scale * (x - mean) / deviation + bias + z), a channel a population.
static void TestNormalization(cudnnHandle_t handle, Random& random, bool is_batch) {
  const std::vector<int> dims{3, 4, 2, 5};
  const double epsilon = 1e-3, factor = 0.5;
  const float one = 1, zero = 0;
  const Tensor<float> x(Packed(dims, true), random), z(Packed(dims), random), y(Packed(dims), random),
      dy(Packed(dims), random), dx(Packed(dims), random), dz(Packed(dims), random), after(Packed(dims), random);
  const Layout channel = Packed({1, 4, 1, 1});
  const Tensor<float> scale(channel, random), bias(channel, random), mean(channel, random), variance(channel, random),
      saved_mean(channel, random), saved_inverse(channel, random), dscale(channel, random), dbias(channel, random);
  const Numbers xs = x.Values(), zs = z.Values(), slopes = dy.Values(), gains = scale.Values(), offsets = bias.Values();
  Numbers means(4), variances(4), inverses(4), wanted(xs.size()), passed(xs.size()), sums(4), products(4), gradient;
  const double count = static_cast<double>(xs.size()) / 4;
  const auto owner = [&](size_t i) { return i / 10 % 4; };
  for (size_t i = 0; i < xs.size(); ++i) means[owner(i)] += xs[i] / count;
  for (size_t i = 0; i < xs.size(); ++i)
    variances[owner(i)] += (xs[i] - means[owner(i)]) * (xs[i] - means[owner(i)]) / count;
  for (size_t k = 0; k < 4; ++k) inverses[k] = 1 / std::sqrt(variances[k] + epsilon);
  for (size_t i = 0; i < xs.size(); ++i) {
    const size_t k = owner(i);
    const double normal = (xs[i] - means[k]) * inverses[k], value = gains[k] * normal + offsets[k] + zs[i];
    wanted[i] = std::max(value, 0.0);
    passed[i] = value > 0 ? slopes[i] : 0;
    sums[k] += passed[i];
    products[k] += passed[i] * normal;
  }
  for (size_t i = 0; i < xs.size(); ++i) {
    const size_t k = owner(i);
    const double normal = (xs[i] - means[k]) * inverses[k];
    gradient.push_back(gains[k] * inverses[k] * (passed[i] - (sums[k] + normal * products[k]) / count));
  }

  cudnnActivationDescriptor_t relu = nullptr;
  cudnnTensorDescriptor_t parameters = nullptr, moments = nullptr;
  CHECK_DNN(cudnnCreateActivationDescriptor(&relu));
  CHECK_DNN(cudnnSetActivationDescriptor(relu, CUDNN_ACTIVATION_RELU, CUDNN_NOT_PROPAGATE_NAN, 0));
  CHECK_DNN(cudnnCreateTensorDescriptor(&parameters));
  CHECK_DNN(cudnnCreateTensorDescriptor(&moments));
  CHECK_DNN(cudnnDeriveNormTensorDescriptor(parameters, moments, x.descriptor(), CUDNN_NORM_PER_CHANNEL, 1));
  CHECK_DNN_STATUS(cudnnDeriveNormTensorDescriptor(parameters, moments, x.descriptor(), CUDNN_NORM_PER_CHANNEL, 2),
                   CUDNN_STATUS_NOT_SUPPORTED);
  const cudnnBatchNormMode_t batch_mode = CUDNN_BATCHNORM_SPATIAL_PERSISTENT;
  const cudnnBatchNormOps_t batch_ops = CUDNN_BATCHNORM_OPS_BN_ADD_ACTIVATION;
  const cudnnNormMode_t mode = CUDNN_NORM_PER_CHANNEL;
  const cudnnNormOps_t ops = CUDNN_NORM_OPS_NORM_ADD_ACTIVATION;
  const cudnnNormAlgo_t algorithm = CUDNN_NORM_ALGO_PERSIST;
  size_t forward = 0, backward = 0, kept = 0;
  if (is_batch) {
    CHECK_DNN(cudnnGetBatchNormalizationForwardTrainingExWorkspaceSize(
        handle, batch_mode, batch_ops, x.descriptor(), z.descriptor(), y.descriptor(), parameters, relu, &forward));
    CHECK_DNN(cudnnGetBatchNormalizationBackwardExWorkspaceSize(handle, batch_mode, batch_ops, x.descriptor(),
                                                                y.descriptor(), dy.descriptor(), dz.descriptor(),
                                                                dx.descriptor(), parameters, relu, &backward));
    CHECK_DNN(cudnnGetBatchNormalizationTrainingExReserveSpaceSize(handle, batch_mode, batch_ops, relu, x.descriptor(),
                                                                   &kept));
  } else {
    CHECK_DNN(cudnnGetNormalizationForwardTrainingWorkspaceSize(handle, mode, ops, algorithm, x.descriptor(),
                                                                z.descriptor(), y.descriptor(), parameters, relu,
                                                                moments, &forward, 1));
    CHECK_DNN(cudnnGetNormalizationBackwardWorkspaceSize(handle, mode, ops, algorithm, x.descriptor(), y.descriptor(),
                                                         dy.descriptor(), dz.descriptor(), dx.descriptor(), parameters,
                                                         relu, moments, &backward, 1));
    CHECK_DNN(
        cudnnGetNormalizationTrainingReserveSpaceSize(handle, mode, ops, algorithm, relu, x.descriptor(), &kept, 1));
  }
  EXPECT(kept > 0, "a ReLU without a reserve");
  const size_t room = std::max(forward, backward);
  void* const workspace = Space(room);
  void* const reserve = Space(kept);
  const auto train = [&](size_t reserve_bytes) {
    return is_batch ? cudnnBatchNormalizationForwardTrainingEx(
                          handle, batch_mode, batch_ops, &one, &zero, x.descriptor(), x.memory(), z.descriptor(),
                          z.memory(), y.descriptor(), y.memory(), parameters, scale.memory(), bias.memory(), factor,
                          mean.memory(), variance.memory(), epsilon, saved_mean.memory(), saved_inverse.memory(), relu,
                          workspace, room, reserve, reserve_bytes)
                    : cudnnNormalizationForwardTraining(
                          handle, mode, ops, algorithm, &one, &zero, x.descriptor(), x.memory(), parameters,
                          scale.memory(), bias.memory(), factor, moments, mean.memory(), variance.memory(), epsilon,
                          saved_mean.memory(), saved_inverse.memory(), relu, z.descriptor(), z.memory(), y.descriptor(),
                          y.memory(), workspace, room, reserve, reserve_bytes, 1);
  };
  CHECK_DNN_STATUS(train(kept - 1), CUDNN_STATUS_BAD_PARAM);
  CHECK_DNN(train(kept));
  y.Expect(wanted, 1e-4, "normalisation");
  saved_mean.Expect(means, 1e-5, "saved mean");
  mean.Expect(Blended(means, mean.Values(), factor, 1 - factor), 1e-5, "running mean");
  if (is_batch) {
    CHECK_DNN(cudnnBatchNormalizationBackwardEx(
        handle, batch_mode, batch_ops, &one, &zero, &one, &zero, x.descriptor(), x.memory(), y.descriptor(), y.memory(),
        dy.descriptor(), dy.memory(), dz.descriptor(), dz.memory(), dx.descriptor(), dx.memory(), parameters,
        scale.memory(), bias.memory(), dscale.memory(), dbias.memory(), epsilon, saved_mean.memory(),
        saved_inverse.memory(), relu, workspace, room, reserve, kept));
  } else {
    CHECK_DNN(cudnnNormalizationBackward(
        handle, mode, ops, algorithm, &one, &zero, &one, &zero, x.descriptor(), x.memory(), y.descriptor(), y.memory(),
        dy.descriptor(), dy.memory(), dz.descriptor(), dz.memory(), dx.descriptor(), dx.memory(), parameters,
        scale.memory(), bias.memory(), dscale.memory(), dbias.memory(), epsilon, moments, saved_mean.memory(),
        saved_inverse.memory(), relu, workspace, room, reserve, kept, 1));
    // As if what was measured were what is known.
    std::vector<float> known(variances.begin(), variances.end());
    CHECK(cudaMemcpy(variance.memory(), known.data(), known.size() * sizeof(float), cudaMemcpyHostToDevice));
    CHECK_DNN(cudnnNormalizationForwardInference(handle, mode, ops, CUDNN_NORM_ALGO_STANDARD, &one, &zero,
                                                 x.descriptor(), x.memory(), parameters, scale.memory(), bias.memory(),
                                                 moments, saved_mean.memory(), variance.memory(), z.descriptor(),
                                                 z.memory(), relu, after.descriptor(), after.memory(), epsilon, 1));
    after.Expect(wanted, 1e-4, "normalisation, inference");
  }
  dz.Expect(passed, 1e-6, "gradient of what is added");
  dx.Expect(gradient, 1e-4, "gradient of x");
  dscale.Expect(products, 1e-4, "gradient of the scale");
  dbias.Expect(sums, 1e-4, "gradient of the bias");
  cudnnStatus_t running = CUDNN_STATUS_INTERNAL_ERROR;
  CHECK_DNN(cudnnQueryRuntimeError(handle, &running, CUDNN_ERRQUERY_BLOCKING, nullptr));
  EXPECT(running == CUDNN_STATUS_SUCCESS, "%s while it ran", cudnnGetErrorString(running));
  CHECK(cudaFree(workspace));
  CHECK(cudaFree(reserve));
  CHECK_DNN(cudnnDestroyTensorDescriptor(parameters));
  CHECK_DNN(cudnnDestroyTensorDescriptor(moments));
  CHECK_DNN(cudnnDestroyActivationDescriptor(relu));
}

static void TestTransforms(cudnnHandle_t handle, Random& random) {
  cudnnTensorTransformDescriptor_t transform = nullptr;
  CHECK_DNN(cudnnCreateTensorTransformDescriptor(&transform));
  const int32_t before[] = {0, 0, 1, 0}, after[] = {0, 1, 0, 2};
  CHECK_DNN_STATUS(
      cudnnSetTensorTransformDescriptor(transform, 1, CUDNN_TENSOR_NHWC, before, after, nullptr, CUDNN_TRANSFORM_FOLD),
      CUDNN_STATUS_BAD_PARAM);
  CHECK_DNN(
      cudnnSetTensorTransformDescriptor(transform, 4, CUDNN_TENSOR_NHWC, before, after, nullptr, CUDNN_TRANSFORM_FOLD));
  const Tensor<float> x(Packed({2, 3, 2, 2}), random), y(Packed({2, 4, 3, 4}, true), random);
  cudnnTensorDescriptor_t derived = nullptr;
  size_t bytes = 0;
  CHECK_DNN(cudnnCreateTensorDescriptor(&derived));
  CHECK_DNN(cudnnInitTransformDest(transform, x.descriptor(), derived, &bytes));
  EXPECT(bytes == 2 * 4 * 3 * 4 * sizeof(float), "a padded tensor of %zu bytes", bytes);
  const Numbers xs = x.Values();
  Numbers wanted(y.Count());
  for (int i = 0; i < x.Count(); ++i)
    wanted[static_cast<size_t>(((i / 12 * 4 + i / 4 % 3) * 3 + i / 2 % 2 + 1) * 4 + i % 2)] =
        xs[static_cast<size_t>(i)];
  const float alpha = 2, beta = -1;
  CHECK_DNN(cudnnTransformTensorEx(handle, transform, &alpha, x.descriptor(), x.memory(), &beta, derived, y.memory()));
  y.Expect(Blended(wanted, y.Values(), 2, -1), 1e-6, "padded");
  CHECK_DNN_STATUS(
      cudnnTransformTensorEx(handle, transform, &alpha, x.descriptor(), x.memory(), &beta, x.descriptor(), y.memory()),
      CUDNN_STATUS_BAD_PARAM);
  CHECK_DNN(cudnnDestroyTensorDescriptor(derived));
  CHECK_DNN(cudnnDestroyTensorTransformDescriptor(transform));
}

// A filter's descriptor and the memory of a packed one.
struct Filter {
  Filter() { CHECK_DNN(cudnnCreateFilterDescriptor(&descriptor)); }
  ~Filter() {
    cudaFree(memory);
    cudnnDestroyFilterDescriptor(descriptor);
  }
  void Make() {
    size_t bytes = 0;
    CHECK_DNN(cudnnGetFilterSizeInBytes(descriptor, &bytes));
    memory = Space(bytes);
  }
  cudnnFilterDescriptor_t descriptor = nullptr;
  void* memory = nullptr;
};

static void* MemoryOf(cudnnTensorDescriptor_t descriptor) {
  size_t bytes = 0;
  CHECK_DNN(cudnnGetTensorSizeInBytes(descriptor, &bytes));
  return Space(bytes);
}

// With the workspace that the library asks for.
static void ConvolveBack(cudnnHandle_t handle, cudnnFilterDescriptor_t filter, const void* w,
                         cudnnTensorDescriptor_t dy_layout, const void* dy, cudnnConvolutionDescriptor_t convolution,
                         cudnnTensorDescriptor_t dx_layout, void* dx) {
  const float one = 1, zero = 0;
  size_t bytes = 0;
  CHECK_DNN(cudnnGetConvolutionBackwardDataWorkspaceSize(handle, filter, dy_layout, convolution, dx_layout,
                                                         CUDNN_CONVOLUTION_BWD_DATA_ALGO_0, &bytes));
  void* const workspace = Space(bytes);
  CHECK_DNN(cudnnConvolutionBackwardData(handle, &one, filter, w, dy_layout, dy, convolution,
                                         CUDNN_CONVOLUTION_BWD_DATA_ALGO_0, workspace, bytes, &zero, dx_layout, dx));
  CHECK(cudaFree(workspace));
}

static void TestFolds(cudnnHandle_t handle, Random& random, int size, int pad, int stride) {
  const int height = 9, width = 10, channels = 3, images = 5;
  const float one = 1, zero = 0;
  cudnnConvolutionDescriptor_t convolution = nullptr, folded = nullptr;
  CHECK_DNN(cudnnCreateConvolutionDescriptor(&convolution));
  CHECK_DNN(cudnnCreateConvolutionDescriptor(&folded));
  CHECK_DNN(cudnnSetConvolution2dDescriptor(convolution, pad, pad, stride, stride, 1, 1, CUDNN_CROSS_CORRELATION,
                                            CUDNN_DATA_FLOAT));
  const int rows = (height + 2 * pad - size) / stride + 1, columns = (width + 2 * pad - size) / stride + 1;
  const Tensor<float> w(Packed({images, channels, size, size}), random), dy(Packed({2, images, rows, columns}), random),
      dx(Packed({2, channels, height, width}), random), again(Packed({2, channels, height, width}), random);
  Filter filter, folded_filter;
  CHECK_DNN(
      cudnnSetFilter4dDescriptor(filter.descriptor, CUDNN_DATA_FLOAT, CUDNN_TENSOR_NCHW, images, channels, size, size));
  ConvolveBack(handle, filter.descriptor, w.memory(), dy.descriptor(), dy.memory(), convolution, dx.descriptor(),
               dx.memory());
  cudnnTensorDescriptor_t padded = nullptr, folded_gradient = nullptr;
  CHECK_DNN(cudnnCreateTensorDescriptor(&padded));
  CHECK_DNN(cudnnCreateTensorDescriptor(&folded_gradient));
  cudnnTensorTransformDescriptor_t transforms[4];
  for (auto& transform : transforms) CHECK_DNN(cudnnCreateTensorTransformDescriptor(&transform));
  CHECK_DNN(cudnnGetFoldedConvBackwardDataDescriptors(handle, filter.descriptor, dy.descriptor(), convolution,
                                                      dx.descriptor(), CUDNN_TENSOR_NCHW, folded_filter.descriptor,
                                                      padded, folded, folded_gradient, transforms[0], transforms[1],
                                                      transforms[2], transforms[3]));
  folded_filter.Make();
  void* const padded_memory = MemoryOf(padded);
  void* const folded_memory = MemoryOf(folded_gradient);
  CHECK_DNN(cudnnTransformFilter(handle, transforms[0], &one, filter.descriptor, w.memory(), &zero,
                                 folded_filter.descriptor, folded_filter.memory));
  CHECK_DNN(
      cudnnTransformTensorEx(handle, transforms[1], &one, dy.descriptor(), dy.memory(), &zero, padded, padded_memory));
  ConvolveBack(handle, folded_filter.descriptor, folded_filter.memory, padded, padded_memory, folded, folded_gradient,
               folded_memory);
  CHECK_DNN(cudnnTransformTensorEx(handle, transforms[3], &one, folded_gradient, folded_memory, &zero,
                                   again.descriptor(), again.memory()));
  std::vector<float> got(static_cast<size_t>(dx.Count()));
  CHECK(cudaMemcpy(got.data(), dx.memory(), got.size() * sizeof(float), cudaMemcpyDeviceToHost));
  again.Expect(Numbers(got.begin(), got.end()), 1e-4, "folded gradient");
  CHECK(cudaFree(padded_memory));
  CHECK(cudaFree(folded_memory));
  for (auto& transform : transforms) CHECK_DNN(cudnnDestroyTensorTransformDescriptor(transform));
  CHECK_DNN(cudnnDestroyTensorDescriptor(padded));
  CHECK_DNN(cudnnDestroyTensorDescriptor(folded_gradient));
  CHECK_DNN(cudnnDestroyConvolutionDescriptor(convolution));
  CHECK_DNN(cudnnDestroyConvolutionDescriptor(folded));
}

int main() {
  cudnnHandle_t handle = nullptr;
  CHECK_DNN(cudnnCreate(&handle));
  Random random(5);
  TestNormalization(handle, random, true);
  TestNormalization(handle, random, false);
  TestTransforms(handle, random);
  for (int size = 1; size <= 4; ++size) {
    for (int pad = 0; pad < size; ++pad) {
      for (int stride = 1; stride <= 3; ++stride) TestFolds(handle, random, size, pad, stride);
    }
  }
  CHECK_DNN(cudnnDestroy(handle));
  return Passed();
}
