// Multi-head attention as a program builds and trains it: weights laid where cuDNN says, forward against the formulas
// in long double, gradients against what the formulas say of a little more and a little less; every projection, biases,
// beams, windows, residuals, each layout of sequences of different lengths, one step at a time, dropout, and what is
// said of wrong arguments.
#include <vector>

#include "attention_model.h"

using namespace attention_model;

namespace {

template <typename T>
__global__ void Descend(T* weights, const T* gradients, int count, T rate) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i < count) weights[i] -= rate * gradients[i];
}

void Expect(const char* name, const char* what, Wide got, Wide wanted, double tolerance) {
  const auto a = static_cast<double>(got), b = static_cast<double>(wanted);
  EXPECT(std::fabs(a - b) <= tolerance * (1 + std::fabs(b)), "%s: %s is %.9g, not %.9g", name, what, a, b);
}

template <typename T>
void TestConfig(cudnnHandle_t handle, const Config& config, double tolerance) {
  Random random(23);
  const Attention<T> a(handle, config);
  Run<T> run(handle, a, &random);
  const int columns = config.Out();
  const auto expect = [&](int only) {
    run.out.Fetch();
    const Numbers got = run.out.Values();
    const std::vector<Numbers> wanted = a.Reference(run.weights.Values(), run.queries.Values(), run.keys.Values(),
                                                    run.values.Values(), run.residuals.Values());
    a.EachStep([&](size_t number, int batch, int beam, int step) {
      if (only >= 0 && step != only) return;
      for (int j = 0; j < columns; ++j)
        Expect(config.name, "the result", got[a.At(true, batch, beam, step, columns) + j],
               wanted[number].empty() ? Wide(Attention<T>::kPadding) : wanted[number][j], tolerance);
    });
  };
  CHECK_DNN(run.Forward(false));
  expect(-1);
  for (int step = 0; step < kQuerySteps; ++step) {
    CHECK(cudaMemset(run.out.memory(), 0, run.out.bytes()));
    CHECK_DNN(run.Forward(false, step));
    expect(step);
  }
  CHECK_DNN(run.Forward(true));
  expect(-1);

  const Numbers before = run.gradients.Values();
  CHECK_DNN(run.BackwardData());
  CHECK_DNN(run.BackwardWeights(CUDNN_WGRAD_MODE_ADD));
  for (Array<T>* array : {&run.gradients, &run.dqueries, &run.dkeys, &run.dvalues}) array->Fetch();
  Numbers at[4] = {run.weights.Values(), run.queries.Values(), run.keys.Values(), run.values.Values()};
  const Numbers slopes[4] = {run.gradients.Values(), run.dqueries.Values(), run.dkeys.Values(), run.dvalues.Values()};
  const Numbers dout = run.dout.Values(), residuals = run.residuals.Values();
  const auto loss = [&] {
    const std::vector<Numbers> result = a.Reference(at[0], at[1], at[2], at[3], residuals);
    Wide sum = 0;
    a.EachStep([&](size_t number, int batch, int beam, int step) {
      for (size_t j = 0; j < result[number].size(); ++j)
        sum += result[number][j] * dout[a.At(true, batch, beam, step, columns) + j];
    });
    return sum;
  };
  for (int kind = 0; kind < 4; ++kind) {
    for (int sample = 0; sample < 10 && !at[kind].empty(); ++sample) {
      const size_t element = random.Below(static_cast<std::uint32_t>(at[kind].size()));
      const Wide value = at[kind][element], step = 1e-6;
      at[kind][element] = value + step;
      const Wide more = loss();
      at[kind][element] = value - step;
      const Wide less = loss();
      at[kind][element] = value;
      static const char* const names[4] = {"dw", "dq", "dk", "dv"};
      Expect(config.name, names[kind], slopes[kind][element],
             (kind == 0 ? before[element] : 0) + (more - less) / (2 * step), tolerance);
    }
  }
}

