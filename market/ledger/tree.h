// Tree: a log's entries and hashes over a store, without keys: appends, reads, and is the source of proofs.
//
// Memory: per level at most one tile, and at most 255 entries. Threads: one at a time; the store outlives it.
#pragma once

#include <array>
#include <map>

#include "market/ledger/store.h"

namespace accelmesh::market::ledger {

class Tree final : public NodeSource {
 public:
  // From what the store has loaded. kBadFrame if its tiles are not there or none. Entries behind the base are added, as
  // by Add().
  static Result<Tree> Load(const Store& store, const Store::Content& content, std::vector<StoredFile>* completed);

  // Precondition: at most kEntryBytesMax. Appends to `completed` the full bundle and tiles that the entry completes,
  // for the store; without it they stay in memory, for a store that is only read.
  void Add(ByteView entry, std::vector<StoredFile>* completed);

  std::uint64_t size() const { return size_; }
  // Entries that full bundles have.
  std::uint64_t base() const { return size_ - tail_.size(); }
  std::span<const Bytes> tail() const { return tail_; }
  Result<Hash> Root() const { return RootAt(*this, size_); }
  Result<Hash> At(Node node) const override;
  Result<Bytes> Entry(std::uint64_t index) const;
  // From `first` to the end of its bundle, or as many as fit into `bytes_max`, one at least. kNotFound as Entry().
  Result<std::vector<Bytes>> Entries(std::uint64_t first, std::size_t bytes_max) const;
  // The partial bundle and tiles with which the tree ends.
  std::vector<StoredFile> PartialTiles() const;

 private:
  explicit Tree(const Store& store) : store_(&store) {}
  void Complete(const TileName& name, Bytes bytes, std::vector<StoredFile>* completed);
  Result<Bytes> Read(const TileName& name) const;
  Result<std::vector<Hash>> ReadTile(unsigned level, std::uint64_t index) const;
  void AddHash(unsigned level, const Hash& hash, std::vector<StoredFile>* completed);
  std::uint64_t CountAt(unsigned level) const { return size_ >> (kTileHeight * level); }

  const Store* store_;
  std::uint64_t size_ = 0;
  std::array<std::vector<Hash>, kTileLevels> tails_;  // of each level, the hashes behind its last full tile
  std::vector<Bytes> tail_;
  std::map<std::string, Bytes> kept_;  // full tiles and bundles that no store has
};

}  // namespace accelmesh::market::ledger
