// Built with -rdc=true: device code that nvcc linked. A server that cannot run it says so at the launch; the program
// goes on.
#include "check.h"

__global__ void Store(int* out) { *out = 1; }

int main() {
  int* device = nullptr;
  int value = 5;
  CHECK(cudaMalloc(&device, sizeof(int)));
  CHECK(cudaMemcpy(device, &value, sizeof(value), cudaMemcpyHostToDevice));
  for (int i = 0; i < 2; ++i) {
    Store<<<1, 1>>>(device);
    CHECK_ERROR(cudaGetLastError(), cudaErrorNoKernelImageForDevice);
  }
  CHECK(cudaDeviceSynchronize());
  std::printf("relocatable: refused with error 209\n");
  return Passed();
}
