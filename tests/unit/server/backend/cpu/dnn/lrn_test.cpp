// Local response and divisive normalisation against their formulas, gradients against differences.
#include "tests/unit/server/backend/cpu/dnn/layers.h"

namespace accelmesh {
namespace {

// Whether place `j` is in the window of place `i`.
bool IsInWindow(int window, int i, int j) {
  const int behind = (window - 1) / 2;
  return j >= i - behind && j <= i + window - 1 - behind;
}

// Places are compared pair by pair: along the channels, or along space.
Reals Normalized(const Reals& x, const Reals& means, const std::vector<int>& dims, bool of_space, const DnnLrn& lrn) {
  const auto index = [&](std::size_t element) {
    std::vector<int> at(dims.size());
    for (std::size_t d = dims.size(); d-- > 0;) {
      at[d] = static_cast<int>(element) % dims[d];
      element /= static_cast<std::size_t>(dims[d]);
    }
    return at;
  };
  const int window = static_cast<int>(lrn.window);
  Reals y(x.size());
  for (std::size_t i = 0; i < x.size(); ++i) {
    const std::vector<int> here = index(i);
    Real sum = 0, places = 1;
    for (std::size_t j = 0; j < x.size(); ++j) {
      const std::vector<int> there = index(j);
      bool is_inside = true;
      for (std::size_t d = 0; d < dims.size(); ++d) {
        const bool reaches = of_space ? d >= 2 : d == 1;
        is_inside = is_inside && (reaches ? IsInWindow(window, here[d], there[d]) : here[d] == there[d]);
      }
      const Real apart = x[j] - (means.empty() ? 0 : means[j]);
      if (is_inside) sum += apart * apart;
    }
    for (std::size_t d = 0; d < dims.size(); ++d) places *= (of_space ? d >= 2 : d == 1) ? window : 1;
    y[i] = x[i] * std::pow(static_cast<Real>(lrn.k) + static_cast<Real>(lrn.alpha) / places * sum,
                           -static_cast<Real>(lrn.beta));
  }
  return y;
}

struct Problem {
  explicit Problem(Random& random, bool of_space) {
    dims = {Pick(random, 1, 2), Pick(random, 1, 7), Pick(random, 1, 4), Pick(random, 1, 3)};
    if (of_space) dims[1] = Pick(random, 1, 3);
    if (of_space && random() % 3 == 0) dims.push_back(Pick(random, 1, 3));
    lrn = {Pick(random, 1, 6), 0.3 + 0.1 * Pick(random, 0, 9), 0.25 * Pick(random, 1, 5), 0.5 * Pick(random, 1, 4)};
    if (random() % 2 == 0) blend = {2, -0.5};
  }
  std::vector<int> dims;
  DnnLrn lrn;
  DnnBlend blend;
};

TEST(CpuDnnLrn, CrossChannel) {
  Random random(1);
  for (int round = 0; round < 60; ++round) {
    const int type = kTypes[static_cast<std::size_t>(round) % kTypes.size()];
    const Problem problem(random, false);
    Arena arena;
    const auto any = [&] { return Tensor(arena, type, problem.dims, Pick(random, 0, 2), random); };
    const Tensor x = any(), y = any(), dy = any(), dx = any();
    const Reals xs = x.Get(), before = y.Get(), gradient_before = dx.Get();
    const auto formula = [&](const Reals& at) { return Normalized(at, {}, problem.dims, false, problem.lrn); };
    MustRun(arena, DnnLrnForward{x.operand(), y.operand(), problem.lrn, problem.blend});
    y.Expect(Blended(formula(xs), before, problem.blend), Tolerance(type), "LRN");
    MustRun(arena, DnnLrnBackward{y.operand(), dy.operand(), x.operand(), dx.operand(), problem.lrn, problem.blend});
    dx.Expect(Blended(Slopes(xs, dy.Get(), formula), gradient_before, problem.blend), Tolerance(type) + 1e-9,
              "gradient of LRN");
  }
}

TEST(CpuDnnLrn, Divisive) {
  Random random(2);
  for (int round = 0; round < 48; ++round) {
    const int type = kTypes[static_cast<std::size_t>(round) % kTypes.size()];
    const Problem problem(random, true);
    Arena arena;
    const int layout = Pick(random, 0, 2);
    const auto any = [&] { return Tensor(arena, type, problem.dims, layout, random); };
    const Tensor x = any(), y = any(), m = any(), dy = any(), dx = any(), dm = any();
    const bool has_means = random() % 2 == 0;
    const Reals xs = x.Get(), means = has_means ? m.Get() : Reals{}, before = y.Get(), dx_before = dx.Get(),
                dm_before = dm.Get();
    const std::uint64_t means_at = has_means ? m.address() : 0;
    MustRun(arena, DnnDivisiveForward{x.operand(), y.operand(), means_at, 0, 0, problem.lrn, problem.blend});
    y.Expect(Blended(Normalized(xs, means, problem.dims, true, problem.lrn), before, problem.blend), Tolerance(type),
             "divisive normalisation");
    MustRun(arena, DnnDivisiveBackward{x.operand(), dx.operand(), means_at, dy.address(), 0, 0, dm.address(),
                                       problem.lrn, problem.blend});
    const Reals slopes = dy.Get();
    const Reals of_x =
        Slopes(xs, slopes, [&](const Reals& at) { return Normalized(at, means, problem.dims, true, problem.lrn); });
    dx.Expect(Blended(of_x, dx_before, problem.blend), Tolerance(type) + 1e-9, "gradient of divisive normalisation");
    const Reals of_means = Slopes(has_means ? means : Reals(xs.size()), slopes,
                                  [&](const Reals& at) { return Normalized(xs, at, problem.dims, true, problem.lrn); });
    dm.Expect(Blended(of_means, dm_before, problem.blend), Tolerance(type) + 1e-9, "gradient of means");
  }
}

TEST(CpuDnnLrn, SpoiledCallsHurtNobody) {
  Random random(3);
  Arena arena;
  const std::vector<int> dims{2, 3, 4, 2};
  const Tensor x(arena, kFloat, dims, 0, random), y(arena, kFloat, dims, 1, random), m(arena, kFloat, dims, 0, random);
  const DnnLrn lrn;
  Spoil(arena, DnnLrnForward{x.operand(), y.operand(), lrn, {2, 1}});
  Spoil(arena, DnnLrnBackward{x.operand(), x.operand(), x.operand(), y.operand(), lrn, {}});
  Spoil(arena, DnnDivisiveForward{x.operand(), y.operand(), m.address(), 0, 0, lrn, {}});
  Spoil(arena, DnnDivisiveBackward{x.operand(), y.operand(), m.address(), x.address(), 0, 0, m.address(), lrn, {}});
}

}  // namespace
}  // namespace accelmesh
