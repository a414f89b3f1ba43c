#include <algorithm>
#include <cmath>
#include <limits>

#include "server/backend/cpu/dnn/table.h"

namespace accelmesh::cpu_dnn {
namespace {

// What is the same for all windows: space has `rank` dimensions.
struct Windows {
  int rank = 0;
  Shape places;  // of a result's space
  Indices x_dims{};
  i64 volume = 1;
};
// What of a window is inside of x, by its first index.
struct Part {
  Shape shape;  // of rank 0: nothing
  Indices first{};
};

Indices Space(const Indices& values) {
  Indices space{};
  std::copy(values.begin() + 2, values.end(), space.begin());
  return space;
}

// False, and failed(), if the tensors have no windows.
bool FindWindows(Context& context, const DnnPooling& pooling, const Shape& x, const Shape& y, Windows* windows) {
  context.Require(x.rank == y.rank && pooling.rank == x.rank - 2 && pooling.rank >= 1 && x.dims[0] == y.dims[0] &&
                      x.dims[1] == y.dims[1] && pooling.mode >= CUDNN_POOLING_MAX &&
                      pooling.mode <= CUDNN_POOLING_MAX_DETERMINISTIC,
                  "no pooling, or tensors of other images or channels");
  if (context.failed()) return false;
  windows->rank = pooling.rank;
  windows->places = {pooling.rank, Space(y.dims), Space(y.strides)};
  windows->x_dims = Space(x.dims);
  for (int d = 0; d < pooling.rank; ++d) {
    context.Require(pooling.window[d] > 0 && pooling.strides[d] > 0, "no window");
    windows->volume *= std::max(pooling.window[d], 1);
    context.Require(windows->volume < std::numeric_limits<std::int32_t>::max(), "a window that is too large");
    if (context.failed()) return false;
  }
  return true;
}

// Calls visit(offset in y, part) for each place of an image.
template <typename Visitor>
void WalkWindows(const Windows& windows, const DnnPooling& pooling, Visitor visit) {
  Indices place{};
  Walk<1>(windows.places, {windows.places.strides}, [&](const Offsets<1>& in_y) {
    Part part{{windows.rank, {}, {}}, {}};
    for (int d = 0; d < windows.rank; ++d) {
      const i64 begin = place[d] * pooling.strides[d] - pooling.pads[d];
      part.first[d] = std::max<i64>(begin, 0);
      part.shape.dims[d] = std::min<i64>(begin + pooling.window[d], windows.x_dims[d]) - part.first[d];
      if (part.shape.dims[d] <= 0) part.shape.rank = 0;
    }
    visit(in_y[0], part);
    for (int d = windows.rank - 1; d >= 0 && ++place[d] == windows.places.dims[d]; --d) place[d] = 0;
  });
}

i64 FirstOf(const Part& part, const Indices& strides) {
  i64 offset = 0;
  for (int d = 0; d < part.shape.rank; ++d) offset += part.first[d] * strides[d];
  return offset;
}

bool IsMax(const DnnPooling& pooling) {
  return pooling.mode == CUDNN_POOLING_MAX || pooling.mode == CUDNN_POOLING_MAX_DETERMINISTIC;
}
double CountOf(const DnnPooling& pooling, const Windows& windows, const Part& part) {
  if (pooling.mode == CUDNN_POOLING_AVERAGE_COUNT_INCLUDE_PADDING) return static_cast<double>(windows.volume);
  return part.shape.rank == 0 ? 1 : static_cast<double>(Elements(part.shape));
}

// The offsets, in x and in a tensor of other strides, of the first of the largest elements of a part that has some.
template <typename Real>
Offsets<2> Largest(const Real* x, const Part& part, const Indices& x_strides, const Indices& other_strides,
                   bool propagates_nan) {
  const i64 in_x = FirstOf(part, x_strides), in_other = FirstOf(part, other_strides);
  Offsets<2> best{in_x, in_other};
  Walk<2>(part.shape, {x_strides, other_strides}, [&](const Offsets<2>& at) {
    const Real value = x[in_x + at[0]], largest = x[best[0]];
    const bool is_larger = std::isnan(value) ? propagates_nan && !std::isnan(largest)
                                             : value > largest || (std::isnan(largest) && !propagates_nan);
    if (is_larger) best = {in_x + at[0], in_other + at[1]};
  });
  return best;
}

void Forward(Context& context) {
  const auto arguments = context.Arguments<DnnPoolingForward>();
  Run(context, arguments.x.tensor, arguments, [](Context& c, const DnnPoolingForward& words, auto real) {
    using Real = decltype(real);
    const View<Real> x = c.In<Real>(words.x);
    const Output<Real> output(c, words.y, words.blend);
    const View<Real>& y = output.view();
    Windows windows;
    if (c.failed() || !FindWindows(c, words.pooling, x.shape, y.shape, &windows)) return;
    const bool propagates_nan = words.pooling.propagates_nan == CUDNN_PROPAGATE_NAN;
    const Indices strides = Space(x.shape.strides);
    const Shape images{2, x.shape.dims, {}};
    Walk<2>(images, {x.shape.strides, y.shape.strides}, [&](const Offsets<2>& at) {
      WalkWindows(windows, words.pooling, [&](i64 in_y, const Part& part) {
        const Real* const image = x.data + at[0];
        Real& result = y.data[at[1] + in_y];
        if (IsMax(words.pooling)) {
          result = part.shape.rank == 0 ? std::numeric_limits<Real>::lowest()
                                        : image[Largest(image, part, strides, strides, propagates_nan)[0]];
          return;
        }
        const i64 first = FirstOf(part, strides);
        double sum = 0;
        Walk<1>(part.shape, {strides}, [&](const Offsets<1>& in) { sum += static_cast<double>(image[first + in[0]]); });
        result = static_cast<Real>(sum / CountOf(words.pooling, windows, part));
      });
    });
    output.Finish();
  });
}

void Backward(Context& context) {
  const auto arguments = context.Arguments<DnnPoolingBackward>();
  Run(context, arguments.x.tensor, arguments, [](Context& c, const DnnPoolingBackward& words, auto real) {
    using Real = decltype(real);
    const View<Real> x = c.In<Real>(words.x), dy = c.In<Real>(words.dy);
    const Output<Real> output(c, words.dx, words.blend);
    const View<Real>& dx = output.view();
    c.Require(SameDims(x.shape, dx.shape), "tensors of different dimensions");
    Windows windows;
    if (c.failed() || !FindWindows(c, words.pooling, x.shape, dy.shape, &windows)) return;
    const bool propagates_nan = words.pooling.propagates_nan == CUDNN_PROPAGATE_NAN;
    const Indices strides = Space(x.shape.strides), dx_strides = Space(dx.shape.strides);
    Walk<1>(dx.shape, {dx.shape.strides}, [&](const Offsets<1>& at) { dx.data[at[0]] = 0; });
    const Shape images{2, x.shape.dims, {}};
    Walk<3>(images, {x.shape.strides, dy.shape.strides, dx.shape.strides}, [&](const Offsets<3>& at) {
      WalkWindows(windows, words.pooling, [&](i64 in_y, const Part& part) {
        if (part.shape.rank == 0) return;
        const Real slope = dy.data[at[1] + in_y];
        Real* const image = dx.data + at[2];
        if (IsMax(words.pooling)) {
          image[Largest(x.data + at[0], part, strides, dx_strides, propagates_nan)[1]] += slope;
          return;
        }
        const Real share = static_cast<Real>(static_cast<double>(slope) / CountOf(words.pooling, windows, part));
        const i64 first = FirstOf(part, dx_strides);
        Walk<1>(part.shape, {dx_strides}, [&](const Offsets<1>& in) { image[first + in[0]] += share; });
      });
    });
    output.Finish();
  });
}

}  // namespace

void AddPooling(Table& table) {
  table[kDnnFunction<DnnPoolingForward>] = &Forward;
  table[kDnnFunction<DnnPoolingBackward>] = &Backward;
}

}  // namespace accelmesh::cpu_dnn
