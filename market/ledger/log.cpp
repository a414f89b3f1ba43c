#include "market/ledger/log.h"

#include <algorithm>

namespace accelmesh::market::ledger {
namespace {

constexpr char kWhere[] = "ledger::Log";

}  // namespace

Result<std::unique_ptr<Log>> Log::Open(std::unique_ptr<Store> store, const std::string& origin,
                                       security::SigningKey key) {
  if (!IsKeyName(origin)) {
    return Status(Code::kInvalidArgument, kWhere, "a log's origin has 1 to 128 visible characters and no '+'");
  }
  std::unique_ptr<Log> log(new Log(std::move(store), origin, std::move(key)));
  ACCELMESH_ASSIGN_OR_RETURN(const Store::Content content, log->store_->Load());
  std::vector<StoredFile> completed;
  ACCELMESH_ASSIGN_OR_RETURN(Tree tree, Tree::Load(*log->store_, content, &completed));
  log->tree_ = std::make_unique<Tree>(std::move(tree));
  // A crash may have left them torn, or not at all.
  ACCELMESH_RETURN_IF_ERROR(log->Keep(completed));
  ACCELMESH_ASSIGN_OR_RETURN(const Hash root, log->tree_->Root());
  log->head_ = {log->tree_->size(), root};
  if (content.note.empty()) {
    if (log->size() > 0) return Status(Code::kBadFrame, kWhere, "entries without a checkpoint; put a copy back");
    log->note_ = SignCheckpoint({origin, log->head_}, log->key_);
    const std::string verifier = VerifierKey(log->name_, SignatureType::kEd25519) + "\n";
    const StoredFile file{"key", Bytes(verifier.begin(), verifier.end())};
    ACCELMESH_RETURN_IF_ERROR(log->store_->Publish({&file, 1}, {}));
    return log;
  }
  ACCELMESH_ASSIGN_OR_RETURN(const VerifiedCheckpoint last, VerifyCheckpoint(content.note, log->name_, {}));
  if (last.checkpoint.head != log->head_) {
    return Status(Code::kBadFrame, kWhere,
                  "the entries are not those of the last checkpoint: the folder is damaged; put a copy back");
  }
  log->note_ = content.note;
  return log;
}

Status Log::Keep(const std::vector<StoredFile>& completed) {
  for (const StoredFile& file : completed) {
    ACCELMESH_ASSIGN_OR_RETURN(const TileName name, ParseTilePath(file.path));
    ACCELMESH_RETURN_IF_ERROR(store_->Put(name, file.bytes));
  }
  return Status::Ok();
}

Result<Appended> Log::Append(std::span<const Bytes> entries) {
  ACCELMESH_RETURN_IF_ERROR(broken_);
  if (entries.empty()) return Status(Code::kInvalidArgument, kWhere, "nothing to append");
  std::size_t bytes = 0;
  for (const Bytes& entry : entries) {
    bytes += entry.size();
    if (entry.size() > kEntryBytesMax) {
      return Status(Code::kLimitExceeded, kWhere, "an entry has at most " + std::to_string(kEntryBytesMax) + " bytes");
    }
  }
  if (entries.size() > kBatchEntriesMax || bytes > kBatchBytesMax || entries.size() > kTreeSizeMax - size()) {
    return Status(Code::kLimitExceeded, kWhere,
                  "a batch has at most " + std::to_string(kBatchEntriesMax) + " entries and " +
                      std::to_string(kBatchBytesMax) + " bytes; append several");
  }
  Appended appended{size(), {}};
  std::vector<StoredFile> completed;
  for (const Bytes& entry : entries) tree_->Add(entry, &completed);
  // From here on, the tree is ahead of the store: whatever fails, nothing more is signed.
  const auto fail = [this](const Status& status) { return broken_ = status; };
  const Result<Hash> root = tree_->Root();
  if (!root.ok()) return fail(root.status());
  const TreeHead head{tree_->size(), *root};
  appended.note = SignCheckpoint({name_.name, head}, key_);
  if (const Status status = store_->Commit(appended.first, entries, appended.note); !status.ok()) return fail(status);
  head_ = head;
  note_ = appended.note;
  if (const Status status = Keep(completed); !status.ok()) return fail(status);
  if (const Status status = store_->Settle(tree_->base(), tree_->tail(), note_); !status.ok()) return fail(status);
  return appended;
}

Status Log::AddCosignature(const NamedKey& witness, const std::string& line) {
  ACCELMESH_RETURN_IF_ERROR(broken_);
  ACCELMESH_ASSIGN_OR_RETURN(const std::string note, WithSignature(note_, line));
  const Result<VerifiedCheckpoint> verified = VerifyCheckpoint(note, name_, {&witness, 1});
  if (!verified.ok() || verified->cosigners.empty()) {
    return {Code::kNotFound, kWhere,
            "the line is not of " + witness.name + " for the present checkpoint; let it cosign the present one"};
  }
  const Status status = store_->Commit(size(), {}, note);
  if (!status.ok()) return broken_ = status;
  note_ = note;
  return Status::Ok();
}

Result<Inclusion> Log::ProveEntry(std::uint64_t index) const {
  Inclusion inclusion{index, {}, note_};
  ACCELMESH_ASSIGN_OR_RETURN(inclusion.proof, ProveInclusion(*tree_, index, head_.size));
  return inclusion;
}

Result<Extension> Log::ProveExtension(std::uint64_t old_size) const {
  Extension extension{old_size, {}, note_};
  ACCELMESH_ASSIGN_OR_RETURN(extension.proof, ProveConsistency(*tree_, old_size, head_.size));
  return extension;
}

Status Log::Publish(std::span<const StoredFile> more) {
  ACCELMESH_RETURN_IF_ERROR(broken_);
  std::vector<StoredFile> files = tree_->PartialTiles();
  std::vector<std::string> partial;
  for (const StoredFile& file : files) partial.push_back(file.path);
  std::vector<std::string> obsolete;
  for (const std::string& path : published_) {
    if (std::find(partial.begin(), partial.end(), path) == partial.end()) obsolete.push_back(path);
  }
  files.push_back({"checkpoint", Bytes(note_.begin(), note_.end())});
  files.insert(files.end(), more.begin(), more.end());
  ACCELMESH_RETURN_IF_ERROR(store_->Publish(files, obsolete));
  published_ = std::move(partial);
  return Status::Ok();
}

}  // namespace accelmesh::market::ledger
