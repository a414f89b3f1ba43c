// How fast bodies go over tcp and ipc, plain and sealed: transfers of some sizes in bodies of 1 MiB at most, up into
// memory of the server's and down into the client's. Both ends are in this process, on whatever cores there are. A
// plain transfer and a sealed one take turns, so that both see the same machine. Rates are the best of some rounds:
// what the transport can do, not how busy the machine is. The processor's time, of both ends and of the kernel for
// them, is the median.
//
//   bulk-bench [ROUNDS] [KIB...]
#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>

#include "protocol/transport/gcm.h"
#include "tests/conformance/transport/executor.h"
#include "tests/conformance/transport/transports.h"

namespace accelmesh {
namespace {

using conformance::In;

constexpr std::size_t kBytesMax = 64 * limits::kMiB;

double Seconds(const timeval& time) {
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
}
double ProcessorSeconds() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  return Seconds(usage.ru_utime) + Seconds(usage.ru_stime);
}

// One direction of one transport at one size.
struct Figures {
  std::vector<double> gb_per_s;
  std::vector<double> processor_s_per_gb;
  double Best() const { return *std::max_element(gb_per_s.begin(), gb_per_s.end()); }
  double Cost() const { return Median(processor_s_per_gb); }
  double Middle() const { return Median(gb_per_s); }

 private:
  static double Median(std::vector<double> values) {
    std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2), values.end());
    return values[values.size() / 2];
  }
};

class Timer {
 public:
  void AddTo(Figures& figures, std::size_t bytes) const {
    const double gb = static_cast<double>(bytes) / 1e9;
    figures.gb_per_s.push_back(gb / std::chrono::duration<double>(Clock::now() - begin_).count());
    figures.processor_s_per_gb.push_back((ProcessorSeconds() - processor_) / gb);
  }

 private:
  const double processor_ = ProcessorSeconds();
  const Instant begin_ = Clock::now();
};

// A session whose server copies what comes into memory of its own.
class Session {
 public:
  explicit Session(const conformance::Transport& transport)
      : pair_(conformance::Open(transport)), device_(kBytesMax), host_(kBytesMax, 7) {
    if (pair_.client == nullptr || pair_.server == nullptr) std::exit(1);
    executor_ = std::make_unique<conformance::Executor>(*pair_.server, [this](const ReceivedFrame&) { TakeBodies(); });
  }

  void Up(std::size_t bytes, Figures& figures) {
    const std::size_t bodies = (bytes + limits::kBulkBytesMax - 1) / limits::kBulkBytesMax;
    until_ = next_ + bodies;
    first_ = next_;
    const Timer timer;
    for (std::size_t at = 0; at < bytes; at += limits::kBulkBytesMax, ++next_) {
      const ByteView body = ByteView(host_).subspan(at, std::min(bytes - at, limits::kBulkBytesMax));
      if (!pair_.client->SendBulk(next_, body, In(20000)).ok()) std::exit(1);
    }
    const auto completed = [&] { return pair_.client->progress().completed[0].load(std::memory_order_acquire); };
    if (!PumpUntil(*pair_.client, sink_, [&] { return completed() >= until_; }).ok()) std::exit(1);
    timer.AddTo(figures, bytes);
  }

  void Down(std::size_t bytes, Figures& figures) {
    const std::uint64_t token = 1'000'000'000 + ++expected_;
    std::fill_n(host_.begin(), bytes, 0);
    if (!pair_.client->ExpectBulk(token, MutableByteView(host_).first(bytes)).ok()) std::exit(1);
    std::atomic<bool> go{false};
    std::thread sender([&] {
      while (!go) std::this_thread::yield();
      for (std::size_t at = 0; at < bytes; at += limits::kBulkBytesMax) {
        const ByteView piece = ByteView(device_).subspan(at, std::min(bytes - at, limits::kBulkBytesMax));
        if (!pair_.server->SendBulk(token, at, piece, In(20000)).ok()) std::exit(1);
      }
    });
    const Timer timer;
    go = true;
    if (!PumpUntil(*pair_.client, sink_, [&] { return pair_.client->BulkLanded(token); }).ok()) std::exit(1);
    timer.AddTo(figures, bytes);
    sender.join();
    if (std::count(host_.begin(), host_.end(), 7) != static_cast<long>(kBytesMax)) std::exit(1);
  }

