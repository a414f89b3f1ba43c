// What every generated entry point of libcublas goes through: it may be counted and logged, no exception leaves it, and
// what is not remoted says so once, by name.
#pragma once

#include <cublas_api.h>

#include <exception>
#include <type_traits>

#include "shim/blas/call.h"
#include "shim/blas/logger.h"
#include "shim/blas/types.h"
#include "shim/runtime/statistics.h"

#define ACCELMESH_EXPORT __attribute__((visibility("default")))

namespace accelmesh::blas {

// Logs that `name` is not supported and why, once a name.
void SayRefused(const char* name, const char* why);

template <typename R>
R Refuse(const char* name, const char* why) {
  SayRefused(name, why);
  if constexpr (std::is_same_v<R, cublasStatus_t>) {
    return CUBLAS_STATUS_NOT_SUPPORTED;
  } else if constexpr (!std::is_void_v<R>) {
    return R{};
  }
}

// Every entry point has a Body type of its own, and so a counter of its own.
template <typename R, typename Body>
R Enter(const char* name, Body body) noexcept {
  static constinit FunctionCount count;
  const CountedCall counted(count, name);
  try {
    if constexpr (std::is_same_v<R, cublasStatus_t>) {
      const cublasStatus_t status = body();
      if (LoggerIsOn()) [[unlikely]]
        LogCall(name, status);
      return status;
    } else {
      return body();
    }
  } catch (const std::exception&) {
    if constexpr (std::is_same_v<R, cublasStatus_t>) return CUBLAS_STATUS_ALLOC_FAILED;
    if constexpr (!std::is_void_v<R>) return R{};
  }
}

}  // namespace accelmesh::blas
