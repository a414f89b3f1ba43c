// A program that is linked to a library with a static CUDA runtime: memory and streams of the one are used by the
// other, and each has its own kernels and variables of the same names.
#include "check.h"

extern "C" int DevicesAtLoad();
extern "C" int AddThousand(int* out, cudaStream_t stream);
extern "C" int* MakeInt();
extern "C" cudaStream_t MakeStream();

__device__ int calls = 0;
__global__ void Add(int* out) {
  *out += 1;
  calls += 1;
}

int main() {
  int devices = 0;
  CHECK(cudaGetDeviceCount(&devices));
  EXPECT(DevicesAtLoad() == devices, "the library's constructor saw %d devices", DevicesAtLoad());
  // The library's memory and stream, used by both.
  int* sum = MakeInt();
  const cudaStream_t stream = MakeStream();
  constexpr int kRounds = 10;
  for (int round = 0; round < kRounds; ++round) {
    Add<<<1, 1, 0, stream>>>(sum);
    CHECK(cudaGetLastError());
    const int so_far = AddThousand(sum, stream);
    EXPECT(so_far == round + 1, "round %d: the library counts %d calls", round, so_far);
  }
  int value = 0, own = 0;
  CHECK(cudaMemcpyAsync(&value, sum, sizeof(value), cudaMemcpyDeviceToHost, stream));
  CHECK(cudaStreamSynchronize(stream));
  EXPECT(value == kRounds * 1001, "%d, not %d", value, kRounds * 1001);
  CHECK(cudaMemcpyFromSymbol(&own, calls, sizeof(own)));
  EXPECT(own == kRounds, "the program counts %d calls", own);
  CHECK(cudaStreamDestroy(stream));
  CHECK(cudaFree(sum));
  // The program's memory, used by the library.
  CHECK(cudaMalloc(&sum, sizeof(int)));
  CHECK(cudaMemset(sum, 0, sizeof(int)));
  EXPECT(AddThousand(sum, nullptr) == kRounds + 1, "the library lost its count");
  CHECK(cudaMemcpy(&value, sum, sizeof(value), cudaMemcpyDeviceToHost));
  EXPECT(value == 1000, "%d, not 1000", value);
  CHECK(cudaFree(sum));
  std::printf("static_needed: %d rounds\n", kRounds);
  return Passed();
}
