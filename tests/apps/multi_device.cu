// Several devices in one program: each with its own memory, streams, module variables and settings; a thread for each;
// events that one device records and another waits for; and the errors for what is on another device. With one device
// it can only say so.
#include <string>
#include <thread>
#include <vector>

#include "check.h"

__device__ int device_number = -1;

__global__ void Fill(int* out, int value) { out[blockIdx.x * blockDim.x + threadIdx.x] = value; }
__global__ void AddNumber(const int* in, int* out) {
  const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
  out[i] = in[i] + device_number;
}

constexpr int kCount = 4096;
constexpr size_t kBytes = kCount * sizeof(int);

// A thread chooses its device for itself alone, and works on it beside the others.
static void WorkOn(int device, int rounds) {
  int now = -1;
  CHECK(cudaGetDevice(&now));
  EXPECT(now == 0, "a new thread is on device %d", now);
  CHECK(cudaSetDevice(device));
  CHECK(cudaMemcpyToSymbol(device_number, &device, sizeof(device)));
  int* a = nullptr;
  int* b = nullptr;
  CHECK(cudaMalloc(&a, kBytes));
  CHECK(cudaMalloc(&b, kBytes));
  cudaPointerAttributes attributes;
  CHECK(cudaPointerGetAttributes(&attributes, a));
  EXPECT(attributes.device == device, "memory of device %d is said to be of %d", device, attributes.device);
  cudaStream_t stream;
  CHECK(cudaStreamCreate(&stream));
  int of_stream = -1;
  CHECK(cudaStreamGetDevice(stream, &of_stream));
  EXPECT(of_stream == device, "a stream of device %d is said to be of %d", device, of_stream);
  std::vector<int> got(kCount);
  for (int round = 0; round < rounds; ++round) {
    Fill<<<kCount / 128, 128, 0, stream>>>(a, round * 100);
    AddNumber<<<kCount / 128, 128, 0, stream>>>(a, b);
    CHECK(cudaMemcpyAsync(got.data(), b, kBytes, cudaMemcpyDeviceToHost, stream));
    CHECK(cudaStreamSynchronize(stream));
    for (const int value : got) EXPECT(value == round * 100 + device, "device %d, round %d: %d", device, round, value);
  }
  CHECK(cudaGetDevice(&now));
  EXPECT(now == device, "the thread of device %d is on %d", device, now);
  CHECK(cudaStreamDestroy(stream));
  CHECK(cudaFree(a));
  CHECK(cudaFree(b));
}

// Device 0 fills, device 1 waits for its event, copies and adds, device 0 waits for that: round and round.
static void TestEvents() {
  int* memory[2];
  cudaStream_t streams[2];
  cudaEvent_t events[2];
  for (int d = 0; d < 2; ++d) {
    CHECK(cudaSetDevice(d));
    CHECK(cudaMemcpyToSymbol(device_number, &d, sizeof(d)));
    CHECK(cudaMalloc(&memory[d], kBytes));
    CHECK(cudaStreamCreateWithFlags(&streams[d], cudaStreamNonBlocking));
    CHECK(cudaEventCreateWithFlags(&events[d], cudaEventDisableTiming));
  }
  CHECK(cudaSetDevice(0));
  CHECK(cudaMemset(memory[0], 0, kBytes));
  CHECK(cudaDeviceSynchronize());
  constexpr int kRounds = 20;
  for (int round = 0; round < kRounds; ++round) {
    CHECK(cudaSetDevice(0));
    CHECK(cudaEventRecord(events[0], streams[0]));
    CHECK(cudaSetDevice(1));
    CHECK(cudaStreamWaitEvent(streams[1], events[0], 0));  // an event of another device
    CHECK(cudaMemcpyPeerAsync(memory[1], 1, memory[0], 0, kBytes, streams[1]));
    AddNumber<<<kCount / 128, 128, 0, streams[1]>>>(memory[1], memory[1]);
    CHECK(cudaMemcpyAsync(memory[0], memory[1], kBytes, cudaMemcpyDefault, streams[1]));
    CHECK(cudaEventRecord(events[1], streams[1]));
    CHECK(cudaSetDevice(0));
    CHECK(cudaStreamWaitEvent(streams[0], events[1], 0));
  }
  CHECK(cudaStreamSynchronize(streams[0]));
  CHECK(cudaEventQuery(events[1]));
  std::vector<int> got(kCount);
  CHECK(cudaMemcpy(got.data(), memory[0], kBytes, cudaMemcpyDeviceToHost));
  for (const int value : got) EXPECT(value == kRounds, "%d after %d rounds", value, kRounds);

  // What belongs to another device.
  CHECK_ERROR(cudaEventRecord(events[1], streams[0]), cudaErrorInvalidResourceHandle);
  void* arguments[] = {&memory[0], &memory[0]};
  CHECK_ERROR(cudaLaunchKernel(AddNumber, dim3(1), dim3(1), arguments, 0, streams[1]), cudaErrorInvalidResourceHandle);
  CHECK_ERROR(cudaGetLastError(), cudaErrorInvalidResourceHandle);
  for (int d = 0; d < 2; ++d) {
    // Streams, events and memory are freed from any device.
    CHECK(cudaStreamDestroy(streams[d]));
    CHECK(cudaEventDestroy(events[d]));
    CHECK(cudaFree(memory[d]));
  }
}

