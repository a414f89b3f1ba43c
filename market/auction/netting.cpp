#include "market/auction/netting.h"

#include <bit>

namespace accelmesh::market::auction {
namespace {

struct Own {
  PartyId owner = 0;
  std::int64_t price = 0;
  std::uint32_t row = 0;
};

// Whose asks there are, as bits of a hash: most bidders are told apart from them without a sort.
class Owners {
 public:
  explicit Owners(std::size_t count)
      : shift_(64 - std::clamp(static_cast<int>(std::bit_width(count)) + 4, 6, 24)),
        bits_((std::size_t{1} << (64 - shift_)) / 64) {}
  void Add(PartyId owner) { bits_[Place(owner) / 64] |= std::uint64_t{1} << (Place(owner) % 64); }
  bool MayHave(PartyId owner) const { return (bits_[Place(owner) / 64] >> (Place(owner) % 64) & 1) != 0; }

 private:
  std::size_t Place(PartyId owner) const { return (owner ^ (owner >> 32)) * 0x9e3779b97f4a7c15ULL >> shift_; }
  int shift_;
  std::vector<std::uint64_t> bits_;
};

// The asks of one party, cheapest first, against its bids, dearest first.
void NetParty(State& state, std::size_t place, std::span<Own> asks, std::span<Own> bids) {
  const auto trade = [&](AskRow& ask, BidRow& bid, std::int64_t units) {
    ask.left -= units;
    bid.left -= units;
    state.outcome.classes[place].units_netted_milli += units;
    state.outcome.trades.push_back(
        {ask.id, bid.id, ask.owner, bid.owner, state.classes[place].input->id, Lane::kNetted, units, 0, 0});
  };
  for (const Own& own : bids) {
    BidRow& bid = state.bids[own.row];
    for (const Own& other : asks) {
      AskRow& ask = state.asks[other.row];
      if (ask.price > bid.price || bid.left == 0) break;
      const std::int64_t units = std::min(ask.left, bid.left);
      if (units == 0 || (ask.is_lump && units < ask.left) || (bid.is_lump && units < bid.left)) continue;
      trade(ask, bid, units);
    }
  }
  std::int64_t best = -1;
  for (const Own& own : bids) {
    if (state.bids[own.row].left > 0) best = std::max(best, state.bids[own.row].price);
  }
  for (const Own& own : asks) {
    if (state.asks[own.row].price <= best) state.asks[own.row].left = 0;
  }
}

}  // namespace

void Net(State& state) {
  std::vector<Own> asks;
  std::vector<Own> bids;
  for (std::size_t place = 0; place < state.classes.size(); ++place) {
    const ClassRow& row = state.classes[place];
    if (row.asks_begin == row.asks_end || row.bids_begin == row.bids_end) continue;
    Owners sellers(row.asks_end - row.asks_begin);
    for (const AskRow& ask : state.AsksOf(row)) sellers.Add(ask.owner);
    bids.clear();
    for (std::uint32_t i = row.bids_begin; i < row.bids_end; ++i) {
      const BidRow& bid = state.bids[i];
      if (bid.left > 0 && sellers.MayHave(bid.owner)) bids.push_back({bid.owner, bid.price, i});
    }
    if (bids.empty()) continue;
    std::sort(bids.begin(), bids.end(), [](const Own& a, const Own& b) {
      return a.owner != b.owner ? a.owner < b.owner : a.price != b.price ? a.price > b.price : a.row < b.row;
    });
    Owners buyers(bids.size());
    for (const Own& bid : bids) buyers.Add(bid.owner);
    asks.clear();
    for (std::uint32_t i = row.asks_begin; i < row.asks_end; ++i) {
      const AskRow& ask = state.asks[i];
      if (ask.left > 0 && buyers.MayHave(ask.owner)) asks.push_back({ask.owner, ask.price, i});
    }
    std::sort(asks.begin(), asks.end(), [](const Own& a, const Own& b) {
      return a.owner != b.owner ? a.owner < b.owner : a.price != b.price ? a.price < b.price : a.row < b.row;
    });
    for (std::size_t i = 0, j = 0; i < asks.size() && j < bids.size();) {
      if (asks[i].owner != bids[j].owner) {
        asks[i].owner < bids[j].owner ? ++i : ++j;
        continue;
      }
      const PartyId owner = asks[i].owner;
      const std::size_t asks_from = i;
      const std::size_t bids_from = j;
      while (i < asks.size() && asks[i].owner == owner) ++i;
      while (j < bids.size() && bids[j].owner == owner) ++j;
      NetParty(state, place, std::span(asks).subspan(asks_from, i - asks_from),
               std::span(bids).subspan(bids_from, j - bids_from));
    }
  }
}

}  // namespace accelmesh::market::auction
