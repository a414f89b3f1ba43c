// The auction's input of an epoch: who and what takes part, with numbers for names.
//
// Pure. Threads: functions on values.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "market/desk/clearing.h"
#include "market/desk/goods.h"
#include "market/desk/offers.h"

namespace accelmesh::market {

struct EpochParts {
  std::uint64_t number = 0;
  std::map<std::string, Goods> goods;  // by class, as all that follows
  FactsOfClasses facts;
  std::map<std::string, std::uint32_t> lots;
  std::vector<std::size_t> bids;  // places of those that take part
  std::vector<Offer> offers;      // sorted by their sources' names
};

// `ranks`: of the bids, then of the offers that somebody signed, each one's number among the `sealed` orders.
EpochPlan PlanOf(const Book& book, const std::vector<SealedBid>& bids, const EpochParts& parts,
                 const std::vector<std::size_t>& ranks, std::size_t sealed, std::uint64_t seed);

}  // namespace accelmesh::market
