// __device__ and __constant__ variables: copies by symbol with offsets, addresses and sizes, initialisers, pointers
// kept in device structs.
#include <cstring>

#include "check.h"

__device__ int counter = 17;
__device__ float table[64];
__constant__ int scale[4] = {1, 10, 100, 1000};
__device__ int* target = &counter;  // an address that the loader fills in

struct Node {
  int value;
  Node* next;
};
__device__ Node* head;

__global__ void Use(int* out) {
  *target += 5;
  for (int i = 0; i < 4; ++i) out[i] = scale[i];
  out[4] = static_cast<int>(table[63]);
}

__global__ void Walk(int* sum) {
  int total = 0;
  for (const Node* node = head; node != nullptr; node = node->next) total = total * 10 + node->value;
  *sum = total;
}

int main() {
  int value = 0;
  CHECK(cudaMemcpyFromSymbol(&value, counter, sizeof(value)));
  EXPECT(value == 17, "the initial value is %d, not 17", value);

  size_t bytes = 0;
  CHECK(cudaGetSymbolSize(&bytes, table));
  EXPECT(bytes == sizeof(float) * 64, "table has %zu bytes", bytes);
  float* table_address = nullptr;
  CHECK(cudaGetSymbolAddress(reinterpret_cast<void**>(&table_address), table));
  const float last = 63.0f;
  CHECK(cudaMemset(table_address, 0, bytes));
  CHECK(cudaMemcpyToSymbol(table, &last, sizeof(last), 63 * sizeof(float)));
  float through_address = 0.0f;
  CHECK(cudaMemcpy(&through_address, table_address + 63, sizeof(float), cudaMemcpyDeviceToHost));
  EXPECT(through_address == 63.0f, "by address the last element is %g", through_address);

  const int middle[2] = {-2, -3};
  CHECK(cudaMemcpyToSymbol(scale, middle, sizeof(middle), sizeof(int)));
  int* device = nullptr;
  int out[5] = {};
  CHECK(cudaMalloc(&device, sizeof(out)));
  Use<<<1, 1>>>(device);
  CHECK(cudaGetLastError());
  CHECK(cudaMemcpy(out, device, sizeof(out), cudaMemcpyDeviceToHost));
  const int expected[5] = {1, -2, -3, 1000, 63};
  EXPECT(std::memcmp(out, expected, sizeof(out)) == 0, "the kernel saw %d %d %d %d %d", out[0], out[1], out[2], out[3],
         out[4]);
  cudaStream_t stream;
  CHECK(cudaStreamCreate(&stream));
  CHECK(cudaMemcpyFromSymbolAsync(&value, counter, sizeof(value), 0, cudaMemcpyDeviceToHost, stream));
  CHECK(cudaStreamSynchronize(stream));
  EXPECT(value == 22, "the kernel made the counter %d, not 22", value);
  value = 40;
  CHECK(cudaMemcpyToSymbolAsync(counter, &value, sizeof(value), 0, cudaMemcpyHostToDevice, stream));
  CHECK(cudaStreamSynchronize(stream));
  value = 0;
  CHECK(cudaMemcpyFromSymbol(&value, counter, sizeof(value)));
  EXPECT(value == 40, "the counter is %d, not 40", value);

  // A list built by the host out of device addresses.
  Node* nodes = nullptr;
  CHECK(cudaMalloc(&nodes, 3 * sizeof(Node)));
  const Node list[3] = {{1, nodes + 1}, {2, nodes + 2}, {3, nullptr}};
  CHECK(cudaMemcpy(nodes, list, sizeof(list), cudaMemcpyHostToDevice));
  CHECK(cudaMemcpyToSymbol(head, &nodes, sizeof(nodes)));
  Walk<<<1, 1>>>(device);
  CHECK(cudaMemcpy(out, device, sizeof(int), cudaMemcpyDeviceToHost));
  EXPECT(out[0] == 123, "the list reads %d, not 123", out[0]);

  // What is no symbol, and what would pass its end.
  int no_symbol = 0;
  void* nowhere = nullptr;
  CHECK_ERROR(cudaGetSymbolAddress(&nowhere, no_symbol), cudaErrorInvalidSymbol);
  CHECK_ERROR(cudaMemcpyToSymbol(scale, expected, 2 * sizeof(int), 3 * sizeof(int)), cudaErrorInvalidValue);
  CHECK(cudaStreamDestroy(stream));
  CHECK(cudaFree(nodes));
  CHECK(cudaFree(device));
  std::printf("symbols: four variables and a list\n");
  return Passed();
}
