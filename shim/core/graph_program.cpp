#include "shim/core/graph_program.h"

#include <algorithm>
#include <cstring>

#include "protocol/base/log.h"
#include "shim/core/session_inl.h"

namespace accelmesh {
namespace {

// Tokens that fit behind a wire::GraphLaunch.
constexpr std::size_t kPiecesMax = 8192;
static_assert(kPiecesMax * sizeof(wire::GraphPatch) + 256 < limits::kRecordBytesMax);

wire::Place DevicePlace(std::uint64_t address) { return {address, 0, wire::PlaceKind::Device}; }
const wire::Place kGap(0, 0, wire::PlaceKind::Bulk);

// The commands of one node, before they have their places in the definition.
struct Encoded {
  std::vector<Bytes> records;
  std::vector<GraphPiece> pieces;  // `record` counts from the node's first
  bool writes_host = false;
};

template <typename T>
void AddRecord(Encoded* encoded, const T& body, ByteView payload = {}) {
  Bytes record;
  AppendRecord(record, static_cast<std::uint16_t>(CommandTraits<T>::kId), AsBytes(body), payload);
  encoded->records.push_back(std::move(record));
}

void AddPiece(Encoded* encoded, GraphPiece piece) {
  piece.record = static_cast<std::uint32_t>(encoded->records.size());
  encoded->pieces.push_back(piece);
}

std::uint64_t Extent(const PitchedSide& side, const GraphCopy& copy) {
  return side.pitch * (copy.height - 1) + side.slice * (copy.depth - 1) + copy.width;
}

bool IsContiguous(const PitchedSide& side, const GraphCopy& copy) {
  const bool rows = copy.height == 1 || side.pitch == copy.width;
  return rows && (copy.depth == 1 || side.slice == copy.width * copy.height);
}

void EncodePieces(const GraphCopy& copy, const GraphCompileOptions& options, Encoded* encoded) {
  const bool to_host = copy.src.is_device;
  const PitchedSide& host = to_host ? copy.dst : copy.src;
  const PitchedSide& device = to_host ? copy.src : copy.dst;
  if (IsContiguous(host, copy) && IsContiguous(device, copy)) {
    const std::uint64_t bytes = copy.width * copy.height * copy.depth;
    // What comes from the device lands in pieces of the server's choice; what is sent is one body each.
    const std::uint64_t step = to_host ? bytes : options.piece_bytes;
    for (std::uint64_t done = 0; done < bytes; done += step) {
      const std::uint64_t now = std::min(step, bytes - done);
      const wire::Place place = DevicePlace(device.address + done);
      AddPiece(encoded, {0, to_host, host.address + done, now, 1, now});
      AddRecord(encoded, wire::Copy(to_host ? kGap : place, to_host ? place : kGap, now, 0, 0));
    }
    return;
  }
  // Rows land one by one: a body lies in one piece.
  const std::uint64_t rows_max = to_host ? 1 : std::max<std::uint64_t>(1, options.piece_bytes / copy.width);
  for (std::uint64_t z = 0; z < copy.depth; ++z) {
    for (std::uint64_t y = 0; y < copy.height;) {
      const std::uint64_t rows = std::min(rows_max, copy.height - y);
      const std::uint64_t from_host = host.address + z * host.slice + y * host.pitch;
      const std::uint64_t on_device = device.address + z * device.slice + y * device.pitch;
      const std::uint64_t step = to_host ? copy.width : std::min(copy.width, options.piece_bytes);
      for (std::uint64_t x = 0; x < copy.width; x += step) {
        const std::uint64_t width = std::min(step, copy.width - x);
        const wire::Place place = DevicePlace(on_device + x);
        AddPiece(encoded, {0, to_host, from_host + x, width, rows, host.pitch});
        AddRecord(encoded, wire::CopyPitched(to_host ? kGap : place, to_host ? place : kGap, device.pitch, 0,
                                             device.pitch, 0, width, rows, 1, 0, 0));
      }
      y += rows;
    }
  }
}

void EncodeCopy(const GraphCopy& copy, const GraphCompileOptions& options, Encoded* encoded) {
  wire::Place dst = DevicePlace(copy.dst.address);
  wire::Place src = DevicePlace(copy.src.address);
  encoded->writes_host = !copy.dst.is_device;
  if (!copy.dst.is_device || !copy.src.is_device) {
    const PitchedSide& host = copy.dst.is_device ? copy.src : copy.dst;
    const std::optional<wire::Place> shared = options.find_shared(host.address, Extent(host, copy));
    if (!shared.has_value()) return EncodePieces(copy, options, encoded);
    (copy.dst.is_device ? src : dst) = *shared;
  }
  AddRecord(encoded, wire::CopyPitched(dst, src, copy.dst.pitch, copy.dst.slice, copy.src.pitch, copy.src.slice,
                                       copy.width, copy.height, copy.depth, 0, 0));
}

// Nothing for a node whose work is no command of the server's.
Encoded Encode(const GraphPayload& payload, const GraphCompileOptions& options) {
  Encoded encoded;
  if (const auto* kernel = std::get_if<GraphKernel>(&payload)) {
    const LaunchGeometry& g = kernel->geometry;
    AddRecord(&encoded,
              wire::Launch(kernel->module, kernel->index, 0, g.shared_bytes, g.grid[0], g.grid[1], g.grid[2],
                           g.block[0], g.block[1], g.block[2], g.attributes, g.cluster.policy, ToWire(g.cluster.size),
                           ToWire(g.cluster.preferred)),
              kernel->arguments);
  } else if (const auto* call = std::get_if<GraphLibrary>(&payload)) {
    AddRecord(&encoded, wire::LibraryCall(call->library, call->function, 0, call->settings), call->arguments);
  } else if (const auto* fill = std::get_if<GraphFill>(&payload)) {
    AddRecord(&encoded, fill->fill);
  } else if (const auto* copy = std::get_if<GraphCopy>(&payload)) {
    if (copy->dst.is_device || copy->src.is_device) EncodeCopy(*copy, options, &encoded);
  }
  return encoded;
}

// Child graphs in the place of their nodes.
bool Flatten(const Graph& graph, std::vector<GraphNode*>* leaves, GraphNode** offending) {
  std::vector<GraphNode*> order;
  if (!graph.Order(&order, offending)) return false;
  for (GraphNode* node : order) {
    const auto* child = std::get_if<GraphChild>(&node->payload);
    if (child == nullptr) {
      leaves->push_back(node);
    } else if (!Flatten(*child->graph, leaves, offending)) {
      return false;
    }
  }
  return true;
}

// A conditional node with all of its bodies, before it has its place: targets count from its first record.
class BodyCompiler {
 public:
  BodyCompiler(const GraphCompileOptions& options, GraphProgram* program) : options_(options), program_(*program) {}

