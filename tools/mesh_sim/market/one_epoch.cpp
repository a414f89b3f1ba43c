#include "tools/mesh_sim/market/one_epoch.h"

#include <map>

namespace accelmesh::sim {
namespace {

using market::auction::EpochInput;
using market::auction::EpochOutcome;
using market::auction::LaneB;

constexpr double kNanoPerCredit = 1e9;
constexpr std::size_t kAuction = 0, kPosted = 1, kGangs = 2, kBesideGangs = 3;

std::int64_t Shaded(std::int64_t amount, double times) {
  return static_cast<std::int64_t>(static_cast<double>(amount) * times);
}

LaneB LaneOf(const EpochOutcome& outcome, std::uint32_t slot_class) {
  for (const market::auction::ClassOutcome& of_class : outcome.classes) {
    if (of_class.id == slot_class) return of_class.lane_b;
  }
  return LaneB::kNone;
}

std::size_t KindOf(LaneB lane) {
  return lane == LaneB::kPosted ? kPosted : lane == LaneB::kNone ? kBesideGangs : kAuction;
}

// The same input with the owner's orders of one kind at `times` their price; false if it has none.
bool Shade(EpochInput& input, const EpochOutcome& honest, std::uint64_t owner, std::size_t kind, double times) {
  bool is_changed = false;
  for (market::auction::Bid& bid : input.bids) {
    if (bid.owner != owner || KindOf(LaneOf(honest, bid.slot_class)) != kind) continue;
    bid.price_microcredits = Shaded(bid.price_microcredits, times);
    is_changed = true;
  }
  for (market::auction::GangBid& gang : input.gangs) {
    if (gang.owner != owner || kind != kGangs) continue;
    for (market::auction::Bundle& bundle : gang.bundles) {
      bundle.value_microcredits = Shaded(bundle.value_microcredits, times);
    }
    is_changed = true;
  }
  return is_changed;
}

}  // namespace

double SurplusOf(const EpochInput& truth, const EpochOutcome& outcome, std::uint64_t owner) {
  std::map<std::uint64_t, std::int64_t> bids, asks;
  for (const market::auction::Bid& bid : truth.bids) {
    if (bid.owner == owner) bids[bid.id] = bid.price_microcredits;
  }
  for (const market::auction::Ask& ask : truth.asks) {
    if (ask.owner == owner) asks[ask.id] = ask.price_microcredits;
  }
  double nano = 0;
  for (const market::auction::Trade& trade : outcome.trades) {
    const auto units = static_cast<double>(trade.units_milli);
    const auto bid = bids.find(trade.bid);
    const auto ask = asks.find(trade.ask);
    if (bid != bids.end()) nano += units * static_cast<double>(bid->second - trade.price_buyer_microcredits);
    if (ask != asks.end()) nano += units * static_cast<double>(trade.price_seller_microcredits - ask->second);
  }
  for (const market::auction::GangAward& award : outcome.gangs) {
    if (award.owner != owner) continue;
    for (const market::auction::GangBid& gang : truth.gangs) {
      if (gang.id != award.gang) continue;
      nano += static_cast<double>(gang.bundles[award.bundle].value_microcredits) * market::auction::kNanoPerMicro -
              static_cast<double>(award.pays_nanocredits);
    }
  }
  return nano / kNanoPerCredit;
}

void OneEpochGain::See(const EpochInput& input, const EpochOutcome& outcome) {
  const double honest = SurplusOf(input, outcome, owner_);
  honest_ += honest;
  for (std::size_t kind = 0; kind < kOrderKinds && status_.ok(); ++kind) {
    EpochInput other = input;
    if (!Shade(other, outcome, owner_, kind, times_)) continue;
    const Result<EpochOutcome> cleared = market::auction::ClearEpoch(other);
    if (!cleared.ok()) {
      status_ = cleared.status();
      return;
    }
    change_[kind] += SurplusOf(input, *cleared, owner_) - honest;
  }
}

}  // namespace accelmesh::sim
