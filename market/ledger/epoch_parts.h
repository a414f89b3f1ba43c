// EpochParts: an epoch's record, put together as its parts come by in the order of the log.
//
// Pure. Threads: one at a time.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "market/ledger/entry.h"

namespace accelmesh::market::ledger {

class EpochParts {
 public:
  // The record's bytes (epoch_record.h), with its last part. kBadFrame: it is not the next part; none counts then.
  Result<std::optional<Bytes>> Take(const EpochPart& part) {
    if (!is_open()) {
      number_ = part.number;
      parts_ = part.parts;
    }
    if (part.part != taken_ || part.number != number_ || part.parts != parts_ || part.parts == 0) {
      const std::uint64_t number = number_;
      *this = {};
      return Status(Code::kBadFrame, "ledger::EpochParts",
                    "it is not the next part of epoch " + std::to_string(number));
    }
    bytes_.insert(bytes_.end(), part.bytes.begin(), part.bytes.end());
    if (++taken_ < parts_) return std::optional<Bytes>();
    taken_ = 0;
    return std::optional(std::exchange(bytes_, {}));
  }

  // Parts of a record have come, and not its last one.
  bool is_open() const { return taken_ != 0; }
  std::uint64_t number() const { return number_; }  // of the epoch whose part came last
  std::uint32_t taken() const { return taken_; }
  std::uint32_t parts() const { return parts_; }

 private:
  Bytes bytes_;
  std::uint64_t number_ = 0;
  std::uint32_t parts_ = 0;
  std::uint32_t taken_ = 0;  // of the record that is open
};

}  // namespace accelmesh::market::ledger
