// Grants a second, durable: each a transaction that takes a slot, as the market will (epoch compared and raised, the
// slot's record and an account put). Numbers are reported and never fail.
//
//   registry-bench [--store sqlite|etcd] [--folder FOLDER] [--seconds N] [--clients N] [--gang N] [--members N] [--etcd
//   PATH]
//
// FOLDER is on the disk that is measured (default: the build's), not on tmpfs. --gang N: slots of one transaction.
#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <mutex>
#include <thread>

#include "market/registry/epochs.h"
#include "market/registry/sqlite/sqlite_store.h"
#include "tests/bench/disk.h"
#include "tests/unit/market/registry/sqlite/fault_disk.h"
#ifdef ACCELMESH_ETCD
#include "market/registry/etcd/etcd_store.h"
#include "tests/conformance/registry/etcd_cluster.h"
#endif

namespace accelmesh::registry {
namespace {

struct Options {
  std::string store = "sqlite";
  std::string folder = ACCELMESH_SCRATCH;
  int seconds = 5;
  int clients = 128;
  int gang = 1;
  int members = 3;
};

using bench::CpuSeconds;
using bench::Percentile;

// Each client has slots of its own and grants them again and again.
class Load {
 public:
  Load(Registry& registry, const Options& options) : registry_(registry), options_(options) {}

  void Run() {
    const Instant begin = Clock::now();
    end_ = begin + std::chrono::seconds(options_.seconds);
    running_ = options_.clients;
    const double cpu = CpuSeconds();
    for (int client = 0; client < options_.clients; ++client) {
      Next(client, std::make_shared<std::vector<SlotEpoch>>(static_cast<std::size_t>(options_.gang)));
    }
    while (running_ > 0) std::this_thread::sleep_for(std::chrono::milliseconds(5));
    seconds_ = std::chrono::duration<double>(Clock::now() - begin).count();
    cpu_ = CpuSeconds() - cpu;
  }
  void Print() {
    std::ranges::sort(times_);
    const double transactions = static_cast<double>(times_.size());
    std::printf(
        "%.0f transactions/s, %.0f grants/s; p50 %.2f ms, p99 %.2f ms, max %.2f ms; %zu failed; %d clients, %.1f s; "
        "this process used %.2f cores\n",
        transactions / seconds_, transactions * options_.gang / seconds_, Percentile(times_, 0.5),
        Percentile(times_, 0.99), Percentile(times_, 1), failed_, options_.clients, seconds_, cpu_ / seconds_);
  }
  std::size_t transactions() const { return times_.size(); }

 private:
  void Next(int client, std::shared_ptr<std::vector<SlotEpoch>> seen) {
    const Instant begin = Clock::now();
    if (begin >= end_) {
      --running_;
      return;
    }
    Txn txn;
    const std::string name = std::to_string(client);
    std::vector<std::uint64_t> epochs;
    for (std::size_t i = 0; i < seen->size(); ++i) {
      const std::string slot = name + "." + std::to_string(i);
      epochs.push_back(*AddGrant(txn, slot, (*seen)[i]));
      txn.then.push_back(Operation::Put("/slot/" + slot, std::string(200, 's')));
    }
    txn.then.push_back(Operation::Put("/acct/" + name, std::string(60, 'a')));
    registry_.Submit(std::move(txn), begin + std::chrono::seconds(30),
                     [this, client, begin, seen, epochs](Result<TxnResult> result) {
                       {
                         const std::lock_guard lock(mutex_);
                         if (result.ok() && result->succeeded) {
                           times_.push_back(std::chrono::duration<double, std::milli>(Clock::now() - begin).count());
                           for (std::size_t i = 0; i < epochs.size(); ++i) (*seen)[i] = {epochs[i], result->revision};
                         } else if (++failed_ == 1) {
                           std::printf("first failure: %s\n",
                                       result.ok() ? "lost a slot of its own" : result.status().ToString().c_str());
                         }
                       }
                       Next(client, seen);
                     });
  }

  Registry& registry_;
  const Options options_;
  Instant end_;
  std::atomic<int> running_{0};
  std::mutex mutex_;
  std::vector<double> times_;
  std::size_t failed_ = 0;
  double seconds_ = 0;
  double cpu_ = 0;
};

int RunSqlite(const Options& options) {
  const FaultDisk disk;  // counts syncs
  SqliteOptions sqlite;
  sqlite.file.path = options.folder + "/registry.sqlite";
  sqlite.file.vfs = FaultDisk::name();
  Result<std::unique_ptr<Registry>> store = OpenSqliteStore(sqlite);
  if (!store.ok()) {
    std::fprintf(stderr, "error: %s\n", store.status().ToString().c_str());
    return 1;
  }
  FaultDisk::KeepSynced(false);
  const std::uint64_t before = FaultDisk::syncs();
  Load load(**store, options);
  load.Run();
  load.Print();
  std::printf("%.4f syncs per transaction\n",
              static_cast<double>(FaultDisk::syncs() - before) / static_cast<double>(load.transactions()));
  return 0;
}

#ifdef ACCELMESH_ETCD
int RunEtcd(const Options& options) {
  const EtcdCluster cluster(static_cast<std::size_t>(options.members), options.folder);
  EtcdOptions etcd;
  etcd.endpoints = cluster.endpoints();
  etcd.connect = std::chrono::seconds(30);
  Result<std::unique_ptr<EtcdStore>> store = OpenEtcdStore(etcd);
  if (!store.ok()) {
    std::fprintf(stderr, "error: %s\n", store.status().ToString().c_str());
    return 1;
  }
  std::printf("etcd %s, %d members on loopback, on the cores of this process\n", (*store)->version().c_str(),
              options.members);
  Load load(**store, options);
  load.Run();
  load.Print();
  return 0;
}
#else
int RunEtcd(const Options&) {
  std::fprintf(stderr, "error: built without etcd\n");
  return 1;
}
#endif

int Main(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string name = argv[i];
    const char* value = i + 1 < argc ? argv[++i] : nullptr;
    int* number = name == "--seconds"   ? &options.seconds
                  : name == "--clients" ? &options.clients
                  : name == "--gang"    ? &options.gang
                  : name == "--members" ? &options.members
                                        : nullptr;
    if (value != nullptr && number != nullptr && std::atoi(value) > 0) {
      *number = std::atoi(value);
    } else if (value != nullptr && name == "--store") {
      options.store = value;
    } else if (value != nullptr && name == "--folder") {
      options.folder = value;
    } else {
      std::fprintf(stderr,
                   "usage: registry-bench [--store sqlite|etcd] [--folder FOLDER] [--seconds N] [--clients N] [--gang "
                   "N] [--members N]\n");
      return 2;
    }
  }
  return bench::InScratch(options.folder, [&options](const std::string& folder) {
    options.folder = folder;
    return options.store == "etcd" ? RunEtcd(options) : RunSqlite(options);
  });
}

}  // namespace
}  // namespace accelmesh::registry

int main(int argc, char** argv) { return accelmesh::registry::Main(argc, argv); }
