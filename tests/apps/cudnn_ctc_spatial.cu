// Layers of cuDNN's older interface against plain loops: local response normalisation, a spatial transformer, CTC loss;
// and the statuses of wrong arguments.
#include <algorithm>

#include "cudnn_check.h"

using Numbers = std::vector<double>;

static void TestLrn(cudnnHandle_t handle, Random& random) {
  cudnnLRNDescriptor_t lrn = nullptr;
  CHECK_DNN(cudnnCreateLRNDescriptor(&lrn));
  unsigned window = 0;
  double alpha = 0, beta = 0, k = 0;
  CHECK_DNN(cudnnGetLRNDescriptor(lrn, &window, &alpha, &beta, &k));
  EXPECT(window == 5 && alpha == 1e-4 && beta == 0.75 && k == 2, "LRN of %u, %g, %g, %g", window, alpha, beta, k);
  CHECK_DNN_STATUS(cudnnSetLRNDescriptor(lrn, 17, 1, 0.75, 2), CUDNN_STATUS_BAD_PARAM);
  CHECK_DNN_STATUS(cudnnSetLRNDescriptor(lrn, 5, 1, 0.001, 2), CUDNN_STATUS_BAD_PARAM);
  CHECK_DNN_STATUS(cudnnSetLRNDescriptor(lrn, 5, 1, 0.75, 1e-6), CUDNN_STATUS_BAD_PARAM);
  CHECK_DNN(cudnnSetLRNDescriptor(lrn, 4, 0.5, 0.75, 2));
  const Tensor<float> x(Packed({2, 6, 2, 3}), random), y(Packed({2, 6, 2, 3}), random), flat(Packed({2, 6}), random);
  const Numbers xs = x.Values();
  Numbers wanted;
  for (int i = 0; i < x.Count(); ++i) {
    const int channel = i / 6 % 6;
    double sum = 0;
    for (int c = std::max(channel - 1, 0); c <= std::min(channel + 2, 5); ++c) {
      const double other = xs[static_cast<size_t>(i + (c - channel) * 6)];
      sum += other * other;
    }
    wanted.push_back(xs[static_cast<size_t>(i)] * std::pow(2 + 0.5 / 4 * sum, -0.75));
  }
  const float one = 1, zero = 0;
  CHECK_DNN(cudnnLRNCrossChannelForward(handle, lrn, CUDNN_LRN_CROSS_CHANNEL_DIM1, &one, x.descriptor(), x.memory(),
                                        &zero, y.descriptor(), y.memory()));
  y.Expect(wanted, 1e-5, "LRN");
  CHECK_DNN_STATUS(cudnnLRNCrossChannelForward(handle, lrn, CUDNN_LRN_CROSS_CHANNEL_DIM1, &one, x.descriptor(), nullptr,
                                               &zero, y.descriptor(), y.memory()),
                   CUDNN_STATUS_BAD_PARAM);
  CHECK_DNN_STATUS(cudnnLRNCrossChannelForward(handle, lrn, CUDNN_LRN_CROSS_CHANNEL_DIM1, &one, flat.descriptor(),
                                               flat.memory(), &zero, flat.descriptor(), flat.memory()),
                   CUDNN_STATUS_BAD_PARAM);
  CHECK_DNN(cudnnDestroyLRNDescriptor(lrn));
}

