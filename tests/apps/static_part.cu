// A library with kernels and a static CUDA runtime of its own: static_needed is linked to it, static_opened opens it.
// Its runtime and the program's are two, and both are on one device.
#include "check.h"

__device__ int calls = 0;
__global__ void Add(int* out) {
  *out += 1000;
  calls += 1;
}

// A call from a constructor, before anything else of the library runs.
static int devices_at_load = -1;
__attribute__((constructor)) static void Begin() {
  if (cudaGetDeviceCount(&devices_at_load) != cudaSuccess) devices_at_load = -1;
}
extern "C" int DevicesAtLoad() { return devices_at_load; }

// Adds 1000 to `*out` on the device, in stream order; how many times it has done so since it was loaded.
extern "C" int AddThousand(int* out, cudaStream_t stream) {
  int so_far = 0;
  Add<<<1, 1, 0, stream>>>(out);
  CHECK(cudaGetLastError());
  CHECK(cudaMemcpyFromSymbolAsync(&so_far, calls, sizeof(so_far), 0, cudaMemcpyDeviceToHost, stream));
  CHECK(cudaStreamSynchronize(stream));
  return so_far;
}

// Memory and a stream that the program then uses with its own runtime.
extern "C" int* MakeInt() {
  int* made = nullptr;
  CHECK(cudaMalloc(&made, sizeof(int)));
  CHECK(cudaMemset(made, 0, sizeof(int)));
  return made;
}
extern "C" cudaStream_t MakeStream() {
  cudaStream_t stream = nullptr;
  CHECK(cudaStreamCreate(&stream));
  return stream;
}
