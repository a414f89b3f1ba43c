#include "tools/agent/seller.h"

#include <algorithm>

#include "scheduler/core/quantity.h"
#include "tools/agent/calls.h"

namespace accelmesh::agent {
namespace {

using scheduler::CreditsText;

constexpr std::int64_t kLookMs = 500;
constexpr double kHourMs = 3'600'000;
constexpr double kPriceMax = 1e12;
// What a run has cost so far grows all the time: the ask follows in steps, each of which the market writes down.
constexpr std::int64_t kRepriceMs = 5000;
constexpr std::int64_t kRepricePart = 8;

}  // namespace

Result<std::vector<PriceSeen>> MarketPort::Prices(const std::string& /*kind*/, Deadline /*deadline*/) {
  return Status(Code::kUnsupported, "MarketPort::Prices", "this market keeps no prices of the past");
}
Status MarketPort::Post(const Offer& /*offer*/, const OperationId& /*id*/, Deadline /*deadline*/) {
  return {Code::kUnsupported, "MarketPort", "this market has no auction"};
}
Result<std::vector<Traded>> MarketPort::Trades(const std::string& /*lease*/, Deadline /*deadline*/) {
  return Status(Code::kUnsupported, "MarketPort", "this market has no auction");
}

std::int64_t Seller::PriceOf(const SellPolicy& policy, std::uint32_t share_milli, const Worth& worth) {
  switch (policy.kind) {
    case SellPolicy::Kind::kFirm: return -1;
    case SellPolicy::Kind::kPrice: return policy.price_microcredits_per_hour;
    case SellPolicy::Kind::kRemainingValue: break;
  }
  if (worth.ceiling_microcredits_per_hour < 0 || worth.left_ms <= 0 || share_milli == 0) return -1;
  const double an_hour = static_cast<double>(worth.ceiling_microcredits_per_hour) +
                         worth.spent_microcredits * kHourMs / static_cast<double>(worth.left_ms);
  return static_cast<std::int64_t>(std::min(kPriceMax, an_hour * 1000 / share_milli));
}

std::int64_t Seller::AskOf(const SellPolicy& policy, const Won& won, const Worth& worth) {
  const std::int64_t price = PriceOf(policy, won.share_milli, worth);
  if (price < 0 || won.share_milli == 0) return -1;
  // Who sells for less had better give it back.
  __extension__ using Wide = __int128;
  const Wide rate = (Wide{won.price_microcredits_per_hour} * 1000 + won.share_milli - 1) / won.share_milli;
  return static_cast<std::int64_t>(std::min<Wide>(std::max<Wide>(price, rate), static_cast<Wide>(kPriceMax)));
}

bool Seller::HasMoved(const Won& won, const Worth& worth) const {
  if (!is_posted_ || posted_price_ < 0 || world_.NowMs() < posted_ms_ + kRepriceMs) return false;
  const std::int64_t price = AskOf(policy_, won, worth);
  return price > posted_price_ + posted_price_ / kRepricePart || price < posted_price_ - posted_price_ / kRepricePart;
}

void Seller::Post(const Won& won, const Worth& worth) {
  const std::int64_t price = AskOf(policy_, won, worth);
  if (price < 0) return;
  Offer offer;
  offer.lease = won.lease;
  // Rising, also over a restart of this program.
  offer.number = number_ = std::max(number_ + 1, static_cast<std::uint64_t>(world_.NowMs()));
  offer.price_microcredits_per_hour = price;
  offer.share_milli = policy_.share_milli < won.share_milli ? policy_.share_milli : 0;
  offer.notice_us = policy_.notice_us;
  const Status posted = market_.Post(offer, DrawId(world_), In(kCallMs));
  if (posted.code() == Code::kUnavailable || posted.code() == Code::kDeadlineExceeded) return;
  is_posted_ = true;
  posted_price_ = price;
  posted_ms_ = world_.NowMs();
  if (!posted.ok()) {
    if (!is_refused_) sink_({"ask", "the market takes no ask for " + won.lease + ": " + posted.text(), {}, false});
    is_refused_ = true;
    return;
  }
  sink_({"ask",
         "lease " + won.lease + " is for sale, " +
             (offer.share_milli == 0 ? "all of it" : std::to_string(offer.share_milli) + " of 1000") + ", at " +
             CreditsText(price) + " credits an hour of a whole device or more",
         {{"lease", won.lease}, {"price", CreditsText(price)}, {"share_milli", std::to_string(offer.share_milli)}},
         false});
}

Sale Seller::Tick(const Won& won, const Worth& worth) {
  Sale sale;
  if (!sells() || is_refused_ || world_.NowMs() < next_ms_) return sale;
  if (!is_posted_ && PriceOf(policy_, won.share_milli, worth) < 0) return sale;
  next_ms_ = world_.NowMs() + kLookMs;
  if (!is_posted_ || HasMoved(won, worth)) Post(won, worth);
  // A market that does not answer now will later.
  const Result<std::vector<Traded>> trades = market_.Trades(won.lease, In(kCallMs));
  if (!trades.ok()) return sale;
  for (const Traded& trade : *trades) {
    if (trade.from != won.lease || !told_.insert(trade.lease).second) continue;
    const bool is_all = trade.share_milli + sale.sold_milli >= won.share_milli;
    sale.sold_milli += trade.share_milli;
    sale.is_all |= is_all;
    if (is_all) sale.ends_ms = trade.begins_ms;
    sink_({"sell",
           "lease " + won.lease + ": sold " + (is_all ? "all of it" : std::to_string(trade.share_milli) + " of 1000") +
               " to " + trade.buyer + ", at " + CreditsText(trade.price_microcredits_per_hour) +
               " credits an hour of a whole device (" + trade.lane + "), " + CreditsText(trade.paid_microcredits) +
               " credits in all",
           {{"lease", won.lease},
            {"buyer", trade.buyer},
            {"share_milli", std::to_string(trade.share_milli)},
            {"price", CreditsText(trade.price_microcredits_per_hour)},
            {"paid", CreditsText(trade.paid_microcredits)}},
           is_all});
  }
  return sale;
}

}  // namespace accelmesh::agent
