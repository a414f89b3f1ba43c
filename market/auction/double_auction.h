// The rule of a double auction, on sorted sides: who trades, at what prices, so that nobody's own price sets what it
// pays or gets.
//
// * Where buyers' values, dearest first, cross sellers', cheapest first, lie k trades: b(k) >= s(k), b(k+1) < s(k+1).
// * McAfee (R. P. McAfee, "A Dominant Strategy Double Auction", Journal of Economic Theory 56, 1992): at
//   p = (b(k+1) + s(k+1)) / 2 if b(k) >= p >= s(k), all k; else k - 1, buyers pay b(k), sellers get s(k), and what is
//   over is nobody's. Prices are integers: p is rounded down.
// * SBBA (E. Segal-Halevi, A. Hassidim, Y. Aumann, "SBBA: A Strongly-Budget-Balanced Double-Auction Mechanism", SAGT
// 2016,
//   arXiv 1607.05139, section 2): one price, min(s(k+1), b(k)). If it is s(k+1), all k trade; if it is b(k), that buyer
//   does not, and one of the k sellers, drawn, does not.
// * Orders of several sizes (P. Huang, A. Scheller-Wolf, K. Sycara, "Design of a Multi-Unit Double Auction E-Market",
//   Computational Intelligence 18, 2002, section 3): the last buyer K and the last seller L that would trade set both
//   prices and do not trade; the longer of the remaining sides is rationed. Theirs shares the burden equally; ours
//   draws (rationing.h), which rests on prices as little and keeps whole lots.
//
// Pure. Threads: functions on values.
#pragma once

#include <span>

#include "market/auction/epoch.h"

namespace accelmesh::market::auction {

// Best first: buyers' prices fall, sellers' rise. Before those listed come `front` better ones, of which nobody asks
// more than their number and units: the ranks around the crossing must be listed.
struct Side {
  std::vector<std::int64_t> prices;
  std::vector<std::int64_t> units;
  std::uint32_t front = 0;
  std::int64_t front_units = 0;
};

// How many orders of either side take part in the trades that would make most of the market.
struct Crossing {
  std::uint32_t buyers = 0;
  std::uint32_t sellers = 0;
};
Crossing FindCrossing(const Side& buyers, const Side& sellers);

struct AuctionPlan {
  LaneB rule = LaneB::kNone;
  std::uint32_t buyers = 0;  // the first so many trade, or are in the draw
  std::uint32_t sellers = 0;
  std::uint32_t given_up = 0;
  std::int64_t units_max = 0;  // that trade
  std::int64_t price_buyer = -1;
  std::int64_t price_seller = -1;
};

// All orders are of `units`.
AuctionPlan PlanOneSize(const Side& buyers, const Side& sellers, Crossing crossing, std::int64_t units,
                        DoubleAuction auction);
AuctionPlan PlanHuang(const Side& buyers, const Side& sellers, Crossing crossing);

// What the buyer at `place` (that lost in an auction of one size) had to bid to win, all else as it is; -1: no price.
std::int64_t PriceToWin(const Side& buyers, const Side& sellers, Crossing crossing, DoubleAuction auction,
                        std::uint32_t place);

}  // namespace accelmesh::market::auction
