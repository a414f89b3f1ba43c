#include "market/auction/double_auction.h"

#include <algorithm>

namespace accelmesh::market::auction {
namespace {

constexpr std::int64_t kNone = -1;

// The prices around the crossing; kNone where there is no such order.
struct Edge {
  std::int64_t k = 0;
  std::int64_t buyer = kNone;        // b(k)
  std::int64_t next_buyer = kNone;   // b(k+1)
  std::int64_t seller = kNone;       // s(k)
  std::int64_t next_seller = kNone;  // s(k+1)
};

struct OneSize {
  bool all = false;  // k trades, else k - 1
  bool draws_seller = false;
  std::int64_t price_buyer = kNone;
  std::int64_t price_seller = kNone;
};

OneSize Decide(const Edge& edge, DoubleAuction auction) {
  if (auction == DoubleAuction::kSbba) {
    if (edge.next_seller != kNone && edge.next_seller <= edge.buyer) {
      return {true, false, edge.next_seller, edge.next_seller};
    }
    return {false, true, edge.buyer, edge.buyer};
  }
  const std::int64_t low = edge.next_buyer == kNone ? 0 : edge.next_buyer;
  const std::int64_t high = edge.next_seller == kNone ? kPriceMicrocreditsMax : edge.next_seller;
  const std::int64_t middle = (low + high) / 2;
  if (middle <= edge.buyer && middle >= edge.seller) return {true, false, middle, middle};
  return {false, false, edge.buyer, edge.seller};
}

// The price at a rank, from 1; kNone if there is none.
std::int64_t At(const Side& side, std::int64_t rank) {
  const std::int64_t place = rank - 1 - side.front;
  return place >= 0 && place < std::ssize(side.prices) ? side.prices[static_cast<std::size_t>(place)] : kNone;
}

}  // namespace

Crossing FindCrossing(const Side& buyers, const Side& sellers) {
  // Those in front are as one order that is better than all.
  std::size_t i = 0;
  std::size_t j = 0;
  std::int64_t wanted = buyers.front_units;
  std::int64_t offered = sellers.front_units;
  bool is_front_buyer = buyers.front > 0;
  bool is_front_seller = sellers.front > 0;
  Crossing crossing;
  for (;;) {
    if (!is_front_buyer && i == buyers.prices.size()) break;
    if (!is_front_seller && j == sellers.prices.size()) break;
    if (!is_front_buyer && !is_front_seller && buyers.prices[i] < sellers.prices[j]) break;
    crossing.buyers = is_front_buyer ? buyers.front : buyers.front + static_cast<std::uint32_t>(i) + 1;
    crossing.sellers = is_front_seller ? sellers.front : sellers.front + static_cast<std::uint32_t>(j) + 1;
    if (wanted == 0) wanted = buyers.units[i];
    if (offered == 0) offered = sellers.units[j];
    const std::int64_t units = std::min(wanted, offered);
    wanted -= units;
    offered -= units;
    if (wanted == 0) is_front_buyer ? void(is_front_buyer = false) : void(++i);
    if (offered == 0) is_front_seller ? void(is_front_seller = false) : void(++j);
  }
  return crossing;
}

AuctionPlan PlanOneSize(const Side& buyers, const Side& sellers, Crossing crossing, std::int64_t units,
                        DoubleAuction auction) {
  AuctionPlan plan;
  plan.rule = auction == DoubleAuction::kSbba ? LaneB::kSbba : LaneB::kMcAfee;
  const std::int64_t k = crossing.buyers;
  if (k == 0) return plan;
  const OneSize one = Decide({k, At(buyers, k), At(buyers, k + 1), At(sellers, k), At(sellers, k + 1)}, auction);
  plan.price_buyer = one.price_buyer;
  plan.price_seller = one.price_seller;
  const auto trades = static_cast<std::uint32_t>(one.all ? k : k - 1);
  plan.buyers = trades;
  plan.sellers = one.draws_seller ? static_cast<std::uint32_t>(k) : trades;
  plan.given_up = static_cast<std::uint32_t>(k) - trades;
  plan.units_max = std::int64_t{trades} * units;
  return plan;
}

AuctionPlan PlanHuang(const Side& buyers, const Side& sellers, Crossing crossing) {
  AuctionPlan plan;
  plan.rule = LaneB::kHuang;
  if (crossing.buyers == 0) return plan;
  plan.buyers = crossing.buyers - 1;
  plan.sellers = crossing.sellers - 1;
  plan.given_up = 1;
  plan.price_buyer = At(buyers, crossing.buyers);
  plan.price_seller = At(sellers, crossing.sellers);
  std::int64_t wanted = buyers.front_units;
  std::int64_t offered = sellers.front_units;
  for (std::uint32_t i = buyers.front; i < plan.buyers; ++i) wanted += buyers.units[i - buyers.front];
  for (std::uint32_t i = sellers.front; i < plan.sellers; ++i) offered += sellers.units[i - sellers.front];
  plan.units_max = std::min(wanted, offered);
  return plan;
}

std::int64_t PriceToWin(const Side& buyers, const Side& sellers, Crossing crossing, DoubleAuction auction,
                        std::uint32_t place) {
  // Were it dearest of all, the others would lie one rank further back, up to where it was.
  const std::int64_t was = std::int64_t{place} + 1;
  constexpr std::int64_t kDearest = kPriceMicrocreditsMax;
  const auto rank = [&](std::int64_t j) { return j == 1 ? kDearest : At(buyers, j <= was ? j - 1 : j); };
  std::int64_t k = crossing.buyers;
  const std::int64_t next = At(sellers, k + 1);
  if (next != kNone && rank(k + 1) != kNone && rank(k + 1) >= next) ++k;
  if (k == 0) return kNone;
  const OneSize one = Decide({k, rank(k), rank(k + 1), At(sellers, k), At(sellers, k + 1)}, auction);
  // With one trade that is given up there is none left, whatever it bids.
  return !one.all && k == 1 ? kNone : one.price_buyer;
}

}  // namespace accelmesh::market::auction
