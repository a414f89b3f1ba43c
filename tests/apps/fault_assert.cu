// An assertion that fails in a kernel: told on stderr, thread by thread, and an error of the next synchronise.
#include <cassert>

#include "fault.h"

__global__ void Positive(const int* values) { assert(values[threadIdx.x] > 0); }

int main() {
  int* values = nullptr;
  int host[64];
  for (int i = 0; i < 64; ++i) host[i] = 1;
  CHECK(cudaMalloc(&values, sizeof(host)));
  CHECK(cudaMemcpy(values, host, sizeof(host), cudaMemcpyHostToDevice));
  Positive<<<2, 64>>>(values);
  CHECK(cudaDeviceSynchronize());
  host[40] = 0;
  host[41] = -1;
  CHECK(cudaMemcpy(values, host, sizeof(host), cudaMemcpyHostToDevice));
  Positive<<<1, 64>>>(values);
  CHECK_ERROR(cudaDeviceSynchronize(), cudaErrorAssert);
  ExpectSticky(cudaErrorAssert, values);
  std::printf("fault_assert: reported at the synchronise, and sticky\n");
  return Passed();
}
