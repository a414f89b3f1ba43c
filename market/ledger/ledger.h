// Ledger: what the market writes into its log, in the order in which an epoch needs it:
//
//   Post(orders)   standing asks and deals, once; they are named by what comes back
//   Seal(...)      new bids, and the root of all orders of the epoch; durable and checkpointed before anybody clears
//   (witnesses may cosign that checkpoint: AddCosignature())
//   Record(...)    the epoch with its outcome's digests
//
// Each call is one batch: one sync and one signature. What a call wrote is durable when it returns.
// Threads: one at a time.
#pragma once

#include <memory>

#include "market/ledger/epoch_record.h"
#include "market/ledger/log.h"

namespace accelmesh::market::ledger {

// An order in the log.
struct PostedOrder {
  std::uint64_t index = 0;
  Hash leaf{};  // its rank in an epoch follows from it
};

struct SealedEpoch {
  std::uint64_t number = 0;
  std::uint64_t index = 0;          // of the seal
  std::vector<PostedOrder> orders;  // by rank: OrderId is the place
  std::vector<std::size_t> ranks;   // of the given orders: first the new ones, then the standing ones
  std::string note;                 // the checkpoint
};

class Ledger {
 public:
  // As Log::Open().
  static Result<std::unique_ptr<Ledger>> Open(std::unique_ptr<Store> store, const std::string& origin,
                                              security::SigningKey key);

  // With what reputations it begins: written if nothing else is in it yet, what is missing of them if they were only
  // partly written. Nothing otherwise.
  Status Begin(std::span<const StatedReputation> stated);
  Result<std::vector<PostedOrder>> Post(std::span<const SignedOrder> orders);
  // kInvalidArgument if an order is there twice.
  Result<SealedEpoch> Seal(std::uint64_t number, std::int64_t time_ms, std::span<const SignedOrder> fresh,
                           std::span<const PostedOrder> standing);
  // The checkpoint with the epoch in it.
  Result<std::string> Record(const EpochRecord& record);
  Result<std::string> AppendReceipts(std::span<const CounterSignedReceipt> receipts);
  // What an epoch's trades did to accounts.
  Result<std::string> AppendSettlement(Settlement settlement);

  Log& log() { return *log_; }

 private:
  explicit Ledger(std::unique_ptr<Log> log) : log_(std::move(log)) {}
  const std::unique_ptr<Log> log_;
};

}  // namespace accelmesh::market::ledger
