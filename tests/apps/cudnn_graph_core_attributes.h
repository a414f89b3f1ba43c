// The attributes that cudnn_graph_core_statuses.cu sets in wrong ways, and what NVIDIA's library says.
#pragma once

#include "cudnn_graph_statuses.h"

constexpr cudnnStatus_t kNot = CUDNN_STATUS_NOT_SUPPORTED, kMismatch = CUDNN_STATUS_BAD_PARAM_SHAPE_MISMATCH;
// Not looked at: the library reads beyond, or takes what ours refuses.
constexpr cudnnStatus_t kOwn = CUDNN_STATUS_EXECUTION_FAILED;
// An attribute that the header calls deprecated.
constexpr cudnnBackendAttributeName_t kNumber(int name) { return static_cast<cudnnBackendAttributeName_t>(name); }

struct Attribute {
  cudnnBackendDescriptorType_t descriptor;
  cudnnBackendAttributeName_t name;
  Types types;
  Types unasked;            // descriptors of another type than the attribute refers to end the library's process
  cudnnStatus_t otherwise;  // with another type
  cudnnStatus_t none;       // with no element
  cudnnStatus_t two;        // with two
};
const Attribute kAttributes[] = {
#define ROW(kind, name, types, unasked, otherwise, none, two) \
  {CUDNN_BACKEND_##kind##_DESCRIPTOR, CUDNN_ATTR_##name, types, unasked, otherwise, none, two}
    ROW(POINTWISE, POINTWISE_MODE, Of(CUDNN_TYPE_POINTWISE_MODE), 0, kBad, kBad, kBad),
    ROW(POINTWISE, POINTWISE_MATH_PREC, kData, 0, kBad, kBad, kBad),
    {CUDNN_BACKEND_POINTWISE_DESCRIPTOR, kNumber(2), kNan, 0, kBad, kBad, kBad},
    ROW(POINTWISE, POINTWISE_RELU_LOWER_CLIP, kFloat | kDouble, 0, kBad, kBad, kBad),
    ROW(POINTWISE, POINTWISE_RELU_UPPER_CLIP, kFloat | kDouble, 0, kBad, kBad, kBad),
    ROW(POINTWISE, POINTWISE_RELU_LOWER_CLIP_SLOPE, kFloat | kDouble, 0, kBad, kBad, kBad),
    ROW(POINTWISE, POINTWISE_ELU_ALPHA, kFloat | kDouble, 0, kBad, kBad, kBad),
    ROW(POINTWISE, POINTWISE_SOFTPLUS_BETA, kFloat | kDouble, 0, kBad, kBad, kBad),
    ROW(POINTWISE, POINTWISE_SWISH_BETA, kFloat | kDouble, 0, kBad, kBad, kBad),
    ROW(POINTWISE, POINTWISE_AXIS, kInt, 0, kBad, kBad, kBad),
    ROW(CONVOLUTION, CONVOLUTION_COMP_TYPE, kData, 0, kType, kBad, kBad),
    ROW(CONVOLUTION, CONVOLUTION_CONV_MODE, Of(CUDNN_TYPE_CONVOLUTION_MODE), 0, kType, kBad, kBad),
    ROW(CONVOLUTION, CONVOLUTION_DILATIONS, kInt, 0, kType, kBad, kWell),
    ROW(CONVOLUTION, CONVOLUTION_FILTER_STRIDES, kInt, 0, kType, kBad, kWell),
    ROW(CONVOLUTION, CONVOLUTION_POST_PADDINGS, kInt, 0, kType, kBad, kWell),
    ROW(CONVOLUTION, CONVOLUTION_PRE_PADDINGS, kInt, 0, kType, kBad, kWell),
    ROW(CONVOLUTION, CONVOLUTION_SPATIAL_DIMS, kInt, 0, kBad, kBad, kBad),
    ROW(ENGINE, ENGINE_OPERATION_GRAPH, 0, kDesc, kType, kNot, kNot),
    ROW(ENGINE, ENGINE_GLOBAL_INDEX, kInt, 0, kBad, kBad, kBad),
    ROW(ENGINE, ENGINE_KNOB_INFO, 0, 0, kNot, kNot, kNot),
    ROW(ENGINE, ENGINE_NUMERICAL_NOTE, 0, 0, kNot, kNot, kNot),
    ROW(ENGINE, ENGINE_LAYOUT_INFO, 0, 0, kBad, kBad, kBad),
    ROW(ENGINE, ENGINE_BEHAVIOR_NOTE, 0, 0, kNot, kNot, kNot),
    ROW(ENGINE, ENGINE_SM_COUNT_TARGET, kInt32, 0, kType, kBad, kBad),
    ROW(ENGINE, ENGINE_DEVICEPROP, 0, kDesc, kType, kNot, kNot),
    ROW(ENGINECFG, ENGINECFG_ENGINE, 0, kDesc, kType, kNot, kNot),
    ROW(ENGINECFG, ENGINECFG_INTERMEDIATE_INFO, 0, 0, kNot, kNot, kNot),
    ROW(ENGINECFG, ENGINECFG_KNOB_CHOICES, 0, kDesc, kBad, kWell, kOwn),
    ROW(ENGINECFG, ENGINECFG_WORKSPACE_SIZE, 0, 0, kNot, kNot, kNot),
    ROW(ENGINEHEUR, ENGINEHEUR_MODE, Of(CUDNN_TYPE_HEUR_MODE), 0, kType, kBad, kBad),
    ROW(ENGINEHEUR, ENGINEHEUR_OPERATION_GRAPH, 0, kDesc, kType, kBad, kBad),
    ROW(ENGINEHEUR, ENGINEHEUR_RESULTS, 0, 0, kBad, kBad, kBad),
    ROW(ENGINEHEUR, ENGINEHEUR_SM_COUNT_TARGET, kInt32, 0, kType, kBad, kBad),
    ROW(ENGINEHEUR, ENGINEHEUR_DEVICEPROP, 0, kDesc, kType, kNot, kNot),
    ROW(EXECUTION_PLAN, EXECUTION_PLAN_ENGINE_CONFIG, 0, kDesc, kType, kNot, kNot),
    ROW(EXECUTION_PLAN, EXECUTION_PLAN_WORKSPACE_SIZE, 0, 0, kNot, kNot, kNot),
    ROW(EXECUTION_PLAN, EXECUTION_PLAN_COMPUTED_INTERMEDIATE_UIDS, 0, 0, kNot, kNot, kNot),
    ROW(EXECUTION_PLAN, EXECUTION_PLAN_DEVICEPROP, 0, kDesc, kType, kNot, kNot),
    ROW(KNOB_CHOICE, KNOB_CHOICE_KNOB_TYPE, Of(CUDNN_TYPE_KNOB_TYPE), 0, kType, kBad, kBad),
    ROW(KNOB_CHOICE, KNOB_CHOICE_KNOB_VALUE, kInt, 0, kType, kBad, kBad),
    ROW(KNOB_INFO, KNOB_INFO_TYPE, 0, 0, kNot, kNot, kNot),
    ROW(KNOB_INFO, KNOB_INFO_MAXIMUM_VALUE, 0, 0, kNot, kNot, kNot),
    ROW(KNOB_INFO, KNOB_INFO_MINIMUM_VALUE, 0, 0, kNot, kNot, kNot),
    ROW(KNOB_INFO, KNOB_INFO_STRIDE, 0, 0, kNot, kNot, kNot),
    ROW(LAYOUT_INFO, LAYOUT_INFO_TENSOR_UID, 0, 0, kNot, kNot, kNot),
    ROW(LAYOUT_INFO, LAYOUT_INFO_TYPES, 0, 0, kNot, kNot, kNot),
    ROW(OPERATION_CONVOLUTION_FORWARD, OPERATION_CONVOLUTION_FORWARD_ALPHA, kFloat | kDouble, kInt32, kBad, kBad, kBad),
    ROW(OPERATION_CONVOLUTION_FORWARD, OPERATION_CONVOLUTION_FORWARD_BETA, kFloat | kDouble, kInt32, kBad, kBad, kBad),
    ROW(OPERATION_CONVOLUTION_FORWARD, OPERATION_CONVOLUTION_FORWARD_CONV_DESC, 0, kDesc, kBad, kBad, kNot),
    ROW(OPERATION_CONVOLUTION_FORWARD, OPERATION_CONVOLUTION_FORWARD_W, kDesc, 0, kBad, kBad, kNot),
    ROW(OPERATION_CONVOLUTION_FORWARD, OPERATION_CONVOLUTION_FORWARD_X, kDesc, 0, kBad, kBad, kNot),
    ROW(OPERATION_CONVOLUTION_FORWARD, OPERATION_CONVOLUTION_FORWARD_Y, kDesc, 0, kBad, kBad, kNot),
    ROW(OPERATION_CONVOLUTION_BACKWARD_FILTER, OPERATION_CONVOLUTION_BWD_FILTER_ALPHA, kFloat | kDouble, 0, kBad, kBad,
        kBad),
    ROW(OPERATION_CONVOLUTION_BACKWARD_FILTER, OPERATION_CONVOLUTION_BWD_FILTER_BETA, kFloat | kDouble, 0, kBad, kBad,
        kBad),
    ROW(OPERATION_CONVOLUTION_BACKWARD_FILTER, OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC, 0, kDesc, kBad, kBad, kNot),
    ROW(OPERATION_CONVOLUTION_BACKWARD_FILTER, OPERATION_CONVOLUTION_BWD_FILTER_DW, kDesc, 0, kBad, kBad, kNot),
    ROW(OPERATION_CONVOLUTION_BACKWARD_FILTER, OPERATION_CONVOLUTION_BWD_FILTER_X, kDesc, 0, kType, kNot, kNot),
    ROW(OPERATION_CONVOLUTION_BACKWARD_FILTER, OPERATION_CONVOLUTION_BWD_FILTER_DY, kDesc, 0, kBad, kBad, kNot),
    ROW(OPERATION_CONVOLUTION_BACKWARD_DATA, OPERATION_CONVOLUTION_BWD_DATA_ALPHA, kFloat | kDouble, 0, kNot, kBad,
        kBad),
    ROW(OPERATION_CONVOLUTION_BACKWARD_DATA, OPERATION_CONVOLUTION_BWD_DATA_BETA, kFloat | kDouble, 0, kNot, kBad,
        kBad),
    ROW(OPERATION_CONVOLUTION_BACKWARD_DATA, OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC, 0, kDesc, kBad, kBad, kNot),
    ROW(OPERATION_CONVOLUTION_BACKWARD_DATA, OPERATION_CONVOLUTION_BWD_DATA_W, kDesc, 0, kBad, kBad, kNot),
    ROW(OPERATION_CONVOLUTION_BACKWARD_DATA, OPERATION_CONVOLUTION_BWD_DATA_DX, kDesc, 0, kBad, kBad, kNot),
    ROW(OPERATION_CONVOLUTION_BACKWARD_DATA, OPERATION_CONVOLUTION_BWD_DATA_DY, kDesc, 0, kBad, kBad, kNot),
    ROW(OPERATION_POINTWISE, OPERATION_POINTWISE_PW_DESCRIPTOR, 0, kDesc, kBad, kBad, kBad),
    ROW(OPERATION_POINTWISE, OPERATION_POINTWISE_XDESC, kDesc, 0, kBad, kBad, kBad),
    ROW(OPERATION_POINTWISE, OPERATION_POINTWISE_BDESC, kDesc, 0, kBad, kBad, kBad),
    ROW(OPERATION_POINTWISE, OPERATION_POINTWISE_YDESC, kDesc, 0, kBad, kBad, kBad),
    ROW(OPERATION_POINTWISE, OPERATION_POINTWISE_ALPHA1, kFloat | kDouble, 0, kBad, kBad, kBad),
    ROW(OPERATION_POINTWISE, OPERATION_POINTWISE_ALPHA2, kFloat | kDouble, 0, kBad, kBad, kBad),
    ROW(OPERATION_POINTWISE, OPERATION_POINTWISE_DXDESC, kDesc, 0, kBad, kBad, kBad),
    ROW(OPERATION_POINTWISE, OPERATION_POINTWISE_DYDESC, kDesc, 0, kBad, kBad, kBad),
    ROW(OPERATION_POINTWISE, OPERATION_POINTWISE_TDESC, kDesc, 0, kBad, kBad, kBad),
    ROW(OPERATIONGRAPH, OPERATIONGRAPH_OPS, 0, kDesc, kType, kWell, kOwn),
    ROW(OPERATIONGRAPH, OPERATIONGRAPH_ENGINE_GLOBAL_COUNT, 0, 0, kBad, kBad, kBad),
    ROW(OPERATIONGRAPH, OPERATIONGRAPH_IS_DYNAMIC_SHAPE_ENABLED, kBool, 0, kType, kBad, kBad),
    ROW(VARIANT_PACK, VARIANT_PACK_UNIQUE_IDS, kInt, 0, kNot, kBad, kWell),
    ROW(VARIANT_PACK, VARIANT_PACK_DATA_POINTERS, 0, 0, kNot, kBad, kWell),
    ROW(VARIANT_PACK, VARIANT_PACK_INTERMEDIATES, 0, 0, kNot, kNot, kNot),
    ROW(VARIANT_PACK, VARIANT_PACK_WORKSPACE, 0, 0, kNot, kBad, kBad),
    ROW(TENSOR, TENSOR_BYTE_ALIGNMENT, kInt, 0, kType, kBad, kBad),
    ROW(TENSOR, TENSOR_DATA_TYPE, kData, 0, kType, kBad, kBad),
    ROW(TENSOR, TENSOR_DIMENSIONS, kInt, 0, kType, kBad, kWell),
    ROW(TENSOR, TENSOR_STRIDES, kInt, 0, kType, kBad, kWell),
    ROW(TENSOR, TENSOR_VECTOR_COUNT, kInt, 0, kType, kBad, kBad),
    ROW(TENSOR, TENSOR_VECTORIZED_DIMENSION, kInt, 0, kType, kBad, kBad),
    ROW(TENSOR, TENSOR_UNIQUE_ID, kInt, 0, kType, kBad, kBad),
    ROW(TENSOR, TENSOR_IS_VIRTUAL, kBool, 0, kType, kBad, kBad),
    ROW(TENSOR, TENSOR_IS_BY_VALUE, kBool, 0, kType, kBad, kBad),
    ROW(TENSOR, TENSOR_REORDERING_MODE, Of(CUDNN_TYPE_TENSOR_REORDERING_MODE), 0, kType, kBad, kBad),
    ROW(TENSOR, TENSOR_RAGGED_OFFSET_DESC, kDesc, 0, kType, kWell, kOwn),
    ROW(MATMUL, MATMUL_COMP_TYPE, kData, 0, kBad, kBad, kBad),
    ROW(MATMUL, MATMUL_PADDING_VALUE, kFloat | kDouble, kInt | kInt32, kBad, kBad, kBad),
    ROW(OPERATION_MATMUL, OPERATION_MATMUL_ADESC, kDesc, 0, kBad, kWell, kOwn),
    ROW(OPERATION_MATMUL, OPERATION_MATMUL_BDESC, kDesc, 0, kBad, kWell, kOwn),
    ROW(OPERATION_MATMUL, OPERATION_MATMUL_CDESC, kDesc, 0, kBad, kWell, kOwn),
    ROW(OPERATION_MATMUL, OPERATION_MATMUL_DESC, 0, kDesc, kBad, kWell, kOwn),
    {CUDNN_BACKEND_OPERATION_MATMUL_DESCRIPTOR, kNumber(1524), kInt, 0, kBad, kBad, kBad},
    ROW(OPERATION_MATMUL, OPERATION_MATMUL_GEMM_M_OVERRIDE_DESC, kDesc, 0, kBad, kWell, kOwn),
    ROW(OPERATION_MATMUL, OPERATION_MATMUL_GEMM_N_OVERRIDE_DESC, kDesc, 0, kBad, kWell, kOwn),
    ROW(OPERATION_MATMUL, OPERATION_MATMUL_GEMM_K_OVERRIDE_DESC, kDesc, 0, kBad, kWell, kOwn),
    ROW(REDUCTION, REDUCTION_OPERATOR, Of(CUDNN_TYPE_REDUCTION_OPERATOR_TYPE), 0, kBad, kBad, kBad),
    ROW(REDUCTION, REDUCTION_COMP_TYPE, kData, 0, kBad, kBad, kBad),
    ROW(REDUCTION, REDUCTION_IS_DETERMINISTIC, kBool, 0, kBad, kBad, kBad),
    ROW(OPERATION_REDUCTION, OPERATION_REDUCTION_XDESC, kDesc, 0, kBad, kWell, kOwn),
    ROW(OPERATION_REDUCTION, OPERATION_REDUCTION_YDESC, kDesc, 0, kBad, kWell, kOwn),
    ROW(OPERATION_REDUCTION, OPERATION_REDUCTION_DESC, 0, kDesc, kBad, kWell, kOwn),
    ROW(OPERATION_NORM_FORWARD, OPERATION_NORM_FWD_MODE, Of(CUDNN_TYPE_NORM_MODE), 0, kBad, kBad, kBad),
    ROW(OPERATION_NORM_FORWARD, OPERATION_NORM_FWD_PHASE, Of(CUDNN_TYPE_NORM_FWD_PHASE), 0, kBad, kBad, kBad),
    ROW(OPERATION_NORM_FORWARD, OPERATION_NORM_FWD_XDESC, kDesc, 0, kBad, kBad, kOwn),
    ROW(OPERATION_NORM_FORWARD, OPERATION_NORM_FWD_MEAN_DESC, kDesc, 0, kBad, kBad, kBad),
    ROW(OPERATION_NORM_FORWARD, OPERATION_NORM_FWD_INV_VARIANCE_DESC, kDesc, 0, kBad, kBad, kBad),
    ROW(OPERATION_NORM_FORWARD, OPERATION_NORM_FWD_SCALE_DESC, kDesc, 0, kBad, kBad, kBad),
    ROW(OPERATION_NORM_FORWARD, OPERATION_NORM_FWD_BIAS_DESC, kDesc, 0, kBad, kBad, kBad),
    ROW(OPERATION_NORM_FORWARD, OPERATION_NORM_FWD_EPSILON_DESC, kDesc, 0, kBad, kBad, kBad),
    ROW(OPERATION_NORM_FORWARD, OPERATION_NORM_FWD_EXP_AVG_FACTOR_DESC, kDesc, 0, kBad, kBad, kBad),
    ROW(OPERATION_NORM_FORWARD, OPERATION_NORM_FWD_INPUT_RUNNING_MEAN_DESC, kDesc, 0, kBad, kBad, kBad),
    ROW(OPERATION_NORM_FORWARD, OPERATION_NORM_FWD_INPUT_RUNNING_VAR_DESC, kDesc, 0, kBad, kBad, kBad),
    ROW(OPERATION_NORM_FORWARD, OPERATION_NORM_FWD_OUTPUT_RUNNING_MEAN_DESC, kDesc, 0, kBad, kBad, kBad),
    ROW(OPERATION_NORM_FORWARD, OPERATION_NORM_FWD_OUTPUT_RUNNING_VAR_DESC, kDesc, 0, kBad, kBad, kBad),
    ROW(OPERATION_NORM_FORWARD, OPERATION_NORM_FWD_YDESC, kDesc, 0, kBad, kBad, kBad),
    ROW(OPERATION_NORM_BACKWARD, OPERATION_NORM_BWD_MODE, Of(CUDNN_TYPE_NORM_MODE), 0, kBad, kBad, kBad),
    ROW(OPERATION_NORM_BACKWARD, OPERATION_NORM_BWD_XDESC, kDesc, 0, kBad, kBad, kBad),
    ROW(OPERATION_NORM_BACKWARD, OPERATION_NORM_BWD_MEAN_DESC, kDesc, 0, kBad, kBad, kBad),
    ROW(OPERATION_NORM_BACKWARD, OPERATION_NORM_BWD_INV_VARIANCE_DESC, kDesc, 0, kBad, kBad, kBad),
    ROW(OPERATION_NORM_BACKWARD, OPERATION_NORM_BWD_DYDESC, kDesc, 0, kBad, kBad, kBad),
    ROW(OPERATION_NORM_BACKWARD, OPERATION_NORM_BWD_SCALE_DESC, kDesc, 0, kBad, kBad, kBad),
    ROW(OPERATION_NORM_BACKWARD, OPERATION_NORM_BWD_EPSILON_DESC, kDesc, 0, kBad, kBad, kBad),
    ROW(OPERATION_NORM_BACKWARD, OPERATION_NORM_BWD_DSCALE_DESC, kDesc, 0, kBad, kBad, kBad),
    ROW(OPERATION_NORM_BACKWARD, OPERATION_NORM_BWD_DBIAS_DESC, kDesc, 0, kBad, kBad, kBad),
    ROW(OPERATION_NORM_BACKWARD, OPERATION_NORM_BWD_DXDESC, kDesc, 0, kBad, kBad, kBad),
    ROW(OPERATION_RESHAPE, OPERATION_RESHAPE_XDESC, kDesc, 0, kBad, kBad, kBad),
    ROW(OPERATION_RESHAPE, OPERATION_RESHAPE_YDESC, kDesc, 0, kBad, kBad, kBad),
    ROW(DEVICEPROP, DEVICEPROP_DEVICE_ID, kInt32, 0, kType, kBad, kBad),
#undef ROW
};

inline void TestCounts(const Attribute& attribute) {
  const Described one({2, 3, 4, 5}, CUDNN_DATA_FLOAT);
  int type = CUDNN_TYPE_HANDLE + 1;
  const Types known = attribute.types | attribute.unasked;
  while (known != 0 && (known & Of(type)) == 0) ++type;
  if (known == 0) type = CUDNN_TYPE_VOID_PTR;
  const cudnnBackendDescriptor_t referred[2] = {one.get().get(), one.get().get()};
  const int64_t zeros[4] = {};
  const void* const elements = type == CUDNN_TYPE_BACKEND_DESCRIPTOR ? static_cast<const void*>(referred) : zeros;
  const auto expect = [&](const char* what, int64_t count, const void* from, cudnnStatus_t wanted) {
    if (wanted == kOwn) return;
    Backend of(attribute.descriptor);
    const cudnnStatus_t status =
        cudnnBackendSetAttribute(of.get(), attribute.name, static_cast<cudnnBackendAttributeType_t>(type), count, from);
    EXPECT(status == wanted, "descriptor %d, attribute %d, %s: %s, not %s", attribute.descriptor, attribute.name, what,
           cudnnGetErrorString(status), cudnnGetErrorString(wanted));
  };
  expect("no element", 0, elements, attribute.none);
  expect("two elements", 2, elements, attribute.two);
  expect("an element from no memory", 1, nullptr, kBad);
  expect("fewer than none", -1, elements, attribute.none == kWell ? kOwn : attribute.none);
}
