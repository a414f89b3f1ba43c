// Numbers of a daemon, for Prometheus: an HTTP server on one address that answers GET /metrics.
//
// Values are set as they change, from any thread, without waiting; a scrape reads what is there. Nothing secret and
// nobody's data belongs in a name or a label: whoever can reach the address reads them all.
// Threads: all methods are safe from many. The server has threads of its own. Ownership: numbers live as long as their
// Metrics.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "protocol/base/result.h"

namespace accelmesh {

using MetricLabels = std::vector<std::pair<std::string, std::string>>;

// A counter (Add only) or a gauge.
class MetricNumber {
 public:
  virtual ~MetricNumber() = default;
  virtual void Add(double by) = 0;
  virtual void Set(double value) = 0;  // of a counter: never less than before
};

// A histogram.
class MetricTimes {
 public:
  virtual ~MetricTimes() = default;
  virtual void Observe(double value) = 0;
};

class Metrics {
 public:
  static constexpr int kPortsTried = 64;

  // Serves on `address`, "HOST:PORT"; if the port is taken, on the next free one. kInvalidArgument, kUnavailable.
  static Result<std::unique_ptr<Metrics>> Start(const std::string& address);
  ~Metrics();
  Metrics(const Metrics&) = delete;
  Metrics& operator=(const Metrics&) = delete;

  // Where it serves: what to tell the user.
  const std::string& address() const;

  // The same name and labels: the same number. Names are snake_case and begin with "accelmesh_"; a counter's ends in
  // "_total", and units are spelled out ("_seconds", "_bytes").
  MetricNumber& Counter(const std::string& name, const std::string& help, const MetricLabels& labels = {});
  MetricNumber& Gauge(const std::string& name, const std::string& help, const MetricLabels& labels = {});
  // `bounds`: upper bounds of the buckets, ascending. The first call for a name decides.
  MetricTimes& Histogram(const std::string& name, const std::string& help, const std::vector<double>& bounds,
                         const MetricLabels& labels = {});
  // Of a gauge whose thing is gone: no longer shown. The reference is void afterwards.
  void ForgetGauge(const std::string& name, const MetricLabels& labels);

 private:
  class Impl;
  explicit Metrics(std::unique_ptr<Impl> impl);
  const std::unique_ptr<Impl> impl_;
};

}  // namespace accelmesh
