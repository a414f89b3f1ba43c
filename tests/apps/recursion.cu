// Functions that call themselves and one another, each thread at a depth of its own.
#include <algorithm>
#include <vector>

#include "check.h"

__host__ __device__ __noinline__ unsigned Fibonacci(unsigned n) {
  return n < 2 ? n : Fibonacci(n - 1) + Fibonacci(n - 2);
}

__host__ __device__ unsigned Odd(unsigned n, unsigned* calls);
__host__ __device__ __noinline__ unsigned Even(unsigned n, unsigned* calls) {
  ++*calls;
  return n == 0 ? 1 : Odd(n - 1, calls);
}
__host__ __device__ __noinline__ unsigned Odd(unsigned n, unsigned* calls) {
  ++*calls;
  return n == 0 ? 0 : Even(n - 1, calls);
}

__global__ void Numbers(unsigned* fibonacci, unsigned* even, unsigned* calls) {
  const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
  fibonacci[i] = Fibonacci(i % 13);
  unsigned made = 0;
  even[i] = Even(i % 10, &made);
  calls[i] = made;
}

// Quicksort of a row by one thread: the shorter side by a call, so that the depth stays below the logarithm.
__device__ __noinline__ void Sort(unsigned* first, unsigned* last) {
  while (last - first > 1) {
    const unsigned pivot = first[(last - first) / 2];
    unsigned *low = first, *high = last - 1;
    while (low <= high) {
      while (*low < pivot) ++low;
      while (*high > pivot) --high;
      if (low > high) break;
      const unsigned kept = *low;
      *low++ = *high;
      *high-- = kept;
    }
    if (high + 1 - first < last - low) {
      Sort(first, high + 1);
      first = low;
    } else {
      Sort(low, last);
      last = high + 1;
    }
  }
}
__global__ void SortRows(unsigned* rows, int length) {
  unsigned* row = rows + static_cast<size_t>(blockIdx.x * blockDim.x + threadIdx.x) * length;
  Sort(row, row + length);
}

// A thousand calls deep: more than a thread's stack holds unless the program asks for more.
__device__ __noinline__ unsigned Down(unsigned depth, volatile unsigned* seen) {
  *seen = depth;
  return depth == 0 ? 0 : Down(depth - 1, seen) + *seen % 2 + 1;
}
__global__ void Deep(unsigned depth, volatile unsigned* seen, unsigned* out) { *out = Down(depth, seen); }

int main() {
  constexpr int kThreads = 4 * 64, kLength = 100;
  size_t limit = 0;
  CHECK(cudaDeviceSetLimit(cudaLimitStackSize, 8192));
  CHECK(cudaDeviceGetLimit(&limit, cudaLimitStackSize));
  EXPECT(limit >= 8192, "the stack limit is %zu after it was set to 8192", limit);

  unsigned* device = nullptr;
  std::vector<unsigned> host(3 * kThreads);
  CHECK(cudaMalloc(&device, host.size() * sizeof(unsigned)));
  Numbers<<<4, 64>>>(device, device + kThreads, device + 2 * kThreads);
  CHECK(cudaGetLastError());
  CHECK(cudaMemcpy(host.data(), device, host.size() * sizeof(unsigned), cudaMemcpyDeviceToHost));
  for (unsigned i = 0; i < kThreads; ++i) {
    EXPECT(host[i] == Fibonacci(i % 13), "fibonacci(%u) is %u", i % 13, host[i]);
    EXPECT(host[kThreads + i] == (i % 10 + 1) % 2, "even(%u) is %u", i % 10, host[kThreads + i]);
    EXPECT(host[2 * kThreads + i] == i % 10 + 1, "even(%u) made %u calls", i % 10, host[2 * kThreads + i]);
  }

  Random random(5);
  std::vector<unsigned> rows(kThreads * kLength);
  for (unsigned& value : rows) value = random.Below(1000);
  unsigned* sorted = nullptr;
  CHECK(cudaMalloc(&sorted, rows.size() * sizeof(unsigned)));
  CHECK(cudaMemcpy(sorted, rows.data(), rows.size() * sizeof(unsigned), cudaMemcpyHostToDevice));
  SortRows<<<4, 64>>>(sorted, kLength);
  CHECK(cudaGetLastError());
  std::vector<unsigned> got(rows.size());
  CHECK(cudaMemcpy(got.data(), sorted, got.size() * sizeof(unsigned), cudaMemcpyDeviceToHost));
  for (int row = 0; row < kThreads; ++row) std::sort(&rows[row * kLength], &rows[row * kLength] + kLength);
  EXPECT(got == rows, "a row is not sorted");

  CHECK(cudaDeviceSetLimit(cudaLimitStackSize, 128 * 1024));
  unsigned depth = 0;
  Deep<<<1, 1>>>(1000, device, device + 1);
  CHECK(cudaGetLastError());
  CHECK(cudaMemcpy(&depth, device + 1, sizeof(depth), cudaMemcpyDeviceToHost));
  EXPECT(depth == 1000, "a thousand calls returned %u", depth);
  std::printf("recursion: one function, two in turn, quicksort\n");
  return Passed();
}
