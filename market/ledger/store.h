// Where a log lies: in a folder (folder_store.h), or in memory for simulations and tests.
//
// A store keeps committed entries twice, for a while: as they were committed, at once durable, and in full tiles, which
// become durable later. Settle() says up to where tiles have everything, so that the store may forget the former.
//
// Threads: one at a time.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "market/ledger/tile.h"

namespace accelmesh::market::ledger {

// Of one commit.
inline constexpr std::size_t kBatchEntriesMax = 65536;
inline constexpr std::size_t kBatchBytesMax = std::size_t{32} << 20;

struct StoredFile {
  std::string path;  // below the log's folder
  Bytes bytes;
};

class Store {
 public:
  struct Content {
    std::uint64_t base = 0;      // entries that full tiles have; a multiple of kTileWidth
    std::vector<Bytes> entries;  // from `base` on
    std::string note;            // of the last commit; empty for a new log
  };

  virtual ~Store() = default;
  // Everything that was committed. kBadFrame with what is damaged and the remedy.
  virtual Result<Content> Load() = 0;
  // Entries from index `first` on and the checkpoint with them; both durable when it returns. Fails with the store in
  // the state before or after; only opening it anew tells.
  virtual Status Commit(std::uint64_t first, std::span<const Bytes> entries, std::string_view note) = 0;
  // A full tile or bundle. Put again with the same bytes, it changes nothing.
  virtual Status Put(const TileName& name, ByteView bytes) = 0;
  // All full tiles of a tree of `base` entries have been put, and `tail` is what comes after.
  virtual Status Settle(std::uint64_t base, std::span<const Bytes> tail, std::string_view note) = 0;
  // Of a full tile or bundle. kNotFound if it is not there.
  virtual Result<Bytes> Read(const TileName& name) const = 0;
  // For those who read the folder as files: each appears whole or not at all; those of `obsolete` go.
  virtual Status Publish(std::span<const StoredFile> files, std::span<const std::string> obsolete) = 0;
};

class MemoryStore final : public Store {
 public:
  Result<Content> Load() override { return content_; }
  Status Commit(std::uint64_t first, std::span<const Bytes> entries, std::string_view note) override;
  Status Put(const TileName& name, ByteView bytes) override;
  Status Settle(std::uint64_t base, std::span<const Bytes> tail, std::string_view note) override;
  Result<Bytes> Read(const TileName& name) const override;
  Status Publish(std::span<const StoredFile> files, std::span<const std::string> obsolete) override;

  const std::map<std::string, Bytes>& files() const { return files_; }

 private:
  Content content_;
  std::map<std::string, Bytes> files_;  // by path
};

}  // namespace accelmesh::market::ledger
