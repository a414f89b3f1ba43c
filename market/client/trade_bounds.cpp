#include "market/client/trade_bounds.h"

#include "market/client/messages.h"
#include "market/client/orders.h"
#include "scheduler/core/slot.h"

namespace accelmesh::market {
namespace {

using wire::market::OrderKind;

constexpr std::int64_t kZero = 0;
constexpr std::int64_t kDurationUsMax = 10LL * 365 * 24 * 3600 * 1'000'000;
constexpr std::size_t kClassBytesMax = 256;
// Of the ledger: a signed note behind a proof, and an entry.
constexpr std::size_t kExtensionBytesMax = 32 * 1024;
constexpr std::size_t kEntryBytesMax = 65535;
constexpr std::size_t kPromiseBytesMax = 64 * 1024;
// Of classes: whole devices and parts, together.
constexpr std::uint32_t kUnitsMilliMax = 1'000'000;
constexpr std::uint32_t kPpm = 1'000'000;
constexpr std::size_t kReceiptMarketBytesMax = 128;

void CheckPart(const wire::market::Part& part, Bounds& bounds) {
  bounds.Text(part.class_name(), kClassBytesMax, "Part.class_name");
  if (part.class_name() == nullptr || part.class_name()->size() == 0) bounds.Fail("Part.class_name", "is missing");
  bounds.Within(part.share_milli(), 1U, scheduler::kWholeMilli, "Part.share_milli");
}

void CheckTrade(const wire::market::Trade& trade, Bounds& bounds) {
  bounds.Text(trade.class_name(), kClassBytesMax, "Trade.class_name");
  bounds.Id(trade.slot(), kIdBytesMax, "Trade.slot");
  bounds.Id(trade.from(), kIdBytesMax, "Trade.from", true);
  bounds.Id(trade.lease(), kIdBytesMax, "Trade.lease");
  bounds.Key(trade.seller(), "Trade.seller");
  bounds.Key(trade.buyer(), "Trade.buyer");
  bounds.Id(trade.seller_name(), kIdBytesMax, "Trade.seller_name", true);
  bounds.Id(trade.buyer_name(), kIdBytesMax, "Trade.buyer_name", true);
  bounds.Text(trade.lane(), 32, "Trade.lane");
}

void CheckAmount(std::int64_t amount, const char* field, Bounds& bounds) {
  bounds.Within(amount, kZero, std::int64_t{1} << 62, field);
}

}  // namespace

void CheckFloors(const Floors* floors, Bounds& bounds) {
  bounds.Each(floors, kFloorsMax, "Floor", [&](const wire::market::Floor& floor) {
    bounds.Text(floor.class_name(), kClassBytesMax, "Floor.class_name");
    if (floor.class_name() == nullptr || floor.class_name()->size() == 0) bounds.Fail("Floor.class_name", "is missing");
    bounds.Within(floor.share_ppm(), 0U, kPpm, "Floor.share_ppm");
  });
}

void Check(const wire::market::SetShares& body, Bounds& bounds) {
  bounds.Key(body.identity(), "SetShares.identity");
  bounds.Within(body.budget_weight(), 0U, kBudgetWeightMax, "SetShares.budget_weight");
  CheckFloors(body.floors(), bounds);
}

void Check(const wire::market::SignReceipt& body, Bounds& bounds) {
  bounds.Id(body.lease(), kIdBytesMax, "SignReceipt.lease");
  bounds.Within(body.delivered_ppm(), 0U, kPpm, "SignReceipt.delivered_ppm");
  bounds.Within(body.uptime_ppm(), 0U, kPpm, "SignReceipt.uptime_ppm");
  bounds.Within(body.used_ppm(), 0U, kPpm, "SignReceipt.used_ppm");
  bounds.Raw(body.signature(), 64, "SignReceipt.signature");
}

void Check(const wire::market::ListReceipts& body, Bounds& bounds) {
  bounds.Id(body.lease(), kIdBytesMax, "ListReceipts.lease", true);
}

void Check(const wire::market::ListReputation& body, Bounds& bounds) {
  bounds.Key(body.identity(), "ListReputation.identity", true);
}

void Check(const wire::market::Receipt& receipt, Bounds& bounds) {
  bounds.Id(receipt.market(), kReceiptMarketBytesMax, "Receipt.market");
  bounds.Id(receipt.lease(), kIdBytesMax, "Receipt.lease");
  bounds.Text(receipt.slot_class(), kClassBytesMax, "Receipt.slot_class");
  bounds.Key(receipt.provider(), "Receipt.provider");
  bounds.Key(receipt.buyer(), "Receipt.buyer");
  bounds.Within(receipt.begin_ms(), kZero, kDurationUsMax, "Receipt.begin_ms");
  bounds.Within(receipt.end_ms(), kZero, kDurationUsMax, "Receipt.end_ms");
  CheckAmount(receipt.price_microcredits(), "Receipt.price", bounds);
  CheckAmount(receipt.bond_microcredits(), "Receipt.bond", bounds);
  CheckAmount(receipt.paid_microcredits(), "Receipt.paid", bounds);
  CheckAmount(receipt.refunded_microcredits(), "Receipt.refunded", bounds);
  bounds.Within(receipt.delivered_ppm(), 0U, kPpm, "Receipt.delivered_ppm");
  bounds.Within(receipt.uptime_ppm(), 0U, kPpm, "Receipt.uptime_ppm");
  bounds.Within(receipt.used_ppm(), 0U, kPpm, "Receipt.used_ppm");
  bounds.Raw(receipt.provider_signature(), 64, "Receipt.provider_signature", true);
  bounds.Raw(receipt.buyer_signature(), 64, "Receipt.buyer_signature", true);
  bounds.Id(receipt.state(), 16, "Receipt.state");
}

void Check(const wire::market::Receipts& body, Bounds& bounds) {
  bounds.Each(body.receipts(), kListedMax, "Receipts.receipts",
              [&](const wire::market::Receipt& receipt) { Check(receipt, bounds); });
}

void Check(const wire::market::Reputations& body, Bounds& bounds) {
  bounds.Within(body.newcomer_ppm(), 0U, kPpm, "Reputations.newcomer_ppm");
  bounds.Each(body.reputations(), kListedMax, "Reputations.reputations", [&](const wire::market::Reputation& one) {
    bounds.Key(one.identity(), "Reputation.identity");
    bounds.Id(one.name(), kIdBytesMax, "Reputation.name", true);
    bounds.Id(one.role(), 16, "Reputation.role");
    bounds.Id(one.event(), 16, "Reputation.event");
    CheckAmount(one.good_microcredits(), "Reputation.good", bounds);
    CheckAmount(one.bad_microcredits(), "Reputation.bad", bounds);
    bounds.Within(one.score_ppm(), 0U, kPpm, "Reputation.score_ppm");
  });
}

void Check(const wire::market::Order& order, Bounds& bounds) {
  bounds.Within(static_cast<int>(order.kind()), static_cast<int>(OrderKind::MIN), static_cast<int>(OrderKind::MAX),
                "Order.kind");
  bounds.Key(order.market(), "Order.market");
  bounds.Key(order.owner(), "Order.owner");
  bounds.Raw(order.operation_id(), kOperationIdBytes, "Order.operation_id");
  bounds.Within(order.valid_until_ms(), kZero, kDurationUsMax, "Order.valid_until_ms");
  const bool is_bid = order.kind() == OrderKind::Bid;
  const bool is_deal = order.kind() == OrderKind::Deal;
  bounds.Id(order.lease(), kIdBytesMax, "Order.lease", is_bid);
  bounds.Text(order.class_name(), kClassBytesMax, "Order.class_name");
  bounds.Within(order.share_milli(), 0U, is_bid ? kUnitsMilliMax : scheduler::kWholeMilli, "Order.share_milli");
  bounds.Within(order.price_microcredits_per_hour(), kZero, kPriceMicrocreditsMax, "Order.price");
  bounds.Within(order.budget_microcredits(), kZero, std::int64_t{1} << 62, "Order.budget");
  bounds.Within(order.notice_us(), kZero, kDurationUsMax, "Order.notice_us");
  bounds.Within(order.lease_us(), kZero, kDurationUsMax, "Order.lease_us");
  bounds.Key(order.counterparty(), "Order.counterparty", !is_deal);
  bounds.Raw(order.holder_key(), 32, "Order.holder_key", !is_bid && !is_deal);
  bounds.Raw(order.next_key(), 32, "Order.next_key", true);
  bounds.Each(order.bundles(), kBundlesMax, "Order.bundles", [&](const wire::market::Bundle& bundle) {
    bounds.Within(bundle.value_microcredits_per_hour(), kZero, kPriceMicrocreditsMax, "Bundle.value");
    bounds.Each(bundle.parts(), kPartsMax, "Bundle.parts",
                [&](const wire::market::Part& part) { CheckPart(part, bounds); });
    if (bundle.parts() == nullptr || bundle.parts()->size() == 0) bounds.Fail("Bundle.parts", "is empty");
  });
  if (!is_bid || (order.bundles() != nullptr && order.bundles()->size() != 0)) return;
  if (order.class_name() == nullptr || order.class_name()->size() == 0) bounds.Fail("Order.class_name", "is missing");
  bounds.Within(order.share_milli(), 1U, scheduler::kWholeMilli, "Order.share_milli");
}

void Check(const wire::market::PlaceOrder& body, Bounds& bounds) {
  bounds.RawUpTo(body.order(), kOrderBytesMax, "PlaceOrder.order");
  bounds.Raw(body.signature(), 64, "PlaceOrder.signature");
  bounds.Raw(body.counter_signature(), 64, "PlaceOrder.counter_signature", true);
  bounds.Within(body.wait_us(), kZero, kDurationUsMax, "PlaceOrder.wait_us");
}

void Check(const wire::market::ListAsks& body, Bounds& bounds) {
  bounds.Text(body.class_name(), kClassBytesMax, "ListAsks.class_name");
}

void Check(const wire::market::ListEpochs& body, Bounds& bounds) {
  bounds.Id(body.lease(), kIdBytesMax, "ListEpochs.lease", true);
  bounds.Key(body.identity(), "ListEpochs.identity", true);
}

void Check(const wire::market::Cosign& body, Bounds& bounds) { bounds.Text(body.line(), 1024, "Cosign.line"); }

void Check(const wire::market::LedgerCheckpoint& body, Bounds& bounds) {
  bounds.Text(body.extension(), kExtensionBytesMax, "LedgerCheckpoint.extension");
}

void Check(const wire::market::LedgerEntries& body, Bounds& bounds) {
  bounds.Each(body.entries(), kListedMax, "LedgerEntries.entries", [&](const wire::market::LedgerEntry& entry) {
    bounds.RawUpTo(entry.bytes(), kEntryBytesMax, "LedgerEntry.bytes");
  });
}

void Check(const wire::market::OrderTaken& body, Bounds& bounds) {
  bounds.Text(body.promise(), kPromiseBytesMax, "OrderTaken.promise");
}

void Check(const wire::market::PriceToWin& body, Bounds& bounds) {
  bounds.Text(body.class_name(), kClassBytesMax, "PriceToWin.class_name");
  bounds.Within(body.share_milli(), 1U, scheduler::kWholeMilli, "PriceToWin.share_milli");
  bounds.Within(body.notice_us(), kZero, kDurationUsMax, "PriceToWin.notice_us");
}

void Check(const wire::market::WinningPrice& body, Bounds& bounds) {
  bounds.Text(body.lane(), 32, "WinningPrice.lane");
  bounds.Text(body.why(), kTextBytesMax, "WinningPrice.why");
}

void Check(const wire::market::Asks& body, Bounds& bounds) {
  bounds.Each(body.asks(), kListedMax, "Asks.asks", [&](const wire::market::StandingAsk& ask) {
    bounds.Text(ask.class_name(), kClassBytesMax, "StandingAsk.class_name");
    bounds.Id(ask.slot(), kIdBytesMax, "StandingAsk.slot");
    bounds.Id(ask.lease(), kIdBytesMax, "StandingAsk.lease", true);
    bounds.Key(ask.owner(), "StandingAsk.owner");
    bounds.Id(ask.owner_name(), kIdBytesMax, "StandingAsk.owner_name", true);
  });
  bounds.Each(body.bids(), kListedMax, "Asks.bids", [&](const wire::market::StandingBid& bid) {
    bounds.Text(bid.class_name(), kClassBytesMax, "StandingBid.class_name");
  });
}

void Check(const wire::market::Epochs& body, Bounds& bounds) {
  bounds.Each(body.epochs(), kListedMax, "Epochs.epochs", [&](const wire::market::Epoch& epoch) {
    bounds.Each(epoch.classes(), kListedMax, "Epoch.classes", [&](const wire::market::ClassEpoch& one) {
      bounds.Text(one.class_name(), kClassBytesMax, "ClassEpoch.class_name");
      bounds.Text(one.lane(), 32, "ClassEpoch.lane");
      bounds.Text(one.why(), kTextBytesMax, "ClassEpoch.why");
    });
    bounds.Each(epoch.trades(), kListedMax, "Epoch.trades",
                [&](const wire::market::Trade& trade) { CheckTrade(trade, bounds); });
  });
}

}  // namespace accelmesh::market
