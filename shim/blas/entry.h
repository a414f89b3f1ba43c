// What every generated entry point of libcublas goes through: it may be counted and logged, no exception leaves it, and
// what is not remoted says so once, by name.
#pragma once

#include <cublas_api.h>

#include "shim/blas/call.h"
#include "shim/blas/logger.h"
#include "shim/blas/types.h"
#include "shim/entry_call.h"

namespace accelmesh::blas {

// Logs that `name` is not supported and why, once a name.
void SayRefused(const char* name, const char* why);

struct BlasFace {
  static constexpr const char* kLibrary = "cublas";
  using Status = cublasStatus_t;
  static constexpr Status kNotSupported = CUBLAS_STATUS_NOT_SUPPORTED;
  static Status OutOfHostMemory() { return CUBLAS_STATUS_ALLOC_FAILED; }
  static void SayRefused(const char* name, const char* why) { blas::SayRefused(name, why); }
  static void Note(const char* name, Status status) {
    if (LoggerIsOn()) [[unlikely]]
      LogCall(name, status);
  }
};
template <typename R>
R Refuse(const char* name, const char* why) {
  return RefuseBy<BlasFace, R>(name, why);
}
template <typename R, typename Body>
R Enter(const char* name, Body body) noexcept {
  return EnterBy<BlasFace, R>(name, body);
}

}  // namespace accelmesh::blas
