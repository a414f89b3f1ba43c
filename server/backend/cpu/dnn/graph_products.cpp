// Convolutions, products of matrices and reductions of graphs.
#include <cmath>
#include <limits>

#include "server/backend/cpu/dnn/convolution.h"
#include "server/backend/cpu/dnn/graph_operations.h"
#include "server/backend/cpu/dnn/product.h"
#include "server/backend/cpu/dnn/product_onednn.h"

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
template <typename To, typename Real>
View<To> InRows(Context& context, const View<Real>& from) {
  const Shape rows = Rows(from.shape);
  const View<To> copy{context.Scratch<To>(rows).data, rows};
  Walk<2>(rows, {from.shape.strides, rows.strides},
          [&](const Offsets<2>& at) { copy.data[at[1]] = static_cast<To>(from.data[at[0]]); });
  return copy;
}

// How many neighbours of `shape` share one of `of` in a dimension; 0 if they do not come out even. Of attention's heads
// several share one's keys.
i64 ShareOf(const Shape& of, const Shape& shape, int d) {
  return shape.dims[d] % of.dims[d] == 0 ? shape.dims[d] / of.dims[d] : 0;
}
bool Shares(const Shape& of, const Shape& shape) {
  if (of.rank != shape.rank) return false;
  for (int d = 0; d < of.rank; ++d) {
    if (ShareOf(of, shape, d) == 0) return false;
  }
  return true;
}
// Where the one is that an index of `shape` shares.
i64 SharedOffset(const Shape& of, const Shape& shape, const Indices& index) {
  i64 offset = 0;
  for (int d = 0; d < of.rank; ++d) offset += index[d] / ShareOf(of, shape, d) * of.strides[d];
  return offset;
}
// The next index, the last dimension fastest.
void Advance(const Shape& shape, Indices* index) {
  for (int d = shape.rank - 1; d >= 0 && ++(*index)[d] == shape.dims[d]; --d) (*index)[d] = 0;
}

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

// Products of matrices in the last two dimensions; a matrix of a or b may be several of c's.
template <typename T, typename Real>
void MultiplyAll(Context& context, const View<Real>& a_given, const View<Real>& b_given, const View<Real>& c) {
  const auto row = static_cast<std::size_t>(c.shape.rank - 2), column = row + 1;
  const i64 m = c.shape.dims[row], n = c.shape.dims[column], k = a_given.shape.dims[column];
  const View<T> a = InRows<T>(context, a_given), b = InRows<T>(context, b_given);
  View<T> product{nullptr, Rows(c.shape)};
  if constexpr (std::is_same_v<T, Real>) {
    product.data = c.data;
  } else {
    product.data = context.Scratch<T>(product.shape).data;
  }
  Shape batch = product.shape, a_batch = a.shape, b_batch = b.shape;
  for (Shape* const shape : {&batch, &a_batch, &b_batch}) shape->dims[row] = shape->dims[column] = 1;
  Indices index{};
  Walk<1>(batch, {batch.strides}, [&](const Offsets<1>& at) {
    Multiply(m, n, k, Plain<T>(a.data + SharedOffset(a_batch, batch, index), k),
             Plain<T>(b.data + SharedOffset(b_batch, batch, index), n), false, product.data + at[0], n);
    Advance(batch, &index);
  });
  if constexpr (!std::is_same_v<T, Real>) {
    for (i64 i = 0; i < Elements(c.shape); ++i) c.data[i] = static_cast<Real>(product.data[i]);
  }
}

// Null, or why there is no product of matrices in the last two dimensions.
const char* WhyNoMatrices(const Shape& a, const Shape& b, const Shape& c) {
  const int rank = c.rank;
  if (rank < 2 || a.rank != rank || b.rank != rank) return "matrices of different dimensions";
  const auto row = static_cast<std::size_t>(rank - 2), column = row + 1;
  Shape batch = c, a_batch = a, b_batch = b;
  for (Shape* const shape : {&batch, &a_batch, &b_batch}) shape->dims[row] = shape->dims[column] = 1;
  return a.dims[row] == c.dims[row] && b.dims[row] == a.dims[column] && b.dims[column] == c.dims[column] &&
                 Shares(a_batch, batch) && Shares(b_batch, batch)
             ? nullptr
             : "matrices that do not fit each other";
}

