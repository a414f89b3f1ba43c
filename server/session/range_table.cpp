#include "server/session/range_table.h"

#include <iterator>

namespace accelmesh {

Status RangeTable::CheckOwn(std::uint64_t bytes) const {
  if (bytes <= memory_bytes_ - allocated_bytes_) return Status::Ok();
  return {Code::kOutOfMemory, "RangeTable",
          std::to_string(bytes) + " bytes asked, " + std::to_string(memory_bytes_ - allocated_bytes_) + " of " +
              std::to_string(memory_bytes_) + " free"};
}

Status RangeTable::Take(std::uint64_t bytes) {
  ACCELMESH_RETURN_IF_ERROR(CheckOwn(bytes));
  if (quota_ != nullptr && !quota_->Take(bytes)) {
    return {Code::kOutOfMemory, "RangeTable",
            std::to_string(bytes) + " bytes asked, which the processes of this lease together have not left of " +
                std::to_string(quota_->limit())};
  }
  allocated_bytes_ += bytes;
  return Status::Ok();
}

Status RangeTable::Charge(std::uint64_t bytes) { return Take(bytes); }

Status RangeTable::Add(std::uint64_t address, std::uint64_t bytes) {
  constexpr const char* kWhere = "RangeTable::Add";
  const std::uint64_t offset = address - base_;
  if (bytes == 0 || offset >= window_bytes_ || bytes > window_bytes_ - offset) {
    return {Code::kInvalidArgument, kWhere, "outside of the window"};
  }
  ACCELMESH_RETURN_IF_ERROR(CheckOwn(bytes));
  const auto next = ranges_.lower_bound(address);
  if (next != ranges_.end() && next->first - address < bytes) return {Code::kInvalidArgument, kWhere, "overlaps"};
  if (next != ranges_.begin()) {
    const auto before = std::prev(next);
    if (address - before->first < before->second) return {Code::kInvalidArgument, kWhere, "overlaps"};
  }
  ACCELMESH_RETURN_IF_ERROR(Take(bytes));
  ranges_.emplace_hint(next, address, bytes);
  return Status::Ok();
}

Status RangeTable::Remove(std::uint64_t address) {
  const auto found = ranges_.find(address);
  if (found == ranges_.end()) return {Code::kInvalidArgument, "RangeTable::Remove", "not the start of a range"};
  Discharge(found->second);
  ranges_.erase(found);
  return Status::Ok();
}

bool RangeTable::Covers(std::uint64_t address, std::uint64_t bytes) const {
  const auto after = ranges_.upper_bound(address);
  if (after == ranges_.begin()) return false;
  const auto& [start, size] = *std::prev(after);
  const std::uint64_t offset = address - start;
  return offset <= size && bytes <= size - offset;
}

}  // namespace accelmesh
