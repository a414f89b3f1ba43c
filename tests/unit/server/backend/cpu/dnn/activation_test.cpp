// Activations, pooling, softmax and batch normalisation against their formulas, over random shapes, layouts, types and
// blends; gradients against differences.
#include "tests/unit/server/backend/cpu/dnn/layers.h"

namespace accelmesh {
namespace {

std::vector<int> SomeDims(Random& random, int size_max) {
  std::vector<int> dims{Pick(random, 1, 3), Pick(random, 1, 4)};
  for (int d = Pick(random, 1, 3); d > 0; --d) dims.push_back(Pick(random, 1, size_max));
  return dims;
}
DnnBlend SomeBlend(Random& random) {
  if (Pick(random, 0, 1) == 0) return {};
  return {0.5 * Pick(random, -3, 3), 0.25 * Pick(random, -4, 4)};
}
int TypeOf(int round) { return kTypes[static_cast<std::size_t>(round) % kTypes.size()]; }

// Places of a shape by their number, and back.
std::vector<int> IndexOf(std::size_t element, const std::vector<int>& dims) {
  std::vector<int> at(dims.size());
  for (std::size_t d = dims.size(); d-- > 0;) {
    at[d] = static_cast<int>(element % static_cast<std::size_t>(dims[d]));
    element /= static_cast<std::size_t>(dims[d]);
  }
  return at;
}
std::size_t CountOf(const std::vector<int>& dims) {
  std::size_t count = 1;
  for (const int size : dims) count *= static_cast<std::size_t>(size);
  return count;
}

// CUDNN_ACTIVATION_*.
enum { kSigmoid, kRelu, kTanh, kClipped, kElu, kIdentity, kSwish };

Real Activated(const DnnActivation& activation, Real x) {
  const Real coefficient = static_cast<Real>(activation.coefficient);
  switch (activation.mode) {
    case kSigmoid: return 1 / (1 + std::exp(-x));
    case kRelu: return std::max<Real>(x, 0);
    case kTanh: return std::tanh(x);
    case kClipped: return std::min(std::max<Real>(x, 0), coefficient);
    case kElu: return x < 0 ? coefficient * (std::exp(x) - 1) : x;
    case kSwish: return x / (1 + std::exp(-static_cast<Real>(activation.swish_beta) * x));
    default: return x;
  }
}

TEST(CpuDnnLayers, Activations) {
  Random random(1);
  for (int round = 0; round < 140; ++round) {
    const int type = TypeOf(round);
    DnnActivation activation;
    activation.mode = round % 7;
    activation.coefficient = activation.mode == kElu ? 1.5 : 0.7123;
    activation.swish_beta = 1.25;
    const std::vector<int> dims = SomeDims(random, 4);
    const DnnBlend blend = SomeBlend(random);
    Arena arena;
    const auto any = [&] { return Tensor(arena, type, dims, Pick(random, 0, 2), random); };
    Tensor x = any();
    const Tensor y = any(), exact = any(), dy = any(), dx = any();
    // It has corners at 0 and at its ceiling.
    Reals apart = x.Get();
    for (Real& value : apart) {
      if (std::fabs(value) < 0.02L || std::fabs(value - 0.7123L) < 0.02L) value = 0.25L;
    }
    x.Set(apart);
    const Reals xs = x.Get(), before = y.Get(), gradient_before = dx.Get();
    const auto formula = [&](const Reals& at) {
      Reals values;
      for (const Real value : at) values.push_back(Activated(activation, value));
      return values;
    };
    MustRun(arena, DnnActivationForward{x.operand(), y.operand(), activation, blend});
    y.Expect(Blended(formula(xs), before, blend), Tolerance(type), "activation");
    MustRun(arena, DnnActivationForward{x.operand(), exact.operand(), activation, {}});
    MustRun(arena, DnnActivationBackward{exact.operand(), dy.operand(), x.operand(), dx.operand(), activation, blend});
    dx.Expect(Blended(Slopes(xs, dy.Get(), formula), gradient_before, blend), Tolerance(type) + 1e-9,
              "gradient of an activation");
    if (HasFatalFailure()) FAIL() << "mode " << activation.mode << ", round " << round;
  }
}

// CUDNN_POOLING_*.
enum { kMax, kIncludingPads, kExcludingPads, kMaxDeterministic };

Reals Pooled(const Reals& x, const std::vector<int>& in, const std::vector<int>& out, const DnnPooling& pooling) {
  const auto rank = static_cast<std::size_t>(pooling.rank);
  std::vector<int> window(pooling.window.begin(), pooling.window.begin() + pooling.rank);
  Reals y(CountOf(out));
  for (std::size_t i = 0; i < y.size(); ++i) {
    const std::vector<int> place = IndexOf(i, out);
    Real sum = 0, largest = -1e30L, count = 0;
    for (std::size_t tap = 0; tap < CountOf(window); ++tap) {
      const std::vector<int> step = IndexOf(tap, window);
      std::size_t at = static_cast<std::size_t>(place[0] * in[1] + place[1]);
      bool is_inside = true;
      for (std::size_t d = 0; d < rank; ++d) {
        const int from = place[d + 2] * pooling.strides[d] - pooling.pads[d] + step[d];
        is_inside = is_inside && from >= 0 && from < in[d + 2];
        at = at * static_cast<std::size_t>(in[d + 2]) + static_cast<std::size_t>(from);
      }
      if (!is_inside) continue;
      sum += x[at];
      largest = std::max(largest, x[at]);
      count += 1;
    }
    if (pooling.mode == kIncludingPads) count = static_cast<Real>(CountOf(window));
    y[i] = pooling.mode == kMax || pooling.mode == kMaxDeterministic ? largest : sum / count;
  }
  return y;
}

TEST(CpuDnnLayers, Pooling) {
  Random random(2);
  for (int round = 0; round < 160; ++round) {
    const int type = TypeOf(round);
    DnnPooling pooling;
    pooling.rank = Pick(random, 1, 3);
    pooling.mode = Pick(random, 0, 3);
    std::vector<int> in{Pick(random, 1, 2), Pick(random, 1, 3)};
    std::vector<int> out = in;
    for (std::size_t d = 0; d < static_cast<std::size_t>(pooling.rank); ++d) {
      pooling.window[d] = Pick(random, 1, 3);
      pooling.strides[d] = Pick(random, 1, 3);
      pooling.pads[d] = Pick(random, 0, pooling.window[d] - 1);
      in.push_back(Pick(random, pooling.window[d], pooling.rank == 3 ? 3 : 6));
      out.push_back((in.back() + 2 * pooling.pads[d] - pooling.window[d]) / pooling.strides[d] + 1);
      // A window that lies in the padding alone has no elements.
      if ((out.back() - 1) * pooling.strides[d] - pooling.pads[d] >= in.back()) --out.back();
    }
    const DnnBlend blend = SomeBlend(random);
    Arena arena;
    const auto any = [&](const std::vector<int>& dims) {
      return Tensor(arena, type, dims, Pick(random, 0, 2), random);
    };
    Tensor x = any(in);
    const Tensor y = any(out), dy = any(out), dx = any(in);
    // No two are alike, in any type.
    Reals distinct(x.count());
    ASSERT_LE(distinct.size(), 256u);
    for (std::size_t i = 0; i < distinct.size(); ++i) distinct[i] = static_cast<Real>(i) - 100;
    std::shuffle(distinct.begin(), distinct.end(), random);
    x.Set(distinct);
    const Reals before = y.Get(), gradient_before = dx.Get();
    const auto formula = [&](const Reals& at) { return Pooled(at, in, out, pooling); };
    MustRun(arena, DnnPoolingForward{x.operand(), y.operand(), pooling, blend});
    y.Expect(Blended(formula(distinct), before, blend), Tolerance(type), "pooling");
    MustRun(arena, DnnPoolingBackward{y.operand(), dy.operand(), x.operand(), dx.operand(), pooling, blend});
    dx.Expect(Blended(Slopes(distinct, dy.Get(), formula), gradient_before, blend), Tolerance(type) + 1e-9,
              "gradient of pooling");
    if (HasFatalFailure()) FAIL() << "mode " << pooling.mode << ", round " << round;
  }
}

TEST(CpuDnnLayers, Softmax) {
  constexpr int kLog = 2, kInstance = 0;
  Random random(3);
  for (int round = 0; round < 96; ++round) {
    const int type = TypeOf(round);
    const int algorithm = Pick(random, 0, 2), mode = Pick(random, 0, 1);
    const std::vector<int> dims = SomeDims(random, 4);
    const DnnBlend blend = SomeBlend(random);
    Arena arena;
    const auto any = [&] { return Tensor(arena, type, dims, Pick(random, 0, 2), random); };
    const Tensor x = any(), y = any(), exact = any(), dy = any(), dx = any();
    const Reals xs = x.Get(), before = y.Get(), gradient_before = dx.Get();
    // Which distribution an element is of: its image's, or its place's in it.
    const auto owner = [&](std::size_t element) {
      std::vector<int> at = IndexOf(element, dims), of = dims;
      for (std::size_t d = 1; d < dims.size(); ++d) {
        if (d == 1 || mode == kInstance) at[d] = 0;
      }
      std::size_t number = 0;
      for (std::size_t d = 0; d < dims.size(); ++d)
        number = number * static_cast<std::size_t>(of[d]) + static_cast<std::size_t>(at[d]);
      return number;
    };
    const auto formula = [&](const Reals& at) {
      Reals sums(at.size()), values(at.size());
      for (std::size_t i = 0; i < at.size(); ++i) sums[owner(i)] += std::exp(at[i]);
      for (std::size_t i = 0; i < at.size(); ++i) {
        values[i] = std::exp(at[i]) / sums[owner(i)];
        if (algorithm == kLog) values[i] = std::log(values[i]);
      }
      return values;
    };
    MustRun(arena, DnnSoftmaxForward{x.operand(), y.operand(), algorithm, mode, blend});
    y.Expect(Blended(formula(xs), before, blend), Tolerance(type), "softmax");
    MustRun(arena, DnnSoftmaxForward{x.operand(), exact.operand(), algorithm, mode, {}});
    MustRun(arena, DnnSoftmaxBackward{exact.operand(), dy.operand(), dx.operand(), algorithm, mode, blend});
    dx.Expect(Blended(Slopes(xs, dy.Get(), formula), gradient_before, blend), 2 * Tolerance(type) + 1e-9,
              "gradient of softmax");
    if (HasFatalFailure()) FAIL() << "algorithm " << algorithm << ", mode " << mode << ", round " << round;
  }
}

// Batch normalisation with all that it is computed of.
struct BatchNorm {
  explicit BatchNorm(Random& random) {
    dims = SomeDims(random, 3);
    dims[0] = Pick(random, 2, 4);
    mode = Pick(random, 0, 2);
    parameters = dims;
    parameters[0] = 1;
    for (std::size_t d = 2; d < dims.size() && mode != kPerActivation; ++d) parameters[d] = 1;
    epsilon = Pick(random, 0, 1) == 0 ? 1e-3 : 0.25;
  }
  static constexpr int kPerActivation = 0;
  std::size_t Owner(std::size_t element) const {
    const std::vector<int> at = IndexOf(element, dims);
    std::size_t number = 0;
    for (std::size_t d = 0; d < dims.size(); ++d)
      number =
          number * static_cast<std::size_t>(parameters[d]) + static_cast<std::size_t>(parameters[d] == 1 ? 0 : at[d]);
    return number;
  }
  std::size_t owners() const { return CountOf(parameters); }
  Real population() const { return static_cast<Real>(CountOf(dims)) / static_cast<Real>(owners()); }
  Reals Means(const Reals& x) const {
    Reals means(owners());
    for (std::size_t i = 0; i < x.size(); ++i) means[Owner(i)] += x[i] / population();
    return means;
  }
  Reals Variances(const Reals& x) const {
    const Reals means = Means(x);
    Reals variances(owners());
    for (std::size_t i = 0; i < x.size(); ++i)
      variances[Owner(i)] += (x[i] - means[Owner(i)]) * (x[i] - means[Owner(i)]) / population();
    return variances;
  }
  Real Inverse(Real variance) const { return 1 / std::sqrt(variance + static_cast<Real>(epsilon)); }
  Reals Normalized(const Reals& x, const Reals& means, const Reals& variances, const Reals& scale,
                   const Reals& bias) const {
    Reals y(x.size());
    for (std::size_t i = 0; i < x.size(); ++i) {
      const std::size_t owner = Owner(i);
      y[i] = scale[owner] * (x[i] - means[owner]) * Inverse(variances[owner]) + bias[owner];
    }
    return y;
  }
  Reals Trained(const Reals& x, const Reals& scale, const Reals& bias) const {
    return Normalized(x, Means(x), Variances(x), scale, bias);
  }

