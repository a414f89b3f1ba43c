#include "market/ledger/witness.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <charconv>

#include "market/ledger/folder_store.h"

namespace accelmesh::market::ledger {
namespace {

constexpr std::string_view kEvidenceHead = "accelmesh-fork 1\nclaimed ";

Status BadEvidence() {
  return {Code::kBadFrame, "ParseEvidence", "no evidence of a fork, or cut off; get it from the witness anew"};
}

bool TakeNote(std::string_view& text, std::string_view name, std::string& note) {
  if (!text.starts_with(name)) return false;
  text.remove_prefix(name.size());
  const std::size_t end = text.find('\n');
  std::size_t size = 0;
  if (end == std::string_view::npos) return false;
  const auto [read, error] = std::from_chars(text.data(), text.data() + end, size);
  if (error != std::errc() || read != text.data() + end || std::to_string(size) != text.substr(0, end)) return false;
  text.remove_prefix(end + 1);
  if (size > text.size() || size > kNoteBytesMax) return false;
  note = text.substr(0, size);
  text.remove_prefix(size);
  return ParseNote(note).ok();
}

}  // namespace

std::string_view Name(Verdict verdict) {
  switch (verdict) {
    case Verdict::kExtends: return "extends";
    case Verdict::kBehind: return "behind";
    case Verdict::kFork: return "fork";
    case Verdict::kUnproven: return "unproven";
  }
  return "unknown";
}

std::string WitnessNameOf(const security::PublicKey& key) {
  return "witness-" + security::HexOf(ByteView(key.bytes).first(8));
}

std::string EvidenceText(const ForkEvidence& evidence) {
  std::string text = std::string(kEvidenceHead) + Base64(evidence.claimed) + "\n";
  for (const Hash& hash : evidence.proof) text += Base64(hash) + "\n";
  text += "\nolder " + std::to_string(evidence.older.size()) + "\n" + evidence.older;
  return text + "newer " + std::to_string(evidence.newer.size()) + "\n" + evidence.newer;
}

Result<ForkEvidence> ParseEvidence(std::string_view text) {
  if (text.size() > kEvidenceBytesMax || !text.starts_with(kEvidenceHead)) return BadEvidence();
  text.remove_prefix(kEvidenceHead.size());
  std::vector<Hash> hashes;
  while (true) {
    const std::size_t end = text.find('\n');
    if (end == std::string_view::npos) return BadEvidence();
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(end + 1);
    if (line.empty()) break;
    const Result<Bytes> bytes = ParseBase64(line);
    if (!bytes.ok() || bytes->size() != sizeof(Hash) || hashes.size() > kProofHashesMax) return BadEvidence();
    std::copy(bytes->begin(), bytes->end(), hashes.emplace_back().begin());
  }
  ForkEvidence evidence;
  if (hashes.empty() || !TakeNote(text, "older ", evidence.older) || !TakeNote(text, "newer ", evidence.newer) ||
      !text.empty()) {
    return BadEvidence();
  }
  evidence.claimed = hashes.front();
  evidence.proof.assign(hashes.begin() + 1, hashes.end());
  return evidence;
}

Status VerifyFork(const ForkEvidence& evidence, const NamedKey& log) {
  constexpr const char* kWhere = "VerifyFork";
  ACCELMESH_ASSIGN_OR_RETURN(const VerifiedCheckpoint older, VerifyCheckpoint(evidence.older, log, {}));
  ACCELMESH_ASSIGN_OR_RETURN(const VerifiedCheckpoint newer, VerifyCheckpoint(evidence.newer, log, {}));
  const TreeHead& first = older.checkpoint.head;
  const TreeHead& second = newer.checkpoint.head;
  const Status none(Code::kPermissionDenied, kWhere, "it shows no fork: both checkpoints may be of one history");
  if (first.size == second.size) return first.root != second.root ? Status::Ok() : none;
  if (evidence.claimed == first.root) return none;
  if (!VerifyConsistency({first.size, evidence.claimed}, second, evidence.proof).ok()) return none;
  return Status::Ok();
}

Result<ForkEvidence> FindFork(const std::string& held_note, const std::string& tree_note, const NodeSource& tree,
                              const NamedKey& log) {
  ACCELMESH_ASSIGN_OR_RETURN(const VerifiedCheckpoint held, VerifyCheckpoint(held_note, log, {}));
  ACCELMESH_ASSIGN_OR_RETURN(const VerifiedCheckpoint whole, VerifyCheckpoint(tree_note, log, {}));
  const TreeHead& seen = held.checkpoint.head;
  const TreeHead& head = whole.checkpoint.head;
  if (seen.size > head.size) {
    return Status(Code::kUnavailable, "FindFork",
                  "the tree has " + std::to_string(head.size) + " entries, and a checkpoint of " +
                      std::to_string(seen.size) + " was signed: entries are missing; get the newest copy of the log");
  }
  ForkEvidence evidence{held_note, tree_note, {}, {}};
  ACCELMESH_ASSIGN_OR_RETURN(evidence.claimed, RootAt(tree, seen.size));
  if (evidence.claimed == seen.root) return Status(Code::kNotFound, "FindFork", "the tree extends the checkpoint");
  ACCELMESH_ASSIGN_OR_RETURN(evidence.proof, ProveConsistency(tree, seen.size, head.size));
  ACCELMESH_RETURN_IF_ERROR(VerifyFork(evidence, log));
  return evidence;
}

Result<Judgement> Judge(const std::optional<std::string>& seen_note, const Extension& extension, const NamedKey& log) {
  ACCELMESH_ASSIGN_OR_RETURN(const VerifiedCheckpoint offered, VerifyCheckpoint(extension.note, log, {}));
  TreeHead seen{0, EmptyRoot()};
  if (seen_note) {
    ACCELMESH_ASSIGN_OR_RETURN(const VerifiedCheckpoint before, VerifyCheckpoint(*seen_note, log, {}));
    seen = before.checkpoint.head;
  }
  const TreeHead& head = offered.checkpoint.head;
  Judgement judgement{Verdict::kUnproven, seen.size, std::nullopt};
  if (head.size == seen.size && seen_note) {
    judgement.verdict = head.root == seen.root ? Verdict::kExtends : Verdict::kFork;
    if (judgement.verdict == Verdict::kFork)
      judgement.evidence = ForkEvidence{*seen_note, extension.note, head.root, {}};
    return judgement;
  }
  if (extension.old_size != seen.size || head.size < seen.size) {
    judgement.verdict = Verdict::kBehind;
    return judgement;
  }
  if (VerifyConsistency(seen, head, extension.proof).ok()) {
    judgement.verdict = Verdict::kExtends;
    return judgement;
  }
  if (!seen_note) return judgement;
  // The proof may show by itself what the log now says it was then.
  if (const Result<Hash> claimed = OlderRootShown(seen.size, head, extension.proof); claimed.ok()) {
    judgement.verdict = Verdict::kFork;
    judgement.evidence = ForkEvidence{*seen_note, extension.note, *claimed, extension.proof};
  }
  return judgement;
}

Result<Witness> Witness::Open(std::string folder, std::string name, security::SigningKey key,
                              std::vector<NamedKey> logs) {
  constexpr const char* kWhere = "Witness::Open";
  if (!IsKeyName(name)) {
    return Status(Code::kInvalidArgument, kWhere, "a witness's name has 1 to 128 visible characters and no '+'");
  }
  if (::mkdir(folder.c_str(), 0755) != 0 && errno != EEXIST) return Status::System(errno, kWhere, "making " + folder);
  Witness witness(std::move(folder), std::move(name), std::move(key), std::move(logs));
  for (const NamedKey& log : witness.logs_) {
    const std::string path = witness.FileOf(log.name);
    const Result<Bytes> bytes = ReadFileBytes(path, kNoteBytesMax);
    if (bytes.code() == Code::kNotFound) continue;
    if (!bytes.ok()) return bytes.status();
    // Its own signature below it shows that nobody else wrote it.
    const NamedKey own = witness.key();
    const Result<VerifiedCheckpoint> seen = VerifyCheckpoint(AsText(*bytes), log, {&own, 1});
    if (!seen.ok() || seen->cosigners.empty()) {
      return Status(
          Code::kBadFrame, kWhere,
          path +
              " is damaged; put a copy back, or take a new key and name: a witness that has forgotten what it "
              "signed must not sign on");
    }
    witness.seen_[log.name] = AsText(*bytes);
  }
  return witness;
}

Result<Witness::Answer> Witness::Add(const Extension& extension, std::int64_t time_s) {
  ACCELMESH_ASSIGN_OR_RETURN(const Note note, ParseNote(extension.note));
  ACCELMESH_ASSIGN_OR_RETURN(const Checkpoint checkpoint, ParseCheckpointText(note.text));
  const auto log =
      std::find_if(logs_.begin(), logs_.end(), [&](const NamedKey& known) { return known.name == checkpoint.origin; });
  if (log == logs_.end()) {
    return Status(Code::kNotFound, "Witness::Add", checkpoint.origin + " is no log that this witness watches");
  }
  Answer answer;
  ACCELMESH_ASSIGN_OR_RETURN(answer.judgement, Judge(SeenNote(log->name), extension, *log));
  if (answer.judgement.verdict != Verdict::kExtends) return answer;
  const std::string line = CosignatureLine(note.text, name_, key_, time_s);
  // Others' cosignatures need not be kept.
  const auto own = std::find_if(note.signatures.begin(), note.signatures.end(), [&](const NoteSignature& signature) {
    return signature.name == log->name && signature.key_id == KeyIdOf(*log, SignatureType::kEd25519);
  });
  const std::string kept = NoteBytes({note.text, {*own}}) + line;
  ACCELMESH_RETURN_IF_ERROR(ReplaceFile(FileOf(log->name), AsBytes(std::string_view(kept))));
  seen_[log->name] = kept;
  answer.line = line;
  return answer;
}

std::uint64_t Witness::SeenSize(const std::string& origin) const {
  const std::optional<std::string> note = SeenNote(origin);
  if (!note) return 0;
  const Result<Note> parsed = ParseNote(*note);
  const Result<Checkpoint> checkpoint = parsed.ok() ? ParseCheckpointText(parsed->text) : parsed.status();
  return checkpoint.ok() ? checkpoint->head.size : 0;
}

std::optional<std::string> Witness::SeenNote(const std::string& origin) const {
  const auto found = seen_.find(origin);
  return found == seen_.end() ? std::nullopt : std::optional(found->second);
}

std::string Witness::FileOf(const std::string& origin) const {
  return folder_ + "/" + security::HexOf(ByteView(Sha256(AsBytes(std::string_view(origin)))).first(16)) + ".note";
}

}  // namespace accelmesh::market::ledger
