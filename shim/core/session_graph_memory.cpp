// Session: memory that graphs allocate (graph_memory.h).
#include <algorithm>

#include "shim/core/graph_exec.h"
#include "shim/core/session_inl.h"

namespace accelmesh {

DeviceResult ClientSession::MakeGraphMemory(std::uint32_t device, std::uint64_t bytes,
                                            std::shared_ptr<GraphMemory>* memory) {
  const MutexLock lock(memory_mu_);
  AddressSpace& space = memory_[device];
  space.Release(PassedByAll());
  const Result<std::uint64_t> got = space.Allocate(bytes);
  if (!got.ok()) return kOutOfMemory;
  auto made = std::make_unique<GraphMemory>();
  made->address = *got;
  made->bytes = AlignUp(bytes, AddressSpace::kAlignment);
  made->device = device;
  *memory = HoldGraphMemory(made.get());
  graph_memory_.emplace(*got, std::move(made));
  any_graph_memory_.store(true, std::memory_order_release);
  return 0;
}

std::shared_ptr<GraphMemory> ClientSession::HoldGraphMemory(GraphMemory* memory) {
  if (std::shared_ptr<GraphMemory> held = memory->weak_from_this().lock()) return held;
  ++memory->holders;
  return {memory, [this](GraphMemory* gone) { ForgetGraphMemory(gone); }};
}

void ClientSession::EndGraphMemory(GraphMemory* memory) {
  std::uint64_t freed_at = 0;
  bool idle = true;
  if (memory->backed) {
    idle = !AnythingPending();
    const auto posted = commands_->Post(wire::MemFree(memory->address, memory->device, 0));
    if (!posted.ok()) {
      Lost(posted.status());
    } else {
      freed_at = *posted;
    }
    graph_use_[memory->device].reserved -= memory->bytes;
  }
  static_cast<void>(memory_[memory->device].Free(memory->address, freed_at, idle).ok());
  graph_memory_.erase(memory->address);
  any_graph_memory_.store(!graph_memory_.empty(), std::memory_order_release);
}

void ClientSession::ForgetGraphMemory(GraphMemory* memory) {
  const MutexLock lock(memory_mu_);
  // Another thread may have taken hold of it again since its last holder let go.
  if (--memory->holders != 0 || memory->live) return;
  if (memory->is_past) {
    std::erase_if(past_graph_memory_, [memory](const auto& past) { return past.get() == memory; });
  } else {
    EndGraphMemory(memory);
  }
}

void ClientSession::SetLive(GraphMemory* memory, bool live) {
  memory->live = live;
  GraphMemoryUse& use = graph_use_[memory->device];
  use.used = live ? use.used + memory->bytes : use.used - memory->bytes;
  use.used_high = std::max(use.used_high, use.used);
}

bool ClientSession::FreeGraphMemory(std::uint64_t address, DeviceResult* result) {
  if (!any_graph_memory_.load(std::memory_order_acquire)) return false;
  const MutexLock lock(memory_mu_);
  const auto found = graph_memory_.find(address);
  if (found == graph_memory_.end()) return false;
  GraphMemory* const memory = found->second.get();
  *result = memory->live ? 0 : kInvalidValue;
  if (!memory->live) return true;
  SetLive(memory, false);
  if (memory->holders == 0) EndGraphMemory(memory);
  return true;
}

std::shared_ptr<GraphMemory> ClientSession::FindGraphMemory(std::uint64_t address) {
  const MutexLock lock(memory_mu_);
  const auto found = graph_memory_.find(address);
  return found == graph_memory_.end() ? nullptr : HoldGraphMemory(found->second.get());
}

DeviceResult ClientSession::BeginGraphMemory(const GraphExec& exec) {
  if (exec.program().memory_nodes.empty()) return 0;
  const MutexLock lock(memory_mu_);
  // All of it is looked at before anything changes: a launch that is refused has done nothing.
  std::map<const GraphMemory*, bool> live;
  const auto is_live = [&live](const GraphMemory* memory) { return live.try_emplace(memory, memory->live).first; };
  for (const GraphNode* node : exec.program().memory_nodes) {
    if (const auto* alloc = std::get_if<GraphAlloc>(&node->payload)) {
      const auto state = is_live(alloc->memory.get());
      if (state->second && (exec.flags() & GraphExec::kAutoFree) == 0) return kInvalidValue;
      state->second = true;
    } else {
      const auto state = is_live(std::get<GraphFree>(node->payload).memory.get());
      if (!state->second) return kInvalidValue;
      state->second = false;
    }
  }
  for (const GraphNode* node : exec.program().memory_nodes) {
    if (const auto* free = std::get_if<GraphFree>(&node->payload)) {
      SetLive(free->memory.get(), false);
      continue;
    }
    GraphMemory* const memory = std::get<GraphAlloc>(node->payload).memory.get();
    if (memory->live) SetLive(memory, false);
    if (!memory->backed) {
      const auto posted = commands_->Post(wire::MemAlloc(memory->address, memory->bytes, memory->device, 0));
      if (!posted.ok()) return Lost(posted.status());
      memory->backed = true;
      GraphMemoryUse& use = graph_use_[memory->device];
      use.reserved += memory->bytes;
      use.reserved_high = std::max(use.reserved_high, use.reserved);
    }
    SetLive(memory, true);
  }
  return 0;
}

GraphMemoryUse ClientSession::GraphMemoryOf(std::uint32_t device) {
  const MutexLock lock(memory_mu_);
  return graph_use_[device];
}

void ClientSession::ResetGraphMemoryHigh(std::uint32_t device, bool used) {
  const MutexLock lock(memory_mu_);
  GraphMemoryUse& use = graph_use_[device];
  (used ? use.used_high : use.reserved_high) = used ? use.used : use.reserved;
}

DeviceResult ClientSession::TrimGraphMemory(std::uint32_t device) {
  // Launches that still run may use what looks free.
  if (const DeviceResult waited = SynchronizeDevice(device); waited != 0) return waited;
  const MutexLock lock(memory_mu_);
  for (const auto& [address, memory] : graph_memory_) {
    if (memory->device != device || !memory->backed || memory->live) continue;
    const auto posted = commands_->Post(wire::MemFree(address, device, 0));
    if (!posted.ok()) return Lost(posted.status());
    memory->backed = false;
    graph_use_[device].reserved -= memory->bytes;
  }
  return 0;
}

// Conditions ---------------------------------------------------------------------------------------------------------

DeviceResult ClientSession::MakeGraphCondition(std::uint32_t device, std::uint32_t initial, bool assigns_initial,
                                               std::shared_ptr<const GraphCondition>* condition) {
  // Words come from one allocation at a time, which stays: a word is given out again.
  constexpr std::uint64_t kWordBytes = sizeof(std::uint32_t);
  constexpr std::uint64_t kWords = limits::kPageBytes / kWordBytes;
  if (!facts_.has_conditions) return kUnsupported;
  auto made = std::make_unique<GraphCondition>(GraphCondition{0, device, initial, assigns_initial});
  const auto take = [this, device, &made] {
    const MutexLock lock(memory_mu_);
    if (free_conditions_.size() <= device) free_conditions_.resize(device + 1);
    std::vector<std::uint64_t>& free = free_conditions_[device];
    if (free.empty()) return false;
    made->handle = free.back();
    made->life = lives_[device];
    free.pop_back();
    return true;
  };
  const auto life = [this, device] {
    const MutexLock lock(memory_mu_);
    return lives_[device];
  };
  while (!take()) {
    const std::uint64_t before = life();
    std::uint64_t words = 0;
    if (const DeviceResult result = Malloc(device, limits::kPageBytes, &words); result != 0) return result;
    const MutexLock lock(memory_mu_);
    if (lives_[device] != before) continue;  // a reset has freed them
    for (std::uint64_t i = kWords; i-- > 0;) free_conditions_[device].push_back(words + i * kWordBytes);
  }
  *condition = {made.release(), [this](const GraphCondition* gone) {
                  const std::unique_ptr<const GraphCondition> ended(gone);
                  const MutexLock lock(memory_mu_);
                  if (ended->life == lives_[ended->device]) free_conditions_[ended->device].push_back(ended->handle);
                }};
  return 0;
}

}  // namespace accelmesh
