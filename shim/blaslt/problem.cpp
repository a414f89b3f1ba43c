#include "shim/blaslt/problem.h"

#include <algorithm>
#include <bit>

#include "shim/blaslt/types.h"

namespace accelmesh::blaslt {
namespace {

std::uint64_t AddressOf(const void* pointer) { return reinterpret_cast<std::uintptr_t>(pointer); }
std::int64_t Signed(std::uint64_t value) { return static_cast<std::int64_t>(value); }

bool IsEpilogue(std::int64_t epilogue) {
  switch (epilogue) {
    case CUBLASLT_EPILOGUE_DEFAULT:
    case CUBLASLT_EPILOGUE_RELU:
    case CUBLASLT_EPILOGUE_RELU_AUX:
    case CUBLASLT_EPILOGUE_BIAS:
    case CUBLASLT_EPILOGUE_RELU_BIAS:
    case CUBLASLT_EPILOGUE_RELU_AUX_BIAS:
    case CUBLASLT_EPILOGUE_DRELU:
    case CUBLASLT_EPILOGUE_DRELU_BGRAD:
    case CUBLASLT_EPILOGUE_GELU:
    case CUBLASLT_EPILOGUE_GELU_AUX:
    case CUBLASLT_EPILOGUE_GELU_BIAS:
    case CUBLASLT_EPILOGUE_GELU_AUX_BIAS:
    case CUBLASLT_EPILOGUE_DGELU:
    case CUBLASLT_EPILOGUE_DGELU_BGRAD:
    case CUBLASLT_EPILOGUE_BGRADA:
    case CUBLASLT_EPILOGUE_BGRADB: return true;
    default: return false;
  }
}
// Its aux is a matrix of bits.
bool HasMask(std::int64_t epilogue) { return HasAux(epilogue) && (epilogue & (CUBLASLT_EPILOGUE_GELU | 64)) == 0; }

std::int64_t RoundUp(std::int64_t value, std::int64_t unit) { return (value + unit - 1) / unit * unit; }

// The smallest leading dimension that a matrix of that order may have; 0 for what is no order.
std::int64_t LeadingMin(const LtLayout& layout) {
  switch (layout.order) {
    case CUBLASLT_ORDER_COL: return layout.rows;
    case CUBLASLT_ORDER_ROW: return layout.columns;
    case CUBLASLT_ORDER_COL32: return 32 * layout.rows;
    case CUBLASLT_ORDER_COL4_4R2_8C: return 32 * RoundUp(layout.rows, 8);
    case CUBLASLT_ORDER_COL32_2R_4R4: return 32 * RoundUp(layout.rows, 32);
    default: return 0;
  }
}

bool IsScaleMode(std::int64_t mode) {
  return mode >= CUBLASLT_MATMUL_MATRIX_SCALE_SCALAR_32F && mode < CUBLASLT_MATMUL_MATRIX_SCALE_END;
}

cublasStatus_t CheckEpilogue(const LtOperation& operation, const LtLayout& d) {
  const std::int64_t epilogue = operation.epilogue;
  if (!IsEpilogue(epilogue)) return CUBLAS_STATUS_INVALID_VALUE;
  if (!HasAux(epilogue)) return CUBLAS_STATUS_SUCCESS;
  const std::int64_t unit = HasMask(epilogue) ? 128 : 8;
  const bool fits =
      operation.aux_leading >= d.rows && operation.aux_leading % unit == 0 && operation.aux_batch_stride % unit == 0;
  return fits ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_INVALID_VALUE;
}

// Scales are of matrices of narrow types.
cublasStatus_t CheckScales(const LtOperation& operation, const LtLayouts& layouts) {
  for (const std::int64_t mode : {operation.a_scale_mode, operation.b_scale_mode, operation.c_scale_mode,
                                  operation.d_scale_mode, operation.aux_scale_mode, operation.d_out_scale_mode}) {
    if (!IsScaleMode(mode)) return CUBLAS_STATUS_INVALID_VALUE;
  }
  const std::int64_t aux_type = operation.aux_type == -1 ? layouts.d.type : operation.aux_type;
  const bool fits = (operation.a_scale == 0 || IsNarrow(layouts.a.type)) &&
                    (operation.b_scale == 0 || IsNarrow(layouts.b.type)) &&
                    (operation.c_scale == 0 || IsNarrow(layouts.c.type)) &&
                    ((operation.d_scale | operation.d_amax | operation.d_out_scale) == 0 || IsNarrow(layouts.d.type)) &&
                    ((operation.aux_scale | operation.aux_amax) == 0 || IsNarrow(aux_type));
  return fits ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_INVALID_VALUE;
}

cublasStatus_t CheckShapes(const LtOperation& operation, const LtLayouts& layouts) {
  const auto& [a, b, c, d] = layouts;
  const bool flat_a = operation.transa == CUBLAS_OP_N;
  const bool flat_b = operation.transb == CUBLAS_OP_N;
  const std::int64_t m = flat_a ? a.rows : a.columns;
  const std::int64_t k = flat_a ? a.columns : a.rows;
  const std::int64_t n = flat_b ? b.columns : b.rows;
  if ((flat_b ? b.rows : b.columns) != k || d.rows != m || d.columns != n || c.rows != m || c.columns != n)
    return CUBLAS_STATUS_INVALID_VALUE;
  for (const LtLayout* layout : {&a, &b, &c}) {
    if (layout->batch_count != d.batch_count || layout->batch_mode != d.batch_mode) return CUBLAS_STATUS_INVALID_VALUE;
  }
  // The products of a batch would be written to one place.
  if (d.batch_count > 1 && d.batch_mode == CUBLASLT_BATCH_MODE_STRIDED && d.batch_stride == 0)
    return CUBLAS_STATUS_INVALID_VALUE;
  return CUBLAS_STATUS_SUCCESS;
}

}  // namespace

LtLayout ReadLayout(const cublasLtMatrixLayoutOpaque_t& from) {
  const auto layout = Load<Layout>(from);
  return {.type = layout.type,
          .order = layout.order,
          .rows = Signed(layout.rows),
          .columns = Signed(layout.columns),
          .leading = layout.leading,
          .batch_count = layout.batch_count,
          .batch_stride = layout.batch_stride,
          .plane_offset = layout.plane_offset,
          .batch_mode = layout.batch_mode};
}

LtPreference WordsOf(const Preference& preference) {
  return {.search_mode = preference.search_mode,
          .workspace_bytes_max = preference.workspace_bytes_max,
          .reduction_mask = preference.reduction_mask,
          .a_alignment = preference.a_alignment,
          .b_alignment = preference.b_alignment,
          .c_alignment = preference.c_alignment,
          .d_alignment = preference.d_alignment,
          .waves_max = std::bit_cast<std::uint32_t>(preference.waves_max),
          .implementation_mask = preference.implementation_mask};
}

cublasStatus_t ReadMatmul(const MatmulDescriptors& from, LtOperation* operation, LtLayouts* layouts) {
  if (from.operation == nullptr || from.a == nullptr || from.b == nullptr || from.c == nullptr || from.d == nullptr)
    return CUBLAS_STATUS_INVALID_VALUE;
  const auto state = Load<Operation>(*from.operation);
  *operation = {.compute_type = state.compute_type,
                .scale_type = state.scale_type,
                .pointer_mode = state.pointer_mode,
                .transa = state.transa,
                .transb = state.transb,
                .transc = state.transc,
                .fill_mode = state.fill_mode,
                .epilogue = state.epilogue,
                .bias = AddressOf(state.bias),
                .bias_batch_stride = state.bias_batch_stride,
                .bias_type = state.bias_type,
                .aux = AddressOf(state.aux),
                .aux_leading = state.aux_leading,
                .aux_batch_stride = state.aux_batch_stride,
                .aux_type = state.aux_type,
                .aux_scale = AddressOf(state.aux_scale),
                .aux_amax = AddressOf(state.aux_amax),
                .aux_scale_mode = state.aux_scale_mode,
                .alpha_batch_stride = state.alpha_batch_stride,
                .sm_count_target = state.sm_count_target,
                .a_scale = AddressOf(state.a_scale),
                .b_scale = AddressOf(state.b_scale),
                .c_scale = AddressOf(state.c_scale),
                .d_scale = AddressOf(state.d_scale),
                .a_scale_mode = state.a_scale_mode,
                .b_scale_mode = state.b_scale_mode,
                .c_scale_mode = state.c_scale_mode,
                .d_scale_mode = state.d_scale_mode,
                .d_out_scale = AddressOf(state.d_out_scale),
                .d_out_scale_mode = state.d_out_scale_mode,
                .d_amax = AddressOf(state.d_amax),
                .fast_accumulation = state.fast_accumulation};
  if (state.emulation != nullptr) {
    const auto emulation = Load<Emulation>(*state.emulation);
    operation->has_emulation = 1;
    operation->emulation_strategy = emulation.strategy;
    operation->special_values = emulation.special_values;
    operation->mantissa_control = emulation.mantissa_control;
    operation->mantissa_bits_max = emulation.mantissa_bits_max;
    operation->mantissa_bit_offset = emulation.mantissa_bit_offset;
    operation->mantissa_bits = AddressOf(emulation.mantissa_bits);
  }
  *layouts = {ReadLayout(*from.a), ReadLayout(*from.b), ReadLayout(*from.c), ReadLayout(*from.d)};
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t CheckLayout(const LtLayout& layout) {
  constexpr std::int64_t kDimensionMax = std::int64_t{1} << 56;  // so that nothing here overflows
  if (layout.rows < 0 || layout.columns < 0 || layout.rows > kDimensionMax || layout.columns > kDimensionMax)
    return CUBLAS_STATUS_INVALID_VALUE;
  const bool is_order = layout.order >= CUBLASLT_ORDER_COL && layout.order <= CUBLASLT_ORDER_COL32_2R_4R4;
  const bool is_mode =
      layout.batch_mode == CUBLASLT_BATCH_MODE_STRIDED || layout.batch_mode == CUBLASLT_BATCH_MODE_POINTER_ARRAY;
  const bool fits = is_order && is_mode && layout.batch_count >= 1 && AlignmentOf(layout.type) != 0 &&
                    layout.leading >= std::max<std::int64_t>(1, LeadingMin(layout));
  return fits ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_INVALID_VALUE;
}

cublasStatus_t CheckMatmul(const LtOperation& operation, const LtLayouts& layouts) {
  const LtLayout* const all[] = {&layouts.a, &layouts.b, &layouts.c, &layouts.d};
  for (const LtLayout* layout : all) {
    if (const cublasStatus_t status = CheckLayout(*layout); status != CUBLAS_STATUS_SUCCESS) return status;
  }
  if (!IsOperation(operation.transa) || !IsOperation(operation.transb) || !IsOperation(operation.transc))
    return CUBLAS_STATUS_INVALID_VALUE;
  if (operation.pointer_mode < CUBLASLT_POINTER_MODE_HOST ||
      operation.pointer_mode > CUBLASLT_POINTER_MODE_ALPHA_DEVICE_VECTOR_BETA_HOST)
    return CUBLAS_STATUS_INVALID_VALUE;
  if (operation.pointer_mode == CUBLASLT_POINTER_MODE_ALPHA_DEVICE_VECTOR_BETA_ZERO &&
      operation.alpha_batch_stride != 0)
    return CUBLAS_STATUS_INVALID_VALUE;
  if (const cublasStatus_t status = CheckShapes(operation, layouts); status != CUBLAS_STATUS_SUCCESS) return status;
  if (const cublasStatus_t status = CheckEpilogue(operation, layouts.d); status != CUBLAS_STATUS_SUCCESS) return status;
  if (const cublasStatus_t status = CheckScales(operation, layouts); status != CUBLAS_STATUS_SUCCESS) return status;
  // What the header says that is not there yet.
  if (operation.transc != CUBLAS_OP_N || operation.fill_mode != CUBLAS_FILL_MODE_FULL)
    return CUBLAS_STATUS_NOT_SUPPORTED;
  const LtTypes types{operation.compute_type, operation.scale_type, layouts.a.type,
                      layouts.b.type,         layouts.c.type,       layouts.d.type};
  return IsMatmul(types) ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_NOT_SUPPORTED;
}

std::uint64_t AskedAddress(std::uint64_t address) { return address == 0 ? 0 : kLtAlignedAddress | (address & 0xff); }

LtOperation Asked(const LtOperation& operation) {
  LtOperation asked = operation;
  for (std::uint64_t* address :
       {&asked.bias, &asked.aux, &asked.aux_scale, &asked.aux_amax, &asked.a_scale, &asked.b_scale, &asked.c_scale,
        &asked.d_scale, &asked.d_out_scale, &asked.d_amax, &asked.mantissa_bits})
    *address = AskedAddress(*address);
  return asked;
}

std::int64_t AddressAlignment(std::uint64_t address) { return std::int64_t{1} << std::countr_zero(address | 256); }

}  // namespace accelmesh::blaslt
