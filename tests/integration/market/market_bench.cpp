// slot-market as a process under load, on the disk of the build: grants a second, how long they and posted prices take
// to be answered, and that a kill -9 in the middle loses nothing acknowledged. The load generator is another process,
// whose processor time is told apart. Numbers are reported and never fail; a lost grant does.
//
//   market-bench [--store sqlite|etcd] [--seconds N] [--tenants N] [--window N] [--rate N] [--members N]
//                [--price-rate N] [--orders N [--promises 0]]
//
// With --orders: so many signed bids and asks a second, in epochs of 250 ms, all of it in the ledger and in the store.
// Grants are measured twice: as many as there can be, each connection with `window` under way; and at `rate` a second,
// whether answers come or not.
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <set>
#include <thread>

#include "tests/bench/disk.h"
#include "tests/conformance/registry/etcd_cluster.h"
#include "tests/integration/market/market_load.h"
#include "tests/integration/market/market_process.h"
#include "tests/integration/market/order_load.h"

namespace accelmesh::market {
namespace {

struct Options {
  std::string store = "sqlite";
  int seconds = 6;
  int tenants = 48;  // of at most 4,096 leases each
  int window = 4;
  int rate = 10'000;
  int members = 3;
  int price_rate = 1000;
  int orders = 0;    // a second: then nothing else is measured
  int promises = 1;  // of each of them
};

// The count that the preloaded counter keeps.
class SyncCount {
 public:
  explicit SyncCount(const Folder& folder) {
    const std::string path = folder.Path("syncs");
    const int file = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (ftruncate(file, 4096) == 0)
      memory_ = static_cast<std::uint64_t*>(mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0));
    close(file);
    setenv("ACCELMESH_SYNC_COUNT", path.c_str(), 1);
    setenv("LD_PRELOAD", ACCELMESH_COUNT_SYNCS, 1);
  }
  void Started() const { unsetenv("LD_PRELOAD"); }
  std::uint64_t value() const { return *memory_; }

 private:
  std::uint64_t* memory_ = nullptr;
};

// Processor time of the market, by thread, and of the load, from its making to Print().
class Meter {
 public:
  explicit Meter(pid_t pid) : pid_(pid), own_(OwnCpu()), theirs_(CpuOf(pid)), threads_(ThreadCpuOf(pid)) {}
  void Print(std::size_t done) const {
    const double seconds = std::chrono::duration<double>(Clock::now() - begin_).count();
    const double own = OwnCpu() - own_;
    const double theirs = CpuOf(pid_) - theirs_;
    const double each = 1e6 / static_cast<double>(std::max<std::size_t>(done, 1));
    std::printf(
        ",\"market_cores\":%.2f,\"load_cores\":%.2f,\"market_us\":%.1f,\"load_us\":%.1f,\"market_threads_us\":{",
        theirs / seconds, own / seconds, theirs * each, own * each);
    const char* comma = "";
    for (const auto& [name, time] : ThreadCpuOf(pid_)) {
      const auto before = threads_.find(name);
      const double spent = time - (before != threads_.end() ? before->second : 0);
      if (spent <= 0) continue;
      std::printf("%s\"%s\":%.1f", comma, name.c_str(), spent * each);
      comma = ",";
    }
    std::printf("}");
  }

