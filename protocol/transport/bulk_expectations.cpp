#include "protocol/transport/bulk_expectations.h"

#include <string>

#include "protocol/base/tsan.h"
#include "protocol/transport/copy.h"

namespace accelmesh {

Status BulkExpectations::Expect(std::uint64_t token, MutableByteView destination) {
  const MutexLock lock(mutex_);
  if (!expected_.try_emplace(token, Expectation{destination}).second) {
    return {Code::kInvalidArgument, "ExpectBulk.token", "token " + std::to_string(token) + " is expected already"};
  }
  return {};
}

bool BulkExpectations::Landed(std::uint64_t token) {
  const MutexLock lock(mutex_);
  const auto found = expected_.find(token);
  if (found == expected_.end() || found->second.landed < found->second.destination.size()) return false;
  if (found->second.copying > 0) return false;  // an empty piece on its way out; it is done in a moment
  expected_.erase(found);
  return true;
}

void BulkExpectations::Cancel(std::uint64_t token) {
  const MutexLock lock(mutex_);
  for (auto found = expected_.find(token); found != expected_.end() && found->second.copying != 0;
       found = expected_.find(token)) {
    idle_.Wait(mutex_);
  }
  expected_.erase(token);
}

Status BulkExpectations::Claim(Expectation& expectation, std::uint64_t offset, std::size_t piece) {
  const std::size_t size = expectation.destination.size();
  if (offset > size || piece > size - offset || piece > size - expectation.claimed) {
    return {Code::kBadFrame, "BulkExpectations::Land",
            "a piece of " + std::to_string(piece) + " bytes at " + std::to_string(offset) + " does not fit the " +
                std::to_string(size) + " bytes expected"};
  }
  expectation.claimed += piece;
  return {};
}

Status BulkExpectations::Land(std::uint64_t token, std::uint64_t offset, ByteView piece) {
  std::uint8_t* to = nullptr;
  {
    const MutexLock lock(mutex_);
    const auto found = expected_.find(token);
    if (found == expected_.end()) return {};
    Expectation& expectation = found->second;
    ACCELMESH_RETURN_IF_ERROR(Claim(expectation, offset, piece.size()));
    ++expectation.copying;
    to = expectation.destination.data() + offset;
  }
  // The entry cannot go away meanwhile: Landed() and Cancel() both wait for `copying` to be 0.
  TsanAcquireFromPeer();
  CopyBody(to, piece.data(), piece.size());
  TsanReleaseToPeer();
  const MutexLock lock(mutex_);
  Expectation& expectation = expected_.find(token)->second;
  expectation.landed += piece.size();
  if (--expectation.copying == 0) idle_.NotifyAll();
  return {};
}

Result<bool> BulkExpectations::Begin(std::uint64_t token, std::uint64_t offset, std::size_t size) {
  const MutexLock lock(mutex_);
  const auto found = expected_.find(token);
  if (found == expected_.end()) return false;
  ACCELMESH_RETURN_IF_ERROR(Claim(found->second, offset, size));
  TsanAcquireFromPeer();
  return true;
}

std::uint8_t* BulkExpectations::Enter(std::uint64_t token, std::uint64_t offset) {
  const MutexLock lock(mutex_);
  const auto found = expected_.find(token);
  if (found == expected_.end()) return nullptr;
  ++found->second.copying;
  return found->second.destination.data() + offset;
}

void BulkExpectations::Leave(std::uint64_t token) {
  const MutexLock lock(mutex_);
  // The entry cannot have gone: Landed() and Cancel() both wait for `copying` to be 0.
  if (--expected_.find(token)->second.copying == 0) idle_.NotifyAll();
}

void BulkExpectations::End(std::uint64_t token, std::size_t size) {
  TsanReleaseToPeer();
  const MutexLock lock(mutex_);
  const auto found = expected_.find(token);
  if (found != expected_.end()) found->second.landed += size;
}

}  // namespace accelmesh
