#include "market/desk/clearing.h"

#include <algorithm>
#include <bit>
#include <set>
#include <tuple>

#include "market/core/accounts.h"

namespace accelmesh::market {
namespace {

// Memory that goes with a share.
struct Density {
  std::uint64_t memory = 0;
  std::uint64_t share = 1;
  bool operator<(const Density& other) const {
    __extension__ using Wide = unsigned __int128;
    return Wide{memory} * other.share < Wide{other.memory} * share;
  }
};

struct Goods {
  Density density;             // at least
  std::int64_t notice_ms = 0;  // at most
};

// What a bid wants of a class: a part of a gang's bundle, or all of a bid.
struct Want {
  std::size_t bid = 0;
  Density density;
  std::int64_t notice_ms = 0;
  // Bids for much the same are one kind.
  std::pair<int, std::int64_t> kind() const {
    return {std::bit_width(density.memory / std::max<std::uint64_t>(1, density.share)), notice_ms};
  }
};

// Those that deal in the same epoch: the kinds of goods take turns.
Goods GoodsOf(const std::vector<Want>& wants, std::uint64_t number) {
  std::set<std::pair<int, std::int64_t>> kinds;
  for (const Want& want : wants) kinds.insert(want.kind());
  auto at = kinds.begin();
  std::advance(at, static_cast<std::ptrdiff_t>(number % kinds.size()));
  Goods goods{{}, at->second};
  for (const Want& want : wants) {
    if (want.kind().first <= at->first && goods.density < want.density) goods.density = want.density;
  }
  return goods;
}

template <typename T>
std::size_t PlaceOf(const std::vector<T>& sorted, const T& value) {
  return static_cast<std::size_t>(std::lower_bound(sorted.begin(), sorted.end(), value) - sorted.begin());
}

}  // namespace

class EpochPlanner::Impl {
 public:
  Impl(const Book& book, const std::vector<SealedBid>& bids, std::uint64_t number, const Moment& moment)
      : book_(book), bids_(bids), moment_(moment), left_out_(bids.size()) {
    plan_.input.number = number;
    CheckBids();
    for (const auto& [name, wants] : wants_) goods_[name] = GoodsOf(wants, number);
    LeaveOutOtherGoods();
    FindSources();
    Collect();
  }

  const std::vector<SignedOrderBytes>& orders() const { return orders_; }
  const std::vector<std::string>& left_out() const { return left_out_; }

  EpochPlan Finish(const std::vector<std::size_t>& ranks, std::uint64_t seed) {
    plan_.input.seed = seed;
    plan_.signed_orders = orders_.size();
    MakeTables();
    std::size_t next = 0;
    for (const std::size_t place : taking_part_) AddBid(place, ranks[next++]);
    for (Found& found : found_) {
      const auction::OrderId id = found.source.lease.empty() ? plan_.signed_orders + found.idle_rank : ranks[next++];
      AddAsk(found, id);
    }
    const auto by_id = [](const auto& a, const auto& b) { return a.id < b.id; };
    std::sort(plan_.input.asks.begin(), plan_.input.asks.end(), by_id);
    std::sort(plan_.input.bids.begin(), plan_.input.bids.end(), by_id);
    std::sort(plan_.input.gangs.begin(), plan_.input.gangs.end(), by_id);
    AddClasses();
    return std::move(plan_);
  }

 private:
  struct Found {
    auction::Ask ask;
    std::string owner;
    std::string class_name;
    EpochPlan::Source source;
    std::size_t idle_rank = 0;
  };

  template <typename Each>
  static void EachPart(const messages::OrderT& order, const Each& each) {
    if (order.bundles.empty()) each(order.class_name, order.share_milli, order.memory_bytes);
    for (const auto& bundle : order.bundles) {
      for (const auto& part : bundle->parts) each(part->class_name, part->share_milli, part->memory_bytes);
    }
  }

