// Functions of convolutions.
#include "server/backend/cpu/dnn/convolution.h"

#include <algorithm>

#include "server/backend/cpu/dnn/activation.h"
#include "server/backend/cpu/dnn/table.h"

namespace accelmesh::cpu_dnn {
namespace {

// What oneDNN's kernels multiply with sizes in 32 bits.
constexpr std::int32_t kStepsMax = 1 << 16;

// Null if the words make a convolution that can be computed; `status` is cuDNN's if not.
const char* WhyNot(const DnnTensor& x, const DnnTensor& w, const DnnTensor& y, const DnnConvolution& c, Geometry* g,
                   std::uint32_t* status) {
  *status = CUDNN_STATUS_BAD_PARAM;
  if (x.rank < 3 || x.rank > kDnnDimensionsMax || w.rank != x.rank || y.rank != x.rank || c.rank != x.rank - 2)
    return "tensors and a convolution of different dimensions";
  *g = {c.rank, c.groups, {}, {}, {}};
  if (c.groups < 1 || w.dims[0] % c.groups != 0 || i64{w.dims[1]} * c.groups != x.dims[1])
    return "channels that the groups do not divide";
  if (y.dims[0] != x.dims[0] || y.dims[1] != w.dims[0]) return "a result of other images or channels";
  for (int d = 0; d < c.rank; ++d) {
    g->pads[d] = c.pads[d];
    g->strides[d] = c.strides[d];
    g->dilations[d] = c.dilations[d];
    if (c.pads[d] < 0 || c.strides[d] < 1 || c.dilations[d] < 1) return "no convolution";
    if (std::max({c.pads[d], c.strides[d], c.dilations[d]}) > kStepsMax) return "a convolution that reaches too far";
    const i64 room = i64{x.dims[d + 2]} + 2 * g->pads[d] - (i64{w.dims[d + 2]} - 1) * g->dilations[d] - 1;
    if (room < 0 || y.dims[d + 2] != room / g->strides[d] + 1) return "a result of another size";
  }
  *status = CUDNN_STATUS_NOT_SUPPORTED;
  for (const DnnTensor* tensor : {&x, &w, &y}) {
    if (tensor->type != x.type) return "tensors of different types";
  }
  if (x.type != CUDNN_DATA_FLOAT && x.type != CUDNN_DATA_DOUBLE && x.type != CUDNN_DATA_HALF &&
      x.type != CUDNN_DATA_BFLOAT16)
    return "a type of tensors that the software GPU does not compute with";
  return x.type == CUDNN_DATA_DOUBLE ? nullptr : WhyNotByOneDnn(*g);
}

// A filter that is turned around is one whose space is gone through from the end.
Stored Flipped(Stored stored, const DnnConvolution& convolution) {
  if (convolution.mode != CUDNN_CONVOLUTION || stored.memory == nullptr) return stored;
  i64 last = 0;
  for (int d = 2; d < stored.shape.rank; ++d) {
    last += (stored.shape.dims[d] - 1) * stored.shape.strides[d];
    stored.shape.strides[d] = -stored.shape.strides[d];
  }
  stored.is_flipped = true;
  Visit(stored, [&](auto* first) { stored.memory = first + last; });
  return stored;
}

template <typename Real>
View<Real> Filter(Context& context, const DnnConvolutionCall& call) {
  const Stored stored = Flipped(context.Find(call.w), call.convolution);
  if (stored.memory == nullptr) return {};
  if (stored.is_flipped || stored.type != kStoredAs<Real>) return context.Converted<Real>(stored);
  return {static_cast<Real*>(stored.memory), stored.shape};
}

template <typename Real>
void Convolve(Direction direction, const Geometry& geometry, const View<Real>& x, const View<Real>& w,
              const View<Real>& y) {
  if constexpr (std::is_same_v<Real, double>) {
    ConvolvePlainly(direction, geometry, x, w, y);
  } else {
    ConvolveByOneDnn(direction, geometry, x, w, y);
  }
}

bool CheckCall(Context& context, const DnnConvolutionCall& call, Geometry* geometry) {
  std::uint32_t status = 0;
  const char* const why = WhyNot(call.x.tensor, call.w.tensor, call.y.tensor, call.convolution, geometry, &status);
  if (why != nullptr) context.Fail(status == CUDNN_STATUS_BAD_PARAM ? kInvalidValue : kNotSupported, why);
  return why == nullptr;
}

template <typename Real>
void ConvolveTo(Context& context, Direction direction, const DnnConvolutionCall& call) {
  Geometry geometry;
  if (!CheckCall(context, call, &geometry)) return;
  const auto run = [&](const View<Real>& x, const View<Real>& w, const View<Real>& y, const Output<Real>& output) {
    if (context.failed()) return;
    Convolve(direction, geometry, x, w, y);
    output.Finish();
  };
  switch (direction) {
    case Direction::kForward: {
      const Output<Real> output(context, call.y, call.blend);
      run(context.In<Real>(call.x), Filter<Real>(context, call), output.view(), output);
      break;
    }
    case Direction::kData: {
      const Output<Real> output(context, call.x, call.blend);
      run(output.view(), Filter<Real>(context, call), context.In<Real>(call.y), output);
      break;
    }
    case Direction::kFilter: {
      const Output<Real> output(context, Flipped(context.Find(call.w), call.convolution), call.blend);
      run(context.In<Real>(call.x), output.view(), context.In<Real>(call.y), output);
      break;
    }
  }
}

template <typename Words, Direction kDirection>
void RunConvolution(Context& context) {
  const auto words = context.Arguments<Words>();
  if (context.IsDouble(words.x.tensor)) {
    ConvolveTo<double>(context, kDirection, words);
  } else {
    ConvolveTo<float>(context, kDirection, words);
  }
}

template <typename Real>
void ConvolveAndActivate(Context& context, const DnnConvolutionBiasActivation& words) {
  const DnnConvolutionCall& call = words.call;
  Geometry geometry;
  if (!CheckCall(context, call, &geometry)) return;
  const View<Real> x = context.In<Real>(call.x), w = Filter<Real>(context, call);
  const Output<Real> output(context, call.y, {});
  const View<Real>& y = output.view();
  const bool has_z = call.blend.beta != 0;
  const View<Real> z = has_z ? context.In<Real>(words.z) : View<Real>{}, bias = context.In<Real>(words.bias);
  Indices z_strides{}, bias_strides{};
  context.Require(Broadcast(bias.shape, y.shape, &bias_strides), "a bias of other dimensions");
  context.Require(!has_z || (SameDims(z.shape, y.shape) && Broadcast(z.shape, y.shape, &z_strides)),
                  "a z of other dimensions");
  if (context.failed()) return;
  // Z may be y.
  const View<Real> product = context.Scratch<Real>(y.shape);
  Convolve(Direction::kForward, geometry, x, w, product);
  const Real alpha1 = static_cast<Real>(call.blend.alpha), alpha2 = static_cast<Real>(call.blend.beta);
  WithActivation<Real>(context, words.activation, [&](auto activate) {
    Walk<4>(y.shape, {product.shape.strides, z_strides, bias_strides, y.shape.strides}, [&](const Offsets<4>& at) {
      Real value = alpha1 * product.data[at[0]] + bias.data[at[2]];
      if (has_z) value += alpha2 * z.data[at[1]];
      y.data[at[3]] = activate.Value(value);
    });
  });
  if (!context.failed()) output.Finish();
}

void RunBiasActivation(Context& context) {
  const auto words = context.Arguments<DnnConvolutionBiasActivation>();
  if (context.IsDouble(words.call.x.tensor)) {
    ConvolveAndActivate<double>(context, words);
  } else {
    ConvolveAndActivate<float>(context, words);
  }
}

// Every algorithm of cuDNN's that has no condition on the shape: there is one way to compute them.
void FindAlgorithms(Context& context) {
  const auto words = context.Arguments<DnnFindAlgorithms>();
  Geometry geometry;
  std::uint32_t status = 0;
  if (const char* const why = WhyNot(words.x, words.w, words.y, words.convolution, &geometry, &status); why != nullptr)
    return context.Refuse(status, why);
  std::vector<int> numbers;
  switch (words.direction) {
    case static_cast<i64>(Direction::kForward):
      numbers = {CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_PRECOMP_GEMM, CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_GEMM,
                 CUDNN_CONVOLUTION_FWD_ALGO_GEMM};
      break;
    case static_cast<i64>(Direction::kData):
      numbers = {CUDNN_CONVOLUTION_BWD_DATA_ALGO_1, CUDNN_CONVOLUTION_BWD_DATA_ALGO_0};
      break;
    case static_cast<i64>(Direction::kFilter):
      numbers = {CUDNN_CONVOLUTION_BWD_FILTER_ALGO_1, CUDNN_CONVOLUTION_BWD_FILTER_ALGO_0,
                 CUDNN_CONVOLUTION_BWD_FILTER_ALGO_3};
      break;
    default: return context.Refuse(CUDNN_STATUS_BAD_PARAM, "no direction");
  }
  std::vector<DnnAlgorithm> found;
  for (const int number : numbers) {
    found.push_back({number, CUDNN_STATUS_SUCCESS, CUDNN_DETERMINISTIC, words.convolution.math_type, 0});
  }
  context.Answer(ByteView(reinterpret_cast<const std::uint8_t*>(found.data()), found.size() * sizeof(found[0])));
}

}  // namespace

void AddConvolutions(Table& table) {
  table[kDnnFunction<DnnConvolutionForward>] = &RunConvolution<DnnConvolutionForward, Direction::kForward>;
  table[kDnnFunction<DnnConvolutionBackwardData>] = &RunConvolution<DnnConvolutionBackwardData, Direction::kData>;
  table[kDnnFunction<DnnConvolutionBackwardFilter>] = &RunConvolution<DnnConvolutionBackwardFilter, Direction::kFilter>;
  table[kDnnFunction<DnnConvolutionBiasActivation>] = &RunBiasActivation;
  table[kDnnFunction<DnnFindAlgorithms>] = &FindAlgorithms;
}

}  // namespace accelmesh::cpu_dnn
