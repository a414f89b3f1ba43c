// Batch normalisation with a ReLU and a tensor that is added, against its formula; gradients against differences.
#include "tests/unit/server/backend/cpu/dnn/layers.h"

namespace accelmesh {
namespace {

constexpr double kEpsilon = 1e-3;

// One of the operations 0, 1, 2 on tensors whose populations are channels, or places of all images.
struct Problem {
  std::vector<int> dims;
  bool per_activation = false;
  int operations = 0;

  explicit Problem(Random& random, int round)
      : dims{Pick(random, 2, 4), Pick(random, 1, 4), Pick(random, 1, 3), Pick(random, 1, 3)},
        per_activation(round % 2 == 0),
        operations(round / 2 % 3) {
    if (random() % 4 == 0) dims.push_back(2);
  }
  std::vector<int> Parameters() const {
    std::vector<int> parameters = dims;
    for (std::size_t d = 0; d < dims.size(); ++d) {
      if (d == 0 || (d > 1 && !per_activation)) parameters[d] = 1;
    }
    return parameters;
  }
  std::size_t Places() const {
    std::size_t places = 1;
    for (std::size_t d = 2; d < dims.size(); ++d) places *= static_cast<std::size_t>(dims[d]);
    return places;
  }
  std::size_t Population(std::size_t element) const {
    const std::size_t channels = static_cast<std::size_t>(dims[1]);
    return per_activation ? element % (channels * Places()) : element / Places() % channels;
  }
  std::size_t Populations() const { return static_cast<std::size_t>(dims[1]) * (per_activation ? Places() : 1); }
  // Before the ReLU.
  Reals Formula(const Reals& x, const Reals& z, const Reals& scale, const Reals& bias, const Reals& mean,
                const Reals& variance) const {
    Reals y(x.size());
    for (std::size_t i = 0; i < x.size(); ++i) {
      const std::size_t p = Population(i);
      y[i] = scale[p] * (x[i] - mean[p]) / std::sqrt(variance[p] + static_cast<Real>(kEpsilon)) + bias[p];
      if (operations == 2) y[i] += z[i];
    }
    return y;
  }
  void Measure(const Reals& x, Reals* mean, Reals* variance) const {
    Reals count(Populations());
    mean->assign(count.size(), 0);
    variance->assign(count.size(), 0);
    for (std::size_t i = 0; i < x.size(); ++i) {
      count[Population(i)] += 1;
      (*mean)[Population(i)] += x[i];
    }
    for (std::size_t p = 0; p < count.size(); ++p) (*mean)[p] /= count[p];
    for (std::size_t i = 0; i < x.size(); ++i) {
      const Real apart = x[i] - (*mean)[Population(i)];
      (*variance)[Population(i)] += apart * apart / count[Population(i)];
    }
  }
  Reals Trained(const Reals& x, const Reals& z, const Reals& scale, const Reals& bias) const {
    Reals mean, variance;
    Measure(x, &mean, &variance);
    return Formula(x, z, scale, bias, mean, variance);
  }
  Reals Activated(Reals y) const {
    for (Real& value : y) value = operations == 0 ? value : std::max<Real>(value, 0);
    return y;
  }
};

TEST(CpuDnnNormalization, BothDirections) {
  Random random(10);
  int compared = 0;
  for (int round = 0; round < 96; ++round) {
    const int type = kTypes[static_cast<std::size_t>(round / 6) % kTypes.size()];
    const int parameter_type = type == kDouble ? kDouble : kFloat;
    const Problem problem(random, round);
    Arena arena;
    const auto any = [&] { return Tensor(arena, type, problem.dims, Pick(random, 0, 2), random); };
    const auto parameter = [&] { return Tensor(arena, parameter_type, problem.Parameters(), 0, random); };
    const Tensor x = any(), z = any(), y = any(), dy = any(), dx = any(), dz = any();
    const Tensor scale = parameter(), bias = parameter(), mean = parameter(), variance = parameter(),
                 saved_mean = parameter(), saved_inverse = parameter(), dscale = parameter(), dbias = parameter();
    const std::uint64_t reserve = arena.Take((x.count() + 31) / 32 * 4);
    const Reals xs = x.Get(), zs = z.Get(), scales = scale.Get(), biases = bias.Get(), y_before = y.Get(),
                dx_before = dx.Get(), dscale_before = dscale.Get(), dbias_before = dbias.Get(),
                mean_before = mean.Get(), variance_before = variance.Get();
    const Reals plain = problem.Trained(xs, zs, scales, biases);
    // At its corner a ReLU goes either way.
    if (problem.operations != 0 &&
        std::any_of(plain.begin(), plain.end(), [](Real value) { return std::fabs(value) < 1e-4L; }))
      continue;
    ++compared;
    const DnnBlend blend{2, -0.5}, of_parameters{-1, 0.5};
    const double factor = 0.25;
    DnnNorm norm;
    norm.is_batch = round % 2;
    norm.mode = problem.per_activation ? 0 : 1;
    norm.operations = problem.operations;
    norm.activation.mode = 1;
    DnnNormForwardTraining forward{x.operand(),
                                   {},
                                   y.operand(),
                                   scale.tensor(),
                                   mean.tensor(),
                                   scale.address(),
                                   bias.address(),
                                   mean.address(),
                                   variance.address(),
                                   saved_mean.address(),
                                   saved_inverse.address(),
                                   norm,
                                   factor,
                                   kEpsilon,
                                   blend,
                                   {},
                                   {reserve, (x.count() + 31) / 32 * 4}};
    if (problem.operations == 2) forward.z = z.operand();
    MustRun(arena, forward);
    y.Expect(Blended(problem.Activated(plain), y_before, blend), Tolerance(type) * 4, "normalised");
    Reals means, variances;
    problem.Measure(xs, &means, &variances);
    const Real count = static_cast<Real>(xs.size()) / static_cast<Real>(problem.Populations());
    Reals unbiased = variances, inverses = variances;
    for (Real& value : unbiased) value *= count / (count - 1);
    for (Real& value : inverses) value = 1 / std::sqrt(value + static_cast<Real>(kEpsilon));
    const DnnBlend average{factor, 1 - factor};
    const double exact = Tolerance(parameter_type) * 4;
    mean.Expect(Blended(means, mean_before, average), exact, "running mean");
    variance.Expect(Blended(unbiased, variance_before, average), exact, "running variance");
    saved_mean.Expect(means, exact, "saved mean");
    saved_inverse.Expect(inverses, exact * 100, "saved inverse deviation");

    const bool has_saved = random() % 2 == 0;
    DnnNormBackward backward{x.operand(),
                             y.operand(),
                             dy.operand(),
                             {},
                             dx.operand(),
                             scale.tensor(),
                             mean.tensor(),
                             scale.address(),
                             bias.address(),
                             dscale.address(),
                             dbias.address(),
                             has_saved ? saved_mean.address() : 0,
                             has_saved ? saved_inverse.address() : 0,
                             norm,
                             kEpsilon,
                             blend,
                             of_parameters,
                             {},
                             forward.reserve};
    if (problem.operations == 2) backward.dz = dz.operand();
    MustRun(arena, backward);
    // The variance may be small, and what is measured of it then rounds.
    const double loose = Tolerance(type) * 40 + 1e-8;
    const Reals slopes = dy.Get();
    const auto trained = [&](const Reals& a, const Reals& b, const Reals& c, const Reals& d) {
      return problem.Activated(problem.Trained(a, b, c, d));
    };
    dx.Expect(
        Blended(Slopes(xs, slopes, [&](const Reals& at) { return trained(at, zs, scales, biases); }), dx_before, blend),
        loose, "gradient of x");
    dscale.Expect(Blended(Slopes(scales, slopes, [&](const Reals& at) { return trained(xs, zs, at, biases); }),
                          dscale_before, of_parameters),
                  loose, "gradient of the scale");
    dbias.Expect(Blended(Slopes(biases, slopes, [&](const Reals& at) { return trained(xs, zs, scales, at); }),
                         dbias_before, of_parameters),
                 loose, "gradient of the bias");
    if (problem.operations == 2)
      dz.Expect(Slopes(zs, slopes, [&](const Reals& at) { return trained(xs, at, scales, biases); }),
                Tolerance(type) + 1e-8, "gradient of what is added");

    // As if what was measured were known.
    Tensor known(arena, parameter_type, problem.Parameters());
    known.Set(variances);
    DnnNormForwardInference inference{x.operand(),     {},
                                      y.operand(),     scale.tensor(),
                                      mean.tensor(),   scale.address(),
                                      bias.address(),  saved_mean.address(),
                                      known.address(), norm,
                                      kEpsilon,        {}};
    if (problem.operations == 2) inference.z = z.operand();
    MustRun(arena, inference);
    y.Expect(problem.Activated(problem.Formula(xs, zs, scales, biases, saved_mean.Get(), known.Get())),
             Tolerance(type) * 4, "inference");
  }
  EXPECT_GT(compared, 60);
}

TEST(CpuDnnNormalization, GradientsMayLieWhereOperandsDo) {
  Random random(11);
  Arena arena;
  const std::vector<int> dims{3, 2, 2, 2};
  const Tensor x(arena, kFloat, dims, 0, random), dy(arena, kFloat, dims, 0, random), dz(arena, kFloat, dims),
      dx(arena, kFloat, dims), y(arena, kFloat, dims);
  const auto parameter = [&] { return Tensor(arena, kFloat, {1, 2, 1, 1}, 0, random); };
  const Tensor scale = parameter(), bias = parameter(), dscale = parameter(), dbias = parameter();
  const DnnSpace reserve{arena.Take(4), 4};
  DnnNorm norm;
  norm.mode = 1;
  norm.operations = 2;
  norm.activation.mode = 1;
  MustRun(arena, DnnNormForwardTraining{x.operand(),
                                        x.operand(),
                                        y.operand(),
                                        scale.tensor(),
                                        scale.tensor(),
                                        scale.address(),
                                        bias.address(),
                                        0,
                                        0,
                                        0,
                                        0,
                                        norm,
                                        1,
                                        kEpsilon,
                                        {},
                                        {},
                                        reserve});
  DnnNormBackward words{x.operand(),
                        y.operand(),
                        dy.operand(),
                        dz.operand(),
                        dx.operand(),
                        scale.tensor(),
                        scale.tensor(),
                        scale.address(),
                        bias.address(),
                        dscale.address(),
                        dbias.address(),
                        0,
                        0,
                        norm,
                        kEpsilon,
                        {},
                        {},
                        {},
                        reserve};
  MustRun(arena, words);
  const Reals wanted_dx = dx.Get(), wanted_dz = dz.Get();
  words.dz = dy.operand();
  words.dx = x.operand();
  MustRun(arena, words);
  dy.Expect(wanted_dz, 0, "dz over dy");
  x.Expect(wanted_dx, 0, "dx over x");
}

TEST(CpuDnnNormalization, SpoiledCallsHurtNobody) {
  Random random(12);
  Arena arena;
  const std::vector<int> dims{2, 3, 4, 2};
  const Tensor x(arena, kFloat, dims, 0, random), y(arena, kFloat, dims, 1, random), z(arena, kFloat, dims, 0, random);
  const Tensor p(arena, kFloat, {1, 3, 1, 1}, 0, random), q(arena, kFloat, {1, 3, 1, 1}, 0, random);
  const DnnSpace reserve{arena.Take(64), 64};
  DnnNorm norm;
  norm.mode = 1;
  norm.operations = 2;
  norm.activation.mode = 1;
  const std::uint64_t a = p.address(), b = q.address();
  Spoil(arena, DnnNormForwardTraining{x.operand(),
                                      z.operand(),
                                      y.operand(),
                                      p.tensor(),
                                      p.tensor(),
                                      a,
                                      b,
                                      a,
                                      b,
                                      a,
                                      b,
                                      norm,
                                      0.5,
                                      kEpsilon,
                                      {},
                                      {},
                                      reserve});
  Spoil(arena, DnnNormForwardInference{
                   x.operand(), z.operand(), y.operand(), p.tensor(), p.tensor(), a, b, a, b, norm, kEpsilon, {}});
  Spoil(arena, DnnNormBackward{x.operand(),
                               y.operand(),
                               z.operand(),
                               y.operand(),
                               y.operand(),
                               p.tensor(),
                               p.tensor(),
                               a,
                               b,
                               a,
                               b,
                               a,
                               b,
                               norm,
                               kEpsilon,
                               {},
                               {},
                               {},
                               reserve});
  Spoil(arena, DnnNormSizes{2, norm, x.tensor(), {}, {}, {}, {}, {}, {}});
}

}  // namespace
}  // namespace accelmesh
