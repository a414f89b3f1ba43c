// Tiles and entry bundles: how a log lies in files that never change (C2SP tlog-tiles).
//
//   tile/L/N          256 hashes; at level 0 of entries, at level L + 1 of the full tiles of level L
//   tile/entries/N    256 entries, each behind its length (16 bits, big-endian)
//   .../N.p/W         the first W of them, where a tree ends
//   N := {"x" 3 digits "/"} 3 digits
//
// Pure; the bytes may be anything. Threads: functions.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "market/ledger/merkle.h"

namespace accelmesh::market::ledger {

inline constexpr unsigned kTileHeight = 8;
inline constexpr std::uint64_t kTileWidth = 256;
inline constexpr unsigned kTileLevels = 8;  // the last one has a hash in a tree of 256^7 entries, the largest
inline constexpr std::size_t kEntryBytesMax = 65535;
inline constexpr std::size_t kBundleBytesMax = kTileWidth * (2 + kEntryBytesMax);

struct TileName {
  bool is_entries = false;
  unsigned level = 0;  // of hashes
  std::uint64_t index = 0;
  unsigned width = kTileWidth;
  bool operator==(const TileName&) const = default;
};
// Below the log's folder.
std::string PathOf(const TileName& name);
// kInvalidArgument unless PathOf() gives just this path.
Result<TileName> ParseTilePath(std::string_view path);

Bytes TileBytes(std::span<const Hash> hashes);
// kBadFrame unless there are `width` of them and nothing else.
Result<std::vector<Hash>> ParseTile(ByteView bytes, std::size_t width);
// Precondition: at most kEntryBytesMax.
void AppendToBundle(Bytes& bundle, ByteView entry);
// Views into `bytes`.
Result<std::vector<ByteView>> ParseBundle(ByteView bytes, std::size_t width);

}  // namespace accelmesh::market::ledger
