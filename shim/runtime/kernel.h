// A kernel as the bodies that work on one find and judge it.
//
// Threads: any.
#pragma once

#include <cstdint>
#include <optional>

#include "shim/runtime/runtime.h"

namespace accelmesh {

// By host function or handle; null, with the thread's last error set, if it is neither.
RegisteredKernel* FindKernel(const void* function, cudaError_t* error);
// The kernel's form on `device`, loaded if need be; null with the thread's last error set.
DeviceKernel* FindOnDevice(ClientSession& session, RegisteredKernel& kernel, std::uint32_t device, cudaError_t* error);
// Both, on the thread's device.
DeviceKernel* FindOnDevice(ClientSession& session, const void* function, cudaError_t* error);

// Clusters as a launch's attributes ask for them; what they leave open the kernel says.
struct ClusterRequest {
  std::optional<dim3> size;
  dim3 preferred{0, 0, 0};
  std::optional<int> policy;
};
ClusterRequest RequestOf(const LaunchCluster& cluster);
bool IsClusterAttribute(cudaLaunchAttributeID id);
// The attribute is one of clusters. WriteClusterAttribute() is false if the launch has none of it, but tells the
// default.
bool WriteClusterAttribute(const LaunchCluster& cluster, cudaLaunchAttributeID id, cudaLaunchAttributeValue* value);
cudaError_t ReadClusterAttribute(cudaLaunchAttributeID id, const cudaLaunchAttributeValue& value,
                                 ClusterRequest* asked);

struct LaunchRequest {
  dim3 grid;
  dim3 block;
  std::size_t shared_bytes = 0;
  bool is_cooperative = false;
  ClusterRequest cluster;
};
// What CUDA finds wrong with a launch when it is made; as the core has it, if that is nothing.
cudaError_t CheckLaunch(ClientSession& session, const DeviceKernel& kernel, const LaunchRequest& request,
                        LaunchGeometry* geometry);
// The same of a launch's clusters; the rest of `geometry` is there.
cudaError_t SettleCluster(ClientSession& session, const DeviceKernel& kernel, const ClusterRequest& asked,
                          LaunchGeometry* geometry);

// How many of the launch's clusters, which are settled, the device runs at a time.
DeviceResult MaxActiveClusters(ClientSession& session, const DeviceKernel& kernel, const LaunchGeometry& geometry,
                               std::uint64_t* clusters);
// How many blocks of `threads` threads one multiprocessor of the thread's device holds at a time.
DeviceResult MaxActiveBlocks(ClientSession& session, const DeviceKernel& kernel, std::uint64_t threads,
                             std::uint64_t dynamic_shared_bytes, std::uint64_t* blocks);

}  // namespace accelmesh
