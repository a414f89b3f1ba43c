// Spatial transformers against their formulas: each pixel of an image counts as much as the tent over it is high at a
// place of the grid.
#include "tests/unit/server/backend/cpu/dnn/layers.h"

namespace accelmesh {
namespace {

Real Coordinate(int i, int count) { return count == 1 ? 0 : -1 + 2 * static_cast<Real>(i) / (count - 1); }
Real Tent(Real apart) { return std::max<Real>(0, 1 - std::fabs(apart)); }

Reals GridOf(const Reals& theta, int n, int h, int w) {
  Reals grid;
  for (int i = 0; i < n; ++i) {
    for (int y = 0; y < h; ++y) {
      for (int x = 0; x < w; ++x) {
        for (int row = 0; row < 2; ++row) {
          const Real* const at = theta.data() + i * 6 + row * 3;
          grid.push_back(at[0] * Coordinate(x, w) + at[1] * Coordinate(y, h) + at[2]);
        }
      }
    }
  }
  return grid;
}

Reals Sampled(const Reals& x, const std::vector<int>& in, const Reals& grid, const std::vector<int>& out) {
  Reals y;
  const int places = out[2] * out[3];
  for (int n = 0; n < out[0]; ++n) {
    for (int c = 0; c < out[1]; ++c) {
      for (int place = 0; place < places; ++place) {
        const Real* const at = grid.data() + (n * places + place) * 2;
        const Real column = (at[0] + 1) * (in[3] - 1) / 2, row = (at[1] + 1) * (in[2] - 1) / 2;
        Real sum = 0;
        for (int h = 0; h < in[2]; ++h) {
          for (int w = 0; w < in[3]; ++w)
            sum += x[static_cast<std::size_t>(((n * in[1] + c) * in[2] + h) * in[3] + w)] * Tent(row - h) *
                   Tent(column - w);
        }
        y.push_back(sum);
      }
    }
  }
  return y;
}

DnnSpatialTransformer Transformer(int type, const std::vector<int>& out) {
  return {0, type, 4, 0, {out[0], out[1], out[2], out[3]}};
}

constexpr std::array<int, 3> kGridTypes{kFloat, kDouble, kHalf};

TEST(CpuDnnSpatial, Grid) {
  Random random(4);
  for (int round = 0; round < 30; ++round) {
    const int type = kGridTypes[static_cast<std::size_t>(round) % kGridTypes.size()];
    const int n = Pick(random, 1, 3), h = Pick(random, 1, 5), w = Pick(random, 1, 6);
    Arena arena;
    const Tensor theta(arena, type, {n, 2, 3}, 0, random), grid(arena, type, {n, h, w, 2}, 0, random);
    const DnnSpatialTransformer transformer = Transformer(type, {n, 7, h, w});
    const Reals slopes = grid.Get(), thetas = theta.Get();
    MustRun(arena, DnnGridBackward{transformer, grid.address(), theta.address()});
    theta.Expect(Slopes(thetas, slopes, [&](const Reals& at) { return GridOf(at, n, h, w); }), Tolerance(type) * 10,
                 "gradient of theta");
    Tensor again(arena, type, {n, 2, 3}, 0);
    again.Set(thetas);
    MustRun(arena, DnnGridForward{transformer, again.address(), grid.address()});
    grid.Expect(GridOf(thetas, n, h, w), Tolerance(type), "grid");
  }
}

TEST(CpuDnnSpatial, Sampler) {
  Random random(5);
  for (int round = 0; round < 40; ++round) {
    const int type = kGridTypes[static_cast<std::size_t>(round) % kGridTypes.size()];
    const std::vector<int> in{Pick(random, 1, 2), Pick(random, 1, 3), Pick(random, 1, 5), Pick(random, 1, 5)};
    const std::vector<int> out{in[0], in[1], Pick(random, 1, 4), Pick(random, 1, 4)};
    Arena arena;
    const Tensor x(arena, type, in, Pick(random, 0, 2), random), dx(arena, type, in, Pick(random, 0, 2), random);
    const Tensor y(arena, type, out, Pick(random, 0, 2), random), dy(arena, type, out, Pick(random, 0, 2), random);
    Tensor grid(arena, type, {in[0], out[2], out[3], 2}), slope(arena, type, {in[0], out[2], out[3], 2}, 0, random);
    Reals places(grid.count());
    for (Real& place : places) place = Uniform(random) * 1.4L;  // some outside
    grid.Set(places);
    const Reals xs = x.Get(), at = grid.Get(), y_before = y.Get(), dx_before = dx.Get(), slope_before = slope.Get();
    // At a pixel the slope is anybody's.
    bool is_smooth = true;
    for (std::size_t i = 0; i < at.size(); ++i) {
      const Real pixel = (at[i] + 1) * (in[i % 2 == 0 ? 3 : 2] - 1) / 2;
      is_smooth = is_smooth && std::fabs(pixel - std::round(pixel)) > 1e-4L;
    }
    const DnnBlend blend{2, -0.5}, of_grid{-1, 0.5};
    const DnnSpatialTransformer transformer = Transformer(type, out);
    MustRun(arena, DnnSamplerForward{transformer, x.operand(), y.operand(), grid.address(), blend});
    y.Expect(Blended(Sampled(xs, in, at, out), y_before, blend), Tolerance(type), "sampler");
    MustRun(arena, DnnSamplerBackward{transformer, x.operand(), dx.operand(), dy.operand(), grid.address(),
                                      slope.address(), blend, of_grid});
    const Reals slopes = dy.Get();
    const Reals of_x = Slopes(xs, slopes, [&](const Reals& value) { return Sampled(value, in, at, out); });
    dx.Expect(Blended(of_x, dx_before, blend), Tolerance(type) * 4, "gradient of the sampler");
    const Reals of_places = Slopes(at, slopes, [&](const Reals& value) { return Sampled(xs, in, value, out); });
    if (is_smooth) slope.Expect(Blended(of_places, slope_before, of_grid), Tolerance(type) * 4, "gradient of the grid");
  }
}

TEST(CpuDnnSpatial, SpoiledCallsHurtNobody) {
  Random random(6);
  Arena arena;
  const std::vector<int> dims{2, 3, 4, 2};
  const Tensor x(arena, kFloat, dims, 0, random), y(arena, kFloat, dims, 1, random);
  const Tensor grid(arena, kFloat, {2, 4, 2, 2}, 0, random), theta(arena, kFloat, {2, 2, 3}, 0, random);
  const DnnSpatialTransformer transformer = Transformer(kFloat, dims);
  Spoil(arena, DnnGridForward{transformer, theta.address(), grid.address()});
  Spoil(arena, DnnGridBackward{transformer, grid.address(), theta.address()});
  Spoil(arena, DnnSamplerForward{transformer, x.operand(), y.operand(), grid.address(), {}});
  Spoil(arena,
        DnnSamplerBackward{transformer, x.operand(), y.operand(), y.operand(), grid.address(), grid.address(), {}, {}});
}

}  // namespace
}  // namespace accelmesh
