#include "shim/blaslt/descriptors.h"

#include <cstddef>
#include <span>

#include "shim/blaslt/attribute.h"
#include "shim/gen_blaslt_face.h"

namespace accelmesh::blaslt {
namespace {

#define ACCELMESH_FIELD(attribute, State, member) {attribute, offsetof(State, member), sizeof(State::member)}

constexpr Field kLayoutFields[] = {
    ACCELMESH_FIELD(CUBLASLT_MATRIX_LAYOUT_TYPE, Layout, type),
    ACCELMESH_FIELD(CUBLASLT_MATRIX_LAYOUT_ORDER, Layout, order),
    ACCELMESH_FIELD(CUBLASLT_MATRIX_LAYOUT_ROWS, Layout, rows),
    ACCELMESH_FIELD(CUBLASLT_MATRIX_LAYOUT_COLS, Layout, columns),
    ACCELMESH_FIELD(CUBLASLT_MATRIX_LAYOUT_LD, Layout, leading),
    ACCELMESH_FIELD(CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, Layout, batch_count),
    ACCELMESH_FIELD(CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, Layout, batch_stride),
    ACCELMESH_FIELD(CUBLASLT_MATRIX_LAYOUT_PLANE_OFFSET, Layout, plane_offset),
    ACCELMESH_FIELD(CUBLASLT_MATRIX_LAYOUT_BATCH_MODE, Layout, batch_mode),
};
constexpr Field kOperationFields[] = {
    ACCELMESH_FIELD(CUBLASLT_MATMUL_DESC_COMPUTE_TYPE, Operation, compute_type),
    ACCELMESH_FIELD(CUBLASLT_MATMUL_DESC_SCALE_TYPE, Operation, scale_type),
    ACCELMESH_FIELD(CUBLASLT_MATMUL_DESC_POINTER_MODE, Operation, pointer_mode),
    ACCELMESH_FIELD(CUBLASLT_MATMUL_DESC_TRANSA, Operation, transa),
    ACCELMESH_FIELD(CUBLASLT_MATMUL_DESC_TRANSB, Operation, transb),
    ACCELMESH_FIELD(CUBLASLT_MATMUL_DESC_TRANSC, Operation, transc),
    ACCELMESH_FIELD(CUBLASLT_MATMUL_DESC_FILL_MODE, Operation, fill_mode),
    ACCELMESH_FIELD(CUBLASLT_MATMUL_DESC_EPILOGUE, Operation, epilogue),
    ACCELMESH_FIELD(CUBLASLT_MATMUL_DESC_BIAS_POINTER, Operation, bias),
    ACCELMESH_FIELD(CUBLASLT_MATMUL_DESC_BIAS_BATCH_STRIDE, Operation, bias_batch_stride),
    ACCELMESH_FIELD(CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, Operation, bias_type),
    ACCELMESH_FIELD(CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER, Operation, aux),
    ACCELMESH_FIELD(CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD, Operation, aux_leading),
    ACCELMESH_FIELD(CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_BATCH_STRIDE, Operation, aux_batch_stride),
    ACCELMESH_FIELD(CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_DATA_TYPE, Operation, aux_type),
    ACCELMESH_FIELD(CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_SCALE_POINTER, Operation, aux_scale),
    ACCELMESH_FIELD(CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_AMAX_POINTER, Operation, aux_amax),
    ACCELMESH_FIELD(CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_SCALE_MODE, Operation, aux_scale_mode),
    ACCELMESH_FIELD(CUBLASLT_MATMUL_DESC_ALPHA_VECTOR_BATCH_STRIDE, Operation, alpha_batch_stride),
    ACCELMESH_FIELD(CUBLASLT_MATMUL_DESC_SM_COUNT_TARGET, Operation, sm_count_target),
    ACCELMESH_FIELD(CUBLASLT_MATMUL_DESC_A_SCALE_POINTER, Operation, a_scale),
    ACCELMESH_FIELD(CUBLASLT_MATMUL_DESC_B_SCALE_POINTER, Operation, b_scale),
    ACCELMESH_FIELD(CUBLASLT_MATMUL_DESC_C_SCALE_POINTER, Operation, c_scale),
    ACCELMESH_FIELD(CUBLASLT_MATMUL_DESC_D_SCALE_POINTER, Operation, d_scale),
    ACCELMESH_FIELD(CUBLASLT_MATMUL_DESC_A_SCALE_MODE, Operation, a_scale_mode),
    ACCELMESH_FIELD(CUBLASLT_MATMUL_DESC_B_SCALE_MODE, Operation, b_scale_mode),
    ACCELMESH_FIELD(CUBLASLT_MATMUL_DESC_C_SCALE_MODE, Operation, c_scale_mode),
    ACCELMESH_FIELD(CUBLASLT_MATMUL_DESC_D_SCALE_MODE, Operation, d_scale_mode),
    ACCELMESH_FIELD(CUBLASLT_MATMUL_DESC_D_OUT_SCALE_POINTER, Operation, d_out_scale),
    ACCELMESH_FIELD(CUBLASLT_MATMUL_DESC_D_OUT_SCALE_MODE, Operation, d_out_scale_mode),
    ACCELMESH_FIELD(CUBLASLT_MATMUL_DESC_AMAX_D_POINTER, Operation, d_amax),
    ACCELMESH_FIELD(CUBLASLT_MATMUL_DESC_FAST_ACCUM, Operation, fast_accumulation),
    ACCELMESH_FIELD(CUBLASLT_MATMUL_DESC_EMULATION_DESCRIPTOR, Operation, emulation),
};
constexpr Field kTransformationFields[] = {
    ACCELMESH_FIELD(CUBLASLT_MATRIX_TRANSFORM_DESC_SCALE_TYPE, Transformation, scale_type),
    ACCELMESH_FIELD(CUBLASLT_MATRIX_TRANSFORM_DESC_POINTER_MODE, Transformation, pointer_mode),
    ACCELMESH_FIELD(CUBLASLT_MATRIX_TRANSFORM_DESC_TRANSA, Transformation, transa),
    ACCELMESH_FIELD(CUBLASLT_MATRIX_TRANSFORM_DESC_TRANSB, Transformation, transb),
};
constexpr Field kPreferenceFields[] = {
    ACCELMESH_FIELD(CUBLASLT_MATMUL_PREF_SEARCH_MODE, Preference, search_mode),
    ACCELMESH_FIELD(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, Preference, workspace_bytes_max),
    ACCELMESH_FIELD(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, Preference, reduction_mask),
    ACCELMESH_FIELD(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, Preference, a_alignment),
    ACCELMESH_FIELD(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, Preference, b_alignment),
    ACCELMESH_FIELD(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, Preference, c_alignment),
    ACCELMESH_FIELD(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, Preference, d_alignment),
    ACCELMESH_FIELD(CUBLASLT_MATMUL_PREF_MAX_WAVES_COUNT, Preference, waves_max),
    ACCELMESH_FIELD(CUBLASLT_MATMUL_PREF_IMPL_MASK, Preference, implementation_mask),
};
constexpr Field kEmulationFields[] = {
    ACCELMESH_FIELD(CUBLASLT_EMULATION_DESC_STRATEGY, Emulation, strategy),
    ACCELMESH_FIELD(CUBLASLT_EMULATION_DESC_SPECIAL_VALUES_SUPPORT, Emulation, special_values),
    ACCELMESH_FIELD(CUBLASLT_EMULATION_DESC_FIXEDPOINT_MANTISSA_CONTROL, Emulation, mantissa_control),
    ACCELMESH_FIELD(CUBLASLT_EMULATION_DESC_FIXEDPOINT_MAX_MANTISSA_BIT_COUNT, Emulation, mantissa_bits_max),
    ACCELMESH_FIELD(CUBLASLT_EMULATION_DESC_FIXEDPOINT_MANTISSA_BIT_OFFSET, Emulation, mantissa_bit_offset),
    ACCELMESH_FIELD(CUBLASLT_EMULATION_DESC_FIXEDPOINT_MANTISSA_BIT_COUNT_POINTER, Emulation, mantissa_bits),
};
#undef ACCELMESH_FIELD

// Also zeros what no attribute lies in: equal descriptors have equal bytes.
template <typename State, typename Opaque>
cublasStatus_t Init(Opaque* opaque, size_t size, const State& state) {
  if (opaque == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  if (size < sizeof(Opaque)) return CUBLAS_STATUS_ALLOC_FAILED;
  *opaque = Opaque{};
  std::memcpy(static_cast<void*>(opaque), &state, sizeof(state));
  return CUBLAS_STATUS_SUCCESS;
}
template <typename State, typename Opaque>
cublasStatus_t Create(Opaque** opaque, const State& state) {
  if (opaque == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  *opaque = new Opaque;
  return Init(*opaque, sizeof(Opaque), state);
}

Layout LayoutOf(cudaDataType type, uint64_t rows, uint64_t cols, int64_t ld) {
  Layout layout;
  layout.type = static_cast<std::uint32_t>(type);
  layout.rows = rows;
  layout.columns = cols;
  layout.leading = ld;
  return layout;
}
Operation OperationOf(cublasComputeType_t compute, cudaDataType_t scale) {
  Operation operation;
  operation.compute_type = compute;
  operation.scale_type = scale;
  return operation;
}
Transformation TransformationOf(cudaDataType scale) {
  Transformation transformation;
  transformation.scale_type = scale;
  return transformation;
}

}  // namespace

cublasStatus_t SetField(void* state, std::span<const Field> fields, int attribute, const void* buffer,
                        std::size_t bytes) {
  const Field* const field = FindField(fields, attribute);
  if (state == nullptr || field == nullptr || buffer == nullptr || bytes != field->bytes)
    return CUBLAS_STATUS_INVALID_VALUE;
  std::memcpy(static_cast<char*>(state) + field->offset, buffer, bytes);
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t GetField(const void* state, std::span<const Field> fields, int attribute, void* buffer,
                        std::size_t bytes, std::size_t* written) {
  const Field* const field = FindField(fields, attribute);
  if (state == nullptr || field == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  return GiveValue(static_cast<const char*>(state) + field->offset, field->bytes, buffer, bytes, written);
}

cublasStatus_t GiveValue(const void* value, std::size_t value_bytes, void* buffer, std::size_t bytes,
                         std::size_t* written) {
  if (bytes == 0) {
    if (written == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  } else {
    if (buffer == nullptr || bytes != value_bytes) return CUBLAS_STATUS_INVALID_VALUE;
    std::memcpy(buffer, value, bytes);
  }
  if (written != nullptr) *written = value_bytes;
  return CUBLAS_STATUS_SUCCESS;
}

}  // namespace accelmesh::blaslt

namespace accelmesh::face {

using namespace accelmesh::blaslt;

// One set of functions per kind of descriptor.
#define ACCELMESH_DESCRIPTOR(Kind, Attribute, fields)                                                         \
  cublasStatus_t cublasLt##Kind##Destroy(cublasLt##Kind##_t descriptor) {                                     \
    delete descriptor;                                                                                        \
    return CUBLAS_STATUS_SUCCESS;                                                                             \
  }                                                                                                           \
  cublasStatus_t cublasLt##Kind##SetAttribute(cublasLt##Kind##_t descriptor, Attribute attr, const void* buf, \
                                              size_t sizeInBytes) {                                           \
    return SetField(descriptor, fields, attr, buf, sizeInBytes);                                              \
  }                                                                                                           \
  cublasStatus_t cublasLt##Kind##GetAttribute(cublasLt##Kind##_t descriptor, Attribute attr, void* buf,       \
                                              size_t sizeInBytes, size_t* sizeWritten) {                      \
    return GetField(descriptor, fields, attr, buf, sizeInBytes, sizeWritten);                                 \
  }
ACCELMESH_DESCRIPTOR(MatrixLayout, cublasLtMatrixLayoutAttribute_t, kLayoutFields)
ACCELMESH_DESCRIPTOR(MatmulDesc, cublasLtMatmulDescAttributes_t, kOperationFields)
ACCELMESH_DESCRIPTOR(MatrixTransformDesc, cublasLtMatrixTransformDescAttributes_t, kTransformationFields)
ACCELMESH_DESCRIPTOR(MatmulPreference, cublasLtMatmulPreferenceAttributes_t, kPreferenceFields)
ACCELMESH_DESCRIPTOR(EmulationDesc, cublasLtEmulationDescAttributes_t, kEmulationFields)
#undef ACCELMESH_DESCRIPTOR

cublasStatus_t cublasLtMatrixLayoutInit_internal(cublasLtMatrixLayout_t matLayout, size_t size, cudaDataType type,
                                                 uint64_t rows, uint64_t cols, int64_t ld) {
  return Init(matLayout, size, LayoutOf(type, rows, cols, ld));
}
cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t* matLayout, cudaDataType type, uint64_t rows,
                                          uint64_t cols, int64_t ld) {
  return Create(matLayout, LayoutOf(type, rows, cols, ld));
}
cublasStatus_t cublasLtMatmulDescInit_internal(cublasLtMatmulDesc_t matmulDesc, size_t size,
                                               cublasComputeType_t computeType, cudaDataType_t scaleType) {
  return Init(matmulDesc, size, OperationOf(computeType, scaleType));
}
cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t* matmulDesc, cublasComputeType_t computeType,
                                        cudaDataType_t scaleType) {
  return Create(matmulDesc, OperationOf(computeType, scaleType));
}
cublasStatus_t cublasLtMatrixTransformDescInit_internal(cublasLtMatrixTransformDesc_t transformDesc, size_t size,
                                                        cudaDataType scaleType) {
  return Init(transformDesc, size, TransformationOf(scaleType));
}
cublasStatus_t cublasLtMatrixTransformDescCreate(cublasLtMatrixTransformDesc_t* transformDesc, cudaDataType scaleType) {
  return Create(transformDesc, TransformationOf(scaleType));
}
cublasStatus_t cublasLtMatmulPreferenceInit_internal(cublasLtMatmulPreference_t pref, size_t size) {
  return Init(pref, size, Preference{});
}
cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t* pref) { return Create(pref, Preference{}); }
cublasStatus_t cublasLtEmulationDescInit_internal(cublasLtEmulationDesc_t emulationDesc, size_t size) {
  return Init(emulationDesc, size, Emulation{});
}
cublasStatus_t cublasLtEmulationDescCreate(cublasLtEmulationDesc_t* emulationDesc) {
  return Create(emulationDesc, Emulation{});
}

}  // namespace accelmesh::face
