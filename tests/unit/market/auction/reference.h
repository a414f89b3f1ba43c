// What the auction must come to, written from the papers' definitions with no regard for time: it shares nothing with
// market/auction but the types.
#pragma once

#include <vector>

#include "market/auction/epoch.h"

namespace accelmesh::market::auction {

struct ReferencePrices {
  std::int64_t k = 0;
  std::int64_t trades = 0;
  std::int64_t buyer = -1;
  std::int64_t seller = -1;
};
// All orders are of one unit.
ReferencePrices ReferenceOneSize(const std::vector<std::int64_t>& bids, const std::vector<std::int64_t>& asks,
                                 DoubleAuction auction);

struct ReferenceOrder {
  std::int64_t price = 0;
  std::int64_t units = 0;
};
struct ReferenceHuang {
  std::int64_t buyer = -1;  // the prices; -1: nothing crosses
  std::int64_t seller = -1;
  std::int64_t buyers = 0;  // orders that cross, the two that set the prices included
  std::int64_t sellers = 0;
  std::int64_t units = 0;  // that can trade
};
// Prices differ, so that there are no draws.
ReferenceHuang ReferenceMultiUnit(const std::vector<ReferenceOrder>& bids, const std::vector<ReferenceOrder>& asks);

struct ReferenceBundle {
  std::size_t gang = 0;
  std::int64_t value = 0;
  std::int64_t weighted_units = 0;
  std::uint64_t tie = 0;
  std::vector<std::pair<std::size_t, std::int64_t>> needs;  // class, units
};
// Indices of the bundles that win, in the order of their ranks.
std::vector<std::size_t> ReferenceGreedy(const std::vector<ReferenceBundle>& bundles, std::vector<std::int64_t> supply);
// The least value with which bundle `index` wins while its gang has no other, by trying; -1: none up to `most`.
std::int64_t ReferenceCritical(std::vector<ReferenceBundle> bundles, const std::vector<std::int64_t>& supply,
                               std::size_t index, std::int64_t most);

}  // namespace accelmesh::market::auction
