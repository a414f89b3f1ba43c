#include "market/desk/clearing.h"

#include <algorithm>
#include <bit>
#include <set>

#include "market/auction/floors.h"
#include "market/core/accounts.h"
#include "market/desk/lots.h"
#include "market/desk/reputations.h"

namespace accelmesh::market {
namespace {

using ledger::LeftOut;

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
  std::string_view owner;
  Density density;
  std::int64_t notice_ms = 0;
  // Bids for much the same are one kind.
  std::pair<int, std::int64_t> kind() const {
    return {std::bit_width(density.memory / std::max<std::uint64_t>(1, density.share)), notice_ms};
  }
};

// Those that deal in the same epoch: owners take turns, and the kinds of goods that each wants. So nobody has more
// turns for bidding for more kinds.
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

// Of a class that somebody offers.
struct ClassFacts {
  Density most;                     // that any device or lease of it has
  std::int64_t left_ms = 0;         // of the longest lease that is for sale
  std::set<std::int64_t> reserves;  // of slots that let
};
constexpr std::int64_t kDearestTimes = 10;

template <typename T>
std::size_t PlaceOf(const std::vector<T>& sorted, const T& value) {
  return static_cast<std::size_t>(std::lower_bound(sorted.begin(), sorted.end(), value) - sorted.begin());
}

}  // namespace

class EpochPlanner::Impl {
 public:
  Impl(const Book& book, const std::vector<SealedBid>& bids, const std::set<std::string>& unused, std::uint64_t number,
       const Moment& moment)
      : book_(book), bids_(bids), unused_(unused), moment_(moment), left_out_(bids.size()) {
    plan_.input.number = number;
    LookAtClasses();
    CheckBids();
    // With gangs there are two turns of each kind of goods.
    const bool has_gangs =
        std::any_of(bids.begin(), bids.end(), [](const SealedBid& bid) { return !bid.order->bundles.empty(); });
    for (const auto& [name, wants] : wants_) goods_[name] = GoodsOf(wants, has_gangs ? number / 2 : number);
    LeaveOutOtherGoods();
    TakeTurnsOfGangs(number);
    FindSources();
    Collect();
  }

  const std::vector<SignedOrderBytes>& orders() const { return orders_; }
  const std::vector<std::optional<LeftOut>>& left_out() const { return left_out_; }

  EpochPlan Finish(const std::vector<std::size_t>& ranks, std::size_t sealed, std::uint64_t seed) {
    plan_.input.seed = seed;
    plan_.signed_orders = sealed;
    MakeTables();
    std::size_t next = 0;
    for (const std::size_t place : taking_part_) AddBid(place, ranks[next++]);
    for (Found& found : found_) {
      const auction::OrderId id = found.is_signed() ? ranks[next++] : plan_.signed_orders + found.idle_rank;
      AddAsk(found, id);
    }
    const auto by_id = [](const auto& a, const auto& b) { return a.id < b.id; };
    std::sort(plan_.input.asks.begin(), plan_.input.asks.end(), by_id);
    std::sort(plan_.input.bids.begin(), plan_.input.bids.end(), by_id);
    std::sort(plan_.input.gangs.begin(), plan_.input.gangs.end(), by_id);
    CountQuality();
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
    bool is_signed() const { return !source.lease.empty() && !source.is_forced; }
  };

  template <typename Each>
  static void EachPart(const messages::OrderT& order, const Each& each) {
    if (order.bundles.empty()) each(order.class_name, order.share_milli, order.memory_bytes);
    for (const auto& bundle : order.bundles) {
      for (const auto& part : bundle->parts) each(part->class_name, part->share_milli, part->memory_bytes);
    }
  }

