// A graph as a program builds it or a capture fills it: nodes in the client core's neutral form, the edges between
// them, and what they own. All of it is client state; nothing here sends anything (graph_exec.h does, once it is
// launched).
//
// Threads: none. CUDA's graph objects are not thread-safe; a graph that is being captured into is changed under the
// lock of Captures. Errors: CUresult numbers.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <unordered_map>
#include <variant>
#include <vector>

#include "shim/core/graph_condition.h"
#include "shim/core/graph_memory.h"
#include "shim/core/session.h"

namespace accelmesh {

class Graph;
struct GraphNode;

// The numbers are those of cudaGraphNodeType, but for kLibrary; their order here is that of GraphPayload.
enum class GraphNodeKind : std::uint8_t {
  kKernel = 0,
  kCopy = 1,
  kFill = 2,
  kHost = 3,
  kChild = 4,
  kEmpty = 5,
  kEventWait = 6,
  kEventRecord = 7,
  kAlloc = 10,
  kFree = 11,
  kConditional = 13,
  kLibrary = 128,
};
// What a program takes a node for: a library's function is one of its kernels.
inline GraphNodeKind ToldKind(GraphNodeKind kind) {
  return kind == GraphNodeKind::kLibrary ? GraphNodeKind::kKernel : kind;
}

struct GraphKernel {
  std::uint32_t device = 0;
  std::uint32_t module = 0;
  std::uint32_t index = 0;
  const void* function = nullptr;  // as the program names it
  LaunchGeometry geometry{};
  Bytes arguments;  // the block, as the kernel's parameter table lays it out
  std::vector<wire::KernelParameter> parameters;
  std::uint64_t load = 0;  // of its module
};
// `width` bytes, `height` rows, `depth` slices; any sides, also two of the host.
struct GraphCopy {
  PitchedSide dst;
  PitchedSide src;
  std::uint64_t width = 0;
  std::uint64_t height = 1;
  std::uint64_t depth = 1;
};
struct GraphFill {
  wire::Fill fill;  // its stream means nothing
};
struct GraphHost {
  void (*function)(void*) = nullptr;
  void* data = nullptr;
  HostCalls::Function run;  // calls it, as a function in a stream's order is called
};
struct GraphChild {
  std::unique_ptr<Graph> graph;  // the node's own
};
struct GraphEmpty {};
struct GraphEventWait {
  Event* event = nullptr;
};
struct GraphEventRecord {
  Event* event = nullptr;
};
struct GraphAlloc {
  std::shared_ptr<GraphMemory> memory;
};
struct GraphFree {
  std::shared_ptr<GraphMemory> memory;
};
// The numbers are those of cudaGraphConditionalNodeType.
enum class GraphConditionalKind : std::uint8_t { kIf = 0, kWhile = 1, kSwitch = 2 };
struct GraphConditional {
  std::shared_ptr<const GraphCondition> condition;
  GraphConditionalKind kind = GraphConditionalKind::kIf;
  std::vector<std::unique_ptr<Graph>> bodies;  // the node's own
};
// A function of NVIDIA's libraries with its words, host scalars among them as they were when it was captured.
struct GraphLibrary {
  std::uint32_t device = 0;
  std::uint32_t library = 0;
  std::uint32_t function = 0;
  std::uint32_t settings = 0;
  Bytes arguments;
  std::uint64_t life = 0;  // of the device, from one reset to the next
};
using GraphPayload = std::variant<GraphKernel, GraphCopy, GraphFill, GraphHost, GraphChild, GraphEmpty, GraphEventWait,
                                  GraphEventRecord, GraphAlloc, GraphFree, GraphConditional, GraphLibrary>;
GraphNodeKind KindOf(const GraphPayload& payload);
// The graphs that a node owns: a child graph, or the bodies of a conditional node.
std::vector<Graph*> GraphsOf(const GraphPayload& payload);
// Children and bodies are cloned; memory and conditions are shared, so whoever copies has made sure that it may be.
GraphPayload ClonePayload(const GraphPayload& payload);
// Whether an executable graph with `a` runs what one with `b` does. Child graphs and bodies are not looked into.
bool SameWork(const GraphPayload& a, const GraphPayload& b);

// What a face keeps with a node: the parameters in its own words.
class GraphFaceData {
 public:
  virtual ~GraphFaceData() = default;
};

struct GraphEdgeData {
  std::uint8_t from_port = 0;
  std::uint8_t to_port = 0;
  std::uint8_t type = 0;
  bool operator==(const GraphEdgeData&) const = default;
};
struct GraphLink {
  GraphNode* node = nullptr;
  GraphEdgeData data;
};

struct GraphNode {
  std::uint64_t id = 0;      // unique in the process
  std::uint64_t origin = 0;  // of the node that this one is a copy of; 0 if it is none
  Graph* graph = nullptr;
  GraphPayload payload;
  std::vector<GraphLink> dependencies;  // in the order in which they were given
  std::vector<GraphLink> dependents;
  std::shared_ptr<const GraphFaceData> face;
  // Executable graphs only:
  bool is_enabled = true;
  std::uint32_t first_record = 0;  // where its commands are among the definition's
  std::uint32_t records = 0;

  GraphNodeKind kind() const { return KindOf(payload); }
};

// Something of the program's that lives as long as anybody refers to it (cudaUserObject_t).
class UserObject {
 public:
  UserObject(void (*destroy)(void*), void* data, std::uint32_t references)
      : destroy_(destroy), data_(data), references_(references) {}
  void Retain(std::uint32_t count) { references_.fetch_add(count, std::memory_order_relaxed); }
  // Destroys the object, and what it stands for, with the last reference.
  void Release(std::uint32_t count);
  std::uint32_t references() const { return references_.load(std::memory_order_relaxed); }

