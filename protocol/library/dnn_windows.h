// The windows of an attention's query steps as they cross the wire (dnn_attention.h): mostly they are all alike, or
// move on by as much with each step.
//
//     windows := run*
//     run := count begin begin_change end end_change      int32 each: the first of `count` steps looks at the keys from
//                                                         `begin` to before `end`, each next one at what is that
//                                                         further
//
// Threads: pure functions. Errors: only of UnpackWindows, whose numbers are a peer's.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace accelmesh {

inline constexpr std::size_t kDnnWindowRunNumbers = 5;

struct DnnWindows {
  std::vector<std::int32_t> begins;
  std::vector<std::int32_t> ends;
};

// Appends the runs of steps, which have an end for each begin.
void PackWindows(std::span<const std::int32_t> begins, std::span<const std::int32_t> ends,
                 std::vector<std::int32_t>* to);
// Nothing unless the runs are whole, of `steps` in all, and every number fits; a number behind the last run is left.
std::optional<DnnWindows> UnpackWindows(std::span<const std::int32_t> runs, std::size_t steps);

}  // namespace accelmesh
