// Launches without <<<>>>: cudaLaunchKernel, cudaLaunchKernelEx and cudaLaunchKernelExC, chosen from a table of
// kernels.
#include "check.h"

__global__ void Set(int* out, int value) { out[threadIdx.x] = value; }
__global__ void Add(int* out, int value) { out[threadIdx.x] += value; }
__global__ void Multiply(int* out, int value) { out[threadIdx.x] *= value; }
__global__ void AddShared(int* out, int value) {
  extern __shared__ int shared[];
  shared[threadIdx.x] = value;
  __syncthreads();
  out[threadIdx.x] += shared[blockDim.x - 1 - threadIdx.x];
}

int main() {
  int* device = nullptr;
  cudaStream_t stream;
  CHECK(cudaMalloc(&device, 64 * sizeof(int)));
  CHECK(cudaStreamCreate(&stream));

  const struct {
    const void* kernel;
    int value;
  } steps[] = {{(const void*)Set, 3}, {(const void*)Multiply, 7}, {(const void*)Add, 5}, {(const void*)Multiply, -2}};
  for (const auto& step : steps) {
    int value = step.value;
    void* arguments[] = {&device, &value};
    CHECK(cudaLaunchKernel(step.kernel, dim3(1), dim3(64), arguments, 0, stream));
    value = 1000;  // the launch has its own copy
  }
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(1);
  config.blockDim = dim3(64);
  config.dynamicSmemBytes = 64 * sizeof(int);
  config.stream = stream;
  int value = 100;
  void* arguments[] = {&device, &value};
  CHECK(cudaLaunchKernelExC(&config, (const void*)AddShared, arguments));
  CHECK(cudaLaunchKernelEx(&config, Add, device, 10));
  // A kernel has one handle, which launches it like its name.
  cudaKernel_t multiply = nullptr, again = nullptr, add = nullptr;
  CHECK(cudaGetKernel(&multiply, (const void*)Multiply));
  CHECK(cudaGetKernel(&again, (const void*)Multiply));
  CHECK(cudaGetKernel(&add, (const void*)Add));
  EXPECT(multiply != nullptr && multiply == again && multiply != add, "handles %p, %p and %p", (void*)multiply,
         (void*)again, (void*)add);
  value = 3;
  CHECK(cudaLaunchKernel((const void*)multiply, dim3(1), dim3(64), arguments, 0, stream));
  int values[64];
  CHECK(cudaMemcpyAsync(values, device, sizeof(values), cudaMemcpyDeviceToHost, stream));
  CHECK(cudaStreamSynchronize(stream));
  const int expected = ((3 * 7 + 5) * -2 + 100 + 10) * 3;
  for (int i = 0; i < 64; ++i) EXPECT(values[i] == expected, "value %d is %d, not %d", i, values[i], expected);

  // The status of a launch is what the call returns.
  CHECK_ERROR(cudaLaunchKernel(steps[0].kernel, dim3(0), dim3(64), arguments, 0, stream), cudaErrorInvalidValue);
  config.blockDim = dim3(4096);
  CHECK_ERROR(cudaLaunchKernelExC(&config, (const void*)Add, arguments), cudaErrorInvalidValue);
  CHECK_ERROR(cudaLaunchKernel((const void*)values, dim3(1), dim3(1), arguments, 0, stream),
              cudaErrorInvalidResourceHandle);
  CHECK_ERROR(cudaGetLastError(), cudaErrorInvalidResourceHandle);
  CHECK(cudaStreamDestroy(stream));
  CHECK(cudaFree(device));
  std::printf("launch_by_pointer: 7 launches of 4 kernels\n");
  return Passed();
}
