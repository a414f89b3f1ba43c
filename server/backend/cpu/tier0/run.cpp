#include <xmmintrin.h>

#include <algorithm>

#include "server/backend/cpu/tier0/warp.h"

namespace accelmesh::tier0 {
namespace {

// A lane group may jump back this often while others of its warp wait; then they get a turn (intra-warp spin locks).
constexpr std::uint32_t kFairnessBackEdges = 1000;
constexpr std::uint32_t kNoBarrier = 0xffffffffu;

std::uint32_t GuardMask(const Warp& warp, const Op& op, std::uint32_t mask) {
  if (op.guard < 0) return mask;
  const std::uint32_t predicate = warp.p[op.guard];
  return mask & (op.guard_negated ? ~predicate : predicate);
}

std::uint64_t SpecialValue(const BlockContext::State& block, Special special, std::uint32_t thread,
                           std::uint32_t lane) {
  const Dim3& n = block.launch->block;
  const Dim3& g = block.launch->grid;
  switch (special) {
    case Special::kTidX: return thread % n.x;
    case Special::kTidY: return thread / n.x % n.y;
    case Special::kTidZ: return thread / n.x / n.y;
    case Special::kNtidX: return n.x;
    case Special::kNtidY: return n.y;
    case Special::kNtidZ: return n.z;
    case Special::kCtaidX: return block.block_id.x;
    case Special::kCtaidY: return block.block_id.y;
    case Special::kCtaidZ: return block.block_id.z;
    case Special::kNctaidX: return g.x;
    case Special::kNctaidY: return g.y;
    case Special::kNctaidZ: return g.z;
    case Special::kLaneid: return lane;
    case Special::kWarpid: return thread / kLanes;
    case Special::kNwarpid: return (block.threads + kLanes - 1) / kLanes;
    case Special::kMaskEq: return 1u << lane;
    case Special::kMaskLt: return (1u << lane) - 1;
    case Special::kMaskLe: return (2u << lane) - 1;
    case Special::kMaskGt: return static_cast<std::uint32_t>(~((2u << lane) - 1));
    case Special::kMaskGe: return static_cast<std::uint32_t>(~((1u << lane) - 1));
    case Special::kDynamicShared: return block.launch->dynamic_shared_bytes;
    case Special::kTotalShared: return block.shared_bytes;
    case Special::kNsmid: return 1;
    case Special::kSmid:
    case Special::kGridid:
    case Special::kClock: return 0;
  }
  return 0;
}

void Prepare(const GridLaunch& launch, std::uint64_t index, BlockContext::State& s) {
  const Program& program = launch.kernel->program();
  const ptx::Kernel& kernel = *program.kernel;
  s.launch = &launch;
  s.program = &program;
  s.threads = static_cast<std::uint32_t>(launch.block.count());
  s.alive_lanes = s.threads;
  s.block_index = index;
  s.block_id = {static_cast<std::uint32_t>(index % launch.grid.x),
                static_cast<std::uint32_t>(index / launch.grid.x % launch.grid.y),
                static_cast<std::uint32_t>(index / launch.grid.x / launch.grid.y)};
  s.fault.reset();
  s.shared_bytes = static_cast<std::uint32_t>(AlignUp(kernel.static_shared_bytes, 16)) + launch.dynamic_shared_bytes;
  if (s.shared.size() < s.shared_bytes) s.shared.resize(s.shared_bytes);
  const std::uint32_t warps = (s.threads + kLanes - 1) / kLanes;
  const std::uint32_t stride = static_cast<std::uint32_t>(AlignUp(kernel.local_bytes, 16));
  if (s.local.size() < std::size_t{stride} * warps * kLanes) s.local.resize(std::size_t{stride} * warps * kLanes);
  const bool warm = s.constants_for == &program && s.constants_rows >= std::size_t{warps} * program.rows;
  if (s.rows.size() < std::size_t{warps} * program.rows) s.rows.resize(std::size_t{warps} * program.rows);
  if (s.predicates.size() < std::size_t{warps} * program.predicates)
    s.predicates.resize(std::size_t{warps} * program.predicates);
  if (s.warps.size() < warps) s.warps.resize(warps);
  for (Barrier& barrier : s.barriers) barrier = {};
  for (std::uint32_t w = 0; w < warps; ++w) {
    Warp& warp = s.warps[w];
    warp.r = s.rows.data() + std::size_t{w} * program.rows;
    warp.p = s.predicates.data() + std::size_t{w} * program.predicates;
    warp.block = &s;
    warp.local_stride = stride;
    warp.local = s.local.data() + std::size_t{stride} * w * kLanes;
    warp.index = w;
    warp.faulted = false;
    const std::uint32_t lanes = std::min(kLanes, s.threads - w * kLanes);
    warp.alive = lanes == kLanes ? kAllLanes : (1u << lanes) - 1;
    warp.groups.assign(1, {0, warp.alive, Group::State::kReady, 0});
    if (!warm) {
      for (const auto& [row, value] : program.constants) std::fill_n(warp.r[row].lane, kLanes, value);
    }
    for (const auto& [row, special] : program.specials) {
      for (std::uint32_t l = 0; l < kLanes; ++l) warp.r[row].lane[l] = SpecialValue(s, special, w * kLanes + l, l);
    }
  }
  s.constants_for = &program;
  if (!warm) s.constants_rows = std::size_t{warps} * program.rows;
}

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
      if (op.mode != 0) {  // bar.red: 1 and, 2 or, 3 popc
        if (op.mode == 3) {
          ForLanes(group.mask, [&](std::uint32_t l) { s.warps[w].r[op.d].lane[l] = votes; });
        } else {
          const bool holds = op.mode == 1 ? votes == arrived : votes != 0;
          std::uint32_t& p = s.warps[w].p[op.d];
          p = holds ? p | group.mask : p & ~group.mask;
        }
      }
      group.state = Group::State::kReady;
      ++group.pc;
    }
  }
}

