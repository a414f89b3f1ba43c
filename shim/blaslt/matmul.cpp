// Products and transformations of matrices: posted, once it is known that the server's library has them.
#include <array>
#include <bit>
#include <cstring>

#include "shim/blaslt/algorithm.h"
#include "shim/blaslt/call.h"
#include "shim/blaslt/descriptors.h"
#include "shim/blaslt/problem.h"
#include "shim/blaslt/types.h"
#include "shim/gen_blaslt_face.h"

namespace accelmesh::blaslt {
namespace {

constexpr std::size_t kWorkspaceAlignment = 16;

std::uint64_t AddressOf(const void* pointer) { return reinterpret_cast<std::uintptr_t>(pointer); }
bool IsAligned(std::int64_t type, std::uint64_t address) { return address % AlignmentOf(type) == 0; }

// A scalar as the wire has it. False if there is none where one is needed.
bool ReadScalar(const void* pointer, bool on_host, std::size_t bytes, std::array<std::uint64_t, 2>* words) {
  if (pointer == nullptr) return false;
  if (on_host) {
    std::memcpy(words->data(), pointer, bytes);
  } else {
    (*words)[0] = AddressOf(pointer);
  }
  return true;
}
// Whether the scalar of `bytes` is 0, of any type: minus 0 is, too.
bool IsZero(const std::array<std::uint64_t, 2>& words, std::int64_t scale_type) {
  constexpr std::uint64_t kHalfSign = 0x8000;
  constexpr std::uint64_t kFloatSign = 0x80000000;
  constexpr std::uint64_t kDoubleSign = std::uint64_t{1} << 63;
  switch (scale_type) {
    case CUDA_R_16F:
    case CUDA_R_16BF: return (words[0] & ~kHalfSign) == 0;
    case CUDA_R_32F: return (words[0] & ~kFloatSign) == 0;
    case CUDA_C_32F: return (words[0] & ~kFloatSign & ~kDoubleSign) == 0;
    case CUDA_R_64F:
    case CUDA_C_64F: return ((words[0] | words[1]) & ~kDoubleSign) == 0;
    default: return words[0] == 0;
  }
}

// Both scalars of a product.
cublasStatus_t ReadScalars(const void* alpha, const void* beta, LtMatmul* words) {
  const std::int64_t mode = words->operation.pointer_mode;
  const std::size_t bytes = ScaleBytes(words->operation.scale_type);
  if (!ReadScalar(alpha, mode == CUBLASLT_POINTER_MODE_HOST, bytes, &words->alpha)) return CUBLAS_STATUS_INVALID_VALUE;
  if (mode == CUBLASLT_POINTER_MODE_ALPHA_DEVICE_VECTOR_BETA_ZERO) return CUBLAS_STATUS_SUCCESS;
  const bool on_host =
      mode == CUBLASLT_POINTER_MODE_HOST || mode == CUBLASLT_POINTER_MODE_ALPHA_DEVICE_VECTOR_BETA_HOST;
  return ReadScalar(beta, on_host, bytes, &words->beta) ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_INVALID_VALUE;
}

bool IsBetaZero(const LtMatmul& words) {
  const std::int64_t mode = words.operation.pointer_mode;
  if (mode == CUBLASLT_POINTER_MODE_DEVICE || mode == CUBLASLT_POINTER_MODE_DEVICE_VECTOR) return false;
  return IsZero(words.beta, words.operation.scale_type);
}

cublasStatus_t CheckOperands(const LtMatmul& words) {
  const LtOperation& operation = words.operation;
  const LtLayouts& layouts = words.layouts;
  if (words.a == 0 || words.b == 0 || words.d == 0) return CUBLAS_STATUS_INVALID_VALUE;
  if (words.c == 0 && !IsBetaZero(words)) return CUBLAS_STATUS_INVALID_VALUE;
  if (!IsAligned(layouts.a.type, words.a) || !IsAligned(layouts.b.type, words.b) ||
      !IsAligned(layouts.c.type, words.c) || !IsAligned(layouts.d.type, words.d))
    return CUBLAS_STATUS_INVALID_VALUE;
  if ((words.workspace_bytes != 0 && words.workspace == 0) || words.workspace % kWorkspaceAlignment != 0)
    return CUBLAS_STATUS_INVALID_VALUE;
  if ((HasBias(operation.epilogue) || HasBiasGradient(operation.epilogue)) && operation.bias == 0)
    return CUBLAS_STATUS_INVALID_VALUE;
  if (HasAux(operation.epilogue) && operation.aux == 0) return CUBLAS_STATUS_INVALID_VALUE;
  return CUBLAS_STATUS_SUCCESS;
}

// Sees to the algorithm: the program's, if it is one for the problem, or the best.
cublasStatus_t ChooseAlgorithm(const Target& target, const cublasLtMatmulAlgo_t* algo, LtMatmul* words) {
  static constexpr const char* kName = "cublasLtMatmul";
  LtHeuristic found;
  cublasStatus_t status = CUBLAS_STATUS_SUCCESS;
  if (algo != nullptr) {
    words->algorithm = std::bit_cast<LtAlgorithm>(*algo);
    const LtCheckAlgorithm question{Asked(words->operation), words->layouts, words->algorithm};
    status = CheckAlgorithm(target, kName, question, &found);
  } else {
    LtFindAlgorithms question;
    question.operation = Asked(words->operation);
    question.layouts = words->layouts;
    question.preference = WordsOf(Preference{});
    question.preference.workspace_bytes_max = words->workspace_bytes;
    question.preference.a_alignment = AddressAlignment(words->a);
    question.preference.b_alignment = AddressAlignment(words->b);
    question.preference.c_alignment = AddressAlignment(words->c);
    question.preference.d_alignment = AddressAlignment(words->d);
    question.count = 1;
    status = BestAlgorithm(target, kName, question, &found);
    words->algorithm = found.algorithm;
  }
  if (status != CUBLAS_STATUS_SUCCESS) return status;
  words->has_algorithm = 1;
  return found.workspace_bytes <= words->workspace_bytes ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_INVALID_VALUE;
}

// Of one of the two sides of a transformation; it may be missing.
cublasStatus_t ReadSide(const void* matrix, cublasLtMatrixLayout_t descriptor, std::int64_t operation,
                        const LtLayout& result, LtLayout* layout) {
  *layout = LtLayout{.batch_count = 0};
  if (matrix == nullptr) return CUBLAS_STATUS_SUCCESS;
  if (descriptor == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  *layout = ReadLayout(*descriptor);
  if (const cublasStatus_t status = CheckLayout(*layout); status != CUBLAS_STATUS_SUCCESS) return status;
  const bool is_flat = operation == CUBLAS_OP_N;
  const bool fits = (is_flat ? layout->rows : layout->columns) == result.rows &&
                    (is_flat ? layout->columns : layout->rows) == result.columns &&
                    layout->batch_count == result.batch_count && IsAligned(layout->type, AddressOf(matrix));
  return fits ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_INVALID_VALUE;
}

}  // namespace
}  // namespace accelmesh::blaslt

namespace accelmesh::face {

using namespace accelmesh::blaslt;

cublasStatus_t cublasLtMatmul(cublasLtHandle_t lightHandle, cublasLtMatmulDesc_t computeDesc, const void* alpha,
                              const void* A, cublasLtMatrixLayout_t Adesc, const void* B, cublasLtMatrixLayout_t Bdesc,
                              const void* beta, const void* C, cublasLtMatrixLayout_t Cdesc, void* D,
                              cublasLtMatrixLayout_t Ddesc, const cublasLtMatmulAlgo_t* algo, void* workspace,
                              size_t workspaceSizeInBytes, cudaStream_t stream) {
  Target target;
  cublasStatus_t status = FindTarget(lightHandle, &target);
  if (status != CUBLAS_STATUS_SUCCESS) return status;
  Arguments<LtMatmul> call;
  LtMatmul& words = call.words;
  status = ReadMatmul({computeDesc, Adesc, Bdesc, Cdesc, Ddesc}, &words.operation, &words.layouts);
  if (status == CUBLAS_STATUS_SUCCESS) status = CheckMatmul(words.operation, words.layouts);
  if (status == CUBLAS_STATUS_SUCCESS) status = ReadScalars(alpha, beta, &words);
  if (status != CUBLAS_STATUS_SUCCESS) return status;
  words.a = AddressOf(A);
  words.b = AddressOf(B);
  words.c = AddressOf(C);
  words.d = AddressOf(D);
  words.workspace = AddressOf(workspace);
  words.workspace_bytes = workspaceSizeInBytes;
  if (words.layouts.d.rows == 0 || words.layouts.d.columns == 0) return CUBLAS_STATUS_SUCCESS;
  status = CheckOperands(words);
  if (status == CUBLAS_STATUS_SUCCESS) status = ChooseAlgorithm(target, algo, &words);
  return status == CUBLAS_STATUS_SUCCESS ? Post(target, "cublasLtMatmul", stream, call) : status;
}

cublasStatus_t cublasLtMatrixTransform(cublasLtHandle_t lightHandle, cublasLtMatrixTransformDesc_t transformDesc,
                                       const void* alpha, const void* A, cublasLtMatrixLayout_t Adesc, const void* beta,
                                       const void* B, cublasLtMatrixLayout_t Bdesc, void* C,
                                       cublasLtMatrixLayout_t Cdesc, cudaStream_t stream) {
  Target target;
  cublasStatus_t status = FindTarget(lightHandle, &target);
  if (status != CUBLAS_STATUS_SUCCESS) return status;
  if (transformDesc == nullptr || Cdesc == nullptr || C == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  const auto transformation = Load<Transformation>(*transformDesc);
  Arguments<LtTransform> call;
  LtTransform& words = call.words;
  words.scale_type = transformation.scale_type;
  words.pointer_mode = transformation.pointer_mode;
  words.transa = transformation.transa;
  words.transb = transformation.transb;
  words.c_layout = ReadLayout(*Cdesc);
  if (!IsOperation(words.transa) || !IsOperation(words.transb)) return CUBLAS_STATUS_INVALID_VALUE;
  status = CheckLayout(words.c_layout);
  if (status == CUBLAS_STATUS_SUCCESS) status = ReadSide(A, Adesc, words.transa, words.c_layout, &words.a_layout);
  if (status == CUBLAS_STATUS_SUCCESS) status = ReadSide(B, Bdesc, words.transb, words.c_layout, &words.b_layout);
  if (status != CUBLAS_STATUS_SUCCESS) return status;
  if (!IsAligned(words.c_layout.type, AddressOf(C))) return CUBLAS_STATUS_INVALID_VALUE;
  const std::size_t bytes = ScaleBytes(words.scale_type);
  const bool on_host = words.pointer_mode == CUBLASLT_POINTER_MODE_HOST;
  if (bytes == 0 || (!on_host && words.pointer_mode != CUBLASLT_POINTER_MODE_DEVICE))
    return CUBLAS_STATUS_NOT_SUPPORTED;
  words.a = AddressOf(A);
  words.b = AddressOf(B);
  words.c = AddressOf(C);
  if ((A != nullptr && !ReadScalar(alpha, on_host, bytes, &words.alpha)) ||
      (B != nullptr && !ReadScalar(beta, on_host, bytes, &words.beta)))
    return CUBLAS_STATUS_INVALID_VALUE;
  if (words.c_layout.rows == 0 || words.c_layout.columns == 0) return CUBLAS_STATUS_SUCCESS;
  return Post(target, "cublasLtMatrixTransform", stream, call);
}

}  // namespace accelmesh::face