// An image turned around is the image from its end, and a gradient goes the same way back.
static void TestSpatial(cudnnHandle_t handle, Random& random) {
  const int dims[] = {2, 3, 4, 5};
  cudnnSpatialTransformerDescriptor_t transformer = nullptr;
  CHECK_DNN(cudnnCreateSpatialTransformerDescriptor(&transformer));
  CHECK_DNN_STATUS(
      cudnnSetSpatialTransformerNdDescriptor(transformer, CUDNN_SAMPLER_BILINEAR, CUDNN_DATA_INT8, 4, dims),
      CUDNN_STATUS_NOT_SUPPORTED);
  CHECK_DNN(cudnnSetSpatialTransformerNdDescriptor(transformer, CUDNN_SAMPLER_BILINEAR, CUDNN_DATA_FLOAT, 4, dims));
  const std::vector<int> image{2, 3, 4, 5};
  const Tensor<float> x(Packed(image), random), y(Packed(image), random), dy(Packed(image), random),
      dx(Packed(image), random), theta(Packed({2, 2, 3, 1})), grid(Packed({2, 4, 5, 2})), dgrid(Packed({2, 4, 5, 2})),
      dtheta(Packed({2, 2, 3, 1}));
  const float turned[] = {-1, 0, 0, 0, -1, 0, -1, 0, 0, 0, -1, 0};
  CHECK(cudaMemcpy(theta.memory(), turned, sizeof(turned), cudaMemcpyHostToDevice));
  CHECK_DNN(cudnnSpatialTfGridGeneratorForward(handle, transformer, theta.memory(), grid.memory()));
  const float one = 1, zero = 0;
  CHECK_DNN(cudnnSpatialTfSamplerForward(handle, transformer, &one, x.descriptor(), x.memory(), grid.memory(), &zero,
                                         y.descriptor(), y.memory()));
  const Numbers xs = x.Values(), slopes = dy.Values();
  Numbers wanted, back;
  for (int i = 0; i < x.Count(); ++i) {
    const auto from = static_cast<size_t>(i / 20 * 20 + 19 - i % 20);
    wanted.push_back(xs[from]);
    back.push_back(slopes[from]);
  }
  y.Expect(wanted, 1e-5, "turned image");
  CHECK_DNN(cudnnSpatialTfSamplerBackward(handle, transformer, &one, x.descriptor(), x.memory(), &zero, dx.descriptor(),
                                          dx.memory(), &one, dy.descriptor(), dy.memory(), grid.memory(), &zero,
                                          dgrid.memory()));
  dx.Expect(back, 1e-5, "gradient of a turned image");
  CHECK_DNN(cudnnSpatialTfGridGeneratorBackward(handle, transformer, dgrid.memory(), dtheta.memory()));
  std::vector<float> of_grid(80);
  CHECK(cudaMemcpy(of_grid.data(), dgrid.memory(), of_grid.size() * sizeof(float), cudaMemcpyDeviceToHost));
  Numbers of_theta(12);
  for (int i = 0; i < 80; ++i) {
    const double at[] = {-1 + i / 2 % 5 / 2.0, -1 + 2 * (i / 10 % 4) / 3.0, 1};
    for (int column = 0; column < 3; ++column)
      of_theta[static_cast<size_t>(i / 40 * 6 + i % 2 * 3 + column)] +=
          static_cast<double>(of_grid[static_cast<size_t>(i)]) * at[column];
  }
  dtheta.Expect(of_theta, 1e-4, "gradient of theta");
  CHECK_DNN_STATUS(cudnnSpatialTfGridGeneratorForward(handle, transformer, nullptr, grid.memory()),
                   CUDNN_STATUS_BAD_PARAM);
  CHECK_DNN(cudnnDestroySpatialTransformerDescriptor(transformer));
}

