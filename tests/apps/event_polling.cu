// A loop as servers and trainers have it: a few batches in flight, their events polled, never a blocking call until the
// end.
#include "check.h"

constexpr int kBatches = 300;
constexpr int kInFlight = 8;
constexpr int kWords = 512;

__global__ void Work(unsigned* words, unsigned batch) {
  unsigned value = batch;
  for (int i = 0; i < 50; ++i) value = value * 1664525u + 1013904223u;
  words[threadIdx.x + blockIdx.x * blockDim.x] = value + threadIdx.x;
}

static unsigned Expected(unsigned batch) {
  unsigned value = batch;
  for (int i = 0; i < 50; ++i) value = value * 1664525u + 1013904223u;
  return value;
}

int main() {
  struct Slot {
    unsigned* device = nullptr;
    unsigned* host = nullptr;
    cudaEvent_t done = nullptr;
    int batch = -1;
  };
  Slot slots[kInFlight];
  cudaStream_t stream;
  CHECK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  for (Slot& slot : slots) {
    CHECK(cudaMalloc(&slot.device, kWords * sizeof(unsigned)));
    CHECK(cudaMallocHost(&slot.host, kWords * sizeof(unsigned)));
    CHECK(cudaEventCreateWithFlags(&slot.done, cudaEventDisableTiming));
  }
  int begun = 0, ended = 0;
  long long polls = 0;
  while (ended < kBatches) {
    for (Slot& slot : slots) {
      if (slot.batch >= 0) {
        ++polls;
        const cudaError_t status = cudaEventQuery(slot.done);
        if (status == cudaErrorNotReady) continue;
        CHECK(status);
        const unsigned expected = Expected(static_cast<unsigned>(slot.batch));
        for (unsigned i = 0; i < kWords; ++i) {
          EXPECT(slot.host[i] == expected + i % 256, "batch %d, word %u: %u", slot.batch, i, slot.host[i]);
        }
        slot.batch = -1;
        ++ended;
      }
      if (begun == kBatches) continue;
      slot.batch = begun++;
      Work<<<kWords / 256, 256, 0, stream>>>(slot.device, static_cast<unsigned>(slot.batch));
      CHECK(cudaMemcpyAsync(slot.host, slot.device, kWords * sizeof(unsigned), cudaMemcpyDeviceToHost, stream));
      CHECK(cudaEventRecord(slot.done, stream));
    }
  }
  EXPECT(cudaGetLastError() == cudaSuccess, "not ready is no error that is remembered");
  EXPECT(polls >= kBatches, "%lld polls", polls);
  for (Slot& slot : slots) {
    CHECK(cudaFree(slot.device));
    CHECK(cudaFreeHost(slot.host));
    CHECK(cudaEventDestroy(slot.done));
  }
  CHECK(cudaStreamDestroy(stream));
  std::printf("event_polling: %d batches, %d at a time\n", kBatches, kInFlight);
  return Passed();
}
