// In the place of the shim's file of this name: entry points that protocol/gen/blas.py generates from the headers go
// through the contract libcublas in place of the client.
#pragma once

#include "shim/blas/types.h"
#include "tests/contract/libcublas/blas.h"

#define ACCELMESH_EXPORT __attribute__((visibility("default")))

namespace accelmesh::blas {

template <typename R>
R Refuse(const char*, const char*) {
  if constexpr (std::is_same_v<R, cublasStatus_t>) return CUBLAS_STATUS_NOT_SUPPORTED;
  if constexpr (!std::is_same_v<R, cublasStatus_t> && !std::is_void_v<R>) return R{};
}
template <typename R, typename Body>
R Enter(const char*, Body body) noexcept {
  return body();
}

}  // namespace accelmesh::blas
