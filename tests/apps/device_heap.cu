// malloc, free, new and delete in kernels: pieces do not overlap, stay until they are given back, and are not endless.
#include <vector>

#include "check.h"

struct List {
  int value;
  List* next;
};

__global__ void Build(List** heads, int length) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  List* head = nullptr;
  for (int k = 0; k < length; ++k) {
    auto* made = static_cast<List*>(malloc(sizeof(List)));
    if (made == nullptr) break;
    *made = {i * length + k, head};
    head = made;
  }
  heads[i] = head;
}
// In a later kernel: what it finds, and then all is given back.
__global__ void Sum(List** heads, int* sums) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  int sum = 0;
  for (List* at = heads[i]; at != nullptr;) {
    sum += at->value;
    List* next = at->next;
    free(at);
    at = next;
  }
  sums[i] = sum;
}
__global__ void TooMuch(int* out) {
  void* all = malloc(size_t{1} << 40);
  out[0] = all == nullptr;
  free(all);
  auto* some = new int[100];
  for (int i = 0; i < 100; ++i) some[i] = i;
  out[1] = some[99] + some[1];
  delete[] some;
}

int main() {
  constexpr int kThreads = 512, kLength = 10;
  List** heads = nullptr;
  int* sums = nullptr;
  std::vector<int> host(kThreads);
  CHECK(cudaMalloc(&heads, kThreads * sizeof(List*)));
  CHECK(cudaMalloc(&sums, kThreads * sizeof(int)));
  for (int round = 0; round < 30; ++round) {  // more than there is room for at a time
    Build<<<4, kThreads / 4>>>(heads, kLength);
    Sum<<<4, kThreads / 4>>>(heads, sums);
    CHECK(cudaGetLastError());
    CHECK(cudaMemcpy(host.data(), sums, kThreads * sizeof(int), cudaMemcpyDeviceToHost));
    for (int i = 0; i < kThreads; ++i) {
      const int expected = i * kLength * kLength + kLength * (kLength - 1) / 2;
      EXPECT(host[i] == expected, "round %d: the list of thread %d sums up to %d, not %d", round, i, host[i], expected);
    }
  }
  TooMuch<<<1, 1>>>(sums);
  CHECK(cudaMemcpy(host.data(), sums, 2 * sizeof(int), cudaMemcpyDeviceToHost));
  EXPECT(host[0] == 1, "malloc of a terabyte gave something");
  EXPECT(host[1] == 100, "what new[] gave holds %d", host[1]);
  std::printf("device_heap: lists of %d threads, and no more than there is\n", kThreads);
  return Passed();
}
