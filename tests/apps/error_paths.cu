// Mistakes that CUDA reports at once, the last error they leave, and that the program goes on afterwards.
#include <cstring>
#include <vector>

#include "check.h"

__global__ void Store(int* out, int value) { *out = value; }

__global__ void UseShared(int* out) {
  extern __shared__ int shared[];
  shared[threadIdx.x] = threadIdx.x;
  __syncthreads();
  if (threadIdx.x == 0) *out = shared[blockDim.x - 1];
}

static int* device_value = nullptr;

// The device still works: store a value and read it.
static void StillWorks(int value) {
  int got = 0;
  Store<<<1, 1>>>(device_value, value);
  CHECK(cudaGetLastError());
  CHECK(cudaMemcpy(&got, device_value, sizeof(got), cudaMemcpyDeviceToHost));
  EXPECT(got == value, "after an error the device stored %d, not %d", got, value);
}

static void Geometry() {
  const struct {
    const char* what;
    dim3 grid, block;
  } cases[] = {
      {"an empty grid", dim3(0), dim3(1)},
      {"an empty block", dim3(1), dim3(0)},
      {"2048 threads", dim3(1), dim3(2048)},
      {"33 x 32 threads", dim3(1), dim3(33, 32)},
      {"a depth of 65", dim3(1), dim3(1, 1, 65)},
      {"70,000 blocks in y", dim3(1, 70000), dim3(1)},
      {"70,000 blocks in z", dim3(1, 1, 70000), dim3(1)},
  };
  for (const auto& one : cases) {
    Store<<<one.grid, one.block>>>(device_value, 1);
    const cudaError_t status = cudaGetLastError();
    EXPECT(status == cudaErrorInvalidValue, "%s: %s", one.what, cudaGetErrorName(status));
  }
  CHECK(cudaDeviceSynchronize());
  StillWorks(2);
}

static void SharedMemory() {
  int most = 0, most_with_consent = 0;
  CHECK(cudaDeviceGetAttribute(&most, cudaDevAttrMaxSharedMemoryPerBlock, 0));
  CHECK(cudaDeviceGetAttribute(&most_with_consent, cudaDevAttrMaxSharedMemoryPerBlockOptin, 0));
  UseShared<<<1, 32, most>>>(device_value);
  CHECK(cudaGetLastError());
  CHECK(cudaDeviceSynchronize());
  UseShared<<<1, 32, most_with_consent + 1024>>>(device_value);
  CHECK_ERROR(cudaGetLastError(), cudaErrorInvalidValue);
  CHECK_ERROR(cudaFuncSetAttribute(UseShared, cudaFuncAttributeMaxDynamicSharedMemorySize, most_with_consent + 1024),
              cudaErrorInvalidValue);
  CHECK_ERROR(cudaGetLastError(), cudaErrorInvalidValue);
  StillWorks(3);
}

static void Pointers() {
  std::vector<char> host(4096, 1);
  char *device = nullptr, *kept = nullptr;
  CHECK(cudaMalloc(&device, 4096));
  CHECK(cudaMalloc(&kept, 4096));
  CHECK_ERROR(cudaMemcpy(nullptr, host.data(), 16, cudaMemcpyHostToDevice), cudaErrorInvalidValue);
  CHECK_ERROR(cudaMemcpy(host.data(), nullptr, 16, cudaMemcpyDeviceToHost), cudaErrorInvalidValue);
  CHECK_ERROR(cudaMemcpy(host.data(), kept, 16, static_cast<cudaMemcpyKind>(42)), cudaErrorInvalidMemcpyDirection);
  CHECK(cudaMemcpy(host.data(), kept, 0, cudaMemcpyDeviceToHost));
  CHECK_ERROR(cudaFree(host.data()), cudaErrorInvalidValue);
  CHECK_ERROR(cudaFree(device + 256), cudaErrorInvalidValue);
  CHECK(cudaFree(device));
  CHECK_ERROR(cudaFree(device), cudaErrorInvalidValue);
  CHECK(cudaFree(nullptr));
  CHECK(cudaFree(kept));
  CHECK_ERROR(cudaFreeHost(host.data()), cudaErrorInvalidValue);
  CHECK_ERROR(cudaMalloc(static_cast<void**>(nullptr), 16), cudaErrorInvalidValue);
  void* nothing = host.data();
  CHECK(cudaMalloc(&nothing, 0));
  EXPECT(nothing == nullptr, "no bytes have an address");
  CHECK_ERROR(cudaGetLastError(), cudaErrorInvalidValue);
  StillWorks(4);
}