 private:
  ~UserObject() = default;
  void (*destroy_)(void*);
  void* data_;
  std::atomic<std::uint32_t> references_;
};

class Graph {
 public:
  Graph();
  ~Graph();
  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;

  std::uint64_t id() const { return id_; }
  std::uint64_t origin() const { return origin_; }
  const std::vector<std::unique_ptr<GraphNode>>& nodes() const { return nodes_; }
  bool Contains(const GraphNode* node) const { return node != nullptr && node->graph == this; }
  // The node that this graph is the child graph or a body of; null if it is none's.
  GraphNode* parent() const { return parent_; }
  void SetParent(GraphNode* parent) { parent_ = parent; }
  // Allocation and free nodes, here or in a child graph: such a graph is not copied, and nothing is taken from it.
  bool HasMemoryNodes() const;
  // The same holds for conditional nodes, wherever they are.
  bool HasConditionalNodes() const;
  // Whether it is, at whatever depth, the body of a conditional node.
  bool IsInBody() const;

  // Conditions that were made for nodes of this graph or of graphs in it.
  const std::vector<std::shared_ptr<const GraphCondition>>& conditions() const { return conditions_; }
  void AddCondition(std::shared_ptr<const GraphCondition> condition) { conditions_.push_back(std::move(condition)); }
  // Those of another graph in place of these, which become `past`'s.
  void TakeConditions(const Graph& other, Graph* past) {
    past->conditions_.insert(past->conditions_.end(), conditions_.begin(), conditions_.end());
    conditions_ = other.conditions_;
  }
  // Made for this graph or one that it is in, and of no node yet; null if there is none.
  std::shared_ptr<const GraphCondition> FreeCondition(std::uint64_t handle) const;
  // Whether each condition is that of a node.
  bool AllConditionsUsed() const;

  // kInvalidValue if a dependency is no node of this graph or is named twice. kUnsupported if a body must not have it.
  DeviceResult Add(GraphPayload payload, std::span<const GraphLink> dependencies, GraphNode** node);
  // The same for allocation and free nodes, by the rules of who may free what.
  DeviceResult AddAlloc(std::shared_ptr<GraphMemory> memory, std::span<const GraphLink> dependencies, GraphNode** node);
  DeviceResult AddFree(std::shared_ptr<GraphMemory> memory, std::span<const GraphLink> dependencies, GraphNode** node);
  DeviceResult Remove(GraphNode* node);
  // All or none. kInvalidValue: nodes of others, an edge to itself, one that is there already (or is not).
  DeviceResult AddEdges(std::span<GraphNode* const> from, std::span<GraphNode* const> to,
                        std::span<const GraphEdgeData> data);
  DeviceResult RemoveEdges(std::span<GraphNode* const> from, std::span<GraphNode* const> to,
                           std::span<const GraphEdgeData> data);

  // Every node behind those that it depends on, otherwise in the order of their making. False, and a node of it, if
  // there is a cycle.
  bool Order(std::vector<GraphNode*>* order, GraphNode** offending) const;
  // A copy whose nodes name theirs here as their origin.
  std::unique_ptr<Graph> Clone() const;
  // The copy of `original` among this graph's nodes, or in its child graphs; null if there is none.
  GraphNode* FindCopy(const GraphNode& original) const;
  // A node of it or of a graph in it; null if there is none.
  GraphNode* FindNode(std::uint64_t id) const;

  void Retain(UserObject* object, std::uint32_t count) { objects_[object] += count; }
  // kInvalidValue if the graph does not hold so many.
  DeviceResult ReleaseObject(UserObject* object, std::uint32_t count);

  bool HoldsObjects() const;
  // Whether a node of it frees the memory.
  bool Frees(const GraphMemory& memory) const;

  // How many executables there are of it; they outlive it. Graphs with memory nodes have one at most.
  const std::shared_ptr<std::atomic<int>>& executables() const { return executables_; }

 private:
  std::uint64_t id_;
  std::uint64_t origin_ = 0;
  GraphNode* parent_ = nullptr;
  std::vector<std::unique_ptr<GraphNode>> nodes_;
  std::map<UserObject*, std::uint32_t> objects_;
  std::vector<std::shared_ptr<const GraphCondition>> conditions_;
  std::shared_ptr<std::atomic<int>> executables_ = std::make_shared<std::atomic<int>>(0);
};

// What is wrong with an update of an executable graph; the numbers are those of cudaGraphExecUpdateResult.
enum class GraphUpdateResult : std::uint8_t {
  kSuccess = 0,
  kError = 1,
  kTopologyChanged = 2,
  kNodeTypeChanged = 3,
  kFunctionChanged = 4,
  kParametersChanged = 5,
  kNotSupported = 6,
  kUnsupportedFunctionChange = 7,
  kAttributesChanged = 8,
};
struct GraphUpdateCheck {
  GraphUpdateResult result = GraphUpdateResult::kSuccess;
  GraphNode* node = nullptr;  // of the new graph
  GraphNode* from = nullptr;  // the other end of a mismatched edge
  // Node of the executable's copy and the node that takes its place, children's among them.
  std::vector<std::pair<GraphNode*, GraphNode*>> pairs;
};
// Pairs the nodes of `image` with those of `update` as CUDA does: last ones first, in order, then what they depend on.
GraphUpdateCheck CheckGraphUpdate(const Graph& image, const Graph& update);
// Whether a node of an executable may take `update` for its work.
GraphUpdateResult CheckNodeUpdate(const GraphPayload& now, const GraphPayload& update);

}  // namespace accelmesh
