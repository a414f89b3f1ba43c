// Handles, flags, directions and sizes that CUDA refuses, each with its error, and what it accepts though it looks odd.
#include <cstring>
#include <vector>

#include "check.h"

__global__ void Store(int* out, int value) { *out = value; }

static int* device_value = nullptr;
static const size_t kHuge = ~size_t{0} - 100;

static void Streams() {
  cudaStream_t stream = nullptr;
  unsigned flags = 99;
  int priority = 99, least = 0, greatest = 0, device = 99;
  CHECK_ERROR(cudaStreamCreateWithFlags(&stream, 7), cudaErrorInvalidValue);
  CHECK_ERROR(cudaStreamDestroy(nullptr), cudaErrorInvalidResourceHandle);
  CHECK_ERROR(cudaStreamDestroy(cudaStreamPerThread), cudaErrorInvalidResourceHandle);
  CHECK(cudaStreamQuery(nullptr));
  CHECK(cudaStreamSynchronize(nullptr));
  CHECK(cudaDeviceGetStreamPriorityRange(&least, &greatest));
  CHECK(cudaStreamCreateWithPriority(&stream, cudaStreamNonBlocking, greatest - 100));  // moved into the range
  CHECK(cudaStreamGetPriority(stream, &priority));
  CHECK(cudaStreamGetFlags(stream, &flags));
  EXPECT(priority == greatest && flags == cudaStreamNonBlocking, "priority %d, flags %u", priority, flags);
  CHECK(cudaStreamGetDevice(stream, &device));
  EXPECT(device == 0, "the stream is of device %d", device);
  // Destroyed with work pending: the work is done all the same.
  CHECK(cudaMemset(device_value, 0, sizeof(int)));
  CHECK(cudaDeviceSynchronize());
  Store<<<1, 1, 0, stream>>>(device_value, 12);
  CHECK(cudaStreamDestroy(stream));
  CHECK(cudaDeviceSynchronize());
  int got = 0;
  CHECK(cudaMemcpy(&got, device_value, sizeof(got), cudaMemcpyDeviceToHost));
  EXPECT(got == 12, "the destroyed stream's kernel left %d", got);
  CHECK_ERROR(cudaGetLastError(), cudaErrorInvalidResourceHandle);
}

static void Events() {
  cudaEvent_t start, end, untimed;
  float milliseconds = -1;
  CHECK_ERROR(cudaEventCreateWithFlags(&start, 0x80), cudaErrorInvalidValue);
  CHECK_ERROR(cudaEventCreateWithFlags(&start, cudaEventInterprocess), cudaErrorInvalidValue);
  CHECK(cudaEventCreateWithFlags(&start, cudaEventBlockingSync));
  CHECK(cudaEventCreate(&end));
  CHECK(cudaEventCreateWithFlags(&untimed, cudaEventDisableTiming));
  // Never recorded: complete, but without a time.
  CHECK(cudaEventQuery(start));
  CHECK(cudaEventSynchronize(start));
  CHECK(cudaStreamWaitEvent(nullptr, start, 0));
  CHECK_ERROR(cudaEventElapsedTime(&milliseconds, start, end), cudaErrorInvalidResourceHandle);
  CHECK(cudaEventRecord(start));
  CHECK(cudaEventRecord(untimed));
  CHECK(cudaEventRecord(end));
  CHECK(cudaEventSynchronize(end));
  CHECK_ERROR(cudaEventElapsedTime(nullptr, start, end), cudaErrorInvalidValue);
  CHECK_ERROR(cudaEventElapsedTime(&milliseconds, start, untimed), cudaErrorInvalidResourceHandle);
  CHECK(cudaEventElapsedTime(&milliseconds, start, end));
  EXPECT(milliseconds >= 0, "%g ms", milliseconds);
  CHECK_ERROR(cudaStreamWaitEvent(nullptr, start, 77), cudaErrorInvalidValue);
  CHECK_ERROR(cudaEventRecordWithFlags(start, nullptr, 77), cudaErrorInvalidValue);
  CHECK(cudaEventDestroy(start));
  CHECK(cudaEventDestroy(end));
  CHECK(cudaEventDestroy(untimed));
  CHECK_ERROR(cudaEventDestroy(nullptr), cudaErrorInvalidResourceHandle);
  CHECK_ERROR(cudaGetLastError(), cudaErrorInvalidResourceHandle);
}