  DeviceResult Add(const GraphConditional& conditional, GraphNode** offending) {
    const std::uint64_t condition = conditional.condition->handle;
    if (conditional.kind == GraphConditionalKind::kSwitch) return AddSwitch(conditional, offending);
    const std::uint32_t begin = size();
    const std::uint32_t test = Branch(condition, 0, wire::GraphTest::Equal);
    if (const DeviceResult result = AddBody(*conditional.bodies[0], offending); result != 0) return result;
    if (conditional.kind == GraphConditionalKind::kWhile) {
      branches_[Branch(0, 0, wire::GraphTest::Always)].target = begin;
      branches_[test].target = size();
      return 0;
    }
    if (conditional.bodies.size() == 1) {
      branches_[test].target = size();
      return 0;
    }
    const std::uint32_t end = Branch(0, 0, wire::GraphTest::Always);
    branches_[test].target = size();
    const DeviceResult result = AddBody(*conditional.bodies[1], offending);
    branches_[end].target = size();
    return result;
  }
  // From record `first` of the definition on.
  std::vector<Bytes> Place(std::uint32_t first) {
    for (const BranchAt& branch : branches_) {
      Bytes& record = records_[branch.at];
      record.clear();
      AppendRecord(record, static_cast<std::uint16_t>(CommandId::kGraphBranch),
                   AsBytes(wire::GraphBranch(branch.condition, branch.value, branch.test, first + branch.target, 0)),
                   {});
    }
    for (GraphNode* node : nodes_) {
      node->first_record += first;
      program_.device_nodes.push_back(node);
    }
    return std::move(records_);
  }
  std::uint32_t size() const { return static_cast<std::uint32_t>(records_.size()); }

 private:
  struct BranchAt {
    std::uint32_t at;
    std::uint64_t condition;
    std::uint32_t value;
    wire::GraphTest test;
    std::uint32_t target = 0;
  };

  std::uint32_t Branch(std::uint64_t condition, std::uint32_t value, wire::GraphTest test) {
    branches_.push_back({size(), condition, value, test});
    records_.emplace_back();
    return static_cast<std::uint32_t>(branches_.size() - 1);
  }

