// In the place of the generated file of this name: the functions with bodies that the server calls (handle.cpp), and
// all others, which nobody may count on here.
#pragma once

#include <cublas_api.h>

namespace accelmesh::face {

cublasStatus_t cublasCreate_v2(cublasHandle_t* handle);
cublasStatus_t cublasDestroy_v2(cublasHandle_t handle);
cublasStatus_t cublasSetStream_v2(cublasHandle_t handle, cudaStream_t stream);
cublasStatus_t cublasSetPointerMode_v2(cublasHandle_t handle, cublasPointerMode_t mode);
cublasStatus_t cublasSetWorkspace_v2(cublasHandle_t handle, void* workspace, size_t bytes);
cublasStatus_t cublasSetMathMode(cublasHandle_t handle, cublasMath_t mode);
cublasStatus_t cublasSetAtomicsMode(cublasHandle_t handle, cublasAtomicsMode_t mode);
cublasStatus_t cublasSetSmCountTarget(cublasHandle_t handle, int count);
cublasStatus_t cublasSetEmulationStrategy(cublasHandle_t handle, cublasEmulationStrategy_t strategy);
cublasStatus_t cublasSetEmulationSpecialValuesSupport(cublasHandle_t handle, cudaEmulationSpecialValuesSupport mask);
cublasStatus_t cublasSetFixedPointEmulationMantissaControl(cublasHandle_t handle, cudaEmulationMantissaControl control);
cublasStatus_t cublasSetFixedPointEmulationMaxMantissaBitCount(cublasHandle_t handle, int count);
cublasStatus_t cublasSetFixedPointEmulationMantissaBitOffset(cublasHandle_t handle, int offset);
const char* cublasGetStatusName(cublasStatus_t status);

#define CONTRACT_ABSENT(name)                \
  template <typename... Arguments>           \
  cublasStatus_t name(const Arguments&...) { \
    return CUBLAS_STATUS_NOT_SUPPORTED;      \
  }
CONTRACT_ABSENT(cublasGetVersion_v2)
CONTRACT_ABSENT(cublasGetProperty)
CONTRACT_ABSENT(cublasGetStream_v2)
CONTRACT_ABSENT(cublasGetPointerMode_v2)
CONTRACT_ABSENT(cublasGetAtomicsMode)
CONTRACT_ABSENT(cublasGetMathMode)
CONTRACT_ABSENT(cublasGetSmCountTarget)
CONTRACT_ABSENT(cublasGetEmulationStrategy)
CONTRACT_ABSENT(cublasGetEmulationSpecialValuesSupport)
CONTRACT_ABSENT(cublasGetFixedPointEmulationMantissaControl)
CONTRACT_ABSENT(cublasGetFixedPointEmulationMaxMantissaBitCount)
CONTRACT_ABSENT(cublasGetFixedPointEmulationMantissaBitOffset)
CONTRACT_ABSENT(cublasGetFixedPointEmulationMantissaBitCountPointer)
CONTRACT_ABSENT(cublasSetFixedPointEmulationMantissaBitCountPointer)
CONTRACT_ABSENT(cublasLoggerConfigure)
CONTRACT_ABSENT(cublasSetLoggerCallback)
CONTRACT_ABSENT(cublasGetLoggerCallback)
CONTRACT_ABSENT(cublasSetVector)
CONTRACT_ABSENT(cublasSetVector_64)
CONTRACT_ABSENT(cublasGetVector)
CONTRACT_ABSENT(cublasGetVector_64)
CONTRACT_ABSENT(cublasSetMatrix)
CONTRACT_ABSENT(cublasSetMatrix_64)
CONTRACT_ABSENT(cublasGetMatrix)
CONTRACT_ABSENT(cublasGetMatrix_64)
CONTRACT_ABSENT(cublasSetVectorAsync)
CONTRACT_ABSENT(cublasSetVectorAsync_64)
CONTRACT_ABSENT(cublasGetVectorAsync)
CONTRACT_ABSENT(cublasGetVectorAsync_64)
CONTRACT_ABSENT(cublasSetMatrixAsync)
CONTRACT_ABSENT(cublasSetMatrixAsync_64)
CONTRACT_ABSENT(cublasGetMatrixAsync)
CONTRACT_ABSENT(cublasGetMatrixAsync_64)
CONTRACT_ABSENT(cublasSgemmGroupedBatched)
CONTRACT_ABSENT(cublasDgemmGroupedBatched)
CONTRACT_ABSENT(cublasGemmGroupedBatchedEx)
CONTRACT_ABSENT(cublasSgemmGroupedBatched_64)
CONTRACT_ABSENT(cublasDgemmGroupedBatched_64)
CONTRACT_ABSENT(cublasGemmGroupedBatchedEx_64)
#undef CONTRACT_ABSENT
inline size_t cublasGetCudartVersion() { return 0; }
inline const char* cublasGetStatusString(cublasStatus_t) { return nullptr; }
inline void cublasXerbla(const char*, int) {}

}  // namespace accelmesh::face