// Being busy is no error: it is returned and not remembered.
static void NotReady() {
  cudaStream_t stream;
  CHECK(cudaStreamCreate(&stream));
  for (int i = 0; i < 1000; ++i) {
    Store<<<64, 64, 0, stream>>>(device_value, i);
    const cudaError_t status = cudaStreamQuery(stream);
    EXPECT(status == cudaSuccess || status == cudaErrorNotReady, "a query: %s", cudaGetErrorName(status));
  }
  CHECK(cudaPeekAtLastError());
  CHECK(cudaStreamSynchronize(stream));
  CHECK(cudaStreamQuery(stream));
  CHECK(cudaStreamDestroy(stream));
}

static void Sizes() {
  void* pointer = nullptr;
  size_t pitch = 0;
  cudaPitchedPtr pitched{};
  CHECK_ERROR(cudaMalloc(&pointer, kHuge), cudaErrorMemoryAllocation);
  CHECK_ERROR(cudaMallocPitch(&pointer, &pitch, kHuge, 1), cudaErrorInvalidValue);
  CHECK_ERROR(cudaMallocPitch(&pointer, &pitch, size_t{1} << 40, size_t{1} << 40), cudaErrorInvalidValue);
  CHECK_ERROR(cudaMalloc3D(&pitched, make_cudaExtent(size_t{1} << 30, size_t{1} << 30, size_t{1} << 30)),
              cudaErrorInvalidValue);
  CHECK_ERROR(cudaMallocHost(&pointer, kHuge), cudaErrorMemoryAllocation);
  EXPECT(pointer == nullptr, "a failed allocation returned something");
  CHECK(cudaMallocPitch(&pointer, &pitch, 0, 0));
  CHECK_ERROR(cudaHostAlloc(&pointer, 64, 0x100), cudaErrorInvalidValue);
  CHECK(cudaFreeHost(nullptr));
  // Sets and copies that would wrap around the end of the address space.
  char* device = nullptr;
  std::vector<char> host(4096);
  CHECK(cudaMalloc(&device, 4096));
  CHECK_ERROR(cudaMemset(nullptr, 0, 16), cudaErrorInvalidValue);
  CHECK(cudaMemset(nullptr, 0, 0));
  CHECK_ERROR(cudaMemset2D(device, 8, 0, 16, 2), cudaErrorInvalidValue);
  CHECK_ERROR(cudaMemcpy(device, host.data(), kHuge, cudaMemcpyHostToDevice), cudaErrorInvalidValue);
  CHECK_ERROR(cudaMemcpy2D(device, 64, host.data(), 64, 64, size_t{1} << 60, cudaMemcpyHostToDevice),
              cudaErrorInvalidValue);
  cudaMemcpy3DParms box{};
  box.srcPtr = make_cudaPitchedPtr(host.data(), 64, 64, 8);
  box.dstPtr = make_cudaPitchedPtr(device, 64, 64, 8);
  box.extent = make_cudaExtent(64, 8, 8);
  box.kind = cudaMemcpyHostToDevice;
  CHECK(cudaMemcpy3D(&box));
  box.dstPos = make_cudaPos(0, 0, kHuge);
  CHECK_ERROR(cudaMemcpy3D(&box), cudaErrorInvalidValue);
  box.dstPos = make_cudaPos(1, 0, 0);
  CHECK_ERROR(cudaMemcpy3D(&box), cudaErrorInvalidValue);
  box.dstPos = make_cudaPos(0, 1, 0);
  CHECK_ERROR(cudaMemcpy3D(&box), cudaErrorInvalidValue);
  CHECK_ERROR(cudaMemcpy3D(nullptr), cudaErrorInvalidValue);
  CHECK(cudaFree(device));
  CHECK_ERROR(cudaGetLastError(), cudaErrorInvalidValue);
}

