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
#include "market/ledger/settlement.h"
#include "market/ledger/stated_reputation.h"
#include "protocol/security/keys.h"

namespace accelmesh::market {

struct ReadableEntries {
  std::vector<Bytes> entries;
  std::uint64_t readable = 0;  // so many of all can be read by now
};

struct SealedOrders {
  std::vector<std::size_t> ranks;  // of the orders that were given: their ids in the auction
  std::size_t count = 0;           // of all that were sealed
  std::uint64_t seed = 0;
};

// A bid that stands and does not take part.
struct LeftOutBid {
  SignedOrderBytes order;
  ledger::LeftOut why = ledger::LeftOut::kExpired;
};

class EpochLog {
 public:
  virtual ~EpochLog() = default;
  // With what reputations it begins, if it has no entries yet: written before anything else, now or as soon as the disk
  // lets it. Call it before anything else.
  virtual void Begin(std::vector<ledger::StatedReputation> stated) = 0;
  // The number of the last epoch that was sealed.
  virtual std::uint64_t last_number() const = 0;
  // `orders` take part. Of `left_out`, and of orders that are in neither, those are sealed, too, that are due.
  virtual Result<SealedOrders> Seal(std::uint64_t number, std::int64_t time_ms,
                                    const std::vector<SignedOrderBytes>& orders,
                                    const std::vector<LeftOutBid>& left_out) = 0;
  // Of the epoch that was sealed last. `credits`: of all accounts together; `deposited`: of them, ever.
  virtual Status Record(const EpochPlan& plan, const auction::EpochOutcome& outcome, std::int64_t time_ms,
                        std::int64_t credits, std::int64_t deposited) = 0;
  // Takes orders, which are due from then on; again, if they were taken before. The promise of each, as a text
  // (market/ledger/promise.h); empty: its owner has too many that are due, and this one was not taken. kFull: all have.
  virtual Result<std::vector<std::string>> Take(const std::vector<SignedOrderBytes>& orders, std::int64_t now_ms) = 0;
  // What was taken, and cleared by no epoch so far, whoever took it: all of it, or only what no epoch has looked at.
  virtual std::size_t due() const = 0;
  virtual std::size_t due_anew() const = 0;
  virtual Result<std::vector<SignedOrderBytes>> DueBids() = 0;
  // What an epoch's trades have done to accounts, when that is durable.
  virtual Status Settle(ledger::Settlement settlement) = 0;
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
