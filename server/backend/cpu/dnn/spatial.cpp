// Spatial transformers of images: a grid made of an affine theta, and the images' values at the places of a grid,
// between four pixels. The corners of an image are at -1 and 1; outside of it all is 0.
#include <cmath>
#include <vector>

#include "server/backend/cpu/dnn/table.h"

namespace accelmesh::cpu_dnn {
namespace {

// Of the images: n, c, h, w; nothing else is transformed.
constexpr int kRank = 4;
constexpr int kRows = 2;
constexpr int kColumns = 3;

DnnOperand Flat(const DnnSpatialTransformer& t, std::uint64_t address, std::int32_t a, std::int32_t b, std::int32_t d) {
  DnnOperand operand;
  const i64 stride = i64{a} * b * d;
  operand.tensor.type = t.type;
  // What has no strides in 32 bits is too large anyhow.
  operand.tensor.rank = stride > 0x7fffffff ? 0 : kRank;
  operand.tensor.dims = {t.dims[0], a, b, d};
  operand.tensor.strides = {static_cast<std::int32_t>(stride), static_cast<std::int32_t>(i64{b} * d), d, 1};
  operand.address = address;
  return operand;
}
bool IsKnown(const DnnSpatialTransformer& t) {
  bool is_known = t.rank == kRank && t.sampler == CUDNN_SAMPLER_BILINEAR;
  for (int d = 0; d < kRank; ++d) is_known = is_known && t.dims[d] >= 1 && t.dims[d] <= 1 << 15;
  return is_known;
}
DnnOperand Theta(const DnnSpatialTransformer& t, std::uint64_t address) { return Flat(t, address, 1, kRows, kColumns); }
DnnOperand Grid(const DnnSpatialTransformer& t, std::uint64_t address) {
  return Flat(t, address, t.dims[2], t.dims[3], kRows);
}

// Of place `i` of `count`: from -1 to 1. A single one is in the middle.
double Coordinate(i64 i, i64 count) {
  return count == 1 ? 0 : -1 + 2 * static_cast<double>(i) / static_cast<double>(count - 1);
}

template <typename Visitor>
void ForEachPlace(const DnnSpatialTransformer& t, Visitor visit) {
  for (i64 n = 0; n < t.dims[0]; ++n) {
    for (i64 h = 0; h < t.dims[2]; ++h) {
      for (i64 w = 0; w < t.dims[3]; ++w) visit(n, h, w);
    }
  }
}

void GridForward(Context& context) {
  const auto arguments = context.Arguments<DnnGridForward>();
  DnnTensor type;
  type.type = arguments.transformer.type;
  Run(context, type, arguments, [](Context& c, const DnnGridForward& words, auto real) {
    using Real = decltype(real);
    const DnnSpatialTransformer& t = words.transformer;
    c.Require(IsKnown(t), "no transformer of images");
    if (c.failed()) return;
    const View<Real> theta = c.In<Real>(Theta(t, words.theta));
    const Output<Real> grid(c, Grid(t, words.grid), {});
    if (c.failed()) return;
    Real* to = grid.view().data;
    ForEachPlace(t, [&](i64 n, i64 h, i64 w) {
      const Real* const rows = theta.data + n * kRows * kColumns;
      for (int row = 0; row < kRows; ++row) {
        const Real* const at = rows + row * kColumns;
        *to++ = static_cast<Real>(static_cast<double>(at[0]) * Coordinate(w, t.dims[3]) +
                                  static_cast<double>(at[1]) * Coordinate(h, t.dims[2]) + static_cast<double>(at[2]));
      }
    });
    grid.Finish();
  });
}

void GridBackward(Context& context) {
  const auto arguments = context.Arguments<DnnGridBackward>();
  DnnTensor type;
  type.type = arguments.transformer.type;
  Run(context, type, arguments, [](Context& c, const DnnGridBackward& words, auto real) {
    using Real = decltype(real);
    const DnnSpatialTransformer& t = words.transformer;
    c.Require(IsKnown(t), "no transformer of images");
    if (c.failed()) return;
    const View<Real> slopes = c.In<Real>(Grid(t, words.grid_gradient));
    const Output<Real> theta(c, Theta(t, words.theta_gradient), {});
    if (c.failed()) return;
    std::vector<double> sums(static_cast<std::size_t>(i64{t.dims[0]} * kRows * kColumns));
    const Real* from = slopes.data;
    ForEachPlace(t, [&](i64 n, i64 h, i64 w) {
      double* const rows = sums.data() + n * kRows * kColumns;
      for (int row = 0; row < kRows; ++row) {
        const double slope = static_cast<double>(*from++);
        double* const at = rows + row * kColumns;
        at[0] += slope * Coordinate(w, t.dims[3]);
        at[1] += slope * Coordinate(h, t.dims[2]);
        at[2] += slope;
      }
    });
    for (std::size_t i = 0; i < sums.size(); ++i) theta.view().data[i] = static_cast<Real>(sums[i]);
    theta.Finish();
  });
}

// Where between the pixels of a dimension a place of the grid is.
struct Between {
  i64 first = 0;     // may be outside
  double part = 0;   // of the way to the next
  double slope = 0;  // pixels a unit of the grid