// A few steps downhill, each loss beside the host's: what the result is away from a target, whose gradients the host
// takes from the formulas.
void TestTraining(cudnnHandle_t handle, const Config& config) {
  constexpr int kSteps = 6;
  constexpr double kRate = 0.015625;
  Random random(31);
  const Attention<double> a(handle, config);
  Run<double> run(handle, a, &random);
  const Array<double> target(run.out.count(), &random);
  const Numbers wanted = target.Values(), queries = run.queries.Values(), keys = run.keys.Values(),
                values = run.values.Values(), residuals = run.residuals.Values();
  Numbers weights = run.weights.Values();
  const int columns = config.Out();
  const auto loss = [&] {
    const std::vector<Numbers> result = a.Reference(weights, queries, keys, values, residuals);
    Wide sum = 0;
    a.EachStep([&](size_t number, int batch, int beam, int step) {
      for (size_t j = 0; j < result[number].size(); ++j) {
        const Wide off = result[number][j] - wanted[a.At(true, batch, beam, step, columns) + j];
        sum += off * off / 2;
      }
    });
    return sum;
  };
  Wide first = 0, last = 0;
  for (int step = 0; step < kSteps; ++step) {
    CHECK_DNN(run.Forward(true));
    run.out.Fetch();
    const Numbers out = run.out.Values();
    std::vector<double> coming(out.size());
    Wide sum = 0;
    a.EachStep([&](size_t, int batch, int beam, int t) {
      if (t >= a.query_lengths[batch * config.beams + beam]) return;
      for (int j = 0; j < columns; ++j) {
        const size_t i = a.At(true, batch, beam, t, columns) + j;
        coming[i] = static_cast<double>(out[i] - wanted[i]);
        sum += Wide(coming[i]) * coming[i] / 2;
      }
    });
    Expect(config.name, "the loss", sum, loss(), 1e-7);
    if (step == 0) first = sum;
    last = sum;
    CHECK(cudaMemcpy(run.dout.memory(), coming.data(), coming.size() * sizeof(double), cudaMemcpyHostToDevice));
    CHECK_DNN(run.BackwardData());
    CHECK_DNN(run.BackwardWeights(CUDNN_WGRAD_MODE_SET));
    const int count = static_cast<int>(run.weights.count());
    Descend<<<(count + 63) / 64, 64>>>(run.weights.memory(), run.gradients.memory(), count, kRate);
    CHECK(cudaGetLastError());
    Numbers slopes;
    for (Wide& weight : weights) {
      const Wide value = weight, little = 1e-7;
      weight = value + little;
      const Wide more = loss();
      weight = value - little;
      slopes.push_back((more - loss()) / (2 * little));
      weight = value;
    }
    for (size_t i = 0; i < weights.size(); ++i) weights[i] -= kRate * slopes[i];
  }
  EXPECT(last < first * 0.9, "the loss went from %g to %g", static_cast<double>(first), static_cast<double>(last));
}

// Dropped in training only, and the same with the same seed.
void TestDropout(cudnnHandle_t handle, const Config& config) {
  size_t states_bytes = 0;
  CHECK_DNN(cudnnDropoutGetStatesSize(handle, &states_bytes));
  const Array<char> states(states_bytes, nullptr);
  cudnnDropoutDescriptor_t dropout = nullptr;
  CHECK_DNN(cudnnCreateDropoutDescriptor(&dropout));
  const auto seed = [&] {
    CHECK_DNN(cudnnSetDropoutDescriptor(dropout, handle, 0.5f, states.memory(), states_bytes, 5));
  };
  seed();
  for (const bool is_result : {false, true}) {
    Random random(29);
    const Attention<float> a(handle, config, is_result ? nullptr : dropout, is_result ? dropout : nullptr);
    Run<float> run(handle, a, &random);
    const auto forward = [&](bool is_training) {
      CHECK_DNN(run.Forward(is_training));
      run.out.Fetch();
      return run.out.Values();
    };
    const Numbers without = forward(false);
    seed();
    const Numbers first = forward(true);
    EXPECT(first != without, "nothing was dropped");
    EXPECT(forward(true) != first, "the same was dropped twice");
    EXPECT(forward(false) == without, "an inference dropped something");
    seed();
    EXPECT(forward(true) == first, "the same seed dropped others");
    CHECK_DNN(run.BackwardData());
    CHECK_DNN(run.BackwardWeights(CUDNN_WGRAD_MODE_SET));
  }
  CHECK(cudaDeviceSynchronize());
  CHECK_DNN(cudnnDestroyDropoutDescriptor(dropout));
}

