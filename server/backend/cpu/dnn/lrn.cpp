// Local response normalisation across channels and divisive normalisation across space, which are one formula:
//
//     y = x * s^-beta        s = k + alpha / places * sum over the window of (x - mean)^2
//
// but for what a window reaches along, and that only the second has means.
#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include "server/backend/cpu/dnn/table.h"

namespace accelmesh::cpu_dnn {
namespace {

constexpr std::int64_t kWindowMax = 16;

// Along which dimensions a window reaches.
struct Reach {
  int first = 0;
  int last = 0;
};

using Numbers = std::vector<double>;  // of a tensor, in the order of its dimensions

template <typename Real>
Numbers Gather(const View<Real>& view) {
  Numbers numbers;
  numbers.reserve(static_cast<std::size_t>(Elements(view.shape)));
  Walk<1>(view.shape, {view.shape.strides},
          [&](const Offsets<1>& at) { numbers.push_back(static_cast<double>(view.data[at[0]])); });
  return numbers;
}
template <typename Real>
void Scatter(const Numbers& numbers, const View<Real>& view) {
  std::size_t i = 0;
  Walk<1>(view.shape, {view.shape.strides},
          [&](const Offsets<1>& at) { view.data[at[0]] = static_cast<Real>(numbers[i++]); });
}

// Replaces each number by the sum from `behind` places before it to `ahead` places after it, along one dimension.
void SumAlong(const Shape& shape, int d, i64 behind, i64 ahead, Numbers* numbers) {
  i64 inner = 1;
  for (int i = d + 1; i < shape.rank; ++i) inner *= shape.dims[i];
  const i64 count = shape.dims[d], total = Elements(shape);
  Numbers line(static_cast<std::size_t>(count));
  for (i64 begin = 0; begin < total; begin += count * inner) {
    for (i64 offset = 0; offset < inner; ++offset) {
      double* const first = numbers->data() + begin + offset;
      for (i64 i = 0; i < count; ++i) line[static_cast<std::size_t>(i)] = first[i * inner];
      for (i64 i = 0; i < count; ++i) {
        double sum = 0;
        for (i64 j = std::max<i64>(i - behind, 0); j <= std::min(i + ahead, count - 1); ++j)
          sum += line[static_cast<std::size_t>(j)];
        first[i * inner] = sum;
      }
    }
  }
}

class Formula {
 public:
  Formula(const DnnLrn& lrn, const Shape& shape, Reach reach) : lrn_(lrn), shape_(shape), reach_(reach) {
    behind_ = (lrn.window - 1) / 2;
    ahead_ = lrn.window - behind_ - 1;
    alpha_ = lrn.alpha / std::pow(static_cast<double>(lrn.window), reach.last - reach.first + 1);
  }
  // s of each place.
  Numbers Scales(const Numbers& x, const Numbers& means) const {
    Numbers scales(x.size());
    for (std::size_t i = 0; i < x.size(); ++i) scales[i] = Apart(x, means, i) * Apart(x, means, i);
    for (int d = reach_.first; d <= reach_.last; ++d) SumAlong(shape_, d, behind_, ahead_, &scales);
    for (double& scale : scales) scale = lrn_.k + alpha_ * scale;
    return scales;
  }
  Numbers Forward(const Numbers& x, const Numbers& means) const {
    Numbers y = Scales(x, means);
    for (std::size_t i = 0; i < x.size(); ++i) y[i] = x[i] * std::pow(y[i], -lrn_.beta);
    return y;
  }
  // The gradient of x and, which is the same but for the first term and the sign, of the means.
  void Backward(const Numbers& x, const Numbers& means, const Numbers& dy, Numbers* dx, Numbers* of_means) const {
    const Numbers scales = Scales(x, means);
    Numbers& shared = *of_means;
    shared.resize(x.size());
    for (std::size_t i = 0; i < x.size(); ++i) shared[i] = dy[i] * x[i] * std::pow(scales[i], -lrn_.beta - 1);
    // From the places whose windows have this one, which is the window turned around.
    for (int d = reach_.first; d <= reach_.last; ++d) SumAlong(shape_, d, ahead_, behind_, &shared);
    dx->resize(x.size());
    for (std::size_t i = 0; i < x.size(); ++i) {
      shared[i] *= 2 * alpha_ * lrn_.beta * Apart(x, means, i);
      (*dx)[i] = dy[i] * std::pow(scales[i], -lrn_.beta) - shared[i];
    }
  }

 private:
  static double Apart(const Numbers& x, const Numbers& means, std::size_t i) {
    return means.empty() ? x[i] : x[i] - means[i];
  }

