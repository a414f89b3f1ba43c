// Session: executable graphs. A launch is one command, but for what the program itself has to do in the middle of it.
#include <algorithm>
#include <cstring>

#include "protocol/base/log.h"
#include "shim/core/graph_exec.h"
#include "shim/core/session_inl.h"

namespace accelmesh {
namespace {

// Bytes that a launch sends at once while its stream is busy; more goes when the stream has come to it, so that the
// server does not hold it meanwhile.
constexpr std::uint64_t kEarlyBytesMax = 4 * limits::kMiB;
constexpr std::size_t kDefinePayloadMax = limits::kRecordBytesMax - 4 * limits::kKiB;
static_assert(RecordBytes(sizeof(wire::Launch), limits::kKernelArgumentBytesMax) < kDefinePayloadMax);

// Bytes of the program that the server awaits under a token.
struct Outgoing {
  std::uint64_t token;
  GraphPiece piece;
};

Status SendOutgoing(CommandStream& commands, const std::vector<Outgoing>& pieces) {
  Bytes packed;
  for (const Outgoing& out : pieces) {
    const auto* from = reinterpret_cast<const std::uint8_t*>(out.piece.address);
    ByteView body(from, out.piece.width);
    if (out.piece.rows > 1) {
      packed.resize(out.piece.rows * out.piece.width);
      for (std::uint64_t r = 0; r < out.piece.rows; ++r) {
        std::memcpy(packed.data() + r * out.piece.width, from + r * out.piece.pitch, out.piece.width);
      }
      body = packed;
    }
    ACCELMESH_RETURN_IF_ERROR(commands.SendBulk(out.token, body));
  }
  return Status::Ok();
}

}  // namespace

GraphExec::GraphExec(std::unique_ptr<Graph> image, std::uint64_t flags, std::shared_ptr<std::atomic<int>> executables)
    : image_(std::move(image)), flags_(flags), executables_(std::move(executables)) {
  executables_->fetch_add(1);
  Index(*image_);
}

void GraphExec::Index(const Graph& graph) {
  for (const auto& node : graph.nodes()) {
    by_origin_.emplace(node->origin, node.get());
    for (const Graph* inner : GraphsOf(node->payload)) Index(*inner);
  }
}

GraphNode* GraphExec::Find(const GraphNode& original) const {
  const auto found = by_origin_.find(original.id);
  return found == by_origin_.end() ? nullptr : found->second;
}

// Definitions --------------------------------------------------------------------------------------------------------

GraphCompileOptions ClientSession::CompileOptions() {
  GraphCompileOptions options;
  options.piece_bytes = commands_->channel().traits().bulk_bytes_preferred;
  options.find_shared = [this](std::uint64_t address, std::uint64_t bytes) -> std::optional<wire::Place> {
    if (std::uint64_t twin = 0; HasTwin(reinterpret_cast<const void*>(address), bytes, &twin))
      return wire::Place(twin, 0, wire::PlaceKind::Device);
    PinnedRange range;
    if (!FindPinned(reinterpret_cast<const void*>(address), &range) || !range.shared) return std::nullopt;
    const std::uint64_t offset = address - reinterpret_cast<std::uint64_t>(range.address);
    if (bytes > range.bytes - offset) return std::nullopt;
    return wire::Place(offset, range.region, wire::PlaceKind::Shared);
  };
  options.make_shared = [this](std::uint64_t address) -> DeviceResult {
    Named named;
    return any_host_.load(std::memory_order_acquire) ? ReachByArgument(address, &named) : 0;
  };
  return options;
}

DeviceResult ClientSession::CompileExec(GraphExec* exec, GraphNode** offending) {
  GraphProgram program;
  if (const DeviceResult result = CompileGraph(exec->image(), CompileOptions(), &program, offending); result != 0)
    return result;
  const std::uint64_t cost = program.cost();
  {
    const MutexLock lock(stream_mu_);
    if (cost > limits::kGraphBytesMax || graph_bytes_ - exec->cost_ > limits::kGraphBytesMax - cost) {
      log::Error("cudaGraphInstantiate", "the executable graphs of a session hold at most " +
                                             std::to_string(limits::kGraphBytesMax / limits::kMiB) + " MiB");
      return kOutOfMemory;
    }
    graph_bytes_ += cost - exec->cost_;
  }
  exec->cost_ = cost;
  exec->program_ = std::move(program);
  exec->is_stale_ = true;
  exec->stale_.clear();
  return 0;
}

DeviceResult ClientSession::InstantiateGraph(const Graph& graph, std::uint64_t flags, std::unique_ptr<GraphExec>* exec,
                                             GraphNode** offending) {
  if (const DeviceResult past = CheckCurrent(graph); past != 0) return past;
  auto made = std::make_unique<GraphExec>(graph.Clone(), flags, graph.executables());
  GraphNode* in_copy = nullptr;
  if (const DeviceResult result = CompileExec(made.get(), &in_copy); result != 0) {
    if (in_copy != nullptr) *offending = graph.FindNode(in_copy->origin);
    return result;
  }
  {
    const MutexLock lock(stream_mu_);
    const std::optional<std::uint32_t> id = graph_ids_.Take();
    if (!id.has_value()) {
      graph_bytes_ -= made->cost_;
      log::Error("cudaGraphInstantiate", "more than " + std::to_string(limits::kGraphsMax) + " executable graphs");
      return kOutOfMemory;
    }
    made->id_ = *id;
  }
  if (const DeviceResult result = DefineGraph(made.get()); result != 0) return result;
  *exec = std::move(made);
  return 0;
}

DeviceResult ClientSession::PostRecords(const GraphExec& exec, std::uint32_t first, std::uint32_t count) {
  const std::vector<Bytes>& records = exec.program_.records;
  const auto total = static_cast<std::uint32_t>(records.size());
  Bytes payload;
  std::uint32_t begin = first;
  const auto post = [&](std::uint32_t end) -> DeviceResult {
    const auto posted = commands_->Post(wire::GraphDefine(exec.id_, total, begin, end - begin), payload);
    payload.clear();
    begin = end;
    return posted.ok() ? 0 : Lost(posted.status());
  };
  for (std::uint32_t i = first; i < first + count; ++i) {
    if (payload.size() + records[i].size() > kDefinePayloadMax) {
      if (const DeviceResult result = post(i); result != 0) return result;
    }
    payload.insert(payload.end(), records[i].begin(), records[i].end());
  }
  return post(first + count);
}

DeviceResult ClientSession::DefineGraph(GraphExec* exec) {
  const auto total = static_cast<std::uint32_t>(exec->program_.records.size());
  if (exec->is_stale_) {
    if (total != 0) {
      if (const DeviceResult result = PostRecords(*exec, 0, total); result != 0) return result;
      exec->is_defined_ = true;
    }
  } else if (!exec->stale_.empty()) {
    std::vector<std::uint32_t>& stale = exec->stale_;
    std::sort(stale.begin(), stale.end());
    stale.erase(std::unique(stale.begin(), stale.end()), stale.end());
    for (std::size_t i = 0; i < stale.size();) {
      std::size_t end = i + 1;
      while (end < stale.size() && stale[end] == stale[end - 1] + 1) ++end;
      const auto count = static_cast<std::uint32_t>(end - i);
      if (const DeviceResult result = PostRecords(*exec, stale[i], count); result != 0) return result;
      i = end;
    }
  }
  exec->is_stale_ = false;
  exec->stale_.clear();
  return 0;
}

DeviceResult ClientSession::UpdateGraphNode(GraphExec* exec, GraphNode* node, const GraphNode& update) {
  const bool is_same = SameWork(node->payload, update.payload);
  const std::optional<Bytes> before = is_same ? std::nullopt : CompileSingle(node->payload, CompileOptions());
  node->face = update.face;
  // What children and bodies do is updated node by node, and conditions with the whole graph.
  if (node->kind() == GraphNodeKind::kChild || node->kind() == GraphNodeKind::kConditional) return 0;
  node->payload = ClonePayload(update.payload);
  const GraphNodeKind kind = ToldKind(node->kind());
  const bool has_records =
      kind == GraphNodeKind::kKernel || kind == GraphNodeKind::kCopy || kind == GraphNodeKind::kFill;
  // A launch reads from the node itself what is no record, and one that is not enabled is compiled when it is.
  if (is_same || !has_records || !node->is_enabled) return 0;
  std::optional<Bytes> after = CompileSingle(node->payload, CompileOptions());
  if (!before.has_value() || !after.has_value()) return RecompileGraph(exec);
  exec->program_.records[node->first_record] = *std::move(after);
  exec->stale_.push_back(node->first_record);
  return 0;
}

namespace {

// `update` has the shape of `image`, at every depth; `past` gets what that has had. False if nothing is
// conditional there.
bool TakeConditions(Graph* image, const Graph& update, const ClientSession::GraphNodePairs& pairs, Graph* past) {
  bool has_any = !image->conditions().empty() || !update.conditions().empty();
  image->TakeConditions(update, past);
  for (const auto& [now, next] : pairs) {
    auto* conditional = std::get_if<GraphConditional>(&now->payload);
    if (conditional == nullptr) continue;
    const auto& other = std::get<GraphConditional>(next->payload);
    conditional->condition = other.condition;
    for (std::size_t i = 0; i < conditional->bodies.size(); ++i)
      conditional->bodies[i]->TakeConditions(*other.bodies[i], past);
    has_any = true;
  }
  return has_any;
}

}  // namespace

DeviceResult ClientSession::UpdateGraph(GraphExec* exec, const Graph& update, const GraphNodePairs& pairs) {
  if (const DeviceResult result = UpdateChild(exec, update, pairs); result != 0) return result;
  auto past = std::make_unique<Graph>();
  if (!TakeConditions(exec->image_.get(), update, pairs, past.get())) return 0;
  if (exec->last_stream_ != nullptr) {
    const MutexLock lock(stream_mu_);
    KeepUntilPassed(*exec, std::move(past));
  }
  ReapGraphs();
  return RecompileGraph(exec);
}

DeviceResult ClientSession::UpdateChild(GraphExec* exec, const Graph& update, const GraphNodePairs& pairs) {
  if (const DeviceResult past = CheckCurrent(update); past != 0) return past;
  for (const auto& [now, next] : pairs) {
    if (const DeviceResult result = UpdateGraphNode(exec, now, *next); result != 0) return result;
  }
  return 0;
}

DeviceResult ClientSession::RecompileGraph(GraphExec* exec) {
  GraphNode* offending = nullptr;
  return CompileExec(exec, &offending);
}

DeviceResult ClientSession::EnableGraphNode(GraphExec* exec, GraphNode* node, bool enabled) {
  if (node->is_enabled == enabled) return 0;
  node->is_enabled = enabled;
  return RecompileGraph(exec);
}

DeviceResult ClientSession::EndGraph(std::unique_ptr<GraphExec> exec) {
  if (exec->order_ != nullptr) DestroyEvent(exec->order_);
  if (exec->is_defined_) {
    const auto posted = commands_->Post(wire::GraphDestroy(exec->id_, 0));
    if (!posted.ok()) return Lost(posted.status());
  }
  {
    const MutexLock lock(stream_mu_);
    graph_bytes_ -= exec->cost_;
    graph_ids_.GiveBack(exec->id_);
    if (exec->last_stream_ != nullptr && (exec->image_->HoldsObjects() || exec->image_->HasConditionalNodes()))
      KeepUntilPassed(*exec, std::move(exec->image_));
  }
  ReapGraphs();
  return 0;
}

void ClientSession::KeepUntilPassed(const GraphExec& exec, std::unique_ptr<Graph> graph) {
  ended_graphs_.emplace_back(Point{exec.last_slot_, exec.last_sequence_}, std::move(graph));
  any_ended_graph_.store(true, std::memory_order_release);
}

void ClientSession::ReapGraphs() {
  if (!any_ended_graph_.load(std::memory_order_acquire)) return;
  std::vector<std::pair<Point, std::unique_ptr<Graph>>> gone;  // behind the lock: it calls the program
  const MutexLock lock(stream_mu_);
  for (auto& ended : ended_graphs_) {
    if (Passed(ended.first.slot, ended.first.sequence)) gone.push_back(std::move(ended));
  }
  std::erase_if(ended_graphs_, [](const auto& ended) { return ended.second == nullptr; });
  any_ended_graph_.store(!ended_graphs_.empty(), std::memory_order_release);
}

// Launches -----------------------------------------------------------------------------------------------------------

// A launch under construction: its commands, and what is to be noted once they have their sequence numbers.
struct ClientSession::GraphBatch {
  struct Host {
    std::size_t at;  // in the batch
    std::uint64_t call;
    HostCalls::Function function;
    HostCalls::Function then;
  };
  struct Expected {
    std::size_t at;
    std::uint64_t token;
  };
  struct Ordered {
    std::size_t at;
    Event* event;
    bool is_record;  // else a wait
  };
  CommandBatch commands;
  std::vector<Host> hosts;
  std::vector<Expected> expected;
  std::vector<Ordered> ordered;
  std::vector<Outgoing> early;
};

bool ClientSession::AddHostStep(GraphBatch* batch, std::uint32_t slot, HostCalls::Function function,
                                HostCalls::Function then) {
  std::uint64_t call = 0;
  if (!host_calls_.Begin(&call)) return false;
  batch->hosts.push_back({batch->commands.size(), call, std::move(function), std::move(then)});
  batch->commands.Add(wire::HostCall(call, slot, 0));
  return true;
}

DeviceResult ClientSession::AddRecordsStep(GraphBatch* batch, std::uint32_t slot, const GraphExec& exec,
                                           const GraphStep& step, bool late) {
  std::vector<wire::GraphPatch> patches;
  std::vector<Outgoing> sent;
  std::vector<std::uint64_t> tokens;
  for (const GraphPiece& piece : step.pieces) {
    const std::uint64_t token = commands_->NextToken();
    patches.emplace_back(piece.record, piece.is_dst ? 1 : 0, token);
    if (!piece.is_dst) {
      sent.push_back({token, piece});
      continue;
    }
    const Status expected =
        commands_->channel().ExpectBulk(token, {reinterpret_cast<std::uint8_t*>(piece.address), piece.width});
    if (!expected.ok()) return Lost(expected);
    tokens.push_back(token);
    commands_->statistics().bulk_down_bytes.fetch_add(piece.width, std::memory_order_relaxed);
  }
  if (!sent.empty() && (step.sends_late || late)) {
    // Once the stream goes on, because the server takes no more bodies than it can use; and whatever error there is,
    // because it counts on them.
    const bool begun = AddHostStep(
        batch, slot, [](DeviceResult /*error*/) {},
        [this, pieces = std::move(sent)](DeviceResult /*error*/) {
          if (const Status status = SendOutgoing(*commands_, pieces); !status.ok()) Lost(status);
        });
    if (!begun) return kOutOfMemory;
  } else {
    batch->early.insert(batch->early.end(), sent.begin(), sent.end());
  }
  for (const std::uint64_t token : tokens) batch->expected.push_back({batch->commands.size(), token});
  const ByteView payload(reinterpret_cast<const std::uint8_t*>(patches.data()), patches.size() * sizeof(patches[0]));
  batch->commands.Add(wire::GraphLaunch(exec.id_, slot, step.first, step.records), payload);
  return 0;
}

DeviceResult ClientSession::AddStep(GraphBatch* batch, const Stream& stream, const GraphExec& exec,
                                    const GraphStep& step, bool late) {
  switch (step.kind) {
    case GraphStep::Kind::kRecords: return AddRecordsStep(batch, stream.slot, exec, step, late);
    case GraphStep::Kind::kHost:
      return AddHostStep(batch, stream.slot, AroundHostCall(std::get<GraphHost>(step.node->payload).run), nullptr)
                 ? 0
                 : kOutOfMemory;
    case GraphStep::Kind::kCopyOnHost:
      return AddHostStep(batch, stream.slot,
                         AroundHostCall([copy = std::get<GraphCopy>(step.node->payload)](DeviceResult error) {
                           if (error == 0) CopyOnHost(copy);
                         }),
                         nullptr)
                 ? 0
                 : kOutOfMemory;
    case GraphStep::Kind::kEventRecord: {
      Event* event = std::get<GraphEventRecord>(step.node->payload).event;
      if (!IsEvent(event)) return kInvalidHandle;
      batch->ordered.push_back({batch->commands.size(), event, true});
      batch->commands.Add(wire::EventRecord(event->id, stream.slot));
      return 0;
    }
    case GraphStep::Kind::kEventWait: {
      Event* event = std::get<GraphEventWait>(step.node->payload).event;
      if (!IsEvent(event)) return kInvalidHandle;
      if (!event->recorded() && !event->is_leased) return 0;
      batch->ordered.push_back({batch->commands.size(), event, false});
      batch->commands.Add(wire::StreamWaitEvent(stream.slot, event->id));
      return 0;
    }
  }
  return kInvalidValue;
}

DeviceResult ClientSession::OrderLaunches(GraphExec* exec, Stream* stream) {
  if (exec->last_stream_ == nullptr || Passed(exec->last_slot_, exec->last_sequence_)) return 0;
  if (exec->last_stream_ == stream && exec->last_slot_ == stream->slot) return 0;
  const bool is_there = IsStream(exec->last_stream_) && exec->last_stream_->slot == exec->last_slot_;
  if (!is_there) {
    return Wait([this, exec] { return Passed(exec->last_slot_, exec->last_sequence_); });
  }
  if (exec->order_ == nullptr) {
    if (const DeviceResult made = CreateEvent(stream->device, false, &exec->order_, true); made != 0) return made;
  }
  const DeviceResult recorded = RecordEvent(exec->order_, exec->last_stream_);
  return recorded != 0 ? recorded : WaitEvent(stream, exec->order_);
}

namespace {

// Commands run where their stream is.
bool MayRunOn(const GraphProgram& program, std::uint32_t device) {
  return std::all_of(program.device_nodes.begin(), program.device_nodes.end(), [device](const GraphNode* node) {
    const auto* call = std::get_if<GraphLibrary>(&node->payload);
    return call == nullptr || call->device == device;
  });
}

}  // namespace

DeviceResult ClientSession::LaunchGraph(Stream* stream, GraphExec* exec) {
  if (DeviceResult captured = 0; Diverts(*stream, &captured)) [[unlikely]] {
    if (captured != 0) return captured;
    // CUDA 13 has no node for it.
    captures_->Invalidate(*stream);
    return kCaptureUnsupported;
  }
  if (devices_.size() > 1 && !MayRunOn(exec->program(), stream->device)) {
    log::Warning("cudaGraphLaunch",
                 "a graph with functions of libraries is launched on another device than it was captured on, which is "
                 "not supported by this release; the call returns cudaErrorNotSupported");
    return kUnsupported;
  }
  if (const DeviceResult result = DefineGraph(exec); result != 0) return result;
  if (const DeviceResult result = OrderLaunches(exec, stream); result != 0) return result;
  if (const DeviceResult result = BeginGraphMemory(*exec); result != 0) return result;
  if (const DeviceResult result = BeforeGraph(*exec, stream); result != 0) return result;
  const GraphProgram& program = exec->program_;
  const bool late =
      program.sent_bytes != 0 && (HostWritesPending() || (program.sent_bytes > kEarlyBytesMax && !Idle(*stream)));
  GraphBatch batch;
  DeviceResult result = 0;
  for (const GraphStep& step : program.steps) {
    result = AddStep(&batch, *stream, *exec, step, late);
    if (result != 0) break;
  }
  if (result == 0 && batch.commands.size() != 0) result = PostGraphBatch(stream, exec, &batch);
  if (result != 0) {
    for (std::size_t i = 0; i < batch.hosts.size(); ++i) host_calls_.Abandon();
    for (const auto& expected : batch.expected) commands_->channel().CancelBulk(expected.token);
    return result;
  }
  if (const Status sent = SendOutgoing(*commands_, batch.early); !sent.ok()) return Lost(sent);
  return 0;
}

Result<std::uint64_t> ClientSession::PostOrdered(const Stream& stream, const GraphBatch& batch) {
  if (batch.ordered.empty() || !orders_frees_.load(std::memory_order_acquire)) return commands_->Post(batch.commands);
  // As PostRecord() and PostWait() have it.
  const StreamName name = NameOf(stream);
  const MutexLock lock(order_mu_);
  const std::uint64_t legacy_last = LastOfLegacy(name);
  Result<std::uint64_t> posted = commands_->Post(batch.commands);
  if (!posted.ok()) return posted;
  for (const auto& ordered : batch.ordered) {
    if (ordered.is_record) {
      order_.Recorded(ordered.event->id, {name, *posted + ordered.at}, legacy_last);
    } else {
      order_.Waited(ordered.event->id, name);
    }
  }
  return posted;
}

DeviceResult ClientSession::PostGraphBatch(Stream* stream, GraphExec* exec, GraphBatch* batch) {
  const Result<std::uint64_t> posted = PostOrdered(*stream, *batch);
  if (!posted.ok()) return Lost(posted.status());
  const std::uint64_t first = *posted;
  const std::uint64_t last = first + batch->commands.size() - 1;
  StoreMax(stream->last_sequence, last);
  exec->last_stream_ = stream;
  exec->last_slot_ = stream->slot;
  exec->last_sequence_ = last;
  bool records_leased = false;
  for (const auto& ordered : batch->ordered) {
    if (!ordered.is_record) continue;
    NoteRecord(ordered.event, *stream, first + ordered.at);
    records_leased = records_leased || ordered.event->is_leased;
  }
  if (exec->program_.writes_host) NotePinnedWrite(stream->slot, last);
  NoteDeviceWork(stream->slot, last);
  if (!batch->expected.empty()) {
    {
      const MutexLock lock(pinned_mu_);
      for (const auto& expected : batch->expected)
        landing_.push_back({expected.token, stream->slot, first + expected.at});
    }
    const int count = static_cast<int>(batch->expected.size());
    landing_count_.fetch_add(count, std::memory_order_release);
    commands_->AddPendingEffects(count);
  }
  for (auto& host : batch->hosts) {
    host_calls_.Add(host.call, stream->slot, first + host.at, std::move(host.function), std::move(host.then));
  }
  return records_leased ? CommitRecord() : 0;
}

}  // namespace accelmesh
