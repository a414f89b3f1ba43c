#include "market/ledger/tile.h"

#include <algorithm>
#include <charconv>

namespace accelmesh::market::ledger {
namespace {

Status BadPath(std::string_view path) {
  return {Code::kInvalidArgument, "ParseTilePath",
          "no path of a tile" + (path.size() <= 100 ? ": " + std::string(path) : std::string())};
}

std::string ThreeDigits(std::uint64_t number) {
  std::string text = std::to_string(number);
  return std::string(3 - text.size(), '0') + text;
}

template <typename Number>
bool ReadNumber(std::string_view text, Number& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size();
}

}  // namespace

std::string PathOf(const TileName& name) {
  std::string index = ThreeDigits(name.index % 1000);
  for (std::uint64_t rest = name.index / 1000; rest > 0; rest /= 1000) {
    index = "x" + ThreeDigits(rest % 1000) + "/" + index;
  }
  std::string path = "tile/" + (name.is_entries ? std::string("entries") : std::to_string(name.level)) + "/" + index;
  return name.width == kTileWidth ? path : path + ".p/" + std::to_string(name.width);
}

Result<TileName> ParseTilePath(std::string_view path) {
  // Numbers are read leniently; only what is written back as it was is a path.
  const std::string_view whole = path;
  TileName name;
  if (path.size() > 100 || !path.starts_with("tile/")) return BadPath(whole);
  path.remove_prefix(5);
  const std::size_t level_end = path.find('/');
  if (level_end == std::string_view::npos) return BadPath(whole);
  name.is_entries = path.substr(0, level_end) == "entries";
  if (!name.is_entries && !ReadNumber(path.substr(0, level_end), name.level)) return BadPath(whole);
  path.remove_prefix(level_end + 1);
  if (const std::size_t partial = path.find(".p/"); partial != std::string_view::npos) {
    if (!ReadNumber(path.substr(partial + 3), name.width) || name.width == 0 || name.width >= kTileWidth) {
      return BadPath(whole);
    }
    path = path.substr(0, partial);
  }
  while (!path.empty()) {
    const std::size_t end = path.find('/');
    std::string_view part = path.substr(0, end);
    path = end == std::string_view::npos ? std::string_view() : path.substr(end + 1);
    if (end != std::string_view::npos) {
      if (!part.starts_with('x')) return BadPath(whole);
      part.remove_prefix(1);
    }
    std::uint64_t digits = 0;
    if (part.size() != 3 || !ReadNumber(part, digits) || name.index > kTreeSizeMax) return BadPath(whole);
    name.index = name.index * 1000 + digits;
  }
  if (name.level >= kTileLevels || name.index > kTreeSizeMax || PathOf(name) != whole) return BadPath(whole);
  return name;
}

Bytes TileBytes(std::span<const Hash> hashes) {
  Bytes bytes;
  bytes.reserve(hashes.size() * sizeof(Hash));
  for (const Hash& hash : hashes) bytes.insert(bytes.end(), hash.begin(), hash.end());
  return bytes;
}

Result<std::vector<Hash>> ParseTile(ByteView bytes, std::size_t width) {
  if (width == 0 || width > kTileWidth || bytes.size() != width * sizeof(Hash)) {
    return Status(Code::kBadFrame, "ParseTile",
                  std::to_string(bytes.size()) + " bytes are no tile of " + std::to_string(width) + " hashes");
  }
  std::vector<Hash> hashes(width);
  for (std::size_t i = 0; i < width; ++i) {
    std::copy_n(bytes.begin() + static_cast<std::ptrdiff_t>(i * sizeof(Hash)), sizeof(Hash), hashes[i].begin());
  }
  return hashes;
}

void AppendToBundle(Bytes& bundle, ByteView entry) {
  bundle.push_back(static_cast<std::uint8_t>(entry.size() >> 8));
  bundle.push_back(static_cast<std::uint8_t>(entry.size()));
  bundle.insert(bundle.end(), entry.begin(), entry.end());
}

Result<std::vector<ByteView>> ParseBundle(ByteView bytes, std::size_t width) {
  constexpr const char* kWhere = "ParseBundle";
  std::vector<ByteView> entries;
  entries.reserve(std::min(width, bytes.size() / 2));
  ByteReader reader(bytes, kWhere);
  for (std::size_t i = 0; i < width; ++i) {
    ACCELMESH_ASSIGN_OR_RETURN(const ByteView length, reader.Take(2));
    ACCELMESH_ASSIGN_OR_RETURN(const ByteView entry, reader.Take(static_cast<std::size_t>(length[0] << 8 | length[1])));
    entries.push_back(entry);
  }
  if (reader.left() != 0) {
    return Status(Code::kBadFrame, kWhere,
                  std::to_string(reader.left()) + " bytes behind " + std::to_string(width) + " entries");
  }
  return entries;
}

}  // namespace accelmesh::market::ledger