  // Whoever cannot pay what he bids bids nothing; of several bids of one tenant, those that he can pay together.
  void CheckBids() {
    std::map<std::string, std::int64_t> left;
    for (std::size_t i = 0; i < bids_.size(); ++i) {
      const messages::OrderT& order = *bids_[i].order;
      if (order.valid_until_ms <= moment_.now_ms) {
        left_out_[i] = "the order has expired";
        continue;
      }
      const AccountRecord* account = book_.Account(bids_[i].owner);
      const auto purse = left.try_emplace(bids_[i].owner, account != nullptr ? account->balance : 0).first;
      std::int64_t price = ShareOf(order.price_microcredits_per_hour, order.share_milli);
      for (const auto& bundle : order.bundles) price = std::max(price, bundle->value_microcredits_per_hour);
      const std::int64_t lease_ms =
          order.lease_us > 0 ? std::min(order.lease_us / 1000, kLeaseLifeMsMax) : kLeaseLifeMsMax;
      const std::int64_t cost = CostOf(price, lease_ms);
      if (cost > purse->second) {
        left_out_[i] = "the account has less than the bid and the tenant's others may cost";
        continue;
      }
      purse->second -= cost;
      EachPart(order, [&](const std::string& name, std::uint32_t share, std::uint64_t memory) {
        wants_[name].push_back({i, {memory, std::max(1U, share)}, order.notice_us / 1000});
      });
    }
  }

  void LeaveOutOtherGoods() {
    for (const auto& [name, wants] : wants_) {
      const Goods& goods = goods_[name];
      for (const Want& want : wants) {
        if (goods.density < want.density || want.notice_ms < goods.notice_ms) {
          left_out_[want.bid] = "bids with another memory or notice had this turn";
        }
      }
    }
  }

  void Offer(Found found) {
    const auto goods = goods_.find(found.class_name);
    if (goods == goods_.end() || found.source.share_milli == 0) return;
    const Density density{found.source.memory_bytes, found.source.share_milli};
    if (density < goods->second.density || found.source.notice_ms > goods->second.notice_ms) return;
    found.ask.units_milli = found.source.share_milli;
    found.ask.notice_ms = found.source.notice_ms;
    found.ask.price_microcredits = std::min(found.ask.price_microcredits, auction::kPriceMicrocreditsMax);
    found_.push_back(std::move(found));
  }

  void FindSources() {
    for (const scheduler::Slot& slot : book_.slots()) {
      if (slot.is_draining || slot.share_milli_free == 0) continue;
      const SlotRecord* record = book_.Slot(slot.id);
      Found found;
      found.owner = slot.server;
      found.class_name = record->class_name();
      found.source = {slot.id, "", slot.share_milli_free, slot.memory_bytes_free, 0};
      found.ask.kind = auction::AskKind::kIdle;
      found.ask.price_microcredits = record->reserve_price;
      // A device that is let whole goes to one bid.
      found.ask.is_divisible = slot.share_milli_step < slot.share_milli;
      Offer(std::move(found));
    }
    for (const std::string& id : book_.Asked()) {
      const LeaseRecord* lease = book_.Lease(id);
      const SlotRecord* slot = book_.Slot(lease->slot);
      const scheduler::Slot* view = book_.View(lease->slot);
      const Supply supply = SupplyOf(*lease, moment_);
      if (supply.share_milli == 0 || slot == nullptr || view == nullptr || !book_.IsReachable(*view)) continue;
      Found found;
      found.owner = lease->tenant;
      found.class_name = slot->class_name();
      found.source = {lease->slot, id, supply.share_milli, supply.memory_bytes,
                      supply.is_all ? lease->ask.notice_ms : 0};
      found.ask.kind = supply.is_all ? auction::AskKind::kRelease : auction::AskKind::kShare;
      found.ask.price_microcredits = lease->ask.price_per_hour;
      found.ask.is_divisible = !supply.is_all;
      Offer(std::move(found));
    }
  }

  // What is signed, in the order in which Finish() numbers it: bids, then asks.
  void Collect() {
    for (std::size_t i = 0; i < bids_.size(); ++i) {
      if (!left_out_[i].empty()) continue;
      taking_part_.push_back(i);
      SignedOrderBytes bytes;
      if (const messages::PlaceOrderT* placed = bids_[i].placed; placed != nullptr) {
        bytes.order.assign(placed->order.begin(), placed->order.end());
        bytes.signature.assign(placed->signature.begin(), placed->signature.end());
      }
      orders_.push_back(std::move(bytes));
    }
    // Idle supply by the name of its slot.
    std::sort(found_.begin(), found_.end(), [](const Found& a, const Found& b) {
      return std::tie(a.source.lease, a.source.slot) < std::tie(b.source.lease, b.source.slot);
    });
    std::size_t idle = 0;
    for (Found& found : found_) {
      if (found.source.lease.empty()) {
        found.idle_rank = idle++;
        continue;
      }
      const StandingAsk& ask = book_.Lease(found.source.lease)->ask;
      orders_.push_back({ask.order, ask.signature});
    }
  }

