// Clusters of blocks: what a launch, its kernel and the device have to say about them.
#include <algorithm>

#include "protocol/base/log.h"
#include "shim/gen_face.h"
#include "shim/runtime/kernel.h"

namespace accelmesh {
namespace {

// Blocks that a cluster may have on every device that has clusters; more, where the kernel allows it, only some do.
constexpr std::uint64_t kPortableBlocksMax = 8;
constexpr std::uint64_t kClusterBlocksMax = 64;  // of any device

std::uint64_t Blocks(const dim3& size) { return std::uint64_t{size.x} * size.y * size.z; }
bool IsNone(const dim3& size) { return size.x == 0 && size.y == 0 && size.z == 0; }
bool IsWhole(const dim3& size) { return size.x != 0 && size.y != 0 && size.z != 0; }
bool Divides(const dim3& size, const dim3& all) {
  return all.x % size.x == 0 && all.y % size.y == 0 && all.z % size.z == 0;
}
std::array<std::uint8_t, 3> Packed(const dim3& size) {
  return {static_cast<std::uint8_t>(size.x), static_cast<std::uint8_t>(size.y), static_cast<std::uint8_t>(size.z)};
}
dim3 Unpacked(const std::array<std::uint8_t, 3>& size) { return {size[0], size[1], size[2]}; }

dim3 RequiredBy(const DeviceKernel& kernel) {
  const auto extent = [&kernel](int d) {
    return static_cast<unsigned>(kernel.required_cluster[d].load(std::memory_order_relaxed));
  };
  return {extent(0), extent(1), extent(2)};
}

// On a device without clusters every block is its own.
cudaError_t RefuseClusters(const ClusterRequest& asked, const dim3& required) {
  if (required.x > 1 || required.y > 1 || required.z > 1) return cudaErrorInvalidClusterSize;
  if (!asked.size.has_value() || Blocks(*asked.size) == 1) return cudaSuccess;
  if (!IsWhole(*asked.size)) return cudaErrorInvalidClusterSize;
  log::Warning("cudaLaunchKernelExC", "the device has no clusters of blocks; the launch returns cudaErrorNotSupported");
  return cudaErrorNotSupported;
}

}  // namespace

cudaError_t SettleCluster(ClientSession& session, const DeviceKernel& kernel, const ClusterRequest& asked,
                          LaunchGeometry* geometry) {
  geometry->cluster = {};
  geometry->attributes &= static_cast<std::uint8_t>(~kLargeCluster);
  const dim3 required = RequiredBy(kernel);
  if (!kernel.limits->has_clusters) return RefuseClusters(asked, required);
  if (!asked.size.has_value() && IsNone(required))
    return kernel.layout->cluster_must_be_set ? cudaErrorInvalidClusterSize : cudaSuccess;
  const dim3 size = asked.size.value_or(required);
  const dim3 grid(geometry->grid[0], geometry->grid[1], geometry->grid[2]);
  const bool is_other = !IsNone(required) && (size.x != required.x || size.y != required.y || size.z != required.z);
  if (!IsWhole(size) || is_other || !Divides(size, grid)) return cudaErrorInvalidClusterSize;
  const dim3& preferred = asked.preferred;
  const bool has_preferred = !IsNone(preferred);
  if (has_preferred && (!IsWhole(preferred) || !Divides(size, preferred) || preferred.z != size.z ||
                        !Divides(preferred, grid) || Blocks(preferred) > kClusterBlocksMax))
    return cudaErrorInvalidClusterSize;
  const bool is_allowed = kernel.non_portable_cluster_allowed.load(std::memory_order_relaxed) != 0;
  const bool is_large = Blocks(size) > kPortableBlocksMax;
  if (Blocks(size) > kClusterBlocksMax || (is_large && !is_allowed)) return cudaErrorInvalidClusterSize;
  geometry->cluster.size = Packed(size);
  if (has_preferred) geometry->cluster.preferred = Packed(preferred);
  geometry->cluster.is_of_kernel = !asked.size.has_value();
  const int own_policy = kernel.cluster_policy.load(std::memory_order_relaxed);
  const int policy = asked.policy.value_or(own_policy == kernel.layout->cluster_policy ? 0 : own_policy);
  geometry->cluster.policy = static_cast<std::uint8_t>(policy);
  if (is_allowed) geometry->attributes |= kLargeCluster;
  if (!is_large) return cudaSuccess;
  // Whether the device has so large ones, for such blocks, only its driver knows.
  std::uint64_t clusters = 0;
  const DeviceResult told = MaxActiveClusters(session, kernel, *geometry, &clusters);
  if (told != 0) return static_cast<cudaError_t>(told);
  return clusters == 0 ? cudaErrorInvalidClusterSize : cudaSuccess;
}

DeviceResult MaxActiveClusters(ClientSession& session, const DeviceKernel& kernel, const LaunchGeometry& geometry,
                               std::uint64_t* clusters) {
  // Of how many there are to run it does not depend: a grid of many stands for all of them, and is asked for once.
  constexpr std::uint32_t kMany = 4096;
  const std::array<std::uint8_t, 3>& size = geometry.cluster.size;
  LaunchGeometry many = geometry;
  many.grid[0] = size[0] * kMany;
  many.grid[1] = size[1];
  many.grid[2] = size[2];
  many.attributes &= kLargeCluster;
  many.cluster.preferred = {};
  return session.AskOccupancy(*kernel.layout, wire::OccupancyOf::Clusters, many, clusters);
}

ClusterRequest RequestOf(const LaunchCluster& cluster) {
  ClusterRequest asked;
  if (cluster.size[0] != 0 && !cluster.is_of_kernel) asked.size = Unpacked(cluster.size);
  asked.preferred = Unpacked(cluster.preferred);
  if (cluster.policy != 0) asked.policy = cluster.policy;
  return asked;
}

bool IsClusterAttribute(cudaLaunchAttributeID id) {
  return id == cudaLaunchAttributeClusterDimension || id == cudaLaunchAttributePreferredClusterDimension ||
         id == cudaLaunchAttributeClusterSchedulingPolicyPreference;
}

bool WriteClusterAttribute(const LaunchCluster& cluster, cudaLaunchAttributeID id, cudaLaunchAttributeValue* value) {
  if (id == cudaLaunchAttributeClusterDimension) {
    const bool has_size = cluster.size[0] != 0;
    value->clusterDim = {1, 1, 1};
    if (has_size) value->clusterDim = {cluster.size[0], cluster.size[1], cluster.size[2]};
    return has_size;
  }
  if (id == cudaLaunchAttributePreferredClusterDimension) {
    value->preferredClusterDim = {cluster.preferred[0], cluster.preferred[1], cluster.preferred[2]};
    return cluster.preferred[0] != 0;
  }
  value->clusterSchedulingPolicyPreference = static_cast<cudaClusterSchedulingPolicy>(cluster.policy);
  return cluster.policy != 0;
}

cudaError_t ReadClusterAttribute(cudaLaunchAttributeID id, const cudaLaunchAttributeValue& value,
                                 ClusterRequest* asked) {
  const auto size = [](const auto& extents) { return dim3(extents.x, extents.y, extents.z); };
  switch (id) {
    case cudaLaunchAttributeClusterDimension:
      asked->size = size(value.clusterDim);
      return IsWhole(*asked->size) ? cudaSuccess : cudaErrorInvalidClusterSize;
    case cudaLaunchAttributePreferredClusterDimension:  // of a launch that has a required one
      asked->preferred = size(value.preferredClusterDim);
      return IsNone(asked->preferred) || IsWhole(asked->preferred) ? cudaSuccess : cudaErrorInvalidClusterSize;
    default:
      if (value.clusterSchedulingPolicyPreference < cudaClusterSchedulingPolicyDefault ||
          value.clusterSchedulingPolicyPreference > cudaClusterSchedulingPolicyLoadBalancing)
        return cudaErrorInvalidValue;
      asked->policy = value.clusterSchedulingPolicyPreference;
      return cudaSuccess;
  }
}

namespace {

// The launch of a configuration as far as questions about clusters go. Its geometry has to be one of the device's.
cudaError_t ReadConfig(const DeviceKernel& kernel, const cudaLaunchConfig_t& config, ClusterRequest* asked,
                       LaunchGeometry* geometry) {
  const DeviceLimits& limits = *kernel.limits;
  const dim3& grid = config.gridDim;
  const dim3& block = config.blockDim;
  if (!IsWhole(grid) || !IsWhole(block) || grid.x > limits.grid[0] || grid.y > limits.grid[1] ||
      grid.z > limits.grid[2] || block.x > limits.block[0] || block.y > limits.block[1] || block.z > limits.block[2] ||
      Blocks(block) > limits.threads || config.dynamicSmemBytes > limits.shared_bytes_optin)
    return cudaErrorInvalidValue;
  for (unsigned i = 0; i < config.numAttrs; ++i) {
    const cudaLaunchAttribute& attribute = config.attrs[i];
    if (!IsClusterAttribute(attribute.id)) continue;
    if (const cudaError_t error = ReadClusterAttribute(attribute.id, attribute.val, asked); error != cudaSuccess)
      return error;
  }
  *geometry = {{grid.x, grid.y, grid.z},
               {block.x, block.y, block.z},
               static_cast<std::uint32_t>(config.dynamicSmemBytes),
               0,
               {}};
  return cudaSuccess;
}

}  // namespace

namespace face {

cudaError_t cudaOccupancyMaxPotentialClusterSize(int* cluster_size, const void* func,
                                                 const cudaLaunchConfig_t* config) {
  ACCELMESH_BEGIN_CALL();
  if (cluster_size == nullptr || config == nullptr || (config->numAttrs != 0 && config->attrs == nullptr))
    return Fail(cudaErrorInvalidValue);
  cudaError_t error = cudaSuccess;
  const DeviceKernel* kernel = FindOnDevice(session, func, &error);
  if (kernel == nullptr) return error;
  if (!kernel->limits->has_clusters) {
    *cluster_size = 1;  // Every block is its own.
    return cudaSuccess;
  }
  if (const dim3 required = RequiredBy(*kernel); IsWhole(required)) {
    *cluster_size = static_cast<int>(Blocks(required));
    return cudaSuccess;
  }
  ClusterRequest asked;
  LaunchGeometry geometry{};
  cudaLaunchConfig_t without = *config;  // the size that it may name does not matter
  without.numAttrs = 0;
  if (error = ReadConfig(*kernel, without, &asked, &geometry); error != cudaSuccess) return Fail(error);
  if (kernel->non_portable_cluster_allowed.load(std::memory_order_relaxed) != 0) geometry.attributes = kLargeCluster;
  std::uint64_t blocks = 0;
  if (const DeviceResult told =
          session.AskOccupancy(*kernel->layout, wire::OccupancyOf::ClusterSize, geometry, &blocks);
      told != 0)
    return Done(session, told);
  *cluster_size = static_cast<int>(blocks);
  return cudaSuccess;
}

cudaError_t cudaOccupancyMaxActiveClusters(int* clusters, const void* func, const cudaLaunchConfig_t* config) {
  ACCELMESH_BEGIN_CALL();
  if (clusters == nullptr || config == nullptr || (config->numAttrs != 0 && config->attrs == nullptr))
    return Fail(cudaErrorInvalidValue);
  cudaError_t error = cudaSuccess;
  const DeviceKernel* kernel = FindOnDevice(session, func, &error);
  if (kernel == nullptr) return error;
  ClusterRequest asked;
  LaunchGeometry geometry{};
  if (error = ReadConfig(*kernel, *config, &asked, &geometry); error != cudaSuccess) return Fail(error);
  if (!asked.size.has_value() && IsNone(RequiredBy(*kernel))) {
    *clusters = 0;  // A launch without clusters has none.
    return cudaSuccess;
  }
  if (asked.size.has_value() && !Divides(*asked.size, config->gridDim)) return Fail(cudaErrorInvalidClusterSize);
  std::uint64_t count = 0;
  if (!kernel->limits->has_clusters) {
    if (!asked.size.has_value() || Blocks(*asked.size) != 1) return Fail(cudaErrorInvalidClusterSize);
    if (const DeviceResult told =
            MaxActiveBlocks(session, *kernel, Blocks(config->blockDim), config->dynamicSmemBytes, &count);
        told != 0)
      return Done(session, told);
    const int processors = Runtime::Get().device(CurrentDevice()).lease->Attribute(cudaDevAttrMultiProcessorCount);
    *clusters = static_cast<int>(count) * std::max(processors, 0);
    return cudaSuccess;
  }
  if (error = SettleCluster(session, *kernel, asked, &geometry); error != cudaSuccess) return Fail(error);
  // No block of this kind fits.
  if (Blocks(config->blockDim) <= kernel->layout->max_threads_per_block) {
    if (const DeviceResult told = MaxActiveClusters(session, *kernel, geometry, &count); told != 0)
      return Done(session, told);
  }
  *clusters = static_cast<int>(count);
  return cudaSuccess;
}

}  // namespace face
}  // namespace accelmesh
