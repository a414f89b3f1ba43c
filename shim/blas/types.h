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
// Of alpha and beta.
std::size_t ScaleBytes(cublasComputeType_t compute, cudaDataType c);
// Whether cublasGemmEx has that combination.
bool IsGemm(cublasComputeType_t compute, cudaDataType a, cudaDataType b, cudaDataType c);

}  // namespace accelmesh::blas
