// Built with --default-stream per-thread: each thread's default stream is its own, ordered within, and a synchronise of
// it waits for that thread's work.
#include <thread>
#include <vector>

#include "check.h"

__global__ void Append(unsigned* state, unsigned value) { *state = *state * 31 + value; }

int main() {
  const int threads = 6, launches = 50, many = 5000;
  std::vector<std::thread> workers;
  for (int t = 0; t < threads; ++t) {
    workers.emplace_back([t] {
      unsigned *state = nullptr, result = 0, expected = 0;
      CHECK(cudaMalloc(&state, sizeof(unsigned)));
      CHECK(cudaMemsetAsync(state, 0, sizeof(unsigned)));
      for (int i = 0; i < launches; ++i) {
        Append<<<1, 1>>>(state, t * 100 + i);
        CHECK(cudaGetLastError());
        expected = expected * 31 + t * 100 + i;
      }
      CHECK(cudaMemcpyAsync(&result, state, sizeof(result), cudaMemcpyDeviceToHost));
      CHECK(cudaStreamSynchronize(cudaStreamPerThread));
      EXPECT(result == expected, "thread %d read %u, not %u", t, result, expected);
      result = 0;
      CHECK(cudaMemcpy(&result, state, sizeof(result), cudaMemcpyDeviceToHost));
      EXPECT(result == expected, "thread %d copied %u, not %u", t, result, expected);
      CHECK(cudaFree(state));
    });
  }
  for (std::thread& worker : workers) worker.join();
  // A thread's stream goes with the thread: more of them than there can be streams at a time.
  for (int t = 0; t < many; ++t) {
    std::thread([] { CHECK(cudaStreamQuery(cudaStreamPerThread)); }).join();
  }
  std::printf("per_thread_stream: %d threads of %d launches, %d of none\n", threads, launches, many);
  return Passed();
}
