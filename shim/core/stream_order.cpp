#include "shim/core/stream_order.h"

#include <algorithm>

namespace accelmesh {
namespace {

// Whether work that is behind `reached` is behind `point`: on the same stream by order, and by the legacy rule if one
// of the two is the other's legacy stream.
bool Covers(const StreamPoint& reached, const StreamPoint& point) {
  if (reached.stream.slot == point.stream.slot) return reached.sequence >= point.sequence;
  const bool is_legacy_rule = reached.stream.slot == point.stream.legacy || reached.stream.legacy == point.stream.slot;
  return is_legacy_rule && reached.sequence > point.sequence;
}

}  // namespace

void StreamOrder::Merge(Row& row, const StreamPoint& point) {
  for (StreamPoint& known : row) {
    if (known.stream.slot != point.stream.slot) continue;
    if (known.sequence < point.sequence) known = point;
    return;
  }
  if (row.size() == kKnownMax) {
    row.erase(std::min_element(row.begin(), row.end(),
                               [](const StreamPoint& a, const StreamPoint& b) { return a.sequence < b.sequence; }));
  }
  row.push_back(point);
}

void StreamOrder::Recorded(std::uint32_t event, const StreamPoint& point, std::uint64_t legacy_last) {
  const StreamName& stream = point.stream;
  Row& row = records_[event];
  const auto found = behind_.find(stream.slot);
  if (found == behind_.end()) {
    row.clear();
  } else {
    row = found->second;
  }
  Merge(row, point);
  if (stream.legacy != kNoSlot && stream.legacy != stream.slot) {
    Merge(row, {{stream.legacy, stream.legacy}, legacy_last});
  }
}

void StreamOrder::Waited(std::uint32_t event, const StreamName& stream) {
  const auto found = records_.find(event);
  if (found == records_.end()) return;
  Row& row = behind_[stream.slot];
  for (const StreamPoint& known : found->second) Merge(row, known);
}

bool StreamOrder::IsBehind(const StreamName& stream, std::uint64_t legacy_last, const StreamPoint& point) const {
  if (point.stream.slot == kNoSlot) return false;
  if (stream.slot == point.stream.slot || stream.slot == point.stream.legacy || stream.legacy == point.stream.slot)
    return true;
  if (stream.legacy != kNoSlot && Covers({{stream.legacy, stream.legacy}, legacy_last}, point)) return true;
  const auto found = behind_.find(stream.slot);
  return found != behind_.end() && std::any_of(found->second.begin(), found->second.end(),
                                               [&point](const StreamPoint& known) { return Covers(known, point); });
}

}  // namespace accelmesh
