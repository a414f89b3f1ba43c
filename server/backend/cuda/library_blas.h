// libcublas as the cuda backend uses it: found at run time, every function of the wire by its name. We link nothing of
// NVIDIA, so a server without it starts, and says what is missing when a client asks.
//
// Threads: a BlasLibrary is constant once it is loaded; a BlasHandle is used by one thread at a time, in the context
// that it was made in.
#pragma once

#include <cublas_api.h>

#include <array>
#include <memory>
#include <string>

#include "protocol/base/result.h"
#include "protocol/library/blas_settings.h"
#include "server/backend/cuda/library_native.h"

// X(member, exact name of the symbol, whether the backend cannot do without). What sets a handle, beside the functions
// of the wire.
#define ACCELMESH_CUDA_BLAS_FUNCTIONS(X)                                        \
  X(Create, cublasCreate_v2, true)                                              \
  X(Destroy, cublasDestroy_v2, true)                                            \
  X(GetStatusName, cublasGetStatusName, true)                                   \
  X(SetStream, cublasSetStream_v2, true)                                        \
  X(SetPointerMode, cublasSetPointerMode_v2, true)                              \
  X(SetMathMode, cublasSetMathMode, true)                                       \
  X(SetAtomicsMode, cublasSetAtomicsMode, true)                                 \
  X(SetWorkspace, cublasSetWorkspace_v2, true)                                  \
  X(SetSmCountTarget, cublasSetSmCountTarget, true)                             \
  X(SetSpecialValues, cublasSetEmulationSpecialValuesSupport, false)            \
  X(SetMantissaControl, cublasSetFixedPointEmulationMantissaControl, false)     \
  X(SetMantissaBitsMax, cublasSetFixedPointEmulationMaxMantissaBitCount, false) \
  X(SetMantissaBitOffset, cublasSetFixedPointEmulationMantissaBitOffset, false) \
  X(SetMantissaBits, cublasSetFixedPointEmulationMantissaBitCountPointer, false)

namespace accelmesh::cuda {

class BlasLibrary {
 public:
  // What a function makes its caller wait for.
  enum class Waits : std::uint8_t {
    kNothing,
    kResult,  // which is on the host, unless the caller gave device memory for it
    kHost,    // it never sees the device
  };
  struct Function {
    const char* name = nullptr;
    Waits waits = Waits::kNothing;
    bool is_wide = false;         // it takes numbers of 64 bits
    std::uint64_t numbers = 0;    // bit i: word i is a number or an enumerator
    std::uint64_t addresses = 0;  // bit i: word i is an address
    cublasStatus_t (*call)(void* symbol, cublasHandle_t handle, NativeArguments& a) = nullptr;
    void* symbol = nullptr;  // null if the library lacks it
  };

  // Opens $ACCELMESH_LIBCUBLAS, else libcublas.so.13; never closed. kUnsupported names what is missing.
  static Result<std::unique_ptr<const BlasLibrary>> Load();

  // Null if there is none.
  const Function* Find(std::uint32_t number) const {
    return number < functions_.size() && functions_[number].symbol != nullptr ? &functions_[number] : nullptr;
  }
  // A bit for each function that there is, by its number.
  Bytes Bits() const;
  std::string StatusName(cublasStatus_t status) const;

#define ACCELMESH_CUDA_MEMBER(member, symbol, needed) decltype(&::symbol) member = nullptr;
  ACCELMESH_CUDA_BLAS_FUNCTIONS(ACCELMESH_CUDA_MEMBER)
#undef ACCELMESH_CUDA_MEMBER
  cublasStatus_t (*SetEmulationStrategy)(cublasHandle_t,
                                         cublasEmulationStrategy_t) = nullptr;  // the header overloads it

 private:
  std::vector<Function> functions_;  // by number
};

// A handle, and what it is set to: calls set what differs.
class BlasHandle {
 public:
  BlasHandle(const BlasLibrary& library, cublasHandle_t handle) : library_(library), handle_(handle) {}

  // The stream that its calls go to from now on, with the library's own workspace.
  cublasStatus_t Use(CUstream stream);
  cublasStatus_t Run(const BlasLibrary::Function& function, const std::shared_ptr<const Bytes>& settings,
                     bool has_device_pointers, NativeArguments& arguments);
  void Destroy() { (void)library_.Destroy(handle_); }

 private:
  cublasStatus_t Set(const BlasSettings& wanted);

  const BlasLibrary& library_;
  cublasHandle_t handle_;
  CUstream stream_ = nullptr;
  std::shared_ptr<const Bytes> settings_;  // that `is_` was read from
  BlasSettings is_;
  cublasPointerMode_t pointer_mode_ = CUBLAS_POINTER_MODE_HOST;
};

}  // namespace accelmesh::cuda
