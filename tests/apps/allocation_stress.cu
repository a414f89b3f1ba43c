// Allocations that come and go while kernels run: no two live ones overlap, contents last, and memory freed under a
// running kernel does not reach its next owner before that kernel has ended.
#include <vector>

#include "check.h"

__global__ void FillPattern(unsigned* words, int n, unsigned seed) {
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x)
    words[i] = seed * 2654435761u + i;
}

__global__ void CheckPattern(const unsigned* words, int n, unsigned seed, unsigned* wrong) {
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x) {
    if (words[i] != seed * 2654435761u + i) atomicAdd(wrong, 1u);
  }
}

// Writes its words again and again, for a while.
__global__ void Scribble(volatile unsigned* words, int n, int rounds) {
  for (int round = 0; round < rounds; ++round) {
    for (int i = threadIdx.x; i < n; i += blockDim.x) words[i] = 0xdeadbeef;
  }
}

struct Block {
  unsigned* words;
  int n;
  unsigned seed;
};

static void RandomOrder() {
  Random random(2026);
  std::vector<Block> live;
  unsigned* wrong = nullptr;
  CHECK(cudaMalloc(&wrong, sizeof(unsigned)));
  CHECK(cudaMemset(wrong, 0, sizeof(unsigned)));
  cudaStream_t streams[3];
  for (cudaStream_t& stream : streams) CHECK(cudaStreamCreate(&stream));
  for (unsigned step = 0; step < 300; ++step) {
    if (live.size() < 40 && (live.size() < 5 || random.Below(100) < 55)) {
      Block block{nullptr, static_cast<int>(1 + random.Below(random.Below(8) == 0 ? 20000 : 300)), step};
      CHECK(cudaMalloc(&block.words, block.n * sizeof(unsigned)));
      FillPattern<<<2, 64, 0, streams[step % 3]>>>(block.words, block.n, block.seed);
      CHECK(cudaGetLastError());
      // Its check may run on another stream: all of them are blocking, and the default stream stands between.
      CheckPattern<<<1, 32>>>(block.words, block.n, block.seed, wrong);
      live.push_back(block);
    } else {
      const size_t victim = random.Below(static_cast<std::uint32_t>(live.size()));
      CheckPattern<<<1, 64, 0, streams[step % 3]>>>(live[victim].words, live[victim].n, live[victim].seed, wrong);
      CHECK(cudaFree(live[victim].words));
      live[victim] = live.back();
      live.pop_back();
    }
  }
  for (const Block& block : live) {
    CheckPattern<<<1, 64>>>(block.words, block.n, block.seed, wrong);
    CHECK(cudaGetLastError());
  }
  CHECK(cudaDeviceSynchronize());
  unsigned count = 99;
  CHECK(cudaMemcpy(&count, wrong, sizeof(count), cudaMemcpyDeviceToHost));
  EXPECT(count == 0, "%u words of live allocations changed", count);
  for (const Block& block : live) CHECK(cudaFree(block.words));
  for (cudaStream_t stream : streams) CHECK(cudaStreamDestroy(stream));
  CHECK(cudaFree(wrong));
}

static void FreeUnderKernel() {
  const int n = 4096;
  const size_t bytes = n * sizeof(unsigned);
  cudaStream_t busy, other;
  CHECK(cudaStreamCreateWithFlags(&busy, cudaStreamNonBlocking));
  CHECK(cudaStreamCreateWithFlags(&other, cudaStreamNonBlocking));
  unsigned* wrong = nullptr;
  CHECK(cudaMalloc(&wrong, sizeof(unsigned)));
  CHECK(cudaMemset(wrong, 0, sizeof(unsigned)));
  CHECK(cudaDeviceSynchronize());
  for (int turn = 0; turn < 8; ++turn) {
    unsigned *first = nullptr, *second = nullptr;
    CHECK(cudaMalloc(&first, bytes));
    Scribble<<<1, 256, 0, busy>>>(first, n, 40);
    CHECK(cudaGetLastError());
    CHECK(cudaFree(first));  // while the kernel may still write there
    CHECK(cudaMalloc(&second, bytes));
    FillPattern<<<2, 128, 0, other>>>(second, n, turn);
    CHECK(cudaStreamSynchronize(busy));
    CheckPattern<<<2, 128, 0, other>>>(second, n, turn, wrong);
    CHECK(cudaStreamSynchronize(other));
    CHECK(cudaFree(second));
  }
  unsigned count = 99;
  CHECK(cudaMemcpy(&count, wrong, sizeof(count), cudaMemcpyDeviceToHost));
  EXPECT(count == 0, "%u words were written by a kernel whose memory had been freed", count);
  CHECK(cudaFree(wrong));
  CHECK(cudaStreamDestroy(busy));
  CHECK(cudaStreamDestroy(other));
}

// Stream-ordered allocations: memory freed on a stream may be had again on it at once.
static void StreamOrdered() {
  const int n = 1000;
  cudaStream_t stream;
  unsigned *kept = nullptr, *wrong = nullptr;
  CHECK(cudaStreamCreate(&stream));
  CHECK(cudaMallocAsync(&wrong, sizeof(unsigned), stream));
  CHECK(cudaMemsetAsync(wrong, 0, sizeof(unsigned), stream));
  CHECK(cudaMallocAsync(&kept, n * sizeof(unsigned), stream));
  FillPattern<<<1, 128, 0, stream>>>(kept, n, 1);
  for (unsigned turn = 2; turn < 30; ++turn) {
    unsigned* words = nullptr;
    CHECK(cudaMallocAsync(&words, n * sizeof(unsigned), stream));
    FillPattern<<<1, 128, 0, stream>>>(words, n, turn);
    CheckPattern<<<1, 128, 0, stream>>>(words, n, turn, wrong);
    CHECK(cudaFreeAsync(words, stream));
  }
  CheckPattern<<<1, 128, 0, stream>>>(kept, n, 1, wrong);
  unsigned count = 99;
  CHECK(cudaMemcpyAsync(&count, wrong, sizeof(count), cudaMemcpyDeviceToHost, stream));
  CHECK(cudaStreamSynchronize(stream));
  EXPECT(count == 0, "%u words of stream-ordered memory changed", count);
  CHECK(cudaFreeAsync(kept, stream));
  CHECK(cudaFreeAsync(wrong, stream));
  CHECK(cudaStreamSynchronize(stream));
  CHECK(cudaStreamDestroy(stream));
}

int main() {
  RandomOrder();
  FreeUnderKernel();
  StreamOrdered();
  std::printf("allocation_stress: 300 steps, 8 frees under a kernel, stream-ordered memory\n");
  return Passed();
}
