// Many threads allocate and free at a time, in every way there is: what a block's owner wrote stays until it frees it.
#include <thread>
#include <vector>

#include "check.h"

constexpr int kThreads = 8;
constexpr int kSteps = 200;

__global__ void Fill(unsigned* words, int n, unsigned seed) {
  for (int i = threadIdx.x; i < n; i += blockDim.x) words[i] = seed * 2654435761u + i;
}

__global__ void Count(const unsigned* words, int n, unsigned seed, unsigned* wrong) {
  for (int i = threadIdx.x; i < n; i += blockDim.x) {
    if (words[i] != seed * 2654435761u + i) atomicAdd(wrong, 1u);
  }
}

struct Block {
  unsigned* words;
  int n;
  unsigned seed;
};

// Everything of a thread goes through its own stream; its blocks come from pools and from cudaMalloc, and are freed in
// stream order or by cudaFree, whichever comes.
static void Storm(int id, unsigned* wrong) {
  Random random(static_cast<std::uint64_t>(id) + 77);
  cudaStream_t stream;
  CHECK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  std::vector<Block> live;
  for (int step = 0; step < kSteps; ++step) {
    if (live.size() < 12 && (live.size() < 3 || random.Below(100) < 52)) {
      Block block{nullptr, static_cast<int>(1 + random.Below(random.Below(10) == 0 ? 40000 : 500)),
                  static_cast<unsigned>(id * kSteps + step)};
      if (random.Below(4) == 0) {
        CHECK(cudaMalloc(&block.words, block.n * sizeof(unsigned)));
      } else {
        CHECK(cudaMallocAsync(&block.words, block.n * sizeof(unsigned), stream));
      }
      Fill<<<1, 64, 0, stream>>>(block.words, block.n, block.seed);
      live.push_back(block);
    } else {
      const std::uint32_t victim = random.Below(static_cast<std::uint32_t>(live.size()));
      const Block block = live[victim];
      live[victim] = live.back();
      live.pop_back();
      Count<<<1, 64, 0, stream>>>(block.words, block.n, block.seed, wrong);
      CHECK(cudaFreeAsync(block.words, stream));
    }
  }
  CHECK(cudaGetLastError());
  for (const Block& block : live) Count<<<1, 64, 0, stream>>>(block.words, block.n, block.seed, wrong);
  CHECK(cudaStreamSynchronize(stream));
  for (const Block& block : live) CHECK(cudaFree(block.words));
  CHECK(cudaStreamDestroy(stream));
}

int main() {
  unsigned* wrong = nullptr;
  CHECK(cudaMalloc(&wrong, sizeof(unsigned)));
  CHECK(cudaMemset(wrong, 0, sizeof(unsigned)));
  CHECK(cudaDeviceSynchronize());
  std::vector<std::thread> threads;
  for (int id = 0; id < kThreads; ++id) threads.emplace_back(Storm, id, wrong);
  for (std::thread& thread : threads) thread.join();
  unsigned count = 99;
  CHECK(cudaMemcpy(&count, wrong, sizeof(count), cudaMemcpyDeviceToHost));
  EXPECT(count == 0, "%u words of live blocks changed", count);
  CHECK(cudaFree(wrong));
  std::printf("allocator_storm: %d threads of %d steps\n", kThreads, kSteps);
  return Passed();
}
