#include "shim/core/graph.h"

#include <algorithm>
#include <cstring>
#include <optional>

#include "shim/core/session_inl.h"

namespace accelmesh {
namespace {

std::atomic<std::uint64_t> g_next_graph{1};
std::atomic<std::uint64_t> g_next_node{1};

std::vector<GraphLink>::iterator FindLink(std::vector<GraphLink>& links, const GraphNode* node) {
  return std::find_if(links.begin(), links.end(), [node](const GraphLink& link) { return link.node == node; });
}
bool HasLink(const std::vector<GraphLink>& links, const GraphNode* node) {
  return std::any_of(links.begin(), links.end(), [node](const GraphLink& link) { return link.node == node; });
}

bool SameGeometry(const LaunchGeometry& a, const LaunchGeometry& b) {
  return std::equal(std::begin(a.grid), std::end(a.grid), std::begin(b.grid)) &&
         std::equal(std::begin(a.block), std::end(a.block), std::begin(b.block)) && a.shared_bytes == b.shared_bytes &&
         a.attributes == b.attributes && a.cluster == b.cluster;
}
bool SameSide(const PitchedSide& a, const PitchedSide& b) {
  return a.address == b.address && a.pitch == b.pitch && a.slice == b.slice && a.is_device == b.is_device;
}

}  // namespace

GraphNodeKind KindOf(const GraphPayload& payload) {
  constexpr GraphNodeKind kKinds[] = {GraphNodeKind::kKernel,    GraphNodeKind::kCopy,        GraphNodeKind::kFill,
                                      GraphNodeKind::kHost,      GraphNodeKind::kChild,       GraphNodeKind::kEmpty,
                                      GraphNodeKind::kEventWait, GraphNodeKind::kEventRecord, GraphNodeKind::kAlloc,
                                      GraphNodeKind::kFree,      GraphNodeKind::kConditional, GraphNodeKind::kLibrary};
  static_assert(std::size(kKinds) == std::variant_size_v<GraphPayload>);
  return kKinds[payload.index()];
}

GraphPayload ClonePayload(const GraphPayload& payload) {
  return std::visit(
      [](const auto& work) -> GraphPayload {
        using Work = std::decay_t<decltype(work)>;
        if constexpr (std::is_same_v<Work, GraphChild>) {
          return GraphChild{work.graph->Clone()};
        } else if constexpr (std::is_same_v<Work, GraphConditional>) {
          GraphConditional copy{work.condition, work.kind, {}};
          for (const auto& body : work.bodies) copy.bodies.push_back(body->Clone());
          return copy;
        } else {
          return work;
        }
      },
      payload);
}

std::vector<Graph*> GraphsOf(const GraphPayload& payload) {
  std::vector<Graph*> graphs;
  if (const auto* child = std::get_if<GraphChild>(&payload)) graphs.push_back(child->graph.get());
  if (const auto* conditional = std::get_if<GraphConditional>(&payload)) {
    for (const auto& body : conditional->bodies) graphs.push_back(body.get());
  }
  return graphs;
}

bool SameWork(const GraphPayload& a, const GraphPayload& b) {
  if (a.index() != b.index()) return false;
  if (const auto* kernel = std::get_if<GraphKernel>(&a)) {
    const auto& other = std::get<GraphKernel>(b);
    return kernel->device == other.device && kernel->module == other.module && kernel->index == other.index &&
           SameGeometry(kernel->geometry, other.geometry) && kernel->arguments == other.arguments;
  }
  if (const auto* call = std::get_if<GraphLibrary>(&a)) {
    const auto& other = std::get<GraphLibrary>(b);
    return call->device == other.device && call->library == other.library && call->function == other.function &&
           call->settings == other.settings && call->arguments == other.arguments;
  }
  if (const auto* copy = std::get_if<GraphCopy>(&a)) {
    const auto& other = std::get<GraphCopy>(b);
    return SameSide(copy->dst, other.dst) && SameSide(copy->src, other.src) && copy->width == other.width &&
           copy->height == other.height && copy->depth == other.depth;
  }
  if (const auto* fill = std::get_if<GraphFill>(&a))
    return std::memcmp(&fill->fill, &std::get<GraphFill>(b).fill, sizeof(wire::Fill)) == 0;
  if (const auto* host = std::get_if<GraphHost>(&a)) {
    const auto& other = std::get<GraphHost>(b);
    return host->function == other.function && host->data == other.data;
  }
  if (const auto* wait = std::get_if<GraphEventWait>(&a)) return wait->event == std::get<GraphEventWait>(b).event;
  if (const auto* record = std::get_if<GraphEventRecord>(&a))
    return record->event == std::get<GraphEventRecord>(b).event;
  if (const auto* alloc = std::get_if<GraphAlloc>(&a)) return alloc->memory == std::get<GraphAlloc>(b).memory;
  if (const auto* free = std::get_if<GraphFree>(&a)) return free->memory == std::get<GraphFree>(b).memory;
  if (const auto* conditional = std::get_if<GraphConditional>(&a)) {
    const auto& other = std::get<GraphConditional>(b);
    return conditional->condition == other.condition && conditional->kind == other.kind;
  }
  return true;
}

void UserObject::Release(std::uint32_t count) {
  if (references_.fetch_sub(count, std::memory_order_acq_rel) != count) return;
  destroy_(data_);
  delete this;
}

Graph::Graph() : id_(g_next_graph.fetch_add(1, std::memory_order_relaxed)) {}

Graph::~Graph() {
  for (const auto& [object, count] : objects_) object->Release(count);
}

namespace {

bool IsMemoryNode(const GraphNode& node) {
  return node.kind() == GraphNodeKind::kAlloc || node.kind() == GraphNodeKind::kFree;
}
// Whether `test` holds for a node of the graph, or of a graph in it.
template <typename Test>
bool AnyNode(const Graph& graph, const Test& test) {
  return std::any_of(graph.nodes().begin(), graph.nodes().end(), [&test](const auto& node) {
    if (test(*node)) return true;
    const std::vector<Graph*> inner = GraphsOf(node->payload);
    return std::any_of(inner.begin(), inner.end(), [&test](const Graph* g) { return AnyNode(*g, test); });
  });
}
// What the body of a conditional node may do. Host functions, events and memory nodes have no place there.
bool MayBeInBody(const GraphPayload& payload) {
  switch (KindOf(payload)) {
    case GraphNodeKind::kKernel:
    case GraphNodeKind::kFill:
    case GraphNodeKind::kEmpty:
    case GraphNodeKind::kLibrary:
    case GraphNodeKind::kConditional: return true;
    case GraphNodeKind::kCopy: {
      const auto& copy = std::get<GraphCopy>(payload);
      return copy.dst.is_device || copy.src.is_device;
    }
    case GraphNodeKind::kChild:
      return !AnyNode(*std::get<GraphChild>(payload).graph,
                      [](const GraphNode& node) { return !MayBeInBody(node.payload); });
    default: return false;
  }
}

}  // namespace

bool Graph::HasMemoryNodes() const { return AnyNode(*this, IsMemoryNode); }

bool Graph::HasConditionalNodes() const {
  return AnyNode(*this, [](const GraphNode& node) { return node.kind() == GraphNodeKind::kConditional; });
}

bool Graph::IsInBody() const {
  if (parent_ == nullptr) return false;
  return parent_->kind() == GraphNodeKind::kConditional || parent_->graph->IsInBody();
}

namespace {

bool IsUsed(const Graph& graph, const GraphCondition& condition) {
  return AnyNode(graph, [&condition](const GraphNode& node) {
    const auto* conditional = std::get_if<GraphConditional>(&node.payload);
    return conditional != nullptr && conditional->condition.get() == &condition;
  });
}

}  // namespace

std::shared_ptr<const GraphCondition> Graph::FreeCondition(std::uint64_t handle) const {
  for (const auto& condition : conditions_) {
    if (condition->handle == handle) return IsUsed(*this, *condition) ? nullptr : condition;
  }
  return parent_ == nullptr ? nullptr : parent_->graph->FreeCondition(handle);
}

bool Graph::AllConditionsUsed() const {
  const auto all_used = [](const Graph& graph) {
    return std::all_of(graph.conditions_.begin(), graph.conditions_.end(),
                       [&graph](const auto& condition) { return IsUsed(graph, *condition); });
  };
  return all_used(*this) && !AnyNode(*this, [&all_used](const GraphNode& node) {
           const std::vector<Graph*> inner = GraphsOf(node.payload);
           return std::any_of(inner.begin(), inner.end(), [&all_used](const Graph* g) { return !all_used(*g); });
         });
}

bool Graph::HoldsObjects() const {
  return !objects_.empty() || AnyNode(*this, [](const GraphNode& node) {
    const std::vector<Graph*> inner = GraphsOf(node.payload);
    return std::any_of(inner.begin(), inner.end(), [](const Graph* g) { return !g->objects_.empty(); });
  });
}

bool Graph::Frees(const GraphMemory& memory) const {
  return std::any_of(nodes_.begin(), nodes_.end(), [&memory](const auto& node) {
    const auto* free = std::get_if<GraphFree>(&node->payload);
    return free != nullptr && free->memory.get() == &memory;
  });
}

DeviceResult Graph::Add(GraphPayload payload, std::span<const GraphLink> dependencies, GraphNode** node) {
  if (IsInBody() && !MayBeInBody(payload)) return kUnsupported;
  for (std::size_t i = 0; i < dependencies.size(); ++i) {
    if (!Contains(dependencies[i].node)) return kInvalidValue;
    // Quadratic, and short: who depends on thousands at once puts an empty node in between.
    for (std::size_t j = 0; j < i; ++j) {
      if (dependencies[j].node == dependencies[i].node) return kInvalidValue;
    }
  }
  auto made = std::make_unique<GraphNode>();
  made->id = g_next_node.fetch_add(1, std::memory_order_relaxed);
  made->graph = this;
  made->payload = std::move(payload);
  for (Graph* inner : GraphsOf(made->payload)) inner->parent_ = made.get();
  made->dependencies.assign(dependencies.begin(), dependencies.end());
  for (const GraphLink& link : dependencies) link.node->dependents.push_back({made.get(), link.data});
  *node = made.get();
  nodes_.push_back(std::move(made));
  return 0;
}

DeviceResult Graph::AddAlloc(std::shared_ptr<GraphMemory> memory, std::span<const GraphLink> dependencies,
                             GraphNode** node) {
  memory->owner = id_;
  return Add(GraphAlloc{std::move(memory)}, dependencies, node);
}

DeviceResult Graph::AddFree(std::shared_ptr<GraphMemory> memory, std::span<const GraphLink> dependencies,
                            GraphNode** node) {
  GraphMemory& freed = *memory;
  const bool is_owner = freed.owner == id_;
  if (Frees(freed) || (is_owner ? freed.freed_by_other : freed.freed_by_owner)) return kInvalidValue;
  const DeviceResult added = Add(GraphFree{std::move(memory)}, dependencies, node);
  if (added == 0) (is_owner ? freed.freed_by_owner : freed.freed_by_other) = true;
  return added;
}

DeviceResult Graph::Remove(GraphNode* node) {
  const auto found = std::find_if(nodes_.begin(), nodes_.end(), [node](const auto& n) { return n.get() == node; });
  if (found == nodes_.end()) return kInvalidValue;
  for (const GraphLink& link : node->dependencies) link.node->dependents.erase(FindLink(link.node->dependents, node));
  for (const GraphLink& link : node->dependents) link.node->dependencies.erase(FindLink(link.node->dependencies, node));
  nodes_.erase(found);
  return 0;
}

DeviceResult Graph::AddEdges(std::span<GraphNode* const> from, std::span<GraphNode* const> to,
                             std::span<const GraphEdgeData> data) {
  std::size_t done = 0;
  for (; done < from.size(); ++done) {
    GraphNode* const a = from[done];
    GraphNode* const b = to[done];
    if (!Contains(a) || !Contains(b) || a == b || HasLink(b->dependencies, a)) break;
    const GraphEdgeData edge = data.empty() ? GraphEdgeData{} : data[done];
    a->dependents.push_back({b, edge});
    b->dependencies.push_back({a, edge});
  }
  if (done == from.size()) return 0;
  while (done-- > 0) {
    from[done]->dependents.pop_back();
    to[done]->dependencies.pop_back();
  }
  return kInvalidValue;
}

DeviceResult Graph::RemoveEdges(std::span<GraphNode* const> from, std::span<GraphNode* const> to,
                                std::span<const GraphEdgeData> data) {
  for (std::size_t i = 0; i < from.size(); ++i) {
    if (!Contains(from[i]) || !Contains(to[i])) return kInvalidValue;
    const auto link = FindLink(to[i]->dependencies, from[i]);
    if (link == to[i]->dependencies.end() || (!data.empty() && link->data != data[i])) return kInvalidValue;
    for (std::size_t j = 0; j < i; ++j) {
      if (from[j] == from[i] && to[j] == to[i]) return kInvalidValue;
    }
  }
  for (std::size_t i = 0; i < from.size(); ++i) {
    to[i]->dependencies.erase(FindLink(to[i]->dependencies, from[i]));
    from[i]->dependents.erase(FindLink(from[i]->dependents, to[i]));
  }
  return 0;
}

bool Graph::Order(std::vector<GraphNode*>* order, GraphNode** offending) const {
  std::unordered_map<const GraphNode*, std::size_t> open;  // dependencies that are not in the order yet
  std::map<std::uint64_t, GraphNode*> ready;               // by age
  for (const auto& node : nodes_) {
    if (node->dependencies.empty()) {
      ready.emplace(node->id, node.get());
    } else {
      open.emplace(node.get(), node->dependencies.size());
    }
  }
  while (!ready.empty()) {
    GraphNode* const next = ready.begin()->second;
    ready.erase(ready.begin());
    order->push_back(next);
    for (const GraphLink& link : next->dependents) {
      const auto waiting = open.find(link.node);
      if (--waiting->second != 0) continue;
      ready.emplace(link.node->id, link.node);
      open.erase(waiting);
    }
  }
  if (open.empty()) return true;
  // Nodes behind the cycle are left over as well; which one is named is up to us.
  *offending = const_cast<GraphNode*>(open.begin()->first);
  return false;
}

std::unique_ptr<Graph> Graph::Clone() const {
  auto clone = std::make_unique<Graph>();
  clone->origin_ = id_;
  std::unordered_map<const GraphNode*, GraphNode*> copies;
  for (const auto& node : nodes_) {
    GraphNode* made = nullptr;
    static_cast<void>(clone->Add(ClonePayload(node->payload), {}, &made));
    made->origin = node->id;
    made->face = node->face;
    made->is_enabled = node->is_enabled;
    copies.emplace(node.get(), made);
  }
  const auto translate = [&copies](const std::vector<GraphLink>& links) {
    std::vector<GraphLink> translated;
    translated.reserve(links.size());
    for (const GraphLink& link : links) translated.push_back({copies.at(link.node), link.data});
    return translated;
  };
  for (const auto& node : nodes_) {
    GraphNode* made = copies.at(node.get());
    made->dependencies = translate(node->dependencies);
    made->dependents = translate(node->dependents);
  }
  for (const auto& [object, count] : objects_) {
    object->Retain(count);
    clone->objects_.emplace(object, count);
  }
  clone->conditions_ = conditions_;
  return clone;
}

GraphNode* Graph::FindCopy(const GraphNode& original) const {
  for (const auto& node : nodes_) {
    if (node->origin == original.id) return node.get();
    for (const Graph* inner : GraphsOf(node->payload)) {
      if (GraphNode* found = inner->FindCopy(original)) return found;
    }
  }
  return nullptr;
}

GraphNode* Graph::FindNode(std::uint64_t id) const {
  for (const auto& node : nodes_) {
    if (node->id == id) return node.get();
    for (const Graph* inner : GraphsOf(node->payload)) {
      if (GraphNode* found = inner->FindNode(id)) return found;
    }
  }
  return nullptr;
}

DeviceResult Graph::ReleaseObject(UserObject* object, std::uint32_t count) {
  const auto found = objects_.find(object);
  if (found == objects_.end() || found->second < count) return kInvalidValue;
  found->second -= count;
  if (found->second == 0) objects_.erase(found);
  object->Release(count);
  return 0;
}

// Updates ------------------------------------------------------------------------------------------------------------

namespace {

// What runs on one device as kernels do; null for anything else.
struct OnDevice {
  std::uint32_t device = 0;
  bool is_cooperative = false;
};
std::optional<OnDevice> KernelOn(const GraphPayload& payload) {
  if (const auto* call = std::get_if<GraphLibrary>(&payload)) return OnDevice{call->device, false};
  const auto* kernel = std::get_if<GraphKernel>(&payload);
  if (kernel == nullptr) return std::nullopt;
  return OnDevice{kernel->device, (kernel->geometry.attributes & kCooperative) != 0};
}

}  // namespace

GraphUpdateResult CheckNodeUpdate(const GraphPayload& now, const GraphPayload& update) {
  if (ToldKind(KindOf(now)) != ToldKind(KindOf(update))) return GraphUpdateResult::kNodeTypeChanged;
  if (const std::optional<OnDevice> kernel = KernelOn(now)) {
    const std::optional<OnDevice> other = KernelOn(update);
    if (kernel->device != other->device) return GraphUpdateResult::kUnsupportedFunctionChange;
    if (kernel->is_cooperative != other->is_cooperative) return GraphUpdateResult::kAttributesChanged;
  } else if (const auto* copy = std::get_if<GraphCopy>(&now)) {
    const auto& other = std::get<GraphCopy>(update);
    if (copy->dst.is_device != other.dst.is_device || copy->src.is_device != other.src.is_device)
      return GraphUpdateResult::kParametersChanged;
  } else if (const auto* fill = std::get_if<GraphFill>(&now)) {
    const wire::Fill& a = fill->fill;
    const wire::Fill& b = std::get<GraphFill>(update).fill;
    const bool is_flat = a.height() == 1 && b.height() == 1;
    if (!is_flat && (a.width() != b.width() || a.height() != b.height() || a.pitch() != b.pitch() ||
                     a.element_bytes() != b.element_bytes()))
      return GraphUpdateResult::kParametersChanged;
  } else if (KindOf(now) == GraphNodeKind::kAlloc || KindOf(now) == GraphNodeKind::kFree) {
    if (!SameWork(now, update)) return GraphUpdateResult::kNotSupported;
  } else if (const auto* conditional = std::get_if<GraphConditional>(&now)) {
    const auto& other = std::get<GraphConditional>(update);
    if (conditional->kind != other.kind || conditional->bodies.size() != other.bodies.size())
      return GraphUpdateResult::kParametersChanged;
  }
  return GraphUpdateResult::kSuccess;
}

namespace {

std::vector<GraphNode*> LastNodes(const Graph& graph) {
  std::vector<GraphNode*> last;
  for (const auto& node : graph.nodes()) {
    if (node->dependents.empty()) last.push_back(node.get());
  }
  return last;
}

bool Pair(const Graph& image, const Graph& update, GraphUpdateCheck* check) {
  const auto fails = [check](GraphUpdateResult result, GraphNode* node, GraphNode* from = nullptr) {
    check->result = result;
    check->node = node;
    check->from = from;
    return false;
  };
  if (image.nodes().size() != update.nodes().size()) return fails(GraphUpdateResult::kTopologyChanged, nullptr);
  const std::vector<GraphNode*> image_last = LastNodes(image);
  const std::vector<GraphNode*> update_last = LastNodes(update);
  if (update_last.size() != image_last.size()) {
    return fails(GraphUpdateResult::kTopologyChanged,
                 update_last.size() > image_last.size() ? update_last[image_last.size()] : nullptr);
  }
  std::unordered_map<GraphNode*, GraphNode*> image_of;  // by node of the update
  std::unordered_map<GraphNode*, GraphNode*> update_of;
  std::vector<std::pair<GraphNode*, GraphNode*>> open;
  const auto pair = [&](GraphNode* a, GraphNode* b) {
    image_of.emplace(b, a);
    update_of.emplace(a, b);
    open.emplace_back(a, b);
  };
  for (std::size_t i = 0; i < image_last.size(); ++i) pair(image_last[i], update_last[i]);
  for (std::size_t next = 0; next < open.size(); ++next) {
    const auto [a, b] = open[next];
    if (a->dependencies.size() != b->dependencies.size()) return fails(GraphUpdateResult::kTopologyChanged, b);
    for (std::size_t i = 0; i < a->dependencies.size(); ++i) {
      GraphNode* const from_a = a->dependencies[i].node;
      GraphNode* const from_b = b->dependencies[i].node;
      const auto known_a = update_of.find(from_a);
      const auto known_b = image_of.find(from_b);
      if (known_a == update_of.end() && known_b == image_of.end()) {
        pair(from_a, from_b);
      } else if (known_a == update_of.end() || known_b == image_of.end() || known_a->second != from_b) {
        return fails(GraphUpdateResult::kTopologyChanged, b, from_b);
      }
    }
  }
  for (const auto& [a, b] : open) {
    const GraphUpdateResult result = CheckNodeUpdate(a->payload, b->payload);
    if (result != GraphUpdateResult::kSuccess) return fails(result, b);
    const std::vector<Graph*> inner_a = GraphsOf(a->payload);
    const std::vector<Graph*> inner_b = GraphsOf(b->payload);
    for (std::size_t i = 0; i < inner_a.size(); ++i) {
      if (!Pair(*inner_a[i], *inner_b[i], check)) return false;
    }
    check->pairs.emplace_back(a, b);
  }
  return true;
}

}  // namespace

GraphUpdateCheck CheckGraphUpdate(const Graph& image, const Graph& update) {
  GraphUpdateCheck check;
  if (!Pair(image, update, &check)) check.pairs.clear();
  return check;
}

}  // namespace accelmesh
