// What the checks of generated code ask about values and types of cuBLAS.
//
// Threads: pure functions.
#pragma once

#include <cublas_api.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace accelmesh::blas {

// Programs pass any number for an enumerator.
inline bool IsKnown(cublasOperation_t value) { return value >= CUBLAS_OP_N && value <= CUBLAS_OP_C; }
inline bool IsKnown(cublasFillMode_t value) {
  return value == CUBLAS_FILL_MODE_LOWER || value == CUBLAS_FILL_MODE_UPPER;
}
inline bool IsKnown(cublasDiagType_t value) { return value == CUBLAS_DIAG_NON_UNIT || value == CUBLAS_DIAG_UNIT; }
inline bool IsKnown(cublasSideMode_t value) { return value == CUBLAS_SIDE_LEFT || value == CUBLAS_SIDE_RIGHT; }

// Whether columns that far apart hold that many rows.
inline bool IsStride(std::int64_t stride, std::int64_t rows) { return stride >= std::max<std::int64_t>(1, rows); }

// Of an element; 0 for a type that no function of cuBLAS takes.
std::size_t BytesOf(cudaDataType type);
// Of the real part of one.
std::size_t RealBytesOf(cudaDataType type);
// Of alpha and beta.
std::size_t ScaleBytes(cublasComputeType_t compute, cudaDataType c);
// Whether cublasGemmEx has that combination.
bool IsGemm(cublasComputeType_t compute, cudaDataType a, cudaDataType b, cudaDataType c);
// Whether cublasGemmGroupedBatchedEx has it.
bool IsGroupedGemm(cublasComputeType_t compute, cudaDataType a, cudaDataType b, cudaDataType c);
// Whether cublasSgemmEx or one of its kind has it, by the type of its alpha.
bool IsGemmOf(const float* alpha, cudaDataType a, cudaDataType b, cudaDataType c);
bool IsGemmOf(const cuComplex* alpha, cudaDataType a, cudaDataType b, cudaDataType c);
// Whether cublasCsyrkEx and its kind do.
bool IsRankK(cudaDataType a, cudaDataType c);

// Whether functions on vectors whose types are arguments take them of that type, and compute in the other one.
bool IsVector(cudaDataType type);
bool IsVectorWork(cudaDataType type, cudaDataType execution);
bool IsReal(cudaDataType type);
// Whether a scalar may have that type with such vectors, and a rotation.
bool IsScalar(cudaDataType scalar, cudaDataType vector);
bool IsRotation(cudaDataType rotation, cudaDataType vector);
// Whether norms of such vectors are of that type, computed in the third.
bool IsNorm(cudaDataType vector, cudaDataType result, cudaDataType execution);

}  // namespace accelmesh::blas
