// The program's own memory, registered: asynchronous copies both ways, kernels that work in it, errors.
#include <sys/mman.h>

#include <cstring>
#include <vector>

#include "check.h"

__global__ void AddTo(int* data, int n, int amount) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) data[i] += amount;
}

static void Copies() {
  const int n = 100000;
  std::vector<int> memory(n);
  int* device = nullptr;
  cudaStream_t stream;
  CHECK(cudaStreamCreate(&stream));
  CHECK(cudaMalloc(&device, n * sizeof(int)));
  CHECK(cudaHostRegister(memory.data(), n * sizeof(int), cudaHostRegisterDefault));
  for (int round = 1; round <= 3; ++round) {
    for (int i = 0; i < n; ++i) memory[i] = i * round;
    CHECK(cudaMemcpyAsync(device, memory.data(), n * sizeof(int), cudaMemcpyHostToDevice, stream));
    AddTo<<<(n + 255) / 256, 256, 0, stream>>>(device, n, 5);
    CHECK(cudaMemcpyAsync(memory.data(), device, n * sizeof(int), cudaMemcpyDeviceToHost, stream));
    CHECK(cudaStreamSynchronize(stream));
    for (int i = 0; i < n; ++i) EXPECT(memory[i] == i * round + 5, "round %d: element %d is %d", round, i, memory[i]);
  }
  CHECK(cudaHostUnregister(memory.data()));
  CHECK(cudaFree(device));
  CHECK(cudaStreamDestroy(stream));
}

static void InPlace() {
  const int n = 3000;
  std::vector<int> memory(n + 100, 1);
  int* part = memory.data() + 33;  // it begins where no page does
  CHECK(cudaHostRegister(part, n * sizeof(int), cudaHostRegisterMapped));
  int* on_device = nullptr;
  CHECK(cudaHostGetDevicePointer(&on_device, part, 0));
  for (int round = 1; round <= 3; ++round) {
    AddTo<<<(n + 255) / 256, 256>>>(on_device, n, 10);
    CHECK(cudaDeviceSynchronize());
    for (int i = 0; i < n; ++i) EXPECT(part[i] == 1 + 11 * round - 1, "element %d is %d", i, part[i]);
    for (int i = 0; i < n; ++i) ++part[i];
  }
  EXPECT(part[-1] == 1 && part[n] == 1, "what lies beside it has changed: %d %d", part[-1], part[n]);
  cudaPointerAttributes attributes{};
  CHECK(cudaPointerGetAttributes(&attributes, part + 5));
  EXPECT(attributes.type == cudaMemoryTypeHost && attributes.hostPointer == part + 5 &&
             attributes.devicePointer == on_device + 5,
         "of type %d", attributes.type);
  // Registered memory works for copies as device memory by its device address.
  int value = 0;
  CHECK(cudaMemcpy(&value, on_device + 7, sizeof(value), cudaMemcpyDefault));
  EXPECT(value == part[7], "by its device address it is %d, not %d", value, part[7]);
  CHECK(cudaHostUnregister(part));
  CHECK(cudaPointerGetAttributes(&attributes, part));
  EXPECT(attributes.type == cudaMemoryTypeUnregistered, "unregistered it is of type %d", attributes.type);
}

static void Errors() {
  std::vector<int> memory(5000);
  int* at = memory.data();
  CHECK_ERROR(cudaHostUnregister(at), cudaErrorHostMemoryNotRegistered);
  CHECK(cudaHostRegister(at, 4096, cudaHostRegisterPortable));
  CHECK_ERROR(cudaHostRegister(at, 4096, cudaHostRegisterDefault), cudaErrorHostMemoryAlreadyRegistered);
  CHECK_ERROR(cudaHostRegister(at, 0, cudaHostRegisterDefault), cudaErrorInvalidValue);
  CHECK_ERROR(cudaHostRegister(nullptr, 4096, cudaHostRegisterDefault), cudaErrorInvalidValue);
  CHECK_ERROR(cudaHostRegister(at, 4096, 0x100), cudaErrorInvalidValue);
  CHECK(cudaHostUnregister(at));
  CHECK_ERROR(cudaHostUnregister(at), cudaErrorHostMemoryNotRegistered);
  CHECK(cudaHostRegister(at, 4096, cudaHostRegisterDefault));
  CHECK(cudaHostUnregister(at));
  void* gone = mmap(nullptr, 1 << 16, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  munmap(gone, 1 << 16);
  CHECK_ERROR(cudaHostRegister(gone, 1 << 16, cudaHostRegisterDefault), cudaErrorInvalidValue);
  cudaGetLastError();
}

int main() {
  Copies();
  InPlace();
  Errors();
  std::printf("host_register: the program's own memory\n");
  return Passed();
}
