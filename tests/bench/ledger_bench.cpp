// Entries a second, and how long an entry waits until it is durable in a signed checkpoint. Numbers are reported and
// never fail.
//
//   ledger-bench [--folder FOLDER] [--seconds N] [--rate ENTRIES/S] [--batch-ms N] [--bytes N] [--verify]
//
// FOLDER is on the disk that is measured (default: the build's), not on tmpfs. First as fast as it goes, in batches of
// 1,000; then at RATE, a batch every --batch-ms: an entry's wait is from its arrival to the return of its batch.
// --verify then also runs a market's epochs and verifies its folder.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <thread>

#include "market/ledger/folder_store.h"
#include "market/ledger/market_orders.h"
#include "tests/bench/disk.h"
#include "tests/unit/market/ledger/epoch_world.h"
#include "tests/unit/market/ledger/scratch.h"

namespace accelmesh::market::ledger {
namespace {

using Clock = std::chrono::steady_clock;

struct Options {
  std::string folder = ACCELMESH_SCRATCH;
  int seconds = 5;
  int rate = 10'000;
  int batch_ms = 50;
  int bytes = 200;
  bool verify = false;
};

double MsSince(Clock::time_point begin) {
  return std::chrono::duration<double, std::milli>(Clock::now() - begin).count();
}

using bench::CpuSeconds;
using bench::Percentile;

std::unique_ptr<Log> OpenLog(const std::string& path) {
  Result<std::unique_ptr<Store>> store = OpenFolder(path, Access::kAppend);
  if (!store.ok()) return nullptr;
  Result<std::unique_ptr<Log>> log = Log::Open(std::move(*store), "bench", KeyOf(1));
  return log.ok() ? std::move(*log) : nullptr;
}

std::vector<Bytes> BatchOf(std::size_t count, std::uint64_t first, int bytes) {
  std::vector<Bytes> batch(count, Bytes(static_cast<std::size_t>(std::max(bytes, 8)), 'e'));
  for (std::size_t i = 0; i < count; ++i) {
    const std::uint64_t number = first + i;
    std::memcpy(batch[i].data(), &number, sizeof(number));
  }
  return batch;
}

bool RunFast(const Options& options) {
  const std::unique_ptr<Log> log = OpenLog(options.folder + "/fast");
  if (log == nullptr) return false;
  std::vector<double> times;
  const Clock::time_point begin = Clock::now();
  const double cpu = CpuSeconds();
  while (MsSince(begin) < options.seconds * 1000.0) {
    const std::vector<Bytes> batch = BatchOf(1000, log->size(), options.bytes);
    const Clock::time_point start = Clock::now();
    if (!log->Append(batch).ok()) return false;
    times.push_back(MsSince(start));
  }
  const double seconds = MsSince(begin) / 1000;
  std::printf(
      "as fast as it goes: %.0f entries/s of %d bytes in batches of 1,000; a batch p50 %.1f ms, p99 %.1f ms, max %.1f "
      "ms; "
      "%.2f cores\n",
      static_cast<double>(log->size()) / seconds, options.bytes, Percentile(times, 0.5), Percentile(times, 0.99),
      Percentile(times, 1), (CpuSeconds() - cpu) / seconds);
  const std::uint64_t size = log->size();
  std::vector<double> proofs;
  for (std::uint64_t i = 0; i < 1000; ++i) {
    const Clock::time_point start = Clock::now();
    if (!log->ProveEntry(i * 7919 % size).ok()) return false;
    proofs.push_back(MsSince(start) * 1000);
  }
  std::printf("a proof of an entry among %llu: p50 %.0f us, p99 %.0f us (from files, uncached)\n",
              static_cast<unsigned long long>(size), Percentile(proofs, 0.5), Percentile(proofs, 0.99));
  return true;
}

bool RunPaced(const Options& options) {
  const std::unique_ptr<Log> log = OpenLog(options.folder + "/paced");
  if (log == nullptr) return false;
  // Entries arrive evenly; each batch takes all that have arrived.
  std::vector<double> waits;
  const Clock::time_point begin = Clock::now();
  const double cpu = CpuSeconds();
  std::uint64_t appended = 0;
  while (MsSince(begin) < options.seconds * 1000.0) {
    std::this_thread::sleep_for(std::chrono::milliseconds(options.batch_ms));
    const double arrived_at = MsSince(begin);
    const auto arrived = static_cast<std::uint64_t>(arrived_at * options.rate / 1000);
    if (arrived == appended) continue;
    if (!log->Append(BatchOf(arrived - appended, appended, options.bytes)).ok()) return false;
    const double done = MsSince(begin);
    for (std::uint64_t i = appended; i < arrived; ++i)
      waits.push_back(done - static_cast<double>(i) * 1000 / options.rate);
    appended = arrived;
  }
  const double seconds = MsSince(begin) / 1000;
  std::printf(
      "at %d entries/s, a batch every %d ms: %.0f entries/s; from arrival to a signed, durable checkpoint p50 %.1f ms, "
      "p99 %.1f ms, max %.1f ms; %.2f cores\n",
      options.rate, options.batch_ms, static_cast<double>(appended) / seconds, Percentile(waits, 0.5),
      Percentile(waits, 0.99), Percentile(waits, 1), (CpuSeconds() - cpu) / seconds);
  return true;
}

bool RunVerify(const Options& options) {
  const std::string path = options.folder + "/market";
  Result<std::unique_ptr<Store>> store = OpenFolder(path, Access::kAppend);
  if (!store.ok()) return false;
  std::vector<double> seals;
  EpochWorld world(std::move(*store), 1);
  world.PostAsks(50);
  const Clock::time_point begin = Clock::now();
  for (int epoch = 0; epoch < 40; ++epoch) {
    const Clock::time_point start = Clock::now();
    world.RunEpoch(500, 4);  // 2,000 orders/s at epochs of 250 ms
    seals.push_back(MsSince(start));
  }
  std::printf(
      "epochs of 500 bids and 50 asks, signed, sealed, cleared and recorded: p50 %.1f ms, max %.1f ms (%.1f s in "
      "all)\n",
      Percentile(seals, 0.5), Percentile(seals, 1), MsSince(begin) / 1000);
  const Clock::time_point start = Clock::now();
  const Result<FolderReport> report = VerifyFolder(path, world.check(), MarketOrders());
  if (!report.ok() || !report->discrepancy.ok()) return false;
  const double seconds = MsSince(start) / 1000;
  std::printf("verified: %llu entries, %llu epochs in %.2f s: %.0f entries/s, %.0f epochs/s\n",
              static_cast<unsigned long long>(report->facts.head.size),
              static_cast<unsigned long long>(report->facts.epochs), seconds,
              static_cast<double>(report->facts.head.size) / seconds,
              static_cast<double>(report->facts.epochs) / seconds);
  return true;
}

int Main(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string name = argv[i];
    if (name == "--verify") {
      options.verify = true;
      continue;
    }
    const char* value = i + 1 < argc ? argv[++i] : nullptr;
    int* number = name == "--seconds"    ? &options.seconds
                  : name == "--rate"     ? &options.rate
                  : name == "--batch-ms" ? &options.batch_ms
                  : name == "--bytes"    ? &options.bytes
                                         : nullptr;
    if (value != nullptr && number != nullptr && std::atoi(value) > 0) {
      *number = std::atoi(value);
    } else if (value != nullptr && name == "--folder") {
      options.folder = value;
    } else {
      std::fprintf(stderr,
                   "usage: ledger-bench [--folder FOLDER] [--seconds N] [--rate ENTRIES/S] [--batch-ms N] [--bytes N] "
                   "[--verify]\n");
      return 2;
    }
  }
  return bench::InScratch(options.folder, [&options](const std::string& folder) {
    options.folder = folder;
    const bool ran = RunFast(options) && RunPaced(options) && (!options.verify || RunVerify(options));
    if (!ran) std::fprintf(stderr, "error: the ledger failed\n");
    return ran ? 0 : 1;
  });
}

}  // namespace
}  // namespace accelmesh::market::ledger

int main(int argc, char** argv) { return accelmesh::market::ledger::Main(argc, argv); }
