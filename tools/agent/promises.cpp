#include "tools/agent/promises.h"

#include <algorithm>
#include <filesystem>
#include <vector>

#include "market/ledger/folder_store.h"
#include "market/ledger/market_orders.h"
#include "market/ledger/promise_reader.h"
#include "market/ledger/witness.h"
#include "tools/agent/calls.h"

namespace accelmesh::agent {
namespace {

namespace ledger = market::ledger;

constexpr std::int64_t kFirstMs = 2500;
constexpr std::size_t kKeptMax = 1024;
constexpr std::size_t kLookedAtOnce = 32;
// Of what follows one order until an epoch has it.
constexpr std::size_t kReadBytesMax = std::size_t{32} << 20;
constexpr char kSuffix[] = ".promise";
constexpr char kRefused[] = ".refused";

// The oldest first.
std::vector<std::string> FilesIn(const std::string& folder) {
  std::vector<std::string> files;
  std::error_code error;
  for (std::filesystem::directory_iterator file(folder, error), end; !error && file != end; file.increment(error)) {
    if (file->path().extension() == kSuffix) files.push_back(file->path().string());
  }
  std::sort(files.begin(), files.end());
  return files;
}

// A market that went back behind an order gives its index to another one: that must not take the place of the promise
// that convicts it.
std::string FileOf(const ledger::Promise& promise) {
  std::string number = std::to_string(promise.inclusion.index);
  number.insert(0, 20 - std::min<std::size_t>(20, number.size()), '0');
  const ledger::Hash leaf = ledger::LeafHash(promise.entry);
  return number + "-" + security::HexOf(ByteView(leaf).first(8)) + kSuffix;
}

}  // namespace

std::vector<std::string> MarketPort::TakePromises() { return {}; }
Result<LedgerPiece> MarketPort::ReadLedger(std::uint64_t /*first*/, Deadline /*deadline*/) {
  return Status(Code::kUnsupported, "MarketPort", "this market has no ledger");
}

Promises::Promises(MarketPort& market, WorldPort& world, Negotiator::Sink sink, std::string folder,
                   const security::SigningKey& identity, const security::PublicKey& market_key)
    : market_(market),
      world_(world),
      sink_(std::move(sink)),
      folder_(folder.empty() ? "" : SeenFolder(folder, market_key, identity) + "/promises"),
      identity_(identity.public_key()),
      log_{ledger::kMarketLog, market_key},
      next_ms_(world.NowMs() + kFirstMs) {}

void Promises::Trouble(const char* kind, const std::string& text) {
  if (!told_.insert(kind).second) return;
  sink_({"promise", text, {}, true});
}

void Promises::Collect() {
  const std::vector<std::string> promises = market_.TakePromises();
  if (folder_.empty()) return;
  for (const std::string& text : promises) Keep(text);
  const std::uint64_t answered = market_.orders_answered();
  // One that it took before it was cut off from us may be promised once more.
  if (answered > answered_ && promises.empty() && told_.insert("nothing").second) {
    sink_({"promise",
           "the market has promised nothing of an order that it answered: it keeps no ledger, or cannot write it, or "
           "will not; such an order may be dropped unproven",
           {},
           false});
  }
  answered_ = answered;
}

void Promises::Keep(const std::string& text) {
  const Result<ledger::Promise> promise = ledger::ParsePromise(text);
  const Result<ledger::SignedOrder> order =
      promise.ok() ? VerifyPromise(*promise, log_) : Result<ledger::SignedOrder>(promise.status());
  if (!order.ok()) {
    return Trouble("none", "the market's promise is none: " + order.status().text() +
                               "; orders of this run may be dropped unproven. Ask who runs it");
  }
  const Result<ledger::OrderTerms> terms = ledger::MarketOrders().Read(*order);
  if (!terms.ok() || terms->owner != identity_) {
    return Trouble("other", "the market's promise is of an order that is not ours; ask who runs it");
  }
  std::error_code error;
  std::filesystem::create_directories(folder_, error);
  if (FilesIn(folder_).size() >= kKeptMax) {
    return Trouble("many", std::to_string(kKeptMax) + " promises of the market in " + folder_ +
                               " are not kept yet; new ones are not looked at. See slotctl ledger verify --promise");
  }
  const std::string path = folder_ + "/" + FileOf(*promise);
  // The first promise of an order is the older history: it shows whether the market has gone back behind it.
  const Status kept =
      std::filesystem::exists(path, error) ? Status::Ok() : ledger::ReplaceFile(path, AsBytes(std::string_view(text)));
  if (!kept.ok()) {
    return Trouble("folder",
                   "the market's promises cannot be kept (" + kept.text() + "); make room there, or give --no-witness");
  }
  const std::string entry = std::to_string(promise->inclusion.index);
  sink_({"promise",
         "the market has taken the order: it is entry " + entry + " of its ledger",
         {{"entry", entry}},
         false});
}

std::int64_t Promises::Tick() {
  if (folder_.empty()) return world_.NowMs() + kNever;
  Collect();
  if (world_.NowMs() >= next_ms_) {
    Look(In(kCallMs));
    next_ms_ = NextLookMs(world_);
  }
  return next_ms_;
}

void Promises::End() {
  if (folder_.empty()) return;
  Collect();
  Look(In(kLastCallMs));
}

void Promises::Look(Deadline deadline) {
  std::vector<std::string> files = FilesIn(folder_);
  std::rotate(files.begin(), std::upper_bound(files.begin(), files.end(), looked_at_), files.end());
  if (files.size() > kLookedAtOnce) files.resize(kLookedAtOnce);
  for (const std::string& path : files) {
    if (deadline.passed()) return;
    looked_at_ = path;
    const Result<Bytes> bytes = ledger::ReadFileBytes(path, ledger::kPromiseBytesMax);
    const Result<ledger::Promise> promise =
        bytes.ok() ? ledger::ParsePromise(AsText(*bytes)) : Result<ledger::Promise>(bytes.status());
    // Another run may have seen to it meanwhile.
    if (!promise.ok() || !VerifyPromise(*promise, log_).ok()) {
      if (bytes.ok()) Trouble("file", path + " is no promise of this market; take it away");
      continue;
    }
    if (!Check(path, *promise, deadline)) return;
  }
}

bool Promises::Check(const std::string& path, const ledger::Promise& promise, Deadline deadline) {
  const ledger::MarketOrders orders;
  ledger::PromiseReader reader(promise, orders);
  const auto read = [&](std::uint64_t first) -> Result<std::vector<Bytes>> {
    if (deadline.passed()) return Status(Code::kDeadlineExceeded, "Promises", "it shows its ledger too slowly");
    ACCELMESH_ASSIGN_OR_RETURN(LedgerPiece piece, market_.ReadLedger(first, deadline));
    return std::move(piece.entries);
  };
  if (!reader.ReadOn(read, kReadBytesMax).ok()) return false;
  const Result<ledger::PromiseVerdict> verdict = reader.verdict();
  if (!verdict.ok()) return Refuse(path, promise, verdict.status(), deadline);
  if (verdict->standing == ledger::Standing::kOpen) return true;
  return CheckSigned(path, reader.Evidence(), *verdict, deadline);
}

// Another entry stands where the order was, or nonsense behind it. As long as the market does not answer for it, it is
// asked again: the promise may convict it yet.
bool Promises::Refuse(const std::string& path, const ledger::Promise& promise, const Status& why, Deadline deadline) {
  const std::string what = "the market's ledger does not have what it promised: " + why.text();
  if (!TellFork(promise, deadline)) {
    Trouble("shown", what + "; it does not say which ledger it has signed, and is asked again");
    return false;
  }
  const std::string refused = path.substr(0, path.size() - std::string_view(kSuffix).size()) + kRefused;
  std::error_code error;
  std::filesystem::rename(path, refused, error);
  // Another run may have done so.
  Trouble("ledger", what + "; verify it: slotctl ledger verify --promise " +
                        (std::filesystem::exists(refused, error) ? refused : path));
  return true;
}

// What was read counts only if the market has signed it.
bool Promises::CheckSigned(const std::string& path, ledger::BrokenPromise read, const ledger::PromiseVerdict& verdict,
                           Deadline deadline) {
  const std::uint64_t entry = read.promise.inclusion.index;
  const Result<std::string> text = market_.Checkpoint(entry + read.entries.size(), deadline);
  if (!text.ok()) return false;
  const Result<ledger::Extension> extension = ledger::ParseExtension(*text);
  if (!extension.ok()) {
    Trouble("checkpoint", "the market's checkpoint is none: " + extension.status().text());
    return true;
  }
  read.extension = *extension;
  const Status is_signed = CheckEntries(read.promise, read.entries, read.extension, log_);
  if (!is_signed.ok()) {
    TellFork(read.promise, deadline);
    Trouble("unsigned", "the market shows entries of its ledger that it has not signed: " + is_signed.text() +
                            "; verify it: slotctl ledger verify --promise " + path);
    return true;
  }
  if (verdict.standing == ledger::Standing::kBroken) {
    TellBroken(path, read, verdict);
    return true;
  }
  std::error_code error;
  std::filesystem::remove(path, error);
  sink_({"promise",
         "the market has kept its promise of entry " + std::to_string(entry) + ": " + verdict.text,
         {{"entry", std::to_string(entry)}, {"epoch", std::to_string(verdict.epoch)}},
         false});
  return true;
}

void Promises::TellBroken(const std::string& path, const ledger::BrokenPromise& evidence,
                          const ledger::PromiseVerdict& verdict) {
  ++broken_;
  const std::string file = folder_ + "/broken-" + std::to_string(evidence.promise.inclusion.index);
  const std::string text = BrokenPromiseText(evidence);
  const Status kept = ledger::ReplaceFile(file, AsBytes(std::string_view(text)));
  std::error_code error;
  if (kept.ok()) std::filesystem::remove(path, error);
  Trouble(file.c_str(), "THE MARKET HAS BROKEN ITS PROMISE to have an order in its next epoch: " + verdict.text +
                            ". Its own signatures prove it to anybody: " +
                            (kept.ok() ? "slotctl ledger verify --promise " + file + " --log-key " +
                                             ledger::VerifierKey(log_, ledger::SignatureType::kEd25519)
                                       : "but the evidence could not be kept (" + kept.text() + ")"));
}

bool Promises::TellFork(const ledger::Promise& promise, Deadline deadline) {
  const Result<ledger::VerifiedCheckpoint> promised = VerifyCheckpoint(promise.inclusion.note, log_, {});
  if (!promised.ok()) return true;
  // From a power of two on a proof leaves the older root out; from the next size on it has it.
  const std::uint64_t size = promised->checkpoint.head.size;
  for (const std::uint64_t from : {size, size + 1}) {
    const Result<std::string> text = market_.Checkpoint(from, deadline);
    if (!text.ok()) return false;
    const Result<ledger::Extension> extension = ledger::ParseExtension(*text);
    if (!extension.ok()) return true;
    std::vector<ledger::ForkEvidence> tries;
    if (from == size) {
      const Result<ledger::Judgement> judgement = ledger::Judge(promise.inclusion.note, *extension, log_);
      if (!judgement.ok() || judgement->verdict == ledger::Verdict::kExtends) return true;
      if (judgement->evidence) tries.push_back(*judgement->evidence);
    }
    for (const ledger::Hash& hash : extension->proof) {
      tries.push_back({promise.inclusion.note, extension->note, hash, extension->proof});
    }
    for (const ledger::ForkEvidence& evidence : tries) {
      if (!VerifyFork(evidence, log_).ok()) continue;
      const std::string path = folder_ + "/fork-evidence";
      const std::string written = EvidenceText(evidence);
      const Status kept = ledger::ReplaceFile(path, AsBytes(std::string_view(written)));
      Trouble("fork",
              "THE MARKET HAS SIGNED TWO HISTORIES of its ledger: the one in which it took an order is not what it "
              "shows now. Its own signatures prove it to anybody: " +
                  (kept.ok() ? "slotctl ledger convict " + path + " --log-key " +
                                   ledger::VerifierKey(log_, ledger::SignatureType::kEd25519)
                             : "but the evidence could not be kept (" + kept.text() + ")"));
      return true;
    }
  }
  return true;
}

}  // namespace accelmesh::agent
