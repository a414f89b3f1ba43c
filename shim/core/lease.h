// Memory that sessions of a lease share, on both sides.
//
// Threads: values; a table is its owner's to lock. Units: bytes.
#pragma once

#include <cstdint>
#include <map>
#include <unordered_set>
#include <vector>

#include "protocol/gen_commands.h"
#include "shim/core/address_space.h"

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

// What a session shares, and has opened of others'.
struct LeasedMemoryTable {
  std::vector<AddressSpace> space;                 // by device: where others' memory is opened
  std::vector<std::uint64_t> unit;                 // by device: in whole units of this
  std::map<std::uint64_t, ImportedMemory> opened;  // by address
  std::unordered_set<std::uint64_t> exported;      // addresses
  std::map<std::uint64_t, HeldMemory> held;        // by address
};

}  // namespace accelmesh
