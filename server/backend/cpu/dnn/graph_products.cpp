// Convolutions, products of matrices and reductions of graphs.
#include <cmath>
#include <limits>

#include "server/backend/cpu/dnn/convolution.h"
#include "server/backend/cpu/dnn/graph.h"
#include "server/backend/cpu/dnn/product.h"

namespace accelmesh::cpu_dnn {
namespace {

// The names of what the three directions have alike.
struct ConvolutionNames {
  Direction direction;
  int convolution, x, w, y, alpha, beta;
};
ConvolutionNames NamesOf(std::uint32_t type) {
  switch (type) {
    case CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR:
      return {Direction::kForward,
              CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
              CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X,
              CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
              CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y,
              CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA,
              CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA};
    case CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR:
      return {Direction::kData,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA};
    default:
      return {Direction::kFilter,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA};
  }
}

// Null, or why these are no convolution.
const char* ReadGeometry(const DnnPlanDescriptor& convolution, const Shape& x, const Shape& w, const Shape& y,
                         Geometry* g) {
  constexpr i64 kStepsMax = 1 << 16;
  const auto pads = convolution.Find(CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS),
             ends = convolution.Find(CUDNN_ATTR_CONVOLUTION_POST_PADDINGS),
             strides = convolution.Find(CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES),
             dilations = convolution.Find(CUDNN_ATTR_CONVOLUTION_DILATIONS);
  const int rank = x.rank - 2;
  const auto size = static_cast<std::size_t>(std::max(rank, 0));
  if (rank < 1 || w.rank != x.rank || y.rank != x.rank || pads.size() != size || ends.size() != size ||
      strides.size() != size || dilations.size() != size)
    return "tensors and a convolution of different dimensions";
  *g = {rank, x.dims[1] / w.dims[1], {}, {}, {}};
  if (x.dims[1] % w.dims[1] != 0 || w.dims[0] % g->groups != 0 || y.dims[0] != x.dims[0] || y.dims[1] != w.dims[0])
    return "channels or images that do not fit";
  for (std::size_t d = 0; d < size; ++d) {
    if (pads[d] < 0 || ends[d] < 0 || strides[d] < 1 || dilations[d] < 1 ||
        std::max({pads[d], ends[d], strides[d], dilations[d]}) > kStepsMax)
      return "no convolution, or one that reaches too far";
    const i64 room = x.dims[d + 2] + pads[d] + ends[d] - (w.dims[d + 2] - 1) * dilations[d] - 1;
    if (room < 0 || y.dims[d + 2] != room / strides[d] + 1) return "a result of another size";
    g->pads[d] = pads[d];
    g->strides[d] = strides[d];
    g->dilations[d] = dilations[d];
  }
  return nullptr;
}

// A copy without gaps, the last dimension innermost.
template <typename Real>
View<Real> InRows(Context& context, const View<Real>& from) {
  const Shape rows = Rows(from.shape);
  const View<Real> copy{context.Scratch<Real>(rows).data, rows};
  Walk<2>(rows, {from.shape.strides, rows.strides}, [&](const Offsets<2>& at) { copy.data[at[1]] = from.data[at[0]]; });
  return copy;
}

}  // namespace

template <typename Real>
void RunGraphConvolution(GraphRun<Real>& run, const DnnPlanDescriptor& operation) {
  const ConvolutionNames names = NamesOf(operation.type);
  const DnnPlanDescriptor& convolution = run.Refers(operation, names.convolution);
  const auto get = [&](int name, Direction made) {
    return names.direction == made ? run.Out(operation, name) : run.In(operation, name);
  };
  const View<Real> x = get(names.x, Direction::kData), w = get(names.w, Direction::kFilter),
                   y = get(names.y, Direction::kForward);
  if (run.context().failed()) return;
  Geometry geometry;
  if (const char* const why = ReadGeometry(convolution, x.shape, w.shape, y.shape, &geometry); why != nullptr)
    return run.context().Fail(kInvalidValue, why);
  if constexpr (std::is_same_v<Real, double>) {
    ConvolvePlainly(names.direction, geometry, x, w, y);
  } else {
    if (const char* const why = WhyNotByOneDnn(geometry); why != nullptr) return run.context().Fail(kNotSupported, why);
    ConvolveByOneDnn(names.direction, geometry, x, w, y);
  }
  const DnnBlend blend{RealOf(operation.Find(names.alpha), 1), RealOf(operation.Find(names.beta), 0)};
  switch (names.direction) {
    case Direction::kForward: return run.Commit(operation, names.y, y, blend);
    case Direction::kData: return run.Commit(operation, names.x, x, blend);
    case Direction::kFilter: return run.Commit(operation, names.w, w, blend);
  }
}

template <typename Real>
void RunMatmul(GraphRun<Real>& run, const DnnPlanDescriptor& operation) {
  View<Real> a = run.In(operation, CUDNN_ATTR_OPERATION_MATMUL_ADESC),
             b = run.In(operation, CUDNN_ATTR_OPERATION_MATMUL_BDESC);
  const View<Real> c = run.Out(operation, CUDNN_ATTR_OPERATION_MATMUL_CDESC);
  if (run.context().failed()) return;
  const int rank = c.shape.rank;
  if (rank < 2 || a.shape.rank != rank || b.shape.rank != rank)
    return run.context().Fail(kInvalidValue, "matrices of different dimensions");
  const auto row = static_cast<std::size_t>(rank - 2), column = row + 1;
  const i64 m = c.shape.dims[row], n = c.shape.dims[column], k = a.shape.dims[column];
  Shape batch = c.shape, a_batch = a.shape, b_batch = b.shape;
  for (Shape* const shape : {&batch, &a_batch, &b_batch}) shape->dims[row] = shape->dims[column] = 1;
  Indices a_strides{}, b_strides{};
  if (a.shape.dims[row] != m || b.shape.dims[row] != k || b.shape.dims[column] != n ||
      !Broadcast(a_batch, batch, &a_strides) || !Broadcast(b_batch, batch, &b_strides))
    return run.context().Fail(kInvalidValue, "matrices that do not fit each other");
  a = InRows(run.context(), a);
  b = InRows(run.context(), b);
  a_batch.strides = a.shape.strides;
  b_batch.strides = b.shape.strides;
  Broadcast(a_batch, batch, &a_strides);
  Broadcast(b_batch, batch, &b_strides);
  const View<Real> product{c.data, Rows(c.shape)};
  Walk<3>(batch, {a_strides, b_strides, product.shape.strides}, [&](const Offsets<3>& at) {
    Multiply(m, n, k, Plain<Real>(a.data + at[0], k), Plain<Real>(b.data + at[1], n), false, product.data + at[2], n);
  });
  run.Commit(operation, CUDNN_ATTR_OPERATION_MATMUL_CDESC, product);
}

template <typename Real>
void RunGraphReduction(GraphRun<Real>& run, const DnnPlanDescriptor& operation) {
  const DnnPlanDescriptor& reduction = run.Refers(operation, CUDNN_ATTR_OPERATION_REDUCTION_DESC);
  const i64 operation_number = reduction.Find(CUDNN_ATTR_REDUCTION_OPERATOR)[0];
  const View<Real> x = run.In(operation, CUDNN_ATTR_OPERATION_REDUCTION_XDESC);
  const View<Real> y = run.Out(operation, CUDNN_ATTR_OPERATION_REDUCTION_YDESC);
  if (run.context().failed()) return;
  Indices strides{};
  if (!Broadcast(y.shape, x.shape, &strides)) return run.context().Fail(kInvalidValue, "a result of other dimensions");
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  const i64 count = Elements(y.shape), each = Elements(x.shape) / count;
  double first = 0;
  double (*add)(double, double) = nullptr;
  switch (operation_number) {
    case CUDNN_REDUCE_TENSOR_ADD:
    case CUDNN_REDUCE_TENSOR_AVG: add = [](double sum, double value) { return sum + value; }; break;
    case CUDNN_REDUCE_TENSOR_MUL:
      first = 1;
      add = [](double sum, double value) { return sum * value; };
      break;
    case CUDNN_REDUCE_TENSOR_MUL_NO_ZEROS:
      first = 1;
      add = [](double sum, double value) { return value == 0 ? sum : sum * value; };
      break;
    case CUDNN_REDUCE_TENSOR_MIN:
      first = kInfinity;
      add = [](double sum, double value) { return value < sum || std::isnan(value) ? value : sum; };
      break;
    case CUDNN_REDUCE_TENSOR_MAX:
      first = -kInfinity;
      add = [](double sum, double value) { return value > sum || std::isnan(value) ? value : sum; };
      break;
    case CUDNN_REDUCE_TENSOR_AMAX:
      add = [](double sum, double value) { return std::abs(value) > sum || std::isnan(value) ? std::abs(value) : sum; };
      break;
    case CUDNN_REDUCE_TENSOR_NORM1: add = [](double sum, double value) { return sum + std::abs(value); }; break;
    case CUDNN_REDUCE_TENSOR_NORM2: add = [](double sum, double value) { return sum + value * value; }; break;
    default: return run.context().Fail(kInvalidValue, "no reduction");
  }
  std::vector<double> sums(static_cast<std::size_t>(count), first);
  Walk<2>(x.shape, {x.shape.strides, strides}, [&](const Offsets<2>& at) {
    double& sum = sums[static_cast<std::size_t>(at[1])];
    sum = add(sum, static_cast<double>(x.data[at[0]]));
  });
  // Out() has no gaps.
  for (i64 i = 0; i < count; ++i) {
    double sum = sums[static_cast<std::size_t>(i)];
    if (operation_number == CUDNN_REDUCE_TENSOR_AVG) sum /= static_cast<double>(each);
    if (operation_number == CUDNN_REDUCE_TENSOR_NORM2) sum = std::sqrt(sum);
    y.data[i] = static_cast<Real>(sum);
  }
  run.Commit(operation, CUDNN_ATTR_OPERATION_REDUCTION_YDESC, y);
}

#define INSTANTIATE(function)                                                       \
  template void function(GraphRun<float>& run, const DnnPlanDescriptor& operation); \
  template void function(GraphRun<double>& run, const DnnPlanDescriptor& operation);
INSTANTIATE(RunGraphConvolution)
INSTANTIATE(RunMatmul)
INSTANTIATE(RunGraphReduction)
#undef INSTANTIATE

}  // namespace accelmesh::cpu_dnn
