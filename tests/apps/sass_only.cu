// Built for sm_80 without PTX. A device that needs PTX reports just that, at the launch; the program itself goes on.
#include "check.h"

__global__ void Store(int* out) { *out = 1; }

int main() {
  int* device = nullptr;
  int value = 5;
  CHECK(cudaMalloc(&device, sizeof(int)));
  CHECK(cudaMemcpy(device, &value, sizeof(value), cudaMemcpyHostToDevice));
  Store<<<1, 1>>>(device);
  CHECK_ERROR(cudaGetLastError(), cudaErrorNoKernelImageForDevice);
  value = 0;
  CHECK(cudaMemcpy(&value, device, sizeof(value), cudaMemcpyDeviceToHost));
  EXPECT(value == 5, "the kernel ran: %d", value);
  CHECK(cudaFree(device));
  std::printf("sass_only: refused with error 209\n");
  return Passed();
}
