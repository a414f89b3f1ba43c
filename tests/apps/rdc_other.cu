// The second file of rdc_program.
#include "rdc_parts.h"

#include <cuda_runtime.h>

#include "check.h"

__device__ int counter = 1;
static __device__ int hidden = 2000;
static __device__ __noinline__ int Private(int x) { return x * (hidden / 2000); }

__device__ int Square(int x) { return Private(x) * x; }
__device__ int Triple(int x) { return Private(x) * 3; }
__device__ int EvenSteps(int n) { return n <= 0 ? 0 : 1 + OddSteps(n - 1); }

// Shared memory of a function that kernels of other files call.
__device__ int BlockSum(int value) {
  __shared__ int parts[128];
  parts[threadIdx.x] = value;
  __syncthreads();
  for (unsigned step = blockDim.x / 2; step > 0; step /= 2) {
    if (threadIdx.x < step) parts[threadIdx.x] += parts[threadIdx.x + step];
    __syncthreads();
  }
  return parts[0];
}

void SetCounter(int value) { CHECK(cudaMemcpyToSymbol(counter, &value, sizeof(value))); }
int HiddenThere() {
  int value = 0;
  CHECK(cudaMemcpyFromSymbol(&value, hidden, sizeof(value)));
  return value;
}
int FillThere(int* out) {
  Fill<<<1, 1>>>(out, 21);
  int value = 0;
  CHECK(cudaMemcpy(&value, out, sizeof(value), cudaMemcpyDeviceToHost));
  return value;
}
