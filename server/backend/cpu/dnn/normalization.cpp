// Batch normalisation with what follows it: another tensor that is added, and a ReLU. The reserve has a bit for each
// element, in the order of the tensor's dimensions: whether the ReLU has let it pass.
#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>

#include "server/backend/cpu/dnn/population.h"
#include "server/backend/cpu/dnn/raw.h"
#include "server/backend/cpu/dnn/table.h"

namespace accelmesh::cpu_dnn {
namespace {

constexpr i64 kMaskBits = 32;
i64 MaskWords(const Shape& shape) { return (Elements(shape) + kMaskBits - 1) / kMaskBits; }

bool Adds(const DnnNorm& norm) { return norm.operations == CUDNN_NORM_OPS_NORM_ADD_ACTIVATION; }
bool Activates(const DnnNorm& norm) { return norm.operations != CUDNN_NORM_OPS_NORM; }
bool IsPerActivation(const DnnNorm& norm) { return norm.mode == CUDNN_NORM_PER_ACTIVATION; }

// Null if it can be computed; `status` is cuDNN's if not.
const char* WhyNot(const DnnNorm& norm, std::uint32_t* status) {
  const int last = norm.is_batch != 0 ? CUDNN_BATCHNORM_SPATIAL_PERSISTENT : CUDNN_NORM_PER_CHANNEL;
  *status = CUDNN_STATUS_BAD_PARAM;
  if (norm.mode < 0 || norm.mode > last || norm.operations < CUDNN_NORM_OPS_NORM ||
      norm.operations > CUDNN_NORM_OPS_NORM_ADD_ACTIVATION)
    return "no normalisation";
  *status = CUDNN_STATUS_NOT_SUPPORTED;
  if (norm.groups != 1) return "a normalisation of groups";
  if (Activates(norm) && norm.activation.mode != CUDNN_ACTIVATION_RELU)
    return "a normalisation with another activation than ReLU";
  return nullptr;
}
void RequireNorm(Context& context, const DnnNorm& norm) {
  std::uint32_t status = 0;
  const char* const why_not = WhyNot(norm, &status);
  if (why_not != nullptr) context.Fail(status == CUDNN_STATUS_BAD_PARAM ? kInvalidValue : kNotSupported, why_not);
}

// Where a ReLU let elements pass, by their numbers; none if there is no ReLU.
std::uint32_t* Mask(Context& context, const DnnNorm& norm, const DnnSpace& reserve, const Shape& shape) {
  if (!Activates(norm) || context.failed()) return nullptr;
  return reinterpret_cast<std::uint32_t*>(RawSpace<float>(context, reserve, MaskWords(shape)));
}
bool Passes(const std::uint32_t* mask, i64 element) {
  return mask == nullptr || (mask[element / kMaskBits] >> (element % kMaskBits) & 1) != 0;
}

// Doubles of each population, packed as its parameters.
struct PerPopulation {
  explicit PerPopulation(const Shape& parameters)
      : shape(Packed(parameters)), values(static_cast<std::size_t>(Elements(shape))) {}
  double& operator[](i64 at) { return values[static_cast<std::size_t>(at)]; }
  Shape shape;
  std::vector<double> values;
};

// Strides by which one goes through parameters while going through `x`.
Indices Spread(const Shape& parameters, const Shape& x) {
  Indices strides{};
  (void)Broadcast(parameters, x, &strides);
  return strides;
}

// Whether words of any direction are of a normalisation that can be computed, with parameters of the right type.
template <typename Words>
bool Begins(Context& context, const Words& words) {
  RequireNorm(context, words.norm);
  return HaveRealType(context, words.x.tensor, words.parameters) &&
         HaveRealType(context, words.x.tensor, words.moments);
}

// What both ways forward read and write, beside moments.
template <typename Real>
class Forward {
 public:
  template <typename Words>
  Forward(Context& c, const Words& words)
      : norm_(words.norm),
        x_(c.In<Real>(words.x)),
        z_(Adds(norm_) ? c.In<Real>(words.z) : x_),
        scale_(c.In<Real>({words.parameters, words.scale})),
        bias_(c.In<Real>({words.parameters, words.bias})),
        output_(c, words.y, words.blend) {}
  const View<Real>& x() const { return x_; }
  const Shape& parameters() const { return scale_.shape; }
  bool Fits(const Shape& moments) const {
    return SameDims(x_.shape, output_.view().shape) && SameDims(x_.shape, z_.shape) &&
           SameDims(scale_.shape, moments) && AreParameters(scale_.shape, x_.shape, IsPerActivation(norm_));
  }
  // Each element by the pair of moments, where `moments` has its population's; what `activate` makes of it is kept.
  template <typename MomentsOf, typename Activate>
  void Write(const Shape& moments, MomentsOf moments_of, Activate activate) const {
    const View<Real>& y = output_.view();
    i64 element = 0;
    Walk<5>(x_.shape,
            {x_.shape.strides, y.shape.strides, z_.shape.strides, Spread(scale_.shape, x_.shape),
             Spread(moments, x_.shape)},
            [&](const Offsets<5>& at) {
              const auto [mean, inverse] = moments_of(at[4]);
              double value =
                  static_cast<double>(scale_.data[at[3]]) * (static_cast<double>(x_.data[at[0]]) - mean) * inverse +
                  static_cast<double>(bias_.data[at[3]]);
              if (Adds(norm_)) value += static_cast<double>(z_.data[at[2]]);
              y.data[at[1]] = static_cast<Real>(activate(element++, value));
            });
    output_.Finish();
  }

