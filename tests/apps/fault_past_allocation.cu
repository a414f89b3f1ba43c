// A kernel that reads far behind an allocation, where nothing is.
#include "fault.h"

__global__ void Read(const int* words, size_t index, int* out) { *out = words[index]; }

int main() {
  int *words = nullptr, *out = nullptr;
  CHECK(cudaMalloc(&words, 1024 * sizeof(int)));
  CHECK(cudaMalloc(&out, sizeof(int)));
  CHECK(cudaMemset(words, 0, 1024 * sizeof(int)));
  Read<<<1, 1>>>(words, 1023, out);
  CHECK(cudaDeviceSynchronize());
  Read<<<1, 1>>>(words, size_t{1} << 40, out);
  CHECK_ERROR(cudaDeviceSynchronize(), cudaErrorIllegalAddress);
  ExpectSticky(cudaErrorIllegalAddress, out);
  std::printf("fault_past_allocation: reported at the synchronise, and sticky\n");
  return Passed();
}
