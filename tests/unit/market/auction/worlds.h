// Random epochs for the auction's tests: small enough to check by brute force, with everything that may be in one.
#pragma once

#include <random>

#include "market/auction/epoch.h"

namespace accelmesh::market::auction {

using Random = std::mt19937_64;

inline std::int64_t Between(Random& random, std::int64_t low, std::int64_t high) {
  return low + static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(high - low + 1));
}
inline bool Chance(Random& random, unsigned percent) { return random() % 100 < percent; }

struct WorldRules {
  int classes = 2;
  int asks_max = 40;
  int bids_max = 40;
  int gangs_max = 10;
  int parties = 12;             // few: some trade with themselves
  std::int64_t price_max = 60;  // low: ties are common
  bool one_size = false;
  std::int64_t lots = 2;  // of every order, if of one size
  bool one_bundle = false;
  bool all_divisible = false;
  bool plain = false;        // full reputation, no floors, budgets or notice windows
  bool own_parties = false;  // each order its own
};

class World {
 public:
  World(Random& random, const WorldRules& rules) : random_(random), rules_(rules) {
    input.number = random() % 1000;
    input.seed = random();
    input.rules.auction = Chance(random, 50) ? DoubleAuction::kSbba : DoubleAuction::kMcAfee;
    input.rules.thick_by = Chance(random, 50) ? ThickBy::kCrossing : ThickBy::kOrders;
    input.rules.eligible_trades_min = static_cast<std::uint32_t>(Chance(random, 50) ? 10 : random() % 4);
    for (int i = 0; i < rules.classes; ++i) AddClass(static_cast<ClassId>(10 + 7 * i));
    for (std::int64_t i = Between(random, 0, rules.asks_max); i > 0; --i) AddAsk();
    for (std::int64_t i = Between(random, 0, rules.bids_max); i > 0; --i) AddBid();
    for (std::int64_t i = Between(random, 0, rules.gangs_max); i > 0; --i) AddGang();
  }

  EpochInput input;

 private:
  ClassId SomeClass() { return input.classes[random_() % input.classes.size()].id; }
  const ClassInput& Find(ClassId id) const {
    for (const ClassInput& slot_class : input.classes) {
      if (slot_class.id == id) return slot_class;
    }
    return input.classes.front();
  }
  PartyId SomeParty() { return rules_.own_parties ? next_id_ : random_() % static_cast<std::uint64_t>(rules_.parties); }
  std::int64_t SomeUnits(const ClassInput& slot_class) {
    const std::int64_t lots = rules_.one_size ? rules_.lots : Between(random_, 1, 6);
    return lots * slot_class.lot_milli + (rules_.plain || Chance(random_, 95) ? 0 : 1);
  }

  void AddClass(ClassId id) {
    ClassInput slot_class;
    slot_class.id = id;
    slot_class.reserve_microcredits = Between(random_, 0, rules_.price_max);
    slot_class.surrogate_microcredits = Between(random_, 0, rules_.price_max);
    slot_class.weight_milli = Between(random_, 1, 3) * 500;
    slot_class.lot_milli = rules_.plain || Chance(random_, 70) ? 250 : Between(random_, 1, 300);
    if (!rules_.plain) {
      slot_class.notice_ms = Chance(random_, 50) ? 0 : 30'000;
      for (std::int64_t i = Between(random_, 0, 3); i > 0; --i) {
        slot_class.floors.push_back({SomeParty(), Between(random_, 0, 8) * slot_class.lot_milli});
      }
    }
    input.classes.push_back(slot_class);
  }

  void AddAsk() {
    Ask ask;
    ask.id = ++next_id_ * 1009 % 100'003;
    ask.owner = SomeParty();
    ask.slot_class = SomeClass();
    ask.units_milli = SomeUnits(Find(ask.slot_class));
    ask.price_microcredits = Between(random_, 0, rules_.price_max);
    ask.is_divisible = rules_.all_divisible || Chance(random_, 60);
    if (Chance(random_, 40)) {
      ask.kind = ask.is_divisible ? AskKind::kShare : AskKind::kRelease;
      ask.lease = 1'000'000 + next_id_;
    }
    if (!rules_.plain) {
      ask.reputation_ppm = Chance(random_, 60) ? kWholePpm : static_cast<std::uint32_t>(random_() % (kWholePpm + 1));
      ask.notice_ms = Chance(random_, 80) ? 0 : 30'000;
    }
    input.asks.push_back(ask);
  }

  void AddBid() {
    Bid bid;
    bid.id = ++next_id_ * 1009 % 100'003;
    bid.owner = SomeParty();
    bid.slot_class = SomeClass();
    bid.units_milli = SomeUnits(Find(bid.slot_class));
    bid.price_microcredits = Between(random_, 0, rules_.price_max);
    bid.is_divisible = rules_.all_divisible || Chance(random_, 50);
    if (!rules_.plain) {
      bid.notice_ms_max = Chance(random_, 70) ? 60'000 : 0;
      if (Chance(random_, 10)) bid.budget_microcredits = Between(random_, 1, 60);
      bid.uses_floor = Chance(random_, 10);
      if (Chance(random_, 2)) bid.slot_class = 99;
    }
    input.bids.push_back(bid);
  }

  void AddGang() {
    GangBid gang;
    gang.id = ++next_id_ * 1009 % 100'003;
    gang.owner = SomeParty();
    gang.notice_ms_max = rules_.plain || Chance(random_, 80) ? 60'000 : 0;
    for (std::int64_t i = rules_.one_bundle ? 1 : Between(random_, 1, 3); i > 0; --i) {
      Bundle bundle;
      std::int64_t units = 0;
      for (const ClassInput& slot_class : input.classes) {
        if (!Chance(random_, 60)) continue;
        const Part part{slot_class.id, Between(random_, 1, 8) * slot_class.lot_milli};
        bundle.parts.push_back(part);
        units += part.units_milli;
      }
      if (bundle.parts.empty()) bundle.parts.push_back({input.classes.front().id, 3 * input.classes.front().lot_milli});
      units = std::max<std::int64_t>(units, 1);
      bundle.value_microcredits = Between(random_, 0, units * rules_.price_max / 500 + 10);
      gang.bundles.push_back(bundle);
    }
    input.gangs.push_back(gang);
  }

  Random& random_;
  const WorldRules& rules_;
  std::uint64_t next_id_ = 0;
};

// One class with one price; orders in it.
inline EpochInput OneClass(std::int64_t surrogate) {
  EpochInput input;
  input.seed = 9;
  ClassInput slot_class;
  slot_class.id = 1;
  slot_class.reserve_microcredits = slot_class.surrogate_microcredits = surrogate;
  input.classes.push_back(slot_class);
  return input;
}
inline Ask AskOf(OrderId id, PartyId owner, std::int64_t units, std::int64_t price) {
  Ask ask;
  ask.id = id;
  ask.owner = owner;
  ask.slot_class = 1;
  ask.units_milli = units;
  ask.price_microcredits = price;
  return ask;
}
inline Bid BidOf(OrderId id, PartyId owner, std::int64_t units, std::int64_t price) {
  Bid bid;
  bid.id = id;
  bid.owner = owner;
  bid.slot_class = 1;
  bid.units_milli = units;
  bid.price_microcredits = price;
  return bid;
}

}  // namespace accelmesh::market::auction
