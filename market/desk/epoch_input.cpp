#include "market/desk/epoch_input.h"

#include <algorithm>
#include <set>

#include "market/auction/floors.h"
#include "market/desk/reputations.h"

namespace accelmesh::market {
namespace {

template <typename T>
std::size_t PlaceOf(const std::vector<T>& sorted, const T& value) {
  return static_cast<std::size_t>(std::lower_bound(sorted.begin(), sorted.end(), value) - sorted.begin());
}

class Numbering {
 public:
  Numbering(const Book& book, const std::vector<SealedBid>& bids, const EpochParts& parts)
      : book_(book), bids_(bids), parts_(parts) {}

  EpochPlan Run(const std::vector<std::size_t>& ranks, std::size_t sealed, std::uint64_t seed) {
    plan_.input.number = parts_.number;
    plan_.input.seed = seed;
    plan_.signed_orders = sealed;
    MakeTables();
    std::size_t next = 0;
    for (const std::size_t place : parts_.bids) AddBid(place, ranks[next++]);
    std::size_t unsigned_before = 0;
    for (const Offer& offer : parts_.offers) {
      AddAsk(offer, offer.is_signed() ? ranks[next++] : sealed + unsigned_before++);
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
  // Numbers follow from sorted names; nothing follows from the numbers.
  void MakeTables() {
    std::set<std::string> parties;
    std::set<std::string> classes;
    for (const Offer& offer : parts_.offers) {
      parties.insert(offer.owner);
      classes.insert(offer.class_name);
      if (!offer.source.lease.empty()) plan_.leases.push_back(offer.source.lease);
    }
    for (const std::size_t i : parts_.bids) {
      parties.insert(bids_[i].owner);
      EachPart(*bids_[i].order, [&](const std::string& name, std::uint32_t, std::uint64_t) { classes.insert(name); });
    }
    plan_.parties.assign(parties.begin(), parties.end());
    plan_.classes.assign(classes.begin(), classes.end());
    std::sort(plan_.leases.begin(), plan_.leases.end());
  }

  void AddAsk(const Offer& offer, auction::OrderId id) {
    auction::Ask ask = offer.ask;
    ask.id = id;
    ask.owner = PlaceOf(plan_.parties, offer.owner);
    ask.slot_class = static_cast<auction::ClassId>(PlaceOf(plan_.classes, offer.class_name));
    if (!offer.source.lease.empty()) ask.lease = 1 + PlaceOf(plan_.leases, offer.source.lease);
    plan_.asks[id] = offer.source;
    plan_.input.asks.push_back(ask);
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
    const auto lot = parts_.lots.find(class_name);
    return lot == parts_.lots.end() ? 1 : lot->second;
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
      const std::int64_t posted = PostedOf(book_, parts_.facts, plan_.classes[i]);
      one.floors = FloorsOf(one.id);
      one.reserve_microcredits = one.surrogate_microcredits = std::min(posted, auction::kPriceMicrocreditsMax);
      if (const auto goods = parts_.goods.find(plan_.classes[i]); goods != parts_.goods.end()) {
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
  const EpochParts& parts_;
  EpochPlan plan_;
};

}  // namespace

EpochPlan PlanOf(const Book& book, const std::vector<SealedBid>& bids, const EpochParts& parts,
                 const std::vector<std::size_t>& ranks, std::size_t sealed, std::uint64_t seed) {
  return Numbering(book, bids, parts).Run(ranks, sealed, seed);
}

}  // namespace accelmesh::market
