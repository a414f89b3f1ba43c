// From a wish to leases that a gpu-server has admitted, step by step: analyse, predict, request, price, query, select,
// secure, allocate. A step that fails says why, and the next slot or the next smaller request is tried.
//
// What is won and cannot be used is given back at once. Threads: one.
#pragma once

#include <functional>
#include <set>
#include <string>
#include <vector>

#include "tools/agent/core/choose.h"
#include "tools/agent/core/profile.h"
#include "tools/agent/core/scale_down.h"
#include "tools/agent/ports.h"

namespace accelmesh::agent {

// At what a lease is given back before its time.
struct SellPolicy {
  enum class Kind : std::uint8_t { kRemainingValue, kPrice, kFirm };
  Kind kind = Kind::kRemainingValue;
  std::int64_t price_microcredits_per_hour = 0;  // of kPrice: of a whole device
  std::uint32_t share_milli = 1000;              // at most so much of it; the program keeps the rest
  std::int64_t notice_us = 5'000'000;            // how long the program goes on after all of it was sold
};

struct Wish {
  scheduler::FunctionalRequest asked;  // what the user said
  Profile profile;                     // of earlier runs of the command
  Policy policy = Policy::kCost;
  NothingOption when_nothing;
  std::int64_t lease_us = 0;  // 0: LeaseUs()
  security::SecretHash group{};
  // How long a market or a server that does not answer is waited for.
  std::int64_t patience_ms = 10'000;
  // Within that it begins at the price of the cheapest hours that suffice (core/patience.h); later at any price that is
  // allowed. 0: at once.
  std::int64_t cheap_within_us = 0;
  SellPolicy sell;
  bool bids = true;  // into the auction, when nothing can be had at the posted price
};

// A lease and the key that it is bound to.
struct Held {
  Won won;
  security::CurvePair holder;
  bool is_bought = false;  // of another holder: it ends when his would have
};

struct Outcome {
  enum class Kind : std::uint8_t { kLeased, kCommand, kFailed };
  Kind kind = Kind::kFailed;
  std::vector<Held> leases;  // of kLeased
  Prediction prediction;     // that they were won for
  std::int64_t lease_us = 0;
  std::string command;  // of kCommand
  Status status;        // of kFailed: the last thing that stood in the way
};

class Negotiator {
 public:
  // Hears each step when it is taken; what it took so far is told by the text.
  using Sink = std::function<void(const Step&)>;

  Negotiator(MarketPort& market, ServerPort& servers, WorldPort& world, Sink sink)
      : market_(market), servers_(servers), world_(world), sink_(std::move(sink)) {}

  Outcome Negotiate(const Wish& wish);

 private:
  // Whether it was had; `why_not` otherwise.
  bool AskFor(const Wish& wish, const Prediction& prediction, Outcome& outcome);
  bool AskOnce(const Wish& wish, const Prediction& prediction, Outcome& outcome);
  // A bid for what the request needs (auction_bid.h).
  bool TryAuction(const Wish& wish, const Prediction& prediction, std::int64_t wait_us, Outcome& outcome);
  void TellWhoSold(const Outcome& outcome);
  bool Queue(const Wish& wish, const Rung& rung, Outcome& outcome);
  enum class Cheap : std::uint8_t { kHad, kOver, kStopped };
  Cheap WaitForCheap(const Wish& wish, const Prediction& prediction, Outcome& outcome);
  // The request with what it costs in the cheapest hours that suffice as its bound, and whether it costs no more now.
  struct CheapRequest {
    Prediction prediction;
    bool is_cheap_now = false;
  };
  Result<CheapRequest> CheapRequestOf(const Wish& wish, const Prediction& prediction, double need);
  bool TryOne(const Wish& wish, const Prediction& prediction, Order order, const std::string& name, Outcome& outcome);
  bool Allocate(const Wish& wish, const std::vector<Won>& won, const security::CurvePair& holder, Outcome& outcome);
  // Repeats what nobody knows to have happened, with the same id, until the patience ends.
  Result<Answer> Ask(const Order& order, const Wish& wish);
  void Release(const std::string& lease);
  void Say(std::string stage, std::string text, std::vector<std::pair<std::string, std::string>> facts = {});
  void Trouble(std::string stage, std::string text, std::vector<std::pair<std::string, std::string>> facts = {});
  OperationId NewId();

  MarketPort& market_;
  ServerPort& servers_;
  WorldPort& world_;
  Sink sink_;
  std::set<std::string> failed_;  // slots that were granted and could not be used
  bool was_late_ = false;         // what would have done was not granted
  Status last_;
};

OperationId DrawId(WorldPort& world);

}  // namespace accelmesh::agent
