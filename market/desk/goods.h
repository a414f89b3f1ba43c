// Which goods an epoch deals in: at least so much memory for a share of a device, begun within such a notice.
//
// It follows from who bids for what and from the epoch's number, never from a price.
//
// Pure. Threads: functions on values.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "market/client/messages.h"
#include "market/core/book.h"
#include "market/core/market_clock.h"

namespace accelmesh::market {

// Memory that goes with a share.
struct Density {
  std::uint64_t memory = 0;
  std::uint64_t share = 1;
  bool operator<(const Density& other) const {
    __extension__ using Wide = unsigned __int128;
    return Wide{memory} * other.share < Wide{other.memory} * share;
  }
};

struct Goods {
  Density density;             // at least
  std::int64_t notice_ms = 0;  // at most
};

// What a bid wants of a class: a part of a gang's bundle, or all of a bid.
struct Want {
  std::size_t bid = 0;
  std::string_view owner;
  Density density;
  std::int64_t notice_ms = 0;
  // Bids for much the same are one kind.
  std::pair<int, std::int64_t> kind() const;
};

// Those that deal in the same epoch: owners take turns, and the kinds of goods that each wants. So nobody has more
// turns for bidding for more kinds. `wants` has one at least.
Goods GoodsOf(const std::vector<Want>& wants, std::uint64_t number);

// Of a class that somebody offers.
struct ClassFacts {
  Density most;                     // that any device or lease of it has
  std::int64_t left_ms = 0;         // of the longest lease that is for sale
  std::set<std::int64_t> reserves;  // of slots that let
};
using FactsOfClasses = std::map<std::string, ClassFacts>;
// `unused`: leases that are for sale because nobody uses them.
FactsOfClasses LookAtClasses(const Book& book, const std::set<std::string>& unused, const Moment& moment);

// What is posted for the dearest of the class, so that whoever holds a part of that one may sell it; but one that is
// out of all proportion sets nobody else's price.
std::int64_t PostedOf(const Book& book, const FactsOfClasses& facts, const std::string& class_name);

// Calls `each` with the class, the share and the memory of each part of an order.
template <typename Each>
void EachPart(const messages::OrderT& order, const Each& each) {
  if (order.bundles.empty()) each(order.class_name, order.share_milli, order.memory_bytes);
  for (const auto& bundle : order.bundles) {
    for (const auto& part : bundle->parts) each(part->class_name, part->share_milli, part->memory_bytes);
  }
}

}  // namespace accelmesh::market
