// __managed__ variables: initial values before any call, writes of both sides, addresses that agree, and symbols.
#include <cstring>

#include "check.h"

__managed__ int counter = 41;
__managed__ double table[500];
__device__ __managed__ struct {
  int from, to;
  const int* where;
} chain = {3, 4, nullptr};
__managed__ int never_named_in_a_kernel = 17;
static __managed__ unsigned char letters[6] = {'h', 'e', 'l', 'l', 'o', 0};

__global__ void Count(int times) { atomicAdd(&counter, times); }
__global__ void Fill(double first) {
  table[threadIdx.x] = first + threadIdx.x;
  if (threadIdx.x == 0) {
    chain.to = chain.from * 2;
    chain.where = &counter;
    letters[0] = 'j';
  }
}
__global__ void AddresseeOf(int** out) { *out = &counter; }

int main() {
  // The first touch of the program: no CUDA call came before.
  EXPECT(counter == 41, "the initial value is %d", counter);
  EXPECT(std::strcmp(reinterpret_cast<char*>(letters), "hello") == 0, "the letters are %s", letters);
  EXPECT(table[7] == 0.0, "not zero at first");
  EXPECT(never_named_in_a_kernel == 17, "it is %d", never_named_in_a_kernel);
  counter = 100;
  Count<<<2, 32>>>(3);
  CHECK(cudaDeviceSynchronize());
  EXPECT(counter == 100 + 64 * 3, "the kernel made %d", counter);
  chain.from = 21;
  Fill<<<1, 500>>>(0.5);
  CHECK(cudaDeviceSynchronize());
  for (int i = 0; i < 500; ++i) EXPECT(table[i] == 0.5 + i, "table[%d] is %f", i, table[i]);
  EXPECT(chain.to == 42 && chain.where == &counter, "chain is %d, %p for %p", chain.to,
         static_cast<const void*>(chain.where), static_cast<void*>(&counter));
  EXPECT(letters[0] == 'j', "the letters are %s", letters);

  int** out = nullptr;
  CHECK(cudaMallocManaged(&out, sizeof(int*)));
  AddresseeOf<<<1, 1>>>(out);
  CHECK(cudaDeviceSynchronize());
  EXPECT(*out == &counter, "the device has it at %p", static_cast<void*>(*out));
  CHECK(cudaFree(out));

  cudaPointerAttributes attributes{};
  CHECK(cudaPointerGetAttributes(&attributes, &counter));
  EXPECT(attributes.type == cudaMemoryTypeManaged, "it is of type %d", attributes.type);
  const int value = 7;
  CHECK(cudaMemcpyToSymbol(counter, &value, sizeof(value)));
  EXPECT(counter == 7, "behind a copy to the symbol it is %d", counter);
  int read = 0;
  counter = 9;
  CHECK(cudaMemcpyFromSymbol(&read, counter, sizeof(read)));
  EXPECT(read == 9, "from the symbol comes %d", read);
  void* address = nullptr;
  std::size_t bytes = 0;
  CHECK(cudaGetSymbolAddress(&address, table));
  CHECK(cudaGetSymbolSize(&bytes, table));
  EXPECT(address == table && bytes == sizeof(table), "the symbol is %zu bytes at %p", bytes, address);
  // Copies, fills and graphs take its address as they take any.
  const int other = 70;
  CHECK(cudaMemcpy(&counter, &other, sizeof(other), cudaMemcpyDefault));
  EXPECT(counter == 70, "behind a copy it is %d", counter);
  CHECK(cudaMemset(letters, 'x', 4));
  CHECK(cudaDeviceSynchronize());
  EXPECT(std::strcmp(reinterpret_cast<char*>(letters), "xxxxo") == 0, "behind a fill the letters are %s", letters);
  cudaStream_t stream = nullptr;
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t exec = nullptr;
  CHECK(cudaStreamCreate(&stream));
  CHECK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
  Count<<<1, 8, 0, stream>>>(2);
  CHECK(cudaMemcpyAsync(&table[3], &table[2], sizeof(double), cudaMemcpyDefault, stream));
  CHECK(cudaStreamEndCapture(stream, &graph));
  CHECK(cudaGraphInstantiate(&exec, graph, 0));
  for (int round = 1; round <= 3; ++round) {
    counter = 1000 * round;
    table[2] = -round;
    CHECK(cudaGraphLaunch(exec, stream));
    CHECK(cudaStreamSynchronize(stream));
    EXPECT(counter == 1000 * round + 16, "launch %d made %d", round, counter);
    EXPECT(table[3] == -round, "launch %d copied %f", round, table[3]);
  }
  CHECK(cudaGraphExecDestroy(exec));
  CHECK(cudaGraphDestroy(graph));
  CHECK(cudaStreamDestroy(stream));
  std::printf("managed_variables: one variable for both sides\n");
  return Passed();
}
