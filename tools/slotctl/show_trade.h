// What the market says of its auction, for people and for programs.
//
// Pure. Threads: functions on values.
#pragma once

#include "tools/slotctl/show.h"

namespace accelmesh::slotctl {

// Every ask, the cheapest first; `depth`: with what can be had of each class up to which price.
Report ReportOf(const messages::AsksT& asks, std::int64_t now_ms, bool depth);
// `plot`: with the prices of each class over the epochs.
Report ReportOf(const messages::EpochsT& epochs, bool plot);
// What one identity has sold and bought.
Report TradesOf(const messages::EpochsT& epochs, const std::string& identity);
// `class_name` and `share_milli` are what was asked for.
Report ReportOf(const messages::WinningPriceT& price, const std::string& class_name, std::uint32_t share_milli);
Report ReportOf(const messages::QuotationT& quotation);

// The prices of each class over the epochs, a line each.
std::string SvgOf(const messages::EpochsT& epochs);

}  // namespace accelmesh::slotctl
