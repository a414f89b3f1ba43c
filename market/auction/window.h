// The orders of a class around the price where bids and asks cross, sorted. Of those that are surely dearer or cheaper
// only the number matters, so they are counted and not sorted: a pass over the orders finds the price to within a
// bucket, and the sort is of some hundred orders instead of a hundred thousand.
//
// Inside of market/auction only. Threads: one at a time for each State.
#pragma once

#include "market/auction/double_auction.h"
#include "market/auction/state.h"

namespace accelmesh::market::auction {

struct Window {
  // Bids above `high` and asks below `low` are in front; bids below `low` and asks above `high` behind.
  std::int64_t low = 0;
  std::int64_t high = kPriceMicrocreditsMax;
  std::vector<Keyed> bid_order;  // rows between, best first, ties by draw
  std::vector<Keyed> ask_order;
  Side bids;
  Side asks;
  Crossing crossing;
};

// Of what lane B trades in the class. All of double_auction.h can be asked of the sides.
Window FindWindow(State& state, const ClassRow& row);

}  // namespace accelmesh::market::auction
