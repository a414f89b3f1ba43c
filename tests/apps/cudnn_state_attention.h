// What descriptors of attention and of its sequences keep, and what they refuse (cudnn_state.cu).
#pragma once

#include <type_traits>
#include <utility>
#include <vector>

#include "cudnn_check.h"

constexpr cudnnStatus_t kBad = CUDNN_STATUS_BAD_PARAM;

inline void TestSequenceData() {
  cudnnSeqDataDescriptor_t data = nullptr;
  CHECK_DNN_STATUS(cudnnCreateSeqDataDescriptor(nullptr), kBad);
  CHECK_DNN(cudnnCreateSeqDataDescriptor(&data));
  cudnnDataType_t type = CUDNN_DATA_DOUBLE;
  cudnnSeqDataAxis_t axes[6] = {};
  int rank = 0, dims[6] = {}, lengths[7] = {};
  size_t count = 7;
  float fill = 3;
  const auto get = [&](int requested, size_t requested_lengths) {
    return cudnnGetSeqDataDescriptor(data, &type, &rank, requested, dims, axes, &count, requested_lengths, lengths,
                                     &fill);
  };
  CHECK_DNN(get(4, 6));
  EXPECT(type == CUDNN_DATA_FLOAT && rank == 4 && dims[0] == 0 && count == 0 && fill == 0, "not set: %d of %zu", rank,
         count);
  std::vector<int> wanted{5, 2, 3, 8}, wanted_lengths{5, 4, 3, 2, 1, 1};
  std::vector<cudnnSeqDataAxis_t> order{CUDNN_SEQDATA_BEAM_DIM, CUDNN_SEQDATA_BATCH_DIM, CUDNN_SEQDATA_TIME_DIM,
                                        CUDNN_SEQDATA_VECT_DIM};
  const auto set = [&](cudnnDataType_t of, int dimensions, float* padding) {
    return cudnnSetSeqDataDescriptor(data, of, dimensions, wanted.data(), order.data(), wanted_lengths.size(),
                                     wanted_lengths.data(), padding);
  };
  float padding = 2.5f;
  CHECK_DNN(set(CUDNN_DATA_FLOAT, 4, &padding));
  CHECK_DNN(get(6, 7));
  EXPECT(std::vector<int>(dims, dims + 4) == wanted && std::vector<cudnnSeqDataAxis_t>(axes, axes + 4) == order &&
             count == 6 && std::vector<int>(lengths, lengths + 6) == wanted_lengths && fill == 2.5f && dims[4] == 0 &&
             lengths[6] == 0,
         "%d x %d x %d x %d, %zu lengths, filled with %g", dims[0], dims[1], dims[2], dims[3], count,
         static_cast<double>(fill));
  CHECK_DNN_STATUS(get(-1, 6), kBad);
  CHECK_DNN(cudnnGetSeqDataDescriptor(data, nullptr, nullptr, 0, nullptr, nullptr, nullptr, 0, nullptr, nullptr));
  for (const cudnnDataType_t of : {CUDNN_DATA_DOUBLE, CUDNN_DATA_HALF, CUDNN_DATA_BFLOAT16})
    CHECK_DNN(set(of, 4, nullptr));
  CHECK_DNN_STATUS(set(CUDNN_DATA_INT8, 4, nullptr), CUDNN_STATUS_INTERNAL_ERROR);
  CHECK_DNN_STATUS(set(static_cast<cudnnDataType_t>(99), 4, nullptr), kBad);
  CHECK_DNN_STATUS(set(CUDNN_DATA_FLOAT, 3, nullptr), CUDNN_STATUS_NOT_SUPPORTED);
  CHECK_DNN_STATUS(set(CUDNN_DATA_FLOAT, 5, nullptr), CUDNN_STATUS_NOT_SUPPORTED);
  CHECK_DNN_STATUS(set(CUDNN_DATA_FLOAT, 0, nullptr), kBad);
  // Each of these is refused, one at a time.
  const auto refused = [&](auto& values, size_t at, int value) {
    const auto right = values[at];
    values[at] = static_cast<std::remove_reference_t<decltype(values[at])>>(value);
    CHECK_DNN_STATUS(set(CUDNN_DATA_FLOAT, 4, nullptr), kBad);
    values[at] = right;
  };
  for (const int value : {0, -1}) {
    for (size_t d = 0; d < 4; ++d) refused(wanted, d, value);
    refused(wanted_lengths, 5, value);
  }
  refused(wanted_lengths, 0, 6);
  refused(order, 0, CUDNN_SEQDATA_BATCH_DIM);
  refused(order, 0, 4);
  std::swap(order[0], order[3]);
  CHECK_DNN_STATUS(set(CUDNN_DATA_FLOAT, 4, nullptr), kBad);
  std::swap(order[0], order[3]);
  wanted_lengths.pop_back();
  CHECK_DNN_STATUS(set(CUDNN_DATA_FLOAT, 4, nullptr), kBad);
  CHECK_DNN(cudnnDestroySeqDataDescriptor(data));
}

