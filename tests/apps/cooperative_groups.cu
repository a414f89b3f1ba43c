// Cooperative groups, as the toolkit's headers make them: tiles of every size, groups that converge or share a label,
// reductions and scans over them, and the whole grid.
#include <cooperative_groups.h>
#include <cooperative_groups/reduce.h>
#include <cooperative_groups/scan.h>

#include <vector>

#include "check.h"

namespace groups = cooperative_groups;

constexpr int kThreads = 160;
constexpr int kBlocks = 3;

__device__ int Value(int index) { return (index * 7919) % 101 - 50; }

// Of each tile: its sum, the inclusive and exclusive scans, the largest, and what a shuffle brings.
struct Tile {
  int sum;
  int inclusive;
  int exclusive;
  int largest;
  int from_first;
  int rank;
  int tile;
  unsigned odd;
};
template <unsigned kSize>
__global__ void Tiles(Tile* out) {
  const groups::thread_block block = groups::this_thread_block();
  const auto tile = groups::tiled_partition<kSize>(block);
  const int index = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  const int value = Value(index);
  Tile mine;
  mine.sum = groups::reduce(tile, value, groups::plus<int>());
  mine.inclusive = groups::inclusive_scan(tile, value, groups::plus<int>());
  mine.exclusive = groups::exclusive_scan(tile, value);
  mine.largest = groups::reduce(tile, value, groups::greater<int>());
  mine.from_first = tile.shfl(value, 0);
  mine.rank = static_cast<int>(tile.thread_rank());
  mine.tile = static_cast<int>(tile.meta_group_rank());
  mine.odd = tile.ballot(value & 1);
  tile.sync();
  out[index] = mine;
}

// What converges counts itself, and one thread of a group adds for all of it.
__global__ void Coalesced(int* sums, int* sizes) {
  const int lane = static_cast<int>(threadIdx.x);
  if (lane % 3 == 0) {
    const groups::coalesced_group here = groups::coalesced_threads();
    const int sum = groups::reduce(here, lane, groups::plus<int>());
    if (here.thread_rank() == 0) atomicAdd(sums, sum);
    sizes[lane] = static_cast<int>(here.size());
    const groups::coalesced_group halves = groups::labeled_partition(here, lane % 2);
    const int half = groups::reduce(halves, lane, groups::plus<int>());
    if (halves.thread_rank() == 0) atomicAdd(sums + 1 + lane % 2, half);
  }
}
__global__ void Labeled(int* sums, int* ranks) {
  const auto warp = groups::tiled_partition<32>(groups::this_thread_block());
  const int lane = static_cast<int>(threadIdx.x);
  const int label = lane * lane % 5;
  const groups::coalesced_group same = groups::labeled_partition(warp, label);
  const int sum = groups::reduce(same, lane, groups::plus<int>());
  sums[lane] = sum;
  ranks[lane] = static_cast<int>(same.thread_rank());
  const groups::coalesced_group two = groups::binary_partition(warp, lane < 10);
  sums[32 + lane] = static_cast<int>(two.num_threads());
}

// Each block's sum, then by everybody the sum of all: needs the grid to come together.
__global__ void WholeGrid(int* parts, int* totals) {
  const groups::grid_group grid = groups::this_grid();
  const groups::thread_block block = groups::this_thread_block();
  __shared__ int part;
  if (block.thread_rank() == 0) part = 0;
  block.sync();
  const auto warp = groups::tiled_partition<32>(block);
  const int sum = groups::reduce(warp, Value(static_cast<int>(grid.thread_rank())), groups::plus<int>());
  if (warp.thread_rank() == 0) atomicAdd(&part, sum);
  block.sync();
  if (block.thread_rank() == 0) parts[blockIdx.x] = part;
  grid.sync();
  int total = 0;
  for (unsigned i = 0; i < gridDim.x; ++i) total += parts[i];
  totals[grid.thread_rank()] = total;
}

static int ValueThere(int index) { return (index * 7919) % 101 - 50; }

