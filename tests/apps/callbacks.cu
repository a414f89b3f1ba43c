// Host functions and callbacks under load: in stream order, seeing what was copied before them, from many streams, with
// streams that others wait for; CUDA refuses to be called from them.
#include <atomic>
#include <thread>
#include <vector>

#include "check.h"

__global__ void Increment(int* word) { ++*word; }
__global__ void Double(int* word) { *word *= 2; }

struct Note {
  const int* landed;
  int expected;
  std::atomic<int>* good;
};
static void CUDART_CB TakeNote(void* data) {
  const Note* note = static_cast<const Note*>(data);
  if (*note->landed == note->expected) ++*note->good;
}
static void CUDART_CB Count(cudaStream_t, cudaError_t status, void* data) {
  if (status == cudaSuccess) ++*static_cast<std::atomic<int>*>(data);
}
static void CUDART_CB CallCuda(void* data) { *static_cast<cudaError_t*>(data) = cudaDeviceSynchronize(); }
static void CUDART_CB Spin(void* data) {
  while (!*static_cast<std::atomic<bool>*>(data)) std::this_thread::yield();
}
static void CUDART_CB Write(void* data) { *static_cast<int*>(data) = 1000; }

static void InOrder() {
  constexpr int kRounds = 200;
  int* device = nullptr;
  int* host = nullptr;
  CHECK(cudaMalloc(&device, sizeof(int)));
  CHECK(cudaMemset(device, 0, sizeof(int)));
  CHECK(cudaDeviceSynchronize());  // the stream below does not wait for the default one
  CHECK(cudaMallocHost(&host, kRounds * sizeof(int)));
  cudaStream_t stream;
  CHECK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  std::atomic<int> good{0};
  std::vector<Note> notes(kRounds);
  for (int i = 0; i < kRounds; ++i) {
    notes[i] = {host + i, i + 1, &good};
    Increment<<<1, 1, 0, stream>>>(device);
    CHECK(cudaMemcpyAsync(host + i, device, sizeof(int), cudaMemcpyDeviceToHost, stream));
    CHECK(cudaLaunchHostFunc(stream, TakeNote, &notes[i]));
  }
  CHECK(cudaStreamSynchronize(stream));
  EXPECT(good == kRounds, "%d of %d functions saw the copy before them", good.load(), kRounds);
  // What a function writes is what a copy behind it reads.
  CHECK(cudaLaunchHostFunc(stream, Write, host));
  CHECK(cudaMemcpyAsync(device, host, sizeof(int), cudaMemcpyHostToDevice, stream));
  Double<<<1, 1, 0, stream>>>(device);
  CHECK(cudaMemcpyAsync(host, device, sizeof(int), cudaMemcpyDeviceToHost, stream));
  CHECK(cudaStreamSynchronize(stream));
  EXPECT(*host == 2000, "%d, expected 2000", *host);
  CHECK(cudaStreamDestroy(stream));
  CHECK(cudaFreeHost(host));
  CHECK(cudaFree(device));
}

static void UnderLoad() {
  constexpr int kStreams = 8;
  constexpr int kEach = 100;
  std::atomic<int> runs{0};
  int* words = nullptr;
  CHECK(cudaMalloc(&words, kStreams * sizeof(int)));
  CHECK(cudaMemset(words, 0, kStreams * sizeof(int)));
  CHECK(cudaDeviceSynchronize());
  cudaStream_t streams[kStreams];
  for (cudaStream_t& stream : streams) CHECK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  std::vector<std::thread> threads;
  for (int t = 0; t < kStreams; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < kEach; ++i) {
        Increment<<<1, 1, 0, streams[t]>>>(words + t);
        CHECK(cudaStreamAddCallback(streams[t], Count, &runs, 0));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(cudaDeviceSynchronize());
  EXPECT(runs == kStreams * kEach, "%d of %d callbacks ran", runs.load(), kStreams * kEach);
  int sums[kStreams];
  CHECK(cudaMemcpy(sums, words, sizeof(sums), cudaMemcpyDeviceToHost));
  for (int sum : sums) EXPECT(sum == kEach, "%d launches, expected %d", sum, kEach);
  for (cudaStream_t stream : streams) CHECK(cudaStreamDestroy(stream));
  CHECK(cudaFree(words));
}

static void Stops() {
  cudaStream_t stopped;
  cudaEvent_t event;
  CHECK(cudaStreamCreateWithFlags(&stopped, cudaStreamNonBlocking));
  CHECK(cudaEventCreateWithFlags(&event, cudaEventDisableTiming));
  std::atomic<bool> go{false};
  CHECK(cudaLaunchHostFunc(stopped, Spin, &go));
  CHECK(cudaEventRecord(event, stopped));
  CHECK_ERROR(cudaStreamQuery(stopped), cudaErrorNotReady);
  CHECK_ERROR(cudaEventQuery(event), cudaErrorNotReady);
  go = true;
  CHECK(cudaEventSynchronize(event));
  CHECK(cudaStreamQuery(stopped));
  CHECK(cudaEventDestroy(event));
  CHECK(cudaStreamDestroy(stopped));
}

int main() {
  InOrder();
  UnderLoad();
  Stops();
  cudaError_t inside = cudaSuccess;
  CHECK(cudaLaunchHostFunc(nullptr, CallCuda, &inside));
  CHECK(cudaDeviceSynchronize());
  EXPECT(inside == cudaErrorNotPermitted, "a call inside returned %s", cudaGetErrorName(inside));
  CHECK_ERROR(cudaLaunchHostFunc(nullptr, nullptr, nullptr), cudaErrorInvalidValue);
  std::atomic<int> runs{0};
  CHECK_ERROR(cudaStreamAddCallback(nullptr, Count, &runs, 1), cudaErrorInvalidValue);
  return Passed();
}
