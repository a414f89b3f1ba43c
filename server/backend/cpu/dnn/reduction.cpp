// Functions that make one element of many.
#include <cmath>

#include "server/backend/cpu/dnn/split.h"
#include "server/backend/cpu/dnn/table.h"

namespace accelmesh::cpu_dnn {
namespace {

// Sums are double's whatever is summed.
template <typename Real, typename Take, typename End>
void Reduce(Context& context, const DnnOperand& from, const DnnOperand& to, const DnnBlend& blend, double first,
            Take take, End end) {
  const View<Real> a = context.In<Real>(from);
  const Output<Real> output(context, to, blend);
  const View<Real>& c = output.view();
  Indices unused{};
  context.Require(Broadcast(c.shape, a.shape, &unused), "a result of other dimensions");
  if (context.failed()) return;
  const Split split(a.shape, [&](int d) { return c.shape.dims[d] == 1; });
  const i64 count = Elements(split.inside());
  Walk<2>(split.outside(), {split.outside().strides, split.Outside(c.shape.strides)}, [&](const Offsets<2>& at) {
    double value = first;
    Walk<1>(split.inside(), {split.inside().strides},
            [&](const Offsets<1>& in) { value = take(value, static_cast<double>(a.data[at[0] + in[0]])); });
    c.data[at[1]] = static_cast<Real>(end(value, static_cast<double>(count)));
  });
  output.Finish();
}

double Same(double value, double /*count*/) { return value; }
double Plus(double sum, double value) { return sum + value; }

void SumBias(Context& context) {
  const auto arguments = context.Arguments<DnnConvolutionBackwardBias>();
  Run(context, arguments.dy.tensor, arguments, [](Context& c, const DnnConvolutionBackwardBias& words, auto real) {
    Reduce<decltype(real)>(c, words.dy, words.db, words.blend, 0, Plus, Same);
  });
}

double Smaller(double a, double b, bool propagates_nan) {
  return propagates_nan && (std::isnan(a) || std::isnan(b)) ? a + b : std::fmin(a, b);
}

void ReduceTensor(Context& context) {
  const auto arguments = context.Arguments<DnnReduceTensor>();
  Run(context, arguments.a.tensor, arguments, [](Context& c, const DnnReduceTensor& words, auto real) {
    using Real = decltype(real);
    const bool propagates_nan = words.propagates_nan == CUDNN_PROPAGATE_NAN;
    const auto reduce = [&](double first, auto take, auto end) {
      Reduce<Real>(c, words.a, words.c, words.blend, first, take, end);
    };
    switch (words.operation) {
      case CUDNN_REDUCE_TENSOR_ADD: return reduce(0, Plus, Same);
      case CUDNN_REDUCE_TENSOR_AVG: return reduce(0, Plus, [](double sum, double count) { return sum / count; });
      case CUDNN_REDUCE_TENSOR_MUL: return reduce(1, [](double all, double value) { return all * value; }, Same);
      case CUDNN_REDUCE_TENSOR_MUL_NO_ZEROS:
        return reduce(1, [](double all, double value) { return value == 0 ? all : all * value; }, Same);
      case CUDNN_REDUCE_TENSOR_MIN:
        return reduce(HUGE_VAL, [&](double all, double value) { return Smaller(all, value, propagates_nan); }, Same);
      case CUDNN_REDUCE_TENSOR_MAX:
        return reduce(
            -HUGE_VAL, [&](double all, double value) { return -Smaller(-all, -value, propagates_nan); }, Same);
      case CUDNN_REDUCE_TENSOR_AMAX:
        return reduce(
            0, [&](double all, double value) { return -Smaller(-all, -std::fabs(value), propagates_nan); }, Same);
      case CUDNN_REDUCE_TENSOR_NORM1:
        return reduce(0, [](double sum, double value) { return sum + std::fabs(value); }, Same);
      case CUDNN_REDUCE_TENSOR_NORM2:
        return reduce(
            0, [](double sum, double value) { return sum + value * value; },
            [](double sum, double) { return std::sqrt(sum); });
      default: return c.Fail(kInvalidValue, "no operation");
    }
  });
}

}  // namespace

void AddReductions(Table& table) {
  table[kDnnFunction<DnnConvolutionBackwardBias>] = &SumBias;
  table[kDnnFunction<DnnReduceTensor>] = &ReduceTensor;
}

}  // namespace accelmesh::cpu_dnn
