#include "market/auction/rationing.h"

namespace accelmesh::market::auction {
namespace {

// What is drawn first has the smallest key. 32 bits suffice: equal ones go by id. Running leases come after all that
// lies idle.
std::uint64_t KeyOfAsk(const State& state, const AskRow& row) {
  constexpr std::uint64_t kFull = 0xffffffffULL;
  const std::uint64_t chance = Draw(state.input->seed, Purpose::kRationAsk, row.id) >> 32;
  return (row.is_running ? kFull + 1 : 0) + kFull - chance * row.reputation_ppm / kWholePpm;
}
std::uint64_t KeyOfBid(const State& state, const BidRow& row) {
  return Draw(state.input->seed, Purpose::kRationBid, row.id) >> 32;
}

void KeySellers(State& state, const std::vector<Offer>& sellers) {
  std::vector<Keyed>& keys = state.scratch.keys;
  keys.resize(sellers.size());
  for (std::uint32_t i = 0; i < sellers.size(); ++i) keys[i] = {KeyOfAsk(state, state.asks[sellers[i].row]), i};
}

void KeyBuyers(State& state, const std::vector<Offer>& buyers) {
  std::vector<Keyed>& keys = state.scratch.keys;
  keys.resize(buyers.size());
  for (std::uint32_t i = 0; i < buyers.size(); ++i) keys[i] = {KeyOfBid(state, state.bids[buyers[i].row]), i};
}

void SortSellers(State& state, const std::vector<Offer>& sellers) {
  KeySellers(state, sellers);
  SortByKey(state.scratch.keys, state.scratch.spare);
}

struct Stock {
  std::uint32_t row = 0;
  std::int64_t units = 0;
};

// Lumps by size, each sold once: what is sold is stepped over in nearly constant time.
class Lumps {
 public:
  // In the order of the draw; it stays that of equal ones.
  void Add(Stock stock) { stocks_.push_back(stock); }
  void Close() {
    std::vector<Keyed> keys(stocks_.size());
    std::vector<Keyed> spare;
    for (std::uint32_t i = 0; i < keys.size(); ++i) keys[i] = {static_cast<std::uint64_t>(stocks_[i].units), i};
    SortByKey(keys, spare);
    std::vector<Stock> sorted;
    sorted.reserve(stocks_.size());
    for (const Keyed& key : keys) sorted.push_back(stocks_[key.place]);
    stocks_ = std::move(sorted);
    after_.resize(stocks_.size() + 1);
    before_.resize(stocks_.size() + 1);
    for (std::size_t i = 0; i <= stocks_.size(); ++i) after_[i] = before_[i] = i;
  }

  // The first one of just that size; nullptr if there is none.
  const Stock* TakeSize(std::int64_t units) {
    const auto lower = std::lower_bound(stocks_.begin(), stocks_.end(), units,
                                        [](const Stock& stock, std::int64_t size) { return stock.units < size; });
    const std::size_t at = Root(after_, static_cast<std::size_t>(lower - stocks_.begin()));
    return at < stocks_.size() && stocks_[at].units == units ? Take(at) : nullptr;
  }
  // The first of the largest size that is at most that.
  const Stock* TakeUpTo(std::int64_t units) {
    const auto upper = std::upper_bound(stocks_.begin(), stocks_.end(), units,
                                        [](std::int64_t size, const Stock& stock) { return size < stock.units; });
    const std::size_t at = Root(before_, static_cast<std::size_t>(upper - stocks_.begin()));
    return at > 0 ? TakeSize(stocks_[at - 1].units) : nullptr;
  }

 private:
  static std::size_t Root(std::vector<std::size_t>& links, std::size_t at) {
    while (links[at] != at) at = links[at] = links[links[at]];
    return at;
  }
  const Stock* Take(std::size_t at) {
    after_[at] = at + 1;
    before_[at + 1] = at;
    return &stocks_[at];
  }

