// Epochs of the auction: whatever is in one, it is refused with a reason, or cleared so that nobody pays more than he
// bid or gets less than he asked, money is balanced, and the order of orders plays no part. Seeds: make_auction_seeds.
//
//   input := flags:u8 seed:u64 rules:u8 least:u8 classes:u8 {class} {kind:u8 order}
// Numbers are taken into their bounds unless flags has bit 0: then they are as they come, and most epochs are refused.
#include "market/auction/epoch.h"
#include "tests/fuzz/input.h"

namespace {

using namespace accelmesh;
using namespace accelmesh::market::auction;

class Script {
 public:
  Script(const std::uint8_t* data, std::size_t size)
      : input_(data, size), is_raw_((input_.Number<std::uint8_t>() & 1) != 0) {}

  EpochInput Read() {
    EpochInput epoch;
    epoch.seed = input_.Number<std::uint64_t>();
    const auto rules = input_.Number<std::uint8_t>();
    epoch.rules.auction = static_cast<DoubleAuction>(rules & (is_raw_ ? 3 : 1));
    epoch.rules.thick_by = static_cast<ThickBy>(rules >> 2 & (is_raw_ ? 3 : 1));
    epoch.rules.eligible_trades_min = input_.Number<std::uint8_t>() % 12;
    for (int i = input_.Number<std::uint8_t>() % 5; i > 0; --i) epoch.classes.push_back(ReadClass());
    for (OrderId next = 1; !input_.empty(); ++next) {
      switch (input_.Number<std::uint8_t>() % 8) {
        case 0: epoch.gangs.push_back(ReadGang(next)); break;
        case 1:
        case 2:
        case 3: epoch.asks.push_back(ReadAsk(next)); break;
        default: epoch.bids.push_back(ReadBid(next));
      }
    }
    return epoch;
  }

 private:
  // Small numbers are met more often: equal prices and sizes are where it is hard.
  std::int64_t In(std::int64_t low, std::int64_t high) {
    const auto small = input_.Number<std::uint8_t>();
    if (is_raw_) return input_.Number<std::int64_t>();
    if (small < 250) return std::min(low + small % 50, high);
    return low + static_cast<std::int64_t>(input_.Number<std::uint64_t>() % static_cast<std::uint64_t>(high - low + 1));
  }
  OrderId Id(OrderId next) { return is_raw_ ? input_.Number<std::uint8_t>() : (next * 0x9e3779b97f4a7c15ULL) >> 1; }
  ClassId Class() { return input_.Number<std::uint8_t>() % 6; }

  ClassInput ReadClass() {
    ClassInput slot_class;
    slot_class.id = is_raw_ ? Class() : ++classes_;
    slot_class.reserve_microcredits = In(0, kPriceMicrocreditsMax);
    slot_class.surrogate_microcredits = In(0, kPriceMicrocreditsMax);
    slot_class.weight_milli = In(1, kWeightMilliMax);
    slot_class.lot_milli = In(1, kUnitsMilliMax);
    slot_class.notice_ms = In(0, kNoticeMsMax);
    for (int i = input_.Number<std::uint8_t>() % 4; i > 0; --i) {
      slot_class.floors.push_back({input_.Number<std::uint8_t>() % 8U, In(0, INT64_MAX - 1)});
    }
    return slot_class;
  }
  Ask ReadAsk(OrderId next) {
    const auto flags = input_.Number<std::uint8_t>();
    Ask ask;
    ask.id = Id(next);
    ask.owner = flags & 7;
    ask.slot_class = Class();
    ask.is_divisible = (flags & 8) != 0;
    ask.units_milli = In(1, kUnitsMilliMax);
    ask.price_microcredits = In(0, kPriceMicrocreditsMax);
    ask.reputation_ppm = (flags & 16) != 0 ? kWholePpm : static_cast<std::uint32_t>(In(0, kWholePpm));
    ask.notice_ms = (flags & 32) != 0 ? 0 : In(0, kNoticeMsMax);
    if ((flags & 64) != 0) {
      ask.kind = (flags & 128) != 0 ? AskKind::kShare : AskKind::kRelease;
      ask.lease = Id(next);
    }
    return ask;
  }
  Bid ReadBid(OrderId next) {
    const auto flags = input_.Number<std::uint8_t>();
    Bid bid;
    bid.id = Id(next);
    bid.owner = flags & 7;
    bid.slot_class = Class();
    bid.is_divisible = (flags & 8) != 0;
    bid.uses_floor = (flags & 48) == 48;
    bid.units_milli = In(1, kUnitsMilliMax);
    bid.price_microcredits = In(0, kPriceMicrocreditsMax);
    if ((flags & 64) != 0) bid.budget_microcredits = In(0, INT64_MAX - 1);
    bid.notice_ms_max = (flags & 128) != 0 ? kNoticeMsMax : In(0, kNoticeMsMax);
    return bid;
  }
  GangBid ReadGang(OrderId next) {
    const auto flags = input_.Number<std::uint8_t>();
    GangBid gang;
    gang.id = Id(next);
    gang.owner = flags & 7;
    gang.notice_ms_max = (flags & 8) != 0 ? kNoticeMsMax : In(0, kNoticeMsMax);
    for (int i = 1 + (flags >> 4 & 3); i > 0; --i) {
      Bundle bundle;
      const auto classes = input_.Number<std::uint8_t>();
      for (ClassId id = 0; id < 6; ++id) {
        if ((classes >> id & 1) != 0) bundle.parts.push_back({id, In(1, kUnitsMilliMax)});
      }
      if (bundle.parts.empty() && !is_raw_) bundle.parts.push_back({1, 1});
      bundle.value_microcredits = In(0, kValueMicrocreditsMax);
      gang.bundles.push_back(bundle);
    }
    return gang;
  }

  fuzz::Input input_;
  bool is_raw_;
  ClassId classes_ = 0;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  EpochInput epoch = Script(data, std::min<std::size_t>(size, 4096)).Read();
  const auto outcome = ClearEpoch(epoch);
  if (!outcome.ok()) {
    fuzz::Require(!outcome.status().text().empty() && !outcome.status().where().empty(), "a refusal says why");
    return 0;
  }
  const Status holds = CheckOutcome(epoch, *outcome);
  if (!holds.ok()) std::fprintf(stderr, "%s\n", holds.ToString().c_str());
  fuzz::Require(holds.ok(), "the outcome holds");
  std::reverse(epoch.asks.begin(), epoch.asks.end());
  std::reverse(epoch.bids.begin(), epoch.bids.end());
  std::reverse(epoch.gangs.begin(), epoch.gangs.end());
  std::reverse(epoch.classes.begin(), epoch.classes.end());
  const auto again = ClearEpoch(epoch);
  fuzz::Require(again.ok() && *again == *outcome, "the order of orders plays no part");
  return 0;
}
