// Convolutions in all three directions against plain loops, over random shapes, strides, paddings, dilations, groups,
// layouts, types and blends; their gradients against differences as well; the bias, its gradient, and what is fused.
#include "tests/unit/server/backend/cpu/dnn/layers.h"

namespace accelmesh {
namespace {

constexpr int kTurned = 0;  // CUDNN_CONVOLUTION: the filter is gone through from its end
constexpr int kIdentity = 5, kRelu = 1;

struct Problem {
  Problem() = default;
  explicit Problem(Random& random, int number) {
    type = kTypes[static_cast<std::size_t>(number) % kTypes.size()];
    const int rank = Pick(random, 0, 4) == 0 ? Pick(random, 0, 1) * 2 + 1 : 2;
    DnnConvolution& c = convolution;
    c.rank = rank;
    c.mode = Pick(random, 0, 1);
    c.groups = Pick(random, 1, 3);
    const int channels = Pick(random, 1, 3), kernels = Pick(random, 1, 3), images = Pick(random, 1, 2);
    x = {images, c.groups * channels};
    w = {c.groups * kernels, channels};
    y = {images, c.groups * kernels};
    for (int d = 0; d < rank; ++d) {
      const auto at = static_cast<std::size_t>(d);
      const int taps = Pick(random, 1, 3), places = Pick(random, 1, 4);
      c.strides[at] = Pick(random, 1, 3);
      c.dilations[at] = Pick(random, 1, 3);
      // Some of x at its end may be what no window reaches.
      const int reach =
          (places - 1) * c.strides[at] + (taps - 1) * c.dilations[at] + 1 + Pick(random, 0, c.strides[at] - 1);
      c.pads[at] = std::min(Pick(random, 0, 2), (reach - 1) / 2);
      x.push_back(reach - 2 * c.pads[at]);
      w.push_back(taps);
      y.push_back(places);
    }
    if (Pick(random, 0, 1) == 0) blend = {0.5 * Pick(random, -3, 3), 0.25 * Pick(random, -4, 4)};
  }
  int type = 0;
  std::vector<int> x, w, y;
  DnnConvolution convolution;
  DnnBlend blend;
};

int Product(const std::vector<int>& dims, std::size_t first) {
  int product = 1;
  for (std::size_t d = first; d < dims.size(); ++d) product *= dims[d];
  return product;
}

// Calls visit(x, w, y) with the numbers of three elements for everything that is multiplied.
template <typename Visitor>
void ForEachProduct(const Problem& p, Visitor visit) {
  const DnnConvolution& c = p.convolution;
  const int places = Product(p.y, 2), taps = Product(p.w, 2), pixels = Product(p.x, 2);
  const int kernels = p.w[0] / c.groups, channels = p.w[1];
  for (int place = 0; place < places; ++place) {
    for (int tap = 0; tap < taps; ++tap) {
      int pixel = 0, scale = 1, rest_place = place, rest_tap = tap;
      bool is_inside = true;
      for (int d = c.rank - 1; d >= 0; --d) {
        const auto at = static_cast<std::size_t>(d);
        const int size = p.x[at + 2], of_tap = rest_tap % p.w[at + 2];
        const int step = c.mode == kTurned ? p.w[at + 2] - 1 - of_tap : of_tap;
        const int in = rest_place % p.y[at + 2] * c.strides[at] - c.pads[at] + step * c.dilations[at];
        is_inside = is_inside && in >= 0 && in < size;
        pixel += in * scale;
        scale *= size;
        rest_place /= p.y[at + 2];
        rest_tap /= p.w[at + 2];
      }
      if (!is_inside) continue;
      for (int n = 0; n < p.x[0]; ++n) {
        for (int k = 0; k < p.w[0]; ++k) {
          for (int channel = 0; channel < channels; ++channel) {
            const int of_x = k / kernels * channels + channel;
            visit(static_cast<std::size_t>((n * p.x[1] + of_x) * pixels + pixel),
                  static_cast<std::size_t>((k * channels + channel) * taps + tap),
                  static_cast<std::size_t>((n * p.w[0] + k) * places + place));
          }
        }
      }
    }
  }
}

Reals Convolved(const Problem& p, const Reals& x, const Reals& w) {
  Reals y(static_cast<std::size_t>(Product(p.y, 0)));
  ForEachProduct(p, [&](std::size_t in_x, std::size_t in_w, std::size_t in_y) { y[in_y] += x[in_x] * w[in_w]; });
  return y;
}

// The algorithm that is answered first, with its workspace.
template <typename Words>
void TakeAlgorithm(Arena& arena, int direction, Words* words) {
  DnnFindAlgorithms question;
  question.direction = direction;
  question.x = words->x.tensor;
  question.w = words->w.tensor;
  question.y = words->y.tensor;
  question.convolution = words->convolution;
  const cpu_blas::Outcome outcome = Execute(arena, question);
  ASSERT_EQ(outcome.status, 0u) << reinterpret_cast<const char*>(outcome.results);
  DnnAlgorithm best;
  ASSERT_GE(outcome.result_bytes, sizeof(best));
  std::memcpy(&best, outcome.results, sizeof(best));
  ASSERT_EQ(best.status, 0);
  words->algorithm = best.algorithm;
  words->workspace_bytes = best.workspace_bytes;
  if (best.workspace_bytes != 0) words->workspace = arena.Take(best.workspace_bytes);
}

TEST(CpuDnnConvolution, AllDirections) {
  Random random(1);
  for (int round = 0; round < 160; ++round) {
    const Problem p(random, round);
    Arena arena;
    const auto any = [&](const std::vector<int>& dims) {
      return Tensor(arena, p.type, dims, Pick(random, 0, 2), random);
    };
    const Tensor x = any(p.x), w = any(p.w), y = any(p.y), dy = any(p.y), dx = any(p.x), dw = any(p.w);
    const Reals xs = x.Get(), ws = w.Get(), slopes = dy.Get();
    const Reals y_before = y.Get(), dx_before = dx.Get(), dw_before = dw.Get();
    Reals to_x(xs.size()), to_w(ws.size());
    ForEachProduct(p, [&](std::size_t in_x, std::size_t in_w, std::size_t in_y) {
      to_x[in_x] += slopes[in_y] * ws[in_w];
      to_w[in_w] += slopes[in_y] * xs[in_x];
    });
    const double tolerance = Tolerance(p.type);
    const auto run = [&](auto words, int direction, const Tensor& x_of, const Tensor& w_of, const Tensor& y_of) {
      words.x = x_of.operand();
      words.w = w_of.operand();
      words.y = y_of.operand();
      words.convolution = p.convolution;
      words.blend = p.blend;
      TakeAlgorithm(arena, direction, &words);
      MustRun(arena, words);
    };
    SCOPED_TRACE("round " + std::to_string(round));
    run(DnnConvolutionForward{}, 0, x, w, y);
    y.Expect(Blended(Convolved(p, xs, ws), y_before, p.blend), tolerance, "convolution");
    run(DnnConvolutionBackwardData{}, 1, dx, w, dy);
    dx.Expect(Blended(to_x, dx_before, p.blend), tolerance, "gradient by the data");
    run(DnnConvolutionBackwardFilter{}, 2, x, dw, dy);
    dw.Expect(Blended(to_w, dw_before, p.blend), tolerance, "gradient by the filter");
    if (HasFatalFailure()) return;
    if (round % 8 != 0) continue;
    // What the loops above turned around, the differences of the way forward say as well.
    const Reals by_x = Slopes(xs, slopes, [&](const Reals& at) { return Convolved(p, at, ws); });
    const Reals by_w = Slopes(ws, slopes, [&](const Reals& at) { return Convolved(p, xs, at); });
    dx.Expect(Blended(by_x, dx_before, p.blend), tolerance + 1e-9, "gradient by the data, by differences");
    dw.Expect(Blended(by_w, dw_before, p.blend), tolerance + 1e-9, "gradient by the filter, by differences");
    if (HasFatalFailure()) return;
  }
}

// Filters of megabytes over few places, which stay as they lie, and next to them those that do not.
TEST(CpuDnnConvolution, LargeFiltersOfFewPlaces) {
  Random random(4);
  const auto problem = [](int kernels, int channels, int taps, int size, int stride) {
    Problem p;
    p.convolution.rank = 2;
    p.convolution.mode = 1;
    p.convolution.groups = 1;
    const int pad = taps / 2, places = (size + 2 * pad - taps) / stride + 1;
    for (std::size_t d = 0; d < 2; ++d) {
      p.convolution.strides[d] = stride;
      p.convolution.dilations[d] = 1;
      p.convolution.pads[d] = pad;
    }
    p.x = {2, channels, size, size};
    p.w = {kernels, channels, taps, taps};
    p.y = {2, kernels, places, places};
    return p;
  };
  struct Case {
    Problem problem;
    int x, w, y;  // layouts
  };
  const Problem wide = problem(512, 256, 3, 2, 1);
  for (const Case& one : {Case{wide, 0, 0, 0}, Case{wide, 1, 0, 0}, Case{wide, 0, 1, 0}, Case{wide, 0, 0, 1},
                          Case{problem(1024, 1024, 1, 3, 2), 0, 0, 0}, Case{problem(1025, 1024, 1, 1, 1), 0, 0, 0}}) {
    const Problem& p = one.problem;
    SCOPED_TRACE(std::to_string(p.w[0]) + " of " + std::to_string(p.w[2]) + "^2, layouts " + std::to_string(one.x) +
                 std::to_string(one.w) + std::to_string(one.y));
    Arena arena(16 << 20);
    const Tensor x(arena, kFloat, p.x, one.x, random), w(arena, kFloat, p.w, one.w, random),
        y(arena, kFloat, p.y, one.y, random), dw(arena, kFloat, p.w, one.w, random);
    const Reals xs = x.Get(), ws = w.Get(), slopes = y.Get();
    Reals to_w(ws.size());
    ForEachProduct(
        p, [&](std::size_t in_x, std::size_t in_w, std::size_t in_y) { to_w[in_w] += slopes[in_y] * xs[in_x]; });
    const auto run = [&](auto words, int direction, const Tensor& w_of) {
      words.x = x.operand();
      words.w = w_of.operand();
      words.y = y.operand();
      words.convolution = p.convolution;
      TakeAlgorithm(arena, direction, &words);
      MustRun(arena, words);
    };
    run(DnnConvolutionBackwardFilter{}, 2, dw);
    dw.Expect(to_w, Tolerance(kFloat), "gradient by the filter");
    run(DnnConvolutionForward{}, 0, w);
    y.Expect(Convolved(p, xs, ws), 10 * Tolerance(kFloat), "convolution");  // sums of a thousand products
    if (HasFatalFailure()) return;
  }
}

TEST(CpuDnnConvolution, WithBiasAndActivation) {
  Random random(2);
  for (int round = 0; round < 60; ++round) {
    const Problem p(random, round);
    Arena arena;
    const auto any = [&](const std::vector<int>& dims) {
      return Tensor(arena, p.type, dims, Pick(random, 0, 2), random);
    };
    std::vector<int> bias_dims(p.y.size(), 1);
    bias_dims[1] = p.y[1];
    const Tensor x = any(p.x), w = any(p.w), y = any(p.y), other = any(p.y), bias = any(bias_dims);
    // Z may be y.
    const Tensor& z = Pick(random, 0, 1) == 0 ? y : other;
    DnnConvolutionBiasActivation words;
    words.call.x = x.operand();
    words.call.w = w.operand();
    words.call.y = y.operand();
    words.call.convolution = p.convolution;
    words.call.blend = p.blend;
    words.z = z.operand();
    words.bias = bias.operand();
    words.activation.mode = round % 2 == 0 ? kRelu : kIdentity;
    TakeAlgorithm(arena, 0, &words.call);
    Reals wanted = Blended(Convolved(p, x.Get(), w.Get()), z.Get(), p.blend);
    const Reals biases = bias.Get();
    const auto places = static_cast<std::size_t>(Product(p.y, 2));
    for (std::size_t i = 0; i < wanted.size(); ++i) {
      wanted[i] += biases[i / places % biases.size()];
      if (words.activation.mode == kRelu) wanted[i] = std::max<Real>(wanted[i], 0);
    }
    MustRun(arena, words);
    y.Expect(wanted, Tolerance(p.type), "convolution, bias and activation");
    if (HasFatalFailure()) return;
  }
}

TEST(CpuDnnConvolution, GradientOfTheBias) {
  Random random(3);
  for (int round = 0; round < 60; ++round) {
    const Problem p(random, round);
    Arena arena;
    std::vector<int> bias_dims(p.y.size(), 1);
    bias_dims[1] = p.y[1];
    const Tensor dy(arena, p.type, p.y, Pick(random, 0, 2), random),
        db(arena, p.type, bias_dims, Pick(random, 0, 2), random);
    const Reals slopes = dy.Get(), before = db.Get();
    Reals sums(before.size());
    const auto places = static_cast<std::size_t>(Product(p.y, 2));
    for (std::size_t i = 0; i < slopes.size(); ++i) sums[i / places % sums.size()] += slopes[i];
    MustRun(arena, DnnConvolutionBackwardBias{dy.operand(), db.operand(), p.blend});
    db.Expect(Blended(sums, before, p.blend), Tolerance(p.type), "gradient of the bias");
    if (HasFatalFailure()) return;
  }
}

}  // namespace
}  // namespace accelmesh
