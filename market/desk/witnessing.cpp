// What the market shows of its ledger, to whoever is let in: checkpoints for witnesses, entries for those who verify.
#include "market/desk/desk.h"
#include "market/desk/epoch_log.h"

namespace accelmesh::market {
namespace {

Status NoLedger() {
  return {Code::kUnsupported, "slot-market",
          "this market keeps no ledger; whoever runs it gives it one: slot-market --ledger FOLDER"};
}

}  // namespace

void Desk::OnGetCheckpoint(const Job& job) {
  if (options_.epoch_log == nullptr) return Fail(job, NoLedger());
  Result<std::string> extension = options_.epoch_log->Extension(job.request->body.AsGetCheckpoint()->old_size);
  if (!extension.ok()) return Fail(job, extension.status());
  messages::LedgerCheckpointT checkpoint;
  checkpoint.extension = *std::move(extension);
  Answer(job, std::move(checkpoint));
}

void Desk::OnCosign(const Job& job) {
  if (options_.epoch_log == nullptr) return Fail(job, NoLedger());
  const auto& cosign = *job.request->body.AsCosign();
  security::PublicKey witness;
  Status status = security::ParseHex(job.identity, witness.bytes);
  if (status.ok()) status = options_.epoch_log->Cosign(witness, cosign.size, cosign.line);
  if (!status.ok()) return Fail(job, status);
  Answer(job, messages::DoneT());
}

void Desk::OnReadEntries(const Job& job) {
  if (options_.epoch_log == nullptr) return Fail(job, NoLedger());
  const Result<ReadableEntries> read =
      options_.epoch_log->Read(job.request->body.AsReadEntries()->first, moment_.now_ms);
  if (!read.ok()) return Fail(job, read.status());
  messages::LedgerEntriesT entries;
  entries.readable = read->readable;
  for (const Bytes& bytes : read->entries) {
    auto entry = std::make_unique<messages::LedgerEntryT>();
    entry->bytes.assign(bytes.begin(), bytes.end());
    entries.entries.push_back(std::move(entry));
  }
  Answer(job, std::move(entries));
}

}  // namespace accelmesh::market
