// What a measurement depends on besides the device's own description.
//
// Threads: pure functions over /proc.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace accelmesh::measure {

// "model name" of /proc/cpuinfo; "unknown" where there is none.
std::string ProcessorName();
// That this process may run on.
std::uint32_t ProcessorThreads();
// The shared objects of this process that compute: real names (with their versions), sizes and times, sorted.
std::vector<std::string> LoadedLibraries();

}  // namespace accelmesh::measure
