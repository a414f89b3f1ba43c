// Checkpoints: a log's signed word of how many entries it has and what they are, and witnesses' cosignatures below it.
//
//   text       := origin LF size LF base64(root) LF                         C2SP tlog-checkpoint, without extensions
//   signature  := Ed25519 over the text, named as the origin                C2SP signed-note, type 1
//   cosignature:= time(8 bytes, big-endian) Ed25519 over                    C2SP tlog-cosignature, type 4
//                 "cosignature/v1" LF "time " time LF text                  time: Unix time in seconds
//   extension  := "old " size LF {base64(hash) LF} LF note                  C2SP tlog-witness, add-checkpoint
//   inclusion  := "c2sp.org/tlog-proof@v1" LF "index " index LF {base64(hash) LF} LF note     C2SP tlog-proof
//
// A cosignature says that as of its time this was the largest tree the witness had seen of the log, and that it extends
// all that it saw before.
// Pure; the bytes may be anything. Threads: values.
#pragma once

#include <optional>

#include "market/ledger/merkle.h"
#include "market/ledger/note.h"

namespace accelmesh::market::ledger {

inline constexpr std::size_t kProofBytesMax = kNoteBytesMax + 64 + 46 * kProofHashesMax;

struct Checkpoint {
  std::string origin;
  TreeHead head;
  bool operator==(const Checkpoint&) const = default;
};
std::string CheckpointText(const Checkpoint& checkpoint);
Result<Checkpoint> ParseCheckpointText(std::string_view text);

// The note. Precondition: the origin is a key's name (IsKeyName).
std::string SignCheckpoint(const Checkpoint& checkpoint, const security::SigningKey& log);

struct Cosigner {
  NamedKey witness;
  std::int64_t time_s = 0;
};
struct VerifiedCheckpoint {
  Checkpoint checkpoint;
  std::string text;                 // what was signed
  std::vector<Cosigner> cosigners;  // of those asked for, each once
};
// kBadFrame if it is no checkpoint, kPermissionDenied if `log` has not signed it, or a signature in its name or in that
// of a known witness is wrong. Signatures of others count for nothing.
Result<VerifiedCheckpoint> VerifyCheckpoint(std::string_view note, const NamedKey& log,
                                            std::span<const NamedKey> witnesses);
// A line to be appended to the note of this text.
std::string CosignatureLine(const std::string& text, const std::string& name, const security::SigningKey& witness,
                            std::int64_t time_s);
// The note with one more line, or with that line in the place of an older one of the same key.
Result<std::string> WithSignature(std::string_view note, std::string_view line);

// Of a newer checkpoint, from `old_size` on.
struct Extension {
  std::uint64_t old_size = 0;
  std::vector<Hash> proof;
  std::string note;
};
std::string ExtensionText(const Extension& extension);
Result<Extension> ParseExtension(std::string_view text);

// That an entry is in the tree of a checkpoint; whoever has the keys verifies it offline.
struct Inclusion {
  std::uint64_t index = 0;
  std::vector<Hash> proof;
  std::string note;
};
std::string InclusionText(const Inclusion& inclusion);
Result<Inclusion> ParseInclusion(std::string_view text);

}  // namespace accelmesh::market::ledger
