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
// Of classes: whole devices and parts, together.
constexpr std::uint32_t kUnitsMilliMax = 1'000'000;

void CheckPart(const wire::market::Part& part, Bounds& bounds) {
  bounds.Text(part.class_name(), kClassBytesMax, "Part.class_name");
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

}  // namespace

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
