#include "server/backend/cuda/driver.h"

#include <dlfcn.h>

#include <cstdlib>

namespace accelmesh::cuda {

std::string Driver::Text(CUresult result) const {
  const char* name = nullptr;
  const char* text = nullptr;
  if (GetErrorName(result, &name) != CUDA_SUCCESS || name == nullptr) name = "an unknown error";
  if (GetErrorString(result, &text) != CUDA_SUCCESS || text == nullptr) text = "no description";
  return std::string(name) + " (" + std::to_string(static_cast<int>(result)) + "): " + text;
}

Result<Driver> LoadDriver() {
  constexpr const char* kWhere = "LoadDriver";
  const char* chosen = std::getenv("ACCELMESH_LIBCUDA");
  const std::string path = chosen != nullptr && *chosen != '\0' ? chosen : "libcuda.so.1";
  void* library = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    return Status(
        Code::kUnsupported, kWhere,
        std::string("no CUDA driver: ") + ::dlerror() + "; install NVIDIA's driver of CUDA 13 (580 or later)");
  }
  Driver driver;
  std::string missing;
#define ACCELMESH_CUDA_FIND(member, symbol, needed)                                 \
  driver.member = reinterpret_cast<decltype(&::symbol)>(::dlsym(library, #symbol)); \
  if (driver.member == nullptr && (needed)) missing += missing.empty() ? #symbol : ", " #symbol;
  ACCELMESH_CUDA_DRIVER_FUNCTIONS(ACCELMESH_CUDA_FIND)
#undef ACCELMESH_CUDA_FIND
  if (!missing.empty()) {
    return Status(Code::kUnsupported, kWhere,
                  path + " lacks " + missing + "; install NVIDIA's driver of CUDA 13 (580 or later)");
  }
  return driver;
}

bool IsSticky(CUresult result) {
  switch (result) {
    case CUDA_ERROR_ECC_UNCORRECTABLE:
    case CUDA_ERROR_NVLINK_UNCORRECTABLE:
    case CUDA_ERROR_CONTAINED:
    case CUDA_ERROR_ILLEGAL_ADDRESS:
    case CUDA_ERROR_LAUNCH_TIMEOUT:
    case CUDA_ERROR_CONTEXT_IS_DESTROYED:
    case CUDA_ERROR_ASSERT:
    case CUDA_ERROR_HARDWARE_STACK_ERROR:
    case CUDA_ERROR_ILLEGAL_INSTRUCTION:
    case CUDA_ERROR_MISALIGNED_ADDRESS:
    case CUDA_ERROR_INVALID_ADDRESS_SPACE:
    case CUDA_ERROR_INVALID_PC:
    case CUDA_ERROR_LAUNCH_FAILED:
    case CUDA_ERROR_TENSOR_MEMORY_LEAK: return true;
    default: return false;
  }
}

}  // namespace accelmesh::cuda
