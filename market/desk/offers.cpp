#include "market/desk/offers.h"

#include <algorithm>

namespace accelmesh::market {

void Offers::Add(Offer offer) {
  const auto goods = goods_.find(offer.class_name);
  if (goods == goods_.end() || offer.source.share_milli == 0) return;
  const Density density{offer.source.memory_bytes, offer.source.share_milli};
  if (density < goods->second.density || offer.source.notice_ms > goods->second.notice_ms) return;
  offer.ask.units_milli = offer.source.share_milli;
  offer.ask.notice_ms = offer.source.notice_ms;
  offer.ask.price_microcredits = std::min(offer.ask.price_microcredits, auction::kPriceMicrocreditsMax);
  all_.push_back(std::move(offer));
}

void Offers::AddIdle(const std::map<std::string, std::uint32_t>& lots) {
  for (const scheduler::Slot& slot : book_.slots()) {
    if (slot.is_draining || slot.share_milli_free == 0) continue;
    const SlotRecord* record = book_.Slot(slot.id);
    Offer offer;
    offer.owner = slot.server;
    offer.class_name = record->class_name();
    // A device that is let whole goes to one bid.
    offer.ask.is_divisible = slot.share_milli_step < slot.share_milli;
    const std::uint32_t step = std::max(1U, slot.share_milli_step);
    const auto lot = lots.find(offer.class_name);
    if (lot == lots.end() || (offer.ask.is_divisible && lot->second % step != 0)) continue;
    offer.source = {slot.id, "", slot.share_milli_free - slot.share_milli_free % step, slot.memory_bytes_free, 0};
    offer.ask.kind = auction::AskKind::kIdle;
    offer.ask.price_microcredits = record->reserve_price;
    Add(std::move(offer));
  }
}

void Offers::AddAsk(const std::string& id) {
  const LeaseRecord* lease = book_.Lease(id);
  const SlotRecord* slot = book_.Slot(lease->slot);
  const scheduler::Slot* view = book_.View(lease->slot);
  const Supply supply = SupplyOf(*lease, moment_);
  if (supply.share_milli == 0 || slot == nullptr || view == nullptr || !book_.IsReachable(*view)) return;
  Offer offer;
  offer.owner = lease->tenant;
  offer.class_name = slot->class_name();
  offer.source = {lease->slot, id, supply.share_milli, supply.memory_bytes, supply.is_all ? lease->ask.notice_ms : 0};
  offer.ask.kind = supply.is_all ? auction::AskKind::kRelease : auction::AskKind::kShare;
  offer.ask.price_microcredits = lease->ask.price_per_hour;
  offer.ask.is_divisible = !supply.is_all;
  Add(std::move(offer));
}

void Offers::AddUnused(const std::string& id) {
  const LeaseRecord* lease = book_.Lease(id);
  const SlotRecord* slot = lease != nullptr ? book_.Slot(lease->slot) : nullptr;
  const scheduler::Slot* view = lease != nullptr ? book_.View(lease->slot) : nullptr;
  if (slot == nullptr || view == nullptr || !book_.IsReachable(*view)) return;
  const std::int64_t posted = std::min(PostedOf(book_, facts_, slot->class_name()), auction::kPriceMicrocreditsMax);
  const bool is_asked = SupplyOf(*lease, moment_).is_all && lease->ask.price_per_hour <= posted;
  if (is_asked) return AddAsk(id);
  const std::int64_t notice_ms = std::clamp<std::int64_t>(slot->slot.notice_us / 1000, 0, kNoticeMsMax);
  const Supply supply = ForcedSupplyOf(*lease, posted, notice_ms, moment_);
  if (supply.share_milli == 0) return AddAsk(id);
  Offer offer;
  offer.owner = lease->tenant;
  offer.class_name = slot->class_name();
  offer.source = {lease->slot, id, supply.share_milli, supply.memory_bytes, notice_ms, true};
  offer.ask.kind = auction::AskKind::kRelease;
  offer.ask.price_microcredits = posted;
  offer.ask.is_divisible = false;
  Add(std::move(offer));
}

}  // namespace accelmesh::market
