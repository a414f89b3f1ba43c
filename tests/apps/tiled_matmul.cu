// C = A * B with 16 x 16 tiles in shared memory. Whole numbers, so the sums are exact.
#include <vector>

#include "check.h"

constexpr int kTile = 16;

__global__ void MatMul(const float* a, const float* b, float* c, int n) {
  __shared__ float tile_a[kTile][kTile];
  __shared__ float tile_b[kTile][kTile];
  const int row = blockIdx.y * kTile + threadIdx.y;
  const int column = blockIdx.x * kTile + threadIdx.x;
  float sum = 0.0f;
  for (int first = 0; first < n; first += kTile) {
    tile_a[threadIdx.y][threadIdx.x] = a[row * n + first + threadIdx.x];
    tile_b[threadIdx.y][threadIdx.x] = b[(first + threadIdx.y) * n + column];
    __syncthreads();
    for (int k = 0; k < kTile; ++k) sum += tile_a[threadIdx.y][k] * tile_b[k][threadIdx.x];
    __syncthreads();
  }
  c[row * n + column] = sum;
}

int main() {
  const int n = 128;
  std::vector<float> a(n * n), b(n * n), c(n * n), expected(n * n, 0.0f);
  Random random(7);
  for (float& value : a) value = static_cast<float>(random.Below(16));
  for (float& value : b) value = static_cast<float>(random.Below(16)) - 8.0f;
  for (int i = 0; i < n; ++i) {
    for (int k = 0; k < n; ++k) {
      for (int j = 0; j < n; ++j) expected[i * n + j] += a[i * n + k] * b[k * n + j];
    }
  }
  const size_t bytes = n * n * sizeof(float);
  float* device[3] = {};
  for (float*& pointer : device) CHECK(cudaMalloc(&pointer, bytes));
  CHECK(cudaMemcpy(device[0], a.data(), bytes, cudaMemcpyHostToDevice));
  CHECK(cudaMemcpy(device[1], b.data(), bytes, cudaMemcpyHostToDevice));
  MatMul<<<dim3(n / kTile, n / kTile), dim3(kTile, kTile)>>>(device[0], device[1], device[2], n);
  CHECK(cudaGetLastError());
  CHECK(cudaDeviceSynchronize());
  CHECK(cudaMemcpy(c.data(), device[2], bytes, cudaMemcpyDeviceToHost));
  for (int i = 0; i < n * n; ++i) {
    EXPECT(c[i] == expected[i], "c[%d][%d] is %g, not %g", i / n, i % n, c[i], expected[i]);
  }
  for (float* pointer : device) CHECK(cudaFree(pointer));
  std::printf("tiled_matmul: %d x %d\n", n, n);
  return Passed();
}