inline void TestAttentions() {
  cudnnAttnDescriptor_t attention = nullptr;
  cudnnDropoutDescriptor_t dropout = nullptr;
  CHECK_DNN_STATUS(cudnnCreateAttnDescriptor(nullptr), kBad);
  CHECK_DNN(cudnnCreateAttnDescriptor(&attention));
  CHECK_DNN(cudnnCreateDropoutDescriptor(&dropout));
  unsigned mode = CUDNN_ATTN_ENABLE_PROJ_BIASES;
  double scale = 0.5;
  cudnnDataType_t type = CUDNN_DATA_FLOAT, precision = CUDNN_DATA_FLOAT;
  int math = CUDNN_TENSOR_OP_MATH;
  // Heads, sizes of queries, keys and values, projections, steps, batch, beams.
  std::vector<int> sizes{2, 8, 7, 6, 4, 4, 3, 8, 5, 9, 3, 2};
  const auto set = [&] {
    return cudnnSetAttnDescriptor(attention, mode, sizes[0], scale, type, precision, static_cast<cudnnMathType_t>(math),
                                  dropout, nullptr, sizes[1], sizes[2], sizes[3], sizes[4], sizes[5], sizes[6],
                                  sizes[7], sizes[8], sizes[9], sizes[10], sizes[11]);
  };
  CHECK_DNN(set());
  unsigned got_mode = 0;
  double got_scale = 0;
  cudnnDataType_t got_type{}, got_precision{};
  cudnnMathType_t got_math{};
  cudnnDropoutDescriptor_t got_dropout = nullptr, got_other = dropout;
  std::vector<int> got(12);
  CHECK_DNN(cudnnGetAttnDescriptor(attention, &got_mode, &got[0], &got_scale, &got_type, &got_precision, &got_math,
                                   &got_dropout, &got_other, &got[1], &got[2], &got[3], &got[4], &got[5], &got[6],
                                   &got[7], &got[8], &got[9], &got[10], &got[11]));
  EXPECT(got_mode == mode && got_scale == scale && got_type == type && got_precision == precision && got_math == math &&
             got_dropout == dropout && got_other == nullptr && got == sizes,
         "mode %u of %d heads, scaled by %g", got_mode, got[0], got_scale);
  CHECK_DNN(cudnnGetAttnDescriptor(attention, nullptr, nullptr, nullptr, nullptr, nullptr, nullptr, nullptr, nullptr,
                                   nullptr, nullptr, nullptr, nullptr, nullptr, nullptr, nullptr, nullptr, nullptr,
                                   nullptr, nullptr));
  const auto with = [&](auto& value, auto other, cudnnStatus_t expected) {
    const auto right = value;
    value = static_cast<std::remove_reference_t<decltype(value)>>(other);
    CHECK_DNN_STATUS(set(), expected);
    value = right;
  };
  with(mode, 4, kBad);
  with(mode, CUDNN_ATTN_QUERYMAP_ONE_TO_ONE, CUDNN_STATUS_NOT_SUPPORTED);  // of two beams
  with(scale, -1, kBad);
  with(scale, 0, CUDNN_STATUS_SUCCESS);
  with(math, 9, kBad);
  with(type, CUDNN_DATA_INT8, kBad);
  with(type, CUDNN_DATA_HALF, CUDNN_STATUS_SUCCESS);
  with(type, CUDNN_DATA_BFLOAT16, CUDNN_STATUS_SUCCESS);
  with(type, CUDNN_DATA_DOUBLE, CUDNN_STATUS_NOT_SUPPORTED);
  with(precision, CUDNN_DATA_DOUBLE, CUDNN_STATUS_NOT_SUPPORTED);
  with(precision, CUDNN_DATA_HALF, CUDNN_STATUS_NOT_SUPPORTED);
  with(precision, CUDNN_DATA_BFLOAT16, kBad);
  for (size_t i = 0; i < sizes.size(); ++i) {
    const bool is_projection = i >= 4 && i < 8;
    with(sizes[i], -1, kBad);
    if (!is_projection) with(sizes[i], 0, kBad);
  }
  with(sizes[6], 0, CUDNN_STATUS_SUCCESS);
  with(sizes[7], 0, CUDNN_STATUS_SUCCESS);
  with(sizes[4], 5, kBad);  // queries that are not as long as keys
  with(sizes[4], 0, kBad);
  CHECK_DNN(cudnnDestroyDropoutDescriptor(dropout));
  CHECK_DNN(cudnnDestroyAttnDescriptor(attention));
}
