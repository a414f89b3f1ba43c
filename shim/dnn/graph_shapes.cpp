// What NVIDIA's library checks of a description, or of an operation's tensors, when it is finalised, before any graph
// is made of it. A tensor that was not set has no dimensions, there as here.
#include <algorithm>
#include <cmath>

#include "shim/dnn/graph.h"

namespace accelmesh::dnn {
namespace {

using Dims = std::vector<std::int64_t>;

// Of a tensor that an operation has: finalised, with as many strides as dimensions.
const Dims& DimsOf(const GraphState& operation, int name) {
  static const Dims none;
  const GraphState::Reference tensor = operation.Refers(name);
  return tensor == nullptr ? none : tensor->Words(CUDNN_ATTR_TENSOR_DIMENSIONS);
}
std::size_t RankOf(const GraphState& operation, int name) { return DimsOf(operation, name).size(); }
cudnnStatus_t BadUnless(bool holds) { return holds ? CUDNN_STATUS_SUCCESS : CUDNN_STATUS_BAD_PARAM; }
cudnnStatus_t MismatchIf(bool differs) {
  return differs ? CUDNN_STATUS_BAD_PARAM_SHAPE_MISMATCH : CUDNN_STATUS_SUCCESS;
}
bool AllAtLeast(std::int64_t least, const Dims& words) {
  return std::all_of(words.begin(), words.end(), [least](std::int64_t word) { return word >= least; });
}

cudnnStatus_t CheckTensor(const GraphState& tensor) {
  std::int64_t bytes = 1;
  switch (tensor.Number(CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_DATA_FLOAT)) {
    case CUDNN_DATA_DOUBLE:
    case CUDNN_DATA_INT64: bytes = 8; break;
    case CUDNN_DATA_FLOAT:
    case CUDNN_DATA_UINT32:
    case CUDNN_DATA_INT32: bytes = 4; break;
    case CUDNN_DATA_HALF:
    case CUDNN_DATA_BFLOAT16: bytes = 2; break;
    case CUDNN_DATA_INT8:
    case CUDNN_DATA_UINT8:
    case CUDNN_DATA_BOOLEAN:
    case CUDNN_DATA_FP8_E4M3:
    case CUDNN_DATA_FP8_E5M2:
    case CUDNN_DATA_FP8_E8M0:
    case CUDNN_DATA_FP4_E2M1:
    case CUDNN_DATA_INT4:
    case CUDNN_DATA_UINT4: break;
    case CUDNN_DATA_INT8x4:
    case CUDNN_DATA_UINT8x4:
    case CUDNN_DATA_INT8x32: return CUDNN_STATUS_NOT_SUPPORTED;
    default: return CUDNN_STATUS_BAD_PARAM;
  }
  const Dims &dims = tensor.Words(CUDNN_ATTR_TENSOR_DIMENSIONS), &strides = tensor.Words(CUDNN_ATTR_TENSOR_STRIDES);
  const std::int64_t alignment = tensor.Number(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT);
  return BadUnless(dims.size() == strides.size() && dims.size() <= CUDNN_DIM_MAX && AllAtLeast(0, dims) &&
                   AllAtLeast(0, strides) && alignment > 0 && alignment % bytes == 0);
}

constexpr std::size_t kDimsBesideSpace = 2;  // images and channels

cudnnStatus_t CheckConvolution(const GraphState& convolution) {
  const std::int64_t spatial = convolution.Number(CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS);
  const auto fits = [&](int name, std::int64_t least) {
    const Dims& words = convolution.Words(name);
    return static_cast<std::int64_t>(words.size()) == spatial && AllAtLeast(least, words);
  };
  const auto is_padding = [&](int name) { return convolution.Words(name).empty() || fits(name, 0); };
  return BadUnless(spatial >= 1 && spatial <= static_cast<std::int64_t>(CUDNN_DIM_MAX - kDimsBesideSpace) &&
                   fits(CUDNN_ATTR_CONVOLUTION_DILATIONS, 1) && fits(CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, 1) &&
                   is_padding(CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS) && is_padding(CUDNN_ATTR_CONVOLUTION_POST_PADDINGS));
}

// Of every direction: x is what a convolution forward reads, y what it makes.
cudnnStatus_t CheckConvolved(const GraphState& operation, int convolution_name, int x_name, int w_name, int y_name) {
  const GraphState::Reference convolution = operation.Refers(convolution_name);
  const Dims &x = DimsOf(operation, x_name), &w = DimsOf(operation, w_name), &y = DimsOf(operation, y_name);
  const Dims &before = convolution->Words(CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS),
             &after = convolution->Words(CUDNN_ATTR_CONVOLUTION_POST_PADDINGS),
             &strides = convolution->Words(CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES),
             &dilations = convolution->Words(CUDNN_ATTR_CONVOLUTION_DILATIONS);
  const std::size_t rank = strides.size() + kDimsBesideSpace;
  if (x.size() != rank || w.size() != rank || y.size() != rank) return CUDNN_STATUS_BAD_PARAM;
  if (x[0] != y[0] || y[1] != w[0] || w[1] == 0 || x[1] % w[1] != 0) return CUDNN_STATUS_BAD_PARAM;
  const std::int64_t groups = x[1] / w[1];
  if (groups == 0 || w[0] % groups != 0) return CUDNN_STATUS_BAD_PARAM;
  for (std::size_t d = 0; d < strides.size(); ++d) {
    const std::int64_t image = x[d + kDimsBesideSpace], filter = w[d + kDimsBesideSpace];
    // Nobody computes with numbers above; products of those below fit.
    constexpr std::int64_t kMost = std::int64_t{1} << 31;
    if (std::max({image, filter, before[d], after[d], strides[d], dilations[d]}) >= kMost)
      return CUDNN_STATUS_BAD_PARAM;
    const std::int64_t beside = image + before[d] + after[d] - ((filter - 1) * dilations[d] + 1);
    if (beside < 0 || beside / strides[d] + 1 != y[d + kDimsBesideSpace]) return CUDNN_STATUS_BAD_PARAM;
  }
  return CUDNN_STATUS_SUCCESS;
}

// Which tensors a mode reads and makes have as many dimensions; that none has any is no error.
cudnnStatus_t CheckPointwise(const GraphState& operation) {
  const GraphState::Reference pointwise = operation.Refers(CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR);
  std::int64_t mode = CUDNN_POINTWISE_ADD;
  if (pointwise != nullptr) mode = pointwise->Number(CUDNN_ATTR_POINTWISE_MODE, mode);
  const std::size_t x = RankOf(operation, CUDNN_ATTR_OPERATION_POINTWISE_XDESC),
                    b = RankOf(operation, CUDNN_ATTR_OPERATION_POINTWISE_BDESC),
                    y = RankOf(operation, CUDNN_ATTR_OPERATION_POINTWISE_YDESC),
                    dx = RankOf(operation, CUDNN_ATTR_OPERATION_POINTWISE_DXDESC),
                    dy = RankOf(operation, CUDNN_ATTR_OPERATION_POINTWISE_DYDESC),
                    t = RankOf(operation, CUDNN_ATTR_OPERATION_POINTWISE_TDESC);
  switch (mode) {
    case CUDNN_POINTWISE_ADD:
    case CUDNN_POINTWISE_ADD_SQUARE:
    case CUDNN_POINTWISE_DIV:
    case CUDNN_POINTWISE_MAX:
    case CUDNN_POINTWISE_MIN:
    case CUDNN_POINTWISE_MOD:
    case CUDNN_POINTWISE_MUL:
    case CUDNN_POINTWISE_POW:
    case CUDNN_POINTWISE_SUB:
    case CUDNN_POINTWISE_ATAN2:
    case CUDNN_POINTWISE_CMP_EQ:
    case CUDNN_POINTWISE_CMP_NEQ:
    case CUDNN_POINTWISE_CMP_GT:
    case CUDNN_POINTWISE_CMP_GE:
    case CUDNN_POINTWISE_CMP_LT:
    case CUDNN_POINTWISE_CMP_LE:
    case CUDNN_POINTWISE_LOGICAL_AND:
    case CUDNN_POINTWISE_LOGICAL_OR: return BadUnless(x == b && x == y);
    case CUDNN_POINTWISE_BINARY_SELECT: return BadUnless(x != 0 && x == b && x == y && x == t);
    case CUDNN_POINTWISE_GEN_INDEX: return CUDNN_STATUS_SUCCESS;
    default: break;
  }
  if (mode >= CUDNN_POINTWISE_RELU_BWD && mode <= CUDNN_POINTWISE_GELU_APPROX_TANH_BWD)
    return BadUnless(dx == dy && (x == dx || y == dx));
  const bool is_unary = (mode >= CUDNN_POINTWISE_ADD && mode <= CUDNN_POINTWISE_RECIPROCAL) ||
                        (mode >= CUDNN_POINTWISE_RELU_FWD && mode <= CUDNN_POINTWISE_GELU_APPROX_TANH_FWD) ||
                        mode == CUDNN_POINTWISE_LOGICAL_NOT;
  return BadUnless(!is_unary || x == y);
}

cudnnStatus_t CheckMatmul(const GraphState& operation) {
  const Dims &a = DimsOf(operation, CUDNN_ATTR_OPERATION_MATMUL_ADESC),
             &b = DimsOf(operation, CUDNN_ATTR_OPERATION_MATMUL_BDESC),
             &c = DimsOf(operation, CUDNN_ATTR_OPERATION_MATMUL_CDESC);
  constexpr std::size_t kMatrix = 2;
  const std::size_t rank = c.size();
  if (a.size() != rank || b.size() != rank) return CUDNN_STATUS_NOT_SUPPORTED;
  if (rank < kMatrix || a[rank - 1] != b[rank - 2] || a[rank - 2] != c[rank - 2] || b[rank - 1] != c[rank - 1])
    return CUDNN_STATUS_BAD_PARAM;
  for (std::size_t d = 0; d + kMatrix < rank; ++d) {
    const auto [less, more] = std::minmax(a[d], b[d]);
    if (c[d] != more || less == 0 || more % less != 0) return CUDNN_STATUS_BAD_PARAM;
  }
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t CheckReduced(const GraphState& operation) {
  const Dims &x = DimsOf(operation, CUDNN_ATTR_OPERATION_REDUCTION_XDESC),
             &y = DimsOf(operation, CUDNN_ATTR_OPERATION_REDUCTION_YDESC);
  return BadUnless(std::equal(x.begin(), x.end(), y.begin(), y.end(),
                              [](std::int64_t of, std::int64_t to) { return to > 0 && of % to == 0; }));
}

cudnnStatus_t CheckReshaped(const GraphState& operation) {
  const auto elements = [&operation](int name) {
    double product = 1;
    for (const std::int64_t size : DimsOf(operation, name)) product *= static_cast<double>(size);
    return product;
  };
  return BadUnless(elements(CUDNN_ATTR_OPERATION_RESHAPE_XDESC) == elements(CUDNN_ATTR_OPERATION_RESHAPE_YDESC));
}

cudnnStatus_t CheckNormForward(const GraphState& operation) {
  const Dims &x = DimsOf(operation, CUDNN_ATTR_OPERATION_NORM_FWD_XDESC),
             &y = DimsOf(operation, CUDNN_ATTR_OPERATION_NORM_FWD_YDESC),
             &mean = DimsOf(operation, CUDNN_ATTR_OPERATION_NORM_FWD_MEAN_DESC),
             &scale = DimsOf(operation, CUDNN_ATTR_OPERATION_NORM_FWD_SCALE_DESC),
             &bias = DimsOf(operation, CUDNN_ATTR_OPERATION_NORM_FWD_BIAS_DESC);
  if (x.empty() && y.empty()) return CUDNN_STATUS_BAD_PARAM;
  if (x != y) return CUDNN_STATUS_BAD_PARAM_SHAPE_MISMATCH;
  const GraphState::Reference epsilon = operation.Refers(CUDNN_ATTR_OPERATION_NORM_FWD_EPSILON_DESC);
  const bool is_training =
      operation.Number(CUDNN_ATTR_OPERATION_NORM_FWD_PHASE, CUDNN_NORM_FWD_INFERENCE) != CUDNN_NORM_FWD_INFERENCE;
  if (epsilon == nullptr ? is_training : epsilon->Number(CUDNN_ATTR_TENSOR_IS_BY_VALUE) == 0)
    return CUDNN_STATUS_BAD_PARAM;
  if (!bias.empty() && scale.empty()) return CUDNN_STATUS_BAD_PARAM;
  return MismatchIf((!bias.empty() && bias != scale) ||
                    (!mean.empty() && mean != DimsOf(operation, CUDNN_ATTR_OPERATION_NORM_FWD_INV_VARIANCE_DESC)));
}

cudnnStatus_t CheckNormBackward(const GraphState& operation) {
  const Dims &x = DimsOf(operation, CUDNN_ATTR_OPERATION_NORM_BWD_XDESC),
             &mean = DimsOf(operation, CUDNN_ATTR_OPERATION_NORM_BWD_MEAN_DESC),
             &scale = DimsOf(operation, CUDNN_ATTR_OPERATION_NORM_BWD_SCALE_DESC),
             &dscale = DimsOf(operation, CUDNN_ATTR_OPERATION_NORM_BWD_DSCALE_DESC),
             &dbias = DimsOf(operation, CUDNN_ATTR_OPERATION_NORM_BWD_DBIAS_DESC);
  const bool is_of_squares = operation.Number(CUDNN_ATTR_OPERATION_NORM_BWD_MODE, CUDNN_LAYER_NORM) == CUDNN_RMS_NORM;
  if (mean.empty() != is_of_squares || scale.empty() || dscale.empty()) return CUDNN_STATUS_BAD_PARAM;
  return MismatchIf(x.empty() || x != DimsOf(operation, CUDNN_ATTR_OPERATION_NORM_BWD_DYDESC) ||
                    x != DimsOf(operation, CUDNN_ATTR_OPERATION_NORM_BWD_DXDESC) || scale != dscale ||
                    (!dbias.empty() && dbias != scale) ||
                    (!is_of_squares && mean != DimsOf(operation, CUDNN_ATTR_OPERATION_NORM_BWD_INV_VARIANCE_DESC)));
}

cudnnStatus_t CheckAttention(const GraphState& operation, int q_name, int k_name, int v_name, int o_name) {
  constexpr std::size_t kRank = 4;
  const Dims &q = DimsOf(operation, q_name), &k = DimsOf(operation, k_name), &v = DimsOf(operation, v_name),
             &o = DimsOf(operation, o_name);
  return BadUnless(q.size() == kRank && k.size() == kRank && v.size() == kRank && o.size() == kRank && k[3] == q[3] &&
                   o[3] == v[3]);
}

cudnnStatus_t CheckBand(const GraphState& operation, int band_name, int matrix_name, int lower, int upper,
                        int axis_name) {
  const Dims &band = DimsOf(operation, band_name), &matrix = DimsOf(operation, matrix_name);
  const std::int64_t axis = operation.Number(axis_name);
  if (band.size() != matrix.size() || axis < 0 || axis >= static_cast<std::int64_t>(band.size()))
    return CUDNN_STATUS_BAD_PARAM;
  for (std::size_t d = 0; d < band.size(); ++d) {
    if (static_cast<std::int64_t>(d) != axis && band[d] != matrix[d]) return CUDNN_STATUS_BAD_PARAM_SHAPE_MISMATCH;
  }
  const auto wrap = [&operation](int name) { return static_cast<std::uint64_t>(operation.Number(name)); };
  return BadUnless(wrap(lower) + wrap(upper) + 1 == static_cast<std::uint64_t>(band[static_cast<std::size_t>(axis)]));
}

cudnnStatus_t CheckPages(const GraphState& operation) {
  const Dims &container = DimsOf(operation, CUDNN_ATTR_OPERATION_PAGED_CACHE_LOAD_CONTAINER_DESC),
             &y = DimsOf(operation, CUDNN_ATTR_OPERATION_PAGED_CACHE_LOAD_YDESC),
             &table = DimsOf(operation, CUDNN_ATTR_OPERATION_PAGED_CACHE_LOAD_PAGE_TABLE_DESC);
  constexpr std::size_t kRank = 4;
  if (container.size() != kRank || y.size() != kRank || table.size() != kRank) return CUDNN_STATUS_BAD_PARAM;
  const GraphState::Reference made = operation.Refers(CUDNN_ATTR_OPERATION_PAGED_CACHE_LOAD_YDESC);
  const bool is_transposed = made->Words(CUDNN_ATTR_TENSOR_STRIDES)[2] == 1;
  const std::int64_t places = y[is_transposed ? 3 : 2], width = y[is_transposed ? 2 : 3], block = container[2];
  return BadUnless(block > 0 && width == container[3] && table[3] == 1 &&
                   table[2] == places / block + (places % block != 0 ? 1 : 0));
}

// A number, or a fraction in two words; as many as there are dimensions of space.
bool ReadSide(const GraphState& resample, int name, std::size_t d, double* to) {
  const GraphState::Value* const value = resample.Find(name);
  if (value == nullptr) return false;
  const std::size_t each = value->type == CUDNN_TYPE_FRACTION ? 2 : 1;
  if (each * d + each > value->words.size()) return false;
  *to = static_cast<double>(value->words[each * d]);
  if (each == 2) *to /= static_cast<double>(value->words[2 * d + 1]);
  return true;
}
// A description: without its space it has no sides.
cudnnStatus_t CheckResampling(const GraphState& resample) {
  const auto spatial =
      static_cast<std::size_t>(std::max(resample.Number(CUDNN_ATTR_RESAMPLE_SPATIAL_DIMS), std::int64_t{0}));
  const auto sides = [&resample](int name) {
    const GraphState::Value* const value = resample.Find(name);
    return value == nullptr ? 0 : value->words.size() / (value->type == CUDNN_TYPE_FRACTION ? 2 : 1);
  };
  const auto fits = [&](int name) { return sides(name) == 0 || sides(name) == spatial; };
  return sides(CUDNN_ATTR_RESAMPLE_WINDOW_DIMS) == spatial && fits(CUDNN_ATTR_RESAMPLE_STRIDES) &&
                 fits(CUDNN_ATTR_RESAMPLE_PRE_PADDINGS) && fits(CUDNN_ATTR_RESAMPLE_POST_PADDINGS)
             ? CUDNN_STATUS_SUCCESS
             : CUDNN_STATUS_NOT_SUPPORTED;
}
cudnnStatus_t CheckResample(const GraphState& operation, int description, int large_name, int small_name) {
  const GraphState::Reference resample = operation.Refers(description);
  const Dims &large = DimsOf(operation, large_name), &small = DimsOf(operation, small_name);
  if (large.size() != small.size() || large.size() < 2) return CUDNN_STATUS_BAD_PARAM;
  for (std::size_t d = 2; d < large.size(); ++d) {
    double before = 0, after = 0, stride = 1, window = 1;
    if (!ReadSide(*resample, CUDNN_ATTR_RESAMPLE_PRE_PADDINGS, d - 2, &before) ||
        !ReadSide(*resample, CUDNN_ATTR_RESAMPLE_POST_PADDINGS, d - 2, &after) ||
        !ReadSide(*resample, CUDNN_ATTR_RESAMPLE_STRIDES, d - 2, &stride) ||
        !ReadSide(*resample, CUDNN_ATTR_RESAMPLE_WINDOW_DIMS, d - 2, &window))
      return CUDNN_STATUS_BAD_PARAM;
    constexpr double kSlack = 1e-6;
    const double size = std::floor((static_cast<double>(large[d]) + before + after - window) / stride + kSlack) + 1;
    if (!(size == static_cast<double>(small[d]))) return CUDNN_STATUS_BAD_PARAM;
  }
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t CheckQuantize(const GraphState& operation) {
  switch (operation.Refers(CUDNN_ATTR_OPERATION_BLOCK_SCALE_QUANTIZE_YDESC)->Number(CUDNN_ATTR_TENSOR_DATA_TYPE)) {
    case CUDNN_DATA_FP8_E4M3:
    case CUDNN_DATA_FP8_E5M2:
    case CUDNN_DATA_FP4_E2M1: return CUDNN_STATUS_SUCCESS;
    default: return CUDNN_STATUS_BAD_PARAM_ATTRIBUTE_TYPE;
  }
}

// Of batches that are finished while training; scalars are by value.
cudnnStatus_t CheckFinalizeStatistics(const GraphState& operation) {
  const auto has = [&operation](int name) { return operation.Refers(name) != nullptr; };
  if (operation.Number(CUDNN_ATTR_OPERATION_BN_FINALIZE_STATS_MODE) != CUDNN_BN_FINALIZE_STATISTICS_TRAINING)
    return CUDNN_STATUS_SUCCESS;
  if (!has(CUDNN_ATTR_OPERATION_BN_FINALIZE_Y_SUM_DESC) || !has(CUDNN_ATTR_OPERATION_BN_FINALIZE_Y_SQ_SUM_DESC) ||
      !has(CUDNN_ATTR_OPERATION_BN_FINALIZE_SCALE_DESC) || !has(CUDNN_ATTR_OPERATION_BN_FINALIZE_BIAS_DESC))
    return CUDNN_STATUS_BAD_PARAM;
  for (const int name :
       {CUDNN_ATTR_OPERATION_BN_FINALIZE_ACCUM_COUNT_DESC, CUDNN_ATTR_OPERATION_BN_FINALIZE_EPSILON_DESC,
        CUDNN_ATTR_OPERATION_BN_FINALIZE_EXP_AVERATE_FACTOR_DESC}) {
    const GraphState::Reference scalar = operation.Refers(name);
    if (scalar == nullptr || scalar->Number(CUDNN_ATTR_TENSOR_IS_BY_VALUE) == 0) return CUDNN_STATUS_BAD_PARAM;
  }
  return CUDNN_STATUS_SUCCESS;
}

}  // namespace

cudnnStatus_t CheckShapes(const GraphState& state) {
  switch (state.type) {
    case CUDNN_BACKEND_TENSOR_DESCRIPTOR: return CheckTensor(state);
    case CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR: return CheckConvolution(state);
    case CUDNN_BACKEND_REDUCTION_DESCRIPTOR: return BadUnless(!state.values.empty());
    case CUDNN_BACKEND_RESAMPLE_DESCRIPTOR: return CheckResampling(state);
    case CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR:
      return CheckConvolved(state, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
                            CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
                            CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y);
    case CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR:
      return CheckConvolved(
          state, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X,
          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY);
    case CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR:
      return CheckConvolved(state, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC,
                            CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
                            CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY);
    case CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR: return CheckPointwise(state);
    case CUDNN_BACKEND_OPERATION_MATMUL_DESCRIPTOR: return CheckMatmul(state);
    case CUDNN_BACKEND_OPERATION_REDUCTION_DESCRIPTOR: return CheckReduced(state);
    case CUDNN_BACKEND_OPERATION_RESHAPE_DESCRIPTOR: return CheckReshaped(state);
    case CUDNN_BACKEND_OPERATION_NORM_FORWARD_DESCRIPTOR: return CheckNormForward(state);
    case CUDNN_BACKEND_OPERATION_NORM_BACKWARD_DESCRIPTOR: return CheckNormBackward(state);
    case CUDNN_BACKEND_RNG_DESCRIPTOR:
      return BadUnless(state.Number(CUDNN_ATTR_RNG_DISTRIBUTION) != CUDNN_RNG_DISTRIBUTION_BERNOULLI ||
                       state.Find(CUDNN_ATTR_RNG_BERNOULLI_DIST_PROBABILITY) != nullptr);
    case CUDNN_BACKEND_OPERATION_RESAMPLE_FWD_DESCRIPTOR:
      return CheckResample(state, CUDNN_ATTR_OPERATION_RESAMPLE_FWD_DESC, CUDNN_ATTR_OPERATION_RESAMPLE_FWD_XDESC,
                           CUDNN_ATTR_OPERATION_RESAMPLE_FWD_YDESC);
    case CUDNN_BACKEND_OPERATION_RESAMPLE_BWD_DESCRIPTOR:
      return CheckResample(state, CUDNN_ATTR_OPERATION_RESAMPLE_BWD_DESC, CUDNN_ATTR_OPERATION_RESAMPLE_BWD_DXDESC,
                           CUDNN_ATTR_OPERATION_RESAMPLE_BWD_DYDESC);
    case CUDNN_BACKEND_OPERATION_BN_FINALIZE_STATISTICS_DESCRIPTOR: return CheckFinalizeStatistics(state);
    case CUDNN_BACKEND_OPERATION_PAGED_CACHE_LOAD_DESCRIPTOR: return CheckPages(state);
    case CUDNN_BACKEND_OPERATION_EXPAND_BAND_MATRIX_DESCRIPTOR:
      return CheckBand(
          state, CUDNN_ATTR_OPERATION_EXPAND_BAND_MATRIX_XDESC, CUDNN_ATTR_OPERATION_EXPAND_BAND_MATRIX_YDESC,
          CUDNN_ATTR_OPERATION_EXPAND_BAND_MATRIX_LOWER_BANDWIDTH,
          CUDNN_ATTR_OPERATION_EXPAND_BAND_MATRIX_UPPER_BANDWIDTH, CUDNN_ATTR_OPERATION_EXPAND_BAND_MATRIX_AXIS);
    case CUDNN_BACKEND_OPERATION_CONTRACT_BAND_MATRIX_DESCRIPTOR:
      return CheckBand(
          state, CUDNN_ATTR_OPERATION_CONTRACT_BAND_MATRIX_YDESC, CUDNN_ATTR_OPERATION_CONTRACT_BAND_MATRIX_XDESC,
          CUDNN_ATTR_OPERATION_CONTRACT_BAND_MATRIX_LOWER_BANDWIDTH,
          CUDNN_ATTR_OPERATION_CONTRACT_BAND_MATRIX_UPPER_BANDWIDTH, CUDNN_ATTR_OPERATION_CONTRACT_BAND_MATRIX_AXIS);
    case CUDNN_BACKEND_OPERATION_SDPA_FWD_DESCRIPTOR:
      return CheckAttention(state, CUDNN_ATTR_OPERATION_SDPA_FWD_QDESC, CUDNN_ATTR_OPERATION_SDPA_FWD_KDESC,
                            CUDNN_ATTR_OPERATION_SDPA_FWD_VDESC, CUDNN_ATTR_OPERATION_SDPA_FWD_ODESC);
    case CUDNN_BACKEND_OPERATION_SDPA_BWD_DESCRIPTOR:
      return CheckAttention(state, CUDNN_ATTR_OPERATION_SDPA_BWD_QDESC, CUDNN_ATTR_OPERATION_SDPA_BWD_KDESC,
                            CUDNN_ATTR_OPERATION_SDPA_BWD_VDESC, CUDNN_ATTR_OPERATION_SDPA_BWD_ODESC);
    case CUDNN_BACKEND_OPERATION_BLOCK_SCALE_QUANTIZE_DESCRIPTOR: return CheckQuantize(state);
    default: return CUDNN_STATUS_SUCCESS;
  }
}

}  // namespace accelmesh::dnn
