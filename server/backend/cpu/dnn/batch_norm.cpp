#include <algorithm>
#include <cmath>

#include "server/backend/cpu/dnn/population.h"
#include "server/backend/cpu/dnn/table.h"

namespace accelmesh::cpu_dnn {
namespace {

bool IsKnown(std::int64_t mode) {
  return mode >= CUDNN_BATCHNORM_PER_ACTIVATION && mode <= CUDNN_BATCHNORM_SPATIAL_PERSISTENT;
}
bool IsPerActivation(std::int64_t mode) { return mode == CUDNN_BATCHNORM_PER_ACTIVATION; }
// One for each population.
bool AreParameters(const Shape& parameters, const Shape& x, std::int64_t mode) {
  return IsKnown(mode) && cpu_dnn::AreParameters(parameters, x, IsPerActivation(mode));
}

void ForwardTraining(Context& context) {
  const auto arguments = context.Arguments<DnnBatchNormForwardTraining>();
  Run(context, arguments.x.tensor, arguments, [](Context& c, const DnnBatchNormForwardTraining& words, auto real) {
    using Real = decltype(real);
    if (!HaveRealType(c, words.x.tensor, words.parameters)) return;
    const View<Real> x = c.In<Real>(words.x);
    const View<Real> scale = c.In<Real>({words.parameters, words.scale}),
                     bias = c.In<Real>({words.parameters, words.bias});
    const KeptMoments<Real> kept(c, words.parameters, words);
    const Output<Real> output(c, words.y, words.blend);
    const View<Real>& y = output.view();
    c.Require(SameDims(x.shape, y.shape) && AreParameters(scale.shape, x.shape, words.mode),
              "tensors of different dimensions");
    if (c.failed()) return;
    const auto split = Populations(x.shape, IsPerActivation(words.mode));
    const Shape& population = split.inside();
    const Indices y_strides = split.Inside(y.shape.strides);
    const double count = static_cast<double>(Elements(population));
    Walk<3>(
        split.outside(), {split.outside().strides, split.Outside(y.shape.strides), split.Outside(scale.shape.strides)},
        [&](const Offsets<3>& at) {
          const Moments moments = Measure(x.data + at[0], population, population.strides);
          const double inverse = 1 / std::sqrt(moments.variance + words.epsilon);
          const double gain = static_cast<double>(scale.data[at[2]]), offset = static_cast<double>(bias.data[at[2]]);
          Walk<2>(population, {population.strides, y_strides}, [&](const Offsets<2>& in) {
            const double apart = static_cast<double>(x.data[at[0] + in[0]]) - moments.mean;
            y.data[at[1] + in[1]] = static_cast<Real>(gain * apart * inverse + offset);
          });
          kept.Keep(at[2], moments, count, inverse);
        });
    output.Finish();
  });
}

void ForwardInference(Context& context) {
  const auto arguments = context.Arguments<DnnBatchNormForwardInference>();
  Run(context, arguments.x.tensor, arguments, [](Context& c, const DnnBatchNormForwardInference& words, auto real) {
    using Real = decltype(real);
    if (!HaveRealType(c, words.x.tensor, words.parameters)) return;
    const View<Real> x = c.In<Real>(words.x);
    const View<Real> scale = c.In<Real>({words.parameters, words.scale}),
                     bias = c.In<Real>({words.parameters, words.bias});
    const View<Real> mean = c.In<Real>({words.parameters, words.mean}),
                     variance = c.In<Real>({words.parameters, words.variance});
    const Output<Real> output(c, words.y, words.blend);
    const View<Real>& y = output.view();
    c.Require(SameDims(x.shape, y.shape) && AreParameters(scale.shape, x.shape, words.mode),
              "tensors of different dimensions");
    if (c.failed()) return;
    Indices strides{};
    Broadcast(scale.shape, x.shape, &strides);
    Walk<3>(x.shape, {x.shape.strides, y.shape.strides, strides}, [&](const Offsets<3>& at) {
      const double inverse = 1 / std::sqrt(static_cast<double>(variance.data[at[2]]) + words.epsilon);
      const double apart = static_cast<double>(x.data[at[0]]) - static_cast<double>(mean.data[at[2]]);
      y.data[at[1]] = static_cast<Real>(static_cast<double>(scale.data[at[2]]) * apart * inverse +
                                        static_cast<double>(bias.data[at[2]]));
    });
    output.Finish();
  });
}

void Backward(Context& context) {
  const auto arguments = context.Arguments<DnnBatchNormBackward>();
  Run(context, arguments.x.tensor, arguments, [](Context& c, const DnnBatchNormBackward& words, auto real) {
    using Real = decltype(real);
    if (!HaveRealType(c, words.x.tensor, words.parameters)) return;
    const View<Real> x = c.In<Real>(words.x), dy = c.In<Real>(words.dy);
    const View<Real> scale = c.In<Real>({words.parameters, words.scale});
    const SavedMoments<Real> saved(c, words.parameters, words);
    const Output<Real> output(c, words.dx, words.data);
    const Output<Real> gains(c, {words.parameters, words.scale_gradient}, words.parameter);
    const Output<Real> offsets(c, {words.parameters, words.bias_gradient}, words.parameter);
    const View<Real>& dx = output.view();
    c.Require(
        SameDims(x.shape, dy.shape) && SameDims(x.shape, dx.shape) && AreParameters(scale.shape, x.shape, words.mode),
        "tensors of different dimensions");
    if (c.failed()) return;
    const auto split = Populations(x.shape, IsPerActivation(words.mode));
    const Shape& population = split.inside();
    const std::array<Indices, 3> inside{population.strides, split.Inside(dy.shape.strides),
                                        split.Inside(dx.shape.strides)};
    const double count = static_cast<double>(Elements(population));
    Walk<5>(split.outside(),
            {split.outside().strides, split.Outside(dy.shape.strides), split.Outside(dx.shape.strides),
             split.Outside(scale.shape.strides), split.Outside(gains.view().shape.strides)},
            [&](const Offsets<5>& at) {
              const auto [mean, inverse] = saved.Of(at[3], x.data + at[0], population);
              double sum = 0, product = 0;
              Walk<2>(population, {inside[0], inside[1]}, [&](const Offsets<2>& in) {
                const double slope = static_cast<double>(dy.data[at[1] + in[1]]);
                sum += slope;
                product += slope * (static_cast<double>(x.data[at[0] + in[0]]) - mean) * inverse;
              });
              const double gain = static_cast<double>(scale.data[at[3]]) * inverse;
              Walk<3>(population, inside, [&](const Offsets<3>& in) {
                const double apart = (static_cast<double>(x.data[at[0] + in[0]]) - mean) * inverse;
                const double slope = static_cast<double>(dy.data[at[1] + in[1]]);
                dx.data[at[2] + in[2]] = static_cast<Real>(gain * (slope - (sum + apart * product) / count));
              });
              gains.view().data[at[4]] = static_cast<Real>(product);
              offsets.view().data[at[4]] = static_cast<Real>(sum);
            });
    output.Finish();
    gains.Finish();
    offsets.Finish();
  });
}

}  // namespace

void AddBatchNorm(Table& table) {
  table[kDnnFunction<DnnBatchNormForwardTraining>] = &ForwardTraining;
  table[kDnnFunction<DnnBatchNormForwardInference>] = &ForwardInference;
  table[kDnnFunction<DnnBatchNormBackward>] = &Backward;
}

}  // namespace accelmesh::cpu_dnn
