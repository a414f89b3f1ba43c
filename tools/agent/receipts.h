// Signs for leases that are over: what the program got of each, so that its provider is paid in reputation, or the
// tenant is refunded.
//
// A receipt counts when both sides have signed the same words. The tenant signs first, with what it knows; where the
// provider has signed other words since, it takes those that do it no harm, and else leaves it at its own: a dispute
// counts for nobody. What a run leaves unsigned the next one finds.
// Threads: one at a time.
#pragma once

#include <map>
#include <string>

#include "tools/agent/negotiator.h"

namespace accelmesh::agent {

class Receipts {
 public:
  Receipts(MarketPort& market, Negotiator::Sink sink) : market_(market), sink_(std::move(sink)) {}

  // What this run knows of a lease of its own, and what its gpu-server said at its end; others are thought to have been
  // as they should be.
  void Note(const std::string& lease, const LeaseWords& words, std::optional<DeviceUse> use = std::nullopt) {
    words_[lease] = {words, use};
  }
  // Signs what is open and not yet signed as it is now. Does not wait longer than `patience_ms` for each answer.
  void Sign(std::int64_t patience_ms);

  // What to say of `open`, knowing `own`: the provider's words, if it has signed and they do the tenant no harm.
  static LeaseWords WordsFor(const OpenReceipt& open, const LeaseWords& own);

 private:
  struct Known {
    LeaseWords words;
    std::optional<DeviceUse> use;
  };
  static LeaseWords OwnWords(const OpenReceipt& open, const Known& known);

  MarketPort& market_;
  Negotiator::Sink sink_;
  std::map<std::string, Known> words_;
  std::map<std::string, LeaseWords> signed_;  // by this run
};

}  // namespace accelmesh::agent
