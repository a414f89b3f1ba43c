// What the programs that mesh-bench measures share: `PROGRAM MODE COUNT ROUNDS` prints one line of JSON, whose array
// `ns` has a number a round; a round that is not counted goes first.
#pragma once

#include <cuda_runtime.h>
#include <time.h>

#include <functional>
#include <vector>

#include "tests/apps/check.h"

inline std::int64_t NowNs(clockid_t clock) {
  timespec now;
  clock_gettime(clock, &now);
  return static_cast<std::int64_t>(now.tv_sec) * 1000000000 + now.tv_nsec;
}

struct Bench {
  long count = 0;
  int rounds = 0;
  std::vector<std::int64_t> ns;

  // One round that is not counted, then those that are.
  void Rounds(const std::function<std::int64_t()>& round) {
    (void)round();
    for (int r = 0; r < rounds; ++r) ns.push_back(round());
  }
};

inline void PrintArray(const char* name, const std::vector<std::int64_t>& values) {
  std::printf(", \"%s\": [", name);
  for (std::size_t i = 0; i < values.size(); ++i)
    std::printf("%s%lld", i ? ", " : "", static_cast<long long>(values[i]));
  std::printf("]");
}

// CPU time of all threads of the process from the first post to the last one's end, but for what this thread spends in
// the wait itself. Bursts are small enough that posting never waits for the server.
template <typename Post>
void PostBursts(Bench& bench, Post post) {
  constexpr long kBurst = 2000;
  bench.Rounds([&] {
    std::int64_t spent = 0;
    for (long done = 0; done < bench.count; done += kBurst) {
      const std::int64_t process = NowNs(CLOCK_PROCESS_CPUTIME_ID);
      for (long i = 0; i < kBurst; ++i) post();
      const std::int64_t thread = NowNs(CLOCK_THREAD_CPUTIME_ID);
      CHECK(cudaDeviceSynchronize());
      spent -= NowNs(CLOCK_THREAD_CPUTIME_ID) - thread;
      spent += NowNs(CLOCK_PROCESS_CPUTIME_ID) - process;
    }
    return spent;
  });
}
