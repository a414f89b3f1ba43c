// Descriptors as the wire has them, and what of a problem the client can tell by itself.
//
// Threads: pure functions.
#pragma once

#include <cublasLt.h>

#include "protocol/library/lt_problem.h"
#include "shim/blaslt/descriptors.h"

namespace accelmesh::blaslt {

// The descriptors of a product. CUBLAS_STATUS_INVALID_VALUE for one that is missing.
struct MatmulDescriptors {
  const cublasLtMatmulDescOpaque_t* operation;
  const cublasLtMatrixLayoutOpaque_t* a;
  const cublasLtMatrixLayoutOpaque_t* b;
  const cublasLtMatrixLayoutOpaque_t* c;
  const cublasLtMatrixLayoutOpaque_t* d;
};
cublasStatus_t ReadMatmul(const MatmulDescriptors& from, LtOperation* operation, LtLayouts* layouts);
LtLayout ReadLayout(const cublasLtMatrixLayoutOpaque_t& from);
LtPreference WordsOf(const Preference& preference);

// Whether the parts of the problem fit one another and the documentation: CUBLAS_STATUS_INVALID_VALUE for what can be
// no problem, CUBLAS_STATUS_NOT_SUPPORTED for one that the library does not have.
cublasStatus_t CheckMatmul(const LtOperation& operation, const LtLayouts& layouts);
// Whether a matrix of that layout can be.
cublasStatus_t CheckLayout(const LtLayout& layout);

// As it is asked about: with alignments in the place of addresses.
LtOperation Asked(const LtOperation& operation);
std::uint64_t AskedAddress(std::uint64_t address);
// The largest power of two, no larger than 256, that the address is a multiple of.
std::int64_t AddressAlignment(std::uint64_t address);

inline bool IsOperation(std::int64_t value) { return value >= CUBLAS_OP_N && value <= CUBLAS_OP_C; }
inline bool HasBias(std::int64_t epilogue) { return (epilogue & CUBLASLT_EPILOGUE_BIAS) != 0; }
// Whether the epilogue writes a gradient of a bias.
inline bool HasBiasGradient(std::int64_t epilogue) {
  return epilogue == CUBLASLT_EPILOGUE_DRELU_BGRAD || epilogue == CUBLASLT_EPILOGUE_DGELU_BGRAD ||
         epilogue == CUBLASLT_EPILOGUE_BGRADA || epilogue == CUBLASLT_EPILOGUE_BGRADB;
}
inline bool HasAux(std::int64_t epilogue) { return (epilogue & 128) != 0; }

}  // namespace accelmesh::blaslt
