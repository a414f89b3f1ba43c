// The inside of tier 0: decoded operations and the state of a block while it runs. Private to this folder.
#pragma once

#include <bit>
#include <cstring>
#include <type_traits>

#include "server/backend/cpu/tier0/tier0.h"

namespace accelmesh::tier0 {

inline constexpr std::uint32_t kLanes = 32;
inline constexpr std::uint32_t kAllLanes = 0xffffffffu;
// Of Op::b of a barrier without a count of threads.
inline constexpr std::uint32_t kNoRow = 0xffffffffu;

struct Warp;
struct Op;
using Handler = void (*)(Warp& warp, const Op& op, std::uint32_t mask);

enum class Control : std::uint8_t {
  kNone,
  kBranch,         // to immediate
  kBranchIndexed,  // to targets[a]
  kCall,           // to immediate; row d keeps where to return to
  kCallIndirect,   // to the function whose address is in row a
  kReturn,         // to row a
  kExit,
  kBarrier,   // of the block
  kLaneSync,  // the handler runs once all lanes named in row `members` have come
  kYield      // the handler runs; another warp of the block gets a turn
};

// What Execute() does around a handler.
enum Extra : std::uint8_t { kRounding = 1, kSaturateF32 = 2, kSaturateF64 = 4 };

// One decoded instruction. Operands are rows of the warp's register file (immediates and special registers have rows of
// their own), predicates rows of its predicate file. What the main loop reads lies in the first 64 bytes.
struct alignas(64) Op {
  Handler handler = nullptr;
  std::uint32_t d = 0, a = 0, b = 0, c = 0;
  std::int32_t guard = -1;
  Control control = Control::kNone;
  bool guard_negated = false;
  std::uint8_t extras = 0;      // bits of Extra
  std::uint8_t mode = 0;        // meaning belongs to the handler
  std::uint64_t immediate = 0;  // offset of an address; table of lop3; target of a branch
  std::int32_t predicate = -1;  // second destination or source predicate
  bool predicate_negated = false;
  std::uint8_t bytes = 0;  // of a memory access element
  std::uint8_t count = 1;  // elements of a vector access
  ptx::Space space = ptx::Space::kGlobal;
  std::uint32_t members = 0;      // row of the member mask of kLaneSync
  std::uint32_t mxcsr = 0;        // of kRounding
  bool members_constant = false;  // the mask is the same for all lanes
  bool pairs = false;             // meets lanes at other ops of its kind, too (bar.warp.sync)
  bool whole = false;             // does all of what its instruction says, but for addresses in frames

  std::uint32_t rows[8] = {};          // registers of a vector access
  std::vector<std::uint32_t> targets;  // of a table of branches; meaning belongs to the handler
  const ptx::Instruction* source = nullptr;
};

enum class Special : std::uint8_t {
  kTidX,
  kTidY,
  kTidZ,
  kNtidX,
  kNtidY,
  kNtidZ,
  kCtaidX,
  kCtaidY,
  kCtaidZ,
  kNctaidX,
  kNctaidY,
  kNctaidZ,
  kLaneid,
  kWarpid,
  kNwarpid,
  kMaskEq,
  kMaskLt,
  kMaskLe,
  kMaskGt,
  kMaskGe,
  kSmid,
  kNsmid,
  kGridid,
  kDynamicShared,
  kTotalShared,
  kWorkspaceLow,  // the address of GridLaunch::workspace
  kWorkspaceHigh,
  kClusteridX,
  kClusteridY,
  kClusteridZ,
  kNclusteridX,
  kNclusteridY,
  kNclusteridZ,
  kClusterCtaidX,
  kClusterCtaidY,
  kClusterCtaidZ,
  kClusterNctaidX,
  kClusterNctaidY,
  kClusterNctaidZ,
  kClusterCtarank,
  kClusterNctarank
};

// A function that a pointer may lead to.
struct Entry {
  std::uint64_t address = 0;
  std::uint32_t pc = 0;
  std::uint32_t return_row = 0;
  std::string refusal;  // why it cannot run, if so
};

struct Program {
  // Blocks that begin use it, by IsLinear() of their size.
  mutable std::atomic<const tier1::Compiled*> compiled[2] = {nullptr, nullptr};
  const ptx::Kernel* kernel = nullptr;
  std::uint64_t id = 0;     // of this decoding, never used again
  std::vector<Op> ops;      // functions, what they call before them, and then the kernel
  std::uint32_t entry = 0;  // the kernel's first op
  std::uint32_t rows = 0;
  std::uint32_t predicates = 0;
  std::uint32_t local_bytes = 0;  // of a lane; the stack of circular calls comes on top
  bool has_circular_calls = false;
  std::uint32_t stack_row = kNoRow;     // where memory that alloca took begins, if anything takes any (stack.cpp)
  std::uint32_t frame_row = kNoRow;     // where the running function's frame begins; the kernel's begins at 0
  std::vector<Entry> entries;           // by address
  std::uint32_t dynamic_shared_at = 0;  // behind everything static
  std::vector<std::pair<std::uint32_t, std::uint64_t>> constants;  // row, value
  std::vector<std::pair<std::uint32_t, Special>> specials;
};

struct Row {
  alignas(64) std::uint64_t lane[kLanes];
};

// Lanes of a warp that are at the same pc.
struct Group {
  std::uint32_t pc = 0;
  std::uint32_t mask = 0;
  enum class State : std::uint8_t { kReady, kAtBarrier, kAtLaneSync } state = State::kReady;
  std::uint32_t barrier = 0;
};

struct Warp {
  Row* r = nullptr;
  std::uint32_t* p = nullptr;
  BlockContext::State* block = nullptr;
  std::uint8_t* local = nullptr;  // lane l's local memory: local + l * local_stride
  std::uint32_t local_stride = 0;
  std::uint32_t index = 0;
  std::uint32_t alive = 0;
  std::uint32_t preferred = 0;  // lanes whose turn it is; 0: the lowest pc's
  std::uint32_t turn = 0;       // back edges since another group had the turn
  std::vector<Group> groups;
  bool faulted = false;
};

struct Barrier {
  std::uint32_t arrived = 0;   // lanes
  std::uint32_t expected = 0;  // 0: all threads of the block
  std::uint32_t votes = 0;     // lanes whose predicate held
};

// Memory that is aligned for every access.
struct Chunk {
  alignas(64) std::uint8_t bytes[64];
};

}  // namespace accelmesh::tier0

