// Limits and preferences of a device: checked and rounded as CUDA does, kept, and told to the server's device.
#include <algorithm>
#include <limits>

#include "protocol/base/bytes.h"
#include "shim/gen_face.h"
#include "shim/runtime/runtime.h"
#include "shim/runtime/settings.h"

namespace accelmesh {

constinit DeviceSettings g_device_settings[limits::kDevicesMax];

namespace face {
namespace {

// As CUDA 13 has them on a real device (observed); its manual names none of these numbers.
constexpr std::uint64_t kStackBytesMax = 512 * limits::kKiB;  // a thread's local memory; exclusive
constexpr std::uint64_t kStackGranularity = 16;
constexpr std::uint64_t kPrintfBytesMin = 512 * limits::kKiB;
constexpr std::uint64_t kPrintfBytesMax = 2 * limits::kGiB;
constexpr std::uint64_t kPrintfGranularity = 256;
constexpr std::uint64_t kHeapBytesMin = 4 * limits::kMiB;
constexpr std::uint64_t kHeapGranularity = 4 * limits::kKiB;
constexpr std::uint64_t kPendingLaunchesMin = 32;
constexpr std::uint64_t kPendingLaunchesMax = 599186;
constexpr std::uint64_t kFetchBytesMax = 128;

DeviceSettings& CurrentSettings() { return g_device_settings[CurrentDevice()]; }

std::uint64_t Attribute(cudaDeviceAttr attribute) {
  const int value = Runtime::Get().device(CurrentDevice()).lease->Attribute(static_cast<std::uint32_t>(attribute));
  return static_cast<std::uint64_t>(std::max(value, 0));
}

// Whether this device has the limit at all.
cudaError_t CheckLimit(cudaLimit limit) {
  if (limit < cudaLimitStackSize || limit > cudaLimitPersistingL2CacheSize) return cudaErrorInvalidValue;
  // CUDA 13's kernels cannot wait for those they launch.
  if (limit == cudaLimitDevRuntimeSyncDepth) return cudaErrorUnsupportedLimit;
  const bool persists = Attribute(cudaDevAttrMaxPersistingL2CacheSize) != 0;
  return limit == cudaLimitPersistingL2CacheSize && !persists ? cudaErrorUnsupportedLimit : cudaSuccess;
}

std::uint64_t ClampUp(std::uint64_t value, std::uint64_t least, std::uint64_t most, std::uint64_t granularity) {
  return AlignUp(std::clamp(value, least, most), granularity);
}

}  // namespace

cudaError_t cudaDeviceGetLimit(size_t* value, cudaLimit limit) {
  ACCELMESH_BEGIN_QUERY();
  if (value == nullptr) return Fail(cudaErrorInvalidValue);
  if (const cudaError_t error = CheckLimit(limit); error != cudaSuccess) return Fail(error);
  *value = CurrentSettings().limits[limit].load(std::memory_order_relaxed);
  return cudaSuccess;
}

cudaError_t cudaDeviceSetLimit(cudaLimit limit, size_t value) {
  ACCELMESH_BEGIN_QUERY();
  if (const cudaError_t error = CheckLimit(limit); error != cudaSuccess) return Fail(error);
  const std::uint64_t memory = Runtime::Get().device(CurrentDevice()).lease->memory_bytes;
  std::uint64_t kept = value;
  switch (limit) {
    case cudaLimitStackSize:
      if (value >= kStackBytesMax) return Fail(cudaErrorInvalidValue);
      kept = AlignUp(value, kStackGranularity);
      break;
    case cudaLimitPrintfFifoSize: kept = ClampUp(value, kPrintfBytesMin, kPrintfBytesMax, kPrintfGranularity); break;
    case cudaLimitMallocHeapSize:
      kept = ClampUp(value, kHeapBytesMin, std::max(memory, kHeapBytesMin), kHeapGranularity);
      break;
    case cudaLimitDevRuntimePendingLaunchCount:
      kept = std::clamp(value, kPendingLaunchesMin, kPendingLaunchesMax);
      break;
    case cudaLimitMaxL2FetchGranularity:
      if (value > kFetchBytesMax) return Fail(cudaErrorInvalidValue);
      break;
    case cudaLimitPersistingL2CacheSize:
      if (value > Attribute(cudaDevAttrMaxPersistingL2CacheSize)) return Fail(cudaErrorInvalidValue);
      break;
    default: return Fail(cudaErrorInvalidValue);
  }
  CurrentSettings().limits[limit].store(kept, std::memory_order_relaxed);
  return Done(session, session.SetLimit(CurrentDevice(), static_cast<std::uint32_t>(limit), kept));
}

cudaError_t cudaDeviceGetCacheConfig(cudaFuncCache* config) {
  ACCELMESH_BEGIN_QUERY();
  if (config == nullptr) return Fail(cudaErrorInvalidValue);
  *config = static_cast<cudaFuncCache>(CurrentSettings().cache_config.load(std::memory_order_relaxed));
  return cudaSuccess;
}
cudaError_t cudaDeviceSetCacheConfig(cudaFuncCache config) {
  ACCELMESH_BEGIN_QUERY();
  if (config < cudaFuncCachePreferNone || config > cudaFuncCachePreferEqual) return Fail(cudaErrorInvalidValue);
  CurrentSettings().cache_config.store(config, std::memory_order_relaxed);
  return cudaSuccess;
}

// Banks of shared memory are four bytes wide on every device since compute capability 5.0, whatever is asked for.
cudaError_t cudaDeviceGetSharedMemConfig(cudaSharedMemConfig* config) {
  ACCELMESH_BEGIN_QUERY();
  if (config == nullptr) return Fail(cudaErrorInvalidValue);
  *config = cudaSharedMemBankSizeFourByte;
  return cudaSuccess;
}
cudaError_t cudaDeviceSetSharedMemConfig(cudaSharedMemConfig config) {
  ACCELMESH_BEGIN_QUERY();
  return config < cudaSharedMemBankSizeDefault || config > cudaSharedMemBankSizeEightByte ? Fail(cudaErrorInvalidValue)
                                                                                          : cudaSuccess;
}

cudaError_t cudaCtxResetPersistingL2Cache() {
  ACCELMESH_BEGIN_CALL();
  return cudaSuccess;  // Lines that persist are a matter of speed only.
}

}  // namespace face
}  // namespace accelmesh
