// Signed notes (C2SP signed-note): a text and lines of signatures below it.
//
//   note := text LF {"\u2014 " name " " base64(key-id signature) LF}      text ends in LF
//   key-id := first 4 bytes of SHA-256(name LF type public-key)          big-endian
//
// Ours are a subset: texts and names are printable ASCII. Pure; the bytes may be anything, and nothing of a note counts
// before a signature of a known key has been verified. Threads: values.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/base/bytes.h"
#include "protocol/base/result.h"
#include "protocol/security/keys.h"

namespace accelmesh::market::ledger {

inline constexpr std::size_t kNoteBytesMax = 16384;
inline constexpr std::size_t kNoteSignaturesMax = 32;
inline constexpr std::size_t kKeyNameBytesMax = 128;

enum class SignatureType : std::uint8_t { kEd25519 = 1, kCosignature = 4 };

// Whose signatures are known: names are unique together with their keys.
struct NamedKey {
  std::string name;
  security::PublicKey key;
  bool operator==(const NamedKey&) const = default;
};
// Visible characters but '+'.
bool IsKeyName(std::string_view name);
std::uint32_t KeyIdOf(const NamedKey& key, SignatureType type);

// "name+hex(key-id)+base64(type key)": how keys of logs and witnesses are written (signed-note's verifier keys).
std::string VerifierKey(const NamedKey& key, SignatureType type);
struct TypedKey {
  NamedKey key;
  SignatureType type = SignatureType::kEd25519;
};
Result<TypedKey> ParseVerifierKey(std::string_view text);

struct NoteSignature {
  std::string name;
  std::uint32_t key_id = 0;
  Bytes bytes;
  bool operator==(const NoteSignature&) const = default;
};
struct Note {
  std::string text;
  std::vector<NoteSignature> signatures;
};
std::string NoteLine(const NoteSignature& signature);
std::string NoteBytes(const Note& note);
Result<NoteSignature> ParseNoteLine(std::string_view line);
Result<Note> ParseNote(std::string_view bytes);

std::string Base64(ByteView bytes);
// Only what Base64() writes. kBadFrame otherwise.
Result<Bytes> ParseBase64(std::string_view text);

}  // namespace accelmesh::market::ledger
