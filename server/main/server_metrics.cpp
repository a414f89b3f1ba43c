#include "server/main/server_metrics.h"

#include <chrono>
#include <future>

namespace accelmesh {
namespace {
constexpr std::chrono::milliseconds kRound{100};
constexpr int kRoundsOfShow = 10;
constexpr std::chrono::seconds kPatience{2};
}  // namespace

ServerMetrics::ServerMetrics(std::unique_ptr<Metrics> metrics, std::string backend, Hooks hooks)
    : metrics_(std::move(metrics)), backend_(std::move(backend)), hooks_(std::move(hooks)) {
  thread_ = std::thread([this] { Main(); });
}

ServerMetrics::~ServerMetrics() {
  stop_.store(true);
  thread_.join();
}

void ServerMetrics::Main() {
  for (int round = 0; !stop_.load(); ++round) {
    if (round % kRoundsOfShow == 0) {
      auto promise = std::make_shared<std::promise<ServerFacts>>();
      std::future<ServerFacts> facts = promise->get_future();
      hooks_.post([promise, ask = hooks_.facts] { promise->set_value(ask()); });
      if (facts.wait_for(kPatience) == std::future_status::ready) Show(facts.get());
    }
    std::this_thread::sleep_for(kRound);
  }
}

void ServerMetrics::Show(const ServerFacts& facts) {
  Metrics& m = *metrics_;
  m.Gauge("accelmesh_server_info", "1; what this gpu-server is.", {{"backend", backend_}}).Set(1);
  m.Gauge("accelmesh_server_sessions", "Sessions that are served now.").Set(facts.sessions);
  m.Gauge("accelmesh_server_warm_workers", "Workers that wait for a session.").Set(facts.warm_workers);
  m.Counter("accelmesh_server_sessions_total", "Sessions served so far.")
      .Set(static_cast<double>(facts.sessions_total));
  m.Counter("accelmesh_server_refused_total", "Hellos that were refused.")
      .Set(static_cast<double>(facts.refused_total));
  m.Counter("accelmesh_server_workers_died_total", "Workers that died of a signal.")
      .Set(static_cast<double>(facts.died_total));
  m.Gauge("accelmesh_server_device_seconds", "Device time of the leases and sessions that are known now.")
      .Set(static_cast<double>(facts.device_us) * 1e-6);
  for (const auto& [lease, use] : facts.leases) {
    const MetricLabels labels{{"lease", lease}};
    m.Gauge("accelmesh_lease_device_seconds", "Device time that a lease has used; those of late that have ended too.",
            labels)
        .Set(static_cast<double>(use.device_us) * 1e-6);
    m.Gauge("accelmesh_lease_memory_high_bytes",
            "The most device memory that a lease had; those of late that have ended too.", labels)
        .Set(static_cast<double>(use.memory_bytes_high));
  }
  for (const auto& [lease, use] : shown_) {
    if (facts.leases.contains(lease)) continue;
    m.ForgetGauge("accelmesh_lease_device_seconds", {{"lease", lease}});
    m.ForgetGauge("accelmesh_lease_memory_high_bytes", {{"lease", lease}});
  }
  shown_ = facts.leases;
  if (!hooks_.progress) return;
  const Provider::Progress progress = hooks_.progress();
  m.Gauge("accelmesh_server_registered", "1 while the market knows this server.").Set(progress.is_registered ? 1 : 0);
  m.Gauge("accelmesh_server_draining", "1 while its slot is drained.").Set(progress.is_draining ? 1 : 0);
  m.Counter("accelmesh_server_registrations_total", "Times that it registered.")
      .Set(static_cast<double>(progress.registrations));
  m.Counter("accelmesh_server_market_lost_total", "Times that the market was gone.")
      .Set(static_cast<double>(progress.lost));
  m.Counter("accelmesh_server_checks_total", "Measurements that were taken again.")
      .Set(static_cast<double>(progress.checks));
  m.Counter("accelmesh_server_changes_total", "Of those, that showed another device than before.")
      .Set(static_cast<double>(progress.changes));
}

}  // namespace accelmesh
