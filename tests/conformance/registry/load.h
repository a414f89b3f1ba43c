// Clients that run random transactions on a few keys, and record what they saw.
#pragma once

#include <map>
#include <mutex>
#include <random>

#include "tests/conformance/registry/linearizability.h"

namespace accelmesh::registry {

class Load {
 public:
  struct Options {
    std::string prefix;
    int keys = 3;
    int each = 20;  // transactions of a client
    Duration patience = std::chrono::seconds(20);
  };
  Load(Options options, std::uint64_t seed, std::function<Instant()> now)
      : options_(std::move(options)), random_(seed), now_(std::move(now)) {}

  // Begins a client on `registry`, which outlives the load.
  void Start(Registry& registry);
  bool finished();
  // Call once finished.
  std::vector<Recorded> history() const { return history_; }
  std::string HistoryText() const;

 private:
  void Next(Registry& registry, int left);
  Txn RandomTxn();
  Compare RandomCompare();
  void Answered(std::size_t place, Result<TxnResult> result);
  std::string Key() { return options_.prefix + std::to_string(Random(static_cast<std::uint64_t>(options_.keys))); }
  std::uint64_t Random(std::uint64_t below) { return random_() % below; }

  const Options options_;
  std::mutex mutex_;
  std::mt19937_64 random_;
  std::function<Instant()> now_;
  std::uint64_t order_ = 0;
  int running_ = 0;
  int values_ = 0;
  std::map<std::string, Entry> seen_;  // what some client read last: makes compares that hold likely
  std::vector<Recorded> history_;
};

}  // namespace accelmesh::registry