  DeviceResult AddSwitch(const GraphConditional& conditional, GraphNode** offending) {
    std::vector<std::uint32_t> ends;
    for (std::uint32_t i = 0; i < conditional.bodies.size(); ++i) {
      const std::uint32_t next = Branch(conditional.condition->handle, i, wire::GraphTest::NotEqual);
      if (const DeviceResult result = AddBody(*conditional.bodies[i], offending); result != 0) return result;
      ends.push_back(Branch(0, 0, wire::GraphTest::Always));
      branches_[next].target = size();
    }
    for (const std::uint32_t end : ends) branches_[end].target = size();
    return 0;
  }

  DeviceResult AddBody(const Graph& body, GraphNode** offending) {
    std::vector<GraphNode*> leaves;
    if (!Flatten(body, &leaves, offending)) return kInvalidValue;
    for (GraphNode* node : leaves) {
      node->records = 0;
      if (!node->is_enabled || node->kind() == GraphNodeKind::kEmpty) continue;
      *offending = node;
      if (const auto* inner = std::get_if<GraphConditional>(&node->payload)) {
        if (const DeviceResult result = Add(*inner, offending); result != 0) return result;
        continue;
      }
      if (const DeviceResult result = MakeShared(node->payload); result != 0) return result;
      Encoded encoded = Encode(node->payload, options_);
      if (encoded.records.empty() || !encoded.pieces.empty()) {
        log::Warning("cudaGraphInstantiate",
                     "the body of a conditional node has a copy with memory that the device cannot reach, or a node of "
                     "a kind that bodies do not have; the call returns cudaErrorNotSupported");
        return kUnsupported;
      }
      node->first_record = size();
      node->records = static_cast<std::uint32_t>(encoded.records.size());
      nodes_.push_back(node);
      program_.writes_host = program_.writes_host || encoded.writes_host;
      for (Bytes& record : encoded.records) records_.push_back(std::move(record));
    }
    *offending = nullptr;
    return 0;
  }

  DeviceResult MakeShared(const GraphPayload& payload) {
    const auto* copy = std::get_if<GraphCopy>(&payload);
    if (copy == nullptr || options_.make_shared == nullptr || copy->dst.is_device == copy->src.is_device) return 0;
    return options_.make_shared(copy->dst.is_device ? copy->src.address : copy->dst.address);
  }

  const GraphCompileOptions& options_;
  GraphProgram& program_;
  std::vector<Bytes> records_;
  std::vector<BranchAt> branches_;
  std::vector<GraphNode*> nodes_;  // with records
};

void Conditions(const Graph& graph, std::vector<const GraphCondition*>* conditions) {
  for (const auto& condition : graph.conditions()) conditions->push_back(condition.get());
  for (const auto& node : graph.nodes()) {
    for (const Graph* inner : GraphsOf(node->payload)) Conditions(*inner, conditions);
  }
}

class Compiler {
 public:
  explicit Compiler(GraphProgram* program) : program_(*program) {}

  void Add(GraphNode* node, Encoded encoded) {
    node->first_record = static_cast<std::uint32_t>(program_.records.size());
    node->records = static_cast<std::uint32_t>(encoded.records.size());
    std::size_t next = 0;
    for (std::uint32_t i = 0; i < node->records; ++i) {
      const GraphPiece* piece = nullptr;
      if (next < encoded.pieces.size() && encoded.pieces[next].record == i) piece = &encoded.pieces[next++];
      AddRecordOf(std::move(encoded.records[i]), piece);
    }
    program_.writes_host = program_.writes_host || encoded.writes_host;
  }
  // What a condition is at the beginning of a launch.
  void AddInitial(const GraphCondition& condition) {
    Encoded encoded;
    AddRecord(&encoded, wire::Fill(condition.handle, 0, 0, 1, 1, 1, condition.initial, 4, 0, 0));
    AddRecordOf(std::move(encoded.records[0]), nullptr);
  }
  // All of it in one step; kOutOfMemory if it is more than that.
  DeviceResult AddConditional(GraphNode* node, const GraphCompileOptions& options, GraphNode** offending) {
    BodyCompiler body(options, &program_);
    if (const DeviceResult result = body.Add(std::get<GraphConditional>(node->payload), offending); result != 0)
      return result;
    if (body.size() > limits::kGraphLaunchNodesMax) {
      log::Error("graphs", "a conditional node has more than " + std::to_string(limits::kGraphLaunchNodesMax) +
                               " commands in its bodies");
      return kOutOfMemory;
    }
    if (is_open_ && program_.steps.back().records + body.size() > limits::kGraphLaunchNodesMax) is_open_ = false;
    for (Bytes& record : body.Place(static_cast<std::uint32_t>(program_.records.size())))
      AddRecordOf(std::move(record), nullptr);
    return 0;
  }
  // Something between commands: `writes` the program's memory, or may be behind what does.
  void AddStep(GraphStep::Kind kind, const GraphNode* node, bool writes) {
    GraphStep step;
    step.kind = kind;
    step.node = node;
    program_.steps.push_back(std::move(step));
    written_ = written_ || writes;
    is_open_ = false;
  }