  void LookAtClasses() {
    for (const scheduler::Slot& slot : book_.slots()) {
      const SlotRecord* record = book_.Slot(slot.id);
      ClassFacts& facts = facts_[record->class_name()];
      const Density whole{slot.memory_bytes, std::max(1U, slot.share_milli)};
      if (facts.most < whole) facts.most = whole;
      if (!slot.is_draining && book_.IsReachable(slot)) facts.reserves.insert(record->reserve_price);
    }
    const auto note = [this](const std::string& id) {
      const LeaseRecord* lease = book_.Lease(id);
      const SlotRecord* slot = lease != nullptr ? book_.Slot(lease->slot) : nullptr;
      if (slot == nullptr) return;
      ClassFacts& facts = facts_[slot->class_name()];
      facts.left_ms = std::max(facts.left_ms, lease->not_after_ms - moment_.now_ms);
      // What is sold of it may have more memory for its share than a device.
      const Density density{lease->memory_bytes, std::max(1U, lease->share_milli)};
      if (facts.most < density) facts.most = density;
    };
    for (const std::string& id : book_.Asked()) note(id);
    for (const std::string& id : unused_) note(id);
  }

  // Whoever cannot pay what he bids bids nothing; of several bids of one tenant, those that he can pay together.
  void CheckBids() {
    std::map<std::string, std::int64_t> left;
    for (std::size_t i = 0; i < bids_.size(); ++i) {
      const messages::OrderT& order = *bids_[i].order;
      if (order.valid_until_ms <= moment_.now_ms) {
        left_out_[i] = LeftOut::kExpired;
        continue;
      }
      const AccountRecord* account = book_.Account(bids_[i].owner);
      const auto purse = left.try_emplace(bids_[i].owner, account != nullptr ? account->balance : 0).first;
      std::int64_t price = ShareOf(order.price_microcredits_per_hour, order.share_milli);
      for (const auto& bundle : order.bundles) price = std::max(price, bundle->value_microcredits_per_hour);
      // As long as it wants idle units, or as what is left of the longest lease that it may get.
      std::int64_t lease_ms =
          order.lease_us >= 1000 ? std::min(order.lease_us / 1000, kLeaseLifeMsMax) : kLeaseLifeMsMax;
      std::optional<LeftOut> why;
      EachPart(order, [&](const std::string& name, std::uint32_t share, std::uint64_t memory) {
        const auto known = facts_.find(name);
        if (known == facts_.end()) {
          why = LeftOut::kClass;
        } else if (known->second.most < Density{memory, std::max(1U, share)}) {
          why = LeftOut::kMemory;
        } else {
          lease_ms = std::max(lease_ms, known->second.left_ms);
        }
      });
      if (why) {
        left_out_[i] = why;
        continue;
      }
      const std::int64_t cost = CostOf(price, lease_ms);
      if (order.budget_microcredits > 0 && cost > order.budget_microcredits) {
        left_out_[i] = LeftOut::kBudget;
        continue;
      }
      if (cost > purse->second) {
        left_out_[i] = LeftOut::kAccount;
        continue;
      }
      purse->second -= cost;
      EachPart(order, [&](const std::string& name, std::uint32_t share, std::uint64_t memory) {
        wants_[name].push_back({i, bids_[i].owner, {memory, std::max(1U, share)}, order.notice_us / 1000});
      });
    }
  }

  void LeaveOutOtherGoods() {
    for (const auto& [name, wants] : wants_) {
      const Goods& goods = goods_[name];
      for (const Want& want : wants) {
        if (goods.density < want.density || want.notice_ms < goods.notice_ms) {
          left_out_[want.bid] = LeftOut::kGoods;
        }
      }
    }
  }

  bool IsGang(std::size_t bid) const { return !bids_[bid].order->bundles.empty(); }

