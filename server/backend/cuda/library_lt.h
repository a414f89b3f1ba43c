// libcublasLt as the cuda backend uses it: found at run time; words of the wire (protocol/library/lt_problem.h) become
// its descriptors, on the stack of each call.
//
// Threads: constant once it is loaded, and so is a handle of the library.
#pragma once

#include <cublasLt.h>
#include <cuda.h>

#include <memory>
#include <string>

#include "protocol/base/result.h"
#include "protocol/library/lt_problem.h"
#include "server/device.h"

// X(member, exact name of the symbol, whether the backend cannot do without)
#define ACCELMESH_CUDA_LT_FUNCTIONS(X)                                 \
  X(Create, cublasLtCreate, true)                                      \
  X(Destroy, cublasLtDestroy, true)                                    \
  X(GetVersion, cublasLtGetVersion, true)                              \
  X(GetStatusName, cublasLtGetStatusName, true)                        \
  X(Matmul, cublasLtMatmul, true)                                      \
  X(MatrixTransform, cublasLtMatrixTransform, true)                    \
  X(LayoutInit, cublasLtMatrixLayoutInit_internal, true)               \
  X(LayoutSet, cublasLtMatrixLayoutSetAttribute, true)                 \
  X(MatmulDescInit, cublasLtMatmulDescInit_internal, true)             \
  X(MatmulDescSet, cublasLtMatmulDescSetAttribute, true)               \
  X(TransformDescInit, cublasLtMatrixTransformDescInit_internal, true) \
  X(TransformDescSet, cublasLtMatrixTransformDescSetAttribute, true)   \
  X(EmulationDescInit, cublasLtEmulationDescInit_internal, false)      \
  X(EmulationDescSet, cublasLtEmulationDescSetAttribute, false)        \
  X(PreferenceInit, cublasLtMatmulPreferenceInit_internal, true)       \
  X(PreferenceSet, cublasLtMatmulPreferenceSetAttribute, true)         \
  X(GetHeuristic, cublasLtMatmulAlgoGetHeuristic, true)                \
  X(GetIds, cublasLtMatmulAlgoGetIds, true)                            \
  X(AlgoInit, cublasLtMatmulAlgoInit, true)                            \
  X(AlgoCheck, cublasLtMatmulAlgoCheck, true)                          \
  X(AlgoGetCapability, cublasLtMatmulAlgoCapGetAttribute, true)        \
  X(AlgoSetConfiguration, cublasLtMatmulAlgoConfigSetAttribute, true)  \
  X(AlgoGetConfiguration, cublasLtMatmulAlgoConfigGetAttribute, true)

namespace accelmesh::cuda {

class LtLibrary {
 public:
  // Opens $ACCELMESH_LIBCUBLASLT, else libcublasLt.so.13; never closed. kUnsupported names what is missing.
  static Result<std::unique_ptr<const LtLibrary>> Load();

  Bytes Bits() const;
  std::string StatusName(cublasStatus_t status) const;
  // A function that runs in a stream, of arguments of its shape.
  cublasStatus_t Run(cublasLtHandle_t handle, std::uint32_t function, ByteView arguments, CUstream stream) const;
  // One that IsAsked().
  LibraryAnswer Ask(cublasLtHandle_t handle, std::uint32_t function, ByteView arguments) const;

#define ACCELMESH_CUDA_MEMBER(member, symbol, needed) decltype(&::symbol) member = nullptr;
  ACCELMESH_CUDA_LT_FUNCTIONS(ACCELMESH_CUDA_MEMBER)
#undef ACCELMESH_CUDA_MEMBER
};

// Arguments of a function that runs in a stream, but for what may differ from call to call without another kernel: of
// addresses only how they are aligned, of scalars only whether they are 0.
Bytes LtProblem(std::uint32_t function, ByteView arguments);

}  // namespace accelmesh::cuda
