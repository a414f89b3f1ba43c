// The epoch's orders as flat rows, by class and id, and what is left of each while the lanes clear one after the other.
//
// Inside of market/auction only. Threads: one.
#pragma once

#include <span>

#include "market/auction/epoch.h"
#include "market/auction/sort.h"

namespace accelmesh::market::auction {

// Orders that are drawn or not sorted lie anywhere in memory: they are fetched so many turns before they are needed.
inline constexpr std::size_t kAhead = 16;

struct AskRow {
  OrderId id = 0;
  PartyId owner = 0;
  std::int64_t price = 0;
  std::int64_t score = 0;  // ask / reputation, rounded up: the least class price at which the seller gets its ask
  std::int64_t left = 0;   // 0: nothing of it is for sale (any more)
  std::uint32_t reputation_ppm = 0;
  bool is_lump = false;
  bool is_running = false;  // a lease
};
struct BidRow {
  OrderId id = 0;
  PartyId owner = 0;
  std::int64_t price = 0;
  std::int64_t left = 0;
  std::int64_t cut = 0;  // what no lane may serve (any more): odd parts of a lot, beyond the budget, lost in lane C
  bool is_lump = false;
  bool uses_floor = false;
  UnservedWhy why = UnservedWhy::kRationed;
  UnservedWhy cut_why = UnservedWhy::kLot;
  std::int64_t price_to_win = -1;
};

struct ClassRow {
  const ClassInput* input = nullptr;
  std::uint32_t asks_begin = 0;
  std::uint32_t asks_end = 0;
  std::uint32_t bids_begin = 0;
  std::uint32_t bids_end = 0;
};

// Units of a row that an allocation may take, and has.
struct Offer {
  std::uint32_t row = 0;
  bool is_lump = false;
  std::int64_t units = 0;
  std::int64_t taken = 0;
};

struct State {
  const EpochInput* input = nullptr;
  std::vector<ClassRow> classes;  // by id
  std::vector<AskRow> asks;       // by class, id
  std::vector<BidRow> bids;
  std::vector<std::uint32_t> gangs;   // places in the input, by id
  std::vector<std::uint32_t> by_bid;  // rows of bids in the order of their ids
  std::vector<BidRow> homeless;       // bids of classes that are not there
  EpochOutcome outcome;               // classes are filled in as they are cleared

  std::span<AskRow> AsksOf(const ClassRow& row) {
    return std::span(asks).subspan(row.asks_begin, row.asks_end - row.asks_begin);
  }
  std::span<BidRow> BidsOf(const ClassRow& row) {
    return std::span(bids).subspan(row.bids_begin, row.bids_end - row.bids_begin);
  }
  // The place of a class, or classes.size().
  std::uint32_t Find(ClassId id) const;

  // Kept so that lanes need not allocate for each class.
  struct Scratch {
    std::vector<Offer> sellers;
    std::vector<Offer> buyers;
    std::vector<Keyed> keys;
    std::vector<Keyed> spare;
    std::vector<std::uint16_t> class_of;
    std::vector<std::uint32_t> asks_by_id;
    std::vector<std::uint32_t> bids_by_id;
  } scratch;

 private:
  friend Status BuildState(const EpochInput& input, State& state);
  std::vector<std::uint32_t> place_of_class_;  // by id, if ids are small
};

// Whatever was in `state` before is gone; its memory is used again.
Status BuildState(const EpochInput& input, State& state);

// What a class's price comes to in a trade with a seller of that reputation; rounded down, and still not below the ask
// if the score is at most the price.
constexpr std::int64_t PriceOf(std::int64_t class_price, std::uint32_t reputation_ppm) {
  return class_price * reputation_ppm / kWholePpm;
}

}  // namespace accelmesh::market::auction
