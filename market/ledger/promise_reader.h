// PromiseReader: holds a promise against what somebody shows of the log, piece by piece. Each entry is judged once,
// however small the pieces are.
//
// Threads: one at a time.
#pragma once

#include <functional>

#include "market/ledger/promise.h"

namespace accelmesh::market::ledger {

class PromiseReader {
 public:
  // Some entries of the log from `first` on; none: more cannot be read yet.
  using Read = std::function<Result<std::vector<Bytes>>(std::uint64_t first)>;

  // Both outlive it. Precondition: the promise was verified.
  PromiseReader(const Promise& promise, const OrderReader& orders) : promise_(promise), judge_(promise, orders) {}

  // Until the promise is decided, nothing more can be read, or so many bytes have been. An error is that of `read`.
  Status ReadOn(const Read& read, std::size_t bytes_max);
  // As JudgePromise() has it: an error if what was read is not what the log had when it promised, or nonsense.
  Result<PromiseVerdict> verdict() const;
  // The entries that the verdict needs; without a proof so far that the log has signed them.
  BrokenPromise Evidence() const;

 private:
  const Promise& promise_;
  PromiseJudge judge_;
  Status contradiction_;
  std::vector<Bytes> entries_;  // that were judged, from the order's own on
  std::size_t bytes_ = 0;
};

}  // namespace accelmesh::market::ledger
