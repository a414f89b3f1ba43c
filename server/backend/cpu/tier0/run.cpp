// How a warp runs: groups of lanes at one pc each, the lowest first.
#include <xmmintrin.h>

#include <algorithm>
#include <cstdio>

#include "server/backend/cpu/tier0/compiled.h"

namespace accelmesh::tier0 {
namespace {

// A lane group may jump back this often while others of its warp wait; then they get a turn (intra-warp spin locks).
constexpr std::uint32_t kGroupBackEdges = 1024;
// The same of compiled code, between looks at the cancel flag.
constexpr std::uint32_t kCompiledBackEdges = 1024;
// Back edges between looks at the cancel flag and the limits above. A power of two.
constexpr std::uint32_t kCheckEvery = 64;

std::uint32_t GuardMask(const Warp& warp, const Op& op, std::uint32_t mask) {
  if (op.guard < 0) return mask;
  const std::uint32_t predicate = warp.p[op.guard];
  return mask & (op.guard_negated ? ~predicate : predicate);
}
bool Cancelled(const Warp& warp) {
  const std::atomic<bool>* cancel = warp.block->launch->cancel;
  return cancel != nullptr && cancel->load(std::memory_order_relaxed);
}

// Barriers of the block
// ------------------------------------------------------------------------------------------------

void ReleaseBarrier(BlockContext::State& s, std::uint32_t id) {
  Barrier& barrier = s.barriers[id];
  // Lanes that have exited do not count any more.
  const std::uint32_t expected = barrier.expected == 0 ? s.alive_lanes : barrier.expected;
  if (barrier.arrived == 0 || barrier.arrived < expected) return;
  const std::uint32_t votes = barrier.votes;
  const std::uint32_t arrived = barrier.arrived;
  barrier = {};
  const std::uint32_t warps = (s.threads + kLanes - 1) / kLanes;
  for (std::uint32_t w = 0; w < warps; ++w) {
    for (Group& group : s.warps[w].groups) {
      if (group.state != Group::State::kAtBarrier || group.barrier != id) continue;
      const Op& op = s.program->ops[group.pc];
      if (op.mode == 3) {
        ForLanes(group.mask, [&](std::uint32_t l) { s.warps[w].r[op.d].lane[l] = votes; });
      } else if (op.mode != 0) {
        std::uint32_t& p = s.warps[w].p[op.d];
        p = (op.mode == 1 ? votes == arrived : votes != 0) ? p | group.mask : p & ~group.mask;
      }
      group.state = Group::State::kReady;
      ++group.pc;
    }
  }
}

void ArriveAtBarrier(Warp& warp, Group& group, const Op& op) {
  BlockContext::State& s = *warp.block;
  const std::uint32_t first = FirstLane(group.mask);
  const std::uint32_t id = static_cast<std::uint32_t>(warp.r[op.a].lane[first]) & 15;
  Barrier& barrier = s.barriers[id];
  if (op.b != kNoRow) barrier.expected = std::min(static_cast<std::uint32_t>(warp.r[op.b].lane[first]), s.threads);
  if (op.mode != 0) {
    const std::uint32_t p = op.predicate_negated ? ~warp.p[op.predicate] : warp.p[op.predicate];
    barrier.votes += CountLanes(p & group.mask);
  }
  barrier.arrived += CountLanes(group.mask);
  group.state = Group::State::kAtBarrier;
  group.barrier = id;
  if (op.bytes == 1) {  // barrier.arrive does not wait
    group.state = Group::State::kReady;
    ++group.pc;
  }
  ReleaseBarrier(s, id);
}

// Lanes of a warp that wait for one another
// ----------------------------------------------------------------------------

// Joins groups that are at one pc in one state.
void MergeGroups(Warp& warp, Group::State state) {
  auto& groups = warp.groups;
  for (std::size_t i = 0; i < groups.size(); ++i) {
    if (groups[i].state != state) continue;
    for (std::size_t j = i + 1; j < groups.size();) {
      if (groups[i].pc == groups[j].pc && groups[j].state == state) {
        groups[i].mask |= groups[j].mask;
        groups.erase(groups.begin() + static_cast<std::ptrdiff_t>(j));
      } else {
        ++j;
      }
    }
  }
}
// The lanes of a group whose member mask is `wanted`.
std::uint32_t LanesThatName(const Warp& warp, const Group& group, std::uint32_t wanted) {
  const std::uint64_t* members = warp.r[warp.block->program->ops[group.pc].members].lane;
  std::uint32_t same = 0;
  ForLanes(group.mask, [&](std::uint32_t l) {
    same |= static_cast<std::uint32_t>(static_cast<std::uint32_t>(members[l]) == wanted) << l;
  });
  return same;
}
// Runs the operation for lanes at it and lets them go on.
void LetGo(Warp& warp, std::size_t group, std::uint32_t lanes) {
  const std::uint32_t pc = warp.groups[group].pc;
  Execute(warp, warp.block->program->ops[pc], lanes);
  warp.groups[group].mask &= ~lanes;
  warp.groups.push_back({pc + 1, lanes, Group::State::kReady, 0});
}
// Looks for waiting lanes whose fellow members have all come or exited; `force` takes those that have come for all,
// because nobody of the block can run any more. Whether any went on.
bool ReleaseLanes(Warp& warp, bool force) {
  MergeGroups(warp, Group::State::kAtLaneSync);
  const Program& program = *warp.block->program;
  bool released = false;
  const std::size_t count = warp.groups.size();
  for (std::size_t g = 0; g < count && !warp.faulted; ++g) {
    while (warp.groups[g].state == Group::State::kAtLaneSync && warp.groups[g].mask != 0) {
      const Op& op = program.ops[warp.groups[g].pc];
      std::uint32_t tried = 0;
      std::uint32_t ready = 0;
      std::uint32_t wanted = 0;
      // One mask after the other, until one is complete.
      for (std::uint32_t left = warp.groups[g].mask; left != 0 && ready == 0; left &= ~tried) {
        wanted = static_cast<std::uint32_t>(warp.r[op.members].lane[FirstLane(left)]);
        tried = LanesThatName(warp, warp.groups[g], wanted);
        std::uint32_t present = tried;
        for (std::size_t other = 0; op.pairs && other < count; ++other) {
          const Group& group = warp.groups[other];
          if (group.state == Group::State::kAtLaneSync && program.ops[group.pc].pairs)
            present |= LanesThatName(warp, group, wanted);
        }
        if (force || (wanted & warp.alive & ~present) == 0) ready = tried;
      }
      if (ready == 0) break;
      released = true;
      for (std::size_t other = 0; op.pairs && other < count; ++other) {
        const Group group = warp.groups[other];
        if (other == g || group.state != Group::State::kAtLaneSync || !program.ops[group.pc].pairs) continue;
        if (const std::uint32_t lanes = LanesThatName(warp, group, wanted); lanes != 0) LetGo(warp, other, lanes);
      }
      LetGo(warp, g, ready);
    }
  }
  std::erase_if(warp.groups, [](const Group& group) { return group.mask == 0; });
  return released;
}
// Whether the lanes at an operation are all that they wait for, and so may run it at once.
bool Complete(const Warp& warp, const Op& op, std::uint32_t mask) {
  const std::uint64_t* members = warp.r[op.members].lane;
  const std::uint32_t wanted = static_cast<std::uint32_t>(members[FirstLane(mask)]);
  if ((wanted & warp.alive & ~mask) != 0) return false;
  if (op.members_constant) return true;
  std::uint64_t differs = 0;
  ForLanes(mask, [&](std::uint32_t l) { differs |= static_cast<std::uint32_t>(members[l]) ^ wanted; });
  return differs == 0;
}

// Groups
// ---------------------------------------------------------------------------------------------------------------

void Exit(Warp& warp, std::size_t group) {
  BlockContext::State& s = *warp.block;
  const std::uint32_t mask = warp.groups[group].mask;
  warp.alive &= ~mask;
  s.alive_lanes -= CountLanes(mask);
  warp.groups.erase(warp.groups.begin() + static_cast<std::ptrdiff_t>(group));
  if (!warp.groups.empty()) ReleaseLanes(warp, false);
  for (std::uint32_t id = 0; id < 16; ++id) {
    if (s.barriers[id].arrived != 0) ReleaseBarrier(s, id);
  }
}

// The group that runs next: the preferred lanes', else the one with the lowest pc. -1 if none is ready.
int PickGroup(Warp& warp) {
  auto& groups = warp.groups;
  if (groups.size() == 1) [[likely]]
    return groups[0].state == Group::State::kReady ? 0 : -1;
  MergeGroups(warp, Group::State::kReady);
  int best = -1;
  for (std::size_t i = 0; i < groups.size(); ++i) {
    if (groups[i].state != Group::State::kReady) continue;
    if ((groups[i].mask & warp.preferred) != 0) return static_cast<int>(i);
    if (best < 0 || groups[i].pc < groups[static_cast<std::size_t>(best)].pc) best = static_cast<int>(i);
  }
  warp.preferred = 0;
  return best;
}
// Gives the turn to the ready group behind the one that has it.
void Rotate(Warp& warp) {
  const int current = PickGroup(warp);
  const std::size_t size = warp.groups.size();
  for (std::size_t i = 1; current >= 0 && i < size; ++i) {
    const Group& group = warp.groups[(static_cast<std::size_t>(current) + i) % size];
    if (group.state != Group::State::kReady) continue;
    warp.preferred = group.mask & (~group.mask + 1);
    return;
  }
}

// Sends each lane of a group to the pc that `target` says.
template <typename Target>
void Scatter(Warp& warp, std::size_t group, Target target) {
  std::uint32_t left = warp.groups[group].mask;
  warp.groups.erase(warp.groups.begin() + static_cast<std::ptrdiff_t>(group));
  while (left != 0) {
    const std::uint32_t pc = target(FirstLane(left));
    std::uint32_t same = 0;
    ForLanes(left, [&](std::uint32_t l) { same |= static_cast<std::uint32_t>(target(l) == pc) << l; });
    warp.groups.push_back({pc, same, Group::State::kReady, 0});
    left &= ~same;
  }
}

// Sends the lanes of a group to the functions whose addresses row a holds.
void CallIndirect(Warp& warp, std::size_t g, const Op& op) {
  const std::vector<Entry>& entries = warp.block->program->entries;
  const std::uint32_t back = warp.groups[g].pc + 1;
  std::uint32_t targets[kLanes] = {};
  for (std::uint32_t m = warp.groups[g].mask; m != 0; m &= m - 1) {
    const std::uint32_t l = FirstLane(m);
    const std::uint64_t address = warp.r[op.a].lane[l];
    const auto entry = std::lower_bound(entries.begin(), entries.end(), address,
                                        [](const Entry& one, std::uint64_t wanted) { return one.address < wanted; });
    if (entry == entries.end() || entry->address != address) {
      char text[80];
      std::snprintf(text, sizeof(text), "call of address 0x%llx, where no function of this kind is",
                    static_cast<unsigned long long>(address));
      return RaiseFault(warp, op, l, kDeviceInvalidPc, text);
    }
    if (!entry->refusal.empty()) return RaiseFault(warp, op, l, kDeviceNotSupported, entry->refusal);
    targets[l] = entry->pc;
    warp.r[entry->return_row].lane[l] = back;
  }
  Scatter(warp, g, [&targets](std::uint32_t l) { return targets[l]; });
}

// A control operation of lanes that are a group of their own, at its pc. Whether the warp ends its turn.
bool Step(Warp& warp, std::size_t g, const Op& op) {
  const std::uint32_t pc = warp.groups[g].pc;
  switch (op.control) {
    case Control::kExit: Exit(warp, g); break;
    case Control::kBarrier: ArriveAtBarrier(warp, warp.groups[g], op); break;
    case Control::kLaneSync:
      warp.groups[g].state = Group::State::kAtLaneSync;
      ReleaseLanes(warp, false);
      break;
    case Control::kBranchIndexed:
      Scatter(warp, g, [&](std::uint32_t l) {
        const std::uint32_t index = static_cast<std::uint32_t>(warp.r[op.a].lane[l]);
        return index < op.targets.size() ? op.targets[index] : pc + 1;
      });
      break;
    case Control::kCall:
      ForLanes(warp.groups[g].mask, [&](std::uint32_t l) { warp.r[op.d].lane[l] = pc + 1; });
      warp.groups[g].pc = static_cast<std::uint32_t>(op.immediate);
      break;
    case Control::kReturn:
      Scatter(warp, g, [&](std::uint32_t l) { return static_cast<std::uint32_t>(warp.r[op.a].lane[l]); });
      break;
    case Control::kCallIndirect: CallIndirect(warp, g, op); break;
    case Control::kYield:
      // Lanes that sleep give the turn to the other lanes of their warp as well.
      ++warp.groups[g].pc;
      Rotate(warp);
      return true;
    case Control::kNone:
    case Control::kBranch: break;
  }
  return false;
}

// The lowest pc above that of group g at which another ready group stands: there the two may become one.
std::uint32_t MeetingPoint(const Warp& warp, std::size_t g) {
  std::uint32_t limit = 0xffffffffu;
  for (std::size_t i = 0; i < warp.groups.size(); ++i) {
    const Group& group = warp.groups[i];
    if (i != g && group.state == Group::State::kReady && group.pc > warp.groups[g].pc)
      limit = std::min(limit, group.pc);
  }
  return limit;
}

// kCompiled: wherever compiled code can go on, it does. kCounts: what lanes run is counted.
template <bool kCompiled, bool kCounts = false>
void RunWarpIn(Warp& warp) {
  const Op* ops = warp.block->program->ops.data();
  const tier1::Compiled* compiled = warp.block->compiled;
  [[maybe_unused]] tier1::Frame frame;
  if constexpr (kCompiled) FillFrame(*warp.block, frame);
  const auto begins_code = [&](std::uint32_t pc) {
    if constexpr (kCompiled) {
      return compiled->entries[pc] != tier1::kNoEntry;
    } else {
      return false;
    }
  };
  const std::uint32_t back_edges_max = warp.block->launch->cooperative ? kCooperativeBackEdges : kWarpBackEdges;
  std::uint32_t back_edges = 0;
  bool check = false;
  while (true) {
    if (check && Cancelled(warp)) warp.faulted = true;
    if (warp.faulted) return;
    check = false;
    if (back_edges >= back_edges_max) return;
    if (warp.turn >= kGroupBackEdges) {
      warp.turn = 0;
      Rotate(warp);
    }
    const int picked = warp.groups.empty() ? -1 : PickGroup(warp);
    if (picked < 0) return;
    const auto g = static_cast<std::size_t>(picked);
    bool alone = warp.groups.size() == 1;
    std::uint32_t limit = alone ? 0xffffffffu : MeetingPoint(warp, g);
    std::uint32_t group_mask = warp.groups[g].mask;
    std::uint32_t pc = warp.groups[g].pc;
    if constexpr (kCompiled) {
      if (begins_code(pc)) {
        // A group that has the turn out of order must look for lower ones after each jump back.
        const std::uint32_t budget = alone ? std::min(back_edges_max - back_edges, kCompiledBackEdges)
                                     : warp.preferred == 0
                                         ? std::min(back_edges_max - back_edges, kGroupBackEdges - warp.turn)
                                         : 1;
        frame.budget = budget;
        frame.limit = limit;
        frame.alive = warp.alive;
        frame.warp = warp.index;
        const std::uint64_t at = compiled->code(&frame, compiled->entries[pc], group_mask);
        if (warp.faulted) return;
        const std::uint32_t used = budget - frame.budget;
        back_edges += used;
        warp.turn += used;
        check = used != 0;
        pc = static_cast<std::uint32_t>(at);
        TakeGroups(warp, g, pc, frame);
        if ((at & tier1::kInterpret) == 0) continue;
        alone = warp.groups.size() == 1;
        limit = alone ? 0xffffffffu : MeetingPoint(warp, g);
        group_mask = warp.groups[g].mask;
      }
    }
    while (true) {
      const Op& op = ops[pc];
      const std::uint32_t mask = GuardMask(warp, op, group_mask);
      if constexpr (kCounts) *warp.block->launch->instructions += CountLanes(group_mask);
      if (op.control == Control::kNone) [[likely]] {
        if (mask != 0) {
          Execute(warp, op, mask);
          if (warp.faulted) [[unlikely]]
            return;
        }
        if (++pc < limit && !begins_code(pc)) continue;
        break;
      }
      if (mask == 0) {
        if (++pc < limit && !begins_code(pc)) continue;
        break;
      }
      if (op.control == Control::kLaneSync && mask == group_mask && Complete(warp, op, mask)) {
        Execute(warp, op, mask);
        if (warp.faulted) [[unlikely]]
          return;
        if (++pc < limit && !begins_code(pc)) continue;
        break;
      }
      const auto target = static_cast<std::uint32_t>(op.immediate);
      if (op.control == Control::kBranchIndexed || op.control == Control::kCall ||
          op.control == Control::kCallIndirect || (op.control == Control::kBranch && target <= pc)) {
        ++warp.turn;
        check = (++back_edges & (kCheckEvery - 1)) == 0;
      }
      if (op.control == Control::kBranch && mask == group_mask) {
        pc = target;
        if (alone && !check && !begins_code(pc)) continue;
        break;
      }
      // The lanes that take the control operation become a group of their own.
      warp.groups[g].pc = pc;
      warp.groups[g].mask = mask;
      if (mask != group_mask) warp.groups.push_back({pc + 1, group_mask & ~mask, Group::State::kReady, 0});
      if (op.control == Control::kBranch) {
        warp.groups[g].pc = target;
      } else if (Step(warp, g, op)) {
        return;
      }
      pc = 0xffffffffu;
      break;
    }
    if (pc != 0xffffffffu) warp.groups[g].pc = pc;
  }
}

template <typename T>
void Saturate(Warp& warp, const Op& op, std::uint32_t mask) {
  std::uint64_t* d = warp.r[op.d].lane;
  ForLanes(mask, [d](std::uint32_t l) {
    const T v = Get<T>(d[l]);
    d[l] = Put<T>(v > 0 ? std::min(v, T{1}) : T{0});  // NaN becomes 0
  });
}
}  // namespace

void ExecuteWithExtras(Warp& warp, const Op& op, std::uint32_t mask) {
  if ((op.extras & kRounding) != 0) {
    const unsigned before = _mm_getcsr();
    _mm_setcsr(op.mxcsr);
    op.handler(warp, op, mask);
    _mm_setcsr(before);
  } else {
    op.handler(warp, op, mask);
  }
  if ((op.extras & kSaturateF32) != 0) Saturate<float>(warp, op, mask);
  if ((op.extras & kSaturateF64) != 0) Saturate<double>(warp, op, mask);
}
bool ReleaseStuckLanes(Warp& warp) { return ReleaseLanes(warp, true); }

void RunWarp(Warp& warp) {
  if (warp.block->launch->instructions != nullptr) [[unlikely]] {
    RunWarpIn<false, true>(warp);
  } else if (warp.block->compiled != nullptr) {
    RunWarpIn<true>(warp);
  } else {
    RunWarpIn<false>(warp);
  }
}

}  // namespace accelmesh::tier0
