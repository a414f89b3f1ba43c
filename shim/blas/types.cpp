#include "shim/blas/types.h"

namespace accelmesh::blas {
namespace {

bool IsComplex(cudaDataType type) { return type == CUDA_C_32F || type == CUDA_C_64F; }
bool IsSmall(cudaDataType type) { return type == CUDA_R_16F || type == CUDA_R_16BF; }
cudaDataType RealOf(cudaDataType type) {
  return type == CUDA_C_32F ? CUDA_R_32F : type == CUDA_C_64F ? CUDA_R_64F : type;
}
// What vectors of a type are computed in.
cudaDataType WorkOf(cudaDataType type) { return IsSmall(type) ? CUDA_R_32F : type; }

struct Combination {
  cudaDataType ab;
  cudaDataType c;
};
template <std::size_t N>
bool IsAny(const Combination (&all)[N], cudaDataType ab, cudaDataType c) {
  return std::any_of(all, all + N, [&](const Combination& one) { return one.ab == ab && one.c == c; });
}

}  // namespace

std::size_t BytesOf(cudaDataType type) {
  switch (type) {
    case CUDA_R_8I:
    case CUDA_R_8U: return 1;
    case CUDA_R_16F:
    case CUDA_R_16BF:
    case CUDA_C_8I: return 2;
    case CUDA_R_32F:
    case CUDA_R_32I: return 4;
    case CUDA_R_64F:
    case CUDA_C_32F: return 8;
    case CUDA_C_64F: return 16;
    default: return 0;
  }
}

std::size_t RealBytesOf(cudaDataType type) { return BytesOf(RealOf(type)); }

std::size_t ScaleBytes(cublasComputeType_t compute, cudaDataType c) {
  switch (compute) {
    case CUBLAS_COMPUTE_16F:
    case CUBLAS_COMPUTE_16F_PEDANTIC: return 2;
    case CUBLAS_COMPUTE_64F:
    case CUBLAS_COMPUTE_64F_PEDANTIC:
    case CUBLAS_COMPUTE_64F_EMULATED_FIXEDPOINT: return IsComplex(c) ? 16 : 8;
    default: return IsComplex(c) ? 8 : 4;
  }
}

bool IsGemm(cublasComputeType_t compute, cudaDataType a, cudaDataType b, cudaDataType c) {
  static constexpr Combination kHalf[] = {{CUDA_R_16F, CUDA_R_16F}};
  static constexpr Combination kInteger[] = {{CUDA_R_8I, CUDA_R_32I}};
  static constexpr Combination kSingle[] = {
      {CUDA_R_16BF, CUDA_R_16BF}, {CUDA_R_16F, CUDA_R_16F}, {CUDA_R_8I, CUDA_R_32F}, {CUDA_R_16BF, CUDA_R_32F},
      {CUDA_R_16F, CUDA_R_32F},   {CUDA_R_32F, CUDA_R_32F}, {CUDA_C_8I, CUDA_C_32F}, {CUDA_C_32F, CUDA_C_32F}};
  static constexpr Combination kFast[] = {{CUDA_R_32F, CUDA_R_32F}, {CUDA_C_32F, CUDA_C_32F}};
  static constexpr Combination kDouble[] = {{CUDA_R_64F, CUDA_R_64F}, {CUDA_C_64F, CUDA_C_64F}};
  if (a != b) return false;
  switch (compute) {
    case CUBLAS_COMPUTE_16F:
    case CUBLAS_COMPUTE_16F_PEDANTIC: return IsAny(kHalf, a, c);
    case CUBLAS_COMPUTE_32I:
    case CUBLAS_COMPUTE_32I_PEDANTIC: return IsAny(kInteger, a, c);
    case CUBLAS_COMPUTE_32F:
    case CUBLAS_COMPUTE_32F_PEDANTIC: return IsAny(kSingle, a, c);
    case CUBLAS_COMPUTE_32F_FAST_16F:
    case CUBLAS_COMPUTE_32F_FAST_16BF:
    case CUBLAS_COMPUTE_32F_FAST_TF32:
    case CUBLAS_COMPUTE_32F_EMULATED_16BFX9: return IsAny(kFast, a, c);
    case CUBLAS_COMPUTE_64F:
    case CUBLAS_COMPUTE_64F_PEDANTIC:
    case CUBLAS_COMPUTE_64F_EMULATED_FIXEDPOINT: return IsAny(kDouble, a, c);
    default: return false;
  }
}

bool IsGroupedGemm(cublasComputeType_t compute, cudaDataType a, cudaDataType b, cudaDataType c) {
  static constexpr Combination kSingle[] = {
      {CUDA_R_16BF, CUDA_R_16BF}, {CUDA_R_16F, CUDA_R_16F}, {CUDA_R_32F, CUDA_R_32F}};
  static constexpr Combination kFast[] = {{CUDA_R_32F, CUDA_R_32F}};
  static constexpr Combination kDouble[] = {{CUDA_R_64F, CUDA_R_64F}};
  if (a != b) return false;
  switch (compute) {
    case CUBLAS_COMPUTE_32F: return IsAny(kSingle, a, c);
    case CUBLAS_COMPUTE_32F_PEDANTIC:
    case CUBLAS_COMPUTE_32F_FAST_TF32: return IsAny(kFast, a, c);
    case CUBLAS_COMPUTE_64F:
    case CUBLAS_COMPUTE_64F_PEDANTIC: return IsAny(kDouble, a, c);
    default: return false;
  }
}

bool IsGemmOf(const float* /*alpha*/, cudaDataType a, cudaDataType b, cudaDataType c) {
  return !IsComplex(c) && IsGemm(CUBLAS_COMPUTE_32F, a, b, c);
}
bool IsGemmOf(const cuComplex* /*alpha*/, cudaDataType a, cudaDataType b, cudaDataType c) {
  return IsComplex(c) && IsGemm(CUBLAS_COMPUTE_32F, a, b, c);
}
bool IsRankK(cudaDataType a, cudaDataType c) { return c == CUDA_C_32F && (a == CUDA_C_8I || a == CUDA_C_32F); }

bool IsVector(cudaDataType type) {
  return IsSmall(type) || IsComplex(type) || type == CUDA_R_32F || type == CUDA_R_64F;
}
bool IsVectorWork(cudaDataType type, cudaDataType execution) { return IsVector(type) && execution == WorkOf(type); }
bool IsReal(cudaDataType type) { return IsVector(type) && !IsComplex(type); }
bool IsScalar(cudaDataType scalar, cudaDataType vector) { return scalar == vector || scalar == WorkOf(vector); }
bool IsRotation(cudaDataType rotation, cudaDataType vector) { return rotation == vector || rotation == RealOf(vector); }
bool IsNorm(cudaDataType vector, cudaDataType result, cudaDataType execution) {
  return IsVector(vector) && result == RealOf(vector) && execution == WorkOf(RealOf(vector));
}

}  // namespace accelmesh::blas
