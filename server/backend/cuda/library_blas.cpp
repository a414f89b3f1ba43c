#include "server/backend/cuda/library_blas.h"

#include <dlfcn.h>

#include <cstdlib>

namespace accelmesh::cuda {
namespace {

using Waits = BlasLibrary::Waits;
constexpr Waits kPost = Waits::kNothing;
constexpr Waits kQuery = Waits::kResult;
constexpr Waits kHost = Waits::kHost;

// Of an element; 0 for a type that no function takes.
std::size_t BytesOf(cudaDataType type) {
  switch (type) {
    case CUDA_R_8I:
    case CUDA_R_8U: return 1;
    case CUDA_R_16F:
    case CUDA_R_16BF: return 2;
    case CUDA_R_32F:
    case CUDA_R_32I: return 4;
    case CUDA_R_64F:
    case CUDA_C_32F: return 8;
    case CUDA_C_64F: return 16;
    default: return 0;
  }
}

// Of its real part.
std::size_t RealBytesOf(cudaDataType type) {
  return type == CUDA_C_32F || type == CUDA_C_64F ? BytesOf(type) / 2 : BytesOf(type);
}

struct Row {
  std::uint32_t number;
  BlasLibrary::Function function;
};
constexpr bool IsWide(std::string_view symbol) { return symbol.ends_with("_64"); }
#define ACCELMESH_BLAS_NATIVE(number, waits, numbers, addresses, symbol, types, values) \
  {number,                                                                              \
   {#symbol, waits, IsWide(#symbol), numbers, addresses,                                \
    [](void* native, cublasHandle_t handle, [[maybe_unused]] NativeArguments& a) {      \
      return NativeCall<cublasStatus_t types>{native, handle, a} values;                \
    },                                                                                  \
    nullptr}},
constexpr Row kRows[] = {
#include "protocol/gen_blas_native.inc"
};
#undef ACCELMESH_BLAS_NATIVE

}  // namespace

Result<std::unique_ptr<const BlasLibrary>> BlasLibrary::Load() {
  constexpr const char* kWhere = "BlasLibrary::Load";
  const char* const chosen = std::getenv("ACCELMESH_LIBCUBLAS");
  const std::string path = chosen != nullptr && *chosen != '\0' ? chosen : "libcublas.so.13";
  void* const object = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (object == nullptr) {
    return Status(Code::kUnsupported, kWhere,
                  std::string("the server has no cuBLAS: ") + ::dlerror() + "; install NVIDIA's of CUDA 13");
  }
  auto library = std::make_unique<BlasLibrary>();
  std::string missing;
#define ACCELMESH_CUDA_FIND(member, symbol, needed)                                  \
  library->member = reinterpret_cast<decltype(&::symbol)>(::dlsym(object, #symbol)); \
  if (library->member == nullptr && (needed)) missing += missing.empty() ? #symbol : ", " #symbol;
  ACCELMESH_CUDA_BLAS_FUNCTIONS(ACCELMESH_CUDA_FIND)
#undef ACCELMESH_CUDA_FIND
  library->SetEmulationStrategy =
      reinterpret_cast<decltype(library->SetEmulationStrategy)>(::dlsym(object, "cublasSetEmulationStrategy"));
  if (!missing.empty()) return Status(Code::kUnsupported, kWhere, path + " lacks " + missing);
  library->functions_.resize(LibraryFunctions(kLibraryBlas));
  for (const Row& row : kRows) {
    Function& function = library->functions_[row.number];
    function = row.function;
    function.symbol = ::dlsym(object, function.name);
  }
  return std::unique_ptr<const BlasLibrary>(std::move(library));
}

Bytes BlasLibrary::Bits() const {
  Bytes bits((functions_.size() + 7) / 8);
  for (std::size_t i = 0; i < functions_.size(); ++i) {
    if (functions_[i].symbol != nullptr) bits[i / 8] = static_cast<std::uint8_t>(bits[i / 8] | 1u << (i % 8));
  }
  return bits;
}

std::string BlasLibrary::StatusName(cublasStatus_t status) const {
  const char* const name = GetStatusName(status);
  return std::string(name == nullptr ? "an unknown status" : name) + " (" + std::to_string(static_cast<int>(status)) +
         ")";
}

// Handles ------------------------------------------------------------------------------------------------------------

cublasStatus_t BlasHandle::Use(CUstream stream) {
  stream_ = stream;
  settings_ = nullptr;
  is_.workspace = is_.workspace_bytes = 0;
  return library_.SetStream(handle_, stream);
}

cublasStatus_t BlasHandle::Set(const BlasSettings& wanted) {
  cublasStatus_t status = CUBLAS_STATUS_SUCCESS;
  // What an older library cannot be set to, it is not.
  const auto set = [&](auto function, auto BlasSettings::* member, auto value) {
    if (status != CUBLAS_STATUS_SUCCESS || is_.*member == wanted.*member) return;
    status = function == nullptr ? CUBLAS_STATUS_NOT_SUPPORTED : function(handle_, value);
    if (status == CUBLAS_STATUS_SUCCESS) is_.*member = wanted.*member;
  };
  if (is_.workspace != wanted.workspace || is_.workspace_bytes != wanted.workspace_bytes) {
    // Only a stream that is set anew has the library's own again.
    status = wanted.workspace == 0
                 ? library_.SetStream(handle_, stream_)
                 : library_.SetWorkspace(handle_, reinterpret_cast<void*>(wanted.workspace), wanted.workspace_bytes);
    if (status != CUBLAS_STATUS_SUCCESS) return status;
    is_.workspace = wanted.workspace;
    is_.workspace_bytes = wanted.workspace_bytes;
  }
  set(library_.SetMathMode, &BlasSettings::math_mode, static_cast<cublasMath_t>(wanted.math_mode));
  set(library_.SetAtomicsMode, &BlasSettings::atomics_mode, static_cast<cublasAtomicsMode_t>(wanted.atomics_mode));
  set(library_.SetSmCountTarget, &BlasSettings::sm_count_target, static_cast<int>(wanted.sm_count_target));
  set(library_.SetEmulationStrategy, &BlasSettings::emulation_strategy,
      static_cast<cublasEmulationStrategy_t>(wanted.emulation_strategy));
  set(library_.SetSpecialValues, &BlasSettings::special_values,
      static_cast<cudaEmulationSpecialValuesSupport>(wanted.special_values));
  set(library_.SetMantissaControl, &BlasSettings::mantissa_control,
      static_cast<cudaEmulationMantissaControl>(wanted.mantissa_control));
  set(library_.SetMantissaBitsMax, &BlasSettings::mantissa_bits_max, static_cast<int>(wanted.mantissa_bits_max));
  set(library_.SetMantissaBitOffset, &BlasSettings::mantissa_bit_offset, static_cast<int>(wanted.mantissa_bit_offset));
  set(library_.SetMantissaBits, &BlasSettings::mantissa_bits, reinterpret_cast<int*>(wanted.mantissa_bits));
  return status;
}

cublasStatus_t BlasHandle::Run(const BlasLibrary::Function& function, const std::shared_ptr<const Bytes>& settings,
                               bool has_device_pointers, NativeArguments& arguments) {
  // Settings are the session's, told once: mostly they are those of the last call.
  if (settings != settings_) {
    const std::optional<BlasSettings> wanted = ReadBlasSettings(*settings);
    if (!wanted.has_value()) return CUBLAS_STATUS_INVALID_VALUE;
    if (const cublasStatus_t set = Set(*wanted); set != CUBLAS_STATUS_SUCCESS) return set;
    settings_ = settings;
  }
  const cublasPointerMode_t mode = has_device_pointers ? CUBLAS_POINTER_MODE_DEVICE : CUBLAS_POINTER_MODE_HOST;
  if (mode != pointer_mode_) {
    if (const cublasStatus_t set = library_.SetPointerMode(handle_, mode); set != CUBLAS_STATUS_SUCCESS) return set;
    pointer_mode_ = mode;
  }
  return function.call(function.symbol, handle_, arguments);
}

}  // namespace accelmesh::cuda