template <typename Real>
void RunMatmul(GraphRun<Real>& run, const DnnPlanDescriptor& operation) {
  constexpr int kNames[] = {CUDNN_ATTR_OPERATION_MATMUL_ADESC, CUDNN_ATTR_OPERATION_MATMUL_BDESC,
                            CUDNN_ATTR_OPERATION_MATMUL_CDESC};
  const View<Real> a = run.In(operation, kNames[0]), b = run.In(operation, kNames[1]),
                   c = run.Out(operation, kNames[2]);
  if (run.context().failed()) return;
  if (const char* const why = WhyNoMatrices(a.shape, b.shape, c.shape); why != nullptr)
    return run.context().Fail(kInvalidValue, why);
  const View<Real> product{c.data, Rows(c.shape)};
  // What makes a graph one of doubles may be its masks.
  bool is_narrow = false;
  if constexpr (std::is_same_v<Real, double>) {
    is_narrow = std::all_of(std::begin(kNames), std::end(kNames), [&](int name) {
      const int type = run.TensorAt(operation, name).tensor.type;
      return BitsOfType(type) <= 32 && !IsIntegerType(type);
    });
  }
  if (is_narrow) {
    MultiplyAll<float>(run.context(), a, b, product);
  } else {
    MultiplyAll<Real>(run.context(), a, b, product);
  }
  run.Commit(operation, kNames[2], product);
}

template <typename Real>
void RunGraphReduction(GraphRun<Real>& run, const DnnPlanDescriptor& operation) {
  const DnnPlanDescriptor& reduction = run.Refers(operation, CUDNN_ATTR_OPERATION_REDUCTION_DESC);
  const i64 operation_number = reduction.Find(CUDNN_ATTR_REDUCTION_OPERATOR)[0];
  const View<Real> x = run.In(operation, CUDNN_ATTR_OPERATION_REDUCTION_XDESC);
  const View<Real> y = run.Out(operation, CUDNN_ATTR_OPERATION_REDUCTION_YDESC);
  if (run.context().failed()) return;
  const Shape rows = Rows(y.shape);
  if (!Shares(rows, x.shape)) return run.context().Fail(kInvalidValue, "a result of other dimensions");
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
  Indices index{};
  Walk<1>(x.shape, {x.shape.strides}, [&](const Offsets<1>& at) {
    double& sum = sums[static_cast<std::size_t>(SharedOffset(rows, x.shape, index))];
    sum = add(sum, static_cast<double>(x.data[at[0]]));
    Advance(x.shape, &index);
  });
  std::size_t i = 0;
  Walk<1>(y.shape, {y.shape.strides}, [&](const Offsets<1>& at) {
    double sum = sums[i++];
    if (operation_number == CUDNN_REDUCE_TENSOR_AVG) sum /= static_cast<double>(each);
    if (operation_number == CUDNN_REDUCE_TENSOR_NORM2) sum = std::sqrt(sum);
    y.data[at[0]] = static_cast<Real>(sum);
  });
  run.Commit(operation, CUDNN_ATTR_OPERATION_REDUCTION_YDESC, y);
}

const char* CheckConvolution(const Graph& graph, const DnnPlanDescriptor& operation) {
  const ConvolutionNames names = NamesOf(operation.type);
  const int result = names.direction == Direction::kForward ? names.y
                     : names.direction == Direction::kData  ? names.x
                                                            : names.w;
  if (RealOf(operation.Find(names.beta), 0) != 0 && TensorOf(graph, operation, result)->is_virtual)
    return "a convolution that is added to a virtual tensor, which holds nothing before (its beta)";
  return NumberOf(Refers(graph, operation, names.convolution), CUDNN_ATTR_CONVOLUTION_CONV_MODE, -1) ==
                 CUDNN_CROSS_CORRELATION
             ? nullptr
             : "a convolution whose filter is turned around";
}

const char* CheckMatmul(const Graph& graph, const DnnPlanDescriptor& operation) {
  const DnnPlanDescriptor& matmul = Refers(graph, operation, CUDNN_ATTR_OPERATION_MATMUL_DESC);
  if (RealOf(matmul.Find(CUDNN_ATTR_MATMUL_PADDING_VALUE), 0) != 0)
    return "a product with a padding value (CUDNN_ATTR_MATMUL_PADDING_VALUE)";
  if (NumberOf(operation, CUDNN_ATTR_OPERATION_MATMUL_IRREGULARLY_STRIDED_BATCH_COUNT, 1) != 1)
    return "a product with a count of irregular batches (IRREGULARLY_STRIDED_BATCH_COUNT)";
  return Has(operation, CUDNN_ATTR_OPERATION_MATMUL_GEMM_M_OVERRIDE_DESC) ||
                 Has(operation, CUDNN_ATTR_OPERATION_MATMUL_GEMM_N_OVERRIDE_DESC) ||
                 Has(operation, CUDNN_ATTR_OPERATION_MATMUL_GEMM_K_OVERRIDE_DESC)
             ? "a product whose sizes are overridden"
             : nullptr;
}

