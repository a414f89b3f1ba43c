// Tensors that are padded and folded into channels, and the reverse; the matrix of a convolution.
//
// Folded, the places of space that have the same remainders of the folds are channels of their own: those of the first
// remainders first, and among them all channels in their order.
#include <algorithm>

#include "server/backend/cpu/dnn/table.h"

namespace accelmesh::cpu_dnn {
namespace {

constexpr i64 kPadMax = i64{1} << 31;
constexpr i64 kFoldMax = i64{1} << 15;

// Calls visit(index, offset) for each index of a tensor.
template <typename Visitor>
void ForEachIndex(const Shape& shape, Visitor visit) {
  Indices index{};
  Walk<1>(shape, {shape.strides}, [&](const Offsets<1>& at) {
    visit(index, at[0]);
    for (int d = shape.rank - 1; d >= 0; --d) {
      if (++index[d] < shape.dims[d]) break;
      index[d] = 0;
    }
  });
}

// What there is of the words, in 64 bits.
struct Plan {
  int rank = 0;
  bool folds = true;  // or unfolds
  Indices before{};
  Indices steps{};  // of each dimension; 1 but in space
  i64 remainders = 1;
  i64 channels = 0;  // that are not folded
};

Plan PlanOf(Context& context, const DnnTransform& words, const Shape& x) {
  Plan plan;
  plan.rank = words.rank;
  plan.folds = words.direction == CUDNN_TRANSFORM_FOLD;
  context.Require(words.rank == x.rank && x.rank >= 2, "a transform and tensors of different dimensions");
  if (context.failed()) return plan;
  plan.steps.fill(1);
  for (int d = 0; d < x.rank; ++d) {
    plan.before[d] = words.before[d];
    if (d < 2) continue;
    // A fold of 0 is none.
    plan.steps[d] = std::max(words.folds[d - 2], 1);
    plan.remainders *= plan.steps[d];
    context.Require(plan.remainders <= kFoldMax, "a fold that is too large");
    if (context.failed()) return plan;
  }
  const i64 padded = x.dims[1] + (plan.folds ? i64{words.before[1]} + words.after[1] : 0);
  plan.channels = plan.folds ? padded : (x.dims[1] + plan.remainders - 1) / plan.remainders;
  context.Require(plan.channels >= 1 && padded < kPadMax, "a transform that leaves no channel");
  return plan;
}

// The element of x that is element `y` of the result; false if it is padding.
bool Source(const Plan& plan, const Shape& x, const Indices& y, Indices* source) {
  Indices& at = *source;
  if (plan.folds) {
    at = y;
    i64 remainder = y[1] / plan.channels;
    if (remainder >= plan.remainders) return false;
    at[1] = y[1] % plan.channels;
    for (int d = plan.rank - 1; d >= 2; --d) {
      at[d] = y[d] * plan.steps[d] + remainder % plan.steps[d];
      remainder /= plan.steps[d];
    }
    for (int d = 0; d < plan.rank; ++d) at[d] -= plan.before[d];
  } else {
    for (int d = 0; d < plan.rank; ++d) at[d] = y[d] - plan.before[d];
    if (at[1] < 0 || at[1] >= plan.channels) return false;
    i64 remainder = 0;
    for (int d = 2; d < plan.rank; ++d) {
      if (at[d] < 0) return false;
      remainder = remainder * plan.steps[d] + at[d] % plan.steps[d];
      at[d] /= plan.steps[d];
    }
    at[1] += remainder * plan.channels;
  }
  for (int d = 0; d < plan.rank; ++d) {
    if (at[d] < 0 || at[d] >= x.dims[d]) return false;
  }
  return true;
}

template <typename Words>
void Transform(Context& context) {
  const auto arguments = context.Arguments<Words>();
  Run(context, arguments.y.tensor, arguments, [](Context& c, const Words& words, auto real) {
    using Real = decltype(real);
    const View<Real> x = c.In<Real>(words.x);
    const Output<Real> output(c, words.y, words.blend);
    const View<Real>& y = output.view();
    c.Require(x.shape.rank == y.shape.rank, "tensors of different dimensions");
    if (c.failed()) return;
    const Plan plan = PlanOf(c, words.transform, x.shape);
    if (c.failed()) return;
    ForEachIndex(y.shape, [&](const Indices& index, i64 to) {
      Indices source{};
      Real value{};
      if (Source(plan, x.shape, index, &source)) {
        i64 from = 0;
        for (int d = 0; d < plan.rank; ++d) from += source[d] * x.shape.strides[d];
        value = x.data[from];
      }
      y.data[to] = value;
    });
    output.Finish();
  });
}

constexpr std::int32_t kStepsMax = 1 << 16;

void Im2Col(Context& context) {
  const auto arguments = context.Arguments<DnnIm2Col>();
  Run(context, arguments.x.tensor, arguments, [](Context& c, const DnnIm2Col& words, auto real) {
    using Real = decltype(real);
    const View<Real> x = c.In<Real>(words.x);
    const DnnConvolution& convolution = words.convolution;
    c.Require(words.w.rank == x.shape.rank && x.shape.rank >= 3 && convolution.rank == x.shape.rank - 2 &&
                  words.w.dims[1] == x.shape.dims[1],
              "tensors and a convolution of different dimensions");
    if (c.failed()) return;
    // Of the matrix, as a tensor of the images and places, then the channels and the filter's places.
    Shape places{1 + convolution.rank, {x.shape.dims[0]}, {}}, filter{1 + convolution.rank, {x.shape.dims[1]}, {}};
    i64 rows = places.dims[0], columns = filter.dims[0];
    constexpr i64 kElementsMax = 0x7fffffff;
    for (int d = 0; d < convolution.rank; ++d) {
      const i64 pad = convolution.pads[d], step = convolution.strides[d], dilation = convolution.dilations[d];
      const i64 size = words.w.dims[d + 2];
      c.Require(pad >= 0 && step >= 1 && dilation >= 1 && size >= 1 && pad <= kStepsMax && step <= kStepsMax &&
                    dilation <= kStepsMax,
                "no convolution");
      const i64 room = x.shape.dims[d + 2] + 2 * pad - (size - 1) * dilation - 1;
      c.Require(room >= 0, "a filter that is larger than the images");
      if (c.failed()) return;
      places.dims[d + 1] = room / step + 1;
      filter.dims[d + 1] = size;
      rows *= places.dims[d + 1];
      columns *= size;
      c.Require(rows <= kElementsMax && columns <= kElementsMax && rows * columns <= kElementsMax,
                "a matrix that is too large");
      if (c.failed()) return;
    }
    DnnOperand matrix;
    matrix.tensor.type = words.x.tensor.type;
    matrix.tensor.rank = 2;
    matrix.tensor.dims = {static_cast<std::int32_t>(rows), static_cast<std::int32_t>(columns)};
    matrix.tensor.strides = {static_cast<std::int32_t>(columns), 1};
    matrix.address = words.columns;
    const Output<Real> output(c, matrix, {});
    if (c.failed()) return;
    Real* to = output.view().data;
    ForEachIndex(places, [&](const Indices& place, i64) {
      ForEachIndex(filter, [&](const Indices& element, i64) {
        i64 from = place[0] * x.shape.strides[0] + element[0] * x.shape.strides[1];
        bool is_inside = true;
        for (int d = 0; d < convolution.rank; ++d) {
          const i64 at =
              place[d + 1] * convolution.strides[d] - convolution.pads[d] + element[d + 1] * convolution.dilations[d];
          is_inside = is_inside && at >= 0 && at < x.shape.dims[d + 2];
          from += at * x.shape.strides[d + 2];
        }
        *to++ = is_inside ? x.data[from] : Real{};
      });
    });
    output.Finish();
  });
}

}  // namespace

void AddTensorTransform(Table& table) {
  table[kDnnFunction<DnnTransformEx>] = &Transform<DnnTransformEx>;
  table[kDnnFunction<DnnTransformFilter>] = &Transform<DnnTransformFilter>;
  table[kDnnFunction<DnnIm2Col>] = &Im2Col;
}

}  // namespace accelmesh::cpu_dnn
