// EpochLog: where a desk has each epoch of the auction written down so that anybody can check it: the orders before
// they are cleared, then what they came to. slot-market has a ledger behind it (market/slot_market/epoch_ledger.h);
// simulations have none.
//
// Threads: the desk's. What a call wrote is durable when it returns.
#pragma once

#include <string>
#include <vector>

#include "market/desk/clearing.h"

namespace accelmesh::market {

struct SealedOrders {
  std::vector<std::size_t> ranks;  // of the orders that were given: their ids in the auction
  std::uint64_t seed = 0;
};

class EpochLog {
 public:
  virtual ~EpochLog() = default;
  // The number of the last epoch that was sealed.
  virtual std::uint64_t last_number() const = 0;
  virtual Result<SealedOrders> Seal(std::uint64_t number, std::int64_t time_ms,
                                    const std::vector<SignedOrderBytes>& orders) = 0;
  // Of the epoch that was sealed last. `credits`: of all accounts together; `deposited`: of them, ever.
  virtual Status Record(const EpochPlan& plan, const auction::EpochOutcome& outcome, std::int64_t time_ms,
                        std::int64_t credits, std::int64_t deposited) = 0;
};

}  // namespace accelmesh::market
