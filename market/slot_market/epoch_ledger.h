// EpochLedger: a desk's epochs in a ledger that lies in a folder, signed by the market's key: `slotctl ledger verify`
// clears them again. One market appends to it at a time.
//
// A disk that is full, or fails, stops epochs and receipts; when it can be written again, they go on: nothing that was
// acknowledged is lost, and what was not may be in the ledger or not.
//
// Threads: the desk's. Each call ends with one sync of the disk.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "market/desk/epoch_log.h"
#include "market/ledger/ledger.h"
#include "protocol/base/clock.h"

namespace accelmesh::market {

class EpochLedger final : public EpochLog {
 public:
  // Made if it is not there. kUnavailable: another process has it. `key` outlives it.
  static Result<std::unique_ptr<EpochLedger>> Open(const std::string& folder, const security::SigningKey& key);

  void Begin(std::vector<ledger::StatedReputation> stated) override;
  std::uint64_t last_number() const override { return last_number_; }
  Result<SealedOrders> Seal(std::uint64_t number, std::int64_t time_ms, const std::vector<SignedOrderBytes>& orders,
                            const std::vector<LeftOutBid>& left_out) override;
  Status Record(const EpochPlan& plan, const auction::EpochOutcome& outcome, std::int64_t time_ms, std::int64_t credits,
                std::int64_t deposited) override;
  Result<std::vector<std::string>> Take(const std::vector<SignedOrderBytes>& orders, std::int64_t now_ms) override;
  std::size_t due() const override { return due_.size(); }
  std::size_t due_anew() const override { return due_anew_; }
  Result<std::vector<SignedOrderBytes>> DueBids() override;
  Status Settle(ledger::Settlement settlement) override;
  Status AppendReceipts(const std::vector<ledger::CounterSignedReceipt>& receipts) override;
  Result<std::string> Extension(std::uint64_t old_size) const override;
  Status Cosign(const security::PublicKey& witness, std::uint64_t size, const std::string& line) override;
  Result<ReadableEntries> Read(std::uint64_t first, std::int64_t now_ms) override;
  // For those who read the folder as files. Behind the log's own there is cosigned/NAME for each witness: the newest
  // checkpoint that it has cosigned.
  Status Publish();

  const ledger::NamedKey& key() const { return log_key_; }

 private:
  struct Posted {
    ledger::PostedOrder order;
    std::uint64_t used = 0;  // by this epoch, last
  };
  EpochLedger(std::string folder, const security::SigningKey& key) : folder_(std::move(folder)), key_(key) {}
  Status OpenLog(bool is_rewritten);
  // After an error of the disk: opens the folder anew, now and then, until that can be written again.
  Status Recover();
  // Bids of a call that failed may be in the log all the same.
  void HideDue();
  Status WriteStated();
  // Keeps what went wrong, so that the next call recovers first.
  Status Failed(Status status);
  // A bid in the log that others must not read before it has ended.
  struct Hidden {
    std::uint64_t index = 0;
    std::int64_t until_ms = 0;
  };
  struct Cosigned {
    std::uint64_t size = 0;
    std::string note;
  };
  // An order that the next epoch must have (market/ledger/promise.h).
  struct Due {
    ledger::PostedOrder order;
    bool is_bid = false;
    bool is_new = true;  // no epoch has looked at it
    std::int64_t valid_until_ms = 0;
    std::string owner;
  };
  // What the last epoch was, and what is due since, from the log's end.
  Status LookBack();
  Status NoteDue(std::uint64_t index);
  void AddDue(const ledger::PostedOrder& order, const ledger::SignedOrder& signed_order);
  void SettleDue();
  // Of an order that was given: where it is in the log, if it is.
  const ledger::PostedOrder* Find(const ledger::Hash& leaf) const;
  void Hide(const ledger::PostedOrder& order, const ledger::SignedOrder& signed_order, std::int64_t now_ms);
  void Forget(std::uint64_t number, std::int64_t now_ms);
  void NoteAppended();
  std::uint64_t Readable(std::int64_t now_ms);

  const std::string folder_;
  const security::SigningKey& key_;         // the market's, which outlives this
  std::unique_ptr<ledger::Ledger> ledger_;  // null: it could not be opened again so far
  ledger::NamedKey log_key_;
  Status broken_;
  Instant try_again_;
  std::map<ledger::Hash, Posted> posted_;      // by leaf; orders that may be in the next epoch, too
  std::map<ledger::Hash, Due> due_;            // by leaf
  std::map<std::string, std::size_t> due_of_;  // how many, by owner
  std::size_t due_anew_ = 0;
  ledger::SealedEpoch sealed_;
  std::vector<ledger::LeftOutOrder> left_out_;    // of it
  std::vector<ledger::StatedReputation> stated_;  // that are not yet written
  std::uint64_t last_number_ = 0;
  std::int64_t credits_ = 0;  // after the last epoch
  bool is_published_ = false;
  std::map<std::uint64_t, std::string> notes_;  // of the last checkpoints, by size
  std::map<std::string, Cosigned> cosigned_;    // by witness
  std::vector<Hidden> hidden_;                  // those that are over are forgotten now and then
  std::int64_t now_ms_ = 0;                     // as it was told last with orders
  std::uint64_t opened_size_ = 0;               // what is from an earlier run is hidden for a while
  std::int64_t opened_ms_ = -1;
};

}  // namespace accelmesh::market