 private:
  void TakeBodies() {
    while (taken_ < until_) {
      auto body = pair_.server->TakeBulk(taken_);
      if (!body.ok()) return;
      const ByteView bytes = (*body)->bytes();
      std::memcpy(device_.data() + (taken_ - first_) * limits::kBulkBytesMax, bytes.data(), bytes.size());
      if (++taken_ == until_) pair_.server->PublishCompleted(0, taken_);
    }
  }

  conformance::Pair pair_;
  Bytes device_;
  Bytes host_;
  conformance::Collector sink_;
  std::uint64_t next_ = 1;
  std::uint64_t expected_ = 0;
  std::atomic<std::uint64_t> first_{1};
  std::atomic<std::uint64_t> taken_{1};
  std::atomic<std::uint64_t> until_{1};
  std::unique_ptr<conformance::Executor> executor_;
};

void Print(const char* name, std::size_t kib, const char* direction, const Figures& plain, const Figures& sealed) {
  std::printf("%-12s %8zu %-5s %8.2f %8.2f %6.2f %12.2f %11.3f %11.3f\n", name, kib, direction, plain.Best(),
              sealed.Best(), sealed.Best() / plain.Best(), sealed.Middle() / plain.Middle(), plain.Cost(),
              sealed.Cost());
  std::fflush(stdout);
}

void Measure(const conformance::Transport& plain, const conformance::Transport& sealed, std::size_t rounds,
             const std::vector<std::size_t>& kibs) {
  Session plain_session(plain);
  Session sealed_session(sealed);
  Figures warm;
  for (Session* session : {&plain_session, &sealed_session}) {
    session->Up(kBytesMax, warm);
    session->Down(kBytesMax, warm);
  }
  for (const std::size_t kib : kibs) {
    const std::size_t bytes = std::min(kib * limits::kKiB, kBytesMax);
    Figures up[2];
    Figures down[2];
    for (std::size_t round = 0; round < 2 * rounds; ++round) {
      const bool is_sealed = round % 2 != 0;
      Session& session = is_sealed ? sealed_session : plain_session;
      session.Up(bytes, up[is_sealed]);
      session.Down(bytes, down[is_sealed]);
    }
    Print(plain.name.c_str(), kib, "up", up[0], up[1]);
    Print(plain.name.c_str(), kib, "down", down[0], down[1]);
  }
}

}  // namespace
}  // namespace accelmesh

int main(int argc, char** argv) {
  using namespace accelmesh;
  const std::size_t rounds = static_cast<std::size_t>(argc > 1 ? std::max(1, std::atoi(argv[1])) : 10);
  std::vector<std::size_t> kibs;
  for (int i = 2; i < argc; ++i) kibs.push_back(static_cast<std::size_t>(std::max(1, std::atoi(argv[i]))));
  if (kibs.empty()) kibs = {1024, 8 * 1024, 64 * 1024};
  std::printf("sealed by %s\n", FastestGcm() == GcmLibrary::kIpsecMb ? "ipsec-mb" : "OpenSSL");
  std::printf("%-12s %8s %-5s %8s %8s %6s %12s %11s %11s\n", "", "KiB", "", "plain", "sealed", "ratio", "of medians",
              "plain", "sealed");
  std::printf("%-12s %8s %-5s %8s %8s %6s %12s %11s %11s\n", "", "", "", "GB/s", "GB/s", "", "", "CPU s/GB",
              "CPU s/GB");
  std::vector<conformance::Transport> all = conformance::AllTransports();
  for (const conformance::Transport& plain : all) {
    const auto sealed =
        std::find_if(all.begin(), all.end(), [&](const auto& other) { return other.name == plain.name + "_curve"; });
    if (sealed == all.end() || plain.name.find("rdma") != std::string::npos) continue;
    Measure(plain, *sealed, rounds, kibs);
  }
  return 0;
}
