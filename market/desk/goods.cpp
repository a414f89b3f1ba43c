#include "market/desk/goods.h"

#include <algorithm>
#include <bit>
#include <iterator>

namespace accelmesh::market {
namespace {

constexpr std::int64_t kDearestTimes = 10;

}  // namespace

std::pair<int, std::int64_t> Want::kind() const {
  return {std::bit_width(density.memory / std::max<std::uint64_t>(1, density.share)), notice_ms};
}

Goods GoodsOf(const std::vector<Want>& wants, std::uint64_t number) {
  std::map<std::string_view, std::set<std::pair<int, std::int64_t>>> owners;
  for (const Want& want : wants) owners[want.owner].insert(want.kind());
  const auto owner = std::next(owners.begin(), static_cast<std::ptrdiff_t>(number % owners.size()));
  const auto& kinds = owner->second;
  const auto at = std::next(kinds.begin(), static_cast<std::ptrdiff_t>(number / owners.size() % kinds.size()));
  Goods goods{{}, at->second};
  for (const Want& want : wants) {
    if (want.kind().first <= at->first && goods.density < want.density) goods.density = want.density;
  }
  return goods;
}

FactsOfClasses LookAtClasses(const Book& book, const std::set<std::string>& unused, const Moment& moment) {
  FactsOfClasses all;
  for (const scheduler::Slot& slot : book.slots()) {
    const SlotRecord* record = book.Slot(slot.id);
    ClassFacts& facts = all[record->class_name()];
    const Density whole{slot.memory_bytes, std::max(1U, slot.share_milli)};
    if (facts.most < whole) facts.most = whole;
    if (!slot.is_draining && book.IsReachable(slot)) facts.reserves.insert(record->reserve_price);
  }
  const auto note = [&](const std::string& id) {
    const LeaseRecord* lease = book.Lease(id);
    const SlotRecord* slot = lease != nullptr ? book.Slot(lease->slot) : nullptr;
    if (slot == nullptr) return;
    ClassFacts& facts = all[slot->class_name()];
    facts.left_ms = std::max(facts.left_ms, lease->not_after_ms - moment.now_ms);
    // What is sold of it may have more memory for its share than a device.
    const Density density{lease->memory_bytes, std::max(1U, lease->share_milli)};
    if (facts.most < density) facts.most = density;
  };
  for (const std::string& id : book.Asked()) note(id);
  for (const std::string& id : unused) note(id);
  return all;
}

std::int64_t PostedOf(const Book& book, const FactsOfClasses& facts, const std::string& class_name) {
  const PriceRecord* price = book.Price(class_name);
  std::int64_t posted = price != nullptr ? price->price_per_hour : 0;
  const auto known = facts.find(class_name);
  if (known == facts.end() || known->second.reserves.empty()) return posted;
  const std::int64_t most = kDearestTimes * std::max(posted, *known->second.reserves.begin());
  for (const std::int64_t reserve : known->second.reserves) {
    if (reserve <= most) posted = std::max(posted, reserve);
  }
  return posted;
}

}  // namespace accelmesh::market
