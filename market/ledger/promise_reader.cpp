#include "market/ledger/promise_reader.h"

namespace accelmesh::market::ledger {

Status PromiseReader::ReadOn(const Read& read, std::size_t bytes_max) {
  while (judge_.is_open() && contradiction_.ok() && bytes_ < bytes_max) {
    ACCELMESH_ASSIGN_OR_RETURN(std::vector<Bytes> piece, read(promise_.inclusion.index + entries_.size()));
    if (piece.empty()) break;
    for (Bytes& entry : piece) {
      contradiction_ = judge_.Take(entry);
      if (!contradiction_.ok()) break;
      bytes_ += entry.size();
      entries_.push_back(std::move(entry));
      if (!judge_.is_open()) break;
    }
  }
  return Status::Ok();
}

Result<PromiseVerdict> PromiseReader::verdict() const {
  if (!contradiction_.ok()) return contradiction_;
  return judge_.verdict();
}

BrokenPromise PromiseReader::Evidence() const {
  const auto needed = static_cast<std::ptrdiff_t>(judge_.verdict().entries);
  return {promise_, {entries_.begin(), entries_.begin() + needed}, {}};
}

}  // namespace accelmesh::market::ledger