  // Numbers follow from sorted names; nothing follows from the numbers.
  void MakeTables() {
    std::set<std::string> parties;
    std::set<std::string> classes;
    for (const Found& found : found_) {
      parties.insert(found.owner);
      classes.insert(found.class_name);
      if (!found.source.lease.empty()) plan_.leases.push_back(found.source.lease);
    }
    for (const std::size_t i : taking_part_) {
      parties.insert(bids_[i].owner);
      EachPart(*bids_[i].order, [&](const std::string& name, std::uint32_t, std::uint64_t) { classes.insert(name); });
    }
    plan_.parties.assign(parties.begin(), parties.end());
    plan_.classes.assign(classes.begin(), classes.end());
    std::sort(plan_.leases.begin(), plan_.leases.end());
  }

  void AddAsk(Found& found, auction::OrderId id) {
    found.ask.id = id;
    found.ask.owner = PlaceOf(plan_.parties, found.owner);
    found.ask.slot_class = static_cast<auction::ClassId>(PlaceOf(plan_.classes, found.class_name));
    if (!found.source.lease.empty()) found.ask.lease = 1 + PlaceOf(plan_.leases, found.source.lease);
    plan_.asks[id] = std::move(found.source);
    plan_.input.asks.push_back(found.ask);
  }

  void AddClasses() {
    // What is posted for the dearest of the class: so that whoever holds a part of that one may sell it.
    std::map<std::string, std::int64_t> reserves;
    for (const scheduler::Slot& slot : book_.slots()) {
      const SlotRecord* record = book_.Slot(slot.id);
      if (slot.is_draining || !book_.IsReachable(slot)) continue;
      std::int64_t& reserve = reserves[record->class_name()];
      reserve = std::max(reserve, record->reserve_price);
    }
    for (std::size_t i = 0; i < plan_.classes.size(); ++i) {
      auction::ClassInput one;
      one.id = static_cast<auction::ClassId>(i);
      const PriceRecord* price = book_.Price(plan_.classes[i]);
      const std::int64_t posted = std::max(price != nullptr ? price->price_per_hour : 0, reserves[plan_.classes[i]]);
      one.reserve_microcredits = one.surrogate_microcredits = std::min(posted, auction::kPriceMicrocreditsMax);
      if (const auto goods = goods_.find(plan_.classes[i]); goods != goods_.end()) {
        one.notice_ms = std::min(goods->second.notice_ms, auction::kNoticeMsMax);
      }
      plan_.input.classes.push_back(std::move(one));
    }
  }

  void AddBid(std::size_t place, auction::OrderId id) {
    const messages::OrderT& order = *bids_[place].order;
    const auto party = static_cast<auction::PartyId>(PlaceOf(plan_.parties, bids_[place].owner));
    const auto class_of = [this](const std::string& name) {
      return static_cast<auction::ClassId>(PlaceOf(plan_.classes, name));
    };
    plan_.bids[id] = place;
    if (order.bundles.empty()) {
      auction::Bid bid;
      bid.id = id;
      bid.owner = party;
      bid.slot_class = class_of(order.class_name);
      bid.is_divisible = order.is_divisible;
      bid.units_milli = order.share_milli;
      bid.price_microcredits = std::min(order.price_microcredits_per_hour, auction::kPriceMicrocreditsMax);
      bid.notice_ms_max = std::min(order.notice_us / 1000, auction::kNoticeMsMax);
      plan_.input.bids.push_back(bid);
      return;
    }
    auction::GangBid gang;
    gang.id = id;
    gang.owner = party;
    gang.notice_ms_max = std::min(order.notice_us / 1000, auction::kNoticeMsMax);
    for (const auto& one : order.bundles) {
      auction::Bundle bundle;
      bundle.value_microcredits = std::min(one->value_microcredits_per_hour, auction::kValueMicrocreditsMax);
      for (const auto& part : one->parts) {
        const auction::ClassId slot_class = class_of(part->class_name);
        const auto same = std::find_if(bundle.parts.begin(), bundle.parts.end(),
                                       [&](const auction::Part& other) { return other.slot_class == slot_class; });
        if (same == bundle.parts.end()) {
          bundle.parts.push_back({slot_class, part->share_milli});
        } else {
          same->units_milli += part->share_milli;
        }
      }
      gang.bundles.push_back(std::move(bundle));
    }
    plan_.input.gangs.push_back(std::move(gang));
  }

