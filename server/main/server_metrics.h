// The metrics of a gpu-server: what it says of itself (facts.h), on an address for Prometheus, renewed every second.
//
// Threads: one of its own, until the object's end.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "protocol/metrics/metrics.h"
#include "server/main/facts.h"
#include "server/main/provider.h"

namespace accelmesh {

class ServerMetrics {
 public:
  struct Hooks {
    std::function<void(std::function<void()>)> post;
    std::function<ServerFacts()> facts;            // on the supervisor's thread
    std::function<Provider::Progress()> progress;  // null without a market
  };
  ServerMetrics(std::unique_ptr<Metrics> metrics, std::string backend, Hooks hooks);
  ~ServerMetrics();

 private:
  void Main();
  void Show(const ServerFacts& facts);

  const std::unique_ptr<Metrics> metrics_;
  const std::string backend_;
  Hooks hooks_;
  std::map<std::string, LeaseFacts> shown_;
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

}  // namespace accelmesh
