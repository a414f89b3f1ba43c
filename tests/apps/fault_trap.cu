// A kernel that stops itself: __trap().
#include "fault.h"

__global__ void TrapIf(const int* values) {
  if (values[threadIdx.x] != 0) __trap();
}

int main() {
  int* values = nullptr;
  CHECK(cudaMalloc(&values, 32 * sizeof(int)));
  CHECK(cudaMemset(values, 0, 32 * sizeof(int)));
  TrapIf<<<1, 32>>>(values);
  CHECK(cudaDeviceSynchronize());
  CHECK(cudaMemset(values, 1, sizeof(int)));
  TrapIf<<<1, 32>>>(values);
  const cudaError_t status = cudaDeviceSynchronize();
  // Which of the two it is has changed between generations of devices.
  EXPECT(status == cudaErrorLaunchFailure || status == cudaErrorIllegalInstruction, "a trap is %s",
         cudaGetErrorName(status));
  ExpectSticky(status, values);
  std::printf("fault_trap: reported at the synchronise, and sticky\n");
  return Passed();
}
