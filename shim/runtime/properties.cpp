// cudaDeviceProp, filled from the attributes that the backend describes.
#include <cstdio>
#include <cstring>

#include "shim/gen_face.h"
#include "shim/runtime/runtime.h"

namespace accelmesh::face {

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* prop, int device) {
  if (prop == nullptr) return Fail(cudaErrorInvalidValue);
  ACCELMESH_BEGIN_QUERY();
  if (device < 0 || static_cast<std::size_t>(device) >= session.devices().size()) return Fail(cudaErrorInvalidDevice);
  const LeasedDevice& from = session.devices()[static_cast<std::size_t>(device)];
  const auto at = [&from](cudaDeviceAttr attribute) { return from.Attribute(static_cast<std::uint32_t>(attribute)); };
  const auto size_at = [&at](cudaDeviceAttr attribute) { return static_cast<std::size_t>(at(attribute)); };
  const auto bits_at = [&at](cudaDeviceAttr attribute) { return static_cast<unsigned>(at(attribute)); };
  std::memset(prop, 0, sizeof(*prop));
  std::snprintf(prop->name, sizeof(prop->name), "%s", from.name.c_str());
  std::memcpy(&prop->uuid, from.uuid.data(), from.uuid.size());
  prop->totalGlobalMem = from.memory_bytes;
  prop->sharedMemPerBlock = size_at(cudaDevAttrMaxSharedMemoryPerBlock);
  prop->regsPerBlock = at(cudaDevAttrMaxRegistersPerBlock);
  prop->warpSize = at(cudaDevAttrWarpSize);
  prop->memPitch = size_at(cudaDevAttrMaxPitch);
  prop->maxThreadsPerBlock = at(cudaDevAttrMaxThreadsPerBlock);
  prop->maxThreadsDim[0] = at(cudaDevAttrMaxBlockDimX);
  prop->maxThreadsDim[1] = at(cudaDevAttrMaxBlockDimY);
  prop->maxThreadsDim[2] = at(cudaDevAttrMaxBlockDimZ);
  prop->maxGridSize[0] = at(cudaDevAttrMaxGridDimX);
  prop->maxGridSize[1] = at(cudaDevAttrMaxGridDimY);
  prop->maxGridSize[2] = at(cudaDevAttrMaxGridDimZ);
  prop->totalConstMem = size_at(cudaDevAttrTotalConstantMemory);
  prop->major = at(cudaDevAttrComputeCapabilityMajor);
  prop->minor = at(cudaDevAttrComputeCapabilityMinor);
  prop->textureAlignment = size_at(cudaDevAttrTextureAlignment);
  prop->texturePitchAlignment = size_at(cudaDevAttrTexturePitchAlignment);
  prop->multiProcessorCount = at(cudaDevAttrMultiProcessorCount);
  prop->integrated = at(cudaDevAttrIntegrated);
  prop->canMapHostMemory = at(cudaDevAttrCanMapHostMemory);
  prop->maxTexture1D = at(cudaDevAttrMaxTexture1DWidth);
  prop->maxTexture1DMipmap = at(cudaDevAttrMaxTexture1DMipmappedWidth);
  prop->maxTexture2D[0] = at(cudaDevAttrMaxTexture2DWidth);
  prop->maxTexture2D[1] = at(cudaDevAttrMaxTexture2DHeight);
  prop->maxTexture2DMipmap[0] = at(cudaDevAttrMaxTexture2DMipmappedWidth);
  prop->maxTexture2DMipmap[1] = at(cudaDevAttrMaxTexture2DMipmappedHeight);
  prop->maxTexture2DLinear[0] = at(cudaDevAttrMaxTexture2DLinearWidth);
  prop->maxTexture2DLinear[1] = at(cudaDevAttrMaxTexture2DLinearHeight);
  prop->maxTexture2DLinear[2] = at(cudaDevAttrMaxTexture2DLinearPitch);
  prop->maxTexture2DGather[0] = at(cudaDevAttrMaxTexture2DGatherWidth);
  prop->maxTexture2DGather[1] = at(cudaDevAttrMaxTexture2DGatherHeight);
  prop->maxTexture3D[0] = at(cudaDevAttrMaxTexture3DWidth);
  prop->maxTexture3D[1] = at(cudaDevAttrMaxTexture3DHeight);
  prop->maxTexture3D[2] = at(cudaDevAttrMaxTexture3DDepth);
  prop->maxTexture3DAlt[0] = at(cudaDevAttrMaxTexture3DWidthAlt);
  prop->maxTexture3DAlt[1] = at(cudaDevAttrMaxTexture3DHeightAlt);
  prop->maxTexture3DAlt[2] = at(cudaDevAttrMaxTexture3DDepthAlt);
  prop->maxTextureCubemap = at(cudaDevAttrMaxTextureCubemapWidth);
  prop->maxTexture1DLayered[0] = at(cudaDevAttrMaxTexture1DLayeredWidth);
  prop->maxTexture1DLayered[1] = at(cudaDevAttrMaxTexture1DLayeredLayers);
  prop->maxTexture2DLayered[0] = at(cudaDevAttrMaxTexture2DLayeredWidth);
  prop->maxTexture2DLayered[1] = at(cudaDevAttrMaxTexture2DLayeredHeight);
  prop->maxTexture2DLayered[2] = at(cudaDevAttrMaxTexture2DLayeredLayers);
  prop->maxTextureCubemapLayered[0] = at(cudaDevAttrMaxTextureCubemapLayeredWidth);
  prop->maxTextureCubemapLayered[1] = at(cudaDevAttrMaxTextureCubemapLayeredLayers);
  prop->maxSurface1D = at(cudaDevAttrMaxSurface1DWidth);
  prop->maxSurface2D[0] = at(cudaDevAttrMaxSurface2DWidth);
  prop->maxSurface2D[1] = at(cudaDevAttrMaxSurface2DHeight);
  prop->maxSurface3D[0] = at(cudaDevAttrMaxSurface3DWidth);
  prop->maxSurface3D[1] = at(cudaDevAttrMaxSurface3DHeight);
  prop->maxSurface3D[2] = at(cudaDevAttrMaxSurface3DDepth);
  prop->maxSurface1DLayered[0] = at(cudaDevAttrMaxSurface1DLayeredWidth);
  prop->maxSurface1DLayered[1] = at(cudaDevAttrMaxSurface1DLayeredLayers);
  prop->maxSurface2DLayered[0] = at(cudaDevAttrMaxSurface2DLayeredWidth);
  prop->maxSurface2DLayered[1] = at(cudaDevAttrMaxSurface2DLayeredHeight);
  prop->maxSurface2DLayered[2] = at(cudaDevAttrMaxSurface2DLayeredLayers);
  prop->maxSurfaceCubemap = at(cudaDevAttrMaxSurfaceCubemapWidth);
  prop->maxSurfaceCubemapLayered[0] = at(cudaDevAttrMaxSurfaceCubemapLayeredWidth);
  prop->maxSurfaceCubemapLayered[1] = at(cudaDevAttrMaxSurfaceCubemapLayeredLayers);
  prop->surfaceAlignment = size_at(cudaDevAttrSurfaceAlignment);
  prop->concurrentKernels = at(cudaDevAttrConcurrentKernels);
  prop->ECCEnabled = at(cudaDevAttrEccEnabled);
  prop->pciBusID = at(cudaDevAttrPciBusId);
  prop->pciDeviceID = at(cudaDevAttrPciDeviceId);
  prop->pciDomainID = at(cudaDevAttrPciDomainId);
  prop->tccDriver = at(cudaDevAttrTccDriver);
  prop->asyncEngineCount = at(cudaDevAttrAsyncEngineCount);
  prop->unifiedAddressing = at(cudaDevAttrUnifiedAddressing);
  prop->memoryBusWidth = at(cudaDevAttrGlobalMemoryBusWidth);
  prop->l2CacheSize = at(cudaDevAttrL2CacheSize);
  prop->persistingL2CacheMaxSize = at(cudaDevAttrMaxPersistingL2CacheSize);
  prop->maxThreadsPerMultiProcessor = at(cudaDevAttrMaxThreadsPerMultiProcessor);
  prop->streamPrioritiesSupported = at(cudaDevAttrStreamPrioritiesSupported);
  prop->globalL1CacheSupported = at(cudaDevAttrGlobalL1CacheSupported);
  prop->localL1CacheSupported = at(cudaDevAttrLocalL1CacheSupported);
  prop->sharedMemPerMultiprocessor = size_at(cudaDevAttrMaxSharedMemoryPerMultiprocessor);
  prop->regsPerMultiprocessor = at(cudaDevAttrMaxRegistersPerMultiprocessor);
  prop->managedMemory = at(cudaDevAttrManagedMemory);
  prop->isMultiGpuBoard = at(cudaDevAttrIsMultiGpuBoard);
  prop->multiGpuBoardGroupID = at(cudaDevAttrMultiGpuBoardGroupID);
  prop->hostNativeAtomicSupported = at(cudaDevAttrHostNativeAtomicSupported);
  prop->pageableMemoryAccess = at(cudaDevAttrPageableMemoryAccess);
  prop->concurrentManagedAccess = at(cudaDevAttrConcurrentManagedAccess);
  prop->computePreemptionSupported = at(cudaDevAttrComputePreemptionSupported);
  prop->canUseHostPointerForRegisteredMem = at(cudaDevAttrCanUseHostPointerForRegisteredMem);
  prop->cooperativeLaunch = at(cudaDevAttrCooperativeLaunch);
  prop->sharedMemPerBlockOptin = size_at(cudaDevAttrMaxSharedMemoryPerBlockOptin);
  prop->pageableMemoryAccessUsesHostPageTables = at(cudaDevAttrPageableMemoryAccessUsesHostPageTables);
  prop->directManagedMemAccessFromHost = at(cudaDevAttrDirectManagedMemAccessFromHost);
  prop->maxBlocksPerMultiProcessor = at(cudaDevAttrMaxBlocksPerMultiprocessor);
  prop->accessPolicyMaxWindowSize = at(cudaDevAttrMaxAccessPolicyWindowSize);
  prop->reservedSharedMemPerBlock = size_at(cudaDevAttrReservedSharedMemoryPerBlock);
  prop->hostRegisterSupported = at(cudaDevAttrHostRegisterSupported);
  prop->sparseCudaArraySupported = at(cudaDevAttrSparseCudaArraySupported);
  prop->hostRegisterReadOnlySupported = at(cudaDevAttrHostRegisterReadOnlySupported);
  prop->timelineSemaphoreInteropSupported = at(cudaDevAttrTimelineSemaphoreInteropSupported);
  prop->memoryPoolsSupported = at(cudaDevAttrMemoryPoolsSupported);
  prop->gpuDirectRDMASupported = at(cudaDevAttrGPUDirectRDMASupported);
  prop->gpuDirectRDMAFlushWritesOptions = bits_at(cudaDevAttrGPUDirectRDMAFlushWritesOptions);
  prop->gpuDirectRDMAWritesOrdering = at(cudaDevAttrGPUDirectRDMAWritesOrdering);
  prop->memoryPoolSupportedHandleTypes = bits_at(cudaDevAttrMemoryPoolSupportedHandleTypes);
  prop->deferredMappingCudaArraySupported = at(cudaDevAttrDeferredMappingCudaArraySupported);
  prop->ipcEventSupported = at(cudaDevAttrIpcEventSupport);
  prop->clusterLaunch = at(cudaDevAttrClusterLaunch);
  prop->deviceNumaConfig = at(cudaDevAttrNumaConfig);
  prop->deviceNumaId = at(cudaDevAttrNumaId);
  prop->mpsEnabled = at(cudaDevAttrMpsEnabled);
  prop->hostNumaId = at(cudaDevAttrHostNumaId);
  prop->gpuPciDeviceID = bits_at(cudaDevAttrGpuPciDeviceId);
  prop->gpuPciSubsystemID = bits_at(cudaDevAttrGpuPciSubsystemId);
  prop->hostNumaMultinodeIpcSupported = at(cudaDevAttrHostNumaMultinodeIpcSupported);
  return cudaSuccess;
}

}  // namespace accelmesh::face
