#include "tools/slotctl/ledger.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <ctime>
#include <filesystem>
#include <tuple>

#include "market/ledger/folder_store.h"
#include "market/ledger/market_orders.h"
#include "scheduler/core/quantity.h"
#include "tools/slotctl/table.h"

namespace accelmesh::slotctl {
namespace {

namespace ledger = market::ledger;
using std::chrono::steady_clock;

constexpr auto kQuiet = std::chrono::seconds(2);
constexpr std::size_t kWatchedMax = 64;

// A line every half a second once it takes long: on a terminal always the same one.
class Progress {
 public:
  void operator()(std::uint64_t done, std::uint64_t all) {
    const steady_clock::time_point now = steady_clock::now();
    if (now - begin_ < kQuiet || (now - last_ < std::chrono::milliseconds(500) && done != all)) return;
    last_ = now;
    const double seconds = std::chrono::duration<double>(now - begin_).count();
    const double left = done == 0 ? 0 : seconds * static_cast<double>(all - done) / static_cast<double>(done);
    std::fprintf(stderr, "%sslotctl: %llu of %llu entries verified, %.0f s left%s", is_terminal_ ? "\r\x1b[K" : "",
                 static_cast<unsigned long long>(done), static_cast<unsigned long long>(all), left,
                 is_terminal_ ? "" : "\n");
    is_shown_ = true;
  }
  void End() const {
    if (is_shown_ && is_terminal_) std::fputs("\r\x1b[K", stderr);
  }

