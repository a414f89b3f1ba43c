// Session: graphs. A definition holds commands that are run as often as it is launched, through the handlers that take
// the same commands from the wire: so a launch parks, fails and completes like the commands it stands for, and no
// backend knows of graphs.
//
// Branches make a launch a program, which goes on once the stream has drained and the word that decides can be read. It
// stands at the front of what the stream has parked, and its nodes come in front of it. The executor does not wait: a
// loop that gives the device nothing to do hands over after kBranchesMax.
#include <algorithm>
#include <cstring>
#include <utility>

#include "protocol/base/log.h"
#include "server/session/session_inl.h"

namespace accelmesh {
namespace {

// What has to be said anew with each launch: a bulk token is used once.
constexpr std::uint8_t kDstPatch = 1;
constexpr std::uint8_t kSrcPatch = 2;

template <typename T>
Result<T> ReadBody(const RecordView& record, const char* name) {
  if (record.body.size() != sizeof(T)) return BadBody(record, name);
  T value;
  std::memcpy(&value, record.body.data(), sizeof(T));
  return value;
}

// A copy with its stream and tokens of this launch.
wire::CopyPitched Patched(const wire::CopyPitched& copy, std::uint32_t stream, std::uint64_t dst_token,
                          std::uint64_t src_token) {
  const wire::Place dst = dst_token == 0 ? copy.dst() : wire::Place(dst_token, 0, wire::PlaceKind::Bulk);
  const wire::Place src = src_token == 0 ? copy.src() : wire::Place(src_token, 0, wire::PlaceKind::Bulk);
  return {dst,
          src,
          copy.dst_pitch(),
          copy.dst_slice(),
          copy.src_pitch(),
          copy.src_slice(),
          copy.width(),
          copy.height(),
          copy.depth(),
          stream,
          0};
}

// The token of a place of `node`, from the front of a launch's patches; 0 if the next patch is for another.
std::uint64_t TakePatch(ByteView* patches, std::uint32_t node, bool is_dst) {
  wire::GraphPatch patch;
  if (patches->size() < sizeof(patch)) return 0;
  std::memcpy(&patch, patches->data(), sizeof(patch));
  if (patch.node() != node || (patch.is_dst() != 0) != is_dst) return 0;
  *patches = patches->subspan(sizeof(patch));
  return patch.token();
}

// Branches that a launch takes before others have their turn.
constexpr std::uint32_t kBranchesMax = 64;

class ReplayScope {
 public:
  ReplayScope(std::uint64_t& replayed, std::uint64_t sequence) : replayed_(replayed) { replayed_ = sequence; }
  ~ReplayScope() { replayed_ = 0; }
  ReplayScope(const ReplayScope&) = delete;
  ReplayScope& operator=(const ReplayScope&) = delete;

