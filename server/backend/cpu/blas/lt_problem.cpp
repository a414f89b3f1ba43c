#include "server/backend/cpu/blas/lt_problem.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "server/backend/cpu/blas/lt_elements.h"
#include "server/backend/cpu/blas/openblas.h"

namespace accelmesh::cpu_blas {
namespace {

constexpr i64 kAux = 128;
constexpr i64 kGradient = 16;

bool IsOperation(i64 value) { return value == CUBLAS_OP_N || value == CUBLAS_OP_T || value == CUBLAS_OP_C; }

const char* RefusalOf(const LtLayout& layout) {
  if (layout.order != CUBLASLT_ORDER_COL && layout.order != CUBLASLT_ORDER_ROW)
    return "the cpu backend has no memory orders but columns and rows";
  if (layout.plane_offset != 0) return "the cpu backend has no planes of complex numbers";
  if (layout.batch_mode != CUBLASLT_BATCH_MODE_STRIDED && layout.batch_mode != CUBLASLT_BATCH_MODE_POINTER_ARRAY)
    return "an unknown batch mode";
  if (layout.rows < 0 || layout.columns < 0 || layout.batch_count < 1 || ElementBytes(layout.type) == 0 ||
      layout.leading < (IsRowOrder(layout) ? layout.columns : layout.rows))
    return "a layout of no matrix";
  return Fit(layout.rows, layout.columns, LeadingOf(layout)) ? nullptr : "the cpu backend has no such large matrices";
}

// Scales of whole matrices and, of A and B, one for each row or column.
const char* RefusalOfScale(std::uint64_t scale, i64 mode, i64 type, bool is_operand) {
  if (mode == CUBLASLT_MATMUL_MATRIX_SCALE_OUTER_VEC_32F && is_operand) {
    if (scale == 0) return "scales of rows or columns that are nowhere";
  } else if (mode != CUBLASLT_MATMUL_MATRIX_SCALE_SCALAR_32F) {
    return "the cpu backend has no scales of blocks";
  }
  return scale == 0 || IsFloat8(type) ? nullptr : "a scale of a matrix that has none";
}

const char* RefusalOfEpilogue(const LtOperation& operation, const LtLayouts& layouts) {
  Epilogue epilogue;
  if (!ReadEpilogue(operation.epilogue, &epilogue)) return "an unknown epilogue";
  if (operation.epilogue == CUBLASLT_EPILOGUE_DEFAULT) return nullptr;
  if (IsComplexType(layouts.d.type)) return "complex products have no epilogue";
  if (operation.scale_type == CUDA_R_32I && operation.epilogue != CUBLASLT_EPILOGUE_RELU)
    return "products of whole numbers have no such epilogue";
  if ((epilogue.has_bias || epilogue.has_gradient()) && operation.bias_type != -1 &&
      (ElementBytes(operation.bias_type) == 0 || IsComplexType(operation.bias_type)))
    return "a bias of an unknown type";
  if (epilogue.has_gradient() && layouts.d.batch_count > 1 && operation.bias_batch_stride == 0)
    return "the gradients of several products in one place";
  if (!epilogue.has_aux) return nullptr;
  if (IsRowOrder(layouts.d)) return "the cpu backend has no auxiliary matrix beside a result in rows";
  const i64 unit = epilogue.has_relu ? 128 : 8;
  if (operation.aux_leading < layouts.d.rows || operation.aux_leading % unit != 0 ||
      operation.aux_batch_stride % unit != 0)
    return "an auxiliary matrix that is too small, or out of step";
  const i64 type = operation.aux_type == -1 ? layouts.d.type : operation.aux_type;
  return epilogue.has_relu || (ElementBytes(type) != 0 && !IsComplexType(type))
             ? nullptr
             : "an auxiliary matrix of an unknown type";
}

const char* RefusalOfShapes(const LtOperation& operation, const LtLayouts& layouts) {
  for (const LtLayout* layout : {&layouts.a, &layouts.b, &layouts.c, &layouts.d}) {
    if (const char* why = RefusalOf(*layout); why != nullptr) return why;
    if (layout->batch_count != layouts.d.batch_count || layout->batch_mode != layouts.d.batch_mode)
      return "batches that differ";
  }
  if (!IsOperation(operation.transa) || !IsOperation(operation.transb) || operation.transc != CUBLAS_OP_N)
    return "an unknown transposition";
  const bool flat_a = operation.transa == CUBLAS_OP_N;
  const bool flat_b = operation.transb == CUBLAS_OP_N;
  const i64 m = flat_a ? layouts.a.rows : layouts.a.columns;
  const i64 k = flat_a ? layouts.a.columns : layouts.a.rows;
  const i64 n = flat_b ? layouts.b.columns : layouts.b.rows;
  if ((flat_b ? layouts.b.rows : layouts.b.columns) != k || layouts.d.rows != m || layouts.d.columns != n ||
      layouts.c.rows != m || layouts.c.columns != n)
    return "matrices that do not fit one another";
  if (layouts.d.batch_count > 1 && layouts.d.batch_mode == CUBLASLT_BATCH_MODE_STRIDED && layouts.d.batch_stride == 0)
    return "several products in one place";
  return nullptr;
}

bool IsIn(i64 type, std::initializer_list<i64> all) {
  for (const i64 one : all) {
    if (type == one) return true;
  }
  return false;
}

}  // namespace

bool ReadEpilogue(i64 epilogue, Epilogue* all) {
  *all = Epilogue{};
  all->has_aux = (epilogue & kAux) != 0;
  switch (epilogue) {
    case CUBLASLT_EPILOGUE_DEFAULT: return true;
    case CUBLASLT_EPILOGUE_BGRADA: all->has_a_gradient = true; return true;
    case CUBLASLT_EPILOGUE_BGRADB: all->has_b_gradient = true; return true;
    case CUBLASLT_EPILOGUE_DRELU:
    case CUBLASLT_EPILOGUE_DRELU_BGRAD: all->has_relu = all->is_gradient = true; break;
    case CUBLASLT_EPILOGUE_DGELU:
    case CUBLASLT_EPILOGUE_DGELU_BGRAD: all->has_gelu = all->is_gradient = true; break;
    case CUBLASLT_EPILOGUE_BIAS:
    case CUBLASLT_EPILOGUE_RELU:
    case CUBLASLT_EPILOGUE_RELU_AUX:
    case CUBLASLT_EPILOGUE_RELU_BIAS:
    case CUBLASLT_EPILOGUE_RELU_AUX_BIAS:
    case CUBLASLT_EPILOGUE_GELU:
    case CUBLASLT_EPILOGUE_GELU_AUX:
    case CUBLASLT_EPILOGUE_GELU_BIAS:
    case CUBLASLT_EPILOGUE_GELU_AUX_BIAS:
      all->has_relu = (epilogue & CUBLASLT_EPILOGUE_RELU) != 0;
      all->has_gelu = (epilogue & CUBLASLT_EPILOGUE_GELU) != 0;
      all->has_bias = (epilogue & CUBLASLT_EPILOGUE_BIAS) != 0;
      return true;
    default: return false;
  }
  all->has_row_gradient = (epilogue & kGradient) != 0;
  return true;
}

i64 LeadingOf(const LtLayout& layout) {
  const i64 count = IsRowOrder(layout) ? layout.rows : layout.columns;
  return count <= 1 ? std::max<i64>(1, IsRowOrder(layout) ? layout.columns : layout.rows) : layout.leading;
}

const char* RefusalOf(const LtTypes& types) {
  static constexpr const char* kTypes = "the cpu backend has no products of such types";
  const bool is_same = types.a == types.b && types.c == types.d;
  bool fits = false;
  switch (types.compute_type) {
    case CUBLAS_COMPUTE_16F:
    case CUBLAS_COMPUTE_16F_PEDANTIC:
      fits = is_same && types.scale_type == CUDA_R_16F && types.a == CUDA_R_16F && types.d == CUDA_R_16F;
      break;
    case CUBLAS_COMPUTE_32I:
    case CUBLAS_COMPUTE_32I_PEDANTIC:
      fits = is_same && types.a == CUDA_R_8I &&
             ((types.scale_type == CUDA_R_32I && types.d == CUDA_R_32I) ||
              (types.scale_type == CUDA_R_32F && types.d == CUDA_R_8I));
      break;
    case CUBLAS_COMPUTE_32F:
    case CUBLAS_COMPUTE_32F_PEDANTIC:
    case CUBLAS_COMPUTE_32F_FAST_16F:
    case CUBLAS_COMPUTE_32F_FAST_16BF:
    case CUBLAS_COMPUTE_32F_FAST_TF32:
    case CUBLAS_COMPUTE_32F_EMULATED_16BFX9:
      if (types.scale_type == CUDA_C_32F) {
        fits = is_same && types.d == CUDA_C_32F && IsIn(types.a, {CUDA_C_32F, CUDA_C_8I});
      } else if (types.scale_type == CUDA_R_32F && IsFloat8(types.a) && IsFloat8(types.b)) {
        fits = IsIn(types.c, {CUDA_R_16F, CUDA_R_16BF, CUDA_R_32F}) && (types.d == types.c || IsFloat8(types.d));
      } else if (types.scale_type == CUDA_R_32F && is_same) {
        fits = types.d == CUDA_R_32F ? IsIn(types.a, {CUDA_R_32F, CUDA_R_16F, CUDA_R_16BF, CUDA_R_8I})
                                     : types.a == types.d && IsIn(types.d, {CUDA_R_16F, CUDA_R_16BF});
      }
      break;
    case CUBLAS_COMPUTE_64F:
    case CUBLAS_COMPUTE_64F_PEDANTIC:
    case CUBLAS_COMPUTE_64F_EMULATED_FIXEDPOINT:
      fits = is_same && types.a == types.d && types.scale_type == types.a && IsIn(types.a, {CUDA_R_64F, CUDA_C_64F});
      break;
    default: break;
  }
  return fits ? nullptr : kTypes;
}

const char* RefusalOf(const LtOperation& operation, const LtLayouts& layouts) {
  if (const char* why = RefusalOfShapes(operation, layouts); why != nullptr) return why;
  if (const char* why = RefusalOf(LtTypes{operation.compute_type, operation.scale_type, layouts.a.type, layouts.b.type,
                                          layouts.c.type, layouts.d.type});
      why != nullptr)
    return why;
  if (operation.fill_mode != CUBLAS_FILL_MODE_FULL) return "the cpu backend has no products of one triangle";
  if (operation.pointer_mode < CUBLASLT_POINTER_MODE_HOST ||
      operation.pointer_mode > CUBLASLT_POINTER_MODE_ALPHA_DEVICE_VECTOR_BETA_HOST)
    return "an unknown pointer mode";
  const i64 aux_type = operation.aux_type == -1 ? layouts.d.type : operation.aux_type;
  for (const char* why :
       {RefusalOfScale(operation.a_scale, operation.a_scale_mode, layouts.a.type, true),
        RefusalOfScale(operation.b_scale, operation.b_scale_mode, layouts.b.type, true),
        RefusalOfScale(operation.c_scale, operation.c_scale_mode, layouts.c.type, false),
        RefusalOfScale(operation.d_scale, operation.d_scale_mode, layouts.d.type, false),
        RefusalOfScale(operation.d_amax, CUBLASLT_MATMUL_MATRIX_SCALE_SCALAR_32F, layouts.d.type, false),
        RefusalOfScale(operation.aux_scale, operation.aux_scale_mode, aux_type, false),
        RefusalOfScale(operation.aux_amax, CUBLASLT_MATMUL_MATRIX_SCALE_SCALAR_32F, aux_type, false)}) {
    if (why != nullptr) return why;
  }
  if (operation.d_out_scale != 0) return "the cpu backend has no scales of blocks";
  if (operation.mantissa_bits != 0) return "nothing is emulated on the cpu backend";
  return RefusalOfEpilogue(operation, layouts);
}

const char* RefusalOf(const LtTransform& words) {
  if (!IsIn(words.scale_type, {CUDA_R_32F, CUDA_R_64F, CUDA_R_32I, CUDA_R_16F, CUDA_C_32F, CUDA_C_64F}))
    return "scalars of an unknown type";
  if (words.pointer_mode != CUBLASLT_POINTER_MODE_HOST && words.pointer_mode != CUBLASLT_POINTER_MODE_DEVICE)
    return "an unknown pointer mode";
  if (!IsOperation(words.transa) || !IsOperation(words.transb)) return "an unknown transposition";
  if (const char* why = RefusalOf(words.c_layout); why != nullptr) return why;
  const bool is_complex = IsComplexType(words.scale_type);
  const auto refusal_of_side = [&](const LtLayout& side, i64 operation) -> const char* {
    if (const char* why = RefusalOf(side); why != nullptr) return why;
    const bool is_flat = operation == CUBLAS_OP_N;
    if ((is_flat ? side.rows : side.columns) != words.c_layout.rows ||
        (is_flat ? side.columns : side.rows) != words.c_layout.columns ||
        side.batch_count != words.c_layout.batch_count || side.batch_mode != words.c_layout.batch_mode)
      return "matrices that do not fit one another";
    return IsComplexType(side.type) == is_complex ? nullptr : "complex and real matrices at a time";
  };
  if (words.a != 0) {
    if (const char* why = refusal_of_side(words.a_layout, words.transa); why != nullptr) return why;
  }
  if (words.b != 0) {
    if (const char* why = refusal_of_side(words.b_layout, words.transb); why != nullptr) return why;
  }
  if (IsComplexType(words.c_layout.type) != is_complex || words.c_layout.type == CUDA_C_8I)
    return "a result that is complex where the scalars are real, or the other way around";
  return nullptr;
}

LtAlgorithm WordsOf(const CpuAlgorithm& algorithm) {
  static_assert(sizeof(CpuAlgorithm) <= sizeof(LtAlgorithm));
  LtAlgorithm words{};
  std::memcpy(words.data(), &algorithm, sizeof(algorithm));
  return words;
}

CpuAlgorithm AlgorithmOf(const LtAlgorithm& words) {
  CpuAlgorithm algorithm;
  std::memcpy(static_cast<void*>(&algorithm), words.data(), sizeof(algorithm));
  return algorithm;
}

const char* RefusalOf(const LtAlgorithm& words) {
  const CpuAlgorithm algorithm = AlgorithmOf(words);
  if (algorithm.mark != CpuAlgorithm::kMark || algorithm.id != 0) return "an algorithm of another library's";
  return algorithm == CpuAlgorithm{} ? nullptr : "the cpu backend's algorithm has no such configuration";
}

}  // namespace accelmesh::cpu_blas
