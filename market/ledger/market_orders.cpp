#include "market/ledger/market_orders.h"

#include <algorithm>

#include "market/client/orders.h"

namespace accelmesh::market::ledger {
namespace {

OrderSort SortOf(const messages::OrderT& order) {
  switch (order.kind) {
    case messages::OrderKind::Ask: return OrderSort::kAsk;
    case messages::OrderKind::Withdrawal: return OrderSort::kWithdrawal;
    case messages::OrderKind::Deal: return OrderSort::kDeal;
    case messages::OrderKind::Bid: break;
  }
  return order.bundles.empty() ? OrderSort::kBid : OrderSort::kGang;
}

}  // namespace

Result<OrderTerms> MarketOrders::Read(const SignedOrder& order) const {
  messages::PlaceOrderT placed;
  placed.order.assign(order.order.begin(), order.order.end());
  placed.signature.assign(order.signature.begin(), order.signature.end());
  if (order.counter_signature) {
    placed.counter_signature.assign(order.counter_signature->begin(), order.counter_signature->end());
  }
  ACCELMESH_ASSIGN_OR_RETURN(const messages::OrderT read, ReadOrder(placed));
  OrderTerms terms;
  terms.sort = SortOf(read);
  ACCELMESH_RETURN_IF_ERROR(security::ParseHex(read.owner, terms.owner.bytes));
  terms.market = read.market;
  terms.valid_until_ms = read.valid_until_ms;
  terms.lease = read.lease;
  terms.slot_class = read.class_name;
  terms.units_milli = read.share_milli;
  terms.price_microcredits = read.price_microcredits_per_hour;
  terms.is_divisible = read.is_divisible;
  terms.uses_floor = read.uses_floor;
  terms.notice_ms = read.notice_us / 1000;
  for (const auto& bundle : read.bundles) {
    OrderTerms::Bundle& said = terms.bundles.emplace_back();
    said.value_microcredits = bundle->value_microcredits_per_hour;
    // A class counts once, with all of its parts.
    for (const auto& part : bundle->parts) {
      const auto same = std::find_if(said.parts.begin(), said.parts.end(), [&](const OrderTerms::Part& other) {
        return other.slot_class == part->class_name;
      });
      if (same == said.parts.end()) {
        said.parts.push_back({part->class_name, part->share_milli});
      } else {
        same->units_milli += part->share_milli;
      }
    }
  }
  return terms;
}

}  // namespace accelmesh::market::ledger
