#include "market/ledger/verify_epoch.h"

#include <algorithm>

#include "market/ledger/reputation.h"

namespace accelmesh::market::ledger {
namespace {

class Checker {
 public:
  Checker(const EpochRecord& record, std::span<const SealedOrder> orders) : record_(record), orders_(orders) {}

  Status Fail(const std::string& what) const {
    return {Code::kPermissionDenied, "VerifyEpoch", "epoch " + std::to_string(record_.input.number) + ": " + what};
  }

  Status CheckOrders(const std::string& market) {
    is_used_.assign(record_.orders.size() + record_.idle_slots.size(), false);
    auto left = record_.left_out.begin();
    for (std::size_t rank = 0; rank < orders_.size(); ++rank) {
      const OrderTerms& terms = orders_[rank].terms;
      if (rank > 0 && !(orders_[rank - 1].leaf < orders_[rank].leaf)) {
        return Fail(NameOf(rank) + " is not at its rank, or twice there");
      }
      if (terms.market != market) return Fail(NameOf(rank) + " is for another market");
      if (left != record_.left_out.end() && left->rank == rank) {
        const Status status = CheckLeftOut(left->why, terms, record_);
        if (!status.ok()) return Fail(NameOf(rank) + ": " + status.text());
        ACCELMESH_RETURN_IF_ERROR(Use(rank));
        ++left;
        continue;
      }
      if (terms.valid_until_ms < record_.time_ms) {
        return Fail(NameOf(rank) + " had ended " + std::to_string(record_.time_ms - terms.valid_until_ms) +
                    " ms before");
      }
    }
    for (const auction::Ask& ask : record_.input.asks) ACCELMESH_RETURN_IF_ERROR(CheckAsk(ask));
    for (const auction::Bid& bid : record_.input.bids) ACCELMESH_RETURN_IF_ERROR(CheckBid(bid));
    for (const auction::GangBid& gang : record_.input.gangs) ACCELMESH_RETURN_IF_ERROR(CheckGang(gang));
    for (std::size_t id = 0; id < is_used_.size(); ++id) {
      if (!is_used_[id]) return Fail(NameOf(id) + " was sealed and then left out");
    }
    return Status::Ok();
  }

  // Reputation as the record says that it was: each ask's follows from the scores of those who deliver.
  Status CheckQuality() {
    if (record_.deliverers.empty()) return Status::Ok();
    const std::vector<auction::Ask>& asks = record_.input.asks;
    std::vector<std::uint32_t> best(record_.class_names.size());
    for (std::size_t i = 0; i < asks.size(); ++i) {
      std::uint32_t& of_class = best[asks[i].slot_class];
      of_class = std::max(of_class, record_.scores[record_.ask_deliverers[i]]);
    }
    for (std::size_t i = 0; i < asks.size(); ++i) {
      const std::uint32_t score = record_.scores[record_.ask_deliverers[i]];
      if (asks[i].reputation_ppm != QualityPpm(score, best[asks[i].slot_class])) {
        return Fail(NameOf(asks[i].id) + " was cleared with another quality than its deliverer's score gives");
      }
    }
    return Status::Ok();
  }

 private:
  std::int64_t PostedOf(auction::ClassId id) const {
    for (const auction::ClassInput& one : record_.input.classes) {
      if (one.id == id) return one.surrogate_microcredits;
    }
    return -1;
  }

  std::string NameOf(std::uint64_t id) const {
    if (id >= record_.orders.size()) return "the idle supply of " + record_.idle_slots[id - record_.orders.size()];
    return "the order at entry " + std::to_string(record_.orders[id]);
  }

  Status Use(std::uint64_t id) {
    if (is_used_[id]) return Fail(NameOf(id) + " is there twice");
    is_used_[id] = true;
    return Status::Ok();
  }

  Status Differs(std::uint64_t id, const char* what) const {
    return Fail(NameOf(id) + " was cleared with another " + what + " than its owner signed");
  }

  // What all orders have.
  Status CheckCommon(std::uint64_t id, auction::PartyId owner, OrderSort sort) {
    ACCELMESH_RETURN_IF_ERROR(Use(id));
    const OrderTerms& terms = orders_[id].terms;
    if (terms.sort != sort) return Differs(id, "kind");
    if (record_.parties[owner] != terms.owner) return Differs(id, "owner");
    return Status::Ok();
  }