// Of many query steps, each of which looks at one key more until it looks at all; keys are alike, so that what comes
// out is the mean of values.
void TestManySteps(cudnnHandle_t handle) {
  constexpr int kSteps = 5000, kKeys = 8;
  cudnnAttnDescriptor_t attention = nullptr;
  CHECK_DNN(cudnnCreateAttnDescriptor(&attention));
  CHECK_DNN(cudnnSetAttnDescriptor(attention, CUDNN_ATTN_QUERYMAP_ALL_TO_ONE, 1, 1, CUDNN_DATA_FLOAT, CUDNN_DATA_FLOAT,
                                   CUDNN_DEFAULT_MATH, nullptr, nullptr, 1, 1, 1, 0, 0, 0, 0, kSteps, kKeys, 1, 1));
  const auto describe = [](int steps) {
    cudnnSeqDataDescriptor_t data = nullptr;
    CHECK_DNN(cudnnCreateSeqDataDescriptor(&data));
    const int dims[4] = {steps, 1, 1, 1};
    const cudnnSeqDataAxis_t axes[4] = {kBeam, kOfBatch, kTime, kVector};
    CHECK_DNN(cudnnSetSeqDataDescriptor(data, CUDNN_DATA_FLOAT, 4, dims, axes, 1, &steps, nullptr));
    return data;
  };
  cudnnSeqDataDescriptor_t const q = describe(kSteps), k = describe(kKeys);
  size_t weight_bytes = 0, workspace_bytes = 0;
  CHECK_DNN(cudnnGetMultiHeadAttnBuffers(handle, attention, &weight_bytes, &workspace_bytes, nullptr));
  EXPECT(weight_bytes == 0, "%zu bytes of weights where nothing is projected", weight_bytes);
  Random random(41);
  const Array<float> queries(kSteps, &random), keys(kKeys, nullptr), values(kKeys, &random);
  Array<float> out(kSteps, nullptr);
  const Array<int> query_lengths({kSteps}), key_lengths({kKeys});
  const Array<char> workspace(workspace_bytes, nullptr);
  std::vector<int> low(kSteps), high(kSteps);
  for (int i = 0; i < kSteps; ++i) high[i] = i < kKeys ? i + 1 : kKeys;
  CHECK_DNN(cudnnMultiHeadAttnForward(handle, attention, -1, low.data(), high.data(), query_lengths.memory(),
                                      key_lengths.memory(), q, queries.memory(), nullptr, k, keys.memory(), k,
                                      values.memory(), q, out.memory(), 0, nullptr, workspace_bytes, workspace.memory(),
                                      0, nullptr));
  out.Fetch();
  const Numbers got = out.Values(), from = values.Values();
  Wide sum = 0;
  for (int i = 0; i < kSteps; ++i) {
    if (i < kKeys) sum += from[i];
    Expect("many steps", "the result", got[i], sum / high[i], 1e-5);
  }
  for (const cudnnSeqDataDescriptor_t data : {q, k}) CHECK_DNN(cudnnDestroySeqDataDescriptor(data));
  CHECK_DNN(cudnnDestroyAttnDescriptor(attention));
}

