#include "tools/slotctl/promise.h"

#include "market/ledger/folder_store.h"
#include "market/ledger/market_orders.h"
#include "market/ledger/promise_reader.h"
#include "market/ledger/tree.h"
#include "tools/slotctl/table.h"

namespace accelmesh::slotctl {
namespace {

namespace ledger = market::ledger;

constexpr char kWhere[] = "slotctl ledger";
constexpr std::size_t kBytesMax = std::size_t{256} << 20;

std::string_view NameOf(ledger::OrderSort sort) {
  switch (sort) {
    case ledger::OrderSort::kAsk: return "an ask";
    case ledger::OrderSort::kWithdrawal: return "a withdrawal";
    case ledger::OrderSort::kBid: return "a bid";
    case ledger::OrderSort::kGang: return "a gang's bid";
    case ledger::OrderSort::kDeal: return "a deal";
  }
  return "";
}

std::string Line(const char* name, const std::string& value) {
  std::string line = name;
  line.resize(14, ' ');
  return line + value + "\n";
}

// What is said of it; precondition: the promise was verified.
Result<LedgerVerdict> Told(const ledger::Promise& promise, const ledger::PromiseVerdict& verdict) {
  ACCELMESH_ASSIGN_OR_RETURN(const ledger::Entry entry, ledger::ParseEntry(promise.entry));
  ACCELMESH_ASSIGN_OR_RETURN(const ledger::OrderTerms terms,
                             ledger::MarketOrders().Read(std::get<ledger::SignedOrder>(entry)));
  const bool is_broken = verdict.standing == ledger::Standing::kBroken;
  const bool is_kept = verdict.standing == ledger::Standing::kKept;
  LedgerVerdict told;
  told.holds = !is_broken;
  told.report.json = {{"holds", told.holds},
                      {"promise", is_broken ? "broken"
                                  : is_kept ? "kept"
                                            : "open"},
                      {"entry", promise.inclusion.index},
                      {"owner", security::HexOf(terms.owner.bytes)},
                      {"why", verdict.text}};
  if (verdict.epoch != 0) told.report.json["epoch"] = verdict.epoch;
  told.report.text =
      Line(is_broken ? "BROKEN"
           : is_kept ? "kept"
                     : "open",
           Shown(verdict.text, 500)) +
      Line("promised", std::string(NameOf(terms.sort)) + " of " + security::HexOf(terms.owner.bytes) + ", entry " +
                           std::to_string(promise.inclusion.index) + " of the ledger, by the market's signature");
  if (is_broken) {
    told.report.text +=
        Line("", "by its own signatures the market has dropped it: whoever sees this must not trust it");
  } else if (!is_kept) {
    told.report.text += Line("", "nothing is wrong so far; ask again when an epoch was recorded and may be read");
  }
  return told;
}

// It is no promise of this market's, or what was shown is not signed.
LedgerVerdict Nothing(const Status& status) {
  LedgerVerdict verdict;
  verdict.report.json = {{"holds", false}, {"promise", "none"}, {"why", status.text()}};
  verdict.report.text = Line("shows nothing", Shown(status.text(), 500));
  return verdict;
}

}  // namespace

Result<PromiseFile> ReadPromiseFile(const LedgerOptions& options) {
  ACCELMESH_ASSIGN_OR_RETURN(const Bytes bytes, ledger::ReadFileBytes(options.promise, ledger::kBrokenPromiseBytesMax));
  const std::string_view text = AsText(bytes);
  PromiseFile file;
  if (Result<ledger::BrokenPromise> evidence = ledger::ParseBrokenPromise(text); evidence.ok()) {
    file.content = std::move(*evidence);
    file.is_evidence = true;
    return file;
  }
  Result<ledger::Promise> promise = ledger::ParsePromise(text);
  if (!promise.ok()) {
    return Status(Code::kInvalidArgument, kWhere,
                  options.promise + " is neither a promise nor evidence of a broken one (" + promise.status().text() +
                      "); mesh-run keeps both in its state folder, below accelmesh/witness");
  }
  file.content.promise = std::move(*promise);
  return file;
}

Result<LedgerVerdict> VerifyPromise(const PromiseFile& file, const ledger::NamedKey& log) {
  const Result<ledger::PromiseVerdict> verdict = JudgeEvidence(file.content, log, ledger::MarketOrders());
  if (!verdict.ok()) return Nothing(verdict.status());
  return Told(file.content.promise, *verdict);
}

Result<LedgerVerdict> VerifyPromiseInFolder(const PromiseFile& file, const LedgerOptions& options) {
  ACCELMESH_ASSIGN_OR_RETURN(const ledger::NamedKey log, LogKeyOf(options, options.path));
  const ledger::Promise& promise = file.content.promise;
  if (const auto order = VerifyPromise(promise, log); !order.ok()) return Nothing(order.status());
  LedgerOptions with_note = options;
  with_note.held_notes.push_back(promise.inclusion.note);
  ACCELMESH_ASSIGN_OR_RETURN(LedgerVerdict folder, VerifyLedger(with_note));
  ACCELMESH_ASSIGN_OR_RETURN(const std::unique_ptr<ledger::Store> store,
                             ledger::OpenFolder(options.path, ledger::Access::kRead));
  ACCELMESH_ASSIGN_OR_RETURN(const ledger::Store::Content content, store->Load());
  ACCELMESH_ASSIGN_OR_RETURN(const ledger::Tree tree, ledger::Tree::Load(*store, content, nullptr));
  const ledger::MarketOrders orders;
  ledger::PromiseReader reader(promise, orders);
  const auto read = [&](std::uint64_t first) -> Result<std::vector<Bytes>> {
    std::vector<Bytes> entries;
    if (first >= tree.size()) return entries;
    ACCELMESH_ASSIGN_OR_RETURN(Bytes entry, tree.Entry(first));
    entries.push_back(std::move(entry));
    return entries;
  };
  ACCELMESH_RETURN_IF_ERROR(reader.ReadOn(read, kBytesMax));
  const Result<ledger::PromiseVerdict> verdict = reader.verdict();
  if (!verdict.ok() && folder.holds) return Nothing(verdict.status());
  LedgerVerdict told;
  if (verdict.ok()) {
    ACCELMESH_ASSIGN_OR_RETURN(told, Told(promise, *verdict));
  }
  told.report.text += folder.report.text;
  told.report.json["ledger"] = folder.report.json;
  told.holds = told.holds && folder.holds;
  told.report.json["holds"] = told.holds;
  return told;
}

Result<LedgerVerdict> VerifyPromiseOf(const PromiseFile& file, LedgerSource& source, const ledger::NamedKey& log) {
  const ledger::Promise& promise = file.content.promise;
  if (const auto order = VerifyPromise(promise, log); !order.ok()) return Nothing(order.status());
  const ledger::MarketOrders orders;
  ledger::PromiseReader reader(promise, orders);
  const auto read = [&](std::uint64_t first) -> Result<std::vector<Bytes>> {
    ACCELMESH_ASSIGN_OR_RETURN(LedgerSource::Entries more, source.Read(first));
    return std::move(more.entries);
  };
  ACCELMESH_RETURN_IF_ERROR(reader.ReadOn(read, kBytesMax));
  const Result<ledger::PromiseVerdict> verdict = reader.verdict();
  if (!verdict.ok()) return Nothing(verdict.status());
  if (verdict->standing == ledger::Standing::kOpen) return Told(promise, *verdict);
  ledger::BrokenPromise evidence = reader.Evidence();
  ACCELMESH_ASSIGN_OR_RETURN(evidence.extension, source.Checkpoint(promise.inclusion.index + evidence.entries.size()));
  if (const Status status = CheckEntries(promise, evidence.entries, evidence.extension, log); !status.ok()) {
    return Nothing(status);
  }
  return Told(promise, *verdict);
}

}  // namespace accelmesh::slotctl
