// Pinned memory that kernels read and write in place: by its own address and by cudaHostGetDevicePointer, across
// streams, behind asynchronous copies, and while a kernel runs.
#include <cstring>
#include <ctime>

#include "check.h"

__global__ void Scale(int* data, int n, int factor) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) data[i] *= factor;
}
__global__ void Sum(const int* data, int n, unsigned long long* sum) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) atomicAdd(sum, static_cast<unsigned long long>(data[i]));
}
__global__ void Store(int* where, int value) { *where = value; }

// Steps of a ring that the program watches: `progress` says how far it is.
__global__ void Steps(volatile int* progress, int count) {
  for (int i = 1; i <= count; ++i) {
    *progress = i;
    __threadfence_system();
  }
}

static int Blocks(int n) { return (n + 255) / 256; }

static void InPlace() {
  const int n = 5000;
  int *data = nullptr, *on_device = nullptr;
  unsigned long long *sum = nullptr, *sum_on_device = nullptr;
  CHECK(cudaHostAlloc(&data, n * sizeof(int), cudaHostAllocMapped));
  CHECK(cudaHostAlloc(&sum, sizeof(*sum), cudaHostAllocMapped | cudaHostAllocPortable));
  CHECK(cudaHostGetDevicePointer(&on_device, data, 0));
  CHECK(cudaHostGetDevicePointer(&sum_on_device, sum, 0));
  for (int round = 1; round <= 3; ++round) {
    unsigned long long expected = 0;
    for (int i = 0; i < n; ++i) {
      data[i] = i + round;
      expected += static_cast<unsigned long long>(i + round) * 3;
    }
    *sum = 0;
    Scale<<<Blocks(n), 256>>>(on_device, n, 3);
    Sum<<<Blocks(n), 256>>>(on_device, n, sum_on_device);
    CHECK(cudaDeviceSynchronize());
    EXPECT(*sum == expected, "the kernel summed up %llu, not %llu", *sum, expected);
    for (int i = 0; i < n; ++i) EXPECT(data[i] == (i + round) * 3, "element %d is %d", i, data[i]);
  }
  CHECK_ERROR(cudaHostGetDevicePointer(&on_device, data, 1), cudaErrorInvalidValue);
  int local = 0;
  CHECK_ERROR(cudaHostGetDevicePointer(&on_device, &local, 0), cudaErrorInvalidValue);
  cudaGetLastError();
  CHECK(cudaHostGetDevicePointer(&on_device, data + 100, 0));
  CHECK(cudaFreeHost(data));
  CHECK(cudaFreeHost(sum));
}

// With unified addressing memory of cudaMallocHost is mapped, too, at one address.
static void PlainPinned() {
  int *pinned = nullptr, *device = nullptr;
  CHECK(cudaMallocHost(&pinned, 4096));
  CHECK(cudaMalloc(&device, 4096));
  cudaStream_t stream;
  CHECK(cudaStreamCreate(&stream));
  pinned[0] = 4;
  for (int round = 0; round < 3; ++round) {
    CHECK(cudaMemcpyAsync(device, pinned, 4, cudaMemcpyHostToDevice, stream));
    Scale<<<1, 1, 0, stream>>>(device, 1, 2);
    CHECK(cudaMemcpyAsync(pinned, device, 4, cudaMemcpyDeviceToHost, stream));
    Scale<<<1, 1, 0, stream>>>(pinned, 1, 5);
  }
  CHECK(cudaStreamSynchronize(stream));
  EXPECT(pinned[0] == 4000, "copies and kernels in turn made %d", pinned[0]);
  cudaPointerAttributes attributes{};
  CHECK(cudaPointerGetAttributes(&attributes, pinned + 3));
  EXPECT(attributes.type == cudaMemoryTypeHost, "a pinned pointer is of type %d", attributes.type);
  EXPECT(attributes.hostPointer == pinned + 3 && attributes.devicePointer == pinned + 3, "it has two addresses");
  CHECK(cudaMemset(pinned, 1, 8));
  EXPECT(pinned[0] == 0x01010101 && pinned[1] == 0x01010101, "filled with %x %x", pinned[0], pinned[1]);
  CHECK(cudaStreamDestroy(stream));
  CHECK(cudaFree(device));
  CHECK(cudaFreeHost(pinned));
}

// What one stream wrote is there when its event has come, whatever other streams do.
static void Events() {
  const int count = 8;
  int* slots = nullptr;
  CHECK(cudaHostAlloc(&slots, count * sizeof(int), cudaHostAllocMapped));
  std::memset(slots, 0, count * sizeof(int));
  cudaStream_t streams[count];
  cudaEvent_t events[count];
  for (int i = 0; i < count; ++i) {
    CHECK(cudaStreamCreateWithFlags(&streams[i], cudaStreamNonBlocking));
    CHECK(cudaEventCreateWithFlags(&events[i], cudaEventDisableTiming));
    Store<<<1, 1, 0, streams[i]>>>(slots + i, 100 + i);
    CHECK(cudaEventRecord(events[i], streams[i]));
    Store<<<1, 1, 0, streams[i]>>>(slots + (i + 1) % count, 100 + (i + 1) % count);
  }
  for (int i = 0; i < count; ++i) {
    cudaError_t status = cudaEventQuery(events[i]);
    while (status == cudaErrorNotReady) status = cudaEventQuery(events[i]);
    CHECK(status);
    EXPECT(slots[i] == 100 + i, "slot %d is %d behind its event", i, slots[i]);
  }
  CHECK(cudaDeviceSynchronize());
  cudaGetLastError();
  for (int i = 0; i < count; ++i) {
    CHECK(cudaStreamDestroy(streams[i]));
    CHECK(cudaEventDestroy(events[i]));
  }
  CHECK(cudaFreeHost(slots));
}

// Polls while the kernel runs. What is promised everywhere is the end; where both sides have the very memory
// (POLL=1 in the environment, as on a real GPU) the program sees the kernel's steps without any call.
static void Polling() {
  int* progress = nullptr;
  CHECK(cudaHostAlloc(&progress, sizeof(int), cudaHostAllocMapped));
  *progress = 0;
  const int steps = 20000;
  Steps<<<1, 1>>>(progress, steps);
  if (std::getenv("POLL") != nullptr) {
    volatile int* seen = progress;
    const std::time_t begin = std::time(nullptr);
    while (*seen != steps && std::time(nullptr) - begin < 30) {
    }
    EXPECT(*seen == steps, "without a call the program sees step %d", *seen);
  }
  CHECK(cudaDeviceSynchronize());
  EXPECT(*progress == steps, "the kernel ended at step %d", *progress);
  CHECK(cudaFreeHost(progress));
}

int main() {
  int can_map = 0;
  CHECK(cudaDeviceGetAttribute(&can_map, cudaDevAttrCanMapHostMemory, 0));
  EXPECT(can_map == 1, "the device maps no host memory");
  InPlace();
  PlainPinned();
  Events();
  Polling();
  std::printf("mapped_memory: kernels work in host memory\n");
  return Passed();
}
