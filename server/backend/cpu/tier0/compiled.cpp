// How compiled code runs the warps of a block: together, from barrier to barrier, as long as none of them needs tier 0.
#include "server/backend/cpu/tier0/compiled.h"

#include <algorithm>

namespace accelmesh::tier0 {
namespace {

// Turns of warps, between looks at the cancel flag and the clock; and where blocks wait for one another.
constexpr std::uint32_t kTurns = 512;
constexpr std::uint32_t kCooperativeTurns = 32;
// Of blocks that were begun together: then the others are not what a sweep is for either.
constexpr std::uint32_t kMissesMax = 2;

// The place of a warp that is one group; kNoEntry if it has none.
std::uint32_t PlaceOf(const BlockContext::State& s, const Group& group) {
  const tier1::Compiled& compiled = *s.compiled;
  if (group.state == Group::State::kReady) return compiled.places[group.pc];
  if (group.state != Group::State::kAtBarrier || group.barrier != compiled.barrier) return tier1::kNoEntry;
  return compiled.places[group.pc + 1];
}

// Whether to try.
bool Sweeps(const BlockContext::State& s) {
  const Dim3& block = s.launch->block;
  return s.compiled->sweep != nullptr && s.fresh && s.missed < kMissesMax && block.y == 1 && block.z == 1 &&
         block.x % kLanes == 0;
}

void EndBlock(BlockContext::State& s, std::uint32_t warps) {
  for (std::uint32_t w = 0; w < warps; ++w) {
    s.warps[w].alive = 0;
    s.warps[w].groups.clear();
  }
  s.alive_lanes = 0;
}

}  // namespace

bool ExecuteFor(tier1::Frame& frame, std::uint32_t pc, std::uint32_t mask) {
  Warp& warp = frame.warps[frame.warp];
  warp.alive = frame.alive;
  warp.block->block_id = {frame.block[0], frame.block[1], frame.block[2]};
  const Op& op = warp.block->program->ops[pc];
  Execute(warp, op, mask);
  return warp.faulted;
}

bool AllowFor(tier1::Frame& frame, std::uint64_t address, std::uint64_t bytes) {
  BlockContext::State& s = *frame.warps[frame.warp].block;
  std::uint64_t begin = 0;
  std::uint64_t size = 0;
  s.launch->memory->Around(address, &begin, &size);
  if (address - begin >= size || bytes > size - (address - begin)) return false;
  s.window_of = s.launch->memory;
  s.window_base = frame.window_base = begin;
  s.window_bytes = frame.window_bytes = size;
  return true;
}

void TakeGroups(Warp& warp, std::size_t g, std::uint32_t pc, const tier1::Frame& frame) {
  warp.groups[g].pc = pc;
  warp.groups[g].mask = frame.mask;
  for (std::uint32_t i = 0; i < frame.waiting; ++i)
    warp.groups.push_back({frame.groups[i].pc, frame.groups[i].mask, Group::State::kReady, 0});
}

bool CanRunTogether(const BlockContext::State& s) {
  const std::uint32_t warps = (s.threads + kLanes - 1) / kLanes;
  bool ready = false;
  for (std::uint32_t w = 0; w < warps; ++w) {
    const std::vector<Group>& groups = s.warps[w].groups;
    if (groups.empty()) continue;
    if (groups.size() != 1 || PlaceOf(s, groups[0]) == tier1::kNoEntry) return false;
    ready = ready || groups[0].state == Group::State::kReady;
  }
  return ready;
}

Together RunTogether(BlockContext::State& s) {
  const tier1::Compiled& compiled = *s.compiled;
  const std::uint32_t warps = (s.threads + kLanes - 1) / kLanes;
  tier1::Frame frame;
  FillFrame(s, frame);
  frame.together = warps;
  frame.grid[0] = s.launch->grid.x;
  frame.grid[1] = s.launch->grid.y;
  std::uint64_t swept = 0;
  bool sweeps = Sweeps(s);
  if (sweeps) {
    frame.warp = 0;
    frame.blocks = s.more;
    swept = compiled.sweep(&frame);
    if (swept > s.more) {
      s.block_index += s.more;
      s.more = 0;
      EndBlock(s, warps);
      return Together::kBetween;
    }
    if (swept == 0) ++s.missed;
    sweeps = Sweeps(s);
  }
  // Alone, if those behind it are for a sweep again.
  const std::uint64_t more = compiled.batches && !sweeps ? s.more - swept : 0;
  frame.arrived = 0;
  frame.warp = warps;
  for (std::uint32_t i = 0; i < warps; ++i) {
    // From the one whose turn it is on.
    const std::uint32_t w = (s.turn_of + i) % warps;
    const Warp& warp = s.warps[w];
    frame.alives[w] = warp.alive;
    if (warp.groups.empty()) {
      frame.places[w] = tier1::kGone;
      ++frame.gone;
      continue;
    }
    const bool ready = warp.groups[0].state == Group::State::kReady;
    frame.places[w] = PlaceOf(s, warp.groups[0]) | (ready ? 0 : tier1::kTurn);
    if (!ready) ++frame.arrived;
    if (ready && frame.warp == warps) frame.warp = w;
  }
  frame.limit = 0xffffffffu;
  frame.blocks = more;
  frame.entry = compiled.places[s.program->entry];
  frame.last = kAllLanes >> (warps * kLanes - s.threads);
  frame.budget = s.launch->cooperative ? kCooperativeBackEdges : kWarpBackEdges;
  frame.turns = s.launch->cooperative ? kCooperativeTurns : kTurns;
  frame.alive = frame.alives[frame.warp];
  const std::uint64_t at = compiled.code(&frame, frame.places[frame.warp], frame.alive);
  if (s.warps[frame.warp].faulted) return Together::kFaulted;
  const std::uint64_t begun = swept + more - frame.blocks;
  s.more -= begun;
  s.block_index += begun;
  if (at == tier1::kBlockDone) {
    EndBlock(s, warps);
    return Together::kBetween;
  }
  // Now as if tier 0 had come this far.
  if (begun != 0) {
    s.block_id = {frame.block[0], frame.block[1], frame.block[2]};
    FillConstants(s, warps);
  }
  const bool between = at == tier1::kBetween;
  const bool over = !between && (at & tier1::kInterpret) == 0;
  s.turn_of = over ? (frame.warp + 1) % warps : frame.warp;
  s.alive_lanes = 0;
  if (compiled.barrier != tier1::kNoBarrier) s.barriers[compiled.barrier] = {};
  for (std::uint32_t w = 0; w < warps; ++w) {
    Warp& warp = s.warps[w];
    const std::uint32_t place = frame.places[w];
    warp.groups.clear();
    if (w == frame.warp && !between) {
      warp.alive = frame.alive;
      warp.groups.push_back({});
      TakeGroups(warp, 0, static_cast<std::uint32_t>(at), frame);
    } else if ((place & tier1::kGone) != 0) {
      warp.alive = 0;
    } else {
      warp.alive = frame.alives[w];
      const std::uint32_t pc = compiled.pcs[place & ~tier1::kTurn];
      if ((place & tier1::kTurn) == frame.turn) {
        warp.groups.push_back({pc, warp.alive, Group::State::kReady, 0});
      } else {
        warp.groups.push_back({pc - 1, warp.alive, Group::State::kAtBarrier, compiled.barrier});
        s.barriers[compiled.barrier].arrived += CountLanes(warp.alive);
      }
    }
    s.alive_lanes += CountLanes(warp.alive);
  }
  return between || over ? Together::kBetween : Together::kApart;
}

}  // namespace accelmesh::tier0
