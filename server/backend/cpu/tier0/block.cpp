// How a block runs: prepared, then its warps in turn until all lanes have exited.
#include <sched.h>

#include <algorithm>
#include <new>

#include "protocol/base/limits.h"
#include "server/backend/cpu/tier0/compiled.h"

namespace accelmesh::tier0 {
namespace {

constexpr std::uint64_t kThreadsMax = 1024;
constexpr std::uint64_t kSharedBytesMax = 64 * limits::kMiB;
// Rounds over the warps, after which the thread lets others of the machine run.
constexpr std::uint32_t kRoundsBeforeYield = 16;
// Rounds between looks at the clock, of blocks that wait for no others. A power of two.
constexpr std::uint32_t kRoundsBetweenLooks = 8;
// What a frame takes here compared with a GPU, which keeps a call's registers where they are if it can and packs them
// if not: so that a program whose recursion fits into CUDA's limit there fits here.
constexpr std::uint64_t kStackScale = 16;
constexpr std::uint64_t kStackBytesMax = 512 * limits::kKiB;  // of a lane

// Special registers that are the same for all lanes of a warp; false for the others.
bool UniformSpecial(const BlockContext::State& s, Special special, std::uint64_t* value) {
  const Dim3& n = s.launch->block;
  const Dim3& g = s.launch->grid;
  const Dim3& c = s.launch->cluster;
  switch (special) {
    case Special::kNtidX: *value = n.x; return true;
    case Special::kNtidY: *value = n.y; return true;
    case Special::kNtidZ: *value = n.z; return true;
    case Special::kCtaidX: *value = s.block_id.x; return true;
    case Special::kCtaidY: *value = s.block_id.y; return true;
    case Special::kCtaidZ: *value = s.block_id.z; return true;
    case Special::kNctaidX: *value = g.x; return true;
    case Special::kNctaidY: *value = g.y; return true;
    case Special::kNctaidZ: *value = g.z; return true;
    case Special::kNwarpid: *value = (s.threads + kLanes - 1) / kLanes; return true;
    case Special::kDynamicShared: *value = s.launch->dynamic_shared_bytes; return true;
    case Special::kTotalShared: *value = s.shared_bytes; return true;
    case Special::kWorkspaceLow:
      *value = static_cast<std::uint32_t>(reinterpret_cast<std::uint64_t>(s.launch->workspace.data()));
      return true;
    case Special::kWorkspaceHigh:
      *value = reinterpret_cast<std::uint64_t>(s.launch->workspace.data()) >> 32;
      return true;
    case Special::kClusteridX: *value = s.block_id.x / c.x; return true;
    case Special::kClusteridY: *value = s.block_id.y / c.y; return true;
    case Special::kClusteridZ: *value = s.block_id.z / c.z; return true;
    case Special::kNclusteridX: *value = g.x / c.x; return true;
    case Special::kNclusteridY: *value = g.y / c.y; return true;
    case Special::kNclusteridZ: *value = g.z / c.z; return true;
    case Special::kClusterCtaidX: *value = s.block_id.x % c.x; return true;
    case Special::kClusterCtaidY: *value = s.block_id.y % c.y; return true;
    case Special::kClusterCtaidZ: *value = s.block_id.z % c.z; return true;
    case Special::kClusterNctaidX: *value = c.x; return true;
    case Special::kClusterNctaidY: *value = c.y; return true;
    case Special::kClusterNctaidZ: *value = c.z; return true;
    case Special::kClusterCtarank:
      *value = s.block_id.x % c.x + c.x * (s.block_id.y % c.y + c.y * (s.block_id.z % c.z));
      return true;
    case Special::kClusterNctarank: *value = c.count(); return true;
    case Special::kNsmid: *value = 1; return true;
    case Special::kSmid:
    case Special::kGridid: *value = 0; return true;
    default: return false;
  }
}
std::uint64_t LaneSpecial(const Dim3& n, Special special, std::uint32_t thread) {
  const std::uint32_t lane = thread % kLanes;
  switch (special) {
    case Special::kTidX: return thread % n.x;
    case Special::kTidY: return thread / n.x % n.y;
    case Special::kTidZ: return thread / n.x / n.y;
    case Special::kLaneid: return lane;
    case Special::kWarpid: return thread / kLanes;
    case Special::kMaskEq: return 1u << lane;
    case Special::kMaskLt: return (1u << lane) - 1;
    case Special::kMaskLe: return static_cast<std::uint32_t>((2ull << lane) - 1);
    case Special::kMaskGt: return static_cast<std::uint32_t>(~((2ull << lane) - 1));
    case Special::kMaskGe: return static_cast<std::uint32_t>(~((1ull << lane) - 1));
    default: return 0;
  }
}

template <typename T>
void GrowTo(std::vector<T>& storage, std::size_t size) {
  if (storage.size() < size) storage.resize(size);
}

}  // namespace

void FillConstants(BlockContext::State& s, std::uint32_t warps) {
  const Program& program = *s.program;
  const Dim3& n = s.launch->block;
  const bool constants = s.constants_for != program.id || s.constants_warps < warps;
  const Dim3& before = s.constants_block;
  const bool lanes = constants || before.x != n.x || before.y != n.y || before.z != n.z;
  for (std::uint32_t w = 0; w < warps; ++w) {
    Row* r = s.warps[w].r;
    if (constants) {
      for (const auto& [row, value] : program.constants) std::fill_n(r[row].lane, kLanes, value);
    }
    for (const auto& [row, special] : program.specials) {
      std::uint64_t value = 0;
      if (UniformSpecial(s, special, &value)) {
        std::fill_n(r[row].lane, kLanes, value);
      } else if (lanes) {
        for (std::uint32_t l = 0; l < kLanes; ++l) r[row].lane[l] = LaneSpecial(n, special, w * kLanes + l);
      }
    }
  }
  s.constants_for = program.id;
  s.constants_block = n;
  if (constants) s.constants_warps = warps;
}

namespace {

std::uint32_t LocalStride(const GridLaunch& launch, const Program& program) {
  std::uint64_t bytes = program.local_bytes;
  if (program.has_circular_calls || program.stack_row != kNoRow)
    bytes += std::min(kStackBytesMax, launch.stack_bytes * kStackScale);
  return static_cast<std::uint32_t>(AlignUp(bytes, sizeof(Chunk)));
}

// False if there is no memory for it.
bool Prepare(BlockContext::State& s) {
  const GridLaunch& launch = *s.launch;
  const Program& program = *s.program;
  const std::uint32_t warps = (s.threads + kLanes - 1) / kLanes;
  s.alive_lanes = s.threads;
  s.block_id = {static_cast<std::uint32_t>(s.block_index % launch.grid.x),
                static_cast<std::uint32_t>(s.block_index / launch.grid.x % launch.grid.y),
                static_cast<std::uint32_t>(s.block_index / launch.grid.x / launch.grid.y)};
  s.shared_bytes = program.dynamic_shared_at + launch.dynamic_shared_bytes;
  // One more: compiled code reads whole chunks that begin inside.
  GrowTo(s.shared, (s.shared_bytes + sizeof(Chunk) - 1) / sizeof(Chunk) + 1);
  const std::uint32_t stride = LocalStride(launch, program);
  s.local_bytes = stride * warps * kLanes;
  if (const std::size_t chunks = s.local_bytes / sizeof(Chunk); s.local_chunks < chunks) {
    s.local.reset();
    s.local.reset(new (std::nothrow) Chunk[chunks]);
    s.local_chunks = s.local == nullptr ? 0 : chunks;
    if (s.local == nullptr) return false;
  }
  GrowTo(s.rows, std::size_t{warps} * program.rows);
  GrowTo(s.predicates, std::size_t{warps} * program.predicates);
  GrowTo(s.warps, warps);
  for (Barrier& barrier : s.barriers) barrier = {};
  for (std::uint32_t w = 0; w < warps; ++w) {
    Warp& warp = s.warps[w];
    warp.r = s.rows.data() + std::size_t{w} * program.rows;
    warp.p = s.predicates.data() + std::size_t{w} * program.predicates;
    warp.block = &s;
    warp.local_stride = stride;
    warp.local = s.local_base() + std::size_t{stride} * w * kLanes;
    warp.index = w;
    warp.faulted = false;
    warp.preferred = 0;
    warp.turn = 0;
    if (program.frame_row != kNoRow) std::fill_n(warp.r[program.frame_row].lane, kLanes, 0);
    if (program.stack_row != kNoRow) std::fill_n(warp.r[program.stack_row].lane, kLanes, stride);
    const std::uint32_t lanes = std::min(kLanes, s.threads - w * kLanes);
    warp.alive = lanes == kLanes ? kAllLanes : (1u << lanes) - 1;
    warp.groups.assign(1, {program.entry, warp.alive, Group::State::kReady, 0});
  }
  FillConstants(s, warps);
  s.fresh = true;
  return true;
}

Fault NoStacks(const BlockContext::State& s) {
  return {kDeviceLaunchOutOfResources, "no memory for the stacks of kernel " + s.program->kernel->name};
}

bool AnyReady(const Warp& warp) {
  return std::any_of(warp.groups.begin(), warp.groups.end(),
                     [](const Group& group) { return group.state == Group::State::kReady; });
}

}  // namespace

Dim3 ThreadOf(const Warp& warp, std::uint32_t lane) {
  const std::uint32_t thread = warp.index * kLanes + lane;
  const Dim3& n = warp.block->launch->block;
  return {thread % n.x, thread / n.x % n.y, thread / n.x / n.y};
}

void RaiseFault(Warp& warp, const Op& op, std::uint32_t lane, DeviceStatus status, std::string_view what) {
  warp.faulted = true;
  BlockContext::State& s = *warp.block;
  if (s.fault.has_value()) return;
  const Dim3 thread = ThreadOf(warp, lane);
  std::string text(what);
  text += " in kernel " + s.program->kernel->name + ", block (" + std::to_string(s.block_id.x) + "," +
          std::to_string(s.block_id.y) + "," + std::to_string(s.block_id.z) + "), thread (" + std::to_string(thread.x) +
          "," + std::to_string(thread.y) + "," + std::to_string(thread.z) + "), ptx line " +
          std::to_string(op.source->line) + ": " + std::string(op.source->text);
  s.fault = Fault{status, std::move(text)};
}

BlockContext::BlockContext() : state_(std::make_unique<State>()) {}
BlockContext::~BlockContext() = default;

std::uint64_t BlockContext::blocks() const { return state_->count; }

std::optional<Fault> RunBlock(const GridLaunch& launch, std::uint64_t block_index, BlockContext& context) {
  return RunBlocks(launch, block_index, 1, context);
}

std::optional<Fault> RunBlocks(const GridLaunch& launch, std::uint64_t first, std::uint64_t count,
                               BlockContext& context) {
  if (std::optional<Fault> fault = BeginBlocks(launch, first, count, context)) return fault;
  Slice slice;
  while (!slice.done) slice = RunSlice(context, Clock::time_point::max());
  return slice.fault;
}

std::uint64_t BlocksAtOnce(const GridLaunch& launch) {
  constexpr std::uint64_t kBlocksMax = 64;
  const tier1::Compiled* compiled =
      launch.kernel->program().compiled[IsLinear(launch.block) ? 1 : 0].load(std::memory_order_acquire);
  return compiled != nullptr && compiled->batches && !launch.cooperative ? kBlocksMax : 1;
}

std::optional<Fault> BeginBlocks(const GridLaunch& launch, std::uint64_t first, std::uint64_t count,
                                 BlockContext& context) {
  BlockContext::State& s = context.state();
  s.launch = &launch;
  s.program = &launch.kernel->program();
  s.compiled = s.program->compiled[IsLinear(launch.block) ? 1 : 0].load(std::memory_order_acquire);
  if (launch.instructions != nullptr) s.compiled = nullptr;
  if (s.compiled != nullptr && s.compiled->argument_bytes > launch.arguments.size()) s.compiled = nullptr;
  s.block_index = first;
  s.count = count;
  s.more = count - 1;
  s.missed = 0;
  s.fault.reset();
  s.rounds = 0;
  s.turn_of = 0;
  const std::uint64_t threads = launch.block.count();
  if (threads == 0 || threads > kThreadsMax || first + count > launch.grid.count() ||
      std::uint64_t{s.program->dynamic_shared_at} + launch.dynamic_shared_bytes > kSharedBytesMax) {
    return Fault{kDeviceLaunchOutOfResources,
                 "a block of kernel " + s.program->kernel->name + " is larger than the device allows"};
  }
  s.threads = static_cast<std::uint32_t>(threads);
  if (Prepare(s)) return std::nullopt;
  return NoStacks(s);
}

Slice RunSlice(BlockContext& context, Clock::time_point until) {
  BlockContext::State& s = context.state();
  const std::uint32_t warps = (s.threads + kLanes - 1) / kLanes;
  while (s.alive_lanes != 0 || s.more != 0) {
    if (s.alive_lanes == 0) {
      --s.more;
      ++s.block_index;
      if (!Prepare(s)) return {true, NoStacks(s)};
    }
    bool progress = false;
    Together end = Together::kApart;
    if (s.compiled != nullptr && CanRunTogether(s)) {
      end = RunTogether(s);
      if (end == Together::kFaulted) return {true, s.fault};
      progress = true;
    }
    s.fresh = false;
    if (end == Together::kApart) {
      for (std::uint32_t w = s.turn_of; w < warps; ++w) {
        Warp& warp = s.warps[w];
        if (!AnyReady(warp)) continue;
        progress = true;
        RunWarp(warp);
        if (warp.faulted) return {true, s.fault};
      }
      progress = progress || s.turn_of != 0;
      s.turn_of = 0;
    }
    for (std::uint32_t w = 0; w < warps && !progress; ++w) {
      progress = ReleaseStuckLanes(s.warps[w]);
      if (s.warps[w].faulted) return {true, s.fault};
    }
    if (!progress) {
      return {true, Fault{kDeviceLaunchFailed,
                          "threads of a block wait at a barrier that the others never reach, in kernel " +
                              s.program->kernel->name}};
    }
    if (s.launch->cancel != nullptr && s.launch->cancel->load(std::memory_order_relaxed)) return {true, std::nullopt};
    ++s.rounds;
    const bool look = s.launch->cooperative || (s.rounds & (kRoundsBetweenLooks - 1)) == 0;
    if (look && Clock::now() >= until) return {s.alive_lanes == 0 && s.more == 0, std::nullopt};
    // A block that needs many rounds may be spinning on what another thread of ours has yet to write.
    if (s.rounds % kRoundsBeforeYield == 0) ::sched_yield();
  }
  return {true, std::nullopt};
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

void MemoryMap::Around(std::uint64_t address, std::uint64_t* begin, std::uint64_t* bytes) const {
  constexpr std::uint64_t kChunksMax = 256;
  *bytes = 0;
  const std::uint64_t offset = address - base_;
  if (offset >= bytes_ || !Marked(offset >> kChunkShift)) return;
  std::uint64_t first = offset >> kChunkShift;
  std::uint64_t end = first + 1;
  for (std::uint64_t i = 0; i < kChunksMax && first > 0 && Marked(first - 1); ++i) --first;
  for (std::uint64_t i = 0; i < kChunksMax && end << kChunkShift < bytes_ && Marked(end); ++i) ++end;
  *begin = base_ + (first << kChunkShift);
  *bytes = std::min(end << kChunkShift, bytes_) - (first << kChunkShift);
}

void DecodedKernel::Install(std::shared_ptr<const tier1::Compiled> compiled, bool linear) const {
  const std::size_t i = linear ? 1 : 0;
  compiled_[i] = std::move(compiled);
  program_->compiled[i].store(compiled_[i].get(), std::memory_order_release);
}

}  // namespace accelmesh::tier0
