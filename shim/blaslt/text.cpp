// Versions, names, and how much is remembered.
#include "shim/blaslt/answers.h"
#include "shim/gen_blas_face.h"
#include "shim/gen_blaslt_face.h"

namespace accelmesh::face {

size_t cublasLtGetVersion() { return CUBLAS_VERSION; }
size_t cublasLtGetCudartVersion() { return CUDART_VERSION; }
cublasStatus_t cublasLtGetProperty(libraryPropertyType type, int* value) {
  return face::cublasGetProperty(type, value);
}
const char* cublasLtGetStatusName(cublasStatus_t status) { return face::cublasGetStatusName(status); }
const char* cublasLtGetStatusString(cublasStatus_t status) { return face::cublasGetStatusString(status); }

cublasStatus_t cublasLtHeuristicsCacheGetCapacity(size_t* capacity) {
  if (capacity == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  *capacity = blaslt::Heuristics().capacity();
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtHeuristicsCacheSetCapacity(size_t capacity) {
  blaslt::Heuristics().SetCapacity(capacity);
  return CUBLAS_STATUS_SUCCESS;
}

}  // namespace accelmesh::face
