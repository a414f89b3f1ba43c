// Tier 1 of the software GPU: machine code for kernels that are hot, made by LLVM in a shared object of its own.
//
// Tier 0 owns the state of a block and the order in which lanes run. Compiled code runs one group of lanes, or, where
// every warp of a block is one group, all warps of the block one after the other, from barrier to barrier (`together`).
// It returns where only tier 0 can go on: there the rows and predicates that are still needed lie in the warps' files
// again, as if tier 0 had run every operation, and the frame says which lanes stand where. What the compiler does not
// know is a call of the operation's handler in the middle of the code.
//
// Lanes that part stay in compiled code, too: the group with the lowest pc runs, the others wait on a stack in the
// frame, in the order of their pcs; a group that comes to where one waits takes it along. That is tier 0's order.
//
// Where all threads of a block go one way, as they do in a kernel that works on elements, there is a second function
// without masks (`sweep`): it looks once whether a block is like that and may touch what it will, and then runs warp
// after warp. Other blocks are the first function's.
//
// The interface is C-like and has a number: what finds another number, or no shared object, stays on tier 0. Threads:
// Compile() from one at a time; compiled code from any.
#pragma once

#include <cstddef>
#include <cstdint>

#include "server/backend/cpu/tier0/warp.h"

namespace accelmesh::tier1 {

inline constexpr std::uint32_t kAbi = 3;
inline constexpr std::uint32_t kNoEntry = 0xffffffffu;
inline constexpr const char* kLibraryName = "libaccelmesh_tier1.so";
inline constexpr const char* kSymbol = "accelmesh_tier1";

inline constexpr std::uint32_t kWarpsMax = 32;    // of a block
inline constexpr std::uint32_t kWaitingMax = 8;   // groups of lanes on the stack
inline constexpr std::uint32_t kGone = 1u << 31;  // in Frame::places: all lanes have exited
inline constexpr std::uint32_t kTurn = 1u << 30;  // in Frame::places: see there

struct Waiting {
  std::uint32_t pc = 0;
  std::uint32_t mask = 0;
};

// What compiled code works on. It reads and writes fields by their offsets.
struct Frame {
  tier0::Row* rows;           // of warp 0, or of the only one
  std::uint32_t* predicates;  // the same
  std::uint8_t* shared;
  const std::uint8_t* arguments;
  std::uint64_t argument_bytes;
  // Device memory that is known to be allowed: `allow` moves this.
  std::uint64_t window_base;
  std::uint64_t window_bytes;
  tier0::Warp* warps;  // of the block
  // Runs the operation at pc for these lanes of warp `warp`. Whether it faulted.
  bool (*execute)(Frame& frame, std::uint32_t pc, std::uint32_t mask);
  // Whether [address, address + bytes) is allowed. If so, the window is a part of memory that holds it.
  bool (*allow)(Frame& frame, std::uint64_t address, std::uint64_t bytes);
  std::uint32_t shared_bytes;
  std::uint32_t warp;    // that runs, in and out
  std::uint32_t alive;   // lanes of it, in and out
  std::uint32_t mask;    // out: lanes that stand where the code returned
  std::uint32_t limit;   // a group alone stops at this pc and above
  std::uint32_t budget;  // jumps back that are left, of the warp's turn
  // All warps of a block. 0: one group of lanes alone.
  std::uint32_t together;
  std::uint32_t turns;    // of warps, that are left; many jumps back count as more than one
  std::uint32_t gone;     // warps whose lanes have all exited, in and out
  std::uint32_t arrived;  // warps that wait at the barrier, in
  // `places` of warps that may run have this in kTurn; those that wait at the barrier have not. When the last arrives
  // it changes, and so all may run: that one at once, then those behind it.
  std::uint32_t turn;
  // Blocks that follow this one, in the order of their numbers, and are run after it: in, and out how many are left.
  std::uint64_t blocks;
  std::uint32_t block[3];           // %ctaid, in and out
  std::uint32_t grid[2];            // %nctaid.x and .y
  std::uint32_t entry;              // the place where warps begin
  std::uint32_t last;               // the lanes of a block's last warp then; others have all
  std::uint32_t waiting;            // out: groups on the stack
  std::uint32_t places[kWarpsMax];  // where warps go on, as an index of Compiled::pcs, with kTurn; or kGone
  std::uint32_t alives[kWarpsMax];  // their lanes
  Waiting groups[kWaitingMax];      // out: of the warp that runs
};

// Runs from the place `entry` (an index of Compiled::pcs) on: the lanes of `mask`, which all stand there, or `together`
// warps, of which warp Frame::warp is the first to run. The pc where lanes stand now, with:
using Code = std::uint64_t (*)(Frame* frame, std::uint32_t entry, std::uint32_t mask);
inline constexpr std::uint64_t kInterpret = 1ull << 32;  // tier 0 runs the operation there
inline constexpr std::uint64_t kBlockDone = 1ull << 33;  // no lanes stand anywhere: all warps of Frame::block are gone
inline constexpr std::uint64_t kBetween = 1ull << 34;    // no warp runs: each has its place

// Runs Frame::block and those that follow it, as long as all threads of a block go the way that the compiler expects:
// how many it ran. Frame::block is then the first that it did not run, if there is one, and Frame::blocks how many
// follow that; of a block that is not counted nothing was run. Blocks are one row of whole warps, all at their entry.
using SweepCode = std::uint64_t (*)(Frame* frame);

inline constexpr std::uint32_t kNoBarrier = 0xffffffffu;

struct Compiled {
  Code code = nullptr;
  SweepCode sweep = nullptr;               // where the kernel has such a way
  const std::uint32_t* entries = nullptr;  // place of each pc where it is worth to come; else kNoEntry
  const std::uint32_t* places = nullptr;   // of each pc where a block of code begins; else kNoEntry
  const std::uint32_t* pcs = nullptr;      // of each place
  std::uint32_t barrier = kNoBarrier;      // the only one that compiled code knows: its id
  std::uint64_t argument_bytes = 0;        // that a launch must have
  bool batches = false;                    // blocks may follow one another in a call, as Frame::blocks says
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
  // Null if the kernel cannot be compiled: `why` says so. The result lives until release(). linear: for blocks in which
  // %tid.x counts up by one from lane to lane of each warp, and %tid.y and %tid.z do not change.
  const Compiled* (*compile)(Compiler* compiler, const tier0::Program& program, bool linear, char* why,
                             std::size_t bytes) = nullptr;
  void (*release)(Compiler* compiler, const Compiled* compiled) = nullptr;
};
// The symbol kSymbol of the shared object.
using GetInterface = const Interface* (*)();

}  // namespace accelmesh::tier1