 private:
  void AddRecordOf(Bytes record, const GraphPiece* piece) {
    const bool sends = piece != nullptr && !piece->is_dst;
    const bool late = sends && written_;
    if (is_open_) {
      const GraphStep& open = program_.steps.back();
      const bool is_full = open.records == limits::kGraphLaunchNodesMax || open.pieces.size() == kPiecesMax;
      const bool is_too_early = late && (!open.sends_late || written_in_step_);
      if (is_full || is_too_early) is_open_ = false;
    }
    if (!is_open_) {
      GraphStep step;
      step.first = static_cast<std::uint32_t>(program_.records.size());
      step.sends_late = late;
      program_.steps.push_back(std::move(step));
      is_open_ = true;
      written_in_step_ = false;
    }
    GraphStep& step = program_.steps.back();
    if (piece != nullptr) {
      step.pieces.push_back(*piece);
      step.pieces.back().record = static_cast<std::uint32_t>(program_.records.size());
      if (piece->is_dst) written_ = written_in_step_ = true;
      if (sends && !step.sends_late) program_.sent_bytes += piece->width * piece->rows;
    }
    ++step.records;
    program_.records.push_back(std::move(record));
  }

  GraphProgram& program_;
  bool is_open_ = false;          // the last step takes more records
  bool written_ = false;          // the program's memory, by what comes before
  bool written_in_step_ = false;  // by the last step itself
};

}  // namespace

std::uint64_t GraphProgram::cost() const {
  std::uint64_t bytes = records.size() * limits::kGraphNodeBytes;
  for (const Bytes& record : records) bytes += record.size();
  return bytes;
}

DeviceResult CompileGraph(const Graph& image, const GraphCompileOptions& options, GraphProgram* program,
                          GraphNode** offending) {
  *program = {};
  std::vector<GraphNode*> leaves;
  if (!Flatten(image, &leaves, offending)) return kInvalidValue;
  Compiler compiler(program);
  std::vector<const GraphCondition*> conditions;
  Conditions(image, &conditions);
  for (const GraphCondition* condition : conditions) {
    if (condition->assigns_initial) compiler.AddInitial(*condition);
  }
  for (GraphNode* node : leaves) {
    node->records = 0;
    if (!node->is_enabled) continue;
    switch (node->kind()) {
      case GraphNodeKind::kHost: compiler.AddStep(GraphStep::Kind::kHost, node, true); break;
      case GraphNodeKind::kEventRecord: compiler.AddStep(GraphStep::Kind::kEventRecord, node, false); break;
      case GraphNodeKind::kEventWait: compiler.AddStep(GraphStep::Kind::kEventWait, node, true); break;
      case GraphNodeKind::kAlloc:
      case GraphNodeKind::kFree: program->memory_nodes.push_back(node); break;
      case GraphNodeKind::kConditional:
        if (const DeviceResult result = compiler.AddConditional(node, options, offending); result != 0) return result;
        break;
      case GraphNodeKind::kCopy: {
        const auto& copy = std::get<GraphCopy>(node->payload);
        if (!copy.dst.is_device && !copy.src.is_device) {
          compiler.AddStep(GraphStep::Kind::kCopyOnHost, node, true);
          break;
        }
        [[fallthrough]];
      }
      default:
        compiler.Add(node, Encode(node->payload, options));
        if (node->records != 0) program->device_nodes.push_back(node);
    }
    if (program->records.size() > limits::kGraphNodesMax) {
      log::Error("graphs", "a graph has more than " + std::to_string(limits::kGraphNodesMax) + " commands");
      return kOutOfMemory;
    }
  }
  return 0;
}

std::optional<Bytes> CompileSingle(const GraphPayload& payload, const GraphCompileOptions& options) {
  Encoded encoded = Encode(payload, options);
  if (encoded.records.size() != 1 || !encoded.pieces.empty()) return std::nullopt;
  return std::move(encoded.records[0]);
}

void CopyOnHost(const GraphCopy& copy) {
  for (std::uint64_t z = 0; z < copy.depth; ++z) {
    for (std::uint64_t y = 0; y < copy.height; ++y) {
      std::memmove(reinterpret_cast<void*>(copy.dst.address + z * copy.dst.slice + y * copy.dst.pitch),
                   reinterpret_cast<const void*>(copy.src.address + z * copy.src.slice + y * copy.src.pitch),
                   copy.width);
    }
  }
}

}  // namespace accelmesh
