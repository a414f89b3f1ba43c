#include "tests/unit/market/auction/reference.h"

#include <algorithm>
#include <numeric>

namespace accelmesh::market::auction {
namespace {

// The rank-th largest (smallest) of them by counting; -1: there are not so many.
std::int64_t Largest(const std::vector<std::int64_t>& prices, std::int64_t rank) {
  std::int64_t found = -1;
  for (const std::int64_t price : prices) {
    const auto as_large = std::count_if(prices.begin(), prices.end(), [&](std::int64_t p) { return p >= price; });
    if (as_large >= rank) found = std::max(found, price);
  }
  return rank >= 1 ? found : -1;
}
std::int64_t Smallest(const std::vector<std::int64_t>& prices, std::int64_t rank) {
  std::int64_t found = -1;
  for (const std::int64_t price : prices) {
    const auto as_small = std::count_if(prices.begin(), prices.end(), [&](std::int64_t p) { return p <= price; });
    if (as_small >= rank && (found == -1 || price < found)) found = price;
  }
  return rank >= 1 ? found : -1;
}

// The square root of 16384 x, by bisection.
std::uint64_t Root(std::int64_t x) {
  const Wide square = Wide{x} << 14;
  std::uint64_t low = 0;
  std::uint64_t high = std::uint64_t{1} << 40;
  while (high - low > 1) {
    const std::uint64_t middle = (low + high) / 2;
    (Wide{static_cast<std::int64_t>(middle)} * static_cast<std::int64_t>(middle) <= square ? low : high) = middle;
  }
  return std::max<std::uint64_t>(low, 1);
}

}  // namespace

ReferencePrices ReferenceOneSize(const std::vector<std::int64_t>& bids, const std::vector<std::int64_t>& asks,
                                 DoubleAuction auction) {
  ReferencePrices result;
  // k: the most trades that one price can bring about.
  for (const std::int64_t price : bids) {
    const auto demand = std::count_if(bids.begin(), bids.end(), [&](std::int64_t b) { return b >= price; });
    const auto supply = std::count_if(asks.begin(), asks.end(), [&](std::int64_t s) { return s <= price; });
    result.k = std::max<std::int64_t>(result.k, std::min(demand, supply));
  }
  if (result.k == 0) return result;
  const std::int64_t b_k = Largest(bids, result.k);
  const std::int64_t s_k = Smallest(asks, result.k);
  const std::int64_t b_next = Largest(bids, result.k + 1);
  const std::int64_t s_next = Smallest(asks, result.k + 1);
  if (auction == DoubleAuction::kSbba) {
    const bool by_seller = s_next != -1 && s_next <= b_k;
    result.trades = by_seller ? result.k : result.k - 1;
    result.buyer = result.seller = by_seller ? s_next : b_k;
    return result;
  }
  const std::int64_t low = b_next == -1 ? 0 : b_next;
  const std::int64_t high = s_next == -1 ? kPriceMicrocreditsMax : s_next;
  const std::int64_t middle = (low + high) / 2;
  const bool all = s_k <= middle && middle <= b_k;
  result.trades = all ? result.k : result.k - 1;
  result.buyer = all ? middle : b_k;
  result.seller = all ? middle : s_k;
  return result;
}

ReferenceHuang ReferenceMultiUnit(const std::vector<ReferenceOrder>& bids, const std::vector<ReferenceOrder>& asks) {
  // Unit by unit: the n-th dearest wanted against the n-th cheapest offered.
  std::vector<std::int64_t> wanted;
  std::vector<std::int64_t> offered;
  for (const ReferenceOrder& bid : bids) wanted.insert(wanted.end(), static_cast<std::size_t>(bid.units), bid.price);
  for (const ReferenceOrder& ask : asks) offered.insert(offered.end(), static_cast<std::size_t>(ask.units), ask.price);
  std::sort(wanted.rbegin(), wanted.rend());
  std::sort(offered.begin(), offered.end());
  ReferenceHuang result;
  for (std::size_t n = 0; n < std::min(wanted.size(), offered.size()) && wanted[n] >= offered[n]; ++n) {
    result.buyer = wanted[n];
    result.seller = offered[n];
  }
  std::int64_t demand = 0;
  std::int64_t supply = 0;
  for (const ReferenceOrder& bid : bids) {
    if (result.buyer == -1 || bid.price < result.buyer) continue;
    ++result.buyers;
    if (bid.price > result.buyer) demand += bid.units;
  }
  for (const ReferenceOrder& ask : asks) {
    if (result.seller == -1 || ask.price > result.seller) continue;
    ++result.sellers;
    if (ask.price < result.seller) supply += ask.units;
  }
  result.units = std::min(demand, supply);
  return result;
}

std::vector<std::size_t> ReferenceGreedy(const std::vector<ReferenceBundle>& bundles,
                                         std::vector<std::int64_t> supply) {
  std::vector<std::size_t> order(bundles.size());
  std::iota(order.begin(), order.end(), 0U);
  // By value / root, compared as fractions; a bubble sort, for it is nobody else's.
  const auto before = [&](std::size_t i, std::size_t j) {
    const ReferenceBundle& a = bundles[i];
    const ReferenceBundle& b = bundles[j];
    const Wide left = Wide{a.value} * static_cast<Wide>(Root(b.weighted_units));
    const Wide right = Wide{b.value} * static_cast<Wide>(Root(a.weighted_units));
    if (left != right) return left > right;
    if (a.tie != b.tie) return a.tie < b.tie;
    return a.gang != b.gang ? a.gang < b.gang : i < j;
  };
  for (std::size_t end = order.size(); end > 1; --end) {
    for (std::size_t i = 1; i < end; ++i) {
      if (before(order[i], order[i - 1])) std::swap(order[i], order[i - 1]);
    }
  }
  std::vector<std::size_t> won;
  for (const std::size_t index : order) {
    const ReferenceBundle& bundle = bundles[index];
    bool fits = true;
    for (const std::size_t other : won) fits = fits && bundles[other].gang != bundle.gang;
    for (const auto& [slot_class, units] : bundle.needs) fits = fits && supply[slot_class] >= units;
    if (!fits) continue;
    for (const auto& [slot_class, units] : bundle.needs) supply[slot_class] -= units;
    won.push_back(index);
  }
  return won;
}

std::int64_t ReferenceCritical(std::vector<ReferenceBundle> bundles, const std::vector<std::int64_t>& supply,
                               std::size_t index, std::int64_t most) {
  ReferenceBundle own = bundles[index];
  const std::size_t gang = own.gang;
  std::vector<ReferenceBundle> others;
  for (const ReferenceBundle& bundle : bundles) {
    if (bundle.gang != gang) others.push_back(bundle);
  }
  others.push_back(own);
  const auto wins = [&](std::int64_t value) {
    others.back().value = value;
    const auto won = ReferenceGreedy(others, supply);
    return std::find(won.begin(), won.end(), others.size() - 1) != won.end();
  };
  if (!wins(most)) return -1;
  std::int64_t low = -1;
  std::int64_t high = most;
  while (high - low > 1) {
    const std::int64_t middle = low + (high - low) / 2;
    (wins(middle) ? high : low) = middle;
  }
  return high;
}

}  // namespace accelmesh::market::auction