 private:
  std::uint64_t& replayed_;
};

}  // namespace

Result<Session::GraphNode> Session::ReadGraphNode(const RecordView& record) {
  GraphNode node;
  node.payload.assign(record.payload.begin(), record.payload.end());
  switch (static_cast<CommandId>(record.command)) {
    case CommandId::kLaunch: {
      ACCELMESH_ASSIGN_OR_RETURN(node.command, ReadBody<wire::Launch>(record, "GraphDefine.Launch"));
      return node;
    }
    case CommandId::kFill: {
      ACCELMESH_ASSIGN_OR_RETURN(node.command, ReadBody<wire::Fill>(record, "GraphDefine.Fill"));
      return node;
    }
    case CommandId::kLibraryCall: {
      ACCELMESH_ASSIGN_OR_RETURN(node.command, ReadBody<wire::LibraryCall>(record, "GraphDefine.LibraryCall"));
      return node;
    }
    case CommandId::kGraphBranch: {
      ACCELMESH_ASSIGN_OR_RETURN(const wire::GraphBranch branch,
                                 ReadBody<wire::GraphBranch>(record, "GraphDefine.GraphBranch"));
      if (branch.test() > wire::GraphTest::NotEqual || branch.condition() % sizeof(std::uint32_t) != 0)
        return Status(Code::kBadFrame, "GraphDefine.GraphBranch", "no such test, or a condition that is no word");
      node.command = branch;
      return node;
    }
    case CommandId::kCopy: {
      ACCELMESH_ASSIGN_OR_RETURN(const wire::Copy copy, ReadBody<wire::Copy>(record, "GraphDefine.Copy"));
      const std::uint64_t bytes = copy.bytes();
      node.command = wire::CopyPitched(copy.dst(), copy.src(), bytes, bytes, bytes, bytes, bytes, 1, 1, 0, 0);
      break;
    }
    case CommandId::kCopyPitched: {
      ACCELMESH_ASSIGN_OR_RETURN(node.command, ReadBody<wire::CopyPitched>(record, "GraphDefine.CopyPitched"));
      break;
    }
    default:
      return Status(Code::kBadFrame, "GraphDefine.command",
                    "command " + std::to_string(record.command) + " is none that a graph holds");
  }
  const auto& copy = std::get<wire::CopyPitched>(node.command);
  if (copy.dst().kind() == wire::PlaceKind::Bulk) node.patches |= kDstPatch;
  if (copy.src().kind() == wire::PlaceKind::Bulk) node.patches |= kSrcPatch;
  return node;
}

Status Session::On(const wire::GraphDefine& command, const RecordView& record) {
  if (command.graph() >= limits::kGraphsMax || command.total() == 0 || command.total() > limits::kGraphNodesMax ||
      command.first() > command.total() || command.nodes() > command.total() - command.first()) {
    return {Code::kBadFrame, "GraphDefine", "graph or nodes out of range"};
  }
  auto found = graphs_.find(command.graph());
  if (found == graphs_.end() || found->second->total != command.total()) {
    if (found != graphs_.end()) ACCELMESH_RETURN_IF_ERROR(ForgetGraph(found));
    const std::uint64_t bytes = std::uint64_t{command.total()} * limits::kGraphNodeBytes;
    if (bytes > limits::kGraphBytesMax - graph_bytes_)
      return {Code::kLimitExceeded, "GraphDefine.total", "more graphs than a session may hold"};
    std::shared_ptr<Graph> made = NewGraph();
    made->total = command.total();
    made->bytes = bytes;
    graph_bytes_ += bytes;
    found = graphs_.insert_or_assign(command.graph(), std::move(made)).first;
  } else if (found->second.use_count() > 1) {
    // Launches under way mean the nodes as they were.
    std::shared_ptr<Graph> changed = NewGraph();
    changed->total = found->second->total;
    changed->nodes = found->second->nodes;
    changed->branches = found->second->branches;
    ACCELMESH_RETURN_IF_ERROR(RetireGraph(*found->second));
    changed->bytes = found->second->bytes;
    graph_bytes_ += changed->bytes;
    found->second = std::move(changed);
  }
  Graph& graph = *found->second;
  // In order, and memory is taken for what has come: a short command cannot make the session take much.
  if (command.first() > graph.nodes.size())
    return {Code::kBadFrame, "GraphDefine.first", "nodes before these have not come"};
  FrameReader reader = FrameReader::OfPayload(record.payload, command.nodes());
  for (std::uint32_t i = 0; i < command.nodes(); ++i) {
    ACCELMESH_ASSIGN_OR_RETURN(const RecordView inner, reader.Next());
    ACCELMESH_ASSIGN_OR_RETURN(GraphNode node, ReadGraphNode(inner));
    const std::size_t at = command.first() + i;
    if (at == graph.nodes.size()) graph.nodes.emplace_back();
    GraphNode& place = graph.nodes[at];
    graph_bytes_ -= place.payload.size();
    graph.bytes -= place.payload.size();
    if (node.payload.size() > limits::kGraphBytesMax - graph_bytes_)
      return {Code::kLimitExceeded, "GraphDefine.payload", "more graphs than a session may hold"};
    graph_bytes_ += node.payload.size();
    graph.bytes += node.payload.size();
    if (std::holds_alternative<wire::GraphBranch>(place.command)) --graph.branches;
    if (std::holds_alternative<wire::GraphBranch>(node.command)) ++graph.branches;
    place = std::move(node);
  }
  if (!reader.at_end()) return {Code::kBadFrame, "GraphDefine.nodes", "more bytes than nodes"};
  return Status::Ok();
}

Status Session::On(const wire::GraphLaunch& command, const RecordView& record) {
  ACCELMESH_RETURN_IF_ERROR(CheckStream(command.stream()));
  const auto found = graphs_.find(command.graph());
  if (found == graphs_.end()) return {Code::kBadFrame, "GraphLaunch.graph", "no such graph"};
  const std::vector<GraphNode>& nodes = found->second->nodes;
  if (command.nodes() == 0 || command.nodes() > limits::kGraphLaunchNodesMax || command.first() > nodes.size() ||
      command.nodes() > nodes.size() - command.first()) {
    return {Code::kBadFrame, "GraphLaunch.nodes", "out of range"};
  }
  if (found->second->branches != 0) return BeginReplay(command, record, found->second);
  ByteView patches = record.payload;
  const ReplayScope scope(replayed_sequence_, record.sequence);
  for (std::uint32_t i = 0; i < command.nodes(); ++i) {
    const std::uint32_t at = command.first() + i;
    // The counter passes the launch with its last node; what it says before is that everything in front of the launch
    // has completed, which is so from the first node's end on.
    const bool is_last = i + 1 == command.nodes();
    const RecordView part{is_last ? record.sequence : record.sequence - 1, record.command, {}, nodes[at].payload};
    ACCELMESH_RETURN_IF_ERROR(RunGraphNode(nodes[at], at, command.stream(), part, &patches, nullptr));
  }
  if (!patches.empty()) return {Code::kBadFrame, "GraphLaunch.patches", "a patch for what needs none"};
  return Status::Ok();
}

Status Session::RunGraphNode(const GraphNode& node, std::uint32_t at, std::uint32_t stream, const RecordView& part,
                             ByteView* patches, std::shared_ptr<BackendModule> module) {
  if (const auto* launch = std::get_if<wire::Launch>(&node.command)) {
    const wire::Launch here(launch->module_id(), launch->kernel(), stream, launch->shared_bytes(), launch->grid_x(),
                            launch->grid_y(), launch->grid_z(), launch->block_x(), launch->block_y(), launch->block_z(),
                            launch->attributes(), launch->cluster_policy(), launch->cluster(),
                            launch->preferred_cluster());
    return module == nullptr ? On(here, part) : RunLaunch(here, part, std::move(module));
  }
  if (const auto* fill = std::get_if<wire::Fill>(&node.command)) {
    const wire::Fill here(fill->address(), fill->pitch(), fill->slice(), fill->width(), fill->height(), fill->depth(),
                          fill->value(), fill->element_bytes(), stream, fill->reserved());
    return On(here, part);
  }
  if (const auto* call = std::get_if<wire::LibraryCall>(&node.command))
    return On(wire::LibraryCall(call->library(), call->function(), stream, call->settings()), part);
  if (const auto* copy = std::get_if<wire::CopyPitched>(&node.command)) {
    std::uint64_t dst_token = 0;
    std::uint64_t src_token = 0;
    if ((node.patches & kDstPatch) != 0) dst_token = TakePatch(patches, at, true);
    if ((node.patches & kSrcPatch) != 0) src_token = TakePatch(patches, at, false);
    if (((node.patches & kDstPatch) != 0 && dst_token == 0) || ((node.patches & kSrcPatch) != 0 && src_token == 0))
      return {Code::kBadFrame, "GraphLaunch.patches", "a copy with the client's memory has no token"};
    return On(Patched(*copy, stream, dst_token, src_token), part);
  }
  return {Code::kBadFrame, "GraphLaunch.node", "node " + std::to_string(at) + " is not defined"};
}

Status Session::On(const wire::GraphDestroy& command, const RecordView& /*record*/) {
  const auto found = graphs_.find(command.graph());
  if (found == graphs_.end()) return {Code::kBadFrame, "GraphDestroy.graph", "no such graph"};
  return ForgetGraph(found);
}

std::shared_ptr<Session::Graph> Session::NewGraph() {
  return {new Graph, [this](const Graph* gone) {
            (gone->is_past ? past_graph_bytes_ : graph_bytes_) -= gone->bytes;
            delete gone;
          }};
}

Status Session::RetireGraph(Graph& graph) {
  if (graph.bytes > limits::kGraphBytesMax - past_graph_bytes_)
    return {Code::kLimitExceeded, "GraphDefine", "more changed graphs under way than a session may hold"};
  graph_bytes_ -= graph.bytes;
  past_graph_bytes_ += graph.bytes;
  graph.is_past = true;
  return Status::Ok();
}

Status Session::ForgetGraph(Graphs::iterator graph) {
  if (graph->second.use_count() > 1) ACCELMESH_RETURN_IF_ERROR(RetireGraph(*graph->second));
  graphs_.erase(graph);
  return Status::Ok();
}

// Branches -----------------------------------------------------------------------------------------------------------

Status Session::On(const wire::GraphBranch& /*command*/, const RecordView& /*record*/) {
  return {Code::kBadFrame, "GraphBranch", "outside of a graph"};
}

Status Session::BeginReplay(const wire::GraphLaunch& command, const RecordView& record,
                            std::shared_ptr<const Graph> graph) {
  auto replay = std::make_shared<Replay>();
  replay->graph = std::move(graph);
  replay->patches.assign(record.payload.begin(), record.payload.end());
  replay->patches_left = replay->patches;
  replay->stream = command.stream();
  replay->sequence = record.sequence;
  replay->first = replay->at = command.first();
  replay->end = command.first() + command.nodes();
  // What a later command may take away is looked up now: this launch stands in front of that.
  replay->modules.resize(command.nodes());
  for (std::uint32_t i = 0; i < command.nodes(); ++i) {
    const GraphNode& node = replay->graph->nodes[command.first() + i];
    if (const auto* launch = std::get_if<wire::Launch>(&node.command)) {
      ACCELMESH_ASSIGN_OR_RETURN(replay->modules[i], FindKernel(*launch, node.payload.size()));
      if (replay->modules[i]->has_foreign_conditions && !replay->has_failed) {
        FailReplay(*replay, kDeviceNotSupported,
                   "a graph with conditional nodes runs kernels of a module that sets conditions by machine code of "
                   "NVIDIA's device library, which knows none but its driver's; build it with PTX for the device");
      }
    } else if (const auto* branch = std::get_if<wire::GraphBranch>(&node.command)) {
      if (branch->target() < replay->first || branch->target() > replay->end)
        return {Code::kBadFrame, "GraphBranch.target", "outside of the launch"};
    }
  }
  if (!streams_[replay->stream].parked.empty() ||
      LegacyRuleParks(streams_[replay->stream], replay->stream, record.sequence)) {
    Park(replay->stream, {record.sequence, 0, nullptr, false, [this, replay] { return ContinueReplay(replay); }});
    return Status::Ok();
  }
  return ContinueReplay(replay);
}

Status Session::ContinueReplay(const std::shared_ptr<Replay>& replay) {
  const std::uint32_t stream = replay->stream;
  const ReplayScope scope(replayed_sequence_, replay->sequence);
  // What the nodes park comes in front of what is parked behind the launch.
  std::list<Parked> behind;
  behind.swap(streams_[stream].parked);
  bool has_yielded = false;
  ACCELMESH_RETURN_IF_ERROR(RunReplay(*replay, &has_yielded));
  if (replay->at < replay->end) {
    Parked next{replay->sequence, 0, nullptr, false, [this, replay] { return ContinueReplay(replay); }};
    next.needs_drained = true;
    if (has_yielded) {
      next.yielded_in = round_;
      has_yielded_ = true;
    }
    Park(stream, std::move(next));
  } else if (!replay->patches_left.empty()) {
    return {Code::kBadFrame, "GraphLaunch.patches", "a patch for what needs none"};
  } else {
    ACCELMESH_RETURN_IF_ERROR(RunNothing(stream, replay->sequence, 0));
  }
  std::list<Parked>& parked = streams_[stream].parked;
  parked.splice(parked.end(), behind);
  return Status::Ok();
}

Status Session::RunReplay(Replay& replay, bool* has_yielded) {
  for (std::uint32_t branches = 0; replay.at < replay.end;) {
    const std::uint32_t at = replay.at;
    const GraphNode& node = replay.graph->nodes[at];
    // The client counts on the bytes of its copies, whatever happened; a loop would fail in the same way for ever.
    if (replay.has_failed && node.patches == 0) {
      ++replay.at;
      continue;
    }
    if (const auto* branch = std::get_if<wire::GraphBranch>(&node.command)) {
      // A loop that only waited for its condition could park its nodes again and again.
      const bool tests = branch->test() != wire::GraphTest::Always;
      const bool waits = tests || branch->target() <= at;
      // Nothing runs any more that could set the word.
      if (tests && is_broken_.load(std::memory_order_relaxed)) {
        replay.has_failed = true;
        continue;
      }
      if (tests && !std::exchange(replay.has_fetched, true)) {
        if (!CheckCondition(replay, *branch)) continue;
        const std::uint32_t stream = replay.stream;
        const std::uint64_t sequence = replay.sequence - 1;
        ACCELMESH_RETURN_IF_ERROR(
            RunOrPark(stream, sequence, 0, nullptr, [this, stream, sequence, condition = branch->condition()] {
              return backend_.FetchWord(stream, sequence, condition);
            }));
      }
      if (waits && (!streams_[replay.stream].parked.empty() || backend_.InFlight(replay.stream) != 0))
        return Status::Ok();
      if (++branches > kBranchesMax) {
        *has_yielded = true;
        return Status::Ok();
      }
      TakeBranch(replay, *branch);
      continue;
    }
    const RecordView part{replay.sequence - 1, static_cast<std::uint16_t>(CommandId::kGraphLaunch), {}, node.payload};
    replay_failed_ = false;
    ACCELMESH_RETURN_IF_ERROR(
        RunGraphNode(node, at, replay.stream, part, &replay.patches_left, replay.modules[at - replay.first]));
    replay.has_failed = replay.has_failed || std::exchange(replay_failed_, false);
    ++replay.at;
  }
  return Status::Ok();
}

void Session::TakeBranch(Replay& replay, const wire::GraphBranch& branch) {
  bool is_taken = true;
  replay.has_fetched = false;
  if (branch.test() != wire::GraphTest::Always) {
    // Memory that was there when the word was fetched may be gone.
    if (!CheckCondition(replay, branch)) return;
    const Result<std::uint32_t> word = backend_.ReadWord(replay.stream, branch.condition());
    if (!word.ok()) return FailReplay(replay, kDeviceNotSupported, word.status().ToString());
    is_taken = (*word == branch.value()) == (branch.test() == wire::GraphTest::Equal);
  }
  replay.at = is_taken ? branch.target() : replay.at + 1;
}

bool Session::CheckCondition(Replay& replay, const wire::GraphBranch& branch) {
  const bool is_there = std::any_of(memory_.begin(), memory_.end(), [&branch](const RangeTable& table) {
    return table.Covers(branch.condition(), sizeof(std::uint32_t));
  });
  if (!is_there) FailReplay(replay, kDeviceInvalidValue, "the condition of a graph's branch lies in no memory");
  return is_there;
}

void Session::FailReplay(Replay& replay, DeviceStatus status, std::string_view text) {
  log::Warning("session", text);
  Failed(replay.stream, replay.sequence, status, false, text);
  replay.has_failed = true;
}

}  // namespace accelmesh
