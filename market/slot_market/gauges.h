// What slot-market tells Prometheus. Nothing of a tenant's: counts, prices by class, times.
#pragma once

#include "market/desk/desk.h"
#include "protocol/metrics/metrics.h"

namespace accelmesh::market {

class Gauges {
 public:
  explicit Gauges(Metrics& metrics);
  void Granted(Duration took) { grant_seconds_.Observe(std::chrono::duration<double>(took).count()); }
  void Set(const Desk& desk);

 private:
  Metrics& metrics_;
  MetricTimes& grant_seconds_;
};

}  // namespace accelmesh::market
