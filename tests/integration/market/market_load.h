// The load that market-bench puts on a slot-market: many requests under way on few connections, as cheaply as can be,
// so that one machine can carry both. Requests are encoded once and patched; answers are read in place.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <functional>
#include <map>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "tests/integration/market/market_process.h"

namespace accelmesh::market {

// User and system time so far, in seconds: of this process; of another; of each thread's name of another.
double OwnCpu();
double CpuOf(pid_t pid);
std::map<std::string, double> ThreadCpuOf(pid_t pid);

double Percentile(const std::vector<double>& sorted, double part);

// Threads: one.
class Load {
 public:
  Load(const MarketProcess& market, const std::vector<security::Identity>& tenants);
  ~Load();
  Load(const Load&) = delete;
  Load& operator=(const Load&) = delete;

  // Asks for thousandths of devices. `rate` a second, whether answers come or not (a late start counts as time); 0:
  // each connection keeps `window` under way. Ends early once `is_over` says so.
  void Grants(double seconds, int window, int rate, const std::function<bool()>& is_over = nullptr);
  // Lists posted prices at `rate` a second.
  void Prices(double seconds, int rate);
  void PrintJson(const char* what);

  std::size_t done() const { return times_.size(); }
  std::size_t failed() const { return failed_; }
  // The ids of all leases that were acknowledged, by connection.
  const std::vector<std::vector<std::string>>& leases() const { return leases_; }

 private:
  // A request that is encoded already; its number and operation id are written over.
  struct Template {
    Bytes bytes;
    std::size_t number_at = 0;
    std::size_t operation_at = 0;  // 0: has none
  };
  static Template MakeTemplate(messages::RequestT request);

  void Connect(const MarketProcess& market, const security::Identity& tenant);
  void Send(std::size_t connection, Template& request, Instant begin);
  void Paced(double seconds, int rate, Template& request, const std::function<bool()>& is_over);
  // Takes what has come; waits up to `wait_ms` if nothing has. Calls next(connection) for each answer.
  template <typename Next>
  void Receive(const Next& next, long wait_ms);
  template <typename Next>
  void Take(std::size_t connection, ByteView bytes, const Next& next);

  void* const context_;
  std::mt19937_64 random_{std::random_device{}()};
  std::vector<void*> sockets_;
  std::vector<std::vector<std::string>> leases_;
  Template grant_;
  Template prices_;
  std::vector<Instant> begun_;  // by number; none: answered
  std::size_t under_way_ = 0;
  std::vector<double> times_;
  std::size_t failed_ = 0;
  double seconds_ = 1;
};

// A registered server as gpu-server is one: it takes in what the market tells it all the time, says in time that it is
// there, and registers anew when its connection is.
class BenchServer {
 public:
  BenchServer(const MarketProcess& market, const security::Identity& identity, std::string name, int devices);
  ~BenchServer();
  BenchServer(const BenchServer&) = delete;
  BenchServer& operator=(const BenchServer&) = delete;
  Status registered() const { return registered_; }
  std::uint64_t pushes() const { return pushes_; }
  std::uint64_t registrations() const { return registrations_; }

 private:
  void Run(const std::function<bool()>& is_over);
  Status Register();

  MarketClient client_;
  const std::string name_;
  const int devices_;
  std::uint64_t connection_ = 0;
  std::atomic<std::uint64_t> pushes_ = 0;
  std::atomic<std::uint64_t> registrations_ = 0;
  std::atomic<bool> is_over_ = false;
  Status registered_;
  std::thread thread_;
};

}  // namespace accelmesh::market
