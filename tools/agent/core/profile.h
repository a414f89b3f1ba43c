// What earlier runs of one command did to their device: what the next run is predicted from.
//
//   profile := "accelmesh-profile 1" LF {run}
//   run     := "run" 9 x (" " digits) LF {work}      ended-ms lasted-us waited-us launches calls round-trips
//                                                    up-bytes down-bytes memory-bytes-high
//   work    := "work" " " operation " " type " " digits LF
//
// The text lies in a folder that other programs can write: it may be anything, and is bounded and checked whole.
// Threads: values and functions on them. Units: Unix milliseconds, microseconds, bytes, operations (a fused
// multiply-add counts two).
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/base/result.h"
#include "scheduler/core/measure.h"

namespace accelmesh::agent {

inline constexpr std::size_t kRunsKept = 16;
inline constexpr std::size_t kProfileBytesMax = 16384;
inline constexpr std::uint64_t kCountMax = std::uint64_t{1} << 62;

using Operations = std::array<std::array<std::uint64_t, scheduler::kNumberTypes>, scheduler::kOperations>;

struct Run {
  std::int64_t ended_ms = 0;
  std::int64_t lasted_us = 0;  // from the first counted process's beginning to the last one's end
  std::int64_t waited_us = 0;  // of it, in which the program waited for its device
  std::uint64_t launches = 0;
  std::uint64_t library_calls = 0;
  std::uint64_t round_trips = 0;
  std::uint64_t up_bytes = 0;
  std::uint64_t down_bytes = 0;
  std::uint64_t memory_bytes_high = 0;  // of a device at a time
  Operations operations{};              // of library calls; what own kernels compute is not known

  bool operator==(const Run&) const = default;
};

// One run from those of its processes: arithmetic and bytes add up, time is from the first beginning to the last end,
// and memory is the most that those had that ran at once.
Run FoldProcesses(const std::vector<Run>& processes);

struct Profile {
  std::vector<Run> runs;  // oldest first, at most kRunsKept
  bool operator==(const Profile&) const = default;
};

// Appends a run; the oldest goes. A run that did nothing on a device changes nothing.
void AddRun(Profile& profile, Run run);

std::string ToText(const Profile& profile);
// kInvalidArgument with the line, if it is no profile.
Result<Profile> ParseProfile(std::string_view text);

// A name for the command: the same words in the same folder, the same name, 32 hexadecimal digits.
std::string CommandKey(const std::vector<std::string>& command, std::string_view folder);

}  // namespace accelmesh::agent
