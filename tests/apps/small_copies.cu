// 10,000 copies of a few bytes each, up, down and across, with events from a small pool between them.
#include <vector>

#include "check.h"

constexpr int kCopies = 10000;
constexpr int kEvents = 16;

int main() {
  std::vector<unsigned> host(kCopies);
  for (int i = 0; i < kCopies; ++i) host[i] = i * 2654435761u;
  unsigned *device = nullptr, *other = nullptr, *pinned = nullptr;
  CHECK(cudaMalloc(&device, kCopies * sizeof(unsigned)));
  CHECK(cudaMalloc(&other, kCopies * sizeof(unsigned)));
  CHECK(cudaMallocHost(&pinned, kCopies * sizeof(unsigned)));
  for (int i = 0; i < kCopies; ++i) pinned[i] = 0;
  cudaStream_t stream;
  CHECK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  cudaEvent_t events[kEvents];
  for (cudaEvent_t& event : events) CHECK(cudaEventCreateWithFlags(&event, cudaEventDisableTiming));

  // Up from memory of the program's own: each source may be overwritten as soon as its call returns.
  for (int i = 0; i < kCopies; ++i) {
    unsigned word = host[i];
    CHECK(cudaMemcpyAsync(device + i, &word, sizeof(word), cudaMemcpyHostToDevice, stream));
    word = 0xdeadbeef;
    if (i % 100 == 0) CHECK(cudaEventRecord(events[i / 100 % kEvents], stream));
  }
  for (int i = 0; i < kCopies; ++i) {
    CHECK(cudaMemcpyAsync(other + kCopies - 1 - i, device + i, sizeof(unsigned), cudaMemcpyDeviceToDevice, stream));
  }
  // Down into pinned memory: nothing waits until the end.
  for (int i = 0; i < kCopies; ++i) {
    CHECK(cudaMemcpyAsync(pinned + i, other + i, sizeof(unsigned), cudaMemcpyDeviceToHost, stream));
    if (i % 100 == 0) CHECK(cudaEventRecord(events[i / 100 % kEvents], stream));
  }
  CHECK(cudaStreamSynchronize(stream));
  for (cudaEvent_t& event : events) {
    CHECK(cudaEventQuery(event));
    CHECK(cudaEventDestroy(event));
  }
  for (int i = 0; i < kCopies; ++i) {
    EXPECT(pinned[i] == host[kCopies - 1 - i], "word %d is %u, not %u", i, pinned[i], host[kCopies - 1 - i]);
  }
  CHECK(cudaFreeHost(pinned));
  CHECK(cudaFree(device));
  CHECK(cudaFree(other));
  CHECK(cudaStreamDestroy(stream));
  std::printf("small_copies: %d up, across and down\n", kCopies);
  return Passed();
}
