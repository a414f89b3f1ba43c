#include "market/ledger/note.h"

#include <sodium.h>

#include <algorithm>

#include "market/ledger/merkle.h"

namespace accelmesh::market::ledger {
namespace {

constexpr std::string_view kDash = "\xe2\x80\x94 ";
constexpr std::size_t kSignatureBytesMax = 256;

Status Bad(const char* where, const std::string& what) {
  return {Code::kBadFrame, where, what + "; get the note from the log anew"};
}

void AppendBigEndian(Bytes& bytes, std::uint32_t number) {
  for (int shift = 24; shift >= 0; shift -= 8) bytes.push_back(static_cast<std::uint8_t>(number >> shift));
}
std::uint32_t BigEndian(ByteView bytes) {
  return std::uint32_t{bytes[0]} << 24 | std::uint32_t{bytes[1]} << 16 | std::uint32_t{bytes[2]} << 8 | bytes[3];
}

}  // namespace

bool IsKeyName(std::string_view name) {
  return !name.empty() && name.size() <= kKeyNameBytesMax &&
         std::all_of(name.begin(), name.end(), [](char c) { return c > ' ' && c <= '~' && c != '+'; });
}

std::uint32_t KeyIdOf(const NamedKey& key, SignatureType type) {
  Bytes bytes(key.name.begin(), key.name.end());
  bytes.push_back('\n');
  bytes.push_back(static_cast<std::uint8_t>(type));
  bytes.insert(bytes.end(), key.key.bytes.begin(), key.key.bytes.end());
  return BigEndian(ByteView(Sha256(bytes)).first(4));
}

std::string VerifierKey(const NamedKey& key, SignatureType type) {
  Bytes id;
  AppendBigEndian(id, KeyIdOf(key, type));
  Bytes typed{static_cast<std::uint8_t>(type)};
  typed.insert(typed.end(), key.key.bytes.begin(), key.key.bytes.end());
  return key.name + "+" + security::HexOf(id) + "+" + Base64(typed);
}

Result<TypedKey> ParseVerifierKey(std::string_view text) {
  const Status bad(Code::kInvalidArgument, "ParseVerifierKey",
                   "no verifier key: it is NAME+8 hexadecimal digits+base64 of an Ed25519 key, as the log prints it");
  const std::size_t first = text.find('+');
  const std::size_t second = first == std::string_view::npos ? first : text.find('+', first + 1);
  if (second == std::string_view::npos || text.size() > 2 * kKeyNameBytesMax) return bad;
  const Result<Bytes> typed = ParseBase64(text.substr(second + 1));
  if (!typed.ok() || typed->size() != 1 + security::kKeyBytes) return bad;
  TypedKey key;
  key.key.name = text.substr(0, first);
  key.type = static_cast<SignatureType>(typed->front());
  std::copy(typed->begin() + 1, typed->end(), key.key.key.bytes.begin());
  const bool is_known = key.type == SignatureType::kEd25519 || key.type == SignatureType::kCosignature;
  if (!IsKeyName(key.key.name) || !is_known || VerifierKey(key.key, key.type) != text) return bad;
  return key;
}

std::string NoteLine(const NoteSignature& signature) {
  Bytes bytes;
  AppendBigEndian(bytes, signature.key_id);
  bytes.insert(bytes.end(), signature.bytes.begin(), signature.bytes.end());
  return std::string(kDash) + signature.name + " " + Base64(bytes) + "\n";
}

std::string NoteBytes(const Note& note) {
  std::string bytes = note.text + "\n";
  for (const NoteSignature& signature : note.signatures) bytes += NoteLine(signature);
  return bytes;
}

Result<NoteSignature> ParseNoteLine(std::string_view line) {
  constexpr const char* kWhere = "ParseNoteLine";
  if (!line.starts_with(kDash) || !line.ends_with('\n')) return Bad(kWhere, "a line that is no signature");
  line.remove_prefix(kDash.size());
  line.remove_suffix(1);
  const std::size_t space = line.find(' ');
  if (space == std::string_view::npos) return Bad(kWhere, "a signature without a name");
  const Result<Bytes> bytes = ParseBase64(line.substr(space + 1));
  if (!bytes.ok() || bytes->size() <= 4 || bytes->size() > 4 + kSignatureBytesMax ||
      !IsKeyName(line.substr(0, space))) {
    return Bad(kWhere, "a signature that is not written as one");
  }
  return NoteSignature{std::string(line.substr(0, space)), BigEndian(*bytes), Bytes(bytes->begin() + 4, bytes->end())};
}

Result<Note> ParseNote(std::string_view bytes) {
  constexpr const char* kWhere = "ParseNote";
  if (bytes.size() > kNoteBytesMax) return Bad(kWhere, "larger than a note");
  // The last empty line parts text and signatures.
  const std::size_t blank = bytes.rfind("\n\n");
  if (blank == std::string_view::npos || !bytes.ends_with('\n')) return Bad(kWhere, "no note: it is cut off");
  Note note;
  note.text = bytes.substr(0, blank + 1);
  if (!std::all_of(note.text.begin(), note.text.end(), [](char c) { return c == '\n' || (c >= ' ' && c <= '~'); })) {
    return Bad(kWhere, "a text with characters that are not printed");
  }
  for (std::string_view rest = bytes.substr(blank + 2); !rest.empty();) {
    const std::size_t end = rest.find('\n') + 1;
    if (note.signatures.size() == kNoteSignaturesMax) return Bad(kWhere, "more signatures than a note has");
    ACCELMESH_ASSIGN_OR_RETURN(NoteSignature signature, ParseNoteLine(rest.substr(0, end)));
    note.signatures.push_back(std::move(signature));
    rest.remove_prefix(end);
  }
  if (note.signatures.empty()) return Bad(kWhere, "a note that nobody has signed");
  return note;
}

std::string Base64(ByteView bytes) {
  std::string text(sodium_base64_ENCODED_LEN(bytes.size(), sodium_base64_VARIANT_ORIGINAL), '\0');
  ::sodium_bin2base64(text.data(), text.size(), bytes.data(), bytes.size(), sodium_base64_VARIANT_ORIGINAL);
  text.pop_back();  // its terminating zero
  return text;
}

Result<Bytes> ParseBase64(std::string_view text) {
  const Status bad(Code::kBadFrame, "ParseBase64", "is no base64");
  if (text.empty()) return Bytes();  // of nothing, libsodium takes no address
  if (text.size() % 4 != 0) return bad;
  Bytes bytes(text.size() / 4 * 3);
  std::size_t size = 0;
  if (::sodium_base642bin(bytes.data(), bytes.size(), text.data(), text.size(), nullptr, &size, nullptr,
                          sodium_base64_VARIANT_ORIGINAL) != 0) {
    return bad;
  }
  bytes.resize(size);
  if (Base64(bytes) != text) return bad;
  return bytes;
}

}  // namespace accelmesh::market::ledger