  // A gang has whole devices, and so whole leases of others: then a class is dealt in whole ones. Bids for parts of it
  // have every other epoch.
  void TakeTurnsOfGangs(std::uint64_t number) {
    for (auto& [name, wants] : wants_) {
      std::erase_if(wants, [&](const Want& want) { return left_out_[want.bid].has_value(); });
    }
    const bool is_gangs_turn = number % 2 == 0;
    for (const auto& [name, wants] : wants_) {
      const auto is_gang = [&](const Want& want) { return IsGang(want.bid); };
      const bool has_gangs = std::any_of(wants.begin(), wants.end(), is_gang);
      const bool has_parts = !std::all_of(wants.begin(), wants.end(), is_gang);
      if (!has_gangs || !has_parts) continue;
      for (const Want& want : wants) {
        if (is_gang(want) == is_gangs_turn) continue;
        left_out_[want.bid] = is_gangs_turn ? LeftOut::kGangsTurn : LeftOut::kPartsTurn;
      }
    }
    for (const auto& [name, wants] : wants_) {
      for (const Want& want : wants) {
        if (!left_out_[want.bid] && IsGang(want.bid)) in_wholes_.insert(name);
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
    for (const std::string& id : book_.Asked()) {
      if (!unused_.contains(id)) FindAsk(id);
    }
    for (const std::string& id : unused_) FindUnused(id);
    ChooseLots();
    FindIdle();
  }

  void ChooseLots() {
    std::map<std::string, Sizes> sizes;
    for (const Found& found : found_) sizes[found.class_name].asks.push_back(found.source.share_milli);
    for (const auto& [name, wants] : wants_) {
      Sizes& of_class = sizes[name];
      for (const Want& want : wants) {
        if (left_out_[want.bid]) continue;
        const auto share = static_cast<std::uint32_t>(want.density.share);
        of_class.bids.push_back({share, bids_[want.bid].order->is_divisible});
      }
    }
    for (const scheduler::Slot& slot : book_.slots()) {
      if (slot.is_draining || slot.share_milli_free == 0 || slot.share_milli_step >= slot.share_milli) continue;
      const auto of_class = sizes.find(book_.Slot(slot.id)->class_name());
      if (of_class != sizes.end()) of_class->second.steps.insert(std::max(1U, slot.share_milli_step));
    }
    for (const auto& [name, of_class] : sizes) {
      const Lot lot =
          in_wholes_.contains(name) ? Lot{scheduler::kWholeMilli, false} : LotOf(of_class, plan_.input.number);
      lots_[name] = lot.milli;
      plan_.takes_turns = plan_.takes_turns || lot.takes_turns;
    }
  }

  void FindIdle() {
    for (const scheduler::Slot& slot : book_.slots()) {
      if (slot.is_draining || slot.share_milli_free == 0) continue;
      const SlotRecord* record = book_.Slot(slot.id);
      Found found;
      found.owner = slot.server;
      found.class_name = record->class_name();
      // A device that is let whole goes to one bid.
      found.ask.is_divisible = slot.share_milli_step < slot.share_milli;
      const std::uint32_t step = std::max(1U, slot.share_milli_step);
      const auto lot = lots_.find(found.class_name);
      if (lot == lots_.end() || (found.ask.is_divisible && lot->second % step != 0)) continue;
      found.source = {slot.id, "", slot.share_milli_free - slot.share_milli_free % step, slot.memory_bytes_free, 0};
      found.ask.kind = auction::AskKind::kIdle;
      found.ask.price_microcredits = record->reserve_price;
      Offer(std::move(found));
    }
  }

  void FindAsk(const std::string& id) {
    const LeaseRecord* lease = book_.Lease(id);
    const SlotRecord* slot = book_.Slot(lease->slot);
    const scheduler::Slot* view = book_.View(lease->slot);
    const Supply supply = SupplyOf(*lease, moment_);
    if (supply.share_milli == 0 || slot == nullptr || view == nullptr || !book_.IsReachable(*view)) return;
    Found found;
    found.owner = lease->tenant;
    found.class_name = slot->class_name();
    found.source = {lease->slot, id, supply.share_milli, supply.memory_bytes, supply.is_all ? lease->ask.notice_ms : 0};
    found.ask.kind = supply.is_all ? auction::AskKind::kRelease : auction::AskKind::kShare;
    found.ask.price_microcredits = lease->ask.price_per_hour;
    found.ask.is_divisible = !supply.is_all;
    Offer(std::move(found));
  }

  // At the posted price, or at what its holder asks for all of it if that is less: then it stands as he signed it.
  void FindUnused(const std::string& id) {
    const LeaseRecord* lease = book_.Lease(id);
    const SlotRecord* slot = lease != nullptr ? book_.Slot(lease->slot) : nullptr;
    const scheduler::Slot* view = lease != nullptr ? book_.View(lease->slot) : nullptr;
    if (slot == nullptr || view == nullptr || !book_.IsReachable(*view)) return;
    const std::int64_t posted = std::min(PostedOf(slot->class_name()), auction::kPriceMicrocreditsMax);
    const bool is_asked = SupplyOf(*lease, moment_).is_all && lease->ask.price_per_hour <= posted;
    if (is_asked) return FindAsk(id);
    const std::int64_t notice_ms = std::clamp<std::int64_t>(slot->slot.notice_us / 1000, 0, kNoticeMsMax);
    const Supply supply = ForcedSupplyOf(*lease, posted, notice_ms, moment_);
    if (supply.share_milli == 0) return FindAsk(id);
    Found found;
    found.owner = lease->tenant;
    found.class_name = slot->class_name();
    found.source = {lease->slot, id, supply.share_milli, supply.memory_bytes, notice_ms, true};
    found.ask.kind = auction::AskKind::kRelease;
    found.ask.price_microcredits = posted;
    found.ask.is_divisible = false;
    Offer(std::move(found));
  }

  // What is posted for the dearest of the class, so that whoever holds a part of that one may sell it; but one that is
  // out of all proportion sets nobody else's price.
  std::int64_t PostedOf(const std::string& class_name) const {
    const PriceRecord* price = book_.Price(class_name);
    std::int64_t posted = price != nullptr ? price->price_per_hour : 0;
    const auto known = facts_.find(class_name);
    if (known == facts_.end() || known->second.reserves.empty()) return posted;
    const std::int64_t most = kDearestTimes * std::max(posted, *known->second.reserves.begin());
    for (const std::int64_t reserve : known->second.reserves) {
      if (reserve <= most) posted = std::max(posted, reserve);
    }
    return posted;
  }

  // What is signed, in the order in which Finish() numbers it: bids, then asks.
  void Collect() {
    for (std::size_t i = 0; i < bids_.size(); ++i) {
      if (left_out_[i]) continue;
      taking_part_.push_back(i);
      SignedOrderBytes bytes;
      if (const messages::PlaceOrderT* placed = bids_[i].placed; placed != nullptr) {
        bytes.order.assign(placed->order.begin(), placed->order.end());
        bytes.signature.assign(placed->signature.begin(), placed->signature.end());
      }
      orders_.push_back(std::move(bytes));
    }
    // What nobody signed by its name.
    std::sort(found_.begin(), found_.end(),
              [](const Found& a, const Found& b) { return a.source.name() < b.source.name(); });
    std::size_t idle = 0;
    for (Found& found : found_) {
      if (!found.is_signed()) {
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

  // An ask counts by how far whoever delivers it is relied on, compared with the others of its class. Of a lease, too,
  // that is its server's owner.
  void CountQuality() {
    std::map<std::string, std::uint32_t> scores;
    const auto server_of = [this](auction::OrderId id) { return book_.Slot(plan_.asks.at(id).slot)->slot.server; };
    std::vector<std::uint32_t> best(plan_.classes.size());
    for (const auction::Ask& ask : plan_.input.asks) {
      const std::string server = server_of(ask.id);
      const auto score = scores.try_emplace(server, 0).first;
      if (score->second == 0) score->second = ScoreOf(book_, server);
      best[ask.slot_class] = std::max(best[ask.slot_class], score->second);
    }
    for (const auto& [server, score] : scores) {
      plan_.deliverers.push_back(server);
      plan_.scores.push_back(score);
    }
    for (auction::Ask& ask : plan_.input.asks) {
      const std::string server = server_of(ask.id);
      ask.reputation_ppm = ledger::QualityPpm(scores[server], best[ask.slot_class]);
      plan_.deliverer[ask.id] = PlaceOf(plan_.deliverers, server);
    }
  }

  std::int64_t LotOfClass(const std::string& class_name) const {
    const auto lot = lots_.find(class_name);
    return lot == lots_.end() ? 1 : lot->second;
  }

  // What owners of bids that call on a floor may still have of it.
  std::vector<auction::Floor> FloorsOf(auction::ClassId id) {
    std::set<auction::PartyId> calling;
    for (const auction::Bid& bid : plan_.input.bids) {
      if (bid.uses_floor && bid.slot_class == id) calling.insert(bid.owner);
    }
    if (calling.empty()) return {};
    const std::string& class_name = plan_.classes[id];
    std::int64_t capacity = 0;
    for (const scheduler::Slot& slot : book_.slots()) {
      if (slot.is_draining || !book_.IsReachable(slot) || book_.Slot(slot.id)->class_name() != class_name) continue;
      capacity += slot.share_milli;
    }
    std::vector<auction::FloorShare> shares;
    for (const auction::PartyId party : calling) {
      const IdentityRecord* identity = book_.Identity(plan_.parties[party]);
      if (identity == nullptr) continue;
      for (const FloorShare& floor : identity->floors) {
        if (floor.class_name != class_name) continue;
        std::int64_t held = 0;
        for (const std::string& lease : book_.LeasesOfTenant(plan_.parties[party])) {
          const SlotRecord* slot = book_.Slot(book_.Lease(lease)->slot);
          if (slot != nullptr && slot->class_name() == class_name) held += book_.Lease(lease)->share_milli;
        }
        shares.push_back({party, floor.share_ppm, held});
      }
    }
    Result<std::vector<auction::Floor>> floors = auction::FloorsOwed(shares, capacity, LotOfClass(class_name));
    return floors.ok() ? std::move(*floors) : std::vector<auction::Floor>();
  }

  void AddClasses() {
    for (std::size_t i = 0; i < plan_.classes.size(); ++i) {
      auction::ClassInput one;
      one.id = static_cast<auction::ClassId>(i);
      const std::int64_t posted = PostedOf(plan_.classes[i]);
      one.floors = FloorsOf(one.id);
      one.reserve_microcredits = one.surrogate_microcredits = std::min(posted, auction::kPriceMicrocreditsMax);
      if (const auto goods = goods_.find(plan_.classes[i]); goods != goods_.end()) {
        one.notice_ms = std::min(goods->second.notice_ms, auction::kNoticeMsMax);
      }
      one.lot_milli = LotOfClass(plan_.classes[i]);
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
      bid.uses_floor = order.uses_floor;
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
  const std::set<std::string>& unused_;
  const Moment moment_;
  EpochPlan plan_;
  std::vector<std::optional<LeftOut>> left_out_;
  std::map<std::string, std::vector<Want>> wants_;  // by class
  std::map<std::string, Goods> goods_;
  std::map<std::string, ClassFacts> facts_;
  std::map<std::string, std::uint32_t> lots_;
  std::set<std::string> in_wholes_;       // classes of which gangs deal in this epoch
  std::vector<std::size_t> taking_part_;  // places of bids
  std::vector<Found> found_;
  std::vector<SignedOrderBytes> orders_;
};

EpochPlanner::EpochPlanner(const Book& book, const std::vector<SealedBid>& bids, const std::set<std::string>& unused,
                           std::uint64_t number, const Moment& moment)
    : impl_(std::make_unique<Impl>(book, bids, unused, number, moment)) {}
EpochPlanner::~EpochPlanner() = default;
const std::vector<SignedOrderBytes>& EpochPlanner::orders() const { return impl_->orders(); }
const std::vector<std::optional<LeftOut>>& EpochPlanner::left_out() const { return impl_->left_out(); }
EpochPlan EpochPlanner::Finish(const std::vector<std::size_t>& ranks, std::size_t sealed, std::uint64_t seed) {
  return impl_->Finish(ranks, sealed, seed);
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