  Status CheckAsk(const auction::Ask& ask) {
    if (ask.id >= orders_.size()) {
      // Nobody signs idle supply; but then it is of no lease. A lease that nobody uses is sold whole, for what is
      // posted.
      const bool is_unused = ask.kind == auction::AskKind::kRelease && ask.lease != 0 && !ask.is_divisible &&
                             record_.lease_names[ask.lease - 1] == record_.idle_slots[ask.id - record_.orders.size()] &&
                             ask.price_microcredits == PostedOf(ask.slot_class);
      if (!is_unused && (ask.kind != auction::AskKind::kIdle || ask.lease != 0)) {
        return Fail(NameOf(ask.id) + " is said to be a lease");
      }
      return Use(ask.id);
    }
    ACCELMESH_RETURN_IF_ERROR(CheckCommon(ask.id, ask.owner, OrderSort::kAsk));
    const OrderTerms& terms = orders_[ask.id].terms;
    if (ask.kind == auction::AskKind::kIdle) return Differs(ask.id, "kind");
    if (ask.lease == 0 || record_.lease_names[ask.lease - 1] != terms.lease) return Differs(ask.id, "lease");
    if (!terms.slot_class.empty() && record_.class_names[ask.slot_class] != terms.slot_class) {
      return Differs(ask.id, "class");
    }
    // A lease may have less by now than was offered of it.
    if (terms.units_milli != 0 && ask.units_milli > terms.units_milli) return Differs(ask.id, "size");
    if (ask.price_microcredits != terms.price_microcredits) return Differs(ask.id, "price");
    // A share is the buyer's at once; a whole lease goes with its notice, and only as a whole.
    const bool is_share = ask.kind == auction::AskKind::kShare;
    if (ask.notice_ms != terms.notice_ms && !(is_share && ask.notice_ms == 0)) return Differs(ask.id, "notice");
    if (!is_share && ask.is_divisible) return Differs(ask.id, "divisibility");
    return Status::Ok();
  }

  Status CheckBid(const auction::Bid& bid) {
    if (bid.id >= orders_.size()) return Fail(NameOf(bid.id) + " is no bid");
    ACCELMESH_RETURN_IF_ERROR(CheckCommon(bid.id, bid.owner, OrderSort::kBid));
    const OrderTerms& terms = orders_[bid.id].terms;
    if (record_.class_names[bid.slot_class] != terms.slot_class) return Differs(bid.id, "class");
    if (bid.units_milli != terms.units_milli) return Differs(bid.id, "size");
    if (bid.price_microcredits != terms.price_microcredits) return Differs(bid.id, "price");
    if (bid.is_divisible != terms.is_divisible) return Differs(bid.id, "divisibility");
    if (bid.uses_floor != terms.uses_floor) return Differs(bid.id, "call on a floor");
    if (bid.notice_ms_max != terms.notice_ms) return Differs(bid.id, "notice");
    return Status::Ok();
  }

  Status CheckGang(const auction::GangBid& gang) {
    if (gang.id >= orders_.size()) return Fail(NameOf(gang.id) + " is no gang");
    ACCELMESH_RETURN_IF_ERROR(CheckCommon(gang.id, gang.owner, OrderSort::kGang));
    const OrderTerms& terms = orders_[gang.id].terms;
    if (gang.notice_ms_max != terms.notice_ms) return Differs(gang.id, "notice");
    if (gang.bundles.size() != terms.bundles.size()) return Differs(gang.id, "number of bundles");
    for (std::size_t i = 0; i < gang.bundles.size(); ++i) {
      const auction::Bundle& bundle = gang.bundles[i];
      const OrderTerms::Bundle& said = terms.bundles[i];
      if (bundle.value_microcredits != said.value_microcredits) return Differs(gang.id, "value");
      if (bundle.parts.size() != said.parts.size()) return Differs(gang.id, "number of parts");
      for (std::size_t k = 0; k < bundle.parts.size(); ++k) {
        if (record_.class_names[bundle.parts[k].slot_class] != said.parts[k].slot_class ||
            bundle.parts[k].units_milli != said.parts[k].units_milli) {
          return Differs(gang.id, "part");
        }
      }
    }
    return Status::Ok();
  }

