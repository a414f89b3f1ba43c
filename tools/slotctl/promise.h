// slotctl ledger verify --promise: whether the market has kept its word that it has taken an order. The file is a
// promise, as mesh-run keeps them, which is held against the ledger, from its folder or from the market; or evidence of
// one that was broken, which needs neither.
//
// Threads: functions.
#pragma once

#include "market/ledger/promise.h"
#include "tools/slotctl/remote_ledger.h"

namespace accelmesh::slotctl {

// Of the file `options.promise`; without its entries it is a promise alone.
struct PromiseFile {
  market::ledger::BrokenPromise content;
  bool is_evidence = false;
};
Result<PromiseFile> ReadPromiseFile(const LedgerOptions& options);

// By the evidence alone.
Result<LedgerVerdict> VerifyPromise(const PromiseFile& file, const market::ledger::NamedKey& log);
// By all of the folder `options.path`, which is verified, too.
Result<LedgerVerdict> VerifyPromiseInFolder(const PromiseFile& file, const LedgerOptions& options);
// By what the market shows from the order on.
Result<LedgerVerdict> VerifyPromiseOf(const PromiseFile& file, LedgerSource& source,
                                      const market::ledger::NamedKey& log);

}  // namespace accelmesh::slotctl
