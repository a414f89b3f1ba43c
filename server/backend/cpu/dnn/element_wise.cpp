// Functions that make each element of a result of one element of each operand.
#include <cmath>

#include "server/backend/cpu/dnn/table.h"

namespace accelmesh::cpu_dnn {
namespace {

// Writes `from`, as large as the result or 1 in each dimension.
template <typename Real>
void Spread(Context& context, const DnnOperand& from, const DnnOperand& to, const DnnBlend& blend, bool may_repeat) {
  const View<Real> a = context.In<Real>(from);
  const Output<Real> output(context, to, blend);
  const View<Real>& c = output.view();
  Indices strides{};
  context.Require(Broadcast(a.shape, c.shape, &strides) && (may_repeat || SameDims(a.shape, c.shape)),
                  "tensors of different dimensions");
  if (context.failed()) return;
  Walk<2>(c.shape, {strides, c.shape.strides}, [&](const Offsets<2>& at) { c.data[at[1]] = a.data[at[0]]; });
  output.Finish();
}

void Add(Context& context) {
  const auto arguments = context.Arguments<DnnAddTensor>();
  Run(context, arguments.c.tensor, arguments, [](Context& c, const DnnAddTensor& words, auto real) {
    Spread<decltype(real)>(c, words.a, words.c, words.blend, true);
  });
}
void Transform(Context& context) {
  const auto arguments = context.Arguments<DnnTransformTensor>();
  Run(context, arguments.y.tensor, arguments, [](Context& c, const DnnTransformTensor& words, auto real) {
    Spread<decltype(real)>(c, words.x, words.y, words.blend, false);
  });
}
void Scale(Context& context) {
  const auto arguments = context.Arguments<DnnScaleTensor>();
  Run(context, arguments.y.tensor, arguments, [](Context& c, const DnnScaleTensor& words, auto real) {
    Spread<decltype(real)>(c, words.y, words.y, {words.alpha, 0}, false);
  });
}

void Set(Context& context) {
  const auto arguments = context.Arguments<DnnSetTensor>();
  Run(context, arguments.y.tensor, arguments, [](Context& c, const DnnSetTensor& words, auto real) {
    using Real = decltype(real);
    const Output<Real> output(c, words.y, {});
    if (c.failed()) return;
    const View<Real>& y = output.view();
    Walk<1>(y.shape, {y.shape.strides}, [&](const Offsets<1>& at) { y.data[at[0]] = static_cast<Real>(words.value); });
    output.Finish();
  });
}

template <typename Real>
Real Smaller(Real a, Real b, bool propagates_nan) {
  if (propagates_nan && (std::isnan(a) || std::isnan(b))) return a + b;
  return std::fmin(a, b);
}

template <typename Real, typename Combine>
void Combined(Context& context, const DnnOpTensor& words, bool has_b, Combine combine) {
  const View<Real> a = context.In<Real>(words.a), b = has_b ? context.In<Real>(words.b) : a;
  const Output<Real> output(context, words.c, {1, words.beta});
  const View<Real>& c = output.view();
  Indices a_strides{}, b_strides{};
  context.Require(Broadcast(a.shape, c.shape, &a_strides) && Broadcast(b.shape, c.shape, &b_strides),
                  "tensors of different dimensions");
  if (context.failed()) return;
  const Real alpha1 = static_cast<Real>(words.alpha1), alpha2 = static_cast<Real>(words.alpha2);
  Walk<3>(c.shape, {a_strides, b_strides, c.shape.strides},
          [&](const Offsets<3>& at) { c.data[at[2]] = combine(alpha1 * a.data[at[0]], alpha2 * b.data[at[1]]); });
  output.Finish();
}

void Operate(Context& context) {
  const auto arguments = context.Arguments<DnnOpTensor>();
  Run(context, arguments.c.tensor, arguments, [](Context& c, const DnnOpTensor& words, auto real) {
    using Real = decltype(real);
    const bool propagates_nan = words.propagates_nan == CUDNN_PROPAGATE_NAN;
    switch (words.operation) {
      case CUDNN_OP_TENSOR_ADD: return Combined<Real>(c, words, true, [](Real a, Real b) { return a + b; });
      case CUDNN_OP_TENSOR_MUL: return Combined<Real>(c, words, true, [](Real a, Real b) { return a * b; });
      case CUDNN_OP_TENSOR_MIN:
        return Combined<Real>(c, words, true, [&](Real a, Real b) { return Smaller(a, b, propagates_nan); });
      case CUDNN_OP_TENSOR_MAX:
        return Combined<Real>(c, words, true, [&](Real a, Real b) { return -Smaller(-a, -b, propagates_nan); });
      case CUDNN_OP_TENSOR_SQRT: return Combined<Real>(c, words, false, [](Real a, Real) { return std::sqrt(a); });
      case CUDNN_OP_TENSOR_NOT: return Combined<Real>(c, words, false, [](Real a, Real) { return 1 - a; });
      default: return c.Fail(kInvalidValue, "no operation");
    }
  });
}

}  // namespace

void AddElementWise(Table& table) {
  table[kDnnFunction<DnnAddTensor>] = &Add;
  table[kDnnFunction<DnnOpTensor>] = &Operate;
  table[kDnnFunction<DnnScaleTensor>] = &Scale;
  table[kDnnFunction<DnnSetTensor>] = &Set;
  table[kDnnFunction<DnnTransformTensor>] = &Transform;
}

}  // namespace accelmesh::cpu_dnn
