// A sum in two passes of a shared-memory tree, a maximum by atomics, and dynamic shared memory of three sizes.
#include <algorithm>
#include <vector>

#include "check.h"

__global__ void Reduce(const int* values, long long* sums, int* maximum, int n) {
  extern __shared__ long long partial[];
  long long sum = 0;
  int largest = INT32_MIN;
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x) {
    sum += values[i];
    largest = max(largest, values[i]);
  }
  partial[threadIdx.x] = sum;
  __syncthreads();
  for (int half = blockDim.x / 2; half > 0; half /= 2) {
    if (threadIdx.x < half) partial[threadIdx.x] += partial[threadIdx.x + half];
    __syncthreads();
  }
  if (threadIdx.x == 0) sums[blockIdx.x] = partial[0];
  atomicMax(maximum, largest);
}

__global__ void Finish(const long long* sums, long long* total, int count) {
  __shared__ long long partial[64];
  partial[threadIdx.x] = threadIdx.x < count ? sums[threadIdx.x] : 0;
  __syncthreads();
  for (int half = 32; half > 0; half /= 2) {
    if (threadIdx.x < half) partial[threadIdx.x] += partial[threadIdx.x + half];
    __syncthreads();
  }
  if (threadIdx.x == 0) *total = partial[0];
}

int main() {
  const int n = 300000;
  std::vector<int> values(n);
  Random random(3);
  long long expected = 0;
  for (int& value : values) {
    value = static_cast<int>(random.Next()) - (1 << 30);
    expected += value;
  }
  const int expected_maximum = *std::max_element(values.begin(), values.end());
  int *device_values = nullptr, *device_maximum = nullptr;
  long long* device_sums = nullptr;
  CHECK(cudaMalloc(&device_values, n * sizeof(int)));
  CHECK(cudaMalloc(&device_maximum, sizeof(int)));
  CHECK(cudaMalloc(&device_sums, 65 * sizeof(long long)));
  CHECK(cudaMemcpy(device_values, values.data(), n * sizeof(int), cudaMemcpyHostToDevice));
  for (int threads : {64, 256, 1024}) {
    const int blocks = 8192 / threads / 2;
    const int smallest = INT32_MIN;
    CHECK(cudaMemcpy(device_maximum, &smallest, sizeof(smallest), cudaMemcpyHostToDevice));
    Reduce<<<blocks, threads, threads * sizeof(long long)>>>(device_values, device_sums, device_maximum, n);
    Finish<<<1, 64>>>(device_sums, device_sums + 64, blocks);
    CHECK(cudaGetLastError());
    long long total = 0;
    int maximum = 0;
    CHECK(cudaMemcpy(&total, device_sums + 64, sizeof(total), cudaMemcpyDeviceToHost));
    CHECK(cudaMemcpy(&maximum, device_maximum, sizeof(maximum), cudaMemcpyDeviceToHost));
    EXPECT(total == expected, "%d threads: the sum is %lld, not %lld", threads, total, expected);
    EXPECT(maximum == expected_maximum, "%d threads: the maximum is %d, not %d", threads, maximum, expected_maximum);
  }
  CHECK(cudaFree(device_values));
  CHECK(cudaFree(device_maximum));
  CHECK(cudaFree(device_sums));
  std::printf("block_reduction: %d values, sum %lld\n", n, expected);
  return Passed();
}
