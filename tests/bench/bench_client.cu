// The program that mesh-bench measures: plain CUDA, unmodified, one mode a run, one line of JSON as its result.
//
//     bench_client MODE COUNT ROUNDS
//
// Every round does COUNT operations (0: the set-up alone, so that its messages can be subtracted) and gives one number
// of the result's array `ns`. A round that is not counted goes first.
//   launches       launches with 4 arguments, then a wait for all of them            ns: wall time of the round
//   posts          launches in bursts that no queue refuses; only the posting counts ns: CPU time of the whole process
//   call           cudaEventElapsedTime: one message there, one reply back           ns: median of the latencies
//   launch_wait    a launch and cudaStreamSynchronize: one message there, progress back           (the same)
//   copy_wait      4 bytes to pageable memory: one message there, the bytes and progress back     (the same)
//   mallocs        cudaMalloc(512) and cudaFree, nothing pending                     ns: wall time of the round
//   mallocs_held   the same while a launch on the legacy stream stays incomplete     (run with ACCELMESH_TEST_HOLD=0)
//   events         cudaEventRecord, then a wait                                      ns: wall time of the round
//   copies         COUNT bytes in both directions, pinned and pageable               four arrays of ns, contents
//   checked
#include <cuda_runtime.h>

#include <algorithm>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "tests/bench/bench.h"

namespace {

__global__ void Four(int* /*out*/, int /*a*/, float /*b*/, std::uint64_t /*c*/) {}

void Launch(cudaStream_t stream) { Four<<<1, 1, 0, stream>>>(nullptr, 1, 2.0f, 3); }

// What a small program does; measured from outside.
void Start() {
  void* memory = nullptr;
  CHECK(cudaMalloc(&memory, 1024));
  Launch(nullptr);
  CHECK(cudaDeviceSynchronize());
}

void Launches(Bench& bench) {
  bench.Rounds([&] {
    const std::int64_t begin = NowNs(CLOCK_MONOTONIC);
    for (long i = 0; i < bench.count; ++i) Launch(nullptr);
    CHECK(cudaDeviceSynchronize());
    return NowNs(CLOCK_MONOTONIC) - begin;
  });
  CHECK(cudaGetLastError());
}

void Posts(Bench& bench) {
  PostBursts(bench, [] { Launch(nullptr); });
}

// Median of COUNT latencies of `operation`.
void Latencies(Bench& bench, const std::function<void()>& operation) {
  std::vector<std::int64_t> taken;
  bench.Rounds([&]() -> std::int64_t {
    taken.clear();
    for (long i = 0; i < bench.count; ++i) {
      const std::int64_t begin = NowNs(CLOCK_MONOTONIC);
      operation();
      taken.push_back(NowNs(CLOCK_MONOTONIC) - begin);
    }
    if (taken.empty()) return 0;
    std::nth_element(taken.begin(), taken.begin() + bench.count / 2, taken.end());
    return taken[static_cast<std::size_t>(bench.count / 2)];
  });
}

void Call(Bench& bench) {
  cudaEvent_t start;
  cudaEvent_t end;
  CHECK(cudaEventCreate(&start));
  CHECK(cudaEventCreate(&end));
  CHECK(cudaEventRecord(start));
  CHECK(cudaEventRecord(end));
  CHECK(cudaEventSynchronize(end));
  Latencies(bench, [&] {
    float milliseconds = 0;
    CHECK(cudaEventElapsedTime(&milliseconds, start, end));
  });
}

void LaunchWait(Bench& bench) {
  cudaStream_t stream;
  CHECK(cudaStreamCreate(&stream));
  Latencies(bench, [&] {
    Launch(stream);
    CHECK(cudaStreamSynchronize(stream));
  });
}

void CopyWait(Bench& bench) {
  int* device;
  int host = 0;
  CHECK(cudaMalloc(&device, sizeof(int)));
  CHECK(cudaMemset(device, 0, sizeof(int)));
  CHECK(cudaDeviceSynchronize());
  Latencies(bench, [&] { CHECK(cudaMemcpy(&host, device, sizeof(int), cudaMemcpyDeviceToHost)); });
  EXPECT(host == 0, "%d came back instead of 0", host);
}

// A launch on a stream of its own ends a round: what comes before it in the session's order has been executed then.
void Mallocs(Bench& bench, bool held) {
  cudaStream_t stream;
  CHECK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  if (held) Launch(nullptr);
  bench.Rounds([&] {
    const std::int64_t begin = NowNs(CLOCK_MONOTONIC);
    for (long i = 0; i < bench.count; ++i) {
      void* block;
      CHECK(cudaMalloc(&block, 512));
      CHECK(cudaFree(block));
    }
    Launch(stream);
    CHECK(cudaStreamSynchronize(stream));
    return NowNs(CLOCK_MONOTONIC) - begin;
  });
  if (held) EXPECT(cudaStreamQuery(nullptr) == cudaErrorNotReady, "the launch was not held");
}

void Events(Bench& bench) {
  cudaEvent_t event;
  CHECK(cudaEventCreateWithFlags(&event, cudaEventDisableTiming));
  bench.Rounds([&] {
    const std::int64_t begin = NowNs(CLOCK_MONOTONIC);
    for (long i = 0; i < bench.count; ++i) CHECK(cudaEventRecord(event));
    CHECK(cudaDeviceSynchronize());
    return NowNs(CLOCK_MONOTONIC) - begin;
  });
}

// A round copies there and back through memory of each kind; what comes back is compared with what went.
void Copies(Bench& bench) {
  const auto bytes = static_cast<std::size_t>(bench.count);
  std::vector<std::uint64_t> pageable_from(bytes / 8);
  std::vector<std::uint64_t> pageable_to(bytes / 8);
  void* pinned_from = nullptr;
  void* pinned_to = nullptr;
  void* device = nullptr;
  if (bytes != 0) {
    CHECK(cudaMallocHost(&pinned_from, bytes));
    CHECK(cudaMallocHost(&pinned_to, bytes));
    CHECK(cudaMalloc(&device, bytes));
  }
  Random random(1);
  std::vector<std::int64_t> taken[4];
  for (int round = 0; round <= bench.rounds && bytes != 0; ++round) {
    for (const bool pinned : {true, false}) {
      auto* from = pinned ? static_cast<std::uint64_t*>(pinned_from) : pageable_from.data();
      auto* to = pinned ? static_cast<std::uint64_t*>(pinned_to) : pageable_to.data();
      const std::uint64_t seed = random.Next();
      for (std::size_t i = 0; i < bytes / 8; ++i) from[i] = (seed + i) * 0x9e3779b97f4a7c15ull;
      std::memset(to, 0, bytes);
      const std::int64_t begin = NowNs(CLOCK_MONOTONIC);
      CHECK(cudaMemcpy(device, from, bytes, cudaMemcpyHostToDevice));
      CHECK(cudaDeviceSynchronize());
      const std::int64_t there = NowNs(CLOCK_MONOTONIC);
      CHECK(cudaMemcpy(to, device, bytes, cudaMemcpyDeviceToHost));
      const std::int64_t back = NowNs(CLOCK_MONOTONIC);
      EXPECT(std::memcmp(from, to, bytes) == 0, "other bytes came back");
      if (round == 0) continue;
      taken[pinned ? 0 : 2].push_back(there - begin);
      taken[pinned ? 1 : 3].push_back(back - there);
    }
  }
  PrintArray("to_device_pinned_ns", taken[0]);
  PrintArray("to_host_pinned_ns", taken[1]);
  PrintArray("to_device_pageable_ns", taken[2]);
  PrintArray("to_host_pageable_ns", taken[3]);
}

}  // namespace

