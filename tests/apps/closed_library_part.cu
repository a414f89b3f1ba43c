// The library that closed_library opens and closes.
#include "check.h"

__device__ int calls = 0;
__managed__ int total = 10;
__global__ void Add(int* out) {
  *out += 100;
  calls += 1;
  total += 1;
}

// Adds 100 to `*out` on the device; how many times it has done so since it was loaded.
extern "C" int CountUp(int* out) {
  int so_far = 0;
  const int before = total;
  total += 1000;
  Add<<<1, 1>>>(out);
  CHECK(cudaGetLastError());
  CHECK(cudaMemcpyFromSymbol(&so_far, calls, sizeof(so_far)));
  CHECK(cudaDeviceSynchronize());
  EXPECT(before == 10 + 1001 * (so_far - 1) && total == before + 1001, "call %d: %d became %d", so_far, before, total);
  return so_far;
}

// The kernel, as the runtime knows it.
extern "C" const void* Function() { return reinterpret_cast<const void*>(Add); }
