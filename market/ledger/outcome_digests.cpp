// What an outcome came to, as digests: each kind of thing for itself, so that a difference can be named.
#include "market/ledger/codec.h"
#include "market/ledger/epoch_record.h"

namespace accelmesh::market::ledger {
namespace {

void WriteWide(Writer& writer, auction::Wide value) {
  writer.Number(static_cast<std::uint64_t>(value));
  writer.Number(static_cast<std::int64_t>(value >> 64));
}

template <typename Item, typename Write>
Hash DigestOf(const std::vector<Item>& items, const Write& write) {
  Writer writer;
  writer.Number(static_cast<std::uint32_t>(items.size()));
  for (const Item& item : items) write(writer, item);
  return Sha256(writer.bytes());
}

}  // namespace

OutcomeDigests DigestsOf(const auction::EpochOutcome& outcome) {
  OutcomeDigests digests;
  digests.trades = DigestOf(outcome.trades, [](Writer& writer, const auction::Trade& trade) {
    writer.Number(trade.ask);
    writer.Number(trade.bid);
    writer.Number(trade.seller);
    writer.Number(trade.buyer);
    writer.Number(trade.slot_class);
    writer.Number(static_cast<std::uint8_t>(trade.lane));
    writer.Number(trade.units_milli);
    writer.Number(trade.price_buyer_microcredits);
    writer.Number(trade.price_seller_microcredits);
  });
  digests.gangs = DigestOf(outcome.gangs, [](Writer& writer, const auction::GangAward& gang) {
    writer.Number(gang.gang);
    writer.Number(gang.owner);
    writer.Number(gang.bundle);
    writer.Number(gang.critical_microcredits);
    writer.Number(gang.pays_nanocredits);
    writer.Number(gang.surcharge_nanocredits);
  });
  digests.classes = DigestOf(outcome.classes, [](Writer& writer, const auction::ClassOutcome& slot_class) {
    writer.Number(slot_class.id);
    writer.Number(static_cast<std::uint8_t>(slot_class.lane_b));
    writer.Number(slot_class.eligible_trades);
    writer.Number(slot_class.trades_given_up);
    writer.Number(slot_class.price_microcredits);
    writer.Number(slot_class.price_seller_microcredits);
    writer.Number(slot_class.units_netted_milli);
    writer.Number(slot_class.units_floor_milli);
    writer.Number(slot_class.units_gang_milli);
    writer.Number(slot_class.units_lane_b_milli);
    writer.Number(slot_class.units_unsold_milli);
    writer.Number(slot_class.units_unserved_milli);
  });
  digests.unserved = DigestOf(outcome.unserved, [](Writer& writer, const auction::UnservedBid& bid) {
    writer.Number(bid.bid);
    writer.Number(bid.units_milli);
    writer.Number(static_cast<std::uint8_t>(bid.why));
    writer.Number(bid.price_to_win_microcredits);
  });
  digests.unserved_gangs = DigestOf(outcome.unserved_gangs, [](Writer& writer, const auction::UnservedGang& gang) {
    writer.Number(gang.gang);
    writer.Number(static_cast<std::uint8_t>(gang.why));
    writer.Number(gang.bundle);
    writer.Number(gang.value_to_win_microcredits);
  });
  Writer sums;
  WriteWide(sums, outcome.sums.paid);
  WriteWide(sums, outcome.sums.received);
  WriteWide(sums, outcome.sums.pool);
  digests.sums = Sha256(sums.bytes());
  return digests;
}

std::string DifferenceOf(const OutcomeDigests& one, const OutcomeDigests& other) {
  std::string difference;
  const auto add = [&](bool differs, const char* what) {
    if (differs) difference += (difference.empty() ? "" : ", ") + std::string(what);
  };
  add(one.trades != other.trades, "trades");
  add(one.gangs != other.gangs, "gangs' awards");
  add(one.classes != other.classes, "classes' prices and sums");
  add(one.unserved != other.unserved, "bids that were not served");
  add(one.unserved_gangs != other.unserved_gangs, "gangs that were not served");
  add(one.sums != other.sums, "sums of money");
  return difference;
}

}  // namespace accelmesh::market::ledger
