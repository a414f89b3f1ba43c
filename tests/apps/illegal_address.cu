// A kernel that writes where no memory is: the launch succeeds, the next synchronise reports it, and every later call
// of this process does, because the context is lost.
#include "check.h"

__global__ void WriteTo(int* where) { where[threadIdx.x] = 1; }

int main() {
  int* good = nullptr;
  CHECK(cudaMalloc(&good, 32 * sizeof(int)));
  WriteTo<<<1, 32>>>(good);
  CHECK(cudaDeviceSynchronize());
  int* bad = reinterpret_cast<int*>(0x40);
  void* arguments[] = {&bad};
  CHECK(cudaLaunchKernel(WriteTo, dim3(1), dim3(32), arguments, 0, nullptr));
  CHECK_ERROR(cudaDeviceSynchronize(), cudaErrorIllegalAddress);
  CHECK_ERROR(cudaGetLastError(), cudaErrorIllegalAddress);
  int* another = nullptr;
  int value = 0;
  CHECK_ERROR(cudaDeviceSynchronize(), cudaErrorIllegalAddress);
  CHECK_ERROR(cudaMalloc(&another, 64), cudaErrorIllegalAddress);
  CHECK_ERROR(cudaMemcpy(&value, good, sizeof(value), cudaMemcpyDeviceToHost), cudaErrorIllegalAddress);
  WriteTo<<<1, 32>>>(good);
  CHECK_ERROR(cudaGetLastError(), cudaErrorIllegalAddress);
  std::printf("illegal_address: reported at the synchronise, and sticky\n");
  return Passed();
}
