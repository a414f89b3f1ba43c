// The CUDA driver as the cuda backend uses it: one table of functions, found in libcuda.so.1 when a worker starts. We
// link nothing of NVIDIA, so a server without a driver starts and says what is missing.
//
// Whoever implements a libcuda for tests (tests/contract) implements exactly this table. What the backend relies on
// besides the manual (cuda.h): after a sticky error every call of that context returns it; what kernels print is
// written to stdout (buffered) during kernel launches and Synchronize calls, as the programming guide says; images of
// modules are fatbin containers, cubins, or PTX text with a zero at its end. Threads: a Driver is constant once it is
// loaded.
#pragma once

#include <cuda.h>

#include <string>

#include "protocol/base/result.h"

// X(member, exact name of the symbol, whether the backend cannot do without)
#define ACCELMESH_CUDA_DRIVER_FUNCTIONS(X)                                                            \
  /* The driver, devices, contexts. */                                                                \
  X(Init, cuInit, true)                                                                               \
  X(DriverGetVersion, cuDriverGetVersion, true)                                                       \
  X(GetErrorName, cuGetErrorName, true)                                                               \
  X(GetErrorString, cuGetErrorString, true)                                                           \
  X(DeviceGetCount, cuDeviceGetCount, true)                                                           \
  X(DeviceGet, cuDeviceGet, true)                                                                     \
  X(DeviceGetName, cuDeviceGetName, true)                                                             \
  X(DeviceGetUuid, cuDeviceGetUuid_v2, true)                                                          \
  X(DeviceGetPCIBusId, cuDeviceGetPCIBusId, true)                                                     \
  X(DeviceGetAttribute, cuDeviceGetAttribute, true)                                                   \
  X(DeviceCanAccessPeer, cuDeviceCanAccessPeer, true)                                                 \
  X(DeviceGetP2PAttribute, cuDeviceGetP2PAttribute, true)                                             \
  X(DevicePrimaryCtxRetain, cuDevicePrimaryCtxRetain, true)                                           \
  X(DevicePrimaryCtxRelease, cuDevicePrimaryCtxRelease_v2, true)                                      \
  X(CtxSetCurrent, cuCtxSetCurrent, true)                                                             \
  X(CtxSetLimit, cuCtxSetLimit, true)                                                                 \
  X(CtxGetStreamPriorityRange, cuCtxGetStreamPriorityRange, true)                                     \
  /* Memory: a reserved window, chunks mapped into it, pinned host memory. */                         \
  X(MemGetInfo, cuMemGetInfo_v2, true)                                                                \
  X(MemAlloc, cuMemAlloc_v2, true) /* what the session's programs do not see */                       \
  X(MemFree, cuMemFree_v2, true)                                                                      \
  X(MemGetAllocationGranularity, cuMemGetAllocationGranularity, true)                                 \
  X(MemAddressReserve, cuMemAddressReserve, true)                                                     \
  X(MemAddressFree, cuMemAddressFree, true)                                                           \
  X(MemCreate, cuMemCreate, true)                                                                     \
  X(MemRelease, cuMemRelease, true)                                                                   \
  X(MemMap, cuMemMap, true)                                                                           \
  X(MemUnmap, cuMemUnmap, true)                                                                       \
  X(MemSetAccess, cuMemSetAccess, true)                                                               \
  X(MemExportToShareableHandle, cuMemExportToShareableHandle, true)                                   \
  X(MemImportFromShareableHandle, cuMemImportFromShareableHandle, true)                               \
  X(MemHostAlloc, cuMemHostAlloc, true)                                                               \
  X(MemFreeHost, cuMemFreeHost, true)                                                                 \
  X(MemHostGetDevicePointer, cuMemHostGetDevicePointer_v2, true)                                      \
  X(MemHostRegister, cuMemHostRegister_v2, true)                                                      \
  X(MemHostUnregister, cuMemHostUnregister, true)                                                     \
  X(PointerGetAttribute, cuPointerGetAttribute, true)                                                 \
  /* For network cards; drivers before 11.7 and 11.3 have none. */                                    \
  X(MemGetHandleForAddressRange, cuMemGetHandleForAddressRange, false)                                \
  X(FlushGPUDirectRDMAWrites, cuFlushGPUDirectRDMAWrites, false)                                      \
  /* Modules. */                                                                                      \
  X(ModuleLoadDataEx, cuModuleLoadDataEx, true)                                                       \
  X(ModuleUnload, cuModuleUnload, true)                                                               \
  X(ModuleGetFunctionCount, cuModuleGetFunctionCount, true)                                           \
  X(ModuleEnumerateFunctions, cuModuleEnumerateFunctions, true)                                       \
  X(ModuleGetGlobal, cuModuleGetGlobal_v2, true)                                                      \
  X(FuncGetName, cuFuncGetName, true)                                                                 \
  X(FuncGetParamInfo, cuFuncGetParamInfo, true)                                                       \
  X(FuncGetAttribute, cuFuncGetAttribute, true)                                                       \
  X(FuncSetAttribute, cuFuncSetAttribute, true)                                                       \
  X(FuncLoad, cuFuncLoad, true)                                                                       \
  X(OccupancyBlocks, cuOccupancyMaxActiveBlocksPerMultiprocessor, true)                               \
  X(OccupancyClusters, cuOccupancyMaxActiveClusters, true)                                            \
  X(OccupancyClusterSize, cuOccupancyMaxPotentialClusterSize, true)                                   \
  X(LinkCreate, cuLinkCreate_v2, true)                                                                \
  X(LinkAddData, cuLinkAddData_v2, true)                                                              \
  X(LinkComplete, cuLinkComplete, true)                                                               \
  X(LinkDestroy, cuLinkDestroy, true)                                                                 \
  /* Streams, events, work. */                                                                        \
  X(StreamCreateWithPriority, cuStreamCreateWithPriority, true)                                       \
  X(StreamDestroy, cuStreamDestroy_v2, true)                                                          \
  X(StreamQuery, cuStreamQuery, true)                                                                 \
  X(StreamSynchronize, cuStreamSynchronize, true) /* of an idle stream: flushes printf */             \
  X(StreamWaitEvent, cuStreamWaitEvent, true)                                                         \
  X(StreamWriteValue64, cuStreamWriteValue64_v2, false) /* events in its place */                     \
  X(EventCreate, cuEventCreate, true)                                                                 \
  X(EventDestroy, cuEventDestroy_v2, true)                                                            \
  X(EventRecord, cuEventRecord, true)                                                                 \
  X(EventQuery, cuEventQuery, true)                                                                   \
  X(EventElapsedTime, cuEventElapsedTime_v2, true)                                                    \
  X(LaunchKernelEx, cuLaunchKernelEx, true)                                                           \
  X(MemcpyAsync, cuMemcpyAsync, true)        /* sides by unified addressing; host sides are pinned */ \
  X(Memcpy2DAsync, cuMemcpy2DAsync_v2, true) /* CU_MEMORYTYPE_UNIFIED */                              \
  X(Memcpy3DAsync, cuMemcpy3DAsync_v2, true) /* CU_MEMORYTYPE_UNIFIED */                              \
  X(MemsetD8Async, cuMemsetD8Async, true)                                                             \
  X(MemsetD16Async, cuMemsetD16Async, true)                                                           \
  X(MemsetD32Async, cuMemsetD32Async, true)                                                           \
  X(MemsetD2D8Async, cuMemsetD2D8Async, true)                                                         \
  X(MemsetD2D16Async, cuMemsetD2D16Async, true)                                                       \
  X(MemsetD2D32Async, cuMemsetD2D32Async, true)                                                       \
  /* Arrays, textures, surfaces: the service thread's. */                                             \
  X(Array3DCreate, cuArray3DCreate_v2, true)                                                          \
  X(ArrayDestroy, cuArrayDestroy, true)                                                               \
  X(MipmappedArrayCreate, cuMipmappedArrayCreate, true)                                               \
  X(MipmappedArrayGetLevel, cuMipmappedArrayGetLevel, true)                                           \
  X(MipmappedArrayDestroy, cuMipmappedArrayDestroy, true)                                             \
  X(TexObjectCreate, cuTexObjectCreate, true)                                                         \
  X(TexObjectDestroy, cuTexObjectDestroy, true)                                                       \
  X(SurfObjectCreate, cuSurfObjectCreate, true)                                                       \
  X(SurfObjectDestroy, cuSurfObjectDestroy, true)

namespace accelmesh::cuda {

struct Driver {
#define ACCELMESH_CUDA_MEMBER(member, symbol, needed) decltype(&::symbol) member = nullptr;
  ACCELMESH_CUDA_DRIVER_FUNCTIONS(ACCELMESH_CUDA_MEMBER)
#undef ACCELMESH_CUDA_MEMBER

  // "CUDA_ERROR_ILLEGAL_ADDRESS (700): an illegal memory access was encountered".
  std::string Text(CUresult result) const;
};

// Whether the context is lost with it: every later call returns it again.
bool IsSticky(CUresult result);

// Opens $ACCELMESH_LIBCUDA, else libcuda.so.1, and finds every function. kUnsupported names the library or the
// functions that are missing. The library is never closed: its threads may outlive the backend.
Result<Driver> LoadDriver();

}  // namespace accelmesh::cuda
