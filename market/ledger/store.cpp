#include "market/ledger/store.h"

namespace accelmesh::market::ledger {

Status MemoryStore::Commit(std::uint64_t first, std::span<const Bytes> entries, std::string_view note) {
  if (first != content_.base + content_.entries.size()) {
    return {Code::kInvalidArgument, "MemoryStore::Commit", "entries that do not follow the last one"};
  }
  content_.entries.insert(content_.entries.end(), entries.begin(), entries.end());
  content_.note = note;
  return Status::Ok();
}

Status MemoryStore::Put(const TileName& name, ByteView bytes) {
  files_.insert_or_assign(PathOf(name), Bytes(bytes.begin(), bytes.end()));
  return Status::Ok();
}

Status MemoryStore::Settle(std::uint64_t base, std::span<const Bytes> tail, std::string_view note) {
  content_ = {base, std::vector<Bytes>(tail.begin(), tail.end()), std::string(note)};
  return Status::Ok();
}

Result<Bytes> MemoryStore::Read(const TileName& name) const {
  const auto found = files_.find(PathOf(name));
  if (found == files_.end()) return Status(Code::kNotFound, "MemoryStore::Read", PathOf(name) + " is not there");
  return found->second;
}

Status MemoryStore::Publish(std::span<const StoredFile> files, std::span<const std::string> obsolete) {
  for (const std::string& path : obsolete) files_.erase(path);
  for (const StoredFile& file : files) files_.insert_or_assign(file.path, file.bytes);
  return Status::Ok();
}

}  // namespace accelmesh::market::ledger
