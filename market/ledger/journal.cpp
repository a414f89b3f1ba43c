#include "market/ledger/journal.h"

#include <zlib.h>

#include "market/ledger/note.h"

namespace accelmesh::market::ledger {
namespace {

constexpr char kWhere[] = "ParseJournal";
constexpr std::string_view kMagic = "AMledg1\n";
constexpr std::string_view kSync = "AMrc";
constexpr std::size_t kRecordHeadBytes = 12;
constexpr std::size_t kBodyHeadBytes = 16;
constexpr std::size_t kBodyBytesMax = kBodyHeadBytes + kBatchBytesMax + 2 * kBatchEntriesMax + kNoteBytesMax;
// Behind damage, so many places that look like a record are looked at before it is called damage without more ado.
constexpr int kLooksMax = 64;

template <typename T>
void Append(Bytes& bytes, const T& value) {
  const ByteView view = AsBytes(value);
  bytes.insert(bytes.end(), view.begin(), view.end());
}

std::uint32_t Checksum(ByteView bytes, std::uint64_t salt = 0) {
  const uLong salted = ::crc32(0, AsBytes(salt).data(), sizeof(salt));
  return static_cast<std::uint32_t>(::crc32(salted, bytes.data(), static_cast<uInt>(bytes.size())));
}

Status Damaged(std::size_t at, const std::string& what) {
  return {Code::kBadFrame, kWhere, "the record at byte " + std::to_string(at) + " " + what};
}

// The body of the record at `at`; nothing if none is whole there.
std::optional<ByteView> BodyAt(ByteView bytes, std::uint64_t salt, std::size_t at) {
  ByteReader reader(bytes.subspan(at), kWhere);
  if (reader.left() < kRecordHeadBytes || AsText(*reader.Take(kSync.size())) != kSync) return std::nullopt;
  const std::uint32_t checksum = *reader.Read<std::uint32_t>();
  const ByteView checked = reader.rest();
  const std::uint32_t size = *reader.Read<std::uint32_t>();
  if (size < kBodyHeadBytes || size > kBodyBytesMax || size > reader.left()) return std::nullopt;
  if (Checksum(checked.first(sizeof(size) + size), salt) != checksum) return std::nullopt;
  return reader.rest().first(size);
}

// Whether a whole record lies somewhere behind `at`: then what is wrong there is no torn end.
bool IsFollowed(ByteView bytes, std::uint64_t salt, std::size_t at) {
  const std::string_view text = AsText(bytes);
  int looks = 0;
  for (std::size_t next = text.find(kSync, at + 1); next != std::string_view::npos; next = text.find(kSync, next + 1)) {
    if (++looks > kLooksMax || BodyAt(bytes, salt, next)) return true;
  }
  return false;
}

}  // namespace

Bytes JournalHead(std::uint64_t base, std::uint64_t salt) {
  Bytes bytes(kMagic.begin(), kMagic.end());
  Append(bytes, base);
  Append(bytes, salt);
  Append(bytes, Checksum(bytes));
  return bytes;
}

void AppendRecord(Bytes& bytes, std::uint64_t salt, std::uint64_t first, std::span<const Bytes> entries,
                  std::string_view note) {
  Bytes bundle;
  for (const Bytes& entry : entries) AppendToBundle(bundle, entry);
  Bytes body;
  body.reserve(sizeof(std::uint32_t) + kBodyHeadBytes + bundle.size() + note.size());
  Append(body, static_cast<std::uint32_t>(kBodyHeadBytes + bundle.size() + note.size()));
  Append(body, first);
  Append(body, static_cast<std::uint32_t>(entries.size()));
  Append(body, static_cast<std::uint32_t>(bundle.size()));
  body.insert(body.end(), bundle.begin(), bundle.end());
  body.insert(body.end(), note.begin(), note.end());
  bytes.insert(bytes.end(), kSync.begin(), kSync.end());
  Append(bytes, Checksum(body, salt));
  bytes.insert(bytes.end(), body.begin(), body.end());
}

Result<Journal> ParseJournal(ByteView bytes) {
  Journal journal;
  if (bytes.size() < kJournalHeadBytes || AsText(bytes.first(kMagic.size())) != kMagic) {
    return Status(Code::kBadFrame, kWhere, "it does not begin as a journal does");
  }
  ByteReader head(bytes.subspan(kMagic.size()), kWhere);
  journal.base = *head.Read<std::uint64_t>();
  journal.salt = *head.Read<std::uint64_t>();
  if (*head.Read<std::uint32_t>() != Checksum(bytes.first(kJournalHeadBytes - sizeof(std::uint32_t))) ||
      journal.base % kTileWidth != 0 || journal.base > kTreeSizeMax) {
    return Status(Code::kBadFrame, kWhere, "its head does not verify");
  }
  std::size_t at = kJournalHeadBytes;
  while (at < bytes.size()) {
    const std::optional<ByteView> body = BodyAt(bytes, journal.salt, at);
    if (!body) {
      if (IsFollowed(bytes, journal.salt, at)) return Damaged(at, "does not verify, and others follow");
      break;
    }
    ByteReader reader(*body, kWhere);
    const std::uint64_t first = *reader.Read<std::uint64_t>();
    const std::uint32_t count = *reader.Read<std::uint32_t>();
    const std::uint32_t bundle_bytes = *reader.Read<std::uint32_t>();
    if (first != journal.base + journal.entries.size() || count > kBatchEntriesMax || bundle_bytes > reader.left() ||
        reader.left() - bundle_bytes > kNoteBytesMax) {
      return Damaged(at, "does not follow the one before");
    }
    const Result<std::vector<ByteView>> entries = ParseBundle(*reader.Take(bundle_bytes), count);
    if (!entries.ok()) return Damaged(at, "has entries that are none");
    journal.entries.insert(journal.entries.end(), entries->begin(), entries->end());
    journal.note = AsText(reader.rest());
    at += kRecordHeadBytes + body->size();
  }
  journal.size = at;
  return journal;
}

Bytes MarkBytes(std::uint64_t entries) {
  Bytes bytes;
  Append(bytes, entries);
  Append(bytes, Checksum(bytes));
  return bytes;
}

std::optional<std::uint64_t> ParseMark(ByteView bytes) {
  ByteReader reader(bytes, "ParseMark");
  const Result<std::uint64_t> entries = reader.Read<std::uint64_t>();
  const Result<std::uint32_t> checksum = reader.Read<std::uint32_t>();
  if (!entries.ok() || !checksum.ok() || reader.left() != 0) return std::nullopt;
  if (Checksum(bytes.first(sizeof(std::uint64_t))) != *checksum) return std::nullopt;
  return *entries;
}

}  // namespace accelmesh::market::ledger
