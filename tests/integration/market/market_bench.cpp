// slot-market as a process under load, on the disk of the build: grants a second, and how long posted prices take to be
// answered. The load generator is another process, whose processor time is told apart. Numbers are reported and never
// fail.
//
//   market-bench [--store sqlite|etcd] [--seconds N] [--tenants N] [--window N] [--members N] [--price-rate N]
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/vfs.h>
#include <unistd.h>
#include <zmq.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <map>
#include <random>
#include <thread>
#include <unordered_map>

#include "protocol/security/curve.h"
#include "protocol/transport/curve_socket.h"
#include "tests/conformance/registry/etcd_cluster.h"
#include "tests/integration/market/market_process.h"

namespace accelmesh::market {
namespace {

struct Options {
  std::string store = "sqlite";
  int seconds = 10;
  int tenants = 64;
  int window = 4;
  int members = 3;
  int price_rate = 1000;
};

double Percentile(std::vector<double>& sorted, double part) {
  return sorted.empty() ? 0 : sorted[static_cast<std::size_t>(part * static_cast<double>(sorted.size() - 1))];
}

double OwnCpu() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
         static_cast<double>(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

// User and system time of a process so far.
double CpuOf(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
  const std::string text((std::istreambuf_iterator<char>(file)), {});
  const std::size_t name = text.rfind(')');
  if (name == std::string::npos) return 0;
  unsigned long user = 0;
  unsigned long system = 0;
  std::sscanf(text.c_str() + name + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system);
  return static_cast<double>(user + system) / static_cast<double>(sysconf(_SC_CLK_TCK));
}

struct Disk {
  std::string file_system;
  double p50_ms = 0;
  double p99_ms = 0;
};
Disk MeasureDisk(const Folder& folder) {
  Disk disk;
  const std::string path = folder.Path("fdatasync");
  const int file = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  struct statfs facts{};
  fstatfs(file, &facts);
  disk.file_system = facts.f_type == 0xef53       ? "ext4"
                     : facts.f_type == 0x01021994 ? "tmpfs (not durable)"
                                                  : std::to_string(facts.f_type);
  std::vector<double> times;
  const std::vector<char> page(4096, 'x');
  for (int i = 0; i < 200; ++i) {
    const Instant begin = Clock::now();
    if (pwrite(file, page.data(), page.size(), i * 4096) < 0 || fdatasync(file) != 0) break;
    times.push_back(std::chrono::duration<double, std::milli>(Clock::now() - begin).count());
  }
  close(file);
  std::ranges::sort(times);
  disk.p50_ms = Percentile(times, 0.5);
  disk.p99_ms = Percentile(times, 0.99);
  return disk;
}

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

// Many connections, each with requests under way, on one thread.
class Load {
 public:
  Load(const MarketProcess& market, const std::vector<security::Identity>& tenants)
      : context_(zmq_ctx_new()), market_(market) {
    for (const security::Identity& tenant : tenants) Connect(tenant);
  }
  ~Load() {
    for (void* socket : sockets_) zmq_close(socket);
    zmq_ctx_term(context_);
  }
  Load(const Load&) = delete;
  Load& operator=(const Load&) = delete;

  // Each connection keeps `window` requests for a thousandth of a device under way.
  void Grants(int seconds, int window) {
    const Instant end = Clock::now() + std::chrono::seconds(seconds);
    const auto next = [&](std::size_t connection) {
      if (Clock::now() >= end) return;
      messages::RequestLeaseT ask = AskFor("0.001 TOPS fp32", 900'000);
      for (std::uint8_t& byte : ask.operation_id) byte = static_cast<std::uint8_t>(random_());
      Send(connection, std::move(ask));
    };
    for (std::size_t i = 0; i < sockets_.size(); ++i) {
      for (int j = 0; j < window; ++j) next(i);
    }
    const Instant begin = Clock::now();
    while (!under_way_.empty() && Clock::now() < end + std::chrono::seconds(10)) {
      Receive(next, 100);
    }
    seconds_ = std::chrono::duration<double>(std::min(Clock::now(), end) - begin).count();
  }
  // `rate` a second, whether answers come or not; a late start counts as time.
  void Prices(int seconds, int rate) {
    const Instant begin = Clock::now();
    const auto none = [](std::size_t) {};
    const auto count = static_cast<std::int64_t>(seconds) * rate;
    for (std::int64_t i = 0; i < count; ++i) {
      const Instant due = begin + std::chrono::nanoseconds(i * 1'000'000'000LL / rate);
      while (Clock::now() < due) Receive(none, 1);
      Send(static_cast<std::size_t>(i) % sockets_.size(), messages::ListPricesT{}, due);
    }
    while (!under_way_.empty() && Clock::now() < begin + std::chrono::seconds(seconds + 5)) Receive(none, 10);
    seconds_ = seconds;
  }
  void PrintJson(const char* what) {
    std::ranges::sort(times_);
    std::printf(
        "\"%s\":{\"per_second\":%.0f,\"count\":%zu,\"failed\":%zu,\"p50_ms\":%.2f,\"p99_ms\":%.2f,\"max_ms\":%.2f",
        what, static_cast<double>(times_.size()) / seconds_, times_.size(), failed_, Percentile(times_, 0.5),
        Percentile(times_, 0.99), Percentile(times_, 1));
  }
  std::size_t done() const { return times_.size(); }

 private:
  void Connect(const security::Identity& tenant) {
    void* socket = zmq_socket(context_, ZMQ_DEALER);
    const int none = 0;
    zmq_setsockopt(socket, ZMQ_LINGER, &none, sizeof(none));
    const Status status =
        zmq::SecureClient(socket, {*security::CurveKeyOf(market_.address().key), *security::CurvePairOf(tenant.key)});
    if (!status.ok() || zmq_connect(socket, market_.url().c_str()) != 0) std::abort();
    sockets_.push_back(socket);
    items_.push_back({socket, 0, ZMQ_POLLIN, 0});
    const std::size_t connection = sockets_.size() - 1;
    // Nobody is timed before he is let in and has his credits.
    messages::GreetT greet;
    greet.version_min = greet.version_max = kMarketVersion;
    Send(connection, std::move(greet));
    const auto nothing = [](std::size_t) {};
    while (!under_way_.empty()) Receive(nothing, 100);
    times_.clear();
    failed_ = 0;
  }
  template <typename Body>
  void Send(std::size_t connection, Body body, Instant begin = Clock::now()) {
    messages::RequestT request;
    request.number = ++number_;
    request.body.Set(std::move(body));
    under_way_[request.number] = begin;
    const Bytes bytes = EncodeRequest(request);
    zmq_send(sockets_[connection], bytes.data(), bytes.size(), 0);
  }
  template <typename Next>
  void Receive(const Next& next, long wait_ms) {
    if (zmq_poll(items_.data(), static_cast<int>(items_.size()), wait_ms) <= 0) return;
    for (std::size_t i = 0; i < items_.size(); ++i) {
      if ((items_[i].revents & ZMQ_POLLIN) == 0) continue;
      Bytes buffer(64 * 1024);
      while (true) {
        const int size = zmq_recv(sockets_[i], buffer.data(), buffer.size(), ZMQ_DONTWAIT);
        if (size < 0) break;
        const Result<messages::FromMarketT> message =
            DecodeFromMarket(ByteView(buffer).first(std::min(buffer.size(), static_cast<std::size_t>(size))));
        if (!message.ok() || message->reply == nullptr) continue;
        const auto begin = under_way_.find(message->reply->number);
        if (begin == under_way_.end()) continue;
        const auto* grants = message->reply->body.AsGrants();
        if (message->reply->code != 0 || (grants != nullptr && grants->granted.empty())) {
          if (++failed_ == 1) std::fprintf(stderr, "first failure: %s\n", message->reply->text.c_str());
        } else {
          times_.push_back(std::chrono::duration<double, std::milli>(Clock::now() - begin->second).count());
        }
        under_way_.erase(begin);
        next(i);
      }
    }
  }

  void* const context_;
  const MarketProcess& market_;
  std::mt19937_64 random_{std::random_device{}()};
  std::vector<void*> sockets_;
  std::vector<zmq_pollitem_t> items_;
  std::uint64_t number_ = 0;
  std::unordered_map<std::uint64_t, Instant> under_way_;
  std::vector<double> times_;
  std::size_t failed_ = 0;
  double seconds_ = 1;
};

int Run(const Options& options) {
  Folder folder;
  const Disk disk = MeasureDisk(folder);
  std::vector<security::Identity> tenants;
  for (int i = 0; i < options.tenants; ++i)
    tenants.push_back(MakeIdentity(folder, "t" + std::to_string(i), security::Role::kTenant));
  const security::Identity admin = MakeIdentity(folder, "boss", security::Role::kAdmin);
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
  std::vector<std::unique_ptr<MarketClient>> servers;
  for (int i = 0; i < 2; ++i) {
    providers.push_back(
        std::make_unique<security::Identity>(MakeIdentity(folder, "s" + std::to_string(i), security::Role::kProvider)));
    servers.push_back(std::make_unique<MarketClient>(market->address(), providers.back()->key, "bench"));
    const auto registered =
        Ask<messages::RegisteredT>(*servers.back(), ServerWith("s" + std::to_string(i), 100, 1, 1), In(10));
    if (!registered.ok()) {
      std::fprintf(stderr, "error: %s\n", registered.status().ToString().c_str());
      return 1;
    }
  }
  // Who registers has to say that it is still there.
  std::atomic<bool> is_over = false;
  std::thread keeper([&] {
    while (!is_over) {
      for (const auto& server : servers) (void)Ask<messages::KeptT>(*server, messages::KeepServerT{}, In(5));
      for (int j = 0; j < 20 && !is_over; ++j) std::this_thread::sleep_for(std::chrono::milliseconds(100));
    }
  });
  std::printf(
      "{\"store\":\"%s\",\"file_system\":\"%s\",\"fdatasync_p50_ms\":%.2f,\"fdatasync_p99_ms\":%.2f,\"tenants\":%d,"
      "\"window\":%d,\n ",
      options.store.c_str(), disk.file_system.c_str(), disk.p50_ms, disk.p99_ms, options.tenants, options.window);
  {
    Load load(*market, tenants);
    const double own = OwnCpu();
    const double theirs = CpuOf(market->pid());
    load.Prices(5, options.price_rate);
    load.PrintJson("prices_idle");
    std::printf(",\"market_cores\":%.2f,\"load_cores\":%.2f},\n ", (CpuOf(market->pid()) - theirs) / 5,
                (OwnCpu() - own) / 5);
  }
  std::size_t granted = 0;
  {
    Load load(*market, tenants);
    const double own = OwnCpu();
    const double theirs = CpuOf(market->pid());
    const std::uint64_t synced = syncs.value();
    load.Grants(options.seconds, options.window);
    const double market_cpu = CpuOf(market->pid()) - theirs;
    load.PrintJson("grants");
    granted = load.done();
    std::printf(",\"market_cores\":%.2f,\"load_cores\":%.2f", market_cpu / options.seconds,
                (OwnCpu() - own) / options.seconds);
    if (options.store == "sqlite") {
      std::printf(",\"fsyncs_per_grant\":%.4f",
                  static_cast<double>(syncs.value() - synced) / static_cast<double>(std::max<std::size_t>(granted, 1)));
    }
    std::printf("},\n ");
  }
  // Kill -9 in the middle of more of it: everything that was acknowledged is there.
  std::size_t acknowledged = granted;
  {
    Load load(*market, tenants);
    const pid_t pid = market->pid();
    std::thread killer([pid] {
      std::this_thread::sleep_for(std::chrono::milliseconds(700));
      ::kill(pid, SIGKILL);
    });
    load.Grants(1, options.window);
    killer.join();
    acknowledged += load.done();
  }
  is_over = true;
  keeper.join();
  market->Kill();
  market = std::make_unique<MarketProcess>(folder, arguments);
  MarketClient client(market->address(), admin.key, "bench");
  Result<messages::StatusReportT> status = Ask<messages::StatusReportT>(client, messages::GetStatusT{}, In(30));
  // Another replica's lease has to pass before this one leads.
  for (int i = 0; i < 100 && status.ok() && !status->is_leader; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    status = Ask<messages::StatusReportT>(client, messages::GetStatusT{}, In(30));
  }
  const std::size_t there = status.ok() ? status->leases : 0;
  std::printf("\"kill_9\":{\"acknowledged\":%zu,\"there\":%zu,\"lost\":%zu}}\n", acknowledged, there,
              there >= acknowledged ? std::size_t{0} : acknowledged - there);
  return 0;
}

int Main(int argc, char** argv) {
  Options options;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string name = argv[i];
    int* number = name == "--seconds"      ? &options.seconds
                  : name == "--tenants"    ? &options.tenants
                  : name == "--window"     ? &options.window
                  : name == "--members"    ? &options.members
                  : name == "--price-rate" ? &options.price_rate
                                           : nullptr;
    if (number != nullptr && std::atoi(argv[i + 1]) > 0) {
      *number = std::atoi(argv[i + 1]);
    } else if (name == "--store") {
      options.store = argv[i + 1];
    } else {
      std::fprintf(stderr,
                   "usage: market-bench [--store sqlite|etcd] [--seconds N] [--tenants N] [--window N] [--members N] "
                   "[--price-rate N]\n");
      return 2;
    }
  }
  return Run(options);
}

}  // namespace
}  // namespace accelmesh::market

int main(int argc, char** argv) { return accelmesh::market::Main(argc, argv); }