 private:
  const DnnNorm& norm_;
  View<Real> x_, z_, scale_, bias_;
  Output<Real> output_;
};

void ForwardTraining(Context& context) {
  const auto arguments = context.Arguments<DnnNormForwardTraining>();
  Run(context, arguments.x.tensor, arguments, [](Context& c, const DnnNormForwardTraining& words, auto real) {
    using Real = decltype(real);
    const DnnNorm& norm = words.norm;
    if (!Begins(c, words)) return;
    const Forward<Real> forward(c, words);
    const View<Real>& x = forward.x();
    const KeptMoments<Real> kept(c, words.moments, words);
    const Shape moments = kept.ShapeOr(forward.parameters());
    c.Require(forward.Fits(moments), "tensors of different dimensions");
    std::uint32_t* const mask = Mask(c, norm, words.reserve, x.shape);
    if (c.failed()) return;
    PerPopulation means(forward.parameters()), inverses(forward.parameters());
    const auto split = Populations(x.shape, IsPerActivation(norm));
    const double count = static_cast<double>(Elements(split.inside()));
    Walk<3>(split.outside(),
            {split.outside().strides, split.Outside(moments.strides), split.Outside(means.shape.strides)},
            [&](const Offsets<3>& at) {
              const Moments measured = Measure(x.data + at[0], split.inside(), split.inside().strides);
              means[at[2]] = measured.mean;
              inverses[at[2]] = 1 / std::sqrt(measured.variance + words.epsilon);
              kept.Keep(at[1], measured, count, inverses[at[2]]);
            });
    if (mask != nullptr) std::fill_n(mask, MaskWords(x.shape), 0u);
    forward.Write(
        means.shape, [&](i64 at) { return std::pair(means[at], inverses[at]); },
        [&](i64 element, double value) {
          if (mask == nullptr) return value;
          const bool passes = !(value <= 0);
          if (passes) mask[element / kMaskBits] |= 1u << (element % kMaskBits);
          return passes ? value : 0;
        });
  });
}

void ForwardInference(Context& context) {
  const auto arguments = context.Arguments<DnnNormForwardInference>();
  Run(context, arguments.x.tensor, arguments, [](Context& c, const DnnNormForwardInference& words, auto real) {
    using Real = decltype(real);
    if (!Begins(c, words)) return;
    const Forward<Real> forward(c, words);
    const View<Real> mean = c.In<Real>({words.moments, words.mean}),
                     variance = c.In<Real>({words.moments, words.variance});
    c.Require(forward.Fits(mean.shape), "tensors of different dimensions");
    if (c.failed()) return;
    forward.Write(
        mean.shape,
        [&](i64 at) {
          return std::pair(static_cast<double>(mean.data[at]),
                           1 / std::sqrt(static_cast<double>(variance.data[at]) + words.epsilon));
        },
        [&](i64 /*element*/, double value) { return Activates(words.norm) && value <= 0 ? 0 : value; });
  });
}

void Backward(Context& context) {
  const auto arguments = context.Arguments<DnnNormBackward>();
  Run(context, arguments.x.tensor, arguments, [](Context& c, const DnnNormBackward& words, auto real) {
    using Real = decltype(real);
    const DnnNorm& norm = words.norm;
    if (!Begins(c, words)) return;
    const View<Real> x = c.In<Real>(words.x), dy = c.In<Real>(words.dy);
    const View<Real> scale = c.In<Real>({words.parameters, words.scale});
    const SavedMoments<Real> saved(c, words.moments, words);
    const Output<Real> output(c, words.dx, words.data);
    const Output<Real> gains(c, {words.parameters, words.scale_gradient}, words.parameter);
    const Output<Real> offsets(c, {words.parameters, words.bias_gradient}, words.parameter);
    // Without one to write, dx stands for it.
    std::optional<Output<Real>> added;
    if (Adds(norm)) added.emplace(c, words.dz, DnnBlend{});
    const View<Real>& dx = output.view();
    const View<Real>& dz = added.has_value() ? added->view() : dx;
    const Shape moments = saved.ShapeOr(scale.shape);
    c.Require(SameDims(x.shape, dy.shape) && SameDims(x.shape, dx.shape) && SameDims(x.shape, dz.shape) &&
                  AreParameters(scale.shape, x.shape, IsPerActivation(norm)) && SameDims(scale.shape, moments),
              "tensors of different dimensions");
    const std::uint32_t* const mask = Mask(c, norm, words.reserve, x.shape);
    if (c.failed()) return;
    PerPopulation means(scale.shape), inverses(scale.shape), sums(scale.shape), products(scale.shape);
    const auto split = Populations(x.shape, IsPerActivation(norm));
    const double count = static_cast<double>(Elements(split.inside()));
    Walk<3>(split.outside(),
            {split.outside().strides, split.Outside(moments.strides), split.Outside(means.shape.strides)},
            [&](const Offsets<3>& at) {
              const auto of = saved.Of(at[1], x.data + at[0], split.inside());
              means[at[2]] = of.mean;
              inverses[at[2]] = of.inverse_deviation;
            });
    const Indices spread = Spread(means.shape, x.shape);
    const auto slope = [&](i64 at, i64 element) {
      return Passes(mask, element) ? static_cast<double>(dy.data[at]) : 0.0;
    };
    i64 element = 0;
    Walk<3>(x.shape, {x.shape.strides, dy.shape.strides, spread}, [&](const Offsets<3>& at) {
      const double of_y = slope(at[1], element++);
      sums[at[2]] += of_y;
      products[at[2]] += of_y * (static_cast<double>(x.data[at[0]]) - means[at[2]]) * inverses[at[2]];
    });
    element = 0;
    Walk<6>(
        x.shape,
        {x.shape.strides, dy.shape.strides, dz.shape.strides, dx.shape.strides, spread, Spread(scale.shape, x.shape)},
        [&](const Offsets<6>& at) {
          const double of_y = slope(at[1], element++);
          const double apart = (static_cast<double>(x.data[at[0]]) - means[at[4]]) * inverses[at[4]];
          const double gain = static_cast<double>(scale.data[at[5]]) * inverses[at[4]];
          // Results may lie where operands do: an element is read before it is written.
          if (added.has_value()) dz.data[at[2]] = static_cast<Real>(of_y);
          dx.data[at[3]] = static_cast<Real>(gain * (of_y - (sums[at[4]] + apart * products[at[4]]) / count));
        });
    Walk<3>(scale.shape, {means.shape.strides, gains.view().shape.strides, offsets.view().shape.strides},
            [&](const Offsets<3>& at) {
              gains.view().data[at[1]] = static_cast<Real>(products[at[0]]);
              offsets.view().data[at[2]] = static_cast<Real>(sums[at[0]]);
            });
    // dz before dx, which may lie where it does.
    if (added.has_value()) added->Finish();
    output.Finish();
    gains.Finish();
    offsets.Finish();
  });
}

void Sizes(Context& context) {
  const auto words = context.Arguments<DnnNormSizes>();
  std::uint32_t status = 0;
  if (const char* const why_not = WhyNot(words.norm, &status); why_not != nullptr)
    return context.Refuse(status, why_not);
  if (words.x.rank < 1 || words.x.rank > kDnnDimensionsMax) return context.Refuse(CUDNN_STATUS_BAD_PARAM, "no tensor");
  constexpr i64 kElementsMax = i64{1} << 31;
  i64 elements = 1;
  for (int d = 0; d < words.x.rank; ++d) {
    if (words.x.dims[d] < 1) return context.Refuse(CUDNN_STATUS_BAD_PARAM, "a tensor without elements");
    elements *= words.x.dims[d];
    if (elements > kElementsMax) return context.Refuse(CUDNN_STATUS_NOT_SUPPORTED, "a tensor that is too large");
  }
  constexpr std::int64_t kReserve = 2;
  DnnSize size;
  if (words.what == kReserve && Activates(words.norm))
    size.bytes = static_cast<std::uint64_t>((elements + kMaskBits - 1) / kMaskBits) * sizeof(std::uint32_t);
  context.Answer(ByteView(reinterpret_cast<const std::uint8_t*>(&size), sizeof(size)));
}

}  // namespace

void AddNormalization(Table& table) {
  table[kDnnFunction<DnnNormForwardTraining>] = &ForwardTraining;
  table[kDnnFunction<DnnNormForwardInference>] = &ForwardInference;
  table[kDnnFunction<DnnNormBackward>] = &Backward;
  table[kDnnFunction<DnnNormSizes>] = &Sizes;
}

}  // namespace accelmesh::cpu_dnn