  std::vector<Stock> stocks_;
  std::vector<std::size_t> after_;   // of each place, a later one up to which all are sold
  std::vector<std::size_t> before_;  // the same backwards, of places plus 1
};

// Sellers in the order of the draw, as buyers come to them.
class Counter {
 public:
  Counter(State& state, const std::vector<Offer>& sellers) {
    SortSellers(state, sellers);
    const std::vector<Keyed>& keys = state.scratch.keys;
    others_.reserve(keys.size());
    for (std::size_t i = 0; i < keys.size(); ++i) {
      if (i + kAhead < keys.size()) __builtin_prefetch(&sellers[keys[i + kAhead].place]);
      const Offer& seller = sellers[keys[i].place];
      if (seller.is_lump) {
        lumps_.Add({seller.row, seller.units});
      } else {
        others_.push_back({seller.row, seller.units});
      }
    }
    lumps_.Close();
  }

  // All of it from one, or nothing.
  template <typename Sell>
  void SellWhole(std::int64_t units, Sell sell) {
    Stock* found = nullptr;
    for (std::size_t i = 0; i < open_.size() && found == nullptr; ++i) {
      if (others_[open_[i]].units >= units) found = &others_[open_[i]];
    }
    while (found == nullptr && next_ < others_.size()) {
      if (others_[next_].units >= units) found = &others_[next_];
      Open(next_++);
    }
    if (found != nullptr) {
      found->units -= units;
      sell(found->row, units);
    } else if (const Stock* lump = lumps_.TakeSize(units); lump != nullptr) {
      sell(lump->row, units);
    }
  }

  // As much as there is.
  template <typename Sell>
  void SellParts(std::int64_t units, Sell sell) {
    const auto from = [&](Stock& stock) {
      const std::int64_t part = std::min(stock.units, units);
      if (part == 0) return;
      stock.units -= part;
      units -= part;
      sell(stock.row, part);
    };
    for (std::size_t i = 0; i < open_.size() && units > 0; ++i) from(others_[open_[i]]);
    while (units > 0 && !passed_.empty()) {
      Stock& stock = others_[passed_.back()];
      from(stock);
      if (stock.units == 0) passed_.pop_back();
    }
    while (units > 0 && next_ < others_.size()) {
      from(others_[next_]);
      Open(next_++);
    }
    while (units > 0) {
      const Stock* lump = lumps_.TakeUpTo(units);
      if (lump == nullptr) return;
      units -= lump->units;
      sell(lump->row, lump->units);
    }
  }

 private:
  // Those with room left, at most kOpenMax; of more, whose is least is left to whoever takes parts.
  void Open(std::size_t place) {
    std::erase_if(open_, [&](std::size_t other) { return others_[other].units == 0; });
    open_.push_back(place);
    if (open_.size() <= kOpenMax) return;
    const auto least = std::min_element(
        open_.begin(), open_.end(), [&](std::size_t a, std::size_t b) { return others_[a].units < others_[b].units; });
    passed_.push_back(*least);
    open_.erase(least);
  }

