// EpochLedger: a desk's epochs in a ledger that lies in a folder, signed by the market's key: `slotctl ledger verify`
// clears them again. One market appends to it at a time.
//
// Threads: the desk's. Each call ends with one sync of the disk.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "market/desk/epoch_log.h"
#include "market/ledger/ledger.h"

namespace accelmesh::market {

class EpochLedger final : public EpochLog {
 public:
  // Made if it is not there. kUnavailable: another process has it.
  static Result<std::unique_ptr<EpochLedger>> Open(const std::string& folder, const security::SigningKey& key);

  std::uint64_t last_number() const override { return last_number_; }
  Result<SealedOrders> Seal(std::uint64_t number, std::int64_t time_ms,
                            const std::vector<SignedOrderBytes>& orders) override;
  Status Record(const EpochPlan& plan, const auction::EpochOutcome& outcome, std::int64_t time_ms, std::int64_t credits,
                std::int64_t deposited) override;
  // For those who read the folder as files.
  Status Publish();

  const ledger::NamedKey& key() const { return ledger_->log().key(); }

 private:
  struct Posted {
    ledger::PostedOrder order;
    std::uint64_t used = 0;  // by this epoch, last
  };
  explicit EpochLedger(std::unique_ptr<ledger::Ledger> ledger) : ledger_(std::move(ledger)) {}
  // What the last epoch was, from the log's end.
  Status LookBack();
  void Forget(std::uint64_t number);

  const std::unique_ptr<ledger::Ledger> ledger_;
  std::map<ledger::Hash, Posted> posted_;  // by leaf; orders that may be in the next epoch, too
  ledger::SealedEpoch sealed_;
  std::uint64_t last_number_ = 0;
  std::int64_t credits_ = 0;  // after the last epoch
  bool is_published_ = false;
};

}  // namespace accelmesh::market