static void OutOfMemory() {
  size_t available = 0, total = 0;
  CHECK(cudaMemGetInfo(&available, &total));
  void *pointer = nullptr, *second = nullptr;
  CHECK_ERROR(cudaMalloc(&pointer, total + (1u << 20)), cudaErrorMemoryAllocation);
  CHECK_ERROR(cudaMalloc(&pointer, size_t{1} << 60), cudaErrorMemoryAllocation);
  CHECK_ERROR(cudaGetLastError(), cudaErrorMemoryAllocation);
  CHECK_ERROR(cudaGetLastError(), cudaSuccess);
  // What is taken cannot be had again before it is free.
  CHECK(cudaMalloc(&pointer, available / 4 * 3));
  CHECK_ERROR(cudaMalloc(&second, available / 2), cudaErrorMemoryAllocation);
  CHECK(cudaFree(pointer));
  CHECK(cudaMalloc(&second, available / 2));
  CHECK(cudaFree(second));
  CHECK_ERROR(cudaGetLastError(), cudaErrorMemoryAllocation);
  StillWorks(5);
}

static void LastError() {
  int count = 0;
  CHECK(cudaGetDeviceCount(&count));
  CHECK_ERROR(cudaSetDevice(count + 3), cudaErrorInvalidDevice);
  CHECK_ERROR(cudaPeekAtLastError(), cudaErrorInvalidDevice);
  CHECK(cudaDeviceSynchronize());  // a success does not clear it
  CHECK_ERROR(cudaPeekAtLastError(), cudaErrorInvalidDevice);
  CHECK_ERROR(cudaSetDevice(-1), cudaErrorInvalidDevice);
  CHECK_ERROR(cudaGetLastError(), cudaErrorInvalidDevice);
  CHECK_ERROR(cudaGetLastError(), cudaSuccess);
  int device = -1;
  CHECK(cudaGetDevice(&device));
  EXPECT(device == 0, "a failed cudaSetDevice changed the device to %d", device);
  CHECK_ERROR(cudaGetDevice(nullptr), cudaErrorInvalidValue);
  CHECK_ERROR(cudaStreamCreate(nullptr), cudaErrorInvalidValue);
  CHECK_ERROR(cudaEventCreate(static_cast<cudaEvent_t*>(nullptr)), cudaErrorInvalidValue);
  CHECK_ERROR(cudaGetDeviceProperties(nullptr, 0), cudaErrorInvalidValue);
  cudaDeviceProp properties;
  CHECK_ERROR(cudaGetDeviceProperties(&properties, count), cudaErrorInvalidDevice);
  CHECK_ERROR(cudaGetLastError(), cudaErrorInvalidDevice);
  EXPECT(std::strcmp(cudaGetErrorName(cudaErrorInvalidValue), "cudaErrorInvalidValue") == 0, "the name of error 1");
  EXPECT(std::strcmp(cudaGetErrorString(cudaErrorInvalidValue), "invalid argument") == 0, "the text of error 1");
  EXPECT(std::strcmp(cudaGetErrorString(cudaSuccess), "no error") == 0, "the text of success");
  StillWorks(6);
}

// After a reset the device serves what is allocated from then on. What was there before is CUDA's to take or to leave.
static void Reset() {
  Store<<<1, 1>>>(device_value, 7);
  CHECK(cudaGetLastError());
  CHECK(cudaDeviceReset());
  CHECK(cudaMalloc(&device_value, sizeof(int)));
  StillWorks(8);
}

int main() {
  CHECK(cudaMalloc(&device_value, sizeof(int)));
  Geometry();
  SharedMemory();
  Pointers();
  OutOfMemory();
  LastError();
  Reset();
  CHECK(cudaFree(device_value));
  std::printf("error_paths: geometry, shared memory, pointers, memory, last error, reset\n");
  return Passed();
}
