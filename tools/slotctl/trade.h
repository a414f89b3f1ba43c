// Questions about trade that take more than one message, and direct deals between two tenants.
//
// Threads: one.
#pragma once

#include <string>

#include "tools/slotctl/session.h"
#include "tools/slotctl/show.h"

namespace accelmesh::slotctl {

// What a bid for what `request` needs would have to offer: of the kind of device that needs the least of it.
Result<Report> WhyOf(Session& session, const std::string& request);

// A deal is a file that two tenants sign, in any order, and that either brings to the market: a lease of the seller's,
// or a part of it, for a price that they have agreed on.
struct DealDraft {
  std::string lease;
  std::string seller;             // public key, hex
  std::string price;              // credits an hour of a whole device
  std::uint32_t share_milli = 0;  // 0: all of it
  std::int64_t notice_us = 0;
};
// By the buyer, whose key for the lease is made beside it (FILE.holder).
Status DraftDeal(Session& session, const DealDraft& draft, const std::string& file);
Status SignDeal(Session& session, const std::string& file);
// Brings it to the market. The buyer gets a lease file (FILE.lease), which ACCELMESH_LEASE names to a program.
Result<Report> RecordDeal(Session& session, const std::string& file);

}  // namespace accelmesh::slotctl
