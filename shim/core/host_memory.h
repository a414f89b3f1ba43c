// Host memory that the session knows: as the program may ask about it, and as the session keeps it.
//
// Threads: none; the session locks. Units: bytes.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

#include "protocol/base/bytes.h"
#include "shim/core/advice.h"
#include "shim/core/twin.h"

namespace accelmesh {

struct PinnedRange {
  std::uint8_t* address = nullptr;
  std::size_t bytes = 0;
  std::uint32_t region = 0;  // valid if shared
  bool shared = false;
  unsigned flags = 0;
};

// Host memory that the device may reach: from cudaMallocHost, cudaHostRegister, cudaMallocManaged or __managed__.
enum class HostKind : std::uint8_t { kPinned, kRegistered, kManaged };
// Flags of managed memory that holds variables: what cudaMallocManaged makes has always some.
inline constexpr unsigned kVariables = 0;
struct ReachableMemory {
  HostKind kind = HostKind::kPinned;
  std::uint8_t* memory = nullptr;
  std::uint64_t bytes = 0;
  std::uint64_t requested_bytes = 0;  // by the program; the rest of the last page is its own as well
  std::uint64_t device_address = 0;   // 0: registered memory that no kernel was given
  std::uint32_t device = 0;           // that it was made on; managed memory counts for its quota
  unsigned flags = 0;
};

// A range with its twin, if it has one. Fields after `kind` change under the lock of the twins.
struct ReachedTwin {
  std::unique_ptr<Twin> twin;
  std::uint64_t device_address = 0;
  HostKind kind = HostKind::kPinned;
  std::atomic<bool> is_added{false};     // to twins_
  std::atomic<bool> by_argument{false};  // known only because a launch named it: of concern to those that do
  bool is_named = false;                 // since it was last read back
  bool is_attached = false;
  bool is_gone = false;
  std::uint64_t pushed = 0;  // the last command that wrote into it
  std::uint64_t merged = 0;  // the last that read it back
};
// A range of the program's as the session keeps it.
struct HostRange {
  HostKind kind = HostKind::kPinned;
  std::uint8_t* memory = nullptr;
  std::uint64_t bytes = 0;
  std::uint64_t requested_bytes = 0;
  std::uint64_t device_address = 0;  // in the host window; 0: none yet
  bool is_foreign = false;           // a variable that the driver has placed; both addresses are the driver's
  std::uint32_t device = 0;
  unsigned flags = 0;
  std::uint32_t region = 0;  // valid if shared
  bool is_shared = false;
  bool is_mapped = false;   // the server knows it
  bool is_reached = false;  // a kernel may use it
  std::shared_ptr<ReachedTwin> twin;
  AdviceMap advice = {};
  std::uint64_t PageBytes() const;  // of the pages around device_address
  // False if there is no memory for it.
  bool MakeTwin();
};
// A part of a twin that is on its way back.
struct Pull {
  std::shared_ptr<ReachedTwin> twin;
  std::uint64_t offset = 0;
  std::uint64_t bytes = 0;
  std::uint64_t token = 0;
  std::uint32_t slot = 0;
  std::uint64_t sequence = 0;
  Bytes landed = {};
};
// Commands of a stream by which the device may have written twins, as far as they were not read back since: none
// comes before the first, and the last is one.
struct TwinWork {
  std::uint64_t first;
  std::uint64_t last;
};
// An asynchronous copy into host memory that is under way.
struct Landing {
  std::uint64_t token;
  std::uint32_t slot;
  std::uint64_t sequence;
};

}  // namespace accelmesh
