// EpochLog: where a desk has each epoch of the auction written down so that anybody can check it: the orders before
// they are cleared, then what they came to. slot-market has a ledger behind it (market/slot_market/epoch_ledger.h);
// simulations have none.
//
// Threads: the desk's. What a call wrote is durable when it returns.
#pragma once

#include <string>
#include <vector>

#include "market/desk/clearing.h"
#include "market/ledger/receipt.h"
#include "protocol/security/keys.h"

namespace accelmesh::market {

struct ReadableEntries {
  std::vector<Bytes> entries;
  std::uint64_t readable = 0;  // so many of all can be read by now
};

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
  virtual Status AppendReceipts(const std::vector<ledger::CounterSignedReceipt>& receipts) = 0;

  // The newest checkpoint and the proof that it extends the tree of `old_size` entries (all of it, if it is no larger),
  // as a text (market/ledger/checkpoint.h).
  virtual Result<std::string> Extension(std::uint64_t old_size) const = 0;
  // A witness's line below the checkpoint of `size` entries. kNotFound if that is not one of the last.
  virtual Status Cosign(const security::PublicKey& witness, std::uint64_t size, const std::string& line) = 0;
  // Some entries from `first` on, of those that hold no bid that may still stand.
  virtual Result<ReadableEntries> Read(std::uint64_t first, std::int64_t now_ms) = 0;
};

}  // namespace accelmesh::market