void ArriveAtBarrier(Warp& warp, Group& group, const Op& op) {
  BlockContext::State& s = *warp.block;
  const std::uint32_t first = static_cast<std::uint32_t>(std::countr_zero(group.mask));
  const std::uint32_t id = static_cast<std::uint32_t>(warp.r[op.a].lane[first]) & 15;
  Barrier& barrier = s.barriers[id];
  if (op.b != kNoBarrier) barrier.expected = std::min(static_cast<std::uint32_t>(warp.r[op.b].lane[first]), s.threads);
  if (op.mode != 0) {
    const std::uint32_t p = op.predicate_negated ? ~warp.p[op.predicate] : warp.p[op.predicate];
    barrier.votes += static_cast<std::uint32_t>(std::popcount(p & group.mask));
  }
  barrier.arrived += static_cast<std::uint32_t>(std::popcount(group.mask));
  group.state = Group::State::kAtBarrier;
  group.barrier = id;
  if (op.bytes == 1) {  // barrier.arrive does not wait
    group.state = Group::State::kReady;
    ++group.pc;
  }
  ReleaseBarrier(s, id);
}

// Lanes of __syncwarp wait until every lane that is still in the warp has come, or none can.
void TryReleaseWarpBarrier(Warp& warp) {
  for (const Group& group : warp.groups) {
    if (group.state == Group::State::kReady) return;
  }
  for (Group& group : warp.groups) {
    if (group.state != Group::State::kAtWarpBarrier) continue;
    group.state = Group::State::kReady;
    ++group.pc;
  }
}

void Exit(Warp& warp, std::size_t group, std::uint32_t mask) {
  BlockContext::State& s = *warp.block;
  warp.alive &= ~mask;
  s.alive_lanes -= static_cast<std::uint32_t>(std::popcount(mask));
  warp.groups[group].mask &= ~mask;
  if (warp.groups[group].mask == 0) {
    warp.groups.erase(warp.groups.begin() + static_cast<std::ptrdiff_t>(group));
  } else {
    ++warp.groups[group].pc;
  }
  for (std::uint32_t id = 0; id < 16; ++id) ReleaseBarrier(s, id);
}