  std::vector<Stock> others_;
  std::vector<std::size_t> open_;
  std::vector<std::size_t> passed_;
  std::size_t next_ = 0;
  Lumps lumps_;
};

}  // namespace

std::int64_t TakeUpTo(State& state, std::vector<Offer>& sellers, std::int64_t target) {
  std::int64_t all = 0;
  std::int64_t divisible = 0;
  for (Offer& seller : sellers) {
    seller.taken = seller.units;
    all += seller.units;
    if (!seller.is_lump) divisible += seller.units;
  }
  if (all <= target) return all;
  for (Offer& seller : sellers) seller.taken = 0;
  SortSellers(state, sellers);
  // Lumps in the order of the draw, as far as they are needed; if that does not come out even, the largest first, which
  // does whenever it can (lane_gangs.cpp sees to it that it can).
  const auto take_lumps = [&] {
    std::int64_t left = target;
    for (const Keyed& key : state.scratch.keys) {
      if (left <= divisible) break;
      Offer& seller = sellers[key.place];
      if (!seller.is_lump || seller.units > left) continue;
      seller.taken = seller.units;
      left -= seller.units;
    }
    return left;
  };
  std::int64_t left = take_lumps();
  if (left > divisible) {
    for (Offer& seller : sellers) seller.taken = 0;
    std::vector<Keyed>& keys = state.scratch.keys;
    std::vector<std::uint32_t> ranks(sellers.size());
    for (std::uint32_t i = 0; i < keys.size(); ++i) ranks[keys[i].place] = i;
    std::sort(keys.begin(), keys.end(), [&](const Keyed& a, const Keyed& b) {
      const std::int64_t of_a = sellers[a.place].units;
      const std::int64_t of_b = sellers[b.place].units;
      return of_a != of_b ? of_a > of_b : ranks[a.place] < ranks[b.place];
    });
    left = take_lumps();
  }
  for (const Keyed& key : state.scratch.keys) {
    if (left == 0) break;
    Offer& seller = sellers[key.place];
    if (seller.is_lump) continue;
    seller.taken = std::min(seller.units, left);
    left -= seller.taken;
  }
  return target - left;
}

std::int64_t TakeEqual(State& state, Who who, std::vector<Offer>& offers, std::int64_t target) {
  for (Offer& offer : offers) offer.taken = offer.units;
  if (offers.empty()) return 0;
  const std::int64_t all = std::ssize(offers);
  const std::int64_t served = std::min(all, target / offers.front().units);
  if (served < all) {
    if (who == Who::kSellers) {
      KeySellers(state, offers);
    } else {
      KeyBuyers(state, offers);
    }
    std::vector<Keyed>& keys = state.scratch.keys;
    std::nth_element(keys.begin(), keys.begin() + served, keys.end(),
                     [](const Keyed& a, const Keyed& b) { return a.key != b.key ? a.key < b.key : a.place < b.place; });
    for (auto at = keys.begin() + served; at != keys.end(); ++at) offers[at->place].taken = 0;
  }
  return served * offers.front().units;
}

std::vector<Packed> Pack(State& state, std::vector<Offer>& sellers, std::vector<Offer>& buyers) {
  std::vector<Packed> packed;
  if (sellers.empty() || buyers.empty()) return packed;
  Counter counter(state, sellers);
  KeyBuyers(state, buyers);
  SortByKey(state.scratch.keys, state.scratch.spare);
  // As buyers come; then by buyer, which are in the order of their ids.
  std::vector<Packed> drawn;
  std::vector<std::uint32_t> begins(buyers.size() + 1);
  drawn.reserve(buyers.size());
  const std::vector<Keyed>& turns = state.scratch.keys;
  for (std::size_t i = 0; i < turns.size(); ++i) {
    const Keyed turn = turns[i];
    if (i + kAhead < turns.size()) {
      __builtin_prefetch(&buyers[turns[i + kAhead].place]);
      __builtin_prefetch(&begins[turns[i + kAhead].place], 1);
    }
    const Offer& buyer = buyers[turn.place];
    const auto sell = [&](std::uint32_t ask_row, std::int64_t units) {
      drawn.push_back({ask_row, turn.place, units});
      ++begins[turn.place + 1];
    };
    if (buyer.is_lump) {
      counter.SellWhole(buyer.units, sell);
    } else {
      counter.SellParts(buyer.units, sell);
    }
  }
  for (std::size_t i = 1; i < begins.size(); ++i) begins[i] += begins[i - 1];
  packed.resize(drawn.size());
  for (std::size_t i = 0; i < drawn.size(); ++i) {
    if (i + kAhead < drawn.size()) {
      __builtin_prefetch(&begins[drawn[i + kAhead].bid_row], 1);
      __builtin_prefetch(&buyers[drawn[i + kAhead].bid_row]);
    }
    const Packed one = drawn[i];
    packed[begins[one.bid_row]++] = {one.ask_row, buyers[one.bid_row].row, one.units};
  }
  for (std::size_t begin = 0, end = 0; begin < packed.size(); begin = end) {
    while (end < packed.size() && packed[end].bid_row == packed[begin].bid_row) ++end;
    if (end - begin < 2) continue;
    std::sort(packed.begin() + static_cast<std::ptrdiff_t>(begin), packed.begin() + static_cast<std::ptrdiff_t>(end),
              [](const Packed& a, const Packed& b) { return a.ask_row < b.ask_row; });
  }
  return packed;
}

}  // namespace accelmesh::market::auction
