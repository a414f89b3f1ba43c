// Order across threads and streams: eight threads launch into one stream; streams hand a token round by events; the
// legacy default stream stands between blocking streams.
#include <atomic>
#include <thread>
#include <vector>

#include "check.h"

// Not commutative, so the order of the launches shows; not atomic, so two launches at a time would show too.
__global__ void Append(unsigned* state, unsigned value) { *state = *state * 31 + value; }

__global__ void Count(int* counter) { atomicAdd(counter, 1); }

// Keeps its stream busy for a while, then appends.
__global__ void SlowAppend(unsigned* state, unsigned value, int rounds) {
  volatile unsigned* seen = state;
  unsigned before = 0;
  for (int i = 0; i < rounds; ++i) before = *seen;
  *state = before * 31 + value;
}

static void ThreadsIntoOneStream() {
  const int threads = 8, launches = 60;
  cudaStream_t stream;
  unsigned* states = nullptr;
  int* counter = nullptr;
  CHECK(cudaStreamCreate(&stream));
  CHECK(cudaMalloc(&states, threads * sizeof(unsigned)));
  CHECK(cudaMalloc(&counter, sizeof(int)));
  CHECK(cudaMemset(states, 0, threads * sizeof(unsigned)));
  CHECK(cudaMemset(counter, 0, sizeof(int)));
  CHECK(cudaDeviceSynchronize());
  std::atomic<int> ready{0};
  std::vector<std::thread> workers;
  for (int t = 0; t < threads; ++t) {
    workers.emplace_back([&, t] {
      for (++ready; ready < threads;) std::this_thread::yield();
      for (int i = 0; i < launches; ++i) {
        Append<<<1, 1, 0, stream>>>(states + t, t * 1000 + i);
        CHECK(cudaGetLastError());
        Count<<<1, 64, 0, stream>>>(counter);
        CHECK(cudaGetLastError());
      }
    });
  }
  for (std::thread& worker : workers) worker.join();
  std::vector<unsigned> result(threads);
  int count = 0;
  CHECK(cudaMemcpyAsync(result.data(), states, threads * sizeof(unsigned), cudaMemcpyDeviceToHost, stream));
  CHECK(cudaMemcpyAsync(&count, counter, sizeof(int), cudaMemcpyDeviceToHost, stream));
  CHECK(cudaStreamSynchronize(stream));
  EXPECT(count == threads * launches * 64, "%d increments, not %d", count, threads * launches * 64);
  for (int t = 0; t < threads; ++t) {
    unsigned expected = 0;
    for (int i = 0; i < launches; ++i) expected = expected * 31 + t * 1000 + i;
    EXPECT(result[t] == expected, "thread %d's launches ran out of order", t);
  }
  CHECK(cudaFree(states));
  CHECK(cudaFree(counter));
  CHECK(cudaStreamDestroy(stream));
}

static void TokenByEvents() {
  const int streams = 4, hops = 40;
  cudaStream_t stream[streams];
  cudaEvent_t event[streams];
  unsigned* state = nullptr;
  CHECK(cudaMalloc(&state, sizeof(unsigned)));
  CHECK(cudaMemset(state, 0, sizeof(unsigned)));
  CHECK(cudaDeviceSynchronize());
  for (int s = 0; s < streams; ++s) {
    CHECK(cudaStreamCreateWithFlags(&stream[s], cudaStreamNonBlocking));
    CHECK(cudaEventCreateWithFlags(&event[s], cudaEventDisableTiming));
  }
  unsigned expected = 0;
  for (int hop = 0; hop < hops; ++hop) {
    const int here = hop % streams, before = (hop + streams - 1) % streams;
    if (hop > 0) CHECK(cudaStreamWaitEvent(stream[here], event[before], 0));
    SlowAppend<<<1, 1, 0, stream[here]>>>(state, hop, hop % 3 == 0 ? 2000 : 1);
    CHECK(cudaGetLastError());
    CHECK(cudaEventRecord(event[here], stream[here]));  // recorded again in each lap: a wait means the latest record
    expected = expected * 31 + hop;
  }
  CHECK(cudaEventSynchronize(event[(hops - 1) % streams]));
  unsigned result = 0;
  CHECK(cudaMemcpy(&result, state, sizeof(result), cudaMemcpyDeviceToHost));
  EXPECT(result == expected, "the token was %u, not %u: a stream did not wait for an event", result, expected);
  for (int s = 0; s < streams; ++s) {
    CHECK(cudaStreamDestroy(stream[s]));
    CHECK(cudaEventDestroy(event[s]));
  }
  CHECK(cudaFree(state));
}

static void LegacyDefaultStream() {
  cudaStream_t first, second;
  unsigned* state = nullptr;
  CHECK(cudaStreamCreate(&first));
  CHECK(cudaStreamCreate(&second));
  CHECK(cudaMalloc(&state, sizeof(unsigned)));
  CHECK(cudaMemset(state, 0, sizeof(unsigned)));
  unsigned expected = 0;
  for (unsigned i = 0; i < 10; ++i) {
    SlowAppend<<<1, 1, 0, first>>>(state, 3 * i, 3000);
    SlowAppend<<<1, 1>>>(state, 3 * i + 1, 2000);  // waits for `first`; `second` waits for it
    SlowAppend<<<1, 1, 0, second>>>(state, 3 * i + 2, 1);
    Append<<<1, 1>>>(state, 1000 + i);
    for (unsigned value : {3 * i, 3 * i + 1, 3 * i + 2, 1000 + i}) expected = expected * 31 + value;
  }
  CHECK(cudaGetLastError());
  unsigned result = 0;
  CHECK(cudaMemcpy(&result, state, sizeof(result), cudaMemcpyDeviceToHost));
  EXPECT(result == expected, "the default stream did not order the blocking ones: %u, not %u", result, expected);
  CHECK(cudaStreamDestroy(first));
  CHECK(cudaStreamDestroy(second));
  CHECK(cudaFree(state));
}

int main() {
  ThreadsIntoOneStream();
  TokenByEvents();
  LegacyDefaultStream();
  std::printf("threads_one_stream: 8 threads, 4 streams by events, the default stream\n");
  return Passed();
}
