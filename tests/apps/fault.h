// What the fault_* programs share: after a kernel has committed a fault, the context is lost, and every call of the
// process says so.
#pragma once

#include "check.h"

// `status` is what the first synchronise after the fault returned; `memory` is good device memory. Whatever asks the
// device from now on gets the same.
static inline void ExpectSticky(cudaError_t status, int* memory) {
  int* another = nullptr;
  int value = 0;
  for (int round = 0; round < 2; ++round) {
    CHECK_ERROR(cudaGetLastError(), status);
    CHECK_ERROR(cudaDeviceSynchronize(), status);
    CHECK_ERROR(cudaStreamSynchronize(nullptr), status);
    CHECK_ERROR(cudaMalloc(&another, 64), status);
    CHECK_ERROR(cudaMemset(memory, 0, sizeof(int)), status);
    CHECK_ERROR(cudaMemcpy(&value, memory, sizeof(value), cudaMemcpyDeviceToHost), status);
  }
}