// A device's default stream waits for its own streams and for nobody else's.
static void TestMemoryAndSettings(int count) {
  size_t free_bytes[2];
  size_t total = 0;
  int* memory = nullptr;
  for (int d = 0; d < 2; ++d) {
    CHECK(cudaSetDevice(d));
    CHECK(cudaMemGetInfo(&free_bytes[d], &total));
  }
  CHECK(cudaMalloc(&memory, 64 << 20));  // on device 1
  size_t now = 0;
  CHECK(cudaMemGetInfo(&now, &total));
  EXPECT(now < free_bytes[1], "an allocation that takes nothing of device 1");
  CHECK(cudaSetDevice(0));
  CHECK(cudaMemGetInfo(&now, &total));
  EXPECT(now == free_bytes[0], "an allocation on device 1 takes %zd bytes of device 0",
         static_cast<ptrdiff_t>(free_bytes[0] - now));
  CHECK(cudaFree(memory));

  CHECK(cudaDeviceSetLimit(cudaLimitStackSize, 2048));
  CHECK(cudaSetDevice(1));
  size_t stack = 0;
  CHECK(cudaDeviceGetLimit(&stack, cudaLimitStackSize));
  EXPECT(stack == 1024, "device 1 has the stack of device 0: %zu", stack);
  CHECK(cudaSetDevice(0));
  CHECK_ERROR(cudaSetDevice(count), cudaErrorInvalidDevice);
  CHECK_ERROR(cudaSetDevice(-1), cudaErrorInvalidDevice);
  char ids[2][32];
  for (int d = 0; d < 2; ++d) CHECK(cudaDeviceGetPCIBusId(ids[d], sizeof(ids[d]), d));
  EXPECT(std::string(ids[0]) != ids[1], "two devices at %s", ids[0]);
}

int main() {
  int count = 0;
  CHECK(cudaGetDeviceCount(&count));
  std::thread(WorkOn, 0, 3).join();
  if (count < 2) {
    std::printf("multi_device: one device here, so nothing goes from one to another\n");
    return Passed();
  }
  std::vector<std::thread> threads;
  for (int i = 0; i < 2 * count; ++i) threads.emplace_back(WorkOn, i % count, 10);
  for (std::thread& thread : threads) thread.join();
  TestEvents();
  TestMemoryAndSettings(count);
  for (int d = 0; d < count; ++d) {
    CHECK(cudaSetDevice(d));
    CHECK(cudaDeviceSynchronize());
  }
  std::printf("multi_device: %d devices\n", count);
  return Passed();
}
