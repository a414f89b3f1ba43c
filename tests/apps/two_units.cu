// A program of two translation units, each with its own fatbin, and names that both of them use for their own.
#include "check.h"

int OtherUnit(int* device);  // two_units_other.cu

namespace {
__device__ int bias = 1;
__global__ void Apply(int* out) { *out = *out * 10 + bias; }
}  // namespace

int main() {
  int* device = nullptr;
  int value = 0;
  CHECK(cudaMalloc(&device, sizeof(int)));
  CHECK(cudaMemset(device, 0, sizeof(int)));
  Apply<<<1, 1>>>(device);
  CHECK(cudaGetLastError());
  value = OtherUnit(device);
  EXPECT(value == 12, "after the other unit's kernel: %d, not 12", value);
  value = 3;
  CHECK(cudaMemcpyToSymbol(bias, &value, sizeof(value)));  // this unit's own
  Apply<<<1, 1>>>(device);
  CHECK(cudaMemcpy(&value, device, sizeof(value), cudaMemcpyDeviceToHost));
  EXPECT(value == 123, "after this unit's kernel: %d, not 123", value);
  value = OtherUnit(device);
  EXPECT(value == 1232, "the other unit's variable changed: %d, not 1232", value);
  CHECK(cudaFree(device));
  std::printf("two_units: two fatbins in one program\n");
  return Passed();
}
