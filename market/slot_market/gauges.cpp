#include "market/slot_market/gauges.h"

namespace accelmesh::market {

Gauges::Gauges(Metrics& metrics)
    : metrics_(metrics),
      grant_seconds_(metrics.Histogram("accelmesh_market_grant_seconds", "From a request to its durable grant.",
                                       {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5})) {}

void Gauges::Set(const Desk& desk) {
  const DeskCounts& counts = desk.counts();
  const auto count = [&](const char* name, const char* help, std::uint64_t value) {
    metrics_.Counter(name, help).Set(static_cast<double>(value));
  };
  count("accelmesh_market_requests_total", "Messages that came in.", counts.requests);
  count("accelmesh_market_refused_total", "Messages that did not verify, or whose sender may not.", counts.refused);
  count("accelmesh_market_grants_total", "Leases granted.", counts.grants);
  count("accelmesh_market_renewals_total", "Leases renewed.", counts.renewals);
  count("accelmesh_market_rejections_total", "Requests that nothing could serve.", counts.rejections);
  count("accelmesh_market_leases_ended_total", "Leases that ended, for whatever reason.", counts.ended);
  count("accelmesh_market_epochs_total", "Epochs of the auction that had bids.", counts.epochs);
  count("accelmesh_market_epochs_late_total", "Epochs that opened too late by a fifth of their time.",
        counts.epochs_late);
  count("accelmesh_market_promises_total", "Orders whose owners were promised that they were taken.", counts.promises);
  count("accelmesh_market_receipts_total", "Receipts that both sides have signed.", counts.receipts);
  count("accelmesh_market_trades_total", "Leases that were sold by the auction or by a deal.", counts.trades);
  count("accelmesh_market_transactions_total", "Transactions sent to the registry.", counts.transactions);
  count("accelmesh_market_rounds_total", "Rounds of transactions.", counts.rounds);
  count("accelmesh_market_resyncs_total", "Times that the registry was read anew after a failure.", counts.resyncs);
  const auto gauge = [&](const char* name, const char* help, double value) { metrics_.Gauge(name, help).Set(value); };
  const Book& book = desk.book();
  gauge("accelmesh_market_leading", "1 if this replica leads.", desk.is_leading() ? 1 : 0);
  gauge("accelmesh_market_leases", "Leases that run.", static_cast<double>(book.active_leases()));
  gauge("accelmesh_market_servers", "Servers that are reachable.",
        static_cast<double>(book.All(Family::kServer).size()));
  gauge("accelmesh_market_slots", "Slots that are registered.", static_cast<double>(book.All(Family::kSlot).size()));
  gauge("accelmesh_market_requests_waiting", "Requests that wait for a slot.", static_cast<double>(desk.waiting()));
  gauge("accelmesh_market_credits_deposited", "Credits that there are.",
        static_cast<double>(book.sums().deposited) / 1e6);
  gauge("accelmesh_market_credits_bonded", "Credits that providers have put up.",
        static_cast<double>(book.sums().bond) / 1e6);
  gauge("accelmesh_market_credits_held", "Credits in escrow for leases.", static_cast<double>(book.sums().held) / 1e6);
  for (const auto& [name, use] : book.UseByClass()) {
    const MetricLabels labels{{"class", name}};
    metrics_.Gauge("accelmesh_market_utilisation", "Part of what is sold that is let.", labels)
        .Set(use.sold_milli == 0 ? 0 : static_cast<double>(use.let_milli) / static_cast<double>(use.sold_milli));
    if (const PriceRecord* price = book.Price(name)) {
      metrics_.Gauge("accelmesh_market_price_credits_per_hour", "The posted price of a whole device.", labels)
          .Set(static_cast<double>(price->price_per_hour) / 1e6);
    }
  }
}

}  // namespace accelmesh::market