 private:
  const pid_t pid_;
  const Instant begin_ = Clock::now();
  const double own_;
  const double theirs_;
  const std::map<std::string, double> threads_;
};

// Every lease that a load was told of and the market does not know any more.
std::size_t CountLost(const MarketProcess& market, const std::vector<security::Identity>& tenants,
                      const std::vector<std::set<std::string>>& acknowledged) {
  std::size_t lost = 0;
  for (std::size_t i = 0; i < tenants.size(); ++i) {
    MarketClient client(market.address(), tenants[i].key, "bench");
    const Result<messages::LeasesT> there = Ask<messages::LeasesT>(client, messages::ListLeasesT{}, In(60));
    std::set<std::string> ids;
    if (there.ok()) {
      for (const auto& lease : there->leases) ids.insert(lease->id);
    } else {
      std::fprintf(stderr, "error: %s\n", there.status().ToString().c_str());
    }
    for (const std::string& id : acknowledged[i]) lost += ids.contains(id) ? 0 : 1;
  }
  return lost;
}

int Run(const Options& options) {
  Folder folder;
  const bench::Disk disk = bench::MeasureDisk(folder.Path(""));
  std::vector<security::Identity> tenants;
  for (int i = 0; i < options.tenants; ++i)
    tenants.push_back(MakeIdentity(folder, "t" + std::to_string(i), security::Role::kTenant));
  std::vector<std::string> arguments;
  std::unique_ptr<registry::EtcdCluster> cluster;
  const SyncCount syncs(folder);
  if (options.store == "etcd") {
    syncs.Started();
    cluster = std::make_unique<registry::EtcdCluster>(static_cast<std::size_t>(options.members), folder.Path("etcd"));
    std::string urls;
    for (const std::string& endpoint : cluster->endpoints()) urls += (urls.empty() ? "http://" : ",http://") + endpoint;
    arguments = {"--store", "etcd:" + urls};
  }
  arguments.insert(arguments.end(), {"--metrics", "127.0.0.1:17893"});
  auto market = std::make_unique<MarketProcess>(folder, arguments);
  syncs.Started();
  std::vector<std::unique_ptr<security::Identity>> providers;
  std::vector<std::unique_ptr<BenchServer>> servers;
  for (int i = 0; i < 2; ++i) {
    const std::string name = "s" + std::to_string(i);
    providers.push_back(std::make_unique<security::Identity>(MakeIdentity(folder, name, security::Role::kProvider)));
    servers.push_back(std::make_unique<BenchServer>(*market, *providers.back(), name, 100));
    if (!servers.back()->registered().ok()) {
      std::fprintf(stderr, "error: %s\n", servers.back()->registered().ToString().c_str());
      return 1;
    }
  }
  std::printf(
      "{\"store\":\"%s\",\"file_system\":\"%s\",\"fdatasync_p50_ms\":%.2f,\"fdatasync_p99_ms\":%.2f,\"cores\":%u,"
      "\"tenants\":%d,\"window\":%d,\n ",
      options.store.c_str(), disk.file_system.c_str(), disk.p50_ms, disk.p99_ms, std::thread::hardware_concurrency(),
      options.tenants, options.window);
  std::vector<std::set<std::string>> acknowledged(tenants.size());
  if (options.orders > 0) {
    const std::uint64_t synced = syncs.value();
    OrderLoad load(*market, tenants, "cpu/Device", 1'000'000);
    const Meter meter(market->pid());
    load.Run(options.seconds, options.orders, options.promises != 0);
    load.PrintJson();
    meter.Print(load.done());
    // The market shows its counts twice a second.
    std::this_thread::sleep_for(std::chrono::milliseconds(1200));
    std::printf(",\"epochs\":%.0f,\"epochs_late\":%.0f,\"trades\":%.0f,\"fsyncs\":%llu}}\n",
                MetricOf(market->metrics(), "accelmesh_market_epochs_total"),
                MetricOf(market->metrics(), "accelmesh_market_epochs_late_total"),
                MetricOf(market->metrics(), "accelmesh_market_trades_total"),
                static_cast<unsigned long long>(syncs.value() - synced));
    for (std::size_t i = 0; i < tenants.size(); ++i)
      acknowledged[i].insert(load.leases()[i].begin(), load.leases()[i].end());
    // Killed and started anew, it knows every lease that was acknowledged.
    servers.clear();
    market->Kill();
    market = std::make_unique<MarketProcess>(folder, arguments);
    const std::size_t lost = CountLost(*market, tenants, acknowledged);
    std::fprintf(stderr, "acknowledged leases lost: %zu\n", lost);
    return lost == 0 ? 0 : 1;
  }
  const auto note = [&](const Load& load) {
    for (std::size_t i = 0; i < tenants.size(); ++i)
      acknowledged[i].insert(load.leases()[i].begin(), load.leases()[i].end());
  };
  {
    Load load(*market, tenants);
    const Meter meter(market->pid());
    load.Prices(5, options.price_rate);
    load.PrintJson("prices");
    meter.Print(load.done());
    std::printf("},\n ");
  }
  for (const int rate : {0, options.rate}) {
    Load load(*market, tenants);
    const Meter meter(market->pid());
    const std::uint64_t synced = syncs.value();
    load.Grants(options.seconds, options.window, rate);
    const std::uint64_t syncs_done = syncs.value() - synced;
    load.PrintJson(rate == 0 ? "grants" : "grants_at_rate");
    meter.Print(load.done());
    std::printf(",\"asked_per_second\":%d", rate);
    if (options.store == "sqlite") {
      std::printf(",\"fsyncs_per_grant\":%.4f",
                  static_cast<double>(syncs_done) / static_cast<double>(std::max<std::size_t>(load.done(), 1)));
    }
    std::printf("},\n ");
    std::fflush(stdout);
    note(load);
  }
  // Kill -9 in the middle of more of it: everything that was acknowledged is there.
  {
    Load load(*market, tenants);
    const pid_t pid = market->pid();
    std::atomic<bool> is_killed = false;
    std::thread killer([&] {
      std::this_thread::sleep_for(std::chrono::milliseconds(700));
      ::kill(pid, SIGKILL);
      // What it had sent is still on its way.
      std::this_thread::sleep_for(std::chrono::milliseconds(300));
      is_killed = true;
    });
    load.Grants(5, options.window, 0, [&] { return is_killed.load(); });
    killer.join();
    note(load);
    std::printf("\"kill_9\":{\"acknowledged_just_before\":%zu", load.done());
  }
  std::printf(",\"registrations\":%llu,\"pushes\":%llu",
              static_cast<unsigned long long>(servers[0]->registrations() + servers[1]->registrations()),
              static_cast<unsigned long long>(servers[0]->pushes() + servers[1]->pushes()));
  market->Kill();
  market = std::make_unique<MarketProcess>(folder, arguments);
  std::size_t all = 0;
  for (const std::set<std::string>& ids : acknowledged) all += ids.size();
  const std::size_t lost = CountLost(*market, tenants, acknowledged);
  std::printf(",\"acknowledged\":%zu,\"lost\":%zu}}\n", all, lost);
  servers.clear();
  return lost == 0 ? 0 : 1;
}

int Main(int argc, char** argv) {
  Options options;
  const auto usage = [](std::FILE* to, int code) {
    std::fprintf(to,
                 "usage: market-bench [--store sqlite|etcd] [--seconds N] [--tenants N] [--window N] [--rate N] "
                 "[--members N] [--price-rate N] [--orders N [--promises 0]]\n");
    return code;
  };
  for (int i = 1; i < argc; i += 2) {
    const std::string name = argv[i];
    if (name == "--help" || name == "-h") return usage(stdout, 0);
    if (i + 1 == argc) return usage(stderr, 2);
    int* number = name == "--seconds"      ? &options.seconds
                  : name == "--tenants"    ? &options.tenants
                  : name == "--window"     ? &options.window
                  : name == "--rate"       ? &options.rate
                  : name == "--members"    ? &options.members
                  : name == "--price-rate" ? &options.price_rate
                  : name == "--orders"     ? &options.orders
                  : name == "--promises"   ? &options.promises
                                           : nullptr;
    if (number != nullptr && std::atoi(argv[i + 1]) > 0) {
      *number = std::atoi(argv[i + 1]);
    } else if (name == "--promises" && std::string_view(argv[i + 1]) == "0") {
      options.promises = 0;
    } else if (name == "--store") {
      options.store = argv[i + 1];
    } else {
      return usage(stderr, 2);
    }
  }
  return Run(options);
}

}  // namespace
}  // namespace accelmesh::market

int main(int argc, char** argv) { return accelmesh::market::Main(argc, argv); }
