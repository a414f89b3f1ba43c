#include "shim/blas/handle.h"

#include "protocol/library/library.h"
#include "shim/blas/entry.h"
#include "shim/core/capture.h"
#include "shim/gen_blas_face.h"
#include "shim/runtime/library_handles.h"
#include "shim/runtime/runtime.h"

namespace accelmesh::blas {
namespace {

constexpr DeviceResult kDeviceOutOfMemory = 2;
constexpr DeviceResult kDeviceNotSupported = 801;

using Handles = LibraryHandles<cublasContext>;

// Sets one field; calls from now on have it.
template <typename T, typename V>
cublasStatus_t Set(cublasHandle_t handle, T BlasSettings::* field, V value) {
  cublasContext* context = nullptr;
  if (const cublasStatus_t status = FindHandle(handle, &context); status != CUBLAS_STATUS_SUCCESS) return status;
  const MutexLock lock(context->mu);
  context->settings.*field = static_cast<T>(value);
  context->settings_id.store(cublasContext::kNotTold, std::memory_order_release);
  return CUBLAS_STATUS_SUCCESS;
}
template <typename T, typename V>
cublasStatus_t Get(cublasHandle_t handle, T BlasSettings::* field, V* value) {
  cublasContext* context = nullptr;
  if (const cublasStatus_t status = FindHandle(handle, &context); status != CUBLAS_STATUS_SUCCESS) return status;
  if (value == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  const MutexLock lock(context->mu);
  *value = static_cast<V>(context->settings.*field);
  return CUBLAS_STATUS_SUCCESS;
}

// The mode is one of these, with or without the flag.
bool IsMathMode(cublasMath_t mode) {
  switch (static_cast<int>(mode) & ~CUBLAS_MATH_DISALLOW_REDUCED_PRECISION_REDUCTION) {
    case CUBLAS_DEFAULT_MATH:
    case CUBLAS_TENSOR_OP_MATH:
    case CUBLAS_PEDANTIC_MATH:
    case CUBLAS_TF32_TENSOR_OP_MATH:
    case CUBLAS_FP32_EMULATED_BF16X9_MATH:
    case CUBLAS_FP64_EMULATED_FIXEDPOINT_MATH: return true;
    default: return false;
  }
}

}  // namespace

cublasStatus_t FindHandle(cublasHandle_t handle, cublasContext** found) {
  cublasContext* const context = Handles::All().Find(handle);
  if (context == nullptr || Runtime::Get().SessionIfOpen() != context->session) return CUBLAS_STATUS_NOT_INITIALIZED;
  *found = context;
  return CUBLAS_STATUS_SUCCESS;
}

Stream* StreamOf(const cublasContext& context) {
  return StreamOfHandle(*context.session, context.device, context.stream.load(std::memory_order_relaxed));
}

DeviceResult SettingsOf(cublasContext& context, std::uint32_t* id) {
  *id = context.settings_id.load(std::memory_order_acquire);
  if (*id != cublasContext::kNotTold) return 0;
  const MutexLock lock(context.mu);
  if (const DeviceResult told = context.session->LibrarySettings(kLibraryBlas, AsBytes(context.settings), id);
      told != 0)
    return told;
  context.settings_id.store(*id, std::memory_order_release);
  return 0;
}

cublasStatus_t StatusOf(DeviceResult result) {
  switch (result) {
    case 0: return CUBLAS_STATUS_SUCCESS;
    case kDeviceOutOfMemory: return CUBLAS_STATUS_ALLOC_FAILED;
    case kDeviceNotSupported: return CUBLAS_STATUS_NOT_SUPPORTED;
    default: return CUBLAS_STATUS_EXECUTION_FAILED;
  }
}

}  // namespace accelmesh::blas

namespace accelmesh::face {

using namespace accelmesh::blas;

cublasStatus_t cublasCreate_v2(cublasHandle_t* handle) {
  if (handle == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  cudaError_t error = cudaSuccess;
  ClientSession* const session = Runtime::Get().Session(&error);
  if (session == nullptr) return CUBLAS_STATUS_NOT_INITIALIZED;
  auto context = std::make_unique<cublasContext>();
  context->session = session;
  context->device = CurrentDevice();
  if (const DeviceResult opened = session->OpenLibrary(kLibraryBlas, context->device, &context->functions);
      opened != 0) {
    const cublasStatus_t status = StatusOf(opened);
    if (status == CUBLAS_STATUS_NOT_SUPPORTED) blas::SayRefused("cublasCreate_v2", "the server has no such library");
    return status == CUBLAS_STATUS_EXECUTION_FAILED ? CUBLAS_STATUS_NOT_INITIALIZED : status;
  }
  *handle = Handles::All().Add(std::move(context));
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasDestroy_v2(cublasHandle_t handle) {
  return Handles::All().TakeIdle(handle) == nullptr ? CUBLAS_STATUS_NOT_INITIALIZED : CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasSetStream_v2(cublasHandle_t handle, cudaStream_t streamId) {
  cublasContext* context = nullptr;
  if (const cublasStatus_t status = FindHandle(handle, &context); status != CUBLAS_STATUS_SUCCESS) return status;
  context->stream.store(streamId, std::memory_order_relaxed);
  // The workspace is the library's own again.
  const MutexLock lock(context->mu);
  if (context->settings.workspace != 0) {
    context->settings.workspace = context->settings.workspace_bytes = 0;
    context->settings_id.store(cublasContext::kNotTold, std::memory_order_release);
  }
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasGetStream_v2(cublasHandle_t handle, cudaStream_t* streamId) {
  cublasContext* context = nullptr;
  if (const cublasStatus_t status = FindHandle(handle, &context); status != CUBLAS_STATUS_SUCCESS) return status;
  if (streamId == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  *streamId = context->stream.load(std::memory_order_relaxed);
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasSetWorkspace_v2(cublasHandle_t handle, void* workspace, size_t workspaceSizeInBytes) {
  cublasContext* context = nullptr;
  if (const cublasStatus_t status = FindHandle(handle, &context); status != CUBLAS_STATUS_SUCCESS) return status;
  constexpr std::uintptr_t kAlignment = 256;
  if (reinterpret_cast<std::uintptr_t>(workspace) % kAlignment != 0) return CUBLAS_STATUS_INVALID_VALUE;
  const MutexLock lock(context->mu);
  context->settings.workspace = reinterpret_cast<std::uintptr_t>(workspace);
  context->settings.workspace_bytes = workspace == nullptr ? 0 : workspaceSizeInBytes;
  context->settings_id.store(cublasContext::kNotTold, std::memory_order_release);
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasSetPointerMode_v2(cublasHandle_t handle, cublasPointerMode_t mode) {
  cublasContext* context = nullptr;
  if (const cublasStatus_t status = FindHandle(handle, &context); status != CUBLAS_STATUS_SUCCESS) return status;
  if (mode != CUBLAS_POINTER_MODE_HOST && mode != CUBLAS_POINTER_MODE_DEVICE) return CUBLAS_STATUS_INVALID_VALUE;
  context->pointer_mode.store(mode, std::memory_order_relaxed);
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasGetPointerMode_v2(cublasHandle_t handle, cublasPointerMode_t* mode) {
  cublasContext* context = nullptr;
  if (const cublasStatus_t status = FindHandle(handle, &context); status != CUBLAS_STATUS_SUCCESS) return status;
  if (mode == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  *mode = context->pointer_mode.load(std::memory_order_relaxed);
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasSetAtomicsMode(cublasHandle_t handle, cublasAtomicsMode_t mode) {
  if (mode != CUBLAS_ATOMICS_NOT_ALLOWED && mode != CUBLAS_ATOMICS_ALLOWED) {
    cublasContext* context = nullptr;
    const cublasStatus_t status = FindHandle(handle, &context);
    return status != CUBLAS_STATUS_SUCCESS ? status : CUBLAS_STATUS_INVALID_VALUE;
  }
  return Set(handle, &BlasSettings::atomics_mode, mode);
}
cublasStatus_t cublasGetAtomicsMode(cublasHandle_t handle, cublasAtomicsMode_t* mode) {
  return Get(handle, &BlasSettings::atomics_mode, mode);
}
cublasStatus_t cublasSetMathMode(cublasHandle_t handle, cublasMath_t mode) {
  if (!IsMathMode(mode)) {
    cublasContext* context = nullptr;
    const cublasStatus_t status = FindHandle(handle, &context);
    return status != CUBLAS_STATUS_SUCCESS ? status : CUBLAS_STATUS_INVALID_VALUE;
  }
  return Set(handle, &BlasSettings::math_mode, mode);
}
cublasStatus_t cublasGetMathMode(cublasHandle_t handle, cublasMath_t* mode) {
  return Get(handle, &BlasSettings::math_mode, mode);
}
cublasStatus_t cublasSetSmCountTarget(cublasHandle_t handle, int smCountTarget) {
  cublasContext* context = nullptr;
  if (const cublasStatus_t status = FindHandle(handle, &context); status != CUBLAS_STATUS_SUCCESS) return status;
  const int all = Runtime::Get().device(context->device).lease->Attribute(cudaDevAttrMultiProcessorCount);
  if (smCountTarget < 0 || smCountTarget > all) return CUBLAS_STATUS_INVALID_VALUE;
  return Set(handle, &BlasSettings::sm_count_target, smCountTarget);
}
cublasStatus_t cublasGetSmCountTarget(cublasHandle_t handle, int* smCountTarget) {
  return Get(handle, &BlasSettings::sm_count_target, smCountTarget);
}

cublasStatus_t cublasSetEmulationStrategy(cublasHandle_t handle, cublasEmulationStrategy_t emulationStrategy) {
  return Set(handle, &BlasSettings::emulation_strategy, emulationStrategy);
}
cublasStatus_t cublasGetEmulationStrategy(cublasHandle_t handle, cublasEmulationStrategy_t* emulationStrategy) {
  return Get(handle, &BlasSettings::emulation_strategy, emulationStrategy);
}
cublasStatus_t cublasSetEmulationSpecialValuesSupport(cublasHandle_t handle, cudaEmulationSpecialValuesSupport mask) {
  return Set(handle, &BlasSettings::special_values, mask);
}
cublasStatus_t cublasGetEmulationSpecialValuesSupport(cublasHandle_t handle, cudaEmulationSpecialValuesSupport* mask) {
  return Get(handle, &BlasSettings::special_values, mask);
}
cublasStatus_t cublasSetFixedPointEmulationMantissaControl(cublasHandle_t handle,
                                                           cudaEmulationMantissaControl mantissaControl) {
  return Set(handle, &BlasSettings::mantissa_control, mantissaControl);
}
cublasStatus_t cublasGetFixedPointEmulationMantissaControl(cublasHandle_t handle,
                                                           cudaEmulationMantissaControl* mantissaControl) {
  return Get(handle, &BlasSettings::mantissa_control, mantissaControl);
}
cublasStatus_t cublasSetFixedPointEmulationMaxMantissaBitCount(cublasHandle_t handle, int maxMantissaBitCount) {
  return Set(handle, &BlasSettings::mantissa_bits_max, maxMantissaBitCount);
}
cublasStatus_t cublasGetFixedPointEmulationMaxMantissaBitCount(cublasHandle_t handle, int* maxMantissaBitCount) {
  return Get(handle, &BlasSettings::mantissa_bits_max, maxMantissaBitCount);
}
cublasStatus_t cublasSetFixedPointEmulationMantissaBitOffset(cublasHandle_t handle, int mantissaBitOffset) {
  return Set(handle, &BlasSettings::mantissa_bit_offset, mantissaBitOffset);
}
cublasStatus_t cublasGetFixedPointEmulationMantissaBitOffset(cublasHandle_t handle, int* mantissaBitOffset) {
  return Get(handle, &BlasSettings::mantissa_bit_offset, mantissaBitOffset);
}
cublasStatus_t cublasSetFixedPointEmulationMantissaBitCountPointer(cublasHandle_t handle, int* mantissaBitCount) {
  if (mantissaBitCount != nullptr) {
    blas::SayRefused("cublasSetFixedPointEmulationMantissaBitCountPointer", "nobody would write the count there");
    return CUBLAS_STATUS_NOT_SUPPORTED;
  }
  return Set(handle, &BlasSettings::mantissa_bits, reinterpret_cast<std::uintptr_t>(mantissaBitCount));
}
cublasStatus_t cublasGetFixedPointEmulationMantissaBitCountPointer(cublasHandle_t handle, int** mantissaBitCount) {
  std::uintptr_t address = 0;
  if (mantissaBitCount == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  const cublasStatus_t status = Get(handle, &BlasSettings::mantissa_bits, &address);
  if (status == CUBLAS_STATUS_SUCCESS) *mantissaBitCount = reinterpret_cast<int*>(address);
  return status;
}

}  // namespace accelmesh::face