template <unsigned kSize>
static void TestTiles() {
  constexpr int kCount = kThreads * kBlocks;
  Tile* device = nullptr;
  CHECK(cudaMalloc(&device, kCount * sizeof(Tile)));
  Tiles<kSize><<<kBlocks, kThreads>>>(device);
  std::vector<Tile> tiles(kCount);
  CHECK(cudaMemcpy(tiles.data(), device, kCount * sizeof(Tile), cudaMemcpyDeviceToHost));
  for (int first = 0; first < kCount; first += kSize) {
    int sum = 0;
    int largest = -1000;
    unsigned odd = 0;
    for (unsigned i = 0; i < kSize; ++i) {
      const int value = ValueThere(first + static_cast<int>(i));
      sum += value;
      largest = value > largest ? value : largest;
      odd |= (value & 1) != 0 ? 1u << i : 0;
    }
    int before = 0;
    for (unsigned i = 0; i < kSize; ++i) {
      const Tile& tile = tiles[static_cast<std::size_t>(first) + i];
      const int value = ValueThere(first + static_cast<int>(i));
      EXPECT(tile.sum == sum && tile.largest == largest && tile.odd == odd, "size %u: the tile at %d", kSize, first);
      EXPECT(tile.exclusive == before && tile.inclusive == before + value, "size %u: scans at %d", kSize, first);
      EXPECT(tile.from_first == ValueThere(first), "size %u: shuffle at %d", kSize, first);
      EXPECT(tile.rank == static_cast<int>(i) && tile.tile == first % kThreads / static_cast<int>(kSize),
             "size %u: ranks at %d", kSize, first);
      before += value;
    }
  }
  CHECK(cudaFree(device));
}

static void TestConverging() {
  int* device = nullptr;
  std::vector<int> host(128);
  CHECK(cudaMalloc(&device, host.size() * sizeof(int)));
  CHECK(cudaMemset(device, 0, host.size() * sizeof(int)));
  Coalesced<<<1, 32>>>(device, device + 32);
  CHECK(cudaMemcpy(host.data(), device, host.size() * sizeof(int), cudaMemcpyDeviceToHost));
  EXPECT(host[0] == 165 && host[1] == 90 && host[2] == 75, "sums of those that met: %d, %d, %d", host[0], host[1],
         host[2]);
  for (int lane = 0; lane < 32; lane += 3) EXPECT(host[32 + lane] == 11, "%d met at lane %d", host[32 + lane], lane);

  Labeled<<<1, 32>>>(device, device + 64);
  CHECK(cudaMemcpy(host.data(), device, host.size() * sizeof(int), cudaMemcpyDeviceToHost));
  int sums[5] = {};
  int counts[5] = {};
  for (int lane = 0; lane < 32; ++lane) sums[lane * lane % 5] += lane;
  for (int lane = 0; lane < 32; ++lane) {
    EXPECT(host[lane] == sums[lane * lane % 5], "the sum of lane %d's label", lane);
    EXPECT(host[64 + lane] == counts[lane * lane % 5]++, "the rank of lane %d", lane);
    EXPECT(host[32 + lane] == (lane < 10 ? 10 : 22), "the part of lane %d", lane);
  }
  CHECK(cudaFree(device));
}

static void TestGrid() {
  constexpr int kCount = kThreads * kBlocks;
  int* parts = nullptr;
  int* totals = nullptr;
  CHECK(cudaMalloc(&parts, kBlocks * sizeof(int)));
  CHECK(cudaMalloc(&totals, kCount * sizeof(int)));
  void* arguments[] = {&parts, &totals};
  CHECK(cudaLaunchCooperativeKernel(reinterpret_cast<const void*>(&WholeGrid), dim3(kBlocks), dim3(kThreads), arguments,
                                    0, nullptr));
  std::vector<int> host(kCount);
  CHECK(cudaMemcpy(host.data(), totals, kCount * sizeof(int), cudaMemcpyDeviceToHost));
  int sum = 0;
  for (int i = 0; i < kCount; ++i) sum += ValueThere(i);
  for (int i = 0; i < kCount; ++i) EXPECT(host[static_cast<std::size_t>(i)] == sum, "the total that thread %d saw", i);
  CHECK(cudaFree(parts));
  CHECK(cudaFree(totals));
}

int main() {
  TestTiles<1>();
  TestTiles<2>();
  TestTiles<4>();
  TestTiles<8>();
  TestTiles<16>();
  TestTiles<32>();
  TestConverging();
  TestGrid();
  return Passed();
}
