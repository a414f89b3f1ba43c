#include "market/auction/window.h"

#include <array>
#include <bit>

namespace accelmesh::market::auction {
namespace {

// A price in 40 bits and a draw in 24: one key sorts by both.
constexpr unsigned kTieBits = 24;
static_assert(kPriceMicrocreditsMax < std::int64_t{1} << (64 - kTieBits));
std::uint64_t KeyOf(std::int64_t price, std::uint64_t draw) {
  return static_cast<std::uint64_t>(price) << kTieBits | draw >> (64 - kTieBits);
}

bool IsOffered(const AskRow& ask) { return ask.left > 0 && ask.score <= kPriceMicrocreditsMax; }
bool IsWanted(const BidRow& bid) { return bid.left > 0 && !bid.uses_floor; }

constexpr std::size_t kBuckets = 2048;
constexpr std::size_t kFew = 2048;  // orders that are simply sorted

struct Buckets {
  std::int64_t lowest = kPriceMicrocreditsMax;
  std::int64_t highest = 0;
  unsigned shift = 0;
  std::array<std::int64_t, kBuckets> wanted{};  // units
  std::array<std::int64_t, kBuckets> offered{};
  std::size_t crossing = 0;

  std::size_t Of(std::int64_t price) const { return static_cast<std::size_t>(price - lowest) >> shift; }
};

// The first bucket at whose upper end what is offered suffices for what is wanted above it.
void FillBuckets(State& state, const ClassRow& row, Buckets& buckets) {
  for (const AskRow& ask : state.AsksOf(row)) {
    if (!IsOffered(ask)) continue;
    buckets.lowest = std::min(buckets.lowest, ask.score);
    buckets.highest = std::max(buckets.highest, ask.score);
  }
  for (const BidRow& bid : state.BidsOf(row)) {
    if (!IsWanted(bid)) continue;
    buckets.lowest = std::min(buckets.lowest, bid.price);
    buckets.highest = std::max(buckets.highest, bid.price);
  }
  if (buckets.highest < buckets.lowest) return;
  const auto width = static_cast<std::uint64_t>(buckets.highest - buckets.lowest) / kBuckets;
  buckets.shift = static_cast<unsigned>(std::bit_width(width));
  std::int64_t above = 0;
  for (const AskRow& ask : state.AsksOf(row)) {
    if (IsOffered(ask)) buckets.offered[buckets.Of(ask.score)] += ask.left;
  }
  for (const BidRow& bid : state.BidsOf(row)) {
    if (!IsWanted(bid)) continue;
    buckets.wanted[buckets.Of(bid.price)] += bid.left;
    above += bid.left;
  }
  std::int64_t below = 0;
  for (std::size_t i = 0; i < kBuckets; ++i) {
    buckets.crossing = i;
    below += buckets.offered[i];
    above -= buckets.wanted[i];
    if (below >= above) return;
  }
}

// Lists what lies between low and high, and counts what is in front; returns how many are behind.
std::uint32_t ListAsks(State& state, const ClassRow& row, Window& window) {
  std::uint32_t behind = 0;
  window.ask_order.clear();
  window.asks = {};
  for (std::uint32_t i = row.asks_begin; i < row.asks_end; ++i) {
    const AskRow& ask = state.asks[i];
    if (!IsOffered(ask)) continue;
    const bool is_front = ask.score < window.low;
    const bool is_behind = ask.score > window.high;
    window.asks.front += is_front ? 1 : 0;
    window.asks.front_units += is_front ? ask.left : 0;
    behind += is_behind ? 1 : 0;
    if (is_front || is_behind) continue;
    window.ask_order.push_back({KeyOf(ask.score, Draw(state.input->seed, Purpose::kTieAsk, ask.id)), i});
  }
  SortByKey(window.ask_order, state.scratch.spare);
  for (const Keyed& item : window.ask_order) {
    window.asks.prices.push_back(state.asks[item.place].score);
    window.asks.units.push_back(state.asks[item.place].left);
  }
  return behind;
}

std::uint32_t ListBids(State& state, const ClassRow& row, Window& window) {
  std::uint32_t behind = 0;
  window.bid_order.clear();
  window.bids = {};
  for (std::uint32_t i = row.bids_begin; i < row.bids_end; ++i) {
    const BidRow& bid = state.bids[i];
    if (!IsWanted(bid)) continue;
    const bool is_front = bid.price > window.high;
    const bool is_behind = bid.price < window.low;
    window.bids.front += is_front ? 1 : 0;
    window.bids.front_units += is_front ? bid.left : 0;
    behind += is_behind ? 1 : 0;
    if (is_front || is_behind) continue;
    window.bid_order.push_back(
        {KeyOf(kPriceMicrocreditsMax - bid.price, Draw(state.input->seed, Purpose::kTieBid, bid.id)), i});
  }
  SortByKey(window.bid_order, state.scratch.spare);
  for (const Keyed& item : window.bid_order) {
    window.bids.prices.push_back(state.bids[item.place].price);
    window.bids.units.push_back(state.bids[item.place].left);
  }
  return behind;
}

// Whether all ranks around the crossing that any rule asks for are listed (or there are none).
bool Suffices(const Side& side, std::uint32_t rank, std::uint32_t behind) {
  constexpr std::uint32_t kBefore = 2;
  constexpr std::uint32_t kAfter = 3;
  return (side.front == 0 || rank >= side.front + kBefore) &&
         (behind == 0 || rank + kAfter <= side.front + side.prices.size());
}

}  // namespace

Window FindWindow(State& state, const ClassRow& row) {
  Window window;
  const std::size_t orders = row.asks_end - row.asks_begin + (row.bids_end - row.bids_begin);
  Buckets buckets;
  if (orders > kFew) FillBuckets(state, row, buckets);
  for (std::size_t reach = 1;; reach *= 4) {
    const bool is_all = orders <= kFew || reach >= kBuckets || buckets.highest < buckets.lowest;
    const std::size_t first = buckets.crossing - std::min(reach, buckets.crossing);
    const std::size_t last = buckets.crossing + reach;
    window.low = is_all || first == 0 ? 0 : buckets.lowest + static_cast<std::int64_t>(first << buckets.shift);
    window.high = is_all || last + 1 >= kBuckets
                      ? kPriceMicrocreditsMax
                      : buckets.lowest + static_cast<std::int64_t>((last + 1) << buckets.shift) - 1;
    const std::uint32_t asks_behind = ListAsks(state, row, window);
    const std::uint32_t bids_behind = ListBids(state, row, window);
    window.crossing = FindCrossing(window.bids, window.asks);
    if (is_all) return window;
    if (Suffices(window.asks, window.crossing.sellers, asks_behind) &&
        Suffices(window.bids, window.crossing.buyers, bids_behind)) {
      return window;
    }
  }
}

}  // namespace accelmesh::market::auction