  Between(double coordinate, i64 count) : slope(static_cast<double>(count - 1) / 2) {
    const double pixel = (coordinate + 1) * slope;
    // Far outside, and what is no number, is nowhere.
    if (!(pixel > -2 && pixel < static_cast<double>(count) + 1)) {
      first = -2;
      return;
    }
    first = static_cast<i64>(std::floor(pixel));
    part = pixel - static_cast<double>(first);
  }
};

// The four pixels around a place, of which those that are outside are left out: visit(offset, weight, slope along x,
// slope along y).
template <typename Visitor>
void ForEachPixel(const Shape& image, const Between& x, const Between& y, Visitor visit) {
  for (int a = 0; a < 2; ++a) {
    const i64 row = y.first + a;
    if (row < 0 || row >= image.dims[2]) continue;
    const double of_row = a == 0 ? 1 - y.part : y.part;
    for (int b = 0; b < 2; ++b) {
      const i64 column = x.first + b;
      if (column < 0 || column >= image.dims[3]) continue;
      const double of_column = b == 0 ? 1 - x.part : x.part;
      visit(row * image.strides[2] + column * image.strides[3], of_row * of_column,
            (b == 0 ? -1 : 1) * of_row * x.slope, (a == 0 ? -1 : 1) * of_column * y.slope);
    }
  }
}

// x has any size of images, y that of the transformer.
bool BelongTogether(const DnnSpatialTransformer& t, const Shape& x, const Shape& y) {
  bool fits = IsKnown(t) && x.rank == kRank && y.rank == kRank && x.dims[0] == y.dims[0] && x.dims[1] == y.dims[1];
  for (int d = 0; fits && d < kRank; ++d) fits = y.dims[d] == t.dims[d];
  return fits;
}

void SamplerForward(Context& context) {
  const auto arguments = context.Arguments<DnnSamplerForward>();
  Run(context, arguments.x.tensor, arguments, [](Context& c, const DnnSamplerForward& words, auto real) {
    using Real = decltype(real);
    const DnnSpatialTransformer& t = words.transformer;
    const View<Real> x = c.In<Real>(words.x);
    const Output<Real> output(c, words.y, words.blend);
    const View<Real>& y = output.view();
    c.Require(BelongTogether(t, x.shape, y.shape), "a transformer and tensors of different dimensions");
    if (c.failed()) return;
    const View<Real> grid = c.In<Real>(Grid(t, words.grid));
    if (c.failed()) return;
    const Real* place = grid.data;
    ForEachPlace(t, [&](i64 n, i64 h, i64 w) {
      const Between column(static_cast<double>(place[0]), x.shape.dims[3]);
      const Between row(static_cast<double>(place[1]), x.shape.dims[2]);
      place += kRows;
      for (i64 channel = 0; channel < t.dims[1]; ++channel) {
        const Real* const image = x.data + n * x.shape.strides[0] + channel * x.shape.strides[1];
        double sum = 0;
        ForEachPixel(x.shape, column, row,
                     [&](i64 at, double weight, double, double) { sum += weight * static_cast<double>(image[at]); });
        y.data[n * y.shape.strides[0] + channel * y.shape.strides[1] + h * y.shape.strides[2] +
               w * y.shape.strides[3]] = static_cast<Real>(sum);
      }
    });
    output.Finish();
  });
}

void SamplerBackward(Context& context) {
  const auto arguments = context.Arguments<DnnSamplerBackward>();
  Run(context, arguments.x.tensor, arguments, [](Context& c, const DnnSamplerBackward& words, auto real) {
    using Real = decltype(real);
    const DnnSpatialTransformer& t = words.transformer;
    const View<Real> x = c.In<Real>(words.x), dy = c.In<Real>(words.dy);
    const Output<Real> output(c, words.dx, words.data);
    const View<Real>& dx = output.view();
    c.Require(BelongTogether(t, x.shape, dy.shape) && SameDims(x.shape, dx.shape),
              "a transformer and tensors of different dimensions");
    if (c.failed()) return;
    const View<Real> grid = c.In<Real>(Grid(t, words.grid));
    const Output<Real> slopes(c, Grid(t, words.grid_gradient), words.of_grid);
    if (c.failed()) return;
    const Shape packed = Packed(x.shape);
    std::vector<double> sums(static_cast<std::size_t>(Elements(packed)));
    const Real* place = grid.data;
    Real* slope = slopes.view().data;
    ForEachPlace(t, [&](i64 n, i64 h, i64 w) {
      const Between column(static_cast<double>(place[0]), x.shape.dims[3]);
      const Between row(static_cast<double>(place[1]), x.shape.dims[2]);
      place += kRows;
      double along_x = 0, along_y = 0;
      for (i64 channel = 0; channel < t.dims[1]; ++channel) {
        const double dy_here = static_cast<double>(dy.data[n * dy.shape.strides[0] + channel * dy.shape.strides[1] +
                                                           h * dy.shape.strides[2] + w * dy.shape.strides[3]]);
        double* const sum = sums.data() + n * packed.strides[0] + channel * packed.strides[1];
        ForEachPixel(packed, column, row, [&](i64 at, double weight, double, double) { sum[at] += weight * dy_here; });
        const Real* const image = x.data + n * x.shape.strides[0] + channel * x.shape.strides[1];
        ForEachPixel(x.shape, column, row, [&](i64 at, double, double of_x, double of_y) {
          along_x += dy_here * of_x * static_cast<double>(image[at]);
          along_y += dy_here * of_y * static_cast<double>(image[at]);
        });
      }
      *slope++ = static_cast<Real>(along_x);
      *slope++ = static_cast<Real>(along_y);
    });
    Walk<2>(dx.shape, {packed.strides, dx.shape.strides},
            [&](const Offsets<2>& at) { dx.data[at[1]] = static_cast<Real>(sums[static_cast<std::size_t>(at[0])]); });
    output.Finish();
    slopes.Finish();
  });
}

}  // namespace

void AddSpatial(Table& table) {
  table[kDnnFunction<DnnGridForward>] = &GridForward;
  table[kDnnFunction<DnnGridBackward>] = &GridBackward;
  table[kDnnFunction<DnnSamplerForward>] = &SamplerForward;
  table[kDnnFunction<DnnSamplerBackward>] = &SamplerBackward;
}

}  // namespace accelmesh::cpu_dnn
