#include "market/auction/checks.h"

namespace accelmesh::market::auction {
namespace {

Fault Wrong(const char* where, const char* what) { return {where, what}; }

Status StatusOf(const Fault& fault) {
  return fault.ok() ? Status() : Status(Code::kInvalidArgument, fault.where, fault.what);
}

}  // namespace

Fault FaultOf(const Ask& ask) {
  if (ask.units_milli < 1 || ask.units_milli > kUnitsMilliMax) {
    return Wrong("Ask.units_milli", "an ask is of 1 to 4,000,000 milli-units; post several");
  }
  if (ask.price_microcredits < 0 || ask.price_microcredits > kPriceMicrocreditsMax) {
    return Wrong("Ask.price_microcredits",
                 "a price is from 0 to a million credits for a unit-hour; withdraw the ask instead");
  }
  if (ask.reputation_ppm > kWholePpm) return Wrong("Ask.reputation_ppm", "a reputation is at most 1,000,000");
  if (ask.notice_ms < 0 || ask.notice_ms > kNoticeMsMax) {
    return Wrong("Ask.notice_ms", "a notice window is from 0 to 30 days");
  }
  if (ask.kind > AskKind::kShare) return Wrong("Ask.kind", "there are asks of idle supply, of leases and of shares");
  if ((ask.kind == AskKind::kIdle) != (ask.lease == 0)) {
    return Wrong("Ask.lease", "an ask of a lease names it by a number other than 0, one of idle supply names none");
  }
  return {};
}

Fault FaultOf(const Bid& bid) {
  if (bid.units_milli < 1 || bid.units_milli > kUnitsMilliMax) {
    return Wrong("Bid.units_milli", "a bid is for 1 to 4,000,000 milli-units; send several");
  }
  if (bid.price_microcredits < 0 || bid.price_microcredits > kPriceMicrocreditsMax) {
    return Wrong("Bid.price_microcredits", "a price is from 0 to a million credits for a unit-hour");
  }
  if (bid.budget_microcredits < 0) return Wrong("Bid.budget_microcredits", "a budget is not negative; 0 means none");
  if (bid.notice_ms_max < 0 || bid.notice_ms_max > kNoticeMsMax) {
    return Wrong("Bid.notice_ms_max", "a notice window is from 0 to 30 days");
  }
  return {};
}

Fault FaultOf(const GangBid& gang) {
  if (gang.bundles.empty() || gang.bundles.size() > kBundlesPerGangMax) {
    return Wrong("GangBid.bundles", "a gang has from 1 to 16 bundles; drop the least likely ones");
  }
  if (gang.notice_ms_max < 0 || gang.notice_ms_max > kNoticeMsMax) {
    return Wrong("GangBid.notice_ms_max", "a notice window is from 0 to 30 days");
  }
  for (const Bundle& bundle : gang.bundles) {
    if (bundle.parts.empty() || bundle.parts.size() > kPartsPerBundleMax) {
      return Wrong("GangBid.bundles.parts", "a bundle has from 1 to 64 parts");
    }
    if (bundle.value_microcredits < 0 || bundle.value_microcredits > kValueMicrocreditsMax) {
      return Wrong("GangBid.bundles.value_microcredits", "a bundle's value is from 0 to 4,000 million credits an hour");
    }
    for (std::size_t i = 0; i < bundle.parts.size(); ++i) {
      if (bundle.parts[i].units_milli < 1 || bundle.parts[i].units_milli > kUnitsMilliMax) {
        return Wrong("GangBid.bundles.parts.units_milli", "a part is of 1 to 4,000,000 milli-units");
      }
      for (std::size_t j = 0; j < i; ++j) {
        if (bundle.parts[i].slot_class == bundle.parts[j].slot_class) {
          return Wrong("GangBid.bundles.parts", "a class is there twice in a bundle; add the parts up");
        }
      }
    }
  }
  return {};
}

Fault FaultOf(const ClassInput& slot_class) {
  if (slot_class.reserve_microcredits < 0 || slot_class.reserve_microcredits > kPriceMicrocreditsMax) {
    return Wrong("ClassInput.reserve_microcredits", "a price is from 0 to a million credits for a unit-hour");
  }
  if (slot_class.surrogate_microcredits < 0 || slot_class.surrogate_microcredits > kPriceMicrocreditsMax) {
    return Wrong("ClassInput.surrogate_microcredits", "a price is from 0 to a million credits for a unit-hour");
  }
  if (slot_class.weight_milli < 1 || slot_class.weight_milli > kWeightMilliMax) {
    return Wrong("ClassInput.weight_milli", "a weight is from 1 to 1,000,000");
  }
  if (slot_class.lot_milli < 1 || slot_class.lot_milli > kUnitsMilliMax) {
    return Wrong("ClassInput.lot_milli", "a lot is of 1 to 4,000,000 milli-units");
  }
  if (slot_class.notice_ms < 0 || slot_class.notice_ms > kNoticeMsMax) {
    return Wrong("ClassInput.notice_ms", "a notice window is from 0 to 30 days");
  }
  if (slot_class.floors.size() > kFloorsMax) return Wrong("ClassInput.floors", "more than 65,536 floors");
  for (const Floor& floor : slot_class.floors) {
    if (floor.units_milli < 0) return Wrong("Floor.units_milli", "a floor is not negative");
  }
  return {};
}

Status CheckAsk(const Ask& ask) { return StatusOf(FaultOf(ask)); }
Status CheckBid(const Bid& bid) { return StatusOf(FaultOf(bid)); }
Status CheckGang(const GangBid& gang) { return StatusOf(FaultOf(gang)); }
Status CheckClass(const ClassInput& slot_class) { return StatusOf(FaultOf(slot_class)); }

}  // namespace accelmesh::market::auction
