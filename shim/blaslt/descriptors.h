// What lies in the opaque bytes of cuBLASLt's descriptors. Programs copy them by value, keep them where they like and
// need not destroy them: all that a descriptor says is in it.
//
// Threads: pure functions; a descriptor is the program's.
#pragma once

#include <cublasLt.h>

#include <cstdint>
#include <cstring>
#include <type_traits>

namespace accelmesh::blaslt {

struct Layout {
  std::uint64_t rows = 0;
  std::uint64_t columns = 0;
  std::int64_t leading = 0;
  std::int64_t batch_stride = 0;
  std::int64_t plane_offset = 0;
  std::uint32_t type = 0;
  std::int32_t order = CUBLASLT_ORDER_COL;
  std::int32_t batch_count = 1;
  std::uint32_t batch_mode = CUBLASLT_BATCH_MODE_STRIDED;
};
static_assert(sizeof(Layout) <= sizeof(cublasLtMatrixLayoutOpaque_t));

struct Operation {
  const void* bias = nullptr;
  std::int64_t bias_batch_stride = 0;
  void* aux = nullptr;
  std::int64_t aux_leading = 0;
  std::int64_t aux_batch_stride = 0;
  const void* aux_scale = nullptr;
  void* aux_amax = nullptr;
  std::int64_t alpha_batch_stride = 0;
  const void* a_scale = nullptr;
  const void* b_scale = nullptr;
  const void* c_scale = nullptr;
  const void* d_scale = nullptr;
  void* d_out_scale = nullptr;
  void* d_amax = nullptr;
  cublasLtEmulationDesc_t emulation = nullptr;
  std::int32_t compute_type = 0;
  std::int32_t scale_type = 0;
  std::int32_t pointer_mode = CUBLASLT_POINTER_MODE_HOST;
  std::int32_t transa = CUBLAS_OP_N;
  std::int32_t transb = CUBLAS_OP_N;
  std::int32_t transc = CUBLAS_OP_N;
  std::int32_t fill_mode = CUBLAS_FILL_MODE_FULL;
  std::uint32_t epilogue = CUBLASLT_EPILOGUE_DEFAULT;
  std::int32_t bias_type = -1;
  std::int32_t aux_type = -1;
  std::int32_t sm_count_target = 0;
  std::int32_t a_scale_mode = CUBLASLT_MATMUL_MATRIX_SCALE_SCALAR_32F;
  std::int32_t b_scale_mode = CUBLASLT_MATMUL_MATRIX_SCALE_SCALAR_32F;
  std::int32_t c_scale_mode = CUBLASLT_MATMUL_MATRIX_SCALE_SCALAR_32F;
  std::int32_t d_scale_mode = CUBLASLT_MATMUL_MATRIX_SCALE_SCALAR_32F;
  std::int32_t aux_scale_mode = CUBLASLT_MATMUL_MATRIX_SCALE_SCALAR_32F;
  std::int32_t d_out_scale_mode = CUBLASLT_MATMUL_MATRIX_SCALE_SCALAR_32F;
  std::int8_t fast_accumulation = 0;
};
static_assert(sizeof(Operation) <= sizeof(cublasLtMatmulDescOpaque_t));

struct Transformation {
  std::int32_t scale_type = 0;
  std::int32_t pointer_mode = CUBLASLT_POINTER_MODE_HOST;
  std::int32_t transa = CUBLAS_OP_N;
  std::int32_t transb = CUBLAS_OP_N;
};
static_assert(sizeof(Transformation) <= sizeof(cublasLtMatrixTransformDescOpaque_t));

struct Preference {
  std::uint64_t workspace_bytes_max = 0;
  std::uint64_t implementation_mask = ~std::uint64_t{0};
  std::uint32_t search_mode = CUBLASLT_SEARCH_BEST_FIT;
  std::uint32_t reduction_mask = CUBLASLT_REDUCTION_SCHEME_MASK;
  std::uint32_t a_alignment = 256;  // bytes
  std::uint32_t b_alignment = 256;
  std::uint32_t c_alignment = 256;
  std::uint32_t d_alignment = 256;
  float waves_max = 0;
};
static_assert(sizeof(Preference) <= sizeof(cublasLtMatmulPreferenceOpaque_t));

struct Emulation {
  std::int32_t* mantissa_bits = nullptr;
  std::int32_t strategy = 0;
  std::int32_t special_values = 0xffff;
  std::int32_t mantissa_control = 0;
  std::int32_t mantissa_bits_max = 0;
  std::int32_t mantissa_bit_offset = 0;
};
static_assert(sizeof(Emulation) <= sizeof(cublasLtEmulationDescOpaque_t));

template <typename State, typename Opaque>
State Load(const Opaque& opaque) {
  static_assert(std::is_trivially_copyable_v<State>);
  State state;
  std::memcpy(static_cast<void*>(&state), &opaque, sizeof(state));
  return state;
}

}  // namespace accelmesh::blaslt
