// Who gets what when more want to trade at a price than can: a draw, in which a price plays no part. Sellers are drawn
// by reputation x chance, buyers by chance.
//
// What lies idle is taken before running leases, and what can be divided before lumps (asks for all or nothing): no
// lease is ended for units that lie idle.
//
// Inside of market/auction only. Threads: one at a time for each State.
#pragma once

#include "market/auction/state.h"

namespace accelmesh::market::auction {

// Sets `taken` of the sellers so that the sum is at most `target`, and is it if that is possible by this rule; returns
// the sum. Not for buyers who take all from one.
std::int64_t TakeUpTo(State& state, std::vector<Offer>& sellers, std::int64_t target);

// The same where all are of one size, and `target` is a multiple of it: leaves out those whose turn comes last.
enum class Who : std::uint8_t { kSellers, kBuyers };
std::int64_t TakeEqual(State& state, Who who, std::vector<Offer>& offers, std::int64_t target);

// Makes trades of what was taken on both sides, in the order of ids, beginning at a seller that is drawn. Calls
// trade(ask row, bid row, units) for each. Preconditions: both sides took the same sum; no seller gives less than a
// buyer that takes all from one needs (as where all are of one size).
template <typename Trade>
void Pair(const std::vector<Offer>& sellers, const std::vector<Offer>& buyers, std::uint64_t draw, Trade trade) {
  if (sellers.empty()) return;
  std::size_t at = draw % sellers.size();
  std::int64_t left = sellers[at].taken;
  for (const Offer& buyer : buyers) {
    for (std::int64_t need = buyer.taken; need > 0;) {
      while (left == 0) {
        at = at + 1 == sellers.size() ? 0 : at + 1;
        left = sellers[at].taken;
      }
      const std::int64_t units = std::min(need, left);
      trade(sellers[at].row, buyer.row, units);
      need -= units;
      left -= units;
    }
  }
}

struct Packed {
  std::uint32_t ask_row = 0;
  std::uint32_t bid_row = 0;
  std::int64_t units = 0;
};
// Serves buyers in the order of the draw from sellers in theirs. Who takes all or nothing takes it from one seller: the
// first in the draw that has room (of the kOpenMax last ones that sold a part, and those not yet come to), else a lump
// of just that size. Others take from whoever comes next, then lumps that they can take whole. By bid, then ask.
std::vector<Packed> Pack(State& state, std::vector<Offer>& sellers, std::vector<Offer>& buyers);
inline constexpr std::size_t kOpenMax = 16;

}  // namespace accelmesh::market::auction
