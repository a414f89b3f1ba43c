// The journal of a folder store: what was committed since full tiles have everything before. One write and one sync
// make a commit durable, whatever number of tiles it touches.
//
//   journal := "AMledg1" LF u64 base, u64 salt, u32 crc of these, {record}
//   record  := "AMrc" u32 crc of the salt and what follows, u32 size of the body, body
//   body    := u64 first entry, u32 entries, u32 bytes of the bundle, bundle (tile.h), note
//   mark    := u64 entries, u32 crc: how many were acknowledged; written without a sync, so never ahead of the journal
//
// What is incomplete or wrong at the end was never acknowledged and is cut off, unless whole records follow. The salt
// is random, so that no entry can be made to look like a record. Pure; the bytes may be anything. Little-endian.
// Threads: functions.
#pragma once

#include <optional>

#include "market/ledger/store.h"

namespace accelmesh::market::ledger {

inline constexpr std::size_t kJournalHeadBytes = 28;

struct Journal {
  std::uint64_t base = 0;
  std::uint64_t salt = 0;
  std::vector<ByteView> entries;  // views into what was parsed
  std::string_view note;          // of the last record
  std::size_t size = 0;           // of what is whole
};

Bytes JournalHead(std::uint64_t base, std::uint64_t salt);
// Precondition: the limits of a batch (store.h).
void AppendRecord(Bytes& bytes, std::uint64_t salt, std::uint64_t first, std::span<const Bytes> entries,
                  std::string_view note);
Result<Journal> ParseJournal(ByteView bytes);

Bytes MarkBytes(std::uint64_t entries);
// Nothing if it was torn: then it says nothing.
std::optional<std::uint64_t> ParseMark(ByteView bytes);

}  // namespace accelmesh::market::ledger