// Merges groups at the same pc and picks the ready one with the lowest. -1 if none is ready.
int PickGroup(Warp& warp) {
  auto& groups = warp.groups;
  for (std::size_t i = 0; i < groups.size(); ++i) {
    for (std::size_t j = i + 1; j < groups.size();) {
      if (groups[i].pc == groups[j].pc && groups[i].state == Group::State::kReady &&
          groups[j].state == Group::State::kReady) {
        groups[i].mask |= groups[j].mask;
        groups.erase(groups.begin() + static_cast<std::ptrdiff_t>(j));
      } else {
        ++j;
      }
    }
  }
  int best = -1;
  for (std::size_t i = 0; i < groups.size(); ++i) {
    if (groups[i].state != Group::State::kReady) continue;
    if (best < 0 || groups[i].pc < groups[static_cast<std::size_t>(best)].pc) best = static_cast<int>(i);
  }
  return best;
}

void Execute(Warp& warp, const Op& op, std::uint32_t mask) {
  if (op.mxcsr != 0) {
    const unsigned before = _mm_getcsr();
    _mm_setcsr(op.mxcsr);
    op.handler(warp, op, mask);
    _mm_setcsr(before);
  } else {
    op.handler(warp, op, mask);
  }
  if (op.saturate) {
    std::uint64_t* d = warp.r[op.d].lane;
    if (ptx::ParseType(op.source->opcode.back()) == ptx::Type::kF64) {
      ForLanes(mask, [d](std::uint32_t l) {
        const double v = Get<double>(d[l]);
        d[l] = Put<double>(v > 0 ? std::min(v, 1.0) : 0.0);
      });
    } else {
      ForLanes(mask, [d](std::uint32_t l) {
        const float v = Get<float>(d[l]);
        d[l] = Put<float>(v > 0 ? std::min(v, 1.0f) : 0.0f);
      });
    }
  }
}

// Runs a warp until no group of it is ready.
void RunWarp(Warp& warp) {
  const Program& program = *warp.block->program;
  const Op* ops = program.ops.data();
  std::uint32_t back_edges = 0;
  std::size_t rotate = 0;
  while (!warp.faulted) {
    int picked = PickGroup(warp);
    if (picked < 0) {
      const std::size_t before = warp.groups.size();
      TryReleaseWarpBarrier(warp);
      picked = PickGroup(warp);
      if (picked < 0 || before == 0) return;
    }
    if (back_edges > kFairnessBackEdges) {
      // Somebody else's turn, until it jumps back itself.
      back_edges = 0;
      for (std::size_t i = 0; i < warp.groups.size(); ++i) {
        const std::size_t candidate = ++rotate % warp.groups.size();
        if (warp.groups[candidate].state != Group::State::kReady) continue;
        picked = static_cast<int>(candidate);
        break;
      }
    }
    const std::size_t g = static_cast<std::size_t>(picked);
    // The lowest pc at which another ready group waits: there this one may merge.
    std::uint32_t limit = 0xffffffffu;
    for (std::size_t i = 0; i < warp.groups.size(); ++i) {
      if (i != g && warp.groups[i].state == Group::State::kReady && warp.groups[i].pc > warp.groups[g].pc) {
        limit = std::min(limit, warp.groups[i].pc);
      }
    }
    std::uint32_t pc = warp.groups[g].pc;
    const std::uint32_t group_mask = warp.groups[g].mask;
    while (pc < limit) {
      const Op& op = ops[pc];
      const std::uint32_t mask = GuardMask(warp, op, group_mask);
      if (op.control == Control::kNone) [[likely]] {
        if (mask != 0) {
          Execute(warp, op, mask);
          if (warp.faulted) [[unlikely]]
            return;
        }
        ++pc;
        continue;
      }
      if (op.control == Control::kBranch) {
        const std::uint32_t target = static_cast<std::uint32_t>(op.immediate);
        if (target <= pc && mask != 0) {
          ++back_edges;
          if ((back_edges & 255) == 0 && warp.block->launch->cancel != nullptr &&
              warp.block->launch->cancel->load(std::memory_order_relaxed)) {
            warp.faulted = true;
            return;
          }
        }
        if (mask == group_mask) {
          pc = target;
          if (warp.groups.size() > 1) break;
          continue;
        }
        if (mask == 0) {
          ++pc;
          continue;
        }
        warp.groups[g].mask = group_mask & ~mask;
        warp.groups[g].pc = pc + 1;
        warp.groups.push_back({target, mask, Group::State::kReady, 0});
        pc = kNoBarrier;
        break;
      }
      warp.groups[g].pc = pc;
      if (mask == 0) {
        ++pc;
        continue;
      }
      if (mask != group_mask) {
        // Only part of the lanes takes the control operation: the others become a group of their own.
        warp.groups[g].mask = mask;
        warp.groups.push_back({pc + 1, group_mask & ~mask, Group::State::kReady, 0});
      }
      pc = kNoBarrier;
      switch (op.control) {
        case Control::kExit: Exit(warp, g, mask); break;
        case Control::kBarrier: ArriveAtBarrier(warp, warp.groups[g], op); break;
        case Control::kWarpBarrier: warp.groups[g].state = Group::State::kAtWarpBarrier; break;
        case Control::kBranchIndexed: {
          Group from = warp.groups[g];
          warp.groups.erase(warp.groups.begin() + static_cast<std::ptrdiff_t>(g));
          ForLanes(from.mask, [&](std::uint32_t l) {
            const std::uint64_t index = warp.r[op.a].lane[l] & 0xffffffffu;
            const std::uint32_t target = index < op.targets.size() ? op.targets[index] : from.pc + 1;
            warp.groups.push_back({target, 1u << l, Group::State::kReady, 0});
          });
          break;
        }
        case Control::kYield: ++warp.groups[g].pc; return;
        case Control::kNone:
        case Control::kBranch: break;
      }
      break;
    }
    if (pc != kNoBarrier) warp.groups[g].pc = pc;
  }
}

}  // namespace

