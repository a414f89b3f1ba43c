// What does not hold of an order, without making a Status for each one that does: an epoch has a hundred thousand.
//
// Inside of market/auction only. Threads: functions on values.
#pragma once

#include "market/auction/epoch.h"

namespace accelmesh::market::auction {

struct Fault {
  const char* where = nullptr;
  const char* what = nullptr;
  bool ok() const { return where == nullptr; }
};
Fault FaultOf(const Ask& ask);
Fault FaultOf(const Bid& bid);
Fault FaultOf(const GangBid& gang);
Fault FaultOf(const ClassInput& slot_class);

}  // namespace accelmesh::market::auction