__device__ int symbol = 3;

static void Directions() {
  int *device = nullptr, *pinned = nullptr;
  int from[16], to[16] = {};
  for (int i = 0; i < 16; ++i) from[i] = i * i;
  CHECK(cudaMalloc(&device, sizeof(from)));
  CHECK(cudaMallocHost(&pinned, sizeof(from)));
  CHECK(cudaMemcpy(to, from, sizeof(from), cudaMemcpyHostToHost));
  EXPECT(std::memcmp(to, from, sizeof(from)) == 0, "host to host");
  std::memset(to, 0, sizeof(to));
  CHECK(cudaMemcpy(device, from, sizeof(from), cudaMemcpyDefault));
  CHECK(cudaMemcpy(pinned, device, sizeof(from), cudaMemcpyDefault));
  CHECK(cudaMemcpy(to, pinned, sizeof(from), cudaMemcpyDefault));
  EXPECT(std::memcmp(to, from, sizeof(from)) == 0, "by default through the device and pinned memory");
  // With unified addressing pinned memory is memory like the device's.
  std::memset(pinned, 0, sizeof(from));
  CHECK(cudaMemcpy(pinned, device, sizeof(from), cudaMemcpyDeviceToDevice));
  EXPECT(std::memcmp(pinned, from, sizeof(from)) == 0, "device to device into pinned memory");
  CHECK(cudaMemcpy2D(to, 8, from, 16, 8, 4, cudaMemcpyHostToHost));
  EXPECT(to[2] == 16 && to[6] == 144, "rows from host to host: %d, %d", to[2], to[6]);
  CHECK_ERROR(cudaMemcpy(from, to, sizeof(to), cudaMemcpyHostToDevice), cudaErrorInvalidValue);
  CHECK_ERROR(cudaMemcpy(to, from, sizeof(to), cudaMemcpyDeviceToHost), cudaErrorInvalidValue);
  CHECK_ERROR(cudaMemcpyToSymbol(symbol, from, sizeof(int), 0, cudaMemcpyDeviceToHost),
              cudaErrorInvalidMemcpyDirection);
  CHECK_ERROR(cudaMemcpyFromSymbol(to, symbol, sizeof(int), 0, cudaMemcpyHostToDevice),
              cudaErrorInvalidMemcpyDirection);
  CHECK_ERROR(cudaMemcpyFromSymbol(to, symbol, sizeof(int), kHuge), cudaErrorInvalidValue);
  CHECK(cudaMemcpyToSymbol(symbol, device + 5, sizeof(int), 0, cudaMemcpyDeviceToDevice));
  CHECK(cudaMemcpyFromSymbol(to, symbol, sizeof(int)));
  EXPECT(to[0] == 25, "device to symbol: %d", to[0]);
  // cudaFree waits for what still writes host memory.
  std::memset(pinned, 0, sizeof(from));
  cudaStream_t stream;
  CHECK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  for (int i = 0; i < 200; ++i) Store<<<32, 32, 0, stream>>>(device_value, i);
  CHECK(cudaMemcpyAsync(pinned, device, sizeof(from), cudaMemcpyDeviceToHost, stream));
  CHECK(cudaFree(device));
  EXPECT(std::memcmp(pinned, from, sizeof(from)) == 0, "cudaFree did not wait for a copy into pinned memory");
  CHECK(cudaStreamDestroy(stream));
  CHECK(cudaFreeHost(pinned));
  CHECK_ERROR(cudaGetLastError(), cudaErrorInvalidValue);
}

