#include <algorithm>
#include <cmath>

#include "server/backend/cpu/dnn/split.h"
#include "server/backend/cpu/dnn/table.h"

namespace accelmesh::cpu_dnn {
namespace {

// What is one distribution: all of an image, or the channels of one of its places.
auto Distributions(const Shape& shape, int mode) {
  return Split(shape, [mode](int d) { return d == 1 || (d > 1 && mode == CUDNN_SOFTMAX_MODE_INSTANCE); });
}

bool IsKnown(int algorithm, int mode) {
  return algorithm >= CUDNN_SOFTMAX_FAST && algorithm <= CUDNN_SOFTMAX_LOG &&
         (mode == CUDNN_SOFTMAX_MODE_INSTANCE || mode == CUDNN_SOFTMAX_MODE_CHANNEL);
}

void Forward(Context& context) {
  const auto arguments = context.Arguments<DnnSoftmaxForward>();
  Run(context, arguments.x.tensor, arguments, [](Context& c, const DnnSoftmaxForward& words, auto real) {
    using Real = decltype(real);
    const View<Real> x = c.In<Real>(words.x);
    const Output<Real> output(c, words.y, words.blend);
    const View<Real>& y = output.view();
    c.Require(SameDims(x.shape, y.shape) && IsKnown(words.algorithm, words.mode), "no softmax, or other dimensions");
    if (c.failed()) return;
    const auto split = Distributions(x.shape, words.mode);
    const std::array<Indices, 2> inside{split.inside().strides, split.Inside(y.shape.strides)};
    Walk<2>(split.outside(), {split.outside().strides, split.Outside(y.shape.strides)}, [&](const Offsets<2>& at) {
      Real largest = words.algorithm == CUDNN_SOFTMAX_FAST ? Real{0} : -std::numeric_limits<Real>::infinity();
      if (words.algorithm != CUDNN_SOFTMAX_FAST) {
        Walk<1>(split.inside(), {inside[0]},
                [&](const Offsets<1>& in) { largest = std::max(largest, x.data[at[0] + in[0]]); });
      }
      double sum = 0;
      Walk<1>(split.inside(), {inside[0]}, [&](const Offsets<1>& in) {
        sum += std::exp(static_cast<double>(x.data[at[0] + in[0]]) - static_cast<double>(largest));
      });
      const double logarithm = std::log(sum);
      Walk<2>(split.inside(), inside, [&](const Offsets<2>& in) {
        const double shifted = static_cast<double>(x.data[at[0] + in[0]]) - static_cast<double>(largest);
        y.data[at[1] + in[1]] =
            static_cast<Real>(words.algorithm == CUDNN_SOFTMAX_LOG ? shifted - logarithm : std::exp(shifted) / sum);
      });
    });
    output.Finish();
  });
}

void Backward(Context& context) {
  const auto arguments = context.Arguments<DnnSoftmaxBackward>();
  Run(context, arguments.y.tensor, arguments, [](Context& c, const DnnSoftmaxBackward& words, auto real) {
    using Real = decltype(real);
    const View<Real> y = c.In<Real>(words.y), dy = c.In<Real>(words.dy);
    const Output<Real> output(c, words.dx, words.blend);
    const View<Real>& dx = output.view();
    c.Require(SameDims(y.shape, dy.shape) && SameDims(y.shape, dx.shape) && IsKnown(words.algorithm, words.mode),
              "no softmax, or other dimensions");
    if (c.failed()) return;
    const bool is_log = words.algorithm == CUDNN_SOFTMAX_LOG;
    const auto split = Distributions(y.shape, words.mode);
    const std::array<Indices, 3> inside{split.inside().strides, split.Inside(dy.shape.strides),
                                        split.Inside(dx.shape.strides)};
    Walk<3>(
        split.outside(), {split.outside().strides, split.Outside(dy.shape.strides), split.Outside(dx.shape.strides)},
        [&](const Offsets<3>& at) {
          double sum = 0;
          Walk<2>(split.inside(), {inside[0], inside[1]}, [&](const Offsets<2>& in) {
            const double slope = static_cast<double>(dy.data[at[1] + in[1]]);
            sum += is_log ? slope : slope * static_cast<double>(y.data[at[0] + in[0]]);
          });
          Walk<3>(split.inside(), inside, [&](const Offsets<3>& in) {
            const double value = static_cast<double>(y.data[at[0] + in[0]]);
            const double slope = static_cast<double>(dy.data[at[1] + in[1]]);
            dx.data[at[2] + in[2]] = static_cast<Real>(is_log ? slope - std::exp(value) * sum : value * (slope - sum));
          });
        });
    output.Finish();
  });
}

}  // namespace

void AddSoftmax(Table& table) {
  table[kDnnFunction<DnnSoftmaxForward>] = &Forward;
  table[kDnnFunction<DnnSoftmaxBackward>] = &Backward;
}

}  // namespace accelmesh::cpu_dnn