// As the real library, which looks at its arguments before it needs a device.
void TestStatuses(cudnnHandle_t handle, const Config& config) {
  constexpr cudnnStatus_t kBad = CUDNN_STATUS_BAD_PARAM;
  Random random(37);
  const Attention<float> a(handle, config);
  Run<float> run(handle, a, &random);
  CHECK_DNN_STATUS(run.Forward(true, 2), kBad);
  CHECK_DNN_STATUS(run.Forward(false, kQuerySteps), kBad);
  Attention<float> other(handle, config);
  Run<float> wrong(handle, other, &random);
  --other.inference_bytes;
  if (a.inference_bytes > 0) CHECK_DNN_STATUS(wrong.Forward(false), kBad);
  ++other.inference_bytes;
  for (cudnnSeqDataDescriptor_t* const data : {&other.q, &other.k, &other.v, &other.o}) {
    cudnnSeqDataDescriptor_t const right = *data;
    *data = nullptr;
    CHECK_DNN_STATUS(wrong.Forward(false), kBad);
    CHECK_DNN_STATUS(wrong.BackwardData(), kBad);
    CHECK_DNN_STATUS(wrong.BackwardWeights(CUDNN_WGRAD_MODE_SET), kBad);
    // Of other lengths, another layout, another vector.
    for (int change = 0; change < 3; ++change) {
      const bool of_queries = data == &other.q || data == &other.o;
      const int steps = of_queries ? kQuerySteps : kKeySteps, beams = of_queries ? config.beams : 1;
      int vector = data == &other.q   ? config.q
                   : data == &other.k ? config.k
                   : data == &other.v ? config.v
                                      : config.Out();
      std::vector<int> lengths = of_queries ? a.query_lengths : a.key_lengths;
      cudnnSeqDataAxis_t axes[4] = {config.axes[0], config.axes[1], config.axes[2], kVector};
      if (change == 0) lengths[0] = lengths[0] == 1 ? 2 : 1;
      if (change == 1) std::swap(axes[0], axes[1]);
      if (change == 2) ++vector;
      int dims[4] = {};
      dims[kTime] = steps;
      dims[kOfBatch] = kBatch;
      dims[kBeam] = beams;
      dims[kVector] = vector;
      CHECK_DNN(cudnnCreateSeqDataDescriptor(data));
      CHECK_DNN(
          cudnnSetSeqDataDescriptor(*data, CUDNN_DATA_FLOAT, 4, dims, axes, lengths.size(), lengths.data(), nullptr));
      CHECK_DNN_STATUS(wrong.Forward(false), kBad);
      CHECK_DNN(cudnnDestroySeqDataDescriptor(*data));
    }
    *data = right;
  }
  CHECK_DNN(wrong.Forward(false));
  CHECK_DNN_STATUS(run.BackwardWeights(static_cast<cudnnWgradMode_t>(2)), kBad);
  size_t weights = 0, workspace = 0;
  CHECK_DNN_STATUS(cudnnGetMultiHeadAttnBuffers(handle, nullptr, &weights, &workspace, nullptr), kBad);
  CHECK_DNN_STATUS(cudnnGetMultiHeadAttnBuffers(handle, a.attention, nullptr, &workspace, nullptr), kBad);
  CHECK_DNN_STATUS(cudnnGetMultiHeadAttnBuffers(nullptr, a.attention, &weights, &workspace, nullptr), kBad);
  cudnnTensorDescriptor_t shape = nullptr;
  void* begin = nullptr;
  CHECK_DNN(cudnnCreateTensorDescriptor(&shape));
  const auto place = [&](int kind, size_t bytes, const void* base) {
    return cudnnGetMultiHeadAttnWeights(handle, a.attention, static_cast<cudnnMultiHeadAttnWeightKind_t>(kind), bytes,
                                        base, shape, &begin);
  };
  CHECK_DNN(place(CUDNN_MH_ATTN_O_BIASES, a.weight_bytes, run.weights.memory()));
  CHECK_DNN_STATUS(place(8, a.weight_bytes, run.weights.memory()), kBad);
  CHECK_DNN_STATUS(place(-1, a.weight_bytes, run.weights.memory()), kBad);
  CHECK_DNN_STATUS(place(0, a.weight_bytes - 1, run.weights.memory()), kBad);
  CHECK_DNN_STATUS(place(0, a.weight_bytes, nullptr), kBad);
  CHECK_DNN(cudnnDestroyTensorDescriptor(shape));
}

}  // namespace

int main() {
  cudnnHandle_t handle = nullptr;
  CHECK_DNN(cudnnCreate(&handle));
  constexpr unsigned kPlain = CUDNN_ATTN_QUERYMAP_ALL_TO_ONE, kBiases = CUDNN_ATTN_ENABLE_PROJ_BIASES;
  const Config configs[] = {
      {"projected", kPlain | kBiases, 2, 5, 6, 4, 3, 3, 2, 5, 1, {kBeam, kOfBatch, kTime}, true},
      {"beams", kPlain, 3, 4, 3, 5, 2, 2, 3, 6, 3, {kOfBatch, kTime, kBeam}, false},
      {"not projected", kPlain | kBiases, 2, 4, 4, 3, 0, 0, 0, 0, 2, {kTime, kOfBatch, kBeam}, false},
      {"keys alone", kPlain | kBiases, 2, 4, 6, 2, 0, 4, 2, 0, 1, {kTime, kBeam, kOfBatch}, true},
      {"queries alone", CUDNN_ATTN_QUERYMAP_ONE_TO_ONE, 1, 6, 3, 4, 3, 0, 0, 3, 1, {kBeam, kTime, kOfBatch}, false},
  };
  for (const Config& config : configs) {
    TestConfig<float>(handle, config, 2e-4);
    TestConfig<double>(handle, config, 1e-8);
    TestConfig<__half>(handle, config, 2e-2);
  }
  TestConfig<__nv_bfloat16>(handle, configs[0], 8e-2);
  TestTraining(handle, configs[0]);
  TestDropout(handle, configs[0]);
  TestManySteps(handle);
  TestStatuses(handle, configs[0]);
  CHECK_DNN(cudnnDestroy(handle));
  return Passed();
}