namespace accelmesh {
struct tier0::BlockContext::State {
  std::vector<Row> rows;
  std::vector<std::uint32_t> predicates;
  std::vector<Chunk> shared;
  std::unique_ptr<Chunk[]> local;  // never cleared: pages that no lane touches are never there
  std::size_t local_chunks = 0;
  std::vector<Warp> warps;
  Barrier barriers[16];
  const GridLaunch* launch = nullptr;
  const Program* program = nullptr;
  const tier1::Compiled* compiled = nullptr;  // the program's, if there was one when the block began
  // What compiled code last found allowed, of this map.
  const MemoryMap* window_of = nullptr;
  std::uint64_t window_base = 0;
  std::uint64_t window_bytes = 0;
  std::uint64_t constants_for = 0;  // Program::id of the constants that the rows hold
  std::uint32_t constants_warps = 0;
  Dim3 constants_block;  // block size of the special registers that the rows hold
  std::uint32_t shared_bytes = 0;
  std::uint32_t local_bytes = 0;  // of all lanes
  std::uint32_t threads = 0;
  std::uint32_t alive_lanes = 0;
  std::uint64_t block_index = 0;
  std::uint64_t count = 0;   // of blocks that were begun together
  std::uint64_t more = 0;    // of them that follow this one
  bool fresh = false;        // nothing of this block has run
  std::uint32_t missed = 0;  // blocks of them that Compiled::sweep was for, and which it did not run
  Dim3 block_id;
  std::uint32_t rounds = 0;   // over the warps
  std::uint32_t turn_of = 0;  // the warp at which this round goes on
  std::optional<Fault> fault;

  std::uint8_t* shared_base() { return shared.empty() ? nullptr : shared.front().bytes; }
  std::uint8_t* local_base() { return local == nullptr ? nullptr : local[0].bytes; }
};
}  // namespace accelmesh

namespace accelmesh::tier0 {

// Records the block's first fault.
void RaiseFault(Warp& warp, const Op& op, std::uint32_t lane, DeviceStatus status, std::string_view what);

template <typename T>
inline T Get(std::uint64_t v) {
  if constexpr (std::is_same_v<T, float>) {
    return std::bit_cast<float>(static_cast<std::uint32_t>(v));
  } else if constexpr (std::is_same_v<T, double>) {
    return std::bit_cast<double>(v);
  } else {
    return static_cast<T>(v);
  }
}
// The high bits of a row behind a value are of no meaning: every reader takes what its type says.
template <typename T>
inline std::uint64_t Put(T v) {
  if constexpr (std::is_same_v<T, float>) {
    return std::bit_cast<std::uint32_t>(v);
  } else if constexpr (std::is_same_v<T, double>) {
    return std::bit_cast<std::uint64_t>(v);
  } else {
    return static_cast<std::make_unsigned_t<T>>(v);
  }
}
// For ld and cvt, whose destination may be wider than their type: the value goes on by its sign.
template <typename T>
inline std::uint64_t PutExtended(T v) {
  if constexpr (std::is_floating_point_v<T>) {
    return Put<T>(v);
  } else {
    return static_cast<std::uint64_t>(v);
  }
}

// Runs `body(lane)` for the lanes of the mask; the full mask is a counted loop that the compiler vectorises.
template <typename Body>
inline __attribute__((always_inline)) void ForLanes(std::uint32_t mask, Body body) {
  if (mask == kAllLanes) {
    for (std::uint32_t l = 0; l < kLanes; ++l) body(l);
  } else {
    for (std::uint32_t m = mask; m != 0; m &= m - 1) body(static_cast<std::uint32_t>(std::countr_zero(m)));
  }
}
inline std::uint32_t FirstLane(std::uint32_t mask) { return static_cast<std::uint32_t>(std::countr_zero(mask)); }
inline std::uint32_t CountLanes(std::uint32_t mask) { return static_cast<std::uint32_t>(std::popcount(mask)); }

// run.cpp: what surrounds a handler.
void ExecuteWithExtras(Warp& warp, const Op& op, std::uint32_t mask);
inline void Execute(Warp& warp, const Op& op, std::uint32_t mask) {
  if (op.extras == 0) [[likely]] {
    op.handler(warp, op, mask);
  } else {
    ExecuteWithExtras(warp, op, mask);
  }
}

// The index in its block of a lane's thread.
Dim3 ThreadOf(const Warp& warp, std::uint32_t lane);
// run.cpp, for block.cpp. Runs a warp until no group of it is ready or its turn is over.
void RunWarp(Warp& warp);
// Lets lanes go that wait for lanes of their warp which cannot come, because nobody of the block can run. Whether any.
bool ReleaseStuckLanes(Warp& warp);
// memory.cpp, for runtime_calls.cpp: whether an address lies in memory of this block that generic addresses reach.
bool InsideBlock(const Warp& warp, std::uint64_t address, std::uint64_t bytes);

}  // namespace accelmesh::tier0
