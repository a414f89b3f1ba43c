// 256 bins counted by atomics in shared memory, merged by atomics in global memory.
#include <vector>

#include "check.h"

__global__ void Histogram(const unsigned char* data, int n, unsigned* bins) {
  __shared__ unsigned local[256];
  for (int i = threadIdx.x; i < 256; i += blockDim.x) local[i] = 0;
  __syncthreads();
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x)
    atomicAdd(&local[data[i]], 1u);
  __syncthreads();
  for (int i = threadIdx.x; i < 256; i += blockDim.x) atomicAdd(&bins[i], local[i]);
}

int main() {
  const int n = 256 * 1024 + 77;
  std::vector<unsigned char> data(n);
  std::vector<unsigned> expected(256, 0), bins(256, 99);
  Random random(11);
  for (unsigned char& value : data) {
    // Skewed, so that lanes of a warp collide.
    value = static_cast<unsigned char>(random.Below(4) == 0 ? 42 : random.Below(256));
    ++expected[value];
  }
  unsigned char* device_data = nullptr;
  unsigned* device_bins = nullptr;
  CHECK(cudaMalloc(&device_data, n));
  CHECK(cudaMalloc(&device_bins, 256 * sizeof(unsigned)));
  CHECK(cudaMemset(device_bins, 0, 256 * sizeof(unsigned)));
  CHECK(cudaMemcpy(device_data, data.data(), n, cudaMemcpyHostToDevice));
  Histogram<<<32, 192>>>(device_data, n, device_bins);
  CHECK(cudaGetLastError());
  CHECK(cudaMemcpy(bins.data(), device_bins, 256 * sizeof(unsigned), cudaMemcpyDeviceToHost));
  for (int i = 0; i < 256; ++i) EXPECT(bins[i] == expected[i], "bin %d holds %u, not %u", i, bins[i], expected[i]);
  CHECK(cudaFree(device_data));
  CHECK(cudaFree(device_bins));
  std::printf("histogram: %d bytes, %u in the fullest bin\n", n, expected[42]);
  return Passed();
}
