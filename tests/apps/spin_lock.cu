// Threads that wait for one another in loops: lanes of a warp, blocks of a grid, a kernel for a copy.
#include "check.h"

// One lock for all, taken lane by lane: each must get its turn while the others of its warp spin.
__global__ void CountUnderLock(int* lock, volatile int* counter, bool sleep) {
  while (atomicCAS(lock, 0, 1) != 0) {
    if (sleep) __nanosleep(50);
  }
  __threadfence();
  *counter = *counter + 1;
  __threadfence();
  atomicExch(lock, 0);
}

// Blocks take their turns in the order of their numbers.
__global__ void InOrder(unsigned* turn, unsigned* log) {
  if (threadIdx.x == 0) {
    while (atomicAdd(turn, 0) != blockIdx.x) {
    }
    log[blockIdx.x] = clock64() != 0 ? blockIdx.x * 3 : 0;
    __threadfence();
    atomicAdd(turn, 1);
  }
  __syncthreads();
}

// All blocks wait for a word that another stream's copy brings.
__global__ void WaitForWord(const volatile int* word, int* arrived) {
  if (threadIdx.x == 0) {
    while (*word == 0) {
    }
    atomicAdd(arrived, *word);
  }
}

int main() {
  int* words = nullptr;
  CHECK(cudaMalloc(&words, 4096));
  CHECK(cudaMemset(words, 0, 4096));
  int counter = 0;
  for (int sleep = 0; sleep < 2; ++sleep) {
    CountUnderLock<<<4, 64>>>(words, words + 1, sleep != 0);
    CHECK(cudaGetLastError());
    CHECK(cudaMemcpy(&counter, words + 1, sizeof(counter), cudaMemcpyDeviceToHost));
    EXPECT(counter == (sleep + 1) * 256, "256 threads under a lock counted to %d", counter);
  }

  auto* turn = reinterpret_cast<unsigned*>(words) + 2;
  auto* log = reinterpret_cast<unsigned*>(words) + 64;
  unsigned host[40];
  InOrder<<<40, 64>>>(turn, log);
  CHECK(cudaGetLastError());
  CHECK(cudaMemcpy(host, log, sizeof(host), cudaMemcpyDeviceToHost));
  for (unsigned i = 0; i < 40; ++i) EXPECT(host[i] == i * 3, "block %u left %u", i, host[i]);

  cudaStream_t waiting, copying;
  int* pinned = nullptr;
  CHECK(cudaStreamCreateWithFlags(&waiting, cudaStreamNonBlocking));
  CHECK(cudaStreamCreateWithFlags(&copying, cudaStreamNonBlocking));
  CHECK(cudaMallocHost(&pinned, sizeof(int)));
  *pinned = 5;
  CHECK(cudaDeviceSynchronize());
  WaitForWord<<<32, 32, 0, waiting>>>(words + 4, words + 5);
  CHECK(cudaGetLastError());
  CHECK(cudaMemcpyAsync(words + 4, pinned, sizeof(int), cudaMemcpyHostToDevice, copying));
  CHECK(cudaStreamSynchronize(copying));
  CHECK(cudaStreamSynchronize(waiting));
  int arrived = 0;
  CHECK(cudaMemcpy(&arrived, words + 5, sizeof(arrived), cudaMemcpyDeviceToHost));
  EXPECT(arrived == 32 * 5, "32 blocks that waited for a copy added up to %d", arrived);
  std::printf("spin_lock: lanes, blocks, a copy\n");
  return Passed();
}
