#include "tools/slotctl/remote_ledger.h"

#include <algorithm>

#include "market/ledger/folder_store.h"
#include "market/ledger/market_orders.h"
#include "tools/slotctl/table.h"

namespace accelmesh::slotctl {
namespace {

namespace ledger = market::ledger;

constexpr char kWhere[] = "slotctl ledger";
// All of it is in memory.
constexpr std::size_t kBytesMax = std::size_t{1} << 30;

// Whether the log that the source shows extends what somebody holds of it.
Status CompareHeld(LedgerSource& source, const std::string& note, const ledger::NamedKey& log,
                   ledger::FolderReport& report) {
  const Result<ledger::VerifiedCheckpoint> held = VerifyCheckpoint(note, log, {});
  if (!held.ok()) return held.status();
  const std::uint64_t size = held->checkpoint.head.size;
  ACCELMESH_ASSIGN_OR_RETURN(const ledger::Extension extension, source.Checkpoint(size));
  ACCELMESH_ASSIGN_OR_RETURN(ledger::Judgement judgement, ledger::Judge(note, extension, log));
  if (judgement.verdict == ledger::Verdict::kExtends) return {};
  report.fork = std::move(judgement.evidence);
  return {Code::kPermissionDenied, kWhere,
          "of " + std::to_string(size) + " entries: " +
              (report.fork ? "the log has signed two histories" : "the market does not show that its log extends it")};
}

}  // namespace

Result<ledger::Extension> MarketLedger::Checkpoint(std::uint64_t old_size) {
  messages::GetCheckpointT ask;
  ask.old_size = old_size;
  ACCELMESH_ASSIGN_OR_RETURN(const auto reply, session_.Ask<messages::LedgerCheckpointT>(std::move(ask)));
  return ledger::ParseExtension(reply.extension);
}

Result<LedgerSource::Entries> MarketLedger::Read(std::uint64_t first) {
  messages::ReadEntriesT ask;
  ask.first = first;
  ACCELMESH_ASSIGN_OR_RETURN(const auto reply, session_.Ask<messages::LedgerEntriesT>(std::move(ask)));
  Entries read;
  read.readable = reply.readable;
  for (const auto& entry : reply.entries) read.entries.emplace_back(entry->bytes.begin(), entry->bytes.end());
  return read;
}

Result<LedgerVerdict> VerifyRemote(LedgerSource& source, const ledger::NamedKey& log, const LedgerOptions& options) {
  ledger::MemoryStore store;
  std::uint64_t count = 0;
  std::size_t bytes = 0;
  while (true) {
    ACCELMESH_ASSIGN_OR_RETURN(const LedgerSource::Entries read, source.Read(count));
    if (read.entries.empty()) break;
    ACCELMESH_RETURN_IF_ERROR(store.Commit(count, read.entries, ""));
    count += read.entries.size();
    for (const Bytes& entry : read.entries) bytes += entry.size();
    if (bytes > kBytesMax) {
      return Status(Code::kLimitExceeded, kWhere,
                    "the ledger is too large to be verified from here; verify a copy of its folder");
    }
  }
  ledger::FolderCheck check;
  ACCELMESH_ASSIGN_OR_RETURN(check.extension, source.Checkpoint(count));
  ACCELMESH_ASSIGN_OR_RETURN(const ledger::VerifiedCheckpoint newest, VerifyCheckpoint(check.extension->note, log, {}));
  const std::uint64_t all = newest.checkpoint.head.size;
  if (count == 0 && all > 0) {
    return Status(
        Code::kUnavailable, kWhere,
        "none of its " + std::to_string(all) +
            " entries can be read yet: its first bids may still be served, or the market has just been started; "
            "ask again in two minutes, or verify its folder");
  }
  check.log = log;
  ACCELMESH_RETURN_IF_ERROR(ReadChecks(options, check));
  std::vector<std::string> held;
  held.swap(check.held);
  Result<ledger::FolderReport> verified = VerifyStore(store, check, ledger::MarketOrders());
  if (!verified.ok()) return verified.status();
  for (const std::string& note : held) {
    if (!verified->discrepancy.ok()) break;
    verified->place = "held checkpoint";
    verified->discrepancy = CompareHeld(source, note, log, *verified);
  }
  LedgerVerdict verdict;
  ACCELMESH_ASSIGN_OR_RETURN(verdict, VerdictOf(*verified, options, false));
  verdict.report.json["signed_entries"] = all;
  if (verdict.holds && all > count) {
    verdict.report.text += "of " + std::to_string(all) + " entries that are signed, and extend these, " +
                           std::to_string(all - count) + " can be read when the bids in them are over\n";
  }
  return verdict;
}

Result<Report> CheckpointOf(LedgerSource& source, const ledger::NamedKey& log, const LedgerOptions& options) {
  ACCELMESH_ASSIGN_OR_RETURN(const ledger::Extension extension, source.Checkpoint(0));
  ledger::FolderCheck check;
  ACCELMESH_RETURN_IF_ERROR(ReadChecks(options, check));
  ACCELMESH_ASSIGN_OR_RETURN(const ledger::VerifiedCheckpoint newest,
                             VerifyCheckpoint(extension.note, log, check.witnesses));
  ACCELMESH_ASSIGN_OR_RETURN(const ledger::Note note, ledger::ParseNote(extension.note));
  std::string names;
  Json lines = Json::array();
  for (const ledger::NoteSignature& signature : note.signatures) {
    if (signature.name == log.name) continue;
    const bool is_verified = std::any_of(newest.cosigners.begin(), newest.cosigners.end(),
                                         [&](const auto& cosigner) { return cosigner.witness.name == signature.name; });
    lines.push_back({{"witness", signature.name}, {"verified", is_verified}});
    names += (names.empty() ? "" : ", ") + Shown(signature.name, 60) + (is_verified ? "" : " (not verified)");
  }
  const ledger::TreeHead& head = newest.checkpoint.head;
  Report report;
  report.json = {{"entries", head.size},
                 {"root", security::HexOf(head.root)},
                 {"cosigned", std::move(lines)},
                 {"note", extension.note}};
  report.text = "entries       " + std::to_string(head.size) + ", root " + security::HexOf(head.root) + "\n" +
                "signed by     the market\n" + "cosigned by   " + (names.empty() ? "nobody yet" : names) + "\n";
  if (names.find("(not verified)") != std::string::npos) {
    report.text += "note          --witness KEY verifies one (its owner sees the key with: slotctl keys show NAME)\n";
  }
  if (!options.out.empty()) {
    ACCELMESH_RETURN_IF_ERROR(ledger::ReplaceFile(options.out, AsBytes(std::string_view(extension.note))));
    report.text += "kept in       " + options.out + "; later: slotctl ledger verify --held " + options.out + "\n";
  }
  return report;
}

}  // namespace accelmesh::slotctl