  const EpochRecord& record_;
  const std::span<const SealedOrder> orders_;
  std::vector<bool> is_used_;
};

}  // namespace

Status CheckLeftOut(LeftOut why, const OrderTerms& terms, const EpochRecord& record) {
  const auto wrong = [&](const std::string& what) {
    return Status(Code::kPermissionDenied, "CheckLeftOut", what + std::string(Name(why)));
  };
  const bool is_bid = terms.sort == OrderSort::kBid || terms.sort == OrderSort::kGang;
  if (why == LeftOut::kExpired) {
    if (terms.valid_until_ms <= record.time_ms) return Status::Ok();
    return wrong("it was valid for " + std::to_string(terms.valid_until_ms - record.time_ms) +
                 " ms more, and left out because ");
  }
  if (is_bid ? why == LeftOut::kNotOffered : why != LeftOut::kNotOffered) {
    return wrong("it is no order that may be left out because ");
  }
  if (why == LeftOut::kGangsTurn && terms.sort == OrderSort::kGang)
    return wrong("it is a gang, and was left out because ");
  if (why == LeftOut::kGangsTurn && terms.units_milli == auction::kUnitMilli && !record.has_gangs_first)
    return wrong("it is for a whole device, and was left out because ");
  if (why == LeftOut::kPartsTurn && terms.sort == OrderSort::kBid)
    return wrong("it is no gang, and was left out because ");
  return Status::Ok();
}

namespace {

// 1 December 2026: nobody clears by the earlier rules so as not to be cleared again.
constexpr std::int64_t kGangsFirstUntilMs = 1'796'083'200'000;

Status CheckCredits(const Credits& credits) {
  __extension__ const __int128 expected = static_cast<__int128>(credits.before) + credits.deposited;
  if (credits.before >= 0 && credits.after >= 0 && expected == credits.after) return Status::Ok();
  return {Code::kPermissionDenied, "VerifyEpoch",
          std::to_string(credits.before) + " microcredits and " + std::to_string(credits.deposited) +
              " deposited became " + std::to_string(credits.after)};
}

}  // namespace

Result<EpochFacts> VerifyEpoch(const EpochRecord& record, const Seal& seal, std::span<const SealedOrder> orders,
                               const std::string& market) {
  Checker checker(record, orders);
  if (record.has_gangs_first && record.time_ms >= kGangsFirstUntilMs) {
    return checker.Fail("it says that it was cleared by rules which no market has had since December 2026");
  }
  if (seal.number != record.input.number) return checker.Fail("its seal is that of " + std::to_string(seal.number));
  if (orders.size() != record.orders.size() || seal.orders != orders.size()) {
    return checker.Fail(std::to_string(seal.orders) + " orders were sealed, and it has " +
                        std::to_string(record.orders.size()));
  }
  std::vector<Hash> leaves;
  for (const SealedOrder& order : orders) leaves.push_back(order.leaf);
  if (OrdersRoot(std::move(leaves)) != seal.orders_root)
    return checker.Fail("its orders are not those that were sealed");
  ACCELMESH_RETURN_IF_ERROR(checker.CheckOrders(market));
  ACCELMESH_RETURN_IF_ERROR(checker.CheckQuality());
  if (record.input.seed != SeedOf(record.input.number, record.sealed_note)) {
    return checker.Fail("its seed does not follow from the sealed checkpoint");
  }
  if (record.has_gangs_first && !record.input.gangs.empty()) {
    return Status(
        Code::kUnsupported, "VerifyEpoch",
        "epoch " + std::to_string(record.input.number) +
            " has gangs, and was cleared by rules of before 28 November 2026; clear it again with the slotctl "
            "of its time");
  }
  Result<auction::EpochOutcome> outcome = auction::ClearEpoch(record.input);
  if (!outcome.ok()) return checker.Fail("it cannot be cleared: " + outcome.status().text());
  if (const std::string difference = DifferenceOf(DigestsOf(*outcome), record.outcome); !difference.empty()) {
    return checker.Fail("cleared again, it has other " + difference);
  }
  if (const Status status = auction::CheckOutcome(record.input, *outcome); !status.ok()) {
    return checker.Fail("its outcome does not hold: " + status.text());
  }
  if (const Status status = CheckCredits(record.credits); !status.ok()) return checker.Fail(status.text());
  const std::size_t trades = outcome->trades.size();
  return EpochFacts{record.input.number, orders.size(), trades, std::move(*outcome)};
}

}  // namespace accelmesh::market::ledger
