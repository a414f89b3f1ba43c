// Session: the reset of a device. First nobody finds any more what is to go, then all that was posted comes to its end,
// and only then the server is told: so a call that another thread has begun with an object posts nothing about one that
// the server does not know.
#include <algorithm>

#include "shim/core/session_inl.h"

namespace accelmesh {

struct ClientSession::Past {
  std::vector<std::unique_ptr<Stream>> streams;
  std::vector<std::unique_ptr<Event>> events;
  std::vector<std::unique_ptr<Array>> arrays;
  std::vector<std::unique_ptr<MipmappedArray>> mipmapped_arrays;
  std::vector<std::uint64_t> textures;  // the server's numbers
};

namespace {

constexpr std::size_t kPastResets = 32;

}  // namespace

std::shared_ptr<ClientSession::Past> ClientSession::TakeObjects(std::uint32_t device) {
  auto past = std::make_shared<Past>();
  std::vector<const Stream*> staying;
  {
    const MutexLock lock(stream_mu_);
    for (auto& stream : streams_) {
      if (stream == nullptr || stream->device != device || stream->kind == wire::StreamKind::Legacy) continue;
      if (stream->outlives_reset) {
        staying.push_back(stream.get());
        continue;
      }
      past->streams.push_back(TakeStream(&stream));
    }
    TakeOut(&events_, &past->events,
            [device](const Event& event) { return event.device == device && !event.outlives_reset; });
    handle_generation_.Renew();
  }
  for (const auto& stream : past->streams) captures_->ForgetStream(stream.get());
  for (const Stream* stream : staying) captures_->ForgetStream(stream);
  for (const auto& event : past->events) captures_->ForgetEvent(event.get());
  arrays_.TakeOf(device, &past->arrays, &past->mipmapped_arrays);
  past->textures = textures_.TakeOf(device);
  return past;
}

DeviceResult ClientSession::EndObjects(const Past& past) {
  for (const std::uint64_t id : past.textures) {
    if (const auto posted = commands_->Post(wire::TextureDestroy(id)); !posted.ok()) return Lost(posted.status());
  }
  for (const auto& stream : past.streams) {
    if (const DeviceResult ended = EndStream(stream->slot); ended != 0) return ended;
  }
  for (const auto& event : past.events) {
    if (const DeviceResult ended = EndEvent(event->id); ended != 0) return ended;
  }
  return 0;
}

DeviceResult ClientSession::FreeAll(std::uint32_t device) {
  // Other devices' streams may still use this memory, as with any that is freed.
  const bool idle = !AnythingPending();
  const MutexLock lock(memory_mu_);
  AddressSpace& space = memory_[device];
  pools_.Reset(device);
  for (auto entry = graph_memory_.begin(); entry != graph_memory_.end();) {
    GraphMemory& memory = *entry->second;
    if (memory.device != device) {
      ++entry;
      continue;
    }
    // The server has none where no launch has been; with that which it has goes what the program allocated.
    if (!memory.backed) static_cast<void>(space.Free(memory.address, 0, true).ok());
    memory.live = memory.backed = false;
    memory.is_past = true;
    if (memory.holders != 0) past_graph_memory_.push_back(std::move(entry->second));
    entry = graph_memory_.erase(entry);
  }
  any_graph_memory_.store(!graph_memory_.empty(), std::memory_order_release);
  graph_use_[device] = {};
  if (device < free_conditions_.size()) free_conditions_[device].clear();
  ++lives_[device];
  for (const AddressSpace::Range& range : space.Live()) {
    if (IsHeld(range.address)) continue;
    const auto posted = commands_->Post(wire::MemFree(range.address, device, 0));
    if (!posted.ok()) return Lost(posted.status());
    static_cast<void>(space.Free(range.address, *posted, idle).ok());
  }
  return 0;
}

DeviceResult ClientSession::ResetDevice(std::uint32_t device, const std::function<void()>& end) {
  const MutexLock reset_lock(reset_mu_);
  const std::shared_ptr<const Past> past = TakeObjects(device);
  past_.push_back(past);
  if (past_.size() > kPastResets) past_.pop_front();
  std::vector<Point> work;
  for (const auto& stream : past->streams)
    work.push_back({stream->slot, stream->last_sequence.load(std::memory_order_acquire)});
  DeviceResult result = Wait([this, &work] { return Passed(work); });
  if (result == 0) result = SynchronizeDevice(device);
  if (result != 0) return result;
  end();
  result = EndObjects(*past);
  if (result == 0) result = CloseImports(device);
  if (result == 0) result = EndExports(device);
  if (result == 0) result = FreeAll(device);
  RemoveHostRangesOf(device);
  return result;
}

// Graphs -------------------------------------------------------------------------------------------------------------

bool ClientSession::UsesDevice(const Graph& graph, std::uint32_t device) {
  const auto is_there = [this, device](std::uint64_t address) {
    if (ReachableMemory host; FindHost(reinterpret_cast<const void*>(address), &host)) return host.device == device;
    AddressSpace::Range range;
    std::uint32_t of = 0;
    return FindDeviceRange(address, &range, &of) && of == device;
  };
  return std::any_of(graph.nodes().begin(), graph.nodes().end(), [&](const auto& node) {
    const GraphPayload& payload = node->payload;
    const std::vector<Graph*> inner = GraphsOf(payload);
    if (std::any_of(inner.begin(), inner.end(), [&](const Graph* one) { return UsesDevice(*one, device); }))
      return true;
    if (const auto* kernel = std::get_if<GraphKernel>(&payload)) return kernel->device == device;
    if (const auto* call = std::get_if<GraphLibrary>(&payload)) return call->device == device;
    if (const auto* copy = std::get_if<GraphCopy>(&payload))
      return is_there(copy->dst.address) || is_there(copy->src.address);
    if (const auto* fill = std::get_if<GraphFill>(&payload)) return is_there(fill->fill.address());
    if (const auto* record = std::get_if<GraphEventRecord>(&payload))
      return IsEvent(record->event) && record->event->device == device;
    if (const auto* wait = std::get_if<GraphEventWait>(&payload))
      return IsEvent(wait->event) && wait->event->device == device;
    if (const auto* alloc = std::get_if<GraphAlloc>(&payload)) return alloc->memory->device == device;
    if (const auto* free = std::get_if<GraphFree>(&payload)) return free->memory->device == device;
    if (const auto* conditional = std::get_if<GraphConditional>(&payload))
      return conditional->condition->device == device;
    return false;
  });
}

DeviceResult ClientSession::CheckCurrent(const Graph& graph) {
  const auto is_loaded = [this](const GraphKernel& kernel) {
    const MutexLock lock(stream_mu_);
    const auto found = loads_.find(kernel.module);
    return found != loads_.end() && found->second == kernel.load;
  };
  const auto is_alive = [this](std::uint32_t device, std::uint64_t life) {
    const MutexLock lock(memory_mu_);
    return life == lives_[device];
  };
  const auto is_past = [this](const GraphMemory& memory) {
    const MutexLock lock(memory_mu_);
    return memory.is_past;
  };
  for (const auto& node : graph.nodes()) {
    const GraphPayload& payload = node->payload;
    bool is_current = true;
    if (const auto* kernel = std::get_if<GraphKernel>(&payload)) {
      is_current = is_loaded(*kernel);
    } else if (const auto* alloc = std::get_if<GraphAlloc>(&payload)) {
      is_current = !is_past(*alloc->memory);
    } else if (const auto* free = std::get_if<GraphFree>(&payload)) {
      is_current = !is_past(*free->memory);
    } else if (const auto* conditional = std::get_if<GraphConditional>(&payload)) {
      is_current = is_alive(conditional->condition->device, conditional->condition->life);
    } else if (const auto* call = std::get_if<GraphLibrary>(&payload)) {
      is_current = is_alive(call->device, call->life);
    }
    if (!is_current) return kContextGone;
    for (const Graph* inner : GraphsOf(payload)) {
      if (const DeviceResult past = CheckCurrent(*inner); past != 0) return past;
    }
  }
  return 0;
}

}  // namespace accelmesh
