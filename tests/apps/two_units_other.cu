// The second translation unit of two_units.
#include "check.h"

namespace {
__device__ int bias = 2;
__global__ void Apply(int* out) { *out = *out * 10 + bias; }
}  // namespace

int OtherUnit(int* device) {
  int value = 0;
  Apply<<<1, 1>>>(device);
  CHECK(cudaGetLastError());
  CHECK(cudaMemcpy(&value, device, sizeof(value), cudaMemcpyDeviceToHost));
  return value;
}