  const DnnLrn& lrn_;
  const Shape& shape_;
  Reach reach_;
  i64 behind_ = 0;
  i64 ahead_ = 0;
  double alpha_ = 0;
};

void RequireLrn(Context& context, const DnnLrn& lrn, const Shape& shape, int rank_min, int rank_max) {
  context.Require(lrn.window >= 1 && lrn.window <= kWindowMax && shape.rank >= rank_min && shape.rank <= rank_max,
                  "a window or a tensor of another size than the layer has");
}

constexpr Reach kChannels{1, 1};
Reach Space(const Shape& shape) { return {2, shape.rank - 1}; }

void LrnForward(Context& context) {
  const auto arguments = context.Arguments<DnnLrnForward>();
  Run(context, arguments.x.tensor, arguments, [](Context& c, const DnnLrnForward& words, auto real) {
    using Real = decltype(real);
    const View<Real> x = c.In<Real>(words.x);
    const Output<Real> output(c, words.y, words.blend);
    RequireLrn(c, words.lrn, x.shape, 3, kDnnDimensionsMax);
    c.Require(SameDims(x.shape, output.view().shape), "tensors of different dimensions");
    if (c.failed()) return;
    Scatter(Formula(words.lrn, x.shape, kChannels).Forward(Gather(x), {}), output.view());
    output.Finish();
  });
}

void LrnBackward(Context& context) {
  const auto arguments = context.Arguments<DnnLrnBackward>();
  Run(context, arguments.x.tensor, arguments, [](Context& c, const DnnLrnBackward& words, auto real) {
    using Real = decltype(real);
    const View<Real> x = c.In<Real>(words.x), y = c.In<Real>(words.y), dy = c.In<Real>(words.dy);
    const Output<Real> output(c, words.dx, words.blend);
    RequireLrn(c, words.lrn, x.shape, 3, kDnnDimensionsMax);
    c.Require(SameDims(x.shape, y.shape) && SameDims(x.shape, dy.shape) && SameDims(x.shape, output.view().shape),
              "tensors of different dimensions");
    if (c.failed()) return;
    Numbers dx, of_means;
    Formula(words.lrn, x.shape, kChannels).Backward(Gather(x), {}, Gather(dy), &dx, &of_means);
    Scatter(dx, output.view());
    output.Finish();
  });
}

// Where a tensor of x's descriptor lies, which may be left out.
template <typename Real>
Numbers Besides(Context& context, const DnnTensor& tensor, std::uint64_t address) {
  if (address == 0) return {};
  const View<Real> view = context.In<Real>({tensor, address});
  return context.failed() ? Numbers{} : Gather(view);
}

constexpr int kDivisiveRankMin = 4;
constexpr int kDivisiveRankMax = 5;

void DivisiveForward(Context& context) {
  const auto arguments = context.Arguments<DnnDivisiveForward>();
  Run(context, arguments.x.tensor, arguments, [](Context& c, const DnnDivisiveForward& words, auto real) {
    using Real = decltype(real);
    const View<Real> x = c.In<Real>(words.x);
    const Output<Real> output(c, words.y, words.blend);
    RequireLrn(c, words.lrn, x.shape, kDivisiveRankMin, kDivisiveRankMax);
    c.Require(SameDims(x.shape, output.view().shape), "tensors of different dimensions");
    const Numbers means = Besides<Real>(c, words.x.tensor, words.means);
    if (c.failed()) return;
    Scatter(Formula(words.lrn, x.shape, Space(x.shape)).Forward(Gather(x), means), output.view());
    output.Finish();
  });
}

void DivisiveBackward(Context& context) {
  const auto arguments = context.Arguments<DnnDivisiveBackward>();
  Run(context, arguments.x.tensor, arguments, [](Context& c, const DnnDivisiveBackward& words, auto real) {
    using Real = decltype(real);
    const View<Real> x = c.In<Real>(words.x), dy = c.In<Real>({words.x.tensor, words.dy});
    const Output<Real> output(c, words.dx, words.blend);
    RequireLrn(c, words.lrn, x.shape, kDivisiveRankMin, kDivisiveRankMax);
    c.Require(SameDims(x.shape, output.view().shape), "tensors of different dimensions");
    const Numbers means = Besides<Real>(c, words.x.tensor, words.means);
    if (c.failed()) return;
    Numbers dx, of_means;
    Formula(words.lrn, x.shape, Space(x.shape)).Backward(Gather(x), means, Gather(dy), &dx, &of_means);
    if (words.means_gradient != 0) {
      const Output<Real> second(c, {words.dx.tensor, words.means_gradient}, words.blend);
      if (c.failed()) return;
      Scatter(of_means, second.view());
      second.Finish();
    }
    Scatter(dx, output.view());
    output.Finish();
  });
}

}  // namespace

void AddLrn(Table& table) {
  table[kDnnFunction<DnnLrnForward>] = &LrnForward;
  table[kDnnFunction<DnnLrnBackward>] = &LrnBackward;
  table[kDnnFunction<DnnDivisiveForward>] = &DivisiveForward;
  table[kDnnFunction<DnnDivisiveBackward>] = &DivisiveBackward;
}

}  // namespace accelmesh::cpu_dnn
