#include "market/ledger/tree.h"

namespace accelmesh::market::ledger {
namespace {

constexpr char kWhere[] = "ledger::Tree";

Status Damaged(const std::string& what) {
  return {Code::kBadFrame, kWhere, what + "; put a copy of it back (any that a witness has is as good)"};
}

}  // namespace

Result<Tree> Tree::Load(const Store& store, const Store::Content& content, std::vector<StoredFile>* completed) {
  if (content.base % kTileWidth != 0 || content.base > kTreeSizeMax ||
      content.entries.size() > kTreeSizeMax - content.base) {
    return Damaged("a base of " + std::to_string(content.base) + " entries");
  }
  Tree tree(store);
  tree.size_ = content.base;
  // Above level 0, what comes behind the last full tile is in no tile of its own yet: it follows from those below.
  for (unsigned level = 1; level < kTileLevels; ++level) {
    const std::uint64_t count = tree.CountAt(level);
    for (std::uint64_t i = count - count % kTileWidth; i < count; ++i) {
      ACCELMESH_ASSIGN_OR_RETURN(const std::vector<Hash> below, tree.ReadTile(level - 1, i));
      tree.tails_[level].push_back(RootOf(below));
    }
  }
  for (const Bytes& entry : content.entries) {
    if (entry.size() > kEntryBytesMax) return Damaged("an entry larger than entries are");
    tree.Add(entry, completed);
  }
  return tree;
}

void Tree::Add(ByteView entry, std::vector<StoredFile>* completed) {
  tail_.emplace_back(entry.begin(), entry.end());
  ++size_;
  if (tail_.size() == kTileWidth) {
    Bytes bundle;
    for (const Bytes& each : tail_) AppendToBundle(bundle, each);
    Complete({.is_entries = true, .index = size_ / kTileWidth - 1}, std::move(bundle), completed);
    tail_.clear();
  }
  AddHash(0, LeafHash(entry), completed);
}

void Tree::Complete(const TileName& name, Bytes bytes, std::vector<StoredFile>* completed) {
  if (completed != nullptr) {
    completed->push_back({PathOf(name), std::move(bytes)});
  } else {
    kept_[PathOf(name)] = std::move(bytes);
  }
}

Result<Bytes> Tree::Read(const TileName& name) const {
  if (const auto kept = kept_.find(PathOf(name)); kept != kept_.end()) return kept->second;
  Result<Bytes> bytes = store_->Read(name);
  if (bytes.code() == Code::kNotFound) return Damaged(PathOf(name) + " is not there");
  return bytes;
}

Result<std::vector<Hash>> Tree::ReadTile(unsigned level, std::uint64_t index) const {
  const TileName name{.level = level, .index = index};
  ACCELMESH_ASSIGN_OR_RETURN(const Bytes bytes, Read(name));
  Result<std::vector<Hash>> hashes = ParseTile(bytes, kTileWidth);
  if (!hashes.ok()) return Damaged(PathOf(name) + ": " + hashes.status().text());
  return hashes;
}

void Tree::AddHash(unsigned level, const Hash& hash, std::vector<StoredFile>* completed) {
  std::vector<Hash>& tail = tails_[level];
  tail.push_back(hash);
  if (tail.size() < kTileWidth) return;
  Complete({.level = level, .index = CountAt(level) / kTileWidth - 1}, TileBytes(tail), completed);
  const Hash above = RootOf(tail);
  tail.clear();
  if (level + 1 < kTileLevels) AddHash(level + 1, above, completed);
}

Result<Hash> Tree::At(Node node) const {
  if (node.height > kTileHeight * (kTileLevels - 1) || node.index >= size_ >> node.height) {
    return Status(Code::kInvalidArgument, kWhere, "a part of the tree that is not there");
  }
  const unsigned level = node.height / kTileHeight;
  const unsigned up = node.height % kTileHeight;
  const std::uint64_t first = node.index << up;
  const std::uint64_t index = first / kTileWidth;
  std::vector<Hash> read;
  std::span<const Hash> tile = tails_[level];
  if (index < CountAt(level) / kTileWidth) {
    ACCELMESH_ASSIGN_OR_RETURN(read, ReadTile(level, index));
    tile = read;
  }
  return RootOf(tile.subspan(first % kTileWidth, std::size_t{1} << up));
}

Result<Bytes> Tree::Entry(std::uint64_t index) const {
  if (index >= size_) {
    return Status(Code::kNotFound, kWhere,
                  "there is no entry " + std::to_string(index) + "; the log has " + std::to_string(size_));
  }
  if (index >= base()) return tail_[index - base()];
  const TileName name{.is_entries = true, .index = index / kTileWidth};
  const Result<Bytes> bytes = Read(name);
  if (!bytes.ok()) return bytes.status();
  const Result<std::vector<ByteView>> entries = ParseBundle(*bytes, kTileWidth);
  if (!entries.ok()) return Damaged(PathOf(name) + ": " + entries.status().text());
  const ByteView entry = (*entries)[index % kTileWidth];
  return Bytes(entry.begin(), entry.end());
}

Result<std::vector<Bytes>> Tree::Entries(std::uint64_t first, std::size_t bytes_max) const {
  if (first >= size_) return Entry(first).status();
  const TileName name{.is_entries = true, .index = first / kTileWidth};
  Bytes bundle;
  std::vector<ByteView> views(tail_.begin(), tail_.end());
  if (first < base()) {
    Result<Bytes> bytes = Read(name);
    if (!bytes.ok()) return bytes.status();
    bundle = *std::move(bytes);
    Result<std::vector<ByteView>> entries = ParseBundle(bundle, kTileWidth);
    if (!entries.ok()) return Damaged(PathOf(name) + ": " + entries.status().text());
    views = *std::move(entries);
  }
  std::vector<Bytes> entries;
  std::size_t bytes = 0;
  for (std::size_t at = first % kTileWidth; at < views.size(); ++at) {
    bytes += views[at].size();
    if (!entries.empty() && bytes > bytes_max) break;
    entries.emplace_back(views[at].begin(), views[at].end());
  }
  return entries;
}

std::vector<StoredFile> Tree::PartialTiles() const {
  std::vector<StoredFile> files;
  if (!tail_.empty()) {
    Bytes bundle;
    for (const Bytes& each : tail_) AppendToBundle(bundle, each);
    files.push_back(
        {PathOf({.is_entries = true, .index = size_ / kTileWidth, .width = static_cast<unsigned>(tail_.size())}),
         std::move(bundle)});
  }
  for (unsigned level = 0; level < kTileLevels; ++level) {
    if (tails_[level].empty()) continue;
    files.push_back({PathOf({.level = level,
                             .index = CountAt(level) / kTileWidth,
                             .width = static_cast<unsigned>(tails_[level].size())}),
                     TileBytes(tails_[level])});
  }
  return files;
}

}  // namespace accelmesh::market::ledger
