// What the market says of receipts and of reputation, for people and for programs.
//
// Pure. Threads: functions on values.
#pragma once

#include "tools/slotctl/show.h"

namespace accelmesh::slotctl {

// `all`: everybody's were asked for.
Report ReportOf(const messages::ReceiptsT& receipts, std::int64_t now_ms, bool all);
Report ReportOf(const messages::ReputationsT& reputations);

}  // namespace accelmesh::slotctl
