// What the shim's reports (ACCELMESH_PROFILE, a line of JSON for each process) say of a run, for its profile.
//
// The file is written by the program that runs: its bytes may be anything. Lines that are no report are left out.
// Threads: a function on values.
#pragma once

#include <string_view>
#include <vector>

#include "tools/agent/core/profile.h"

namespace accelmesh::agent {

inline constexpr std::size_t kReportBytesMax = 256 * 1024;
inline constexpr std::size_t kReportsBytesMax = 8 * 1024 * 1024;
inline constexpr std::size_t kReportsMax = 256;

// The processes of a run, at most kReportsMax, whose counts are in the bounds of profile.h.
std::vector<Run> ReadReports(std::string_view text);

}  // namespace accelmesh::agent
