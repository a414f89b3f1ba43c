// One of the shared objects of many_objects; PART is its number.
#include "check.h"

#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)

namespace {
__device__ int total = 0;
template <int K>
__global__ void Add(int* out) {
  atomicAdd(out, PART * 10 + K);
  atomicAdd(&total, PART * 10 + K);
}
}  // namespace

void JOIN(Launch, PART)(int kernel, int* out, cudaStream_t stream) {
  if (kernel == 0) Add<0><<<1, 1, 0, stream>>>(out);
  if (kernel == 1) Add<1><<<1, 1, 0, stream>>>(out);
  if (kernel == 2) Add<2><<<1, 1, 0, stream>>>(out);
  if (kernel == 3) Add<3><<<1, 1, 0, stream>>>(out);
  if (kernel == 4) Add<4><<<1, 1, 0, stream>>>(out);
  CHECK(cudaGetLastError());
}
int JOIN(Total, PART)() {
  int value = 0;
  CHECK(cudaMemcpyFromSymbol(&value, total, sizeof(value)));
  return value;
}
