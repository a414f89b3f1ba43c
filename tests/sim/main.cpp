// Runs fault schedules of the market and says what they broke.
//
//   market-schedules [--first SEED] [--count N] [--seconds LIMIT]
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "protocol/base/clock.h"
#include "tests/sim/schedule.h"

int main(int argc, char** argv) {
  std::uint64_t first = 1;
  std::uint64_t count = 1000;
  double limit = 1e9;
  for (int i = 1; i + 1 < argc; i += 2) {
    if (std::strcmp(argv[i], "--first") == 0) {
      first = std::strtoull(argv[i + 1], nullptr, 10);
    } else if (std::strcmp(argv[i], "--count") == 0) {
      count = std::strtoull(argv[i + 1], nullptr, 10);
    } else if (std::strcmp(argv[i], "--seconds") == 0) {
      limit = std::strtod(argv[i + 1], nullptr);
    } else {
      std::fprintf(stderr, "usage: market-schedules [--first SEED] [--count N] [--seconds LIMIT]\n");
      return 2;
    }
  }
  const accelmesh::Instant begin = accelmesh::Clock::now();
  const auto passed = [&] { return std::chrono::duration<double>(accelmesh::Clock::now() - begin).count(); };
  accelmesh::market::ScheduleResult sum;
  std::uint64_t run = 0;
  std::uint64_t broken = 0;
  for (std::uint64_t seed = first; seed < first + count && passed() < limit; ++seed, ++run) {
    const accelmesh::market::ScheduleResult result = accelmesh::market::RunSchedule({seed, {}});
    for (const std::string& fault : result.faults)
      std::printf("seed %llu: %s\n", static_cast<unsigned long long>(seed), fault.c_str());
    broken += result.faults.empty() ? 0 : 1;
    sum.grants += result.grants;
    sum.operations += result.operations;
    sum.trades += result.trades;
    sum.elections += result.elections;
    sum.resyncs += result.resyncs;
    sum.revisions += result.revisions;
  }
  std::printf(
      "{\"schedules\":%llu,\"first_seed\":%llu,\"broken\":%llu,\"operations\":%llu,\"grants\":%llu,\"trades\":%llu,"
      "\"elections\":%llu,\"resyncs\":%llu,\"revisions_checked\":%llu,\"seconds\":%.1f}\n",
      static_cast<unsigned long long>(run), static_cast<unsigned long long>(first),
      static_cast<unsigned long long>(broken), static_cast<unsigned long long>(sum.operations),
      static_cast<unsigned long long>(sum.grants), static_cast<unsigned long long>(sum.trades),
      static_cast<unsigned long long>(sum.elections), static_cast<unsigned long long>(sum.resyncs),
      static_cast<unsigned long long>(sum.revisions), passed());
  return broken == 0 ? 0 : 1;
}
