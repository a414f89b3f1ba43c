// Warp shuffles of every kind (an inclusive scan is built of them) and votes, with full and partial masks.
#include <vector>

#include "check.h"

constexpr unsigned kAll = 0xffffffffu;

__device__ int WarpScan(int value, int lane) {
  for (int step = 1; step < 32; step *= 2) {
    const int left = __shfl_up_sync(kAll, value, step);
    if (lane >= step) value += left;
  }
  return value;
}

// Inclusive scan of each block's slice; the sum of the slice goes to totals.
__global__ void Scan(const int* in, int* out, int* totals) {
  __shared__ int warp_sums[32];
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  int value = WarpScan(in[i], lane);
  if (lane == 31) warp_sums[warp] = value;
  __syncthreads();
  if (warp == 0) warp_sums[lane] = WarpScan(lane < blockDim.x / 32 ? warp_sums[lane] : 0, lane);
  __syncthreads();
  if (warp > 0) value += warp_sums[warp - 1];
  out[i] = value;
  if (threadIdx.x == blockDim.x - 1) totals[blockIdx.x] = value;
}

struct Votes {
  unsigned odd, even_half;
  int any_99, any_7, all_small, all_odd;
  int down, exchanged, rotated, quad;
  double wide;
};

__global__ void Vote(Votes* votes) {
  const int lane = threadIdx.x;
  Votes mine;
  mine.odd = __ballot_sync(kAll, lane % 2);
  mine.any_99 = __any_sync(kAll, lane == 99);
  mine.any_7 = __any_sync(kAll, lane == 7);
  mine.all_small = __all_sync(kAll, lane < 32);
  mine.all_odd = __all_sync(kAll, lane % 2);
  mine.down = __shfl_down_sync(kAll, lane * 10, 4);
  mine.exchanged = __shfl_xor_sync(kAll, lane * 10, 5);
  mine.rotated = __shfl_sync(kAll, lane * 10, (lane + 1) % 32);
  mine.quad = __shfl_sync(kAll, lane, 2, 4);
  mine.wide = __shfl_sync(kAll, lane * 1.5, 31 - lane);
  mine.even_half = 0;
  if (lane < 16) mine.even_half = __ballot_sync(0x0000ffffu, lane % 2 == 0);
  votes[lane] = mine;
}

int main() {
  const int threads = 512, blocks = 256, n = threads * blocks;
  std::vector<int> in(n), out(n), totals(blocks);
  Random random(5);
  for (int& value : in) value = static_cast<int>(random.Below(100)) - 30;
  int *device_in = nullptr, *device_out = nullptr, *device_totals = nullptr;
  CHECK(cudaMalloc(&device_in, n * sizeof(int)));
  CHECK(cudaMalloc(&device_out, n * sizeof(int)));
  CHECK(cudaMalloc(&device_totals, blocks * sizeof(int)));
  CHECK(cudaMemcpy(device_in, in.data(), n * sizeof(int), cudaMemcpyHostToDevice));
  Scan<<<blocks, threads>>>(device_in, device_out, device_totals);
  CHECK(cudaGetLastError());
  CHECK(cudaMemcpy(out.data(), device_out, n * sizeof(int), cudaMemcpyDeviceToHost));
  CHECK(cudaMemcpy(totals.data(), device_totals, blocks * sizeof(int), cudaMemcpyDeviceToHost));
  for (int i = 0, sum = 0; i < n; ++i) {
    sum = i % threads == 0 ? in[i] : sum + in[i];
    EXPECT(out[i] == sum, "the scan holds %d at %d, not %d", out[i], i, sum);
    if (i % threads == threads - 1)
      EXPECT(totals[i / threads] == sum, "block %d sums to %d", i / threads, totals[i / threads]);
  }

  Votes* device_votes = nullptr;
  std::vector<Votes> votes(32);
  CHECK(cudaMalloc(&device_votes, 32 * sizeof(Votes)));
  Vote<<<1, 32>>>(device_votes);
  CHECK(cudaMemcpy(votes.data(), device_votes, 32 * sizeof(Votes), cudaMemcpyDeviceToHost));
  for (int lane = 0; lane < 32; ++lane) {
    const Votes& got = votes[lane];
    EXPECT(got.odd == 0xaaaaaaaau && got.even_half == (lane < 16 ? 0x5555u : 0u), "ballots of lane %d: %x %x", lane,
           got.odd, got.even_half);
    EXPECT(!got.any_99 && got.any_7 && got.all_small && !got.all_odd, "votes of lane %d", lane);
    EXPECT(got.down == (lane < 28 ? lane + 4 : lane) * 10, "shfl_down gave lane %d %d", lane, got.down);
    EXPECT(got.exchanged == (lane ^ 5) * 10, "shfl_xor gave lane %d %d", lane, got.exchanged);
    EXPECT(got.rotated == (lane + 1) % 32 * 10, "shfl gave lane %d %d", lane, got.rotated);
    EXPECT(got.quad == lane / 4 * 4 + 2, "shfl of width 4 gave lane %d %d", lane, got.quad);
    EXPECT(got.wide == (31 - lane) * 1.5, "shfl of a double gave lane %d %g", lane, got.wide);
  }
  for (void* pointer : {(void*)device_in, (void*)device_out, (void*)device_totals, (void*)device_votes})
    CHECK(cudaFree(pointer));
  std::printf("shuffle_scan: %d values in %d blocks, votes of 32 lanes\n", n, blocks);
  return Passed();
}
