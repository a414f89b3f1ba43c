// What NVIDIA's library checks of an operation's tensors when it is finalised, before any graph is made of it.
#include <cmath>

#include "shim/dnn/graph.h"

namespace accelmesh::dnn {
namespace {

using Dims = std::vector<std::int64_t>;

const Dims& Words(const GraphState& state, int name) {
  static const Dims none;
  const GraphState::Value* const value = state.Find(name);
  return value == nullptr ? none : value->words;
}
// Of a tensor that an operation has: finalised, with as many strides as dimensions.
const Dims& DimsOf(const GraphState& operation, int name) {
  static const Dims none;
  const GraphState::Reference tensor = operation.Refers(name);
  return tensor == nullptr ? none : Words(*tensor, CUDNN_ATTR_TENSOR_DIMENSIONS);
}
cudnnStatus_t BadUnless(bool holds) { return holds ? CUDNN_STATUS_SUCCESS : CUDNN_STATUS_BAD_PARAM; }

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
  const bool is_transposed = Words(*made, CUDNN_ATTR_TENSOR_STRIDES)[2] == 1;
  const std::int64_t places = y[is_transposed ? 3 : 2], width = y[is_transposed ? 2 : 3], block = container[2];
  return BadUnless(width == container[3] && table[3] == 1 &&
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
