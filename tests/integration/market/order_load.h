// Orders as a load for market-bench: tenants bid for small shares of devices, sign each bid, and ask a price for leases
// that they have; so many a second, whether answers come or not.
#pragma once

#include <map>
#include <random>
#include <string>
#include <vector>

#include "tests/integration/market/market_process.h"

namespace accelmesh::market {

// Threads: one.
class OrderLoad {
 public:
  OrderLoad(const MarketProcess& market, const std::vector<security::Identity>& tenants, std::string class_name,
            std::int64_t posted);
  ~OrderLoad();
  OrderLoad(const OrderLoad&) = delete;
  OrderLoad& operator=(const OrderLoad&) = delete;

  // Of ten orders seven are bids that pay enough, one bids too little, and two are asks of leases that were bought.
  // `wants_promises`: each asks for the market's promise, as mesh-run's do.
  void Run(double seconds, int rate, bool wants_promises);
  void PrintJson();
  // The ids of all leases that were acknowledged, by tenant.
  const std::vector<std::vector<std::string>>& leases() const { return leases_; }
  std::size_t done() const;

 private:
  enum class Kind : std::uint8_t { kWins, kLow, kAsk };
  struct Sent {
    Kind kind = Kind::kWins;
    Instant begun;  // none: answered
  };
  void Send(std::size_t tenant, Kind kind, Instant begun);
  void Receive(long wait_ms);
  void Take(std::size_t tenant, ByteView bytes);

  void* const context_;
  std::mt19937_64 random_{std::random_device{}()};
  const std::vector<security::Identity>& tenants_;
  const std::string market_;
  const std::string class_name_;
  const std::int64_t posted_;
  std::vector<void*> sockets_;
  std::vector<std::vector<std::string>> leases_;
  std::vector<Sent> sent_;  // by number
  std::size_t under_way_ = 0;
  std::uint64_t orders_ = 0;
  std::map<Kind, std::vector<double>> times_;
  std::size_t unserved_ = 0;  // of those that pay enough
  std::size_t failed_ = 0;
  bool wants_promises_ = false;
  std::size_t promises_ = 0;
  double seconds_ = 1;
};

// The value of a counter that the market shows; -1 if it does not.
double MetricOf(const std::string& address, const std::string& name);

}  // namespace accelmesh::market
