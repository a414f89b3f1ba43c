// A kernel as the bodies that work on one find and judge it.
//
// Threads: any.
#pragma once

#include <cstdint>

#include "shim/runtime/runtime.h"

namespace accelmesh {

// By host function or handle; null, with the thread's last error set, if it is neither.
RegisteredKernel* FindKernel(const void* function, cudaError_t* error);
// The kernel's form on `device`, loaded if need be; null with the thread's last error set.
DeviceKernel* FindOnDevice(ClientSession& session, RegisteredKernel& kernel, std::uint32_t device, cudaError_t* error);
// Both, on the thread's device.
DeviceKernel* FindOnDevice(ClientSession& session, const void* function, cudaError_t* error);

// What CUDA finds wrong with a launch when it is made.
cudaError_t CheckLaunch(ClientSession& session, const DeviceKernel& kernel, dim3 grid, dim3 block,
                        std::size_t shared_bytes, bool is_cooperative);

// How many blocks of `threads` threads one multiprocessor of the thread's device holds at a time.
DeviceResult MaxActiveBlocks(ClientSession& session, const DeviceKernel& kernel, std::uint64_t threads,
                             std::uint64_t dynamic_shared_bytes, std::uint64_t* blocks);

}  // namespace accelmesh
