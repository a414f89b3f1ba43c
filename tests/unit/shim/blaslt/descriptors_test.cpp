#include "shim/blaslt/descriptors.h"

#include <gtest/gtest.h>

#include "shim/gen_blaslt_face.h"

namespace accelmesh::blaslt {
namespace {

// An attribute of the header's, how large it is there, and what it is if nobody has set it.
struct Attribute {
  int number;
  std::size_t bytes;
  std::int64_t initial;
};

// Sets each to a value of its own, and then reads all: none may lie on another.
template <typename Opaque, typename Number>
void CheckAttributes(Opaque* descriptor, const std::vector<Attribute>& attributes,
                     cublasStatus_t (*set)(Opaque*, Number, const void*, std::size_t),
                     cublasStatus_t (*get)(Opaque*, Number, void*, std::size_t, std::size_t*)) {
  for (const Attribute& attribute : attributes) {
    SCOPED_TRACE(attribute.number);
    const auto number = static_cast<Number>(attribute.number);
    std::int64_t value = attribute.initial < 0 ? -1 : 0;
    std::size_t written = 0;
    ASSERT_EQ(get(descriptor, number, nullptr, 0, &written), CUBLAS_STATUS_SUCCESS);
    EXPECT_EQ(written, attribute.bytes);
    written = 0;
    ASSERT_EQ(get(descriptor, number, &value, attribute.bytes, &written), CUBLAS_STATUS_SUCCESS);
    EXPECT_EQ(value, attribute.initial);
    EXPECT_EQ(written, attribute.bytes);
    EXPECT_EQ(get(descriptor, number, &value, attribute.bytes, nullptr), CUBLAS_STATUS_SUCCESS);
    EXPECT_EQ(get(descriptor, number, nullptr, 0, nullptr), CUBLAS_STATUS_INVALID_VALUE);
    EXPECT_EQ(get(descriptor, number, nullptr, attribute.bytes, &written), CUBLAS_STATUS_INVALID_VALUE);
    EXPECT_EQ(get(descriptor, number, &value, attribute.bytes + 1, &written), CUBLAS_STATUS_INVALID_VALUE);
    EXPECT_EQ(get(nullptr, number, &value, attribute.bytes, &written), CUBLAS_STATUS_INVALID_VALUE);
    EXPECT_EQ(set(descriptor, number, &value, attribute.bytes - 1), CUBLAS_STATUS_INVALID_VALUE);
    EXPECT_EQ(set(descriptor, number, nullptr, attribute.bytes), CUBLAS_STATUS_INVALID_VALUE);
    value = 40 + attribute.number;
    ASSERT_EQ(set(descriptor, number, &value, attribute.bytes), CUBLAS_STATUS_SUCCESS);
  }
  // Copied as programs copy them.
  Opaque copy = *descriptor;
  for (const Attribute& attribute : attributes) {
    SCOPED_TRACE(attribute.number);
    std::int64_t value = 0;
    ASSERT_EQ(get(&copy, static_cast<Number>(attribute.number), &value, attribute.bytes, nullptr),
              CUBLAS_STATUS_SUCCESS);
    EXPECT_EQ(value, 40 + attribute.number);
  }
  std::int64_t value = 0;
  EXPECT_EQ(set(descriptor, static_cast<Number>(999), &value, 4), CUBLAS_STATUS_INVALID_VALUE);
  EXPECT_EQ(get(descriptor, static_cast<Number>(999), &value, 4, nullptr), CUBLAS_STATUS_INVALID_VALUE);
}

TEST(Descriptors, ALayoutHasItsAttributes) {
  cublasLtMatrixLayoutOpaque_t layout;
  ASSERT_EQ(face::cublasLtMatrixLayoutInit_internal(&layout, sizeof(layout), CUDA_R_16F, 3, 5, 7),
            CUBLAS_STATUS_SUCCESS);
  CheckAttributes(&layout,
                  {{CUBLASLT_MATRIX_LAYOUT_TYPE, 4, CUDA_R_16F},
                   {CUBLASLT_MATRIX_LAYOUT_ORDER, 4, CUBLASLT_ORDER_COL},
                   {CUBLASLT_MATRIX_LAYOUT_ROWS, 8, 3},
                   {CUBLASLT_MATRIX_LAYOUT_COLS, 8, 5},
                   {CUBLASLT_MATRIX_LAYOUT_LD, 8, 7},
                   {CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, 4, 1},
                   {CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, 8, 0},
                   {CUBLASLT_MATRIX_LAYOUT_PLANE_OFFSET, 8, 0},
                   {CUBLASLT_MATRIX_LAYOUT_BATCH_MODE, 4, 0}},
                  &face::cublasLtMatrixLayoutSetAttribute, &face::cublasLtMatrixLayoutGetAttribute);
}

TEST(Descriptors, AnOperationHasItsAttributes) {
  cublasLtMatmulDescOpaque_t operation;
  ASSERT_EQ(face::cublasLtMatmulDescInit_internal(&operation, sizeof(operation), CUBLAS_COMPUTE_32F, CUDA_C_32F),
            CUBLAS_STATUS_SUCCESS);
  std::vector<Attribute> attributes = {{CUBLASLT_MATMUL_DESC_COMPUTE_TYPE, 4, CUBLAS_COMPUTE_32F},
                                       {CUBLASLT_MATMUL_DESC_SCALE_TYPE, 4, CUDA_C_32F},
                                       {CUBLASLT_MATMUL_DESC_POINTER_MODE, 4, CUBLASLT_POINTER_MODE_HOST},
                                       {CUBLASLT_MATMUL_DESC_FILL_MODE, 4, CUBLAS_FILL_MODE_FULL},
                                       {CUBLASLT_MATMUL_DESC_EPILOGUE, 4, CUBLASLT_EPILOGUE_DEFAULT},
                                       {CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_DATA_TYPE, 4, 0xffffffff},
                                       {CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, 4, 0xffffffff},
                                       {CUBLASLT_MATMUL_DESC_FAST_ACCUM, 1, 0}};
  for (const int number :
       {CUBLASLT_MATMUL_DESC_TRANSA, CUBLASLT_MATMUL_DESC_TRANSB, CUBLASLT_MATMUL_DESC_TRANSC,
        CUBLASLT_MATMUL_DESC_SM_COUNT_TARGET, CUBLASLT_MATMUL_DESC_A_SCALE_MODE, CUBLASLT_MATMUL_DESC_B_SCALE_MODE,
        CUBLASLT_MATMUL_DESC_C_SCALE_MODE, CUBLASLT_MATMUL_DESC_D_SCALE_MODE,
        CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_SCALE_MODE, CUBLASLT_MATMUL_DESC_D_OUT_SCALE_MODE})
    attributes.push_back({number, 4, 0});
  for (const int number :
       {CUBLASLT_MATMUL_DESC_BIAS_POINTER, CUBLASLT_MATMUL_DESC_BIAS_BATCH_STRIDE,
        CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD,
        CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_BATCH_STRIDE, CUBLASLT_MATMUL_DESC_ALPHA_VECTOR_BATCH_STRIDE,
        CUBLASLT_MATMUL_DESC_A_SCALE_POINTER, CUBLASLT_MATMUL_DESC_B_SCALE_POINTER,
        CUBLASLT_MATMUL_DESC_C_SCALE_POINTER, CUBLASLT_MATMUL_DESC_D_SCALE_POINTER, CUBLASLT_MATMUL_DESC_AMAX_D_POINTER,
        CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_SCALE_POINTER, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_AMAX_POINTER,
        CUBLASLT_MATMUL_DESC_D_OUT_SCALE_POINTER, CUBLASLT_MATMUL_DESC_EMULATION_DESCRIPTOR})
    attributes.push_back({number, 8, 0});
  CheckAttributes(&operation, attributes, &face::cublasLtMatmulDescSetAttribute, &face::cublasLtMatmulDescGetAttribute);
}

TEST(Descriptors, OthersHaveTheirAttributes) {
  cublasLtMatrixTransformDescOpaque_t transform;
  ASSERT_EQ(face::cublasLtMatrixTransformDescInit_internal(&transform, sizeof(transform), CUDA_R_64F),
            CUBLAS_STATUS_SUCCESS);
  CheckAttributes(&transform,
                  {{CUBLASLT_MATRIX_TRANSFORM_DESC_SCALE_TYPE, 4, CUDA_R_64F},
                   {CUBLASLT_MATRIX_TRANSFORM_DESC_POINTER_MODE, 4, 0},
                   {CUBLASLT_MATRIX_TRANSFORM_DESC_TRANSA, 4, 0},
                   {CUBLASLT_MATRIX_TRANSFORM_DESC_TRANSB, 4, 0}},
                  &face::cublasLtMatrixTransformDescSetAttribute, &face::cublasLtMatrixTransformDescGetAttribute);
  cublasLtMatmulPreferenceOpaque_t preference;
  ASSERT_EQ(face::cublasLtMatmulPreferenceInit_internal(&preference, sizeof(preference)), CUBLAS_STATUS_SUCCESS);
  CheckAttributes(&preference,
                  {{CUBLASLT_MATMUL_PREF_SEARCH_MODE, 4, 0},
                   {CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, 8, 0},
                   {CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, 4, 7},
                   {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, 4, 256},
                   {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, 4, 256},
                   {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, 4, 256},
                   {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, 4, 256},
                   {CUBLASLT_MATMUL_PREF_MAX_WAVES_COUNT, 4, 0},
                   {CUBLASLT_MATMUL_PREF_IMPL_MASK, 8, -1}},
                  &face::cublasLtMatmulPreferenceSetAttribute, &face::cublasLtMatmulPreferenceGetAttribute);
  cublasLtEmulationDescOpaque_t emulation;
  ASSERT_EQ(face::cublasLtEmulationDescInit_internal(&emulation, sizeof(emulation)), CUBLAS_STATUS_SUCCESS);
  CheckAttributes(&emulation,
                  {{CUBLASLT_EMULATION_DESC_STRATEGY, 4, 0},
                   {CUBLASLT_EMULATION_DESC_SPECIAL_VALUES_SUPPORT, 4, 0xffff},
                   {CUBLASLT_EMULATION_DESC_FIXEDPOINT_MANTISSA_CONTROL, 4, 0},
                   {CUBLASLT_EMULATION_DESC_FIXEDPOINT_MAX_MANTISSA_BIT_COUNT, 4, 0},
                   {CUBLASLT_EMULATION_DESC_FIXEDPOINT_MANTISSA_BIT_OFFSET, 4, 0},
                   {CUBLASLT_EMULATION_DESC_FIXEDPOINT_MANTISSA_BIT_COUNT_POINTER, 8, 0}},
                  &face::cublasLtEmulationDescSetAttribute, &face::cublasLtEmulationDescGetAttribute);
}

TEST(Descriptors, NeedTheirRoom) {
  cublasLtMatrixLayoutOpaque_t layout;
  EXPECT_EQ(face::cublasLtMatrixLayoutInit_internal(&layout, sizeof(layout) - 1, CUDA_R_32F, 1, 1, 1),
            CUBLAS_STATUS_ALLOC_FAILED);
  EXPECT_EQ(face::cublasLtMatrixLayoutInit_internal(nullptr, sizeof(layout), CUDA_R_32F, 1, 1, 1),
            CUBLAS_STATUS_INVALID_VALUE);
  EXPECT_EQ(face::cublasLtMatmulPreferenceCreate(nullptr), CUBLAS_STATUS_INVALID_VALUE);
}

TEST(Descriptors, MadeAndFilledOnesAreTheSame) {
  cublasLtMatmulDescOpaque_t filled;
  std::memset(&filled, 0xa5, sizeof(filled));
  ASSERT_EQ(face::cublasLtMatmulDescInit_internal(&filled, sizeof(filled), CUBLAS_COMPUTE_64F, CUDA_R_64F),
            CUBLAS_STATUS_SUCCESS);
  cublasLtMatmulDesc_t made = nullptr;
  ASSERT_EQ(face::cublasLtMatmulDescCreate(&made, CUBLAS_COMPUTE_64F, CUDA_R_64F), CUBLAS_STATUS_SUCCESS);
  EXPECT_EQ(std::memcmp(&filled, made, sizeof(filled)), 0);
  EXPECT_EQ(face::cublasLtMatmulDescDestroy(made), CUBLAS_STATUS_SUCCESS);
}

}  // namespace
}  // namespace accelmesh::blaslt
