// A kernel that launches a kernel (dynamic parallelism): a software GPU does not do that and says so, by name, when the
// launching kernel is launched; the program's other kernels run.
#include "check.h"

__global__ void Child(int* out) { *out += 1; }
__global__ void Parent(int* out) { Child<<<1, 1>>>(out); }

int main() {
  int* device = nullptr;
  int value = 5;
  CHECK(cudaMalloc(&device, sizeof(int)));
  CHECK(cudaMemcpy(device, &value, sizeof(value), cudaMemcpyHostToDevice));
  Child<<<1, 1>>>(device);
  CHECK(cudaMemcpy(&value, device, sizeof(value), cudaMemcpyDeviceToHost));
  EXPECT(value == 6, "the child alone left %d", value);
  Parent<<<1, 1>>>(device);
  CHECK_ERROR(cudaDeviceSynchronize(), cudaErrorNotSupported);
  return Passed();
}
