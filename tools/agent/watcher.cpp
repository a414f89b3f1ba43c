#include "tools/agent/watcher.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <filesystem>

#include "market/ledger/folder_store.h"
#include "tools/agent/calls.h"

namespace accelmesh::agent {
namespace {

namespace ledger = market::ledger;

// A start is not the time for it.
constexpr std::int64_t kFirstMs = 1500;

// One run at a time judges: a witness that two of them are would cosign what each has seen, and not what both have.
class FolderLock {
 public:
  explicit FolderLock(const std::string& folder)
      : file_(::open((folder + "/lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600)) {
    is_held_ = file_ >= 0 && ::flock(file_, LOCK_EX | LOCK_NB) == 0;
  }
  ~FolderLock() {
    if (file_ >= 0) ::close(file_);
  }
  FolderLock(const FolderLock&) = delete;
  FolderLock& operator=(const FolderLock&) = delete;
  bool is_held() const { return is_held_; }

 private:
  const int file_;
  bool is_held_ = false;
};

}  // namespace

Result<std::string> MarketPort::Checkpoint(std::uint64_t /*old_size*/, Deadline /*deadline*/) {
  return Status(Code::kUnsupported, "MarketPort", "this market has no ledger");
}
Status MarketPort::Cosign(std::uint64_t /*size*/, const std::string& /*line*/, Deadline /*deadline*/) {
  return {Code::kUnsupported, "MarketPort", "this market has no ledger"};
}

Watcher::Watcher(MarketPort& market, WorldPort& world, Negotiator::Sink sink, std::string folder,
                 const security::SigningKey& identity, const security::PublicKey& market_key)
    : market_(market),
      world_(world),
      sink_(std::move(sink)),
      folder_(folder.empty() ? "" : SeenFolder(folder, market_key, identity)),
      identity_(identity),
      log_{ledger::kMarketLog, market_key},
      next_ms_(world.NowMs() + kFirstMs),
      is_over_(folder.empty()) {}

std::string Watcher::UsersFolder() {
  if (const char* state = std::getenv("XDG_STATE_HOME"); state != nullptr && *state == '/')
    return std::string(state) + "/accelmesh/witness";
  if (const char* home = std::getenv("HOME"); home != nullptr && *home == '/')
    return std::string(home) + "/.local/state/accelmesh/witness";
  return {};
}

std::int64_t Watcher::Tick() {
  if (is_over_) return world_.NowMs() + kNever;
  if (world_.NowMs() >= next_ms_) {
    Look(kCallMs);
    next_ms_ = NextLookMs(world_);
  }
  return is_over_ ? world_.NowMs() + kNever : next_ms_;
}

void Watcher::End() {
  if (!is_over_) Look(kLastCallMs);
}

void Watcher::Trouble(const char* kind, const std::string& text) {
  if (!told_.insert(kind).second) return;
  sink_({"witness", text, {}, true});
}

void Watcher::Look(std::int64_t patience_ms) {
  std::error_code error;
  std::filesystem::create_directories(folder_, error);
  const FolderLock lock(folder_);
  if (!lock.is_held()) {
    // Another run watches just now; a folder that cannot be written is another matter.
    if (error || ::access(folder_.c_str(), W_OK) != 0) {
      is_over_ = true;
      Trouble("folder", "does not watch the market's ledger: " + folder_ +
                            " cannot be written; make room for it, or give " + "--no-witness");
    }
    return;
  }
  Result<security::SigningKey> key = security::SigningKey::FromSeed(identity_.seed());
  if (!key.ok()) return;
  Result<ledger::Witness> witness =
      ledger::Witness::Open(folder_, ledger::WitnessNameOf(identity_.public_key()), *std::move(key), {log_});
  if (!witness.ok()) {
    is_over_ = true;
    return Trouble("folder", "does not watch the market's ledger: " + witness.status().text());
  }
  const Result<std::string> text = market_.Checkpoint(witness->SeenSize(log_.name), In(patience_ms));
  if (text.code() == Code::kUnsupported) {
    is_over_ = true;
    sink_({"witness", "nothing to watch: " + text.status().text(), {}, false});
    return;
  }
  // A market that does not answer now will later.
  if (!text.ok()) return;
  const Result<ledger::Extension> extension = ledger::ParseExtension(*text);
  if (!extension.ok()) return Trouble("checkpoint", "the market's checkpoint is none: " + extension.status().text());
  Judge(*witness, *extension, patience_ms);
}

void Watcher::Judge(ledger::Witness& witness, const ledger::Extension& extension, std::int64_t patience_ms) {
  const std::uint64_t seen = witness.SeenSize(log_.name);
  const Result<ledger::VerifiedCheckpoint> offered = ledger::VerifyCheckpoint(extension.note, log_, {});
  if (!offered.ok()) return Trouble("checkpoint", "the market's checkpoint does not count: " + offered.status().text());
  const std::uint64_t size = offered->checkpoint.head.size;
  // Nothing has happened since, and nothing is lost by saying so once more at the first look.
  const bool is_known = seen == size && cosigned_ == size && size != 0;
  const Result<ledger::Judgement> judgement = ledger::Judge(witness.SeenNote(log_.name), extension, log_);
  if (!judgement.ok())
    return Trouble("checkpoint", "the market's checkpoint does not count: " + judgement.status().text());
  switch (judgement->verdict) {
    case ledger::Verdict::kFork: return TellFork(*judgement->evidence);
    case ledger::Verdict::kUnproven:
      if (const auto evidence = AskForEvidence(*witness.SeenNote(log_.name), seen, extension, patience_ms)) {
        return TellFork(*evidence);
      }
      return Trouble("unproven", "the market does not show that its ledger of " + std::to_string(size) +
                                     " entries extends the one of " + std::to_string(seen) +
                                     " that it showed before; not cosigned. Ask who runs it, and keep " + folder_);
    case ledger::Verdict::kBehind:
      if (size < seen) {
        Trouble("missing", "the market's ledger has " + std::to_string(size) + " entries, and it has signed one of " +
                               std::to_string(seen) +
                               ": entries are missing; not cosigned. Ask who runs it, and keep " + folder_);
      }
      return;
    case ledger::Verdict::kExtends: break;
  }
  if (is_known || size == 0) return;
  const Result<ledger::Witness::Answer> answer = witness.Add(extension, world_.NowMs() / 1000);
  if (!answer.ok()) return Trouble("folder", "the market's ledger is not cosigned: " + answer.status().text());
  if (answer->line.empty()) return;
  const Status cosigned = market_.Cosign(size, answer->line, In(patience_ms));
  if (!cosigned.ok()) {
    // It went on meanwhile, or does not answer: the next look brings the next one.
    sink_({"witness",
           "the checkpoint of " + std::to_string(size) + " entries was not taken: " + cosigned.text(),
           {},
           false});
    return;
  }
  cosigned_ = size;
  sink_({"witness",
         "the market's ledger of " + std::to_string(size) + " entries extends " +
             (seen == 0 ? "nothing that was seen before" : "the one of " + std::to_string(seen)) + "; cosigned",
         {{"entries", std::to_string(size)}, {"seen", std::to_string(seen)}},
         false});
}

// A proof that begins at a power of two leaves out the root that the newer tree had there; one from the next size on
// has it among its hashes.
std::optional<ledger::ForkEvidence> Watcher::AskForEvidence(const std::string& seen_note, std::uint64_t seen,
                                                            const ledger::Extension& newer, std::int64_t patience_ms) {
  const Result<std::string> text = market_.Checkpoint(seen + 1, In(patience_ms));
  if (!text.ok()) return std::nullopt;
  const Result<ledger::Extension> next = ledger::ParseExtension(*text);
  if (!next.ok()) return std::nullopt;
  for (const ledger::Hash& hash : next->proof) {
    ledger::ForkEvidence evidence{seen_note, newer.note, hash, newer.proof};
    if (VerifyFork(evidence, log_).ok()) return evidence;
  }
  return std::nullopt;
}

void Watcher::TellFork(const ledger::ForkEvidence& evidence) {
  const std::string path = folder_ + "/fork-evidence";
  is_fork_ = is_over_ = true;
  const std::string text = ledger::EvidenceText(evidence);
  const Status kept = ledger::ReplaceFile(path, AsBytes(std::string_view(text)));
  Trouble(
      "fork",
      "THE MARKET HAS SIGNED TWO HISTORIES of its ledger: what it shows now does not extend what it showed before. Its "
      "own signatures prove it to anybody: " +
          (kept.ok() ? "slotctl ledger convict " + path + " --log-key " +
                           ledger::VerifierKey(log_, ledger::SignatureType::kEd25519)
                     : "but the evidence could not be kept (" + kept.text() + ")"));
}

}  // namespace accelmesh::agent
