// Pageable memory in asynchronous copies: the source belongs to the program again when the call returns, the
// destination is complete when it returns, whatever other streams are doing.
#include <cstring>
#include <vector>

#include "check.h"

__global__ void Spin(volatile unsigned* word, int rounds) {
  for (int i = 0; i < rounds; ++i) *word = i;
}

__global__ void Sum(const unsigned char* data, int n, unsigned* sum) {
  unsigned mine = 0;
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x) mine += data[i];
  atomicAdd(sum, mine);
}

int main() {
  const int n = 300000, copies = 6;
  cudaStream_t busy, stream;
  unsigned *word = nullptr, *sums = nullptr;
  unsigned char* device[copies];
  CHECK(cudaStreamCreateWithFlags(&busy, cudaStreamNonBlocking));
  CHECK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  CHECK(cudaMalloc(&word, sizeof(unsigned)));
  CHECK(cudaMalloc(&sums, copies * sizeof(unsigned)));
  CHECK(cudaMemset(sums, 0, copies * sizeof(unsigned)));
  for (unsigned char*& one : device) CHECK(cudaMalloc(&one, n));
  CHECK(cudaDeviceSynchronize());

  std::vector<unsigned char> source(n);
  for (int copy = 0; copy < copies; ++copy) {
    Spin<<<1, 32, 0, busy>>>(word, 20000);
    Spin<<<1, 32, 0, stream>>>(word, 2000);  // the copies wait for this one
    std::memset(source.data(), copy + 1, n);
    CHECK(cudaMemcpyAsync(device[copy], source.data(), n, cudaMemcpyHostToDevice, stream));
    std::memset(source.data(), 0xff, n);  // must not be seen
    Sum<<<8, 128, 0, stream>>>(device[copy], n, sums + copy);
    CHECK(cudaGetLastError());
  }
  unsigned results[copies] = {};
  CHECK(cudaMemcpyAsync(results, sums, sizeof(results), cudaMemcpyDeviceToHost, stream));
  for (int copy = 0; copy < copies; ++copy) {
    EXPECT(results[copy] == (copy + 1u) * n, "copy %d sums to %u, not %u", copy, results[copy], (copy + 1u) * n);
  }
  // Device to host into pageable memory, byte by byte the right ones.
  std::vector<unsigned char> back(n, 0);
  for (int copy = 0; copy < copies; ++copy) {
    CHECK(cudaMemcpyAsync(back.data(), device[copy], n, cudaMemcpyDeviceToHost, stream));
    EXPECT(back[0] == copy + 1 && back[n - 1] == copy + 1, "copy %d came back as %d ... %d", copy, back[0],
           back[n - 1]);
    EXPECT(std::memcmp(back.data(), back.data() + 1, n - 1) == 0, "copy %d came back in pieces", copy);
  }
  CHECK(cudaStreamSynchronize(busy));
  for (unsigned char* one : device) CHECK(cudaFree(one));
  CHECK(cudaFree(word));
  CHECK(cudaFree(sums));
  CHECK(cudaStreamDestroy(busy));
  CHECK(cudaStreamDestroy(stream));
  std::printf("pageable_overlap: %d copies of %d bytes each way\n", copies, n);
  return Passed();
}
