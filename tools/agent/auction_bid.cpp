#include "tools/agent/auction_bid.h"

#include <algorithm>
#include <map>

#include "scheduler/core/quantity.h"

namespace accelmesh::agent {
namespace {

using scheduler::CreditsText;

constexpr char kWhere[] = "MakeAuctionBid";
// What a seller may take to end.
constexpr std::int64_t kNoticeUs = 30'000'000;
constexpr std::int64_t kPriceMax = 1'000'000'000'000;
// As many as an order may have (market/client/orders.h).
constexpr std::uint32_t kGangMax = 40;
constexpr std::size_t kKindsMax = 16;

// What it would need of each, were nothing let and nothing paid.
std::vector<scheduler::Slot> Emptied(std::span<const scheduler::Slot> slots) {
  std::vector<scheduler::Slot> empty(slots.begin(), slots.end());
  for (scheduler::Slot& slot : empty) {
    slot.share_milli_free = slot.share_milli;
    slot.memory_bytes_free = slot.memory_bytes;
    slot.price_microcredits_per_hour = 0;
  }
  return empty;
}

Status NoDevice() { return {Code::kNotFound, kWhere, "no device of this market would do, even with nothing let"}; }

Result<AuctionBid> GangBidOf(Prediction prediction, std::span<const scheduler::Slot> slots,
                             const std::function<std::string(const std::string&)>& kind_of, Policy policy,
                             const std::set<std::string>& excluded) {
  const std::uint32_t count = prediction.request.count;
  if (prediction.request.topology != scheduler::Topology::kAny) {
    return Status(Code::kUnsupported, kWhere,
                  "bids do not say where the devices of a gang are; leave --topology out to bid for one");
  }
  if (count > kGangMax) {
    return Status(Code::kUnsupported, kWhere, "a gang that is bid for has at most " + std::to_string(kGangMax));
  }
  const std::int64_t ceiling = CeilingOf(prediction.request);
  prediction.request.count = 1;
  const std::vector<scheduler::Slot> empty = Emptied(slots);
  ACCELMESH_ASSIGN_OR_RETURN(const Choice choice, ChooseSlots(prediction, empty, policy, excluded));
  struct Kind {
    std::string slot;
    std::uint32_t count = 0;
    std::int64_t posted = 0;
  };
  std::map<std::string, Kind> kinds;
  for (const Verdict& verdict : choice.verdicts) {
    const scheduler::Slot& slot = slots[verdict.slot];
    // A member of a gang is a whole device.
    if (!verdict.gaps.empty() || excluded.contains(slot.id) || slot.share_milli != scheduler::kWholeMilli) continue;
    Kind& kind = kinds[kind_of(slot.id)];
    if (kind.count++ == 0) kind.slot = slot.id;
    kind.posted = std::max(kind.posted, slot.price_microcredits_per_hour);
  }
  AuctionBid bid;
  bid.auction.notice_us = kNoticeUs;
  std::string names;
  for (const auto& [name, kind] : kinds) {
    if (kind.count < count || bid.auction.bundles.size() == kKindsMax) continue;
    const std::int64_t value = ceiling >= 0 ? ceiling : 2 * kind.posted * count;
    bid.auction.bundles.push_back({kind.slot, count, std::min(value, kPriceMax)});
    names += (names.empty() ? "" : ", or ") + std::to_string(count) + " like " + kind.slot + " for " +
             CreditsText(std::min(value, kPriceMax)) + " credits an hour";
  }
  if (bid.auction.bundles.empty()) {
    return Status(
        Code::kNotFound, kWhere,
        "of no kind are there " + std::to_string(count) + " whole devices that would do; bids are for whole ones");
  }
  bid.why = {"bid",
             "nothing is to be had at the posted price: bids for a gang of whole devices, all or none: " + names,
             {{"count", std::to_string(count)}, {"kinds", std::to_string(bid.auction.bundles.size())}},
             false};
  return bid;
}

}  // namespace

Result<AuctionBid> MakeAuctionBid(const Prediction& prediction, std::span<const scheduler::Slot> slots,
                                  const std::function<std::string(const std::string&)>& kind_of, Policy policy,
                                  const std::set<std::string>& excluded) {
  if (prediction.request.count > 1) return GangBidOf(prediction, slots, kind_of, policy, excluded);
  const std::vector<scheduler::Slot> empty = Emptied(slots);
  ACCELMESH_ASSIGN_OR_RETURN(const Choice choice, ChooseSlots(prediction, empty, policy, excluded));
  if (choice.tries.empty() || choice.tries.front().slots.empty()) return NoDevice();
  const scheduler::Candidate& candidate = choice.tries.front().slots.front();
  const scheduler::Slot& slot = slots[candidate.slot];
  const std::int64_t ceiling = CeilingOf(prediction.request);
  AuctionBid bid;
  Auction& auction = bid.auction;
  auction.slot = slot.id;
  auction.share_milli = candidate.share_milli;
  auction.notice_us = kNoticeUs;
  __extension__ using Wide = __int128;
  auction.price_microcredits_per_hour =
      ceiling < 0 ? 2 * slot.price_microcredits_per_hour
                  : static_cast<std::int64_t>(
                        std::min<Wide>(Wide{ceiling} * 1000 / std::max(1U, candidate.share_milli), kPriceMax));
  bid.why = {"bid",
             "nothing is to be had at the posted price: bids up to " +
                 CreditsText(auction.price_microcredits_per_hour) + " credits an hour of a whole device for " +
                 std::to_string(auction.share_milli) + " of 1000 of one like " + slot.id,
             {{"slot", slot.id},
              {"share_milli", std::to_string(auction.share_milli)},
              {"price", CreditsText(auction.price_microcredits_per_hour)}},
             false};
  return bid;
}

}  // namespace accelmesh::agent
