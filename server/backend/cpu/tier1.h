// Tier 1 of the software GPU: machine code for kernels that are hot, made by LLVM in a shared object of its own.
//
// Tier 0 owns the state of a block and the order in which lanes run; compiled code runs one group of lanes from a place
// where one may stand to the next: a barrier, a call, a branch that its lanes take differently, the pc of another
// group. There the rows and predicates that are still needed lie in the warp's files again, as if tier 0 had run every
// operation. What the compiler does not know is a call of the operation's handler in the middle of the code.
//
// The interface is C-like and has a number: what finds another number, or no shared object, stays on tier 0. Threads:
// Compile() from one at a time; compiled code from any.
#pragma once

#include <cstddef>
#include <cstdint>

#include "server/backend/cpu/tier0/warp.h"

namespace accelmesh::tier1 {

inline constexpr std::uint32_t kAbi = 1;
inline constexpr std::uint32_t kNoEntry = 0xffffffffu;
inline constexpr const char* kLibraryName = "libaccelmesh_tier1.so";
inline constexpr const char* kSymbol = "accelmesh_tier1";

// What compiled code works on. It reads fields by their offsets.
struct Frame {
  tier0::Row* rows = nullptr;
  std::uint32_t* predicates = nullptr;
  std::uint8_t* shared = nullptr;
  const std::uint8_t* arguments = nullptr;
  std::uint64_t argument_bytes = 0;
  // Device memory that is known to be allowed: `allow` moves this.
  std::uint64_t window_base = 0;
  std::uint64_t window_bytes = 0;
  tier0::Warp* warp = nullptr;
  // Runs the operation at pc for these lanes. Whether it faulted.
  bool (*execute)(Frame& frame, std::uint32_t pc, std::uint32_t mask) = nullptr;
  // Whether [address, address + bytes) is allowed. If so, the window is a part of memory that holds it.
  bool (*allow)(Frame& frame, std::uint64_t address, std::uint64_t bytes) = nullptr;
  std::uint32_t shared_bytes = 0;
  std::uint32_t alive = 0;   // lanes of the warp
  std::uint32_t limit = 0;   // the group stops at this pc and above
  std::uint32_t budget = 0;  // jumps back that are left
};

// Runs the lanes of `mask`, all at the pc of `entry`. The pc where they stand now; kInterpret: tier 0 runs the
// operation there, which is not done by compiled code.
using Code = std::uint64_t (*)(Frame* frame, std::uint32_t entry, std::uint32_t mask);
inline constexpr std::uint64_t kInterpret = 1ull << 32;

struct Compiled {
  Code code = nullptr;
  const std::uint32_t* entries = nullptr;  // of each pc; kNoEntry: compiled code cannot begin there
  std::uint32_t native = 0;                // operations of the kernel that became code
  std::uint32_t called = 0;                // and those that are calls of handlers
  bool from_cache = false;
};

struct Options {
  const char* cache_folder = nullptr;  // null: nothing is kept
  std::uint64_t cache_bytes_max = 0;
};

struct Compiler;
struct Interface {
  std::uint32_t abi = 0;
  Compiler* (*create)(const Options& options) = nullptr;
  void (*destroy)(Compiler* compiler) = nullptr;
  // Null if the kernel cannot be compiled: `why` says so. The result lives until release().
  const Compiled* (*compile)(Compiler* compiler, const tier0::Program& program, char* why, std::size_t bytes) = nullptr;
  void (*release)(Compiler* compiler, const Compiled* compiled) = nullptr;
};
// The symbol kSymbol of the shared object.
using GetInterface = const Interface* (*)();

}  // namespace accelmesh::tier1
