// Memory that a graph allocates: its address is picked when the node is made and stays until neither a graph nor an
// executable knows it; the device's memory behind it is taken at a launch and kept until it is trimmed or the last of
// them is gone. Whether the program may use it is the state `live`: between a launch of its allocation node and
// whatever frees it.
//
// Threads: what comes from `live` on is under the session's memory lock.
#pragma once

#include <cstdint>
#include <memory>

namespace accelmesh {

struct GraphMemory : std::enable_shared_from_this<GraphMemory> {
  std::uint64_t address = 0;
  std::uint64_t bytes = 0;  // the whole range
  std::uint32_t device = 0;
  std::uint64_t owner = 0;      // the graph with its allocation node
  bool freed_by_owner = false;  // a free node there ends it; then no other graph may, and the other way round
  bool freed_by_other = false;
  bool live = false;
  bool backed = false;   // the server has memory there
  bool is_past = false;  // its device was reset: it is nobody's memory any more
  int holders = 0;       // shared pointers to it that were begun and not ended; 0: no graph knows it
};

// As cudaDeviceGetGraphMemAttribute reports them.
struct GraphMemoryUse {
  std::uint64_t used = 0;
  std::uint64_t used_high = 0;
  std::uint64_t reserved = 0;
  std::uint64_t reserved_high = 0;
};

}  // namespace accelmesh