  std::vector<int> dims, parameters;
  int mode = 0;
  double epsilon = 0;
};

TEST(CpuDnnLayers, BatchNormalizationForward) {
  Random random(4);
  for (int round = 0; round < 96; ++round) {
    const int type = TypeOf(round), parameter_type = type == kDouble ? kDouble : kFloat;
    const BatchNorm norm(random);
    const DnnBlend blend = SomeBlend(random);
    const double factor = Pick(random, 0, 2) * 0.5;
    const double exact = Tolerance(parameter_type);
    Arena arena;
    const Tensor x(arena, type, norm.dims, Pick(random, 0, 2), random),
        y(arena, type, norm.dims, Pick(random, 0, 2), random);
    // All parameters lie alike.
    const int layout = Pick(random, 0, 2);
    const auto parameter = [&] { return Tensor(arena, parameter_type, norm.parameters, layout, random); };
    const Tensor scale = parameter(), bias = parameter(), mean = parameter(), saved_mean = parameter(),
                 saved_inverse = parameter();
    Tensor variance = parameter();
    const Reals xs = x.Get(), before = y.Get(), mean_before = mean.Get(), variance_before = variance.Get();
    const bool is_averaged = Pick(random, 0, 3) != 0, is_saved = Pick(random, 0, 3) != 0;
    DnnBatchNormForwardTraining words;
    words.x = x.operand();
    words.y = y.operand();
    words.parameters = scale.tensor();
    words.scale = scale.address();
    words.bias = bias.address();
    if (is_averaged) {
      words.running_mean = mean.address();
      words.running_variance = variance.address();
    }
    if (is_saved) {
      words.saved_mean = saved_mean.address();
      words.saved_inverse_deviation = saved_inverse.address();
    }
    words.mode = norm.mode;
    words.average_factor = factor;
    words.epsilon = norm.epsilon;
    words.blend = blend;
    MustRun(arena, words);
    y.Expect(Blended(norm.Trained(xs, scale.Get(), bias.Get()), before, blend), Tolerance(type), "batch normalisation");
    const Reals means = norm.Means(xs);
    Reals variances = norm.Variances(xs), inverses = variances;
    for (Real& one : inverses) one = norm.Inverse(one);
    if (is_saved) {
      saved_mean.Expect(means, exact, "saved mean");
      saved_inverse.Expect(inverses, exact, "saved inverse deviation");
    }
    if (is_averaged) {
      Reals unbiased = variances;
      for (Real& one : unbiased) one *= norm.population() / std::max<Real>(norm.population() - 1, 1);
      mean.Expect(Blended(means, mean_before, {factor, 1 - factor}), exact, "running mean");
      variance.Expect(Blended(unbiased, variance_before, {factor, 1 - factor}), exact, "running variance");
    }
    // With what is known instead of what is measured.
    Reals known = variance.Get();
    for (Real& one : known) one = std::fabs(one) + 0.125L;
    variance.Set(known);
    const Reals now = y.Get();
    MustRun(arena,
            DnnBatchNormForwardInference{x.operand(), y.operand(), scale.tensor(), scale.address(), bias.address(),
                                         mean.address(), variance.address(), norm.mode, norm.epsilon, blend});
    y.Expect(Blended(norm.Normalized(xs, mean.Get(), variance.Get(), scale.Get(), bias.Get()), now, blend),
             Tolerance(type), "batch normalisation, inference");
    if (HasFatalFailure()) FAIL() << "mode " << norm.mode << ", round " << round;
  }
}

TEST(CpuDnnLayers, BatchNormalizationBackward) {
  Random random(5);
  for (int round = 0; round < 64; ++round) {
    const int type = TypeOf(round), parameter_type = type == kDouble ? kDouble : kFloat;
    const BatchNorm norm(random);
    const DnnBlend data = SomeBlend(random), parameters = SomeBlend(random);
    Arena arena;
    const auto any = [&] { return Tensor(arena, type, norm.dims, Pick(random, 0, 2), random); };
    const Tensor x = any(), dy = any(), dx = any();
    const int layout = Pick(random, 0, 2);
    const auto parameter = [&] { return Tensor(arena, parameter_type, norm.parameters, layout, random); };
    const Tensor scale = parameter(), gains = parameter(), offsets = parameter();
    Tensor saved_mean = parameter(), saved_inverse = parameter();
    const Reals xs = x.Get(), slopes = dy.Get(), scales = scale.Get(), none(norm.owners());
    Reals inverses = norm.Variances(xs);
    for (Real& one : inverses) one = norm.Inverse(one);
    saved_mean.Set(norm.Means(xs));
    saved_inverse.Set(inverses);
    const Reals dx_before = dx.Get(), gains_before = gains.Get(), offsets_before = offsets.Get();
    DnnBatchNormBackward words;
    words.x = x.operand();
    words.dy = dy.operand();
    words.dx = dx.operand();
    words.parameters = scale.tensor();
    words.scale = scale.address();
    words.scale_gradient = gains.address();
    words.bias_gradient = offsets.address();
    if (Pick(random, 0, 1) == 0) {
      words.saved_mean = saved_mean.address();
      words.saved_inverse_deviation = saved_inverse.address();
    }
    words.mode = norm.mode;
    words.epsilon = norm.epsilon;
    words.data = data;
    words.parameter = parameters;
    MustRun(arena, words);
    const double tolerance = 2 * Tolerance(type) + 1e-8;
    dx.Expect(
        Blended(Slopes(xs, slopes, [&](const Reals& at) { return norm.Trained(at, scales, none); }), dx_before, data),
        tolerance, "gradient of batch normalisation");
    gains.Expect(Blended(Slopes(scales, slopes, [&](const Reals& at) { return norm.Trained(xs, at, none); }),
                         gains_before, parameters),
                 10 * Tolerance(parameter_type) + 1e-8, "gradient of the scale");
    offsets.Expect(Blended(Slopes(none, slopes, [&](const Reals& at) { return norm.Trained(xs, scales, at); }),
                           offsets_before, parameters),
                   10 * Tolerance(parameter_type) + 1e-8, "gradient of the bias");
    if (HasFatalFailure()) FAIL() << "mode " << norm.mode << ", round " << round;
  }
}

}  // namespace
}  // namespace accelmesh
