// Floors and recurring budgets: what keeps the market from being for the rich only.
//
// * A floor is a share of a class's capacity that a party may always call, at the surrogate price (epoch.h, lane F).
//   What of it the party does not use is not kept idle: it is let to others, whose time ends.
// * Recurring budgets (a Fisher market: E. Eisenberg, D. Gale, "Consensus of Subjective Probabilities", 1959; for
//   machine learning clusters Shockwave, NSDI 2023): each period a sum is handed out by weight, so that prices ration
//   time and not wealth. Savings are bounded, so that nobody buys the whole machine after a long holiday.
// Everything is split to the last lot and microcredit, and the same way each time: by quotient first, the rest by
// largest remainder, ties by party.
//
// Pure. Threads: functions on values.
#pragma once

#include <span>
#include <vector>

#include "market/auction/epoch.h"

namespace accelmesh::market::auction {

struct FloorShare {
  PartyId party = 0;
  std::uint32_t share_ppm = 0;  // of the class's capacity
  std::int64_t held_milli = 0;  // what the party has of the class now
};

// What each may still call, in whole lots; parties without are left out. kInvalidArgument if shares come to more than
// all, a party is there twice, or a number is out of range.
Result<std::vector<Floor>> FloorsOwed(std::span<const FloorShare> shares, std::int64_t capacity_milli,
                                      std::int64_t lot_milli);

struct Weight {
  PartyId party = 0;
  std::uint64_t weight = 0;
};
struct Portion {
  PartyId party = 0;
  std::int64_t amount = 0;
  bool operator==(const Portion&) const = default;
};
// Splits `amount` by weight; the portions add up to it (to nothing if all weights are 0). By party. kInvalidArgument if
// a party is there twice, the amount is negative, or weights overflow.
Result<std::vector<Portion>> Split(std::int64_t amount, std::span<const Weight> weights);

struct Budget {
  PartyId party = 0;
  std::uint64_t weight = 1;
  std::int64_t balance_microcredits = 0;  // what it has saved
};
// One period of `income_microcredits` for all together: each gets its portion as far as its savings stay within
// `periods_max` portions; what is not handed out stays where it comes from.
Result<std::vector<Portion>> Grant(std::int64_t income_microcredits, std::span<const Budget> budgets,
                                   std::uint32_t periods_max);

}  // namespace accelmesh::market::auction
