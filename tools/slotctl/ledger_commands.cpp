// Commands about the market's ledger.
#include "tools/slotctl/command_line.h"
#include "tools/slotctl/promise.h"
#include "tools/slotctl/remote_ledger.h"

namespace accelmesh::slotctl {
namespace {

namespace ledger = market::ledger;

// Prints it; the status says whether it holds.
int Tell(const Options& options, const std::function<Result<LedgerVerdict>()>& judge) {
  bool holds = false;
  const int printed = Print(options, [&]() -> Result<Report> {
    ACCELMESH_ASSIGN_OR_RETURN(const LedgerVerdict verdict, judge());
    holds = verdict.holds;
    return verdict.report;
  });
  return printed != 0 ? printed : holds ? 0 : 1;
}

Result<ledger::NamedKey> LogOf(const Options& options) {
  ACCELMESH_ASSIGN_OR_RETURN(const security::PublicKey key, market::FindMarketKey(options.access.market_key));
  return ledger::NamedKey{ledger::kMarketLog, key};
}

// What convicts by itself needs no market, only its key.
int VerifyPromiseIn(const Options& options) {
  const Result<PromiseFile> file = ReadPromiseFile(options.ledger);
  if (!file.ok()) return Fail(file.status());
  if (!options.ledger.path.empty()) return Tell(options, [&] { return VerifyPromiseInFolder(*file, options.ledger); });
  const Result<ledger::NamedKey> log =
      options.ledger.log_key.empty() ? LogOf(options) : LogKeyOf(options.ledger, options.ledger.path);
  if (!log.ok()) return Fail(log.status());
  if (file->is_evidence) return Tell(options, [&] { return VerifyPromise(*file, *log); });
  auto session = Session::Open(options.access);
  if (!session.ok()) return Fail(session.status());
  return Tell(options, [&] {
    MarketLedger source(**session);
    return VerifyPromiseOf(*file, source, *log);
  });
}

int Verify(const Options& options) {
  if (!options.ledger.promise.empty()) return VerifyPromiseIn(options);
  if (!options.ledger.path.empty()) return Tell(options, [&] { return VerifyLedger(options.ledger); });
  auto session = Session::Open(options.access);
  if (!session.ok()) return Fail(session.status());
  return Tell(options, [&]() -> Result<LedgerVerdict> {
    ACCELMESH_ASSIGN_OR_RETURN(const ledger::NamedKey log, LogOf(options));
    LedgerOptions remote = options.ledger;
    remote.path = (*session)->url();
    MarketLedger source(**session);
    return VerifyRemote(source, log, remote);
  });
}

int Checkpoint(const Options& options) {
  return WithSession(options, [&](Session& session) -> Result<Report> {
    ACCELMESH_ASSIGN_OR_RETURN(const ledger::NamedKey log, LogOf(options));
    MarketLedger source(session);
    return CheckpointOf(source, log, options.ledger);
  });
}

}  // namespace

void AddLedgerCommands(CommandLine& line) {
  Options& options = line.options();
  CLI::App* const ledgers =
      line.app().add_subcommand("ledger", "the market's log of orders, epochs and receipts, which anybody can check");
  ledgers->group(kTrading)->require_subcommand(1);
  CLI::App* command =
      line.Add(*ledgers, nullptr, "verify",
               "clears every epoch again, checks every signature, root and checkpoint: of a folder, with no market to "
               "ask, or without one of what the market shows",
               [&] { return Verify(options); });
  command->add_option("FOLDER", options.ledger.path,
                      "of the ledger, or a copy of it (slot-market's is beside its store)");
  command->add_option("--promise", options.ledger.promise,
                      "a promise that the market gave of an order, or evidence of a broken one (mesh-run keeps both): "
                      "whether it is kept");
  command->add_option("--log-key", options.ledger.log_key, "NAME+ID+BASE64 (default: what the folder says itself)");
  command->add_option("--market-id", options.ledger.market, "which market orders must be for (default: the log's key)");
  command->add_option("--witness", options.ledger.witnesses, "keys of witnesses whose cosignatures count");
  command->add_option("--witnesses-min", options.ledger.witnesses_min,
                      "how many must have cosigned the last checkpoint");
  command->add_option("--held", options.ledger.held,
                      "files with checkpoints that somebody holds: must be of the same history");
  command->add_option("--evidence", options.ledger.evidence,
                      "file for what convicts a log that has signed two histories");
  command =
      line.Add(*ledgers, nullptr, "checkpoint", "what the market has signed last, and which witnesses cosigned it",
               [&] { return Checkpoint(options); });
  command->add_option("--out", options.ledger.out, "keeps it in this file, to hold the market to it (verify --held)");
  command->add_option("--witness", options.ledger.witnesses, "keys of witnesses whose cosignatures are verified");
  command =
      line.Add(*ledgers, nullptr, "convict", "whether a file of evidence shows that a log has signed two histories",
               [&] { return Tell(options, [&] { return VerifyEvidence(options.ledger); }); });
  command->add_option("FILE", options.ledger.path, "written by --evidence, or by mesh-run, which watches the market")
      ->required();
  command->add_option("--log-key", options.ledger.log_key, "NAME+ID+BASE64, as mesh-run says it")->required();
}

}  // namespace accelmesh::slotctl
