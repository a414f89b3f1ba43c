#include "protocol/metrics/metrics.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <prometheus/counter.h>
#include <prometheus/exposer.h>
#include <prometheus/family.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <sys/socket.h>
#include <unistd.h>

#include <charconv>
#include <map>
#include <mutex>

namespace accelmesh {
namespace {

constexpr char kWhere[] = "Metrics";

using Labels = std::map<std::string, std::string>;
Labels ToMap(const MetricLabels& labels) { return {labels.begin(), labels.end()}; }

class CounterNumber final : public MetricNumber {
 public:
  explicit CounterNumber(prometheus::Counter& counter) : counter_(counter) {}
  void Add(double by) override {
    if (by > 0) counter_.Increment(by);
  }
  void Set(double value) override { Add(value - counter_.Value()); }
  prometheus::Counter& counter_;
};

class GaugeNumber final : public MetricNumber {
 public:
  explicit GaugeNumber(prometheus::Gauge& gauge) : gauge_(gauge) {}
  void Add(double by) override { gauge_.Increment(by); }
  void Set(double value) override { gauge_.Set(value); }
  prometheus::Gauge& gauge_;
};

class HistogramTimes final : public MetricTimes {
 public:
  explicit HistogramTimes(prometheus::Histogram& histogram) : histogram_(histogram) {}
  void Observe(double value) override { histogram_.Observe(value); }
  prometheus::Histogram& histogram_;
};

// civetweb says neither that a port is taken nor why: asked of the system first.
Status MayBind(const std::string& host, int port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  if (::inet_pton(AF_INET, host.c_str(), &address.sin_addr) != 1) {
    return {Code::kInvalidArgument, kWhere, host + " is no IPv4 address; --metrics looks like 127.0.0.1:7791"};
  }
  const int file = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (file < 0) return Status::System(errno, kWhere, "making a socket");
  // As civetweb does: what lingers of an earlier process is no hindrance.
  const int yes = 1;
  ::setsockopt(file, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
  const bool is_free =
      ::bind(file, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0 && ::listen(file, 1) == 0;
  const int error = errno;
  ::close(file);
  if (is_free) return {};
  return Status::System(error, kWhere, "listening on " + host + ":" + std::to_string(port));
}

}  // namespace

class Metrics::Impl {
 public:
  template <typename Family, typename Builder>
  Family& FamilyOf(std::map<std::string, Family*>& families, const std::string& name, const std::string& help,
                   Builder builder) {
    Family*& family = families[name];
    if (family == nullptr) family = &builder.Name(name).Help(help).Register(*registry);
    return *family;
  }
  std::mutex mutex;
  std::shared_ptr<prometheus::Registry> registry = std::make_shared<prometheus::Registry>();
  std::map<std::string, prometheus::Family<prometheus::Counter>*> counters;
  std::map<std::string, prometheus::Family<prometheus::Gauge>*> gauges;
  std::map<std::string, prometheus::Family<prometheus::Histogram>*> histograms;
  std::map<std::pair<std::string, Labels>, std::unique_ptr<CounterNumber>> counter_numbers;
  std::map<std::pair<std::string, Labels>, std::unique_ptr<GaugeNumber>> gauge_numbers;
  std::map<std::pair<std::string, Labels>, std::unique_ptr<HistogramTimes>> histogram_times;
  std::string address;
  // Last: its threads read the registry.
  std::unique_ptr<prometheus::Exposer> exposer;
};

Metrics::Metrics(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Metrics::~Metrics() = default;

Result<std::unique_ptr<Metrics>> Metrics::Start(const std::string& address) {
  const std::size_t colon = address.rfind(':');
  int first = 0;
  const char* end = address.data() + address.size();
  if (colon == std::string::npos || std::from_chars(address.data() + colon + 1, end, first).ptr != end || first < 1 ||
      first > 65535) {
    return Status(Code::kInvalidArgument, kWhere, "\"" + address + "\" is not of the form 127.0.0.1:7791");
  }
  const std::string host = address.substr(0, colon);
  Status last;
  for (int port = first; port < first + kPortsTried && port <= 65535; ++port) {
    last = MayBind(host, port);
    if (last.code() == Code::kInvalidArgument) return last;
    if (!last.ok()) continue;
    auto impl = std::make_unique<Impl>();
    impl->address = host + ":" + std::to_string(port);
    try {
      // Short requests from one scraper: two threads, no waiting for a client that stalls.
      impl->exposer = std::make_unique<prometheus::Exposer>(
          std::vector<std::string>{"listening_ports", impl->address, "num_threads", "2", "request_timeout_ms", "5000",
                                   "enable_keep_alive", "no"});
      impl->exposer->RegisterCollectable(impl->registry);
    } catch (const std::exception& error) {
      // Somebody took it in between.
      last = Status(Code::kUnavailable, kWhere, "listening on " + impl->address + ": " + error.what());
      continue;
    }
    return std::unique_ptr<Metrics>(new Metrics(std::move(impl)));
  }
  return Status(Code::kUnavailable, kWhere,
                last.text() + "; and neither are the next ports free: name another --metrics");
}

const std::string& Metrics::address() const { return impl_->address; }

MetricNumber& Metrics::Counter(const std::string& name, const std::string& help, const MetricLabels& labels) {
  const std::lock_guard lock(impl_->mutex);
  auto& number = impl_->counter_numbers[{name, ToMap(labels)}];
  if (number == nullptr) {
    auto& family = impl_->FamilyOf(impl_->counters, name, help, prometheus::BuildCounter());
    number = std::make_unique<CounterNumber>(family.Add(ToMap(labels)));
  }
  return *number;
}

MetricNumber& Metrics::Gauge(const std::string& name, const std::string& help, const MetricLabels& labels) {
  const std::lock_guard lock(impl_->mutex);
  auto& number = impl_->gauge_numbers[{name, ToMap(labels)}];
  if (number == nullptr) {
    auto& family = impl_->FamilyOf(impl_->gauges, name, help, prometheus::BuildGauge());
    number = std::make_unique<GaugeNumber>(family.Add(ToMap(labels)));
  }
  return *number;
}

void Metrics::ForgetGauge(const std::string& name, const MetricLabels& labels) {
  const std::lock_guard lock(impl_->mutex);
  const auto number = impl_->gauge_numbers.find({name, ToMap(labels)});
  if (number == impl_->gauge_numbers.end()) return;
  impl_->gauges[name]->Remove(&number->second->gauge_);
  impl_->gauge_numbers.erase(number);
}

MetricTimes& Metrics::Histogram(const std::string& name, const std::string& help, const std::vector<double>& bounds,
                                const MetricLabels& labels) {
  const std::lock_guard lock(impl_->mutex);
  auto& times = impl_->histogram_times[{name, ToMap(labels)}];
  if (times == nullptr) {
    auto& family = impl_->FamilyOf(impl_->histograms, name, help, prometheus::BuildHistogram());
    times = std::make_unique<HistogramTimes>(family.Add(ToMap(labels), bounds));
  }
  return *times;
}

}  // namespace accelmesh
