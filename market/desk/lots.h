// In which lots an epoch of a class deals, so that what is let of each slot is a multiple of its step.
//
// All orders of a class are cut down to one lot, and the idle supply of a slot takes part if its step divides that. So
// where all bids are multiples of all steps, and so is what leases offer to bids that take parts, the lot is the steps'
// common multiple. Else lots take turns: the common multiple, each slot's own step, and no lot at all, where only
// leases and slots without steps sell. It follows from what is offered, from the sizes of bids and asks, and from the
// epoch's number, never from a price.
//
// Pure. Threads: functions on values.
#pragma once

#include <cstdint>
#include <set>
#include <vector>

namespace accelmesh::market {

struct Sizes {
  std::set<std::uint32_t> steps;  // of slots that have something free and let parts of it
  struct Bid {
    std::uint32_t share_milli = 0;
    bool is_divisible = false;
  };
  std::vector<Bid> bids;
  std::vector<std::uint32_t> asks;  // of leases: thousandths
};

// In thousandths. A slot whose step does not divide it sits this epoch out.
std::uint32_t LotOf(const Sizes& sizes, std::uint64_t number);

}  // namespace accelmesh::market
