// Device code in several files that nvcc links (-rdc=true): functions, variables and shared memory of one file used in
// another, static names that files share, a library of device code, function pointers across files.
#include "rdc_parts.h"

#include <cuda_runtime.h>

#include "check.h"

// The same names as in rdc_other.cu, and other things.
static __device__ int hidden = 1000;
static __device__ __noinline__ int Private(int x) { return x + hidden; }
static __constant__ int factors[2] = {3, 5};

// Tables that hold addresses from other files.
__device__ Operation operations[3] = {Square, Triple, FromLibrary};
__device__ int* const counter_address = &counter;

__global__ void Apply(int* out) {
  const int lane = static_cast<int>(threadIdx.x);
  out[lane] = Private(operations[lane % 3](lane)) * factors[lane % 2];
}
__global__ void CountTo(int* out) {
  atomicAdd(counter_address, static_cast<int>(threadIdx.x));
  __syncthreads();
  if (threadIdx.x == 0) *out = counter;
}
__global__ void SumAll(const int* in, int* out) {
  const int sum = BlockSum(in[threadIdx.x]);
  if (threadIdx.x == 0) *out = sum;
}
__global__ void Recurse(int* out) { out[threadIdx.x] = EvenSteps(static_cast<int>(threadIdx.x)); }
__device__ int OddSteps(int n) { return n <= 0 ? 1 : 1 + EvenSteps(n - 1); }

// One of each template in every file: nvcc keeps one of them.
static int Twins() {
  int* out = nullptr;
  CHECK(cudaMalloc(&out, sizeof(int)));
  Fill<<<1, 1>>>(out, 21);
  int here = 0;
  CHECK(cudaMemcpy(&here, out, sizeof(int), cudaMemcpyDeviceToHost));
  const int there = FillThere(out);
  CHECK(cudaFree(out));
  return here == 42 && there == 42;
}

int main() {
  constexpr int kThreads = 64;
  int* device = nullptr;
  int host[kThreads] = {};
  CHECK(cudaMalloc(&device, sizeof(host)));

  Apply<<<1, kThreads>>>(device);
  CHECK(cudaMemcpy(host, device, sizeof(host), cudaMemcpyDeviceToHost));
  for (int i = 0; i < kThreads; ++i) {
    const int operated = i % 3 == 0 ? i * i : i % 3 == 1 ? 3 * i : i - 7;
    EXPECT(host[i] == (operated + 1000) * (i % 2 == 0 ? 3 : 5), "element %d is %d", i, host[i]);
  }

  // The variable of another file, from the host through that file and from a kernel of this one.
  SetCounter(100);
  CountTo<<<1, kThreads>>>(device);
  CHECK(cudaMemcpy(host, device, sizeof(int), cudaMemcpyDeviceToHost));
  EXPECT(host[0] == 100 + kThreads * (kThreads - 1) / 2, "the counter is %d", host[0]);
  int counted = 0;
  CHECK(cudaMemcpyFromSymbol(&counted, counter, sizeof(counted)));
  EXPECT(counted == host[0], "the counter is %d, and %d to the host", host[0], counted);
  // Static ones of one name are two.
  int ours = 0;
  CHECK(cudaMemcpyFromSymbol(&ours, hidden, sizeof(ours)));
  EXPECT(ours == 1000 && HiddenThere() == 2000, "the hidden ones are %d and %d", ours, HiddenThere());

  for (int i = 0; i < kThreads; ++i) host[i] = i * 3;
  CHECK(cudaMemcpy(device, host, sizeof(host), cudaMemcpyHostToDevice));
  SumAll<<<1, kThreads>>>(device, device);
  CHECK(cudaMemcpy(host, device, sizeof(int), cudaMemcpyDeviceToHost));
  EXPECT(host[0] == 3 * kThreads * (kThreads - 1) / 2, "the sum is %d", host[0]);

  Recurse<<<1, 16>>>(device);
  CHECK(cudaMemcpy(host, device, 16 * sizeof(int), cudaMemcpyDeviceToHost));
  for (int i = 0; i < 16; ++i) EXPECT(host[i] == i + i % 2, "%d steps are %d", i, host[i]);

  EXPECT(Twins() != 0, "the template's instances differ");
  cudaFuncAttributes attributes;
  CHECK(cudaFuncGetAttributes(&attributes, SumAll));
  EXPECT(attributes.sharedSizeBytes == 128 * sizeof(int), "%zu bytes of shared memory", attributes.sharedSizeBytes);
  CHECK(cudaFree(device));
  return Passed();
}
