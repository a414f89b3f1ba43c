// Memory that sessions of a lease share, on both sides.
//
// Threads: values. Units: bytes.
#pragma once

#include <cstdint>

#include "protocol/gen_commands.h"

namespace accelmesh {

struct LeasedMemory {
  wire::LeaseName name;
  std::uint32_t device = 0;
  std::uint64_t bytes = 0;
  std::uint64_t lead = 0;  // what is opened with it: so many bytes before it,
  std::uint64_t span = 0;  // and so many in all
};

// Another session's, opened here.
struct ImportedMemory {
  LeasedMemory memory;
  std::uint64_t uses = 0;
};
// Freed, but others have it open, or are being asked about.
struct HeldMemory {
  std::uint32_t device = 0;
  bool is_open = false;
};

}  // namespace accelmesh
