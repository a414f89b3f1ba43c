// Log: the market's append-only ledger. Entries go in, in batches; each batch is durable and has a signed checkpoint
// before anybody is told of it.
//
// Entries are opaque here (entry.h). After an error of the store nothing more is appended: open it anew.
// Threads: one at a time; the store outlives the log.
#pragma once

#include <memory>

#include "market/ledger/checkpoint.h"
#include "market/ledger/tree.h"

namespace accelmesh::market::ledger {

struct Appended {
  std::uint64_t first = 0;  // index of the first entry
  std::string note;         // the checkpoint of the log with these entries
};

class Log {
 public:
  // `origin` names the log and its key. kBadFrame if what is stored is damaged, kPermissionDenied if it is another log
  // or another key's.
  static Result<std::unique_ptr<Log>> Open(std::unique_ptr<Store> store, const std::string& origin,
                                           security::SigningKey key);

  // kInvalidArgument or kLimitExceeded beyond the limits of store.h and tile.h, before anything is written.
  Result<Appended> Append(std::span<const Bytes> entries);
  // Puts a witness's line under the present checkpoint. kNotFound if the checkpoint is another one by now.
  Status AddCosignature(const NamedKey& witness, const std::string& line);

  const NamedKey& key() const { return name_; }
  std::uint64_t size() const { return tree_->size(); }
  // The present checkpoint; signed also when there are no entries.
  const std::string& note() const { return note_; }
  TreeHead head() const { return head_; }

  Result<Bytes> Entry(std::uint64_t index) const { return tree_->Entry(index); }
  Result<std::vector<Bytes>> Entries(std::uint64_t first, std::size_t bytes_max) const {
    return tree_->Entries(first, bytes_max);
  }
  const NodeSource& nodes() const { return *tree_; }
  // Proofs for the present checkpoint, as texts with it.
  Result<Inclusion> ProveEntry(std::uint64_t index) const;
  Result<Extension> ProveExtension(std::uint64_t old_size) const;

  // Writes the partial tiles and the checkpoint for those who read the folder as files, and `more` beside them.
  Status Publish(std::span<const StoredFile> more = {});

 private:
  Log(std::unique_ptr<Store> store, std::string origin, security::SigningKey key)
      : store_(std::move(store)), key_(std::move(key)), name_{std::move(origin), key_.public_key()} {}
  Status Keep(const std::vector<StoredFile>& completed);

  const std::unique_ptr<Store> store_;
  const security::SigningKey key_;
  const NamedKey name_;
  std::unique_ptr<Tree> tree_;
  TreeHead head_;
  std::string note_;
  Status broken_;
  std::vector<std::string> published_;  // partial tiles
};

}  // namespace accelmesh::market::ledger