static void Pointers() {
  int on_stack = 0, *device = nullptr, *pinned = nullptr;
  unsigned flags = 99;
  cudaPointerAttributes attributes{};
  CHECK(cudaMalloc(&device, 4096));
  CHECK(cudaHostAlloc(&pinned, 4096, cudaHostAllocPortable));
  CHECK(cudaPointerGetAttributes(&attributes, device + 100));
  EXPECT(attributes.type == cudaMemoryTypeDevice && attributes.device == 0 && attributes.devicePointer == device + 100,
         "device memory has type %d", attributes.type);
  void* global = nullptr;
  CHECK(cudaGetSymbolAddress(&global, symbol));
  CHECK(cudaPointerGetAttributes(&attributes, global));
  EXPECT(attributes.type == cudaMemoryTypeDevice, "a __device__ variable has type %d", attributes.type);
  CHECK(cudaPointerGetAttributes(&attributes, pinned + 100));
  EXPECT(attributes.type == cudaMemoryTypeHost && attributes.hostPointer == pinned + 100, "pinned memory has type %d",
         attributes.type);
  CHECK(cudaPointerGetAttributes(&attributes, &on_stack));
  EXPECT(attributes.type == cudaMemoryTypeUnregistered, "the stack has type %d", attributes.type);
  CHECK(cudaPointerGetAttributes(&attributes, nullptr));
  EXPECT(attributes.type == cudaMemoryTypeUnregistered, "nothing has type %d", attributes.type);
  CHECK(cudaHostGetFlags(&flags, pinned));
  // Where all pinned memory is mapped, all of it says so.
  EXPECT((flags & ~cudaHostAllocMapped) == cudaHostAllocPortable, "flags %u", flags);
  CHECK_ERROR(cudaHostGetFlags(&flags, &on_stack), cudaErrorInvalidValue);
  CHECK(cudaFree(device));
  CHECK(cudaPointerGetAttributes(&attributes, device));
  EXPECT(attributes.type != cudaMemoryTypeDevice, "freed memory is device memory");
  CHECK(cudaFreeHost(pinned));
  CHECK_ERROR(cudaGetLastError(), cudaErrorInvalidValue);
}

static void Attributes() {
  int value = 0;
  for (const int known : {1, 33, 41, 74, 89, 101, 115, 135, 147})
    CHECK(cudaDeviceGetAttribute(&value, static_cast<cudaDeviceAttr>(known), 0));
  for (const int unknown : {-1, 0, 148, 100000})
    CHECK_ERROR(cudaDeviceGetAttribute(&value, static_cast<cudaDeviceAttr>(unknown), 0), cudaErrorInvalidValue);
  char id[16] = "";
  CHECK(cudaDeviceGetPCIBusId(id, sizeof(id), 0));
  EXPECT(std::strlen(id) == 12, "the bus id is '%s'", id);
  CHECK_ERROR(cudaDeviceGetPCIBusId(id, 5, 0), cudaErrorInvalidValue);
  CHECK_ERROR(cudaFuncSetAttribute(Store, cudaFuncAttributeMaxDynamicSharedMemorySize, -1), cudaErrorInvalidValue);
  CHECK_ERROR(cudaFuncSetAttribute(Store, cudaFuncAttributePreferredSharedMemoryCarveout, 101), cudaErrorInvalidValue);
  CHECK(cudaFuncSetAttribute(Store, cudaFuncAttributePreferredSharedMemoryCarveout, 50));
  CHECK(cudaFuncSetAttribute(Store, cudaFuncAttributeMaxDynamicSharedMemorySize, 1024));
  // Consent to little is a limit like any other.
  Store<<<1, 1, 2048>>>(device_value, 1);
  CHECK_ERROR(cudaGetLastError(), cudaErrorInvalidValue);
  Store<<<1, 1, 1024>>>(device_value, 1);
  CHECK(cudaGetLastError());
}

int main() {
  CHECK(cudaMalloc(&device_value, sizeof(int)));
  Streams();
  Events();
  NotReady();
  Sizes();
  Directions();
  Pointers();
  Attributes();
  CHECK(cudaDeviceSynchronize());
  CHECK(cudaFree(device_value));
  std::printf("misuse: streams, events, sizes, directions, pointers, attributes\n");
  return Passed();
}
