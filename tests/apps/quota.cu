// For a server with --memory 64MiB: more is refused by cudaMalloc itself, and the program goes on with less, as
// frameworks do.
#include "check.h"

__global__ void Store(int* out) { *out = 41; }

int main() {
  const size_t mebibyte = 1u << 20;
  size_t available = 0, total = 0;
  CHECK(cudaMemGetInfo(&available, &total));
  EXPECT(total == 64 * mebibyte && available == total, "%zu of %zu bytes available", available, total);
  void *large = nullptr, *half = nullptr, *more = nullptr;
  CHECK_ERROR(cudaMalloc(&large, 65 * mebibyte), cudaErrorMemoryAllocation);
  CHECK_ERROR(cudaGetLastError(), cudaErrorMemoryAllocation);
  CHECK(cudaMalloc(&half, 40 * mebibyte));
  CHECK_ERROR(cudaMalloc(&more, 40 * mebibyte), cudaErrorMemoryAllocation);
  CHECK_ERROR(cudaGetLastError(), cudaErrorMemoryAllocation);
  Store<<<1, 1>>>(static_cast<int*>(half));
  CHECK(cudaGetLastError());
  int value = 0;
  CHECK(cudaMemcpy(&value, half, sizeof(value), cudaMemcpyDeviceToHost));
  EXPECT(value == 41, "the kernel stored %d", value);
  CHECK(cudaFree(half));
  CHECK(cudaMalloc(&more, 40 * mebibyte));
  CHECK(cudaFree(more));
  std::printf("quota: refused at 65 MiB, and at 40 and 40\n");
  return Passed();
}
