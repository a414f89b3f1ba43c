#include "server/backend/cpu/dnn/convolution.h"

namespace accelmesh::cpu_dnn {
namespace {

// Walks everything that a convolution multiplies: visit(offset in x, in w, in y).
template <typename Visitor>
void WalkProducts(const Geometry& g, const Shape& x, const Shape& w, const Shape& y, Visitor visit) {
  const i64 channels = w.dims[1], kernels = w.dims[0] / g.groups;
  // Of places and of taps only what lies in space.
  Shape places{g.rank, {}, {}}, taps{g.rank, {}, {}};
  Indices y_strides{}, w_strides{};
  for (int d = 0; d < g.rank; ++d) {
    places.dims[d] = y.dims[d + 2];
    taps.dims[d] = w.dims[d + 2];
    y_strides[d] = y.strides[d + 2];
    w_strides[d] = w.strides[d + 2];
  }
  for (i64 n = 0; n < y.dims[0]; ++n) {
    for (i64 k = 0; k < y.dims[1]; ++k) {
      const i64 first = k / kernels * channels;
      Indices place{};
      Walk<1>(places, {y_strides}, [&](const Offsets<1>& in_y) {
        Indices tap{};
        Walk<1>(taps, {w_strides}, [&](const Offsets<1>& in_w) {
          i64 in_x = n * x.strides[0];
          bool inside = true;
          for (int d = 0; d < g.rank; ++d) {
            const i64 at = place[d] * g.strides[d] - g.pads[d] + tap[d] * g.dilations[d];
            inside = inside && at >= 0 && at < x.dims[d + 2];
            in_x += at * x.strides[d + 2];
          }
          if (inside) {
            for (i64 c = 0; c < channels; ++c) {
              visit(in_x + (first + c) * x.strides[1], k * w.strides[0] + c * w.strides[1] + in_w[0],
                    n * y.strides[0] + k * y.strides[1] + in_y[0]);
            }
          }
          for (int d = g.rank - 1; d >= 0 && ++tap[d] == taps.dims[d]; --d) tap[d] = 0;
        });
        for (int d = g.rank - 1; d >= 0 && ++place[d] == places.dims[d]; --d) place[d] = 0;
      });
    }
  }
}

void Clear(const View<double>& view) {
  Walk<1>(view.shape, {view.shape.strides}, [&](const Offsets<1>& at) { view.data[at[0]] = 0; });
}

}  // namespace

void ConvolvePlainly(Direction direction, const Geometry& geometry, const View<double>& x, const View<double>& w,
                     const View<double>& y) {
  switch (direction) {
    case Direction::kForward:
      Clear(y);
      WalkProducts(geometry, x.shape, w.shape, y.shape,
                   [&](i64 in_x, i64 in_w, i64 in_y) { y.data[in_y] += x.data[in_x] * w.data[in_w]; });
      break;
    case Direction::kData:
      Clear(x);
      WalkProducts(geometry, x.shape, w.shape, y.shape,
                   [&](i64 in_x, i64 in_w, i64 in_y) { x.data[in_x] += y.data[in_y] * w.data[in_w]; });
      break;
    case Direction::kFilter:
      Clear(w);
      WalkProducts(geometry, x.shape, w.shape, y.shape,
                   [&](i64 in_x, i64 in_w, i64 in_y) { w.data[in_w] += x.data[in_x] * y.data[in_y]; });
      break;
  }
}

}  // namespace accelmesh::cpu_dnn
