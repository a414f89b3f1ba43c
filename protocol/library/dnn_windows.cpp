#include "protocol/library/dnn_windows.h"

#include <algorithm>
#include <limits>

namespace accelmesh {
namespace {

bool Fits(std::int64_t value) {
  return value >= std::numeric_limits<std::int32_t>::min() && value <= std::numeric_limits<std::int32_t>::max();
}
// From one step to the next.
std::int64_t ChangeAt(std::span<const std::int32_t> values, std::size_t step) {
  return std::int64_t{values[step + 1]} - values[step];
}

}  // namespace

void PackWindows(std::span<const std::int32_t> begins, std::span<const std::int32_t> ends,
                 std::vector<std::int32_t>* to) {
  const std::size_t steps = std::min(begins.size(), ends.size());
  for (std::size_t first = 0; first < steps;) {
    std::size_t last = first;
    std::int64_t begin_change = 0, end_change = 0;
    if (first + 1 < steps && Fits(ChangeAt(begins, first)) && Fits(ChangeAt(ends, first))) {
      begin_change = ChangeAt(begins, first);
      end_change = ChangeAt(ends, first);
      while (last + 1 < steps && ChangeAt(begins, last) == begin_change && ChangeAt(ends, last) == end_change) ++last;
    }
    to->insert(to->end(),
               {static_cast<std::int32_t>(last - first + 1), begins[first], static_cast<std::int32_t>(begin_change),
                ends[first], static_cast<std::int32_t>(end_change)});
    first = last + 1;
  }
}

std::optional<DnnWindows> UnpackWindows(std::span<const std::int32_t> runs, std::size_t steps) {
  if (runs.size() % kDnnWindowRunNumbers > 1) return std::nullopt;
  DnnWindows windows;
  for (std::size_t at = 0; at + kDnnWindowRunNumbers <= runs.size(); at += kDnnWindowRunNumbers) {
    const std::int64_t count = runs[at];
    if (count < 1 || static_cast<std::uint64_t>(count) > steps - windows.begins.size()) return std::nullopt;
    const auto append = [&](std::int64_t first, std::int64_t change, std::vector<std::int32_t>* values) {
      // In between lies what is between them.
      if (!Fits(first + (count - 1) * change)) return false;
      for (std::int64_t i = 0; i < count; ++i) values->push_back(static_cast<std::int32_t>(first + i * change));
      return true;
    };
    if (!append(runs[at + 1], runs[at + 2], &windows.begins) || !append(runs[at + 3], runs[at + 4], &windows.ends))
      return std::nullopt;
  }
  if (windows.begins.size() != steps) return std::nullopt;
  return windows;
}

}  // namespace accelmesh
