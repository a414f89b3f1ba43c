// What an epoch of the auction works on: a book and sealed bids in, the auction's input with its numbers out, and what
// each number stands for.
//
// Units are thousandths of a device of one class; memory goes with them. So that whatever the auction matches can be
// delivered, an epoch of a class deals in one kind of goods: at least so much memory a thousandth, begun within such a
// notice. Both bounds follow from the bids that stand and the epoch's number alone, never from a price; with bids of
// several kinds the kinds take turns.
//
// Pure. Threads: functions on values.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "market/auction/epoch.h"
#include "market/client/messages.h"
#include "market/core/trade.h"
#include "market/ledger/epoch_record.h"

namespace accelmesh::market {

// An order as its owner signed it.
struct SignedOrderBytes {
  std::string order;
  std::string signature;
};

struct SealedBid {
  std::string owner;
  const messages::OrderT* order = nullptr;
  const messages::PlaceOrderT* placed = nullptr;  // null: signed by nobody, to see what would be
};

struct EpochPlan {
  auction::EpochInput input;
  std::vector<std::string> parties;  // by PartyId
  std::vector<std::string> classes;  // by ClassId
  struct Source {
    std::string slot;   // of idle supply
    std::string lease;  // of a standing ask
    std::uint32_t share_milli = 0;
    std::uint64_t memory_bytes = 0;
    std::int64_t notice_ms = 0;
    bool is_forced = false;  // a lease that nobody uses: its holder asked for nothing
    std::string name() const { return lease.empty() ? slot : lease; }
  };
  std::map<auction::OrderId, Source> asks;
  std::map<auction::OrderId, std::size_t> bids;  // places among the bids
  std::vector<std::string> leases;               // by LeaseId - 1
  std::size_t signed_orders = 0;                 // that were sealed: unsigned supply has the ids behind theirs, by name
  // Who delivers what is asked for: server's owners, sorted, with what their asks count by; and of each ask, its
  // owner's place.
  std::vector<std::string> deliverers;
  std::vector<std::uint32_t> scores;
  std::map<auction::OrderId, std::size_t> deliverer;
};

// In two steps, because an order's number follows from all orders of the epoch and the seed is known when they are
// sealed. The book does not change between the two.
class EpochPlanner {
 public:
  // `bids`, `unused` and `book` outlive it.
  // `unused`: leases that are for sale because nobody uses them.
  EpochPlanner(const Book& book, const std::vector<SealedBid>& bids, const std::set<std::string>& unused,
               std::uint64_t number, const Moment& moment);
  ~EpochPlanner();
  EpochPlanner(const EpochPlanner&) = delete;
  EpochPlanner& operator=(const EpochPlanner&) = delete;

  // All signed orders that take part, asks and bids.
  const std::vector<SignedOrderBytes>& orders() const;
  // Of each bid that does not take part: why.
  const std::vector<std::optional<ledger::LeftOut>>& left_out() const;
  // What deals in this epoch: bids and offers that take part, and in which goods and lots. While the book is as it is,
  // an epoch with another number and the same turn comes to the same.
  ledger::Hash turn() const;
  // `ranks`: each order's number among the `sealed` ones, which may be more.
  EpochPlan Finish(const std::vector<std::size_t>& ranks, std::size_t sealed, std::uint64_t seed);

 private:
  class Impl;
  const std::unique_ptr<Impl> impl_;
};

// Ranks where there is no log: the order of the bytes.
std::vector<std::size_t> RanksOf(const std::vector<SignedOrderBytes>& orders);

// What the buyer gets of the source for so many units: memory in proportion, all of it with all units.
std::uint64_t MemoryOf(const EpochPlan::Source& source, std::int64_t units_milli);

std::string_view Name(auction::Lane lane);
std::string_view Name(auction::LaneB lane);
std::string_view Name(auction::UnservedWhy why);

}  // namespace accelmesh::market
