// Fifty kernels in ten shared objects, each with variables of its own: linked, so that all are registered before
// main(), used from several threads in another order than they were registered.
#include <thread>
#include <vector>

#include "check.h"

constexpr int kObjects = 10;
constexpr int kKernels = 5;

// Object N adds N * 10 + K to *out by its kernel K, and to a variable of its own, whose value Total() returns.
using LaunchFunction = void(int kernel, int* out, cudaStream_t stream);
using TotalFunction = int();
LaunchFunction Launch0, Launch1, Launch2, Launch3, Launch4, Launch5, Launch6, Launch7, Launch8, Launch9;
TotalFunction Total0, Total1, Total2, Total3, Total4, Total5, Total6, Total7, Total8, Total9;
#define LIST(NAME) {NAME##0, NAME##1, NAME##2, NAME##3, NAME##4, NAME##5, NAME##6, NAME##7, NAME##8, NAME##9}

int main() {
  void (*const launch[kObjects])(int, int*, cudaStream_t) = LIST(Launch);
  int (*const total[kObjects])() = LIST(Total);
  int* sums = nullptr;
  CHECK(cudaMalloc(&sums, kObjects * sizeof(int)));
  CHECK(cudaMemset(sums, 0, kObjects * sizeof(int)));
  CHECK(cudaDeviceSynchronize());
  constexpr int kThreads = 4;
  constexpr int kRounds = 8;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([=] {
      cudaStream_t stream;
      CHECK(cudaStreamCreate(&stream));
      for (int i = 0; i < kRounds * kObjects * kKernels; ++i) {
        // 7 and 50 have no common divisor: each kernel in turn, the objects mixed.
        const int which = (i * 7 + t) % (kObjects * kKernels);
        launch[which / kKernels](which % kKernels, sums + which / kKernels, stream);
      }
      CHECK(cudaStreamSynchronize(stream));
      CHECK(cudaStreamDestroy(stream));
    });
  }
  for (std::thread& thread : threads) thread.join();
  int got[kObjects];
  CHECK(cudaMemcpy(got, sums, sizeof(got), cudaMemcpyDeviceToHost));
  for (int object = 0; object < kObjects; ++object) {
    int expected = 0;
    for (int kernel = 0; kernel < kKernels; ++kernel) expected += kThreads * kRounds * (object * 10 + kernel);
    EXPECT(got[object] == expected, "object %d: %d, expected %d", object, got[object], expected);
    EXPECT(total[object]() == expected, "object %d's variable: %d, expected %d", object, total[object](), expected);
  }
  CHECK(cudaFree(sums));
  return Passed();
}
