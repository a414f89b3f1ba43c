// What the market says, for people and for programs: each answer as a text of tables and as JSON.
//
// Pure but for what is in the answer: the time is an argument. Threads: functions on values.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>

#include "market/client/messages.h"

namespace accelmesh::slotctl {

using Json = nlohmann::ordered_json;
namespace messages = market::messages;

struct Report {
  std::string text;
  Json json;
};

Report ReportOf(const messages::SlotsT& slots);
// `all`: everybody's were asked for.
Report ReportOf(const messages::LeasesT& leases, std::int64_t now_ms, bool all);
Report ReportOf(const messages::RequestsT& requests, std::int64_t now_ms, bool all);
// `plot`: with a plot of price and utilisation of each class.
Report ReportOf(const messages::PricesT& prices, bool plot);
Report ReportOf(const messages::AccountsT& accounts);
Report ReportOf(const messages::AccountT& account);
Report ReportOf(const messages::StatusReportT& status);

// A chart of the history: one line a class for the price, dashed ones for utilisation, in percent of their largest.
std::string SvgOf(const messages::PricesT& prices);

}  // namespace accelmesh::slotctl
