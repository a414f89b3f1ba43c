// What every generated entry point of libcublasLt goes through, as shim/blas/entry.h is for libcublas.
#pragma once

#include <cublasLt.h>

#include "shim/blas/entry.h"
#include "shim/blaslt/logger.h"
#include "shim/entry_call.h"

namespace accelmesh::blaslt {

struct BlasLtFace {
  static constexpr const char* kLibrary = "cublasLt";
  using Status = cublasStatus_t;
  static constexpr Status kNotSupported = CUBLAS_STATUS_NOT_SUPPORTED;
  static Status OutOfHostMemory() { return CUBLAS_STATUS_ALLOC_FAILED; }
  static void SayRefused(const char* name, const char* why) { blas::SayRefused(name, why); }
  static void Note(const char* name, Status status) {
    if (Logs(status)) [[unlikely]]
      LogCall(name, status);
  }
};
template <typename R>
R Refuse(const char* name, const char* why) {
  return RefuseBy<BlasLtFace, R>(name, why);
}
template <typename R, typename Body>
R Enter(const char* name, Body body) noexcept {
  return EnterBy<BlasLtFace, R>(name, body);
}

}  // namespace accelmesh::blaslt
