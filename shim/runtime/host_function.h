// A function of the program's as the session runs it in a stream's order.
#pragma once

#include <cuda_runtime_api.h>

#include "shim/core/host_calls.h"

namespace accelmesh {

// Behind an error that stays, CUDA runs none. While it runs, the calls of its thread are refused.
HostCalls::Function InStreamOrder(cudaHostFn_t function, void* data);

}  // namespace accelmesh
