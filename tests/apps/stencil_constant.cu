// A nine-point stencil in one dimension: coefficients in constant memory, a tile with halo in shared memory, two
// buffers that swap. The coefficients change between rounds, so a stale copy of them would show.
#include <vector>

#include "check.h"

constexpr int kRadius = 4;
constexpr int kThreads = 128;

__constant__ int coefficients[2 * kRadius + 1];

__global__ void Stencil(const int* in, int* out, int n) {
  __shared__ int tile[kThreads + 2 * kRadius];
  const int i = blockIdx.x * kThreads + threadIdx.x;
  for (int t = threadIdx.x; t < kThreads + 2 * kRadius; t += kThreads) {
    const int source = static_cast<int>(blockIdx.x) * kThreads + t - kRadius;
    tile[t] = source >= 0 && source < n ? in[source] : 0;
  }
  __syncthreads();
  if (i >= n) return;
  int sum = 0;
#pragma unroll
  for (int k = 0; k <= 2 * kRadius; ++k) sum += coefficients[k] * tile[threadIdx.x + k];
  out[i] = sum;
}

int main() {
  const int n = 100000;
  std::vector<int> values(n), next(n), result(n);
  Random random(9);
  for (int& value : values) value = static_cast<int>(random.Below(100));
  int *from = nullptr, *to = nullptr;
  CHECK(cudaMalloc(&from, n * sizeof(int)));
  CHECK(cudaMalloc(&to, n * sizeof(int)));
  CHECK(cudaMemcpy(from, values.data(), n * sizeof(int), cudaMemcpyHostToDevice));
  for (int round = 0; round < 3; ++round) {
    int weights[2 * kRadius + 1];
    for (int k = 0; k <= 2 * kRadius; ++k) weights[k] = (k * 7 + round) % 5 - 2;
    CHECK(cudaMemcpyToSymbol(coefficients, weights, sizeof(weights)));
    Stencil<<<(n + kThreads - 1) / kThreads, kThreads>>>(from, to, n);
    CHECK(cudaGetLastError());
    std::swap(from, to);
    for (int i = 0; i < n; ++i) {
      int sum = 0;
      for (int k = 0; k <= 2 * kRadius; ++k) {
        const int source = i + k - kRadius;
        if (source >= 0 && source < n) sum += weights[k] * values[source];
      }
      next[i] = sum;
    }
    values.swap(next);
  }
  CHECK(cudaMemcpy(result.data(), from, n * sizeof(int), cudaMemcpyDeviceToHost));
  for (int i = 0; i < n; ++i) EXPECT(result[i] == values[i], "element %d is %d, not %d", i, result[i], values[i]);
  CHECK(cudaFree(from));
  CHECK(cudaFree(to));
  std::printf("stencil_constant: 3 rounds over %d values\n", n);
  return Passed();
}
