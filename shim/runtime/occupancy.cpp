// How many blocks, and how much shared memory, fit on a multiprocessor: arithmetic on the device's and the kernel's
// limits.
#include <algorithm>

#include "shim/gen_face.h"
#include "shim/runtime/kernel.h"

namespace accelmesh {
namespace {

constexpr std::uint64_t kSharedGranularity = 128;

std::uint64_t DeviceAttribute(cudaDeviceAttr attribute) {
  const int value = Runtime::Get().device(CurrentDevice()).lease->Attribute(static_cast<std::uint32_t>(attribute));
  return static_cast<std::uint64_t>(std::max(value, 0));
}

}  // namespace

DeviceResult MaxActiveBlocks(ClientSession& session, const DeviceKernel& kernel, std::uint64_t threads,
                             std::uint64_t dynamic_shared_bytes, std::uint64_t* blocks) {
  *blocks = 0;
  const std::uint64_t shared_max = kernel.limits->shared_bytes_optin;
  if (threads == 0 || threads > kernel.layout->max_threads_per_block || dynamic_shared_bytes > shared_max ||
      dynamic_shared_bytes + kernel.layout->static_shared_bytes > shared_max)
    return 0;  // No block of this kind fits.
  if (session.facts().occupancy_is_asked) {
    const LaunchGeometry geometry{{1, 1, 1},
                                  {static_cast<std::uint32_t>(threads), 1, 1},
                                  static_cast<std::uint32_t>(dynamic_shared_bytes),
                                  0,
                                  {}};
    return session.AskOccupancy(*kernel.layout, wire::OccupancyOf::Blocks, geometry, blocks);
  }
  const std::uint64_t shared = dynamic_shared_bytes + kernel.layout->static_shared_bytes;
  std::uint64_t limit = std::min(DeviceAttribute(cudaDevAttrMaxThreadsPerMultiProcessor) / ((threads + 31) / 32 * 32),
                                 DeviceAttribute(cudaDevAttrMaxBlocksPerMultiprocessor));
  if (shared > 0) limit = std::min(limit, DeviceAttribute(cudaDevAttrMaxSharedMemoryPerMultiprocessor) / shared);
  *blocks = limit;
  return 0;
}

namespace face {

cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int* blocks, const void* func, int block_size,
                                                                   size_t dynamic_shared_bytes, unsigned int flags) {
  ACCELMESH_BEGIN_CALL();
  if (blocks == nullptr || block_size <= 0 || flags > cudaOccupancyDisableCachingOverride)
    return Fail(cudaErrorInvalidValue);
  cudaError_t error = cudaSuccess;
  const DeviceKernel* kernel = FindOnDevice(session, func, &error);
  if (kernel == nullptr) return error;
  std::uint64_t fitting = 0;
  if (const DeviceResult asked =
          MaxActiveBlocks(session, *kernel, static_cast<std::uint64_t>(block_size), dynamic_shared_bytes, &fitting);
      asked != 0)
    return Done(session, asked);
  *blocks = static_cast<int>(fitting);
  return cudaSuccess;
}
cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, const void* func, int block_size,
                                                          size_t dynamic_shared_bytes) {
  return face::cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(blocks, func, block_size, dynamic_shared_bytes,
                                                                      cudaOccupancyDefault);
}

cudaError_t cudaOccupancyAvailableDynamicSMemPerBlock(size_t* bytes, const void* func, int blocks, int block_size) {
  ACCELMESH_BEGIN_CALL();
  if (bytes == nullptr) return Fail(cudaErrorInvalidValue);
  cudaError_t error = cudaSuccess;
  const DeviceKernel* kernel = FindOnDevice(session, func, &error);
  if (kernel == nullptr) return error;
  const std::uint64_t static_bytes = kernel->layout->static_shared_bytes;
  if (blocks <= 0 || block_size <= 0) return Fail(cudaErrorInvalidValue);
  std::uint64_t fitting = 0;
  if (const DeviceResult asked = MaxActiveBlocks(session, *kernel, static_cast<std::uint64_t>(block_size), 0, &fitting);
      asked != 0)
    return Done(session, asked);
  if (static_cast<std::uint64_t>(blocks) > fitting) return Fail(cudaErrorInvalidValue);
  const std::uint64_t share = DeviceAttribute(cudaDevAttrMaxSharedMemoryPerMultiprocessor) /
                              static_cast<std::uint64_t>(blocks) / kSharedGranularity * kSharedGranularity;
  const std::uint64_t of_block = std::min<std::uint64_t>(share, kernel->limits->shared_bytes_optin);
  *bytes = std::min<std::uint64_t>(of_block - std::min(of_block, static_bytes),
                                   kernel->dynamic_shared_bytes_max.load(std::memory_order_relaxed));
  return cudaSuccess;
}

}  // namespace face
}  // namespace accelmesh
