// slotctl ledger: verifies a market's ledger from its folder, and what witnesses have found, with no market to ask.
//
// Threads: functions. Progress goes to stderr from the third second on.
#pragma once

#include <string>
#include <vector>

#include "market/ledger/verify_folder.h"
#include "tools/slotctl/show.h"

namespace accelmesh::slotctl {

struct LedgerOptions {
  std::string path;                    // of the folder, or of a file of evidence
  std::string log_key;                 // a verifier key; empty: the one in the folder
  std::string market;                  // as orders name it; empty: the log's key
  std::vector<std::string> witnesses;  // verifier keys
  std::size_t witnesses_min = 0;
  std::vector<std::string> held;        // files with checkpoints that others hold
  std::vector<std::string> held_notes;  // such checkpoints
  std::string promise;                  // a file (promise.h)
  std::string evidence;                 // where evidence of a fork goes
  std::string out;                      // where a checkpoint goes
};

struct LedgerVerdict {
  Report report;
  bool holds = false;
};
// A Status: it could not be verified at all (no such folder, a key that is none).
Result<LedgerVerdict> VerifyLedger(const LedgerOptions& options);
// Whether a file of evidence convicts the log.
Result<LedgerVerdict> VerifyEvidence(const LedgerOptions& options);

// By the options, or else what the folder says itself.
Result<market::ledger::NamedKey> LogKeyOf(const LedgerOptions& options, const std::string& folder);
// Witnesses, held checkpoints and what orders must name, as the options say; precondition: check.log.
Status ReadChecks(const LedgerOptions& options, market::ledger::FolderCheck& check);
// The verdict, and the evidence in its file.
Result<LedgerVerdict> VerdictOf(const market::ledger::FolderReport& verified, const LedgerOptions& options,
                                bool is_own_key);
// What both say of a verification.
Report ReportOf(const market::ledger::FolderReport& verified, const LedgerOptions& options, bool is_own_key);

}  // namespace accelmesh::slotctl
