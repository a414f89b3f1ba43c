// Memory on a thread's stack whose size only the thread knows: alloca, in loops, in functions and in recursion.
#include <alloca.h>

#include <algorithm>
#include <vector>

#include "check.h"

// The median of a row, by insertion into a copy.
__host__ __device__ __noinline__ unsigned Median(const unsigned* row, int count) {
  auto* sorted = static_cast<unsigned*>(alloca(count * sizeof(unsigned)));
  for (int i = 0; i < count; ++i) {
    int at = i;
    for (; at > 0 && sorted[at - 1] > row[i]; --at) sorted[at] = sorted[at - 1];
    sorted[at] = row[i];
  }
  return sorted[count / 2];
}

// Merge sort: each activation has a buffer of its own size.
__host__ __device__ __noinline__ void Sort(unsigned* values, int count) {
  if (count < 2) return;
  auto* half = static_cast<unsigned*>(alloca(count / 2 * sizeof(unsigned)));
  Sort(values, count / 2);
  Sort(values + count / 2, count - count / 2);
  for (int i = 0; i < count / 2; ++i) half[i] = values[i];
  for (int i = 0, j = count / 2, k = 0; i < count / 2; ++k)
    values[k] = j == count || half[i] <= values[j] ? half[i++] : values[j++];
}

__host__ __device__ void Work(const unsigned* row, int count, unsigned* medians, unsigned* sums) {
  unsigned sum = 0;
  for (int round = 1; round <= 4; ++round) {
    // Taken anew in each round, and all of it kept until the end.
    auto* copy = static_cast<unsigned*>(alloca(count * sizeof(unsigned)));
    for (int i = 0; i < count; ++i) copy[i] = row[i] * round;
    Sort(copy, count);
    for (int i = 0; i < count; ++i) sum = sum * 31 + copy[i];
    sum += static_cast<unsigned>(reinterpret_cast<size_t>(copy) % alignof(double));
  }
  *medians = Median(row, count);
  *sums = sum;
}

__global__ void Rows(const unsigned* rows, int length, unsigned* medians, unsigned* sums) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  Work(rows + i * length, 1 + i % length, medians + i, sums + i);
}

__global__ void TooMuch(unsigned* out, size_t bytes) {
  auto* memory = static_cast<volatile unsigned char*>(alloca(bytes));
  memory[bytes - 1] = 1;
  out[threadIdx.x] = memory[bytes - 1];
}

int main() {
  constexpr int kRows = 192;
  constexpr int kLength = 23;
  std::vector<unsigned> rows(kRows * kLength);
  Random random(5);
  for (unsigned& value : rows) value = random.Below(1000);
  unsigned *device_rows, *medians, *sums;
  CHECK(cudaMalloc(&device_rows, rows.size() * sizeof(unsigned)));
  CHECK(cudaMalloc(&medians, kRows * sizeof(unsigned)));
  CHECK(cudaMalloc(&sums, kRows * sizeof(unsigned)));
  CHECK(cudaMemcpy(device_rows, rows.data(), rows.size() * sizeof(unsigned), cudaMemcpyHostToDevice));
  Rows<<<3, kRows / 3>>>(device_rows, kLength, medians, sums);
  CHECK(cudaGetLastError());
  std::vector<unsigned> got_medians(kRows), got_sums(kRows);
  CHECK(cudaMemcpy(got_medians.data(), medians, kRows * sizeof(unsigned), cudaMemcpyDeviceToHost));
  CHECK(cudaMemcpy(got_sums.data(), sums, kRows * sizeof(unsigned), cudaMemcpyDeviceToHost));
  for (int i = 0; i < kRows; ++i) {
    unsigned median, sum;
    Work(rows.data() + i * kLength, 1 + i % kLength, &median, &sum);
    EXPECT(got_medians[i] == median, "row %d: median %u, expected %u", i, got_medians[i], median);
    EXPECT(got_sums[i] == sum, "row %d: sum %u, expected %u", i, got_sums[i], sum);
  }
  // What the limit allows once it is raised.
  CHECK(cudaDeviceSetLimit(cudaLimitStackSize, 32 << 10));
  TooMuch<<<1, 32>>>(sums, 16 << 10);
  CHECK(cudaDeviceSynchronize());
  CHECK(cudaMemcpy(got_sums.data(), sums, 32 * sizeof(unsigned), cudaMemcpyDeviceToHost));
  for (int i = 0; i < 32; ++i) EXPECT(got_sums[i] == 1, "thread %d: %u", i, got_sums[i]);
  return Passed();
}