 private:
  const steady_clock::time_point begin_ = steady_clock::now();
  const bool is_terminal_ = ::isatty(STDERR_FILENO) != 0;
  steady_clock::time_point last_;
  bool is_shown_ = false;
};

std::string TimeOf(std::int64_t time_s) {
  const auto time = static_cast<std::time_t>(time_s);
  std::tm parts{};
  char text[32];
  if (::gmtime_r(&time, &parts) == nullptr || std::strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%SZ", &parts) == 0) {
    return "at no time";
  }
  return text;
}

Result<std::string> ReadNote(const std::string& path) {
  ACCELMESH_ASSIGN_OR_RETURN(const Bytes bytes, ledger::ReadFileBytes(path, ledger::kNoteBytesMax));
  return std::string(AsText(bytes));
}

// What a witness has cosigned last, as the market keeps it beside its ledger.
struct Watched {
  std::string witness;
  std::uint64_t entries = 0;
  bool is_verified = false;  // by a key that was named
};

// Each must be of the same history, too. What is there and is none is not looked at.
std::vector<Watched> WatchedIn(const std::string& folder, ledger::FolderCheck& check) {
  std::vector<Watched> watched;
  std::error_code error;
  for (std::filesystem::directory_iterator file(folder + "/cosigned", error), end;
       !error && file != end && watched.size() < kWatchedMax; file.increment(error)) {
    const Result<std::string> note = ReadNote(file->path().string());
    if (!note.ok()) continue;
    const auto checkpoint = VerifyCheckpoint(*note, check.log, check.witnesses);
    if (!checkpoint.ok()) continue;
    const std::string name = file->path().filename().string();
    watched.push_back({name, checkpoint->checkpoint.head.size,
                       std::any_of(checkpoint->cosigners.begin(), checkpoint->cosigners.end(),
                                   [&](const ledger::Cosigner& cosigner) { return cosigner.witness.name == name; })});
    check.held.push_back(*note);
  }
  std::sort(watched.begin(), watched.end(), [](const Watched& a, const Watched& b) {
    return std::tie(b.entries, a.witness) < std::tie(a.entries, b.witness);
  });
  return watched;
}

std::string Line(const char* name, const std::string& value) {
  std::string line = name;
  line.resize(14, ' ');
  return line + value + "\n";
}

void AddWatched(const std::vector<Watched>& watched, std::uint64_t entries, Report& report) {
  report.json["watched"] = Json::array();
  std::string text;
  for (const Watched& one : watched) {
    report.json["watched"].push_back(
        {{"witness", one.witness}, {"entries", one.entries}, {"verified", one.is_verified}});
    text += (text.empty() ? "" : ", ") + Shown(one.witness, 60) + " up to entry " + std::to_string(one.entries) +
            " of " + std::to_string(entries) + (one.is_verified ? "" : " (--witness KEY verifies it)");
  }
  if (!text.empty()) report.text += Line("watched by", text);
}

}  // namespace

Result<ledger::NamedKey> LogKeyOf(const LedgerOptions& options, const std::string& folder) {
  std::string text = options.log_key;
  if (text.empty()) {
    std::error_code error;
    if (!std::filesystem::is_directory(folder, error)) {
      return Status(Code::kNotFound, "slotctl ledger",
                    "there is no ledger in " + folder +
                        "; slot-market's is beside its store (STORE-ledger), and without a folder what the market "
                        "shows is verified");
    }
    const Result<Bytes> file = ledger::ReadFileBytes(folder + "/key", 1024);
    if (!file.ok()) {
      return Status(file.code(), "slotctl ledger",
                    folder + " has no key of its own (" + file.status().text() + "); name it with --log-key");
    }
    text = AsText(*file);
    while (!text.empty() && text.back() == '\n') text.pop_back();
  }
  ACCELMESH_ASSIGN_OR_RETURN(const ledger::TypedKey key, ledger::ParseVerifierKey(text));
  if (key.type != ledger::SignatureType::kEd25519) {
    return Status(Code::kInvalidArgument, "slotctl ledger", "--log-key is the key of a witness; name the log's");
  }
  return key.key;
}

Report ReportOf(const ledger::FolderReport& verified, const LedgerOptions& options, bool is_own_key) {
  const ledger::FolderFacts& facts = verified.facts;
  Report report;
  Json cosigners = Json::array();
  std::string names;
  for (const ledger::Cosigner& cosigner : facts.cosigners) {
    cosigners.push_back({{"witness", cosigner.witness.name}, {"time_s", cosigner.time_s}});
    names += (names.empty() ? "" : ", ") + cosigner.witness.name + " " + TimeOf(cosigner.time_s);
  }
  const bool holds = verified.discrepancy.ok();
  report.json = {{"holds", holds},
                 {"folder", options.path},
                 {"key_from_folder", is_own_key},
                 {"entries", facts.head.size},
                 {"root", security::HexOf(facts.head.root)},
                 {"cosigners", cosigners},
                 {"orders", facts.orders},
                 {"receipts", facts.receipts},
                 {"stated", facts.stated},
                 {"seals", facts.seals},
                 {"epochs", facts.epochs},
                 {"unrecorded", facts.seals - std::min(facts.seals, facts.epochs)},
                 {"epoch_first", facts.epoch_first},
                 {"epoch_last", facts.epoch_last},
                 {"trades", facts.trades},
                 {"trades_settled", facts.trades_settled},
                 {"credits_microcredits", facts.credits}};
  if (!holds) {
    report.json["place"] = verified.place;
    report.json["discrepancy"] = verified.discrepancy.text();
    report.json["fork_proven"] = verified.fork.has_value();
    report.text = Line("DOES NOT HOLD", Shown(verified.place, 200) + ": " + Shown(verified.discrepancy.text(), 1000));
    if (verified.fork) {
      report.text += Line("fork", options.evidence.empty()
                                      ? "its own signatures prove it; --evidence FILE writes what convicts the log"
                                      : "its own signatures prove it; see " + options.evidence);
    }
    report.text += Line("before that", std::to_string(facts.orders) + " orders, " + std::to_string(facts.epochs) +
                                           " epochs, " + std::to_string(facts.receipts) + " receipts held");
    return report;
  }
  report.text = Line("holds", options.path);
  report.text += Line("entries", std::to_string(facts.head.size) + ", root " + security::HexOf(facts.head.root));
  report.text +=
      Line("cosigned by", names.empty() ? "none of the witnesses that were named, up to its last entry" : names);
  if (facts.epochs > 0) {
    report.text += Line("epochs", std::to_string(facts.epochs) + ", from " + std::to_string(facts.epoch_first) +
                                      " to " + std::to_string(facts.epoch_last) +
                                      ", each cleared again: " + std::to_string(facts.trades) + " trades");
    report.text += Line("credits", scheduler::CreditsText(facts.credits) + ", none made or lost");
    if (facts.trades_settled > 0) {
      report.text +=
          Line("settled", std::to_string(facts.trades_settled) +
                              " trades, each paid as it was cleared; what was cleared and is not settled could "
                              "not be carried out, or the market was stopped before it wrote that down, or the "
                              "ledger's disk was full, or the registry did not answer then");
    }
  } else {
    report.text += Line("epochs", "none");
  }
  if (facts.seals > facts.epochs) {
    report.text +=
        Line("unrecorded", std::to_string(facts.seals - facts.epochs) +
                               " epochs were sealed and have no outcome: the market was stopped in between, or "
                               "drew again until it liked the draw; many of them want an explanation");
  }
  report.text +=
      Line("signed", std::to_string(facts.orders) + " orders, " + std::to_string(facts.receipts) + " receipts");
  if (facts.stated > 0) {
    report.text += Line("begins with", "the reputations of " + std::to_string(facts.stated) +
                                           ", from receipts of before this ledger: the market's word");
  }
  if (is_own_key) {
    report.text += Line("note", "the key is the folder's own word; --log-key names one that you trust");
  }
  return report;
}

Status ReadChecks(const LedgerOptions& options, ledger::FolderCheck& check) {
  check.market = options.market.empty() ? security::HexOf(check.log.key.bytes) : options.market;
  for (const std::string& text : options.witnesses) {
    ACCELMESH_ASSIGN_OR_RETURN(const ledger::TypedKey key, ledger::ParseVerifierKey(text));
    if (key.type != ledger::SignatureType::kCosignature) {
      return Status(Code::kInvalidArgument, "slotctl ledger", "--witness is the key of a log; name a witness's");
    }
    check.witnesses.push_back(key.key);
  }
  check.witnesses_min = options.witnesses_min;
  for (const std::string& path : options.held) {
    ACCELMESH_ASSIGN_OR_RETURN(std::string note, ReadNote(path));
    check.held.push_back(std::move(note));
  }
  check.held.insert(check.held.end(), options.held_notes.begin(), options.held_notes.end());
  return {};
}

Result<LedgerVerdict> VerdictOf(const ledger::FolderReport& verified, const LedgerOptions& options, bool is_own_key) {
  if (verified.fork && !options.evidence.empty()) {
    const std::string text = ledger::EvidenceText(*verified.fork);
    ACCELMESH_RETURN_IF_ERROR(ledger::ReplaceFile(options.evidence, AsBytes(std::string_view(text))));
  }
  return LedgerVerdict{ReportOf(verified, options, is_own_key), verified.discrepancy.ok()};
}

Result<LedgerVerdict> VerifyLedger(const LedgerOptions& options) {
  ledger::FolderCheck check;
  ACCELMESH_ASSIGN_OR_RETURN(check.log, LogKeyOf(options, options.path));
  ACCELMESH_RETURN_IF_ERROR(ReadChecks(options, check));
  const std::vector<Watched> watched = WatchedIn(options.path, check);
  Progress progress;
  check.progress = [&](std::uint64_t done, std::uint64_t all) { progress(done, all); };
  Result<ledger::FolderReport> verified = ledger::VerifyFolder(options.path, check, ledger::MarketOrders());
  progress.End();
  if (!verified.ok()) return verified.status();
  ACCELMESH_ASSIGN_OR_RETURN(LedgerVerdict verdict, VerdictOf(*verified, options, options.log_key.empty()));
  AddWatched(watched, verified->facts.head.size, verdict.report);
  return verdict;
}

Result<LedgerVerdict> VerifyEvidence(const LedgerOptions& options) {
  if (options.log_key.empty()) {
    return Status(Code::kInvalidArgument, "slotctl ledger", "whose fork? name the log's key with --log-key");
  }
  ACCELMESH_ASSIGN_OR_RETURN(const ledger::NamedKey log, LogKeyOf(options, ""));
  ACCELMESH_ASSIGN_OR_RETURN(const Bytes bytes, ledger::ReadFileBytes(options.path, ledger::kEvidenceBytesMax));
  const Result<ledger::ForkEvidence> evidence = ledger::ParseEvidence(AsText(bytes));
  const Status status = evidence.ok() ? ledger::VerifyFork(*evidence, log) : evidence.status();
  LedgerVerdict verdict;
  verdict.holds = status.ok();
  verdict.report.json = {{"convicts", status.ok()}, {"log", log.name}};
  if (!status.ok()) verdict.report.json["why"] = status.text();
  verdict.report.text = status.ok() ? log.name + " has signed two histories: whoever sees this must not trust it\n"
                                    : "it convicts nobody: " + Shown(status.text(), 300) + "\n";
  return verdict;
}

}  // namespace accelmesh::slotctl
