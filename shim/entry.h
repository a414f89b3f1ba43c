// What every generated entry point of the shim goes through: no exception leaves it, and a function that is not remoted
// says so once, by name.
#pragma once

#include <cuda_runtime_api.h>

#include <exception>
#include <type_traits>

#define ACCELMESH_EXPORT __attribute__((visibility("default")))

namespace accelmesh {

// While it lives, the calling thread's default stream is its own per-thread one (the _ptsz and _ptds variants).
class PerThreadDefault {
 public:
  PerThreadDefault();
  ~PerThreadDefault();
};

// Logs "NAME is refused" once a name and records cudaErrorNotSupported as the thread's last error.
void SayRefused(const char* name);
// An exception of ours (out of host memory) arrives as this.
cudaError_t OutOfHostMemory();

template <typename R>
R Refuse(const char* name) {
  SayRefused(name);
  if constexpr (std::is_same_v<R, cudaError_t>) {
    return cudaErrorNotSupported;
  } else if constexpr (!std::is_void_v<R>) {
    return R{};
  }
}

template <typename R, typename Body>
R Enter(Body body) noexcept {
  try {
    return body();
  } catch (const std::exception&) {
    if constexpr (std::is_same_v<R, cudaError_t>) return OutOfHostMemory();
    if constexpr (!std::is_void_v<R>) return R{};
  }
}

}  // namespace accelmesh