const char* CheckReduction(const Graph& graph, const DnnPlanDescriptor& operation) {
  const i64 reduction =
      NumberOf(Refers(graph, operation, CUDNN_ATTR_OPERATION_REDUCTION_DESC), CUDNN_ATTR_REDUCTION_OPERATOR, -1);
  return reduction >= CUDNN_REDUCE_TENSOR_ADD && reduction <= CUDNN_REDUCE_TENSOR_MUL_NO_ZEROS ? nullptr
                                                                                               : "no reduction";
}

}  // namespace

void ConvolveForward(GraphRun<float>& run, const DnnPlanDescriptor& operation, const View<float>& y,
                     const Following& following) {
  const ConvolutionNames names = NamesOf(operation.type);
  const View<float> x = run.In(operation, names.x), w = run.In(operation, names.w);
  if (run.context().failed()) return;
  Geometry geometry;
  if (const char* const why =
          ReadGeometry(run.Refers(operation, names.convolution), x.shape, w.shape, y.shape, &geometry);
      why != nullptr)
    return run.context().Fail(kInvalidValue, why);
  if (const char* const why = WhyNotByOneDnn(geometry); why != nullptr) return run.context().Fail(kNotSupported, why);
  ConvolveByOneDnn(Direction::kForward, geometry, x, w, y, following);
}

void MultiplyMatrices(GraphRun<float>& run, const DnnPlanDescriptor& operation, const View<float>& y,
                      const Following& following) {
  const View<float> a = run.In(operation, CUDNN_ATTR_OPERATION_MATMUL_ADESC),
                    b = run.In(operation, CUDNN_ATTR_OPERATION_MATMUL_BDESC);
  if (run.context().failed()) return;
  if (const char* const why = WhyNoMatrices(a.shape, b.shape, y.shape); why != nullptr)
    return run.context().Fail(kInvalidValue, why);
  MultiplyByOneDnn(InRows<float>(run.context(), a), InRows<float>(run.context(), b), y, following);
}

void AddProducts(std::vector<OperationRow>* rows) {
  for (const int type : {CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR,
                         CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR,
                         CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR}) {
    const ConvolutionNames names = NamesOf(static_cast<std::uint32_t>(type));
    Names reads = {names.x, names.w, names.y};
    const auto made = static_cast<std::size_t>(names.direction == Direction::kForward ? 2
                                               : names.direction == Direction::kData  ? 0
                                                                                      : 1);
    const int result = reads[made];
    reads.erase(reads.begin() + static_cast<std::ptrdiff_t>(made));
    rows->push_back({.type = static_cast<std::uint32_t>(type),
                     .description_name = names.convolution,
                     .description_type = CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR,
                     .required = reads,
                     .optional = {names.alpha, names.beta},
                     .made = {result},
                     .numbers = {names.alpha, names.beta},
                     .places = {},
                     .check = &CheckConvolution,
                     .run_float = &RunGraphConvolution<float>,
                     .run_double = &RunGraphConvolution<double>});
  }
  rows->push_back(
      {.type = CUDNN_BACKEND_OPERATION_MATMUL_DESCRIPTOR,
       .description_name = CUDNN_ATTR_OPERATION_MATMUL_DESC,
       .description_type = CUDNN_BACKEND_MATMUL_DESCRIPTOR,
       .required = {CUDNN_ATTR_OPERATION_MATMUL_ADESC, CUDNN_ATTR_OPERATION_MATMUL_BDESC},
       .optional = {CUDNN_ATTR_OPERATION_MATMUL_IRREGULARLY_STRIDED_BATCH_COUNT,
                    CUDNN_ATTR_OPERATION_MATMUL_GEMM_M_OVERRIDE_DESC, CUDNN_ATTR_OPERATION_MATMUL_GEMM_N_OVERRIDE_DESC,
                    CUDNN_ATTR_OPERATION_MATMUL_GEMM_K_OVERRIDE_DESC},
       .made = {CUDNN_ATTR_OPERATION_MATMUL_CDESC},
       .numbers = {CUDNN_ATTR_OPERATION_MATMUL_IRREGULARLY_STRIDED_BATCH_COUNT},
       .places = {},
       .check = &CheckMatmul,
       .run_float = &RunMatmul<float>,
       .run_double = &RunMatmul<double>});
  rows->push_back({.type = CUDNN_BACKEND_OPERATION_REDUCTION_DESCRIPTOR,
                   .description_name = CUDNN_ATTR_OPERATION_REDUCTION_DESC,
                   .description_type = CUDNN_BACKEND_REDUCTION_DESCRIPTOR,
                   .required = {CUDNN_ATTR_OPERATION_REDUCTION_XDESC},
                   .optional = {},
                   .made = {CUDNN_ATTR_OPERATION_REDUCTION_YDESC},
                   .numbers = {},
                   .places = {},
                   .check = &CheckReduction,
                   .run_float = &RunGraphReduction<float>,
                   .run_double = &RunGraphReduction<double>});
}

}  // namespace accelmesh::cpu_dnn