int main(int argc, char** argv) {
  const std::string mode = argc == 4 ? argv[1] : "";
  Bench bench;
  if (argc == 4) {
    bench.count = std::atol(argv[2]);
    bench.rounds = std::atoi(argv[3]);
  }
  const std::pair<const char*, std::function<void()>> modes[] = {
      {"start", [&] { Start(); }},
      {"launches", [&] { Launches(bench); }},
      {"posts", [&] { Posts(bench); }},
      {"call", [&] { Call(bench); }},
      {"launch_wait", [&] { LaunchWait(bench); }},
      {"copy_wait", [&] { CopyWait(bench); }},
      {"mallocs", [&] { Mallocs(bench, false); }},
      {"mallocs_held", [&] { Mallocs(bench, true); }},
      {"events", [&] { Events(bench); }},
      {"copies", [&] { Copies(bench); }},
  };
  for (const auto& [name, run] : modes) {
    if (mode != name) continue;
    CHECK(cudaFree(nullptr));  // connects
    std::printf("{\"mode\": \"%s\", \"count\": %ld, \"rounds\": %d", name, bench.count, bench.rounds);
    run();
    PrintArray("ns", bench.ns);
    std::printf("}\n");
    return 0;
  }
  std::fprintf(stderr, "usage: bench_client MODE COUNT ROUNDS\n");
  return 2;
}
