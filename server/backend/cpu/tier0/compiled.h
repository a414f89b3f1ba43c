// Where compiled code (tier1.h) meets the state of a block. Private to this folder.
#pragma once

#include "server/backend/cpu/tier0/warp.h"
#include "server/backend/cpu/tier1.h"

namespace accelmesh::tier0 {

// A warp may jump back this often, until another warp of the block gets a turn (spinning on what that one writes), or
// another block. A call counts as a jump back.
inline constexpr std::uint32_t kWarpBackEdges = 4096;
// The same where blocks wait for one another.
inline constexpr std::uint32_t kCooperativeBackEdges = 64;

// What compiled code calls (compiled.cpp).
bool ExecuteFor(tier1::Frame& frame, std::uint32_t pc, std::uint32_t mask);
bool AllowFor(tier1::Frame& frame, std::uint64_t address, std::uint64_t bytes);

// What is the same for all calls of a turn. Field by field and in place: a copy of what was just written would wait for
// it.
inline void FillFrame(BlockContext::State& s, tier1::Frame& frame) {
  frame.rows = s.rows.data();
  frame.predicates = s.predicates.data();
  frame.shared = s.shared_base();
  frame.arguments = s.launch->arguments.data();
  frame.argument_bytes = s.launch->arguments.size();
  frame.warps = s.warps.data();
  frame.execute = ExecuteFor;
  frame.allow = AllowFor;
  frame.shared_bytes = s.shared_bytes;
  frame.block[0] = s.block_id.x;
  frame.block[1] = s.block_id.y;
  frame.block[2] = s.block_id.z;
  frame.blocks = 0;
  frame.together = 0;
  frame.gone = 0;
  frame.arrived = 0;
  frame.turn = 0;
  const bool known = s.window_of == s.launch->memory;
  frame.window_base = known ? s.window_base : 0;
  frame.window_bytes = known ? s.window_bytes : 0;
}

// block.cpp: the rows that are there before a kernel begins.
void FillConstants(BlockContext::State& s, std::uint32_t warps);

// After compiled code has returned at `pc`: group `g` of the warp, and groups that part from it.
void TakeGroups(Warp& warp, std::size_t g, std::uint32_t pc, const tier1::Frame& frame);

// Whether every warp of the block is one group of lanes that compiled code can go on with, or waits at the barrier that
// it knows, or has exited.
bool CanRunTogether(const BlockContext::State& s);
enum class Together {
  kBetween,  // each warp stands where compiled code goes on, or all have exited
  kApart,    // one of them stands where tier 0 must
  kFaulted
};
Together RunTogether(BlockContext::State& s);

}  // namespace accelmesh::tier0
