// Verifies a whole ledger, offline: that it is one tree, that its checkpoints are signed and consistent with each other
// and with what others hold, that everybody signed what is said of them, that each epoch clears as it was recorded, and
// that nobody's asks counted for more than his receipts give: those in the ledger, and what the market says at its
// beginning that those of before had come to (stated_reputation.h).
//
// It stops at the first thing that does not hold and names it: the file, entry or epoch, and what is wrong with it.
// Memory: bounded; orders are read again from their bundles when they are not among the last ones.
// Threads: one; another process may go on appending.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "market/ledger/checkpoint.h"
#include "market/ledger/store.h"
#include "market/ledger/verify_epoch.h"
#include "market/ledger/witness.h"

namespace accelmesh::market::ledger {

struct FolderCheck {
  NamedKey log;
  std::vector<NamedKey> witnesses;
  std::size_t witnesses_min = 0;  // how many of them must have cosigned the last checkpoint
  std::string market;             // in which orders count, as they name it
  std::vector<std::string> held;  // checkpoints of this log that others hold (a witness's file)
  // Of a store that has only the first entries of a log: that the last checkpoint extends them, in the place of one
  // that the store has itself.
  std::optional<Extension> extension;
  // Called from time to time with the number of entries that have been verified.
  std::function<void(std::uint64_t done, std::uint64_t all)> progress;
};

struct FolderFacts {
  TreeHead head;
  std::vector<Cosigner> cosigners;  // of the last checkpoint
  std::uint64_t orders = 0;
  std::uint64_t receipts = 0;
  std::uint64_t stated = 0;  // reputations with which it begins: the market's word
  std::uint64_t seals = 0;
  std::uint64_t epochs = 0;
  std::uint64_t trades = 0;
  std::uint64_t settlements = 0;  // epochs of which there is one
  std::uint64_t trades_settled = 0;
  std::uint64_t epoch_first = 0;  // of those recorded
  std::uint64_t epoch_last = 0;
  std::int64_t credits = 0;  // after the last epoch, microcredits
};

struct FolderReport {
  FolderFacts facts;                 // as far as it went
  Status discrepancy;                // ok: all of it holds
  std::string place;                 // of the discrepancy: a file, "entry 17", "checkpoint"
  std::optional<ForkEvidence> fork;  // if a held checkpoint is of another history
};
// A failure of the store itself (kNotFound, kSystem) is the Result's.
Result<FolderReport> VerifyStore(Store& store, const FolderCheck& check, const OrderReader& reader);
Result<FolderReport> VerifyFolder(const std::string& path, const FolderCheck& check, const OrderReader& reader);

}  // namespace accelmesh::market::ledger
