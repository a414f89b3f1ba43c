// A market's ledger, read from the market itself: what may be read by now is verified as a folder is (ledger.h), and
// the rest is shown to extend it by the checkpoint that the market has signed.
//
// Threads: functions.
#pragma once

#include "market/ledger/store.h"
#include "market/ledger/witness.h"
#include "tools/slotctl/ledger.h"
#include "tools/slotctl/session.h"

namespace accelmesh::slotctl {

class LedgerSource {
 public:
  struct Entries {
    std::vector<Bytes> entries;
    std::uint64_t readable = 0;
  };
  virtual ~LedgerSource() = default;
  // The newest checkpoint, with the proof that it extends the tree of `old_size` entries.
  virtual Result<market::ledger::Extension> Checkpoint(std::uint64_t old_size) = 0;
  // Some entries from `first` on.
  virtual Result<Entries> Read(std::uint64_t first) = 0;
};

class MarketLedger final : public LedgerSource {
 public:
  explicit MarketLedger(Session& session) : session_(session) {}
  Result<market::ledger::Extension> Checkpoint(std::uint64_t old_size) override;
  Result<Entries> Read(std::uint64_t first) override;

 private:
  Session& session_;
};

// `options.path` is where it was read from, for people; `log` is known to be the market's.
Result<LedgerVerdict> VerifyRemote(LedgerSource& source, const market::ledger::NamedKey& log,
                                   const LedgerOptions& options);
// The newest checkpoint, verified; into `options.out`, if that is named, for who wants to hold it.
Result<Report> CheckpointOf(LedgerSource& source, const market::ledger::NamedKey& log, const LedgerOptions& options);

}  // namespace accelmesh::slotctl
