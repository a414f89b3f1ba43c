#include "server/backend/cpu/dnn/activation.h"

#include "server/backend/cpu/dnn/table.h"

namespace accelmesh::cpu_dnn {
namespace {

void Forward(Context& context) {
  const auto arguments = context.Arguments<DnnActivationForward>();
  Run(context, arguments.x.tensor, arguments, [](Context& c, const DnnActivationForward& words, auto real) {
    using Real = decltype(real);
    const View<Real> x = c.In<Real>(words.x);
    const Output<Real> output(c, words.y, words.blend);
    const View<Real>& y = output.view();
    c.Require(SameDims(x.shape, y.shape), "tensors of different dimensions");
    if (c.failed()) return;
    WithActivation<Real>(c, words.activation, [&](auto activate) {
      Walk<2>(x.shape, {x.shape.strides, y.shape.strides},
              [&](const Offsets<2>& at) { y.data[at[1]] = activate.Value(x.data[at[0]]); });
    });
    if (!c.failed()) output.Finish();
  });
}

void Backward(Context& context) {
  const auto arguments = context.Arguments<DnnActivationBackward>();
  Run(context, arguments.x.tensor, arguments, [](Context& c, const DnnActivationBackward& words, auto real) {
    using Real = decltype(real);
    const View<Real> y = c.In<Real>(words.y), dy = c.In<Real>(words.dy), x = c.In<Real>(words.x);
    const Output<Real> output(c, words.dx, words.blend);
    const View<Real>& dx = output.view();
    c.Require(SameDims(x.shape, y.shape) && SameDims(x.shape, dy.shape) && SameDims(x.shape, dx.shape),
              "tensors of different dimensions");
    if (c.failed()) return;
    WithActivation<Real>(c, words.activation, [&](auto activate) {
      Walk<4>(x.shape, {x.shape.strides, y.shape.strides, dy.shape.strides, dx.shape.strides},
              [&](const Offsets<4>& at) {
                dx.data[at[3]] = dy.data[at[2]] * activate.Slope(x.data[at[0]], y.data[at[1]]);
              });
    });
    if (!c.failed()) output.Finish();
  });
}

}  // namespace

void AddActivations(Table& table) {
  table[kDnnFunction<DnnActivationForward>] = &Forward;
  table[kDnnFunction<DnnActivationBackward>] = &Backward;
}

}  // namespace accelmesh::cpu_dnn