  const Book& book_;
  const std::vector<SealedBid>& bids_;
  const Moment moment_;
  EpochPlan plan_;
  std::vector<std::string> left_out_;
  std::map<std::string, std::vector<Want>> wants_;  // by class
  std::map<std::string, Goods> goods_;
  std::vector<std::size_t> taking_part_;  // places of bids
  std::vector<Found> found_;
  std::vector<SignedOrderBytes> orders_;
};

EpochPlanner::EpochPlanner(const Book& book, const std::vector<SealedBid>& bids, std::uint64_t number,
                           const Moment& moment)
    : impl_(std::make_unique<Impl>(book, bids, number, moment)) {}
EpochPlanner::~EpochPlanner() = default;
const std::vector<SignedOrderBytes>& EpochPlanner::orders() const { return impl_->orders(); }
const std::vector<std::string>& EpochPlanner::left_out() const { return impl_->left_out(); }
EpochPlan EpochPlanner::Finish(const std::vector<std::size_t>& ranks, std::uint64_t seed) {
  return impl_->Finish(ranks, seed);
}

std::vector<std::size_t> RanksOf(const std::vector<SignedOrderBytes>& orders) {
  std::vector<std::size_t> sorted(orders.size());
  for (std::size_t i = 0; i < sorted.size(); ++i) sorted[i] = i;
  std::sort(sorted.begin(), sorted.end(), [&](std::size_t a, std::size_t b) {
    return orders[a].order != orders[b].order ? orders[a].order < orders[b].order : a < b;
  });
  std::vector<std::size_t> ranks(orders.size());
  for (std::size_t rank = 0; rank < sorted.size(); ++rank) ranks[sorted[rank]] = rank;
  return ranks;
}

std::uint64_t MemoryOf(const EpochPlan::Source& source, std::int64_t units_milli) {
  __extension__ using Wide = unsigned __int128;
  const auto units = static_cast<std::uint64_t>(std::max<std::int64_t>(units_milli, 0));
  if (source.share_milli == 0 || units >= source.share_milli) return source.memory_bytes;
  return static_cast<std::uint64_t>(Wide{source.memory_bytes} * units / source.share_milli);
}

std::string_view Name(auction::Lane lane) {
  switch (lane) {
    case auction::Lane::kNetted: return "netted";
    case auction::Lane::kFloor: return "floor";
    case auction::Lane::kGang: return "gang";
    case auction::Lane::kAuction: return "auction";
    case auction::Lane::kPosted: return "surrogate";
  }
  return "";
}

std::string_view Name(auction::LaneB lane) {
  switch (lane) {
    case auction::LaneB::kNone: return "none";
    case auction::LaneB::kSbba: return "auction (SBBA)";
    case auction::LaneB::kMcAfee: return "auction (McAfee)";
    case auction::LaneB::kHuang: return "auction (several sizes)";
    case auction::LaneB::kPosted: return "surrogate price";
  }
  return "";
}

std::string_view Name(auction::UnservedWhy why) {
  switch (why) {
    case auction::UnservedWhy::kPrice: return "the price was too low";
    case auction::UnservedWhy::kRationed: return "there was too little, and the draw fell on others";
    case auction::UnservedWhy::kMargin: return "it was the trade that the auction gives up";
    case auction::UnservedWhy::kBudget: return "the budget was too small";
    case auction::UnservedWhy::kNotice: return "it cannot wait as long as sellers take";
    case auction::UnservedWhy::kNoClass: return "nobody offers that class";
    case auction::UnservedWhy::kLot: return "it is not a whole lot";
    case auction::UnservedWhy::kNoFloor: return "the floor is used up";
    case auction::UnservedWhy::kSize: return "nobody offers so much, all or nothing";
  }
  return "";
}

}  // namespace accelmesh::market
