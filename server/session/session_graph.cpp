// Session: graphs. A definition holds commands that are run as often as it is launched, through the handlers that take
// the same commands from the wire: so a launch parks, fails and completes like the commands it stands for, and no
// backend knows of graphs.
#include <cstring>

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

// The patches of a launch, in the order of its nodes.
class PatchReader {
 public:
  explicit PatchReader(ByteView payload) : rest_(payload) {}
  // The token of a place of `node`; 0 if the next patch is for another.
  std::uint64_t Take(std::uint32_t node, bool is_dst) {
    if (rest_.size() < sizeof(wire::GraphPatch)) return 0;
    wire::GraphPatch patch;
    std::memcpy(&patch, rest_.data(), sizeof(patch));
    if (patch.node() != node || (patch.is_dst() != 0) != is_dst) return 0;
    rest_ = rest_.subspan(sizeof(patch));
    return patch.token();
  }
  bool at_end() const { return rest_.empty(); }

 private:
  ByteView rest_;
};

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
  const auto found = graphs_.find(command.graph());
  if (found == graphs_.end() || found->second.nodes.size() != command.total()) {
    if (found != graphs_.end()) ForgetGraph(found);
    const std::uint64_t bytes = std::uint64_t{command.total()} * limits::kGraphNodeBytes;
    if (bytes > limits::kGraphBytesMax - graph_bytes_)
      return {Code::kLimitExceeded, "GraphDefine.total", "more graphs than a session may hold"};
    graph_bytes_ += bytes;
    Graph& made = graphs_[command.graph()];
    made.nodes.resize(command.total());
    made.bytes = bytes;
  }
  Graph& graph = graphs_.at(command.graph());
  FrameReader reader = FrameReader::OfPayload(record.payload, command.nodes());
  for (std::uint32_t i = 0; i < command.nodes(); ++i) {
    ACCELMESH_ASSIGN_OR_RETURN(const RecordView inner, reader.Next());
    ACCELMESH_ASSIGN_OR_RETURN(GraphNode node, ReadGraphNode(inner));
    GraphNode& place = graph.nodes[command.first() + i];
    graph_bytes_ -= place.payload.size();
    graph.bytes -= place.payload.size();
    if (node.payload.size() > limits::kGraphBytesMax - graph_bytes_)
      return {Code::kLimitExceeded, "GraphDefine.payload", "more graphs than a session may hold"};
    graph_bytes_ += node.payload.size();
    graph.bytes += node.payload.size();
    place = std::move(node);
  }
  if (!reader.at_end()) return {Code::kBadFrame, "GraphDefine.nodes", "more bytes than nodes"};
  return Status::Ok();
}

Status Session::On(const wire::GraphLaunch& command, const RecordView& record) {
  ACCELMESH_RETURN_IF_ERROR(CheckStream(command.stream()));
  const auto found = graphs_.find(command.graph());
  if (found == graphs_.end()) return {Code::kBadFrame, "GraphLaunch.graph", "no such graph"};
  const std::vector<GraphNode>& nodes = found->second.nodes;
  if (command.nodes() == 0 || command.nodes() > limits::kGraphLaunchNodesMax || command.first() > nodes.size() ||
      command.nodes() > nodes.size() - command.first()) {
    return {Code::kBadFrame, "GraphLaunch.nodes", "out of range"};
  }
  PatchReader patches(record.payload);
  const ReplayScope scope(replayed_sequence_, record.sequence);
  for (std::uint32_t i = 0; i < command.nodes(); ++i) {
    const std::uint32_t at = command.first() + i;
    const GraphNode& node = nodes[at];
    // The counter passes the launch with its last node; what it says before is that everything in front of the launch
    // has completed, which is so from the first node's end on.
    const bool is_last = i + 1 == command.nodes();
    const RecordView part{is_last ? record.sequence : record.sequence - 1, record.command, {}, node.payload};
    if (const auto* launch = std::get_if<wire::Launch>(&node.command)) {
      const wire::Launch here(launch->module_id(), launch->kernel(), command.stream(), launch->shared_bytes(),
                              launch->grid_x(), launch->grid_y(), launch->grid_z(), launch->block_x(),
                              launch->block_y(), launch->block_z(), launch->attributes(), launch->reserved());
      ACCELMESH_RETURN_IF_ERROR(On(here, part));
    } else if (const auto* fill = std::get_if<wire::Fill>(&node.command)) {
      const wire::Fill here(fill->address(), fill->pitch(), fill->slice(), fill->width(), fill->height(), fill->depth(),
                            fill->value(), fill->element_bytes(), command.stream(), fill->reserved());
      ACCELMESH_RETURN_IF_ERROR(On(here, part));
    } else if (const auto* copy = std::get_if<wire::CopyPitched>(&node.command)) {
      std::uint64_t dst_token = 0;
      std::uint64_t src_token = 0;
      if ((node.patches & kDstPatch) != 0) dst_token = patches.Take(at, true);
      if ((node.patches & kSrcPatch) != 0) src_token = patches.Take(at, false);
      if (((node.patches & kDstPatch) != 0 && dst_token == 0) || ((node.patches & kSrcPatch) != 0 && src_token == 0))
        return {Code::kBadFrame, "GraphLaunch.patches", "a copy with the client's memory has no token"};
      ACCELMESH_RETURN_IF_ERROR(On(Patched(*copy, command.stream(), dst_token, src_token), part));
    } else {
      return {Code::kBadFrame, "GraphLaunch.node", "node " + std::to_string(at) + " is not defined"};
    }
  }
  if (!patches.at_end()) return {Code::kBadFrame, "GraphLaunch.patches", "a patch for what needs none"};
  return Status::Ok();
}

Status Session::On(const wire::GraphDestroy& command, const RecordView& /*record*/) {
  const auto found = graphs_.find(command.graph());
  if (found == graphs_.end()) return {Code::kBadFrame, "GraphDestroy.graph", "no such graph"};
  ForgetGraph(found);
  return Status::Ok();
}

void Session::ForgetGraph(std::unordered_map<std::uint32_t, Graph>::iterator graph) {
  graph_bytes_ -= graph->second.bytes;
  graphs_.erase(graph);
}

}  // namespace accelmesh