void RaiseFault(Warp& warp, const Op& op, std::uint32_t lane, DeviceStatus status, std::string_view what) {
  warp.faulted = true;
  BlockContext::State& s = *warp.block;
  if (s.fault.has_value()) return;
  const std::uint32_t thread = warp.index * kLanes + lane;
  const Dim3& n = s.launch->block;
  std::string text(what);
  text += " in kernel " + s.program->kernel->name + ", block (" + std::to_string(s.block_id.x) + "," +
          std::to_string(s.block_id.y) + "," + std::to_string(s.block_id.z) + "), thread (" +
          std::to_string(thread % n.x) + "," + std::to_string(thread / n.x % n.y) + "," +
          std::to_string(thread / n.x / n.y) + "), ptx line " + std::to_string(op.source->line) + ": " +
          std::string(op.source->text);
  s.fault = Fault{status, std::move(text)};
}

BlockContext::BlockContext() : state_(std::make_unique<State>()) {}
BlockContext::~BlockContext() = default;

std::optional<Fault> RunBlock(const GridLaunch& launch, std::uint64_t block_index, BlockContext& context) {
  BlockContext::State& s = context.state();
  Prepare(launch, block_index, s);
  const std::uint32_t warps = (s.threads + kLanes - 1) / kLanes;
  bool progress = true;
  while (s.alive_lanes != 0 && progress) {
    progress = false;
    for (std::uint32_t w = 0; w < warps; ++w) {
      Warp& warp = s.warps[w];
      if (warp.groups.empty()) continue;
      const bool ready = std::any_of(warp.groups.begin(), warp.groups.end(),
                                     [](const Group& g) { return g.state != Group::State::kAtBarrier; });
      if (!ready) continue;
      progress = true;
      RunWarp(warp);
      if (warp.faulted) return s.fault;
    }
  }
  if (s.alive_lanes != 0) {
    return Fault{kDeviceLaunchFailed, "threads of a block wait at a barrier that the others never reach, in kernel " +
                                          s.program->kernel->name};
  }
  return std::nullopt;
}

void MemoryMap::Reset(std::uint64_t base, std::uint64_t bytes) {
  base_ = base;
  bytes_ = bytes;
  const std::uint64_t chunks = (bytes >> kChunkShift) + 1;
  words_ = std::make_unique<std::atomic<std::uint64_t>[]>((chunks >> 6) + 1);
}

void MemoryMap::Allow(std::uint64_t address, std::uint64_t bytes) {
  const std::uint64_t offset = address - base_;
  if (bytes == 0 || offset >= bytes_ || bytes > bytes_ - offset) return;
  for (std::uint64_t chunk = offset >> kChunkShift; chunk <= (offset + bytes - 1) >> kChunkShift; ++chunk) {
    words_[chunk >> 6].fetch_or(std::uint64_t{1} << (chunk & 63), std::memory_order_relaxed);
  }
}

}  // namespace accelmesh::tier0
