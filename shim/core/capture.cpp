#include "shim/core/capture.h"

#include <algorithm>

#include "shim/core/session_inl.h"

namespace accelmesh {
namespace {

thread_local CaptureMode t_mode = CaptureMode::kGlobal;

// What tells one thread from another, as long as both live.
const void* ThisThread() {
  thread_local char here;
  return &here;
}

void AddLinks(std::vector<GraphLink>* links, std::span<const GraphLink> more) {
  for (const GraphLink& link : more) {
    const bool known =
        std::any_of(links->begin(), links->end(), [&](const GraphLink& l) { return l.node == link.node; });
    if (!known) links->push_back(link);
  }
}

// The nodes that lie before `links`, and theirs.
std::unordered_set<const GraphNode*> NodesBefore(const std::vector<GraphLink>& links) {
  std::unordered_set<const GraphNode*> before;
  std::vector<const GraphNode*> open;
  for (const GraphLink& link : links) open.push_back(link.node);
  while (!open.empty()) {
    const GraphNode* node = open.back();
    open.pop_back();
    if (!before.insert(node).second) continue;
    for (const GraphLink& link : node->dependencies) open.push_back(link.node);
  }
  return before;
}

}  // namespace

Captures::Captures() = default;
Captures::~Captures() { g_capturing_streams.fetch_sub(active_.load(std::memory_order_relaxed)); }

CaptureMode Captures::ExchangeThreadMode(CaptureMode mode) { return std::exchange(t_mode, mode); }

void Captures::CountLocked() {
  const int now = static_cast<int>(streams_.size());
  g_capturing_streams.fetch_add(now - active_.load(std::memory_order_relaxed), std::memory_order_relaxed);
  active_.store(now, std::memory_order_relaxed);
  known_events_.store(static_cast<int>(events_.size()), std::memory_order_relaxed);
}

Captures::OneCapture* Captures::Find(const Stream& stream) {
  const auto found = streams_.find(&stream);
  return found == streams_.end() ? nullptr : found->second;
}

Captures::OneCapture* Captures::FindById(std::uint64_t id) {
  const auto found = std::find_if(captures_.begin(), captures_.end(), [id](const auto& c) { return c->id == id; });
  return found == captures_.end() ? nullptr : found->get();
}

void Captures::Join(OneCapture& capture, const Stream& stream, const std::vector<GraphLink>& frontier) {
  streams_[&stream] = &capture;
  AddLinks(&capture.strands[&stream].frontier, frontier);
  CountLocked();
}

void Captures::Erase(OneCapture& capture) {
  std::erase_if(streams_, [&capture](const auto& entry) { return entry.second == &capture; });
  std::erase_if(captures_, [&capture](const auto& c) { return c.get() == &capture; });
  CountLocked();
}

bool Captures::BlockedLegacy(std::uint32_t device, bool invalidate) {
  bool blocked = false;
  for (const auto& [stream, capture] : streams_) {
    if (stream->kind != wire::StreamKind::Blocking || stream->device != device) continue;
    blocked = true;
    if (invalidate) capture->is_invalid = true;
  }
  return blocked;
}

// Begin and end ------------------------------------------------------------------------------------------------------

DeviceResult Captures::Begin(Stream* stream, CaptureMode mode, Graph* into, std::span<const GraphLink> dependencies) {
  if (stream->kind == wire::StreamKind::Legacy) return kCaptureUnsupported;
  const MutexLock lock(mu_);
  if (Find(*stream) != nullptr) return kIllegalState;
  for (const GraphLink& link : dependencies) {
    if (into == nullptr || !into->Contains(link.node)) return kInvalidValue;
  }
  auto capture = std::make_unique<OneCapture>();
  capture->id = next_id_++;
  capture->mode = mode;
  capture->thread = ThisThread();
  capture->origin = stream;
  capture->graph = into;
  if (into == nullptr) {
    capture->own = std::make_unique<Graph>();
    capture->graph = capture->own.get();
  }
  captures_.push_back(std::move(capture));
  Join(*captures_.back(), *stream, {dependencies.begin(), dependencies.end()});
  return 0;
}

DeviceResult Captures::End(Stream* stream, Graph** graph) {
  std::unique_ptr<Graph> discarded;  // behind the lock: it may call the program
  const MutexLock lock(mu_);
  OneCapture* const capture = Find(*stream);
  if (capture == nullptr) return kIllegalState;
  if (capture->origin != stream) return kCaptureUnmatched;
  if (capture->mode != CaptureMode::kRelaxed && capture->thread != ThisThread()) return kCaptureWrongThread;
  DeviceResult result = capture->is_invalid ? kCaptureInvalidated : 0;
  if (result == 0) {
    const std::unordered_set<const GraphNode*> joined = NodesBefore(capture->strands.at(stream).frontier);
    const auto is_open = [&joined](const GraphLink& link) { return !joined.contains(link.node); };
    bool unjoined = std::any_of(capture->left.begin(), capture->left.end(), is_open);
    for (const auto& [other, strand] : capture->strands) {
      unjoined = unjoined || std::any_of(strand.frontier.begin(), strand.frontier.end(), is_open);
    }
    if (unjoined) result = kCaptureUnjoined;
  }
  if (result == 0) {
    static_cast<void>(capture->own.release());
    *graph = capture->graph;
  } else {
    discarded = std::move(capture->own);
  }
  Erase(*capture);
  return result;
}

DeviceResult Captures::Query(const Stream& stream, Info* info) {
  *info = {};
  if (!Active()) return 0;
  const MutexLock lock(mu_);
  if (stream.kind == wire::StreamKind::Legacy) return BlockedLegacy(stream.device, false) ? kCaptureImplicit : 0;
  OneCapture* const capture = Find(stream);
  if (capture == nullptr) return 0;
  info->status = capture->is_invalid ? CaptureStatus::kInvalidated : CaptureStatus::kActive;
  info->id = capture->id;
  info->graph = capture->graph;
  Strand& strand = capture->strands.at(&stream);
  strand.told_nodes.clear();
  strand.told_edges.clear();
  for (const GraphLink& link : strand.frontier) {
    strand.told_nodes.push_back(link.node);
    strand.told_edges.push_back(link.data);
  }
  info->nodes = strand.told_nodes.data();
  info->edges = strand.told_edges.data();
  info->count = strand.frontier.size();
  return 0;
}

DeviceResult Captures::UpdateDependencies(const Stream& stream, std::span<const GraphLink> links, bool replace) {
  const MutexLock lock(mu_);
  OneCapture* const capture = Find(stream);
  if (capture == nullptr) return kIllegalState;
  if (capture->is_invalid) return kCaptureInvalidated;
  for (const GraphLink& link : links) {
    if (!capture->graph->Contains(link.node)) return kInvalidValue;
  }
  Strand& strand = capture->strands.at(&stream);
  if (replace) strand.frontier.clear();
  AddLinks(&strand.frontier, links);
  return 0;
}

// Work ---------------------------------------------------------------------------------------------------------------

bool Captures::Diverts(const Stream& stream, DeviceResult* result) {
  const MutexLock lock(mu_);
  *result = 0;
  if (stream.kind == wire::StreamKind::Legacy) {
    if (!BlockedLegacy(stream.device, true)) return false;
    *result = kCaptureImplicit;
    return true;
  }
  const OneCapture* const capture = Find(stream);
  if (capture == nullptr) return false;
  if (capture->is_invalid) *result = kCaptureInvalidated;
  return true;
}

DeviceResult Captures::Capture(const Stream& stream, GraphPayload payload, GraphNode** node) {
  const MutexLock lock(mu_);
  OneCapture* const capture = Find(stream);
  if (capture == nullptr) return kIllegalState;  // another thread has ended it
  if (capture->is_invalid) return kCaptureInvalidated;
  Strand& strand = capture->strands.at(&stream);
  GraphNode* made = nullptr;
  DeviceResult added = 0;
  if (auto* alloc = std::get_if<GraphAlloc>(&payload)) {
    added = capture->graph->AddAlloc(std::move(alloc->memory), strand.frontier, &made);
  } else if (auto* free = std::get_if<GraphFree>(&payload)) {
    added = capture->graph->AddFree(std::move(free->memory), strand.frontier, &made);
  } else {
    added = capture->graph->Add(std::move(payload), strand.frontier, &made);
  }
  if (added == kUnsupported) {
    // The body of a conditional node takes no such node.
    capture->is_invalid = true;
    return kCaptureUnsupported;
  }
  if (added != 0) return added;
  strand.frontier.assign(1, {made, {}});
  if (node != nullptr) *node = made;
  return 0;
}

bool Captures::DivertsRecord(const Stream& stream, Event* event, bool external, DeviceResult* result) {
  if (Active() && Diverts(stream, result)) {
    if (*result != 0) return true;
    if (external) {
      *result = Capture(stream, GraphEventRecord{event});
      return true;
    }
    const MutexLock lock(mu_);
    const OneCapture* const capture = Find(stream);
    if (capture == nullptr) {
      *result = kIllegalState;
      return true;
    }
    events_[event] = {capture->id, capture->strands.at(&stream).frontier};
    CountLocked();
    return true;
  }
  ForgetEvent(event);
  return false;
}

bool Captures::DivertsWait(Stream* stream, Event* event, bool external, DeviceResult* result) {
  const MutexLock lock(mu_);
  *result = 0;
  if (stream->kind == wire::StreamKind::Legacy && BlockedLegacy(stream->device, true)) {
    *result = kCaptureImplicit;
    return true;
  }
  OneCapture* const capture = Find(*stream);
  const auto known = events_.find(event);
  if (known == events_.end()) {
    if (capture == nullptr) return false;
    if (capture->is_invalid) {
      *result = kCaptureInvalidated;
    } else if (external) {
      Strand& strand = capture->strands.at(stream);
      GraphNode* made = nullptr;
      *result = capture->graph->Add(GraphEventWait{event}, strand.frontier, &made);
      if (*result == 0) strand.frontier.assign(1, {made, {}});
    } else {
      capture->is_invalid = true;
      *result = kCaptureIsolation;
    }
    return true;
  }
  OneCapture* const from = FindById(known->second.capture);
  if (from == nullptr) {
    // Recorded in a capture that is over: it stands for nothing that will happen.
    if (capture != nullptr) capture->is_invalid = true;
    *result = kCapturedEvent;
  } else if (from->is_invalid || (capture != nullptr && capture->is_invalid)) {
    *result = kCaptureInvalidated;
  } else if (capture != nullptr && capture != from) {
    capture->is_invalid = true;
    from->is_invalid = true;
    *result = kCaptureMerge;
  } else if (stream->kind == wire::StreamKind::Legacy) {
    from->is_invalid = true;
    *result = kCaptureImplicit;
  } else {
    Join(*from, *stream, known->second.frontier);
  }
  return true;
}

// Calls that a capture forbids ---------------------------------------------------------------------------------------

DeviceResult Captures::UnsafeLocked() {
  if (t_mode == CaptureMode::kRelaxed) return 0;
  bool refused = false;
  for (const auto& capture : captures_) {
    const bool own = capture->thread == ThisThread() && capture->mode != CaptureMode::kRelaxed;
    const bool others = t_mode == CaptureMode::kGlobal && capture->mode == CaptureMode::kGlobal;
    if (!own && !others) continue;
    refused = true;
    capture->is_invalid = true;
  }
  return refused ? kCaptureUnsupported : 0;
}

DeviceResult Captures::CheckUnsafe() {
  if (!Active()) return 0;
  const MutexLock lock(mu_);
  return UnsafeLocked();
}

DeviceResult Captures::CheckLegacy(std::uint32_t device) {
  if (!Active()) return 0;
  const MutexLock lock(mu_);
  return BlockedLegacy(device, true) ? kCaptureImplicit : 0;
}

DeviceResult Captures::CheckWait(const Stream& stream) {
  if (!Active()) return 0;
  const MutexLock lock(mu_);
  if (stream.kind == wire::StreamKind::Legacy && BlockedLegacy(stream.device, true)) return kCaptureImplicit;
  OneCapture* const capture = Find(stream);
  if (capture == nullptr) return UnsafeLocked();
  capture->is_invalid = true;
  return kCaptureUnsupported;
}

DeviceResult Captures::CheckDevice(std::uint32_t device) {
  if (!Active()) return 0;
  const MutexLock lock(mu_);
  bool refused = false;
  for (const auto& [stream, capture] : streams_) {
    if (stream->device != device) continue;
    refused = true;
    capture->is_invalid = true;
  }
  return refused ? kCaptureUnsupported : UnsafeLocked();
}

DeviceResult Captures::CheckEvent(const Event& event) {
  if (!Active() && !KnowsEvents()) return 0;
  const MutexLock lock(mu_);
  const auto known = events_.find(&event);
  if (known == events_.end()) return UnsafeLocked();
  if (OneCapture* const capture = FindById(known->second.capture)) capture->is_invalid = true;
  return kCapturedEvent;
}

void Captures::Invalidate(const Stream& stream) {
  const MutexLock lock(mu_);
  if (OneCapture* const capture = Find(stream)) capture->is_invalid = true;
}

bool Captures::Uses(const Graph& graph) {
  if (!Active()) return false;
  const MutexLock lock(mu_);
  return std::any_of(captures_.begin(), captures_.end(), [&graph](const auto& c) { return c->graph == &graph; });
}

void Captures::ForgetEvent(const Event* event) {
  if (!KnowsEvents()) return;
  const MutexLock lock(mu_);
  events_.erase(event);
  CountLocked();
}

void Captures::ForgetStream(const Stream* stream) {
  if (!Active()) return;
  std::unique_ptr<Graph> discarded;
  const MutexLock lock(mu_);
  OneCapture* const capture = Find(*stream);
  if (capture == nullptr) return;
  if (capture->origin == stream) {
    discarded = std::move(capture->own);
    Erase(*capture);
    return;
  }
  AddLinks(&capture->left, capture->strands.at(stream).frontier);
  capture->strands.erase(stream);
  streams_.erase(stream);
  CountLocked();
}

}  // namespace accelmesh
