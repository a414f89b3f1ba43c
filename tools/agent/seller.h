// Sells what a program has: posts the ask of its lease, and hears what became of it.
//
// The ask follows a policy, and is posted anew when what it stands for has moved by an eighth. The remaining value is
// what the user allows for the lease's time to come and what the program has cost so far, which would be lost with it:
// so who has run for long gives way for more. A part may be sold while the program runs on with the rest; who says
// `firm` never sells. Threads: one at a time.
#pragma once

#include <functional>
#include <set>
#include <string>

#include "tools/agent/negotiator.h"

namespace accelmesh::agent {

// What became of a lease.
struct Sale {
  std::uint32_t sold_milli = 0;  // new since the last time
  bool is_all = false;
  std::int64_t ends_ms = 0;  // then: when
};

class Seller {
 public:
  Seller(MarketPort& market, WorldPort& world, Negotiator::Sink sink, SellPolicy policy)
      : market_(market), world_(world), sink_(std::move(sink)), policy_(policy) {}

  // What is allowed for all of the lease, an hour; -1: nobody knows what it is worth. What it has cost until now.
  struct Worth {
    std::int64_t ceiling_microcredits_per_hour = -1;
    double spent_microcredits = 0;
    std::int64_t left_ms = 0;
  };
  bool sells() const { return policy_.kind != SellPolicy::Kind::kFirm; }
  // Does what is due, at most twice a second.
  Sale Tick(const Won& won, const Worth& worth);
  // The lease has another end or share: the ask follows.
  void Renewed() { is_posted_ = false; }

  // The ask for a whole device an hour, but for what giving it back would return; -1: none. Pure.
  static std::int64_t PriceOf(const SellPolicy& policy, std::uint32_t share_milli, const Worth& worth);

 private:
  void Post(const Won& won, const Worth& worth);
  // What to ask, of a whole device an hour; -1: nothing.
  static std::int64_t AskOf(const SellPolicy& policy, const Won& won, const Worth& worth);
  // Whether what it is worth has moved since it was posted, far enough to say so.
  bool HasMoved(const Won& won, const Worth& worth) const;

  MarketPort& market_;
  WorldPort& world_;
  Negotiator::Sink sink_;
  const SellPolicy policy_;
  std::set<std::string> told_;  // buyers' leases
  std::uint64_t number_ = 0;
  bool is_posted_ = false;
  bool is_refused_ = false;
  std::int64_t posted_price_ = -1;
  std::int64_t posted_ms_ = 0;
  std::int64_t next_ms_ = 0;
};

}  // namespace accelmesh::agent
