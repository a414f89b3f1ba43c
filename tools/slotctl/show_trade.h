// What the market says of its auction, for people and for programs.
//
// Pure. Threads: functions on values.
#pragma once

#include "tools/slotctl/show.h"

namespace accelmesh::slotctl {

// `depth`: with what can be had of each class up to which price, and the bids that stand; `plot`: as bars, too.
struct BookView {
  bool depth = false;
  bool plot = false;
};
// Every ask, the cheapest first.
Report ReportOf(const messages::AsksT& asks, std::int64_t now_ms, BookView view);
// `plot`: with the prices of each class over the epochs.
Report ReportOf(const messages::EpochsT& epochs, bool plot);
// What one identity has sold and bought; `is_own`: that of the caller, who named none.
Report TradesOf(const messages::EpochsT& epochs, const std::string& identity, bool is_own);
// What was asked for, and what it needs of the kind of device that needs the least of it.
struct WhyAsked {
  std::string class_name;
  std::uint32_t share_milli = 0;
  std::uint32_t count = 1;
};
Report ReportOf(const messages::WinningPriceT& price, const WhyAsked& asked);
Report ReportOf(const messages::QuotationT& quotation);

// How much of each class can be had up to which price, a line each.
std::string SvgOf(const messages::AsksT& asks);
// The prices of each class over the epochs, a line each.
std::string SvgOf(const messages::EpochsT& epochs);

}  // namespace accelmesh::slotctl