// Every step has the same distribution, so that paths are counted: of `steps` steps, the label of one symbol is said by
// a run of at least one of it between blanks.
static void TestCtc(cudnnHandle_t handle) {
  const int steps = 6, batch = 2000, symbols = 3;
  cudnnCTCLossDescriptor_t ctc = nullptr;
  CHECK_DNN(cudnnCreateCTCLossDescriptor(&ctc));
  CHECK_DNN_STATUS(cudnnSetCTCLossDescriptor(ctc, CUDNN_DATA_HALF), CUDNN_STATUS_NOT_SUPPORTED);
  CHECK_DNN(cudnnSetCTCLossDescriptor_v9(ctc, CUDNN_DATA_FLOAT, CUDNN_LOSS_NORMALIZATION_SOFTMAX,
                                         CUDNN_CTC_SKIP_OOB_GRADIENTS, 16));
  cudnnDataType_t type = CUDNN_DATA_DOUBLE;
  cudnnLossNormalizationMode_t normalization = CUDNN_LOSS_NORMALIZATION_NONE;
  cudnnNanPropagation_t nan = CUDNN_NOT_PROPAGATE_NAN;
  int longest = 0;
  CHECK_DNN(cudnnGetCTCLossDescriptor_v8(ctc, &type, &normalization, &nan, &longest));
  EXPECT(type == CUDNN_DATA_FLOAT && normalization == CUDNN_LOSS_NORMALIZATION_SOFTMAX && nan == CUDNN_PROPAGATE_NAN &&
             longest == 16,
         "a CTC loss of %d, %d, %d, %d", type, normalization, nan, longest);
  const Tensor<float> x(Packed({steps, batch, symbols})), gradients(Packed({steps, batch, symbols})),
      costs(Packed({batch, 1}));
  const Tensor<float> gradients8(Packed({steps, batch, symbols})), costs8(Packed({batch, 1}));
  // Sequence n has n % 5 + 1 steps of its own, and the label 1 or 2; long labels make more than one message of them
  // all.
  std::vector<int> labels, lengths, inputs;
  std::vector<float> logits(static_cast<size_t>(x.Count()));
  for (size_t i = 0; i < logits.size(); ++i) logits[i] = i % symbols == 0 ? 0.5f : i % symbols == 1 ? -0.25f : 1.0f;
  const double powers[] = {std::exp(0.5), std::exp(-0.25), std::exp(1.0)};
  const double all = powers[0] + powers[1] + powers[2];
  Numbers wanted;
  std::vector<bool> is_outside;
  for (int n = 0; n < batch; ++n) {
    const int input = n % 5 + 1;
    // A label that is longer than its steps is said by nothing.
    const int length = n % 7 == 6 ? 20 : 1;
    const int symbol = n % 2 + 1;
    inputs.push_back(input);
    lengths.push_back(length);
    for (int i = 0; i < length; ++i) labels.push_back(symbol);
    is_outside.push_back(length > input);
    double likelihood = 0;
    for (int first = 0; first < input; ++first) {
      for (int last = first; last < input; ++last)
        likelihood +=
            std::pow(powers[0] / all, input - (last - first + 1)) * std::pow(powers[symbol] / all, last - first + 1);
    }
    wanted.push_back(-std::log(likelihood));
  }
  CHECK(cudaMemcpy(x.memory(), logits.data(), logits.size() * sizeof(float), cudaMemcpyHostToDevice));
  size_t bytes = 0;
  CHECK_DNN(cudnnGetCTCLossWorkspaceSize(handle, x.descriptor(), gradients.descriptor(), labels.data(), lengths.data(),
                                         inputs.data(), CUDNN_CTC_LOSS_ALGO_DETERMINISTIC, ctc, &bytes));
  void* workspace = nullptr;
  if (bytes != 0) CHECK(cudaMalloc(&workspace, bytes));
  const auto lose = [&](const std::vector<int>& of) {
    return cudnnCTCLoss(handle, x.descriptor(), x.memory(), of.data(), lengths.data(), inputs.data(), costs.memory(),
                        gradients.descriptor(), gradients.memory(), CUDNN_CTC_LOSS_ALGO_DETERMINISTIC, ctc, workspace,
                        bytes);
  };
  std::vector<int> wrong = labels;
  wrong.back() = 3;
  CHECK_DNN_STATUS(lose(wrong), CUDNN_STATUS_BAD_PARAM);
  // They are read by the call, not later.
  std::vector<int> given = labels;
  CHECK_DNN(lose(given));
  std::fill(given.begin(), given.end(), 0);
  std::vector<float> got(batch);
  CHECK(cudaMemcpy(got.data(), costs.memory(), got.size() * sizeof(float), cudaMemcpyDeviceToHost));
  std::vector<float> slopes(logits.size());
  CHECK(cudaMemcpy(slopes.data(), gradients.memory(), slopes.size() * sizeof(float), cudaMemcpyDeviceToHost));
  for (int n = 0; n < batch; ++n) {
    const auto i = static_cast<size_t>(n);
    if (is_outside[i]) continue;
    EXPECT(std::fabs(static_cast<double>(got[i]) - wanted[i]) < 1e-4, "cost of sequence %d: %g, not %g", n,
           static_cast<double>(got[i]), wanted[i]);
    // What is made likelier is made so at the cost of the rest; steps past the end have no say.
    for (int t = 0; t < steps; ++t) {
      double sum = 0, most = 0;
      for (int k = 0; k < symbols; ++k) {
        const auto slope = static_cast<double>(slopes[static_cast<size_t>((t * batch + n) * symbols + k)]);
        sum += slope;
        most = std::max(most, std::fabs(slope));
      }
      EXPECT(std::fabs(sum) < 1e-5 && (most > 1e-3) == (t < inputs[i]), "gradient of step %d of sequence %d", t, n);
    }
  }
  // The same with labels in device memory, but for those that are longer than the descriptor says.
  CHECK_DNN(cudnnSetCTCLossDescriptor_v9(ctc, CUDNN_DATA_FLOAT, CUDNN_LOSS_NORMALIZATION_SOFTMAX,
                                         CUDNN_CTC_SKIP_OOB_GRADIENTS, 20));
  int* on_device[3] = {};
  const std::vector<int>* const arrays[] = {&labels, &lengths, &inputs};
  for (int i = 0; i < 3; ++i) {
    CHECK(cudaMalloc(reinterpret_cast<void**>(&on_device[i]), arrays[i]->size() * sizeof(int)));
    CHECK(cudaMemcpy(on_device[i], arrays[i]->data(), arrays[i]->size() * sizeof(int), cudaMemcpyHostToDevice));
  }
  size_t bytes8 = 0;
  CHECK_DNN(cudnnGetCTCLossWorkspaceSize_v8(handle, CUDNN_CTC_LOSS_ALGO_DETERMINISTIC, ctc, x.descriptor(),
                                            gradients.descriptor(), &bytes8));
  void* workspace8 = nullptr;
  if (bytes8 != 0) CHECK(cudaMalloc(&workspace8, bytes8));
  CHECK_DNN(cudnnCTCLoss_v8(handle, CUDNN_CTC_LOSS_ALGO_DETERMINISTIC, ctc, x.descriptor(), x.memory(), on_device[0],
                            on_device[1], on_device[2], costs8.memory(), gradients8.descriptor(), gradients8.memory(),
                            bytes8, workspace8));
  std::vector<float> again(batch);
  CHECK(cudaMemcpy(again.data(), costs8.memory(), again.size() * sizeof(float), cudaMemcpyDeviceToHost));
  for (int n = 0; n < batch; ++n) {
    const auto i = static_cast<size_t>(n);
    EXPECT(is_outside[i] || std::fabs(static_cast<double>(again[i]) - wanted[i]) < 1e-4, "cost of sequence %d", n);
  }
  for (int* memory : on_device) CHECK(cudaFree(memory));
  CHECK(cudaFree(workspace));
  CHECK(cudaFree(workspace8));
  CHECK_DNN(cudnnDestroyCTCLossDescriptor(ctc));
}

int main() {
  cudnnHandle_t handle = nullptr;
  CHECK_DNN(cudnnCreate(&handle));
  Random random(6);
  TestLrn(handle, random);
  TestSpatial(handle, random);
  TestCtc(handle);
  CHECK_DNN(cudnnDestroy(handle));
  return Passed();
}
