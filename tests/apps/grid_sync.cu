// Grids whose blocks meet again and again: a wave over a ring, and a sum by as many blocks as the device holds.
#include <cooperative_groups.h>

#include <vector>

#include "check.h"

namespace cg = cooperative_groups;

// Each step reads what the others wrote in the one before.
__global__ void Steps(int* even, int* odd, int cells, int steps) {
  cg::grid_group grid = cg::this_grid();
  const int first = static_cast<int>(grid.thread_rank());
  const int stride = static_cast<int>(grid.size());
  int *from = even, *to = odd;
  for (int step = 0; step < steps; ++step) {
    for (int i = first; i < cells; i += stride) to[i] = from[(i + 1) % cells] + from[(i + cells - 1) % cells] % 7;
    grid.sync();
    int* kept = from;
    from = to;
    to = kept;
  }
}

// Partial sums, then each block adds up all of them.
__global__ void Sum(const int* values, int count, long long* partial, long long* out) {
  cg::grid_group grid = cg::this_grid();
  __shared__ long long sums[128];
  long long own = 0;
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < count; i += gridDim.x * blockDim.x) own += values[i];
  sums[threadIdx.x] = own;
  for (unsigned half = blockDim.x / 2; half > 0; half /= 2) {
    __syncthreads();
    if (threadIdx.x < half) sums[threadIdx.x] += sums[threadIdx.x + half];
  }
  if (threadIdx.x == 0) partial[blockIdx.x] = sums[0];
  grid.sync();
  if (threadIdx.x == 0) {
    long long total = 0;
    for (unsigned b = 0; b < gridDim.x; ++b) total += partial[b];
    out[blockIdx.x] = total;
  }
}

int main() {
  constexpr int kCells = 1000, kSteps = 12;
  std::vector<int> host(kCells), next(kCells), got(kCells);
  for (int i = 0; i < kCells; ++i) host[i] = i * 37 % 101;
  int *even = nullptr, *odd = nullptr;
  CHECK(cudaMalloc(&even, kCells * sizeof(int)));
  CHECK(cudaMalloc(&odd, kCells * sizeof(int)));
  CHECK(cudaMemcpy(even, host.data(), kCells * sizeof(int), cudaMemcpyHostToDevice));
  int cells = kCells, steps = kSteps;
  void* step_arguments[] = {&even, &odd, &cells, &steps};
  CHECK(cudaLaunchCooperativeKernel(Steps, dim3(4), dim3(64), step_arguments, 0, nullptr));
  CHECK(cudaMemcpy(got.data(), even, kCells * sizeof(int), cudaMemcpyDeviceToHost));
  for (int step = 0; step < kSteps; ++step) {
    for (int i = 0; i < kCells; ++i) next[i] = host[(i + 1) % kCells] + host[(i + kCells - 1) % kCells] % 7;
    host.swap(next);
  }
  EXPECT(got == host, "the wave differs after %d steps", kSteps);

  int processors = 0, per_processor = 0;
  CHECK(cudaDeviceGetAttribute(&processors, cudaDevAttrMultiProcessorCount, 0));
  CHECK(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&per_processor, Sum, 128, 0));
  const int most = processors * per_processor;
  EXPECT(most > 0, "no block fits");
  long long *partial = nullptr, *out = nullptr;
  CHECK(cudaMalloc(&partial, most * sizeof(long long)));
  CHECK(cudaMalloc(&out, most * sizeof(long long)));
  long long expected = 0;
  for (int i = 0; i < kCells; ++i) expected += host[i];
  void* sum_arguments[] = {&even, &cells, &partial, &out};
  for (const int blocks : {1, most}) {
    std::vector<long long> sums(blocks);
    CHECK(cudaLaunchCooperativeKernel(Sum, dim3(blocks), dim3(128), sum_arguments, 0, nullptr));
    CHECK(cudaMemcpy(sums.data(), out, blocks * sizeof(long long), cudaMemcpyDeviceToHost));
    for (int i = 0; i < blocks; ++i)
      EXPECT(sums[i] == expected, "block %d of %d summed up to %lld", i, blocks, sums[i]);
  }
  std::printf("grid_sync: %d steps of 4 blocks, a sum by as many as fit\n", kSteps);
  return Passed();
}
