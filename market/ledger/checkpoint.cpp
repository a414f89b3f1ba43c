#include "market/ledger/checkpoint.h"

#include <algorithm>
#include <charconv>

namespace accelmesh::market::ledger {
namespace {

constexpr std::size_t kTimeBytes = 8;
constexpr std::string_view kInclusionHead = "c2sp.org/tlog-proof@v1";

Status Bad(const char* where, const std::string& what) {
  return {Code::kBadFrame, where, what + "; get it from the log anew"};
}

// Takes a line without its end; nothing if there is no whole one.
std::optional<std::string_view> TakeLine(std::string_view& text) {
  const std::size_t end = text.find('\n');
  if (end == std::string_view::npos) return std::nullopt;
  const std::string_view line = text.substr(0, end);
  text.remove_prefix(end + 1);
  return line;
}

// Decimal, without signs and leading zeroes.
bool ReadNumber(std::string_view text, std::uint64_t& number) {
  if (text.empty() || (text.size() > 1 && text.front() == '0') || text.front() == '+') return false;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size();
}

bool ReadHash(std::string_view text, Hash& hash) {
  if (text.size() != 44) return false;
  const Result<Bytes> bytes = ParseBase64(text);
  if (!bytes.ok() || bytes->size() != sizeof(Hash)) return false;
  std::copy(bytes->begin(), bytes->end(), hash.begin());
  return true;
}

// Hashes up to an empty line.
Result<std::vector<Hash>> TakeHashes(std::string_view& text, const char* where) {
  std::vector<Hash> hashes;
  while (true) {
    const std::optional<std::string_view> line = TakeLine(text);
    if (!line) return Bad(where, "a proof that is cut off");
    if (line->empty()) return hashes;
    Hash hash;
    if (hashes.size() == kProofHashesMax || !ReadHash(*line, hash)) return Bad(where, "a line that is no hash");
    hashes.push_back(hash);
  }
}

std::string HashLines(std::span<const Hash> hashes) {
  std::string text;
  for (const Hash& hash : hashes) text += Base64(hash) + "\n";
  return text;
}

std::string CosignedText(const std::string& text, std::uint64_t time_s) {
  return "cosignature/v1\ntime " + std::to_string(time_s) + "\n" + text;
}

security::Signature SignatureOf(ByteView bytes) {
  security::Signature signature;
  std::copy(bytes.begin(), bytes.end(), signature.begin());
  return signature;
}

Status Forged(const std::string& name) {
  return {Code::kPermissionDenied, "VerifyCheckpoint",
          "a signature in the name of " + name + " is not of its key; do not believe this checkpoint"};
}

}  // namespace

std::string CheckpointText(const Checkpoint& checkpoint) {
  return checkpoint.origin + "\n" + std::to_string(checkpoint.head.size) + "\n" + Base64(checkpoint.head.root) + "\n";
}

Result<Checkpoint> ParseCheckpointText(std::string_view text) {
  Checkpoint checkpoint;
  const std::optional<std::string_view> origin = TakeLine(text);
  const std::optional<std::string_view> size = TakeLine(text);
  const std::optional<std::string_view> root = TakeLine(text);
  if (!origin || !size || !root || !text.empty())
    return Bad("ParseCheckpointText", "no checkpoint: it has three lines");
  if (!IsKeyName(*origin) || !ReadNumber(*size, checkpoint.head.size) || checkpoint.head.size > kTreeSizeMax ||
      !ReadHash(*root, checkpoint.head.root)) {
    return Bad("ParseCheckpointText", "no checkpoint: its origin, size or root is none");
  }
  checkpoint.origin = *origin;
  return checkpoint;
}

std::string SignCheckpoint(const Checkpoint& checkpoint, const security::SigningKey& log) {
  Note note;
  note.text = CheckpointText(checkpoint);
  const security::Signature signature = log.Sign(AsBytes(std::string_view(note.text)));
  note.signatures.push_back({checkpoint.origin, KeyIdOf({checkpoint.origin, log.public_key()}, SignatureType::kEd25519),
                             Bytes(signature.begin(), signature.end())});
  return NoteBytes(note);
}

Result<VerifiedCheckpoint> VerifyCheckpoint(std::string_view bytes, const NamedKey& log,
                                            std::span<const NamedKey> witnesses) {
  ACCELMESH_ASSIGN_OR_RETURN(Note note, ParseNote(bytes));
  VerifiedCheckpoint verified;
  ACCELMESH_ASSIGN_OR_RETURN(verified.checkpoint, ParseCheckpointText(note.text));
  verified.text = std::move(note.text);
  if (verified.checkpoint.origin != log.name) {
    return Status(Code::kPermissionDenied, "VerifyCheckpoint",
                  "a checkpoint of " + verified.checkpoint.origin + ", and not of " + log.name);
  }
  bool is_signed = false;
  for (const NoteSignature& signature : note.signatures) {
    if (signature.name == log.name && signature.key_id == KeyIdOf(log, SignatureType::kEd25519)) {
      if (signature.bytes.size() != security::kSignatureBytes ||
          !security::IsSignedBy(log.key, AsBytes(std::string_view(verified.text)), SignatureOf(signature.bytes))) {
        return Forged(log.name);
      }
      is_signed = true;
    }
    for (const NamedKey& witness : witnesses) {
      if (signature.name != witness.name || signature.key_id != KeyIdOf(witness, SignatureType::kCosignature)) continue;
      if (signature.bytes.size() != kTimeBytes + security::kSignatureBytes) return Forged(witness.name);
      std::uint64_t time_s = 0;
      for (std::size_t i = 0; i < kTimeBytes; ++i) time_s = time_s << 8 | signature.bytes[i];
      const std::string message = CosignedText(verified.text, time_s);
      if (time_s > INT64_MAX || !security::IsSignedBy(witness.key, AsBytes(std::string_view(message)),
                                                      SignatureOf(ByteView(signature.bytes).subspan(kTimeBytes)))) {
        return Forged(witness.name);
      }
      const bool is_again = std::any_of(verified.cosigners.begin(), verified.cosigners.end(),
                                        [&](const Cosigner& cosigner) { return cosigner.witness == witness; });
      if (!is_again) verified.cosigners.push_back({witness, static_cast<std::int64_t>(time_s)});
    }
  }
  if (!is_signed) {
    return Status(
        Code::kPermissionDenied, "VerifyCheckpoint",
        "not signed by the key that " + log.name + " is known to have; do not believe it, or name the right key");
  }
  return verified;
}

std::string CosignatureLine(const std::string& text, const std::string& name, const security::SigningKey& witness,
                            std::int64_t time_s) {
  const auto time = static_cast<std::uint64_t>(std::max<std::int64_t>(time_s, 0));
  const std::string message = CosignedText(text, time);
  const security::Signature signature = witness.Sign(AsBytes(std::string_view(message)));
  Bytes bytes;
  for (int shift = 56; shift >= 0; shift -= 8) bytes.push_back(static_cast<std::uint8_t>(time >> shift));
  bytes.insert(bytes.end(), signature.begin(), signature.end());
  return NoteLine({name, KeyIdOf({name, witness.public_key()}, SignatureType::kCosignature), std::move(bytes)});
}

Result<std::string> WithSignature(std::string_view note, std::string_view line) {
  ACCELMESH_ASSIGN_OR_RETURN(Note parsed, ParseNote(note));
  ACCELMESH_ASSIGN_OR_RETURN(NoteSignature signature, ParseNoteLine(line));
  const auto same = std::find_if(parsed.signatures.begin(), parsed.signatures.end(), [&](const NoteSignature& other) {
    return other.name == signature.name && other.key_id == signature.key_id;
  });
  if (same != parsed.signatures.end()) {
    *same = std::move(signature);
  } else if (parsed.signatures.size() == kNoteSignaturesMax) {
    return Status(Code::kLimitExceeded, "WithSignature", "a note has at most " + std::to_string(kNoteSignaturesMax));
  } else {
    parsed.signatures.push_back(std::move(signature));
  }
  return NoteBytes(parsed);
}

std::string ExtensionText(const Extension& extension) {
  return "old " + std::to_string(extension.old_size) + "\n" + HashLines(extension.proof) + "\n" + extension.note;
}

Result<Extension> ParseExtension(std::string_view text) {
  constexpr const char* kWhere = "ParseExtension";
  if (text.size() > kProofBytesMax) return Bad(kWhere, "larger than a proof");
  Extension extension;
  const std::optional<std::string_view> old = TakeLine(text);
  if (!old || !old->starts_with("old ") || !ReadNumber(old->substr(4), extension.old_size) ||
      extension.old_size > kTreeSizeMax) {
    return Bad(kWhere, "no proof of an extension: it begins with the old size");
  }
  ACCELMESH_ASSIGN_OR_RETURN(extension.proof, TakeHashes(text, kWhere));
  ACCELMESH_RETURN_IF_ERROR(ParseNote(text).status());
  extension.note = text;
  return extension;
}

std::string InclusionText(const Inclusion& inclusion) {
  return std::string(kInclusionHead) + "\nindex " + std::to_string(inclusion.index) + "\n" +
         HashLines(inclusion.proof) + "\n" + inclusion.note;
}

Result<Inclusion> ParseInclusion(std::string_view text) {
  constexpr const char* kWhere = "ParseInclusion";
  if (text.size() > kProofBytesMax) return Bad(kWhere, "larger than a proof");
  Inclusion inclusion;
  const std::optional<std::string_view> head = TakeLine(text);
  const std::optional<std::string_view> index = TakeLine(text);
  if (!head || *head != kInclusionHead || !index || !index->starts_with("index ") ||
      !ReadNumber(index->substr(6), inclusion.index) || inclusion.index > kTreeSizeMax) {
    return Bad(kWhere, "no proof of an entry");
  }
  ACCELMESH_ASSIGN_OR_RETURN(inclusion.proof, TakeHashes(text, kWhere));
  ACCELMESH_RETURN_IF_ERROR(ParseNote(text).status());
  inclusion.note = text;
  return inclusion;
}

}  // namespace accelmesh::market::ledger
