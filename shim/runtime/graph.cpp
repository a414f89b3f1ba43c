// Graphs: what they consist of and how that is asked.
#include "shim/runtime/graph.h"

#include <algorithm>

#include "shim/core/capture.h"
#include "shim/gen_face.h"

namespace accelmesh {

cudaError_t ReadEdge(const cudaGraphEdgeData& data, GraphEdgeData* edge) {
  const bool is_clean = std::all_of(std::begin(data.reserved), std::end(data.reserved), [](auto b) { return b == 0; });
  if (!is_clean || data.to_port != 0 || data.type > cudaGraphDependencyTypeProgrammatic ||
      data.from_port > cudaGraphKernelNodePortLaunchCompletion ||
      (data.type == cudaGraphDependencyTypeProgrammatic) != (data.from_port != 0))
    return cudaErrorInvalidValue;
  *edge = {data.from_port, data.to_port, data.type};
  return cudaSuccess;
}

cudaGraphEdgeData ToEdgeData(const GraphEdgeData& edge) { return {edge.from_port, edge.to_port, edge.type, {}}; }

cudaError_t ReadLinks(const cudaGraphNode_t* nodes, const cudaGraphEdgeData* data, std::size_t count,
                      std::vector<GraphLink>* links) {
  if (count != 0 && nodes == nullptr) return cudaErrorInvalidValue;
  links->clear();
  for (std::size_t i = 0; i < count; ++i) {
    GraphLink link{ToNode(nodes[i]), {}};
    if (link.node == nullptr) return cudaErrorInvalidValue;
    if (data != nullptr) {
      if (const cudaError_t error = ReadEdge(data[i], &link.data); error != cudaSuccess) return error;
      // Only kernels have such edges.
      if (link.data.from_port != 0 && !IsKernel(*link.node)) return cudaErrorInvalidValue;
    }
    links->push_back(link);
  }
  return cudaSuccess;
}

namespace face {
namespace {

// Lists what was asked for in an array of the caller's: its size comes in `count`, and how many there are goes out.
// More room than that is filled with nothing.
cudaError_t List(const std::vector<GraphNode*>& found, cudaGraphNode_t* nodes, std::size_t* count) {
  if (count == nullptr) return Fail(cudaErrorInvalidValue);
  if (nodes == nullptr) {
    *count = found.size();
    return cudaSuccess;
  }
  for (std::size_t i = 0; i < *count; ++i) nodes[i] = i < found.size() ? ToHandle(found[i]) : nullptr;
  *count = std::min(*count, found.size());
  return cudaSuccess;
}

cudaError_t ListLinks(const std::vector<GraphLink>& links, cudaGraphNode_t* nodes, cudaGraphEdgeData* data,
                      std::size_t* count) {
  if (count == nullptr || (data != nullptr && nodes == nullptr)) return Fail(cudaErrorInvalidValue);
  std::vector<GraphNode*> found;
  for (const GraphLink& link : links) found.push_back(link.node);
  if (nodes != nullptr) {
    const std::size_t told = std::min(*count, links.size());
    for (std::size_t i = 0; i < *count; ++i) {
      const GraphEdgeData edge = i < links.size() ? links[i].data : GraphEdgeData{};
      if (data != nullptr) data[i] = ToEdgeData(edge);
      if (data == nullptr && i < told && edge != GraphEdgeData{}) return Fail(cudaErrorLossyQuery);
    }
  }
  return List(found, nodes, count);
}

// Nothing may be taken from a graph that a stream captures into, or that allocates.
cudaError_t CheckRemoval(const Graph& graph) {
  ClientSession* session = Runtime::Get().SessionIfOpen();
  if (session != nullptr && session->captures().Uses(graph)) return cudaErrorIllegalState;
  return graph.HasMemoryNodes() ? cudaErrorNotSupported : cudaSuccess;
}

struct Edges {
  std::vector<GraphNode*> from;
  std::vector<GraphNode*> to;
  std::vector<GraphEdgeData> data;
};
cudaError_t ReadEdges(const cudaGraphNode_t* from, const cudaGraphNode_t* to, const cudaGraphEdgeData* data,
                      std::size_t count, Edges* edges) {
  if (count != 0 && (from == nullptr || to == nullptr)) return cudaErrorInvalidValue;
  for (std::size_t i = 0; i < count; ++i) {
    if (from[i] == nullptr || to[i] == nullptr) return cudaErrorInvalidValue;
    edges->from.push_back(ToNode(from[i]));
    edges->to.push_back(ToNode(to[i]));
    if (data == nullptr) continue;
    GraphEdgeData edge;
    if (const cudaError_t error = ReadEdge(data[i], &edge); error != cudaSuccess) return error;
    if (edge.from_port != 0 && (!IsKernel(*ToNode(from[i])) || !IsKernel(*ToNode(to[i])))) return cudaErrorInvalidValue;
    edges->data.push_back(edge);
  }
  return cudaSuccess;
}

}  // namespace

cudaError_t cudaGraphCreate(cudaGraph_t* graph, unsigned int flags) {
  ACCELMESH_BEGIN_CALL();
  if (graph == nullptr || flags != 0) return Fail(cudaErrorInvalidValue);
  *graph = ToHandle(new Graph);
  return cudaSuccess;
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  Graph* ours = ToGraph(graph);
  // A child graph is its node's, and so is a body.
  if (ours == nullptr || ours->parent() != nullptr) return Fail(cudaErrorInvalidValue);
  ClientSession* session = Runtime::Get().SessionIfOpen();
  if (session != nullptr && session->captures().Uses(*ours)) return Fail(cudaErrorIllegalState);
  delete ours;
  return cudaSuccess;
}
cudaError_t cudaGraphClone(cudaGraph_t* clone, cudaGraph_t original) {
  if (clone == nullptr || original == nullptr) return Fail(cudaErrorInvalidValue);
  if (ToGraph(original)->HasMemoryNodes() || ToGraph(original)->HasConditionalNodes())
    return Fail(cudaErrorNotSupported);
  *clone = ToHandle(ToGraph(original)->Clone().release());
  return cudaSuccess;
}
cudaError_t cudaGraphNodeFindInClone(cudaGraphNode_t* node, cudaGraphNode_t original, cudaGraph_t clone) {
  if (node == nullptr || original == nullptr || clone == nullptr) return Fail(cudaErrorInvalidValue);
  GraphNode* found = ToGraph(clone)->FindCopy(*ToNode(original));
  if (found == nullptr) return Fail(cudaErrorInvalidValue);
  *node = ToHandle(found);
  return cudaSuccess;
}

cudaError_t cudaGraphNodeGetType(cudaGraphNode_t node, cudaGraphNodeType* type) {
  if (node == nullptr || type == nullptr) return Fail(cudaErrorInvalidValue);
  *type = static_cast<cudaGraphNodeType>(ToldKind(ToNode(node)->kind()));
  return cudaSuccess;
}
cudaError_t cudaGraphGetNodes(cudaGraph_t graph, cudaGraphNode_t* nodes, size_t* count) {
  if (graph == nullptr) return Fail(cudaErrorInvalidValue);
  std::vector<GraphNode*> found;
  for (const auto& node : ToGraph(graph)->nodes()) found.push_back(node.get());
  return List(found, nodes, count);
}
cudaError_t cudaGraphGetRootNodes(cudaGraph_t graph, cudaGraphNode_t* nodes, size_t* count) {
  if (graph == nullptr) return Fail(cudaErrorInvalidValue);
  std::vector<GraphNode*> found;
  for (const auto& node : ToGraph(graph)->nodes()) {
    if (node->dependencies.empty()) found.push_back(node.get());
  }
  return List(found, nodes, count);
}
cudaError_t cudaGraphGetEdges(cudaGraph_t graph, cudaGraphNode_t* from, cudaGraphNode_t* to, cudaGraphEdgeData* data,
                              size_t* count) {
  if (graph == nullptr || count == nullptr || (from == nullptr) != (to == nullptr) ||
      (data != nullptr && from == nullptr))
    return Fail(cudaErrorInvalidValue);
  std::vector<GraphLink> sources;
  std::vector<GraphNode*> targets;
  for (const auto& node : ToGraph(graph)->nodes()) {
    for (const GraphLink& link : node->dependents) {
      sources.push_back({node.get(), link.data});
      targets.push_back(link.node);
    }
  }
  if (to != nullptr) {
    std::size_t room = *count;
    if (const cudaError_t error = List(targets, to, &room); error != cudaSuccess) return error;
  }
  return ListLinks(sources, from, data, count);
}
cudaError_t cudaGraphNodeGetDependencies(cudaGraphNode_t node, cudaGraphNode_t* dependencies, cudaGraphEdgeData* data,
                                         size_t* count) {
  if (node == nullptr) return Fail(cudaErrorInvalidValue);
  return ListLinks(ToNode(node)->dependencies, dependencies, data, count);
}
cudaError_t cudaGraphNodeGetDependentNodes(cudaGraphNode_t node, cudaGraphNode_t* dependents, cudaGraphEdgeData* data,
                                           size_t* count) {
  if (node == nullptr) return Fail(cudaErrorInvalidValue);
  return ListLinks(ToNode(node)->dependents, dependents, data, count);
}
cudaError_t cudaGraphAddDependencies(cudaGraph_t graph, const cudaGraphNode_t* from, const cudaGraphNode_t* to,
                                     const cudaGraphEdgeData* data, size_t count) {
  if (graph == nullptr) return Fail(cudaErrorInvalidValue);
  Edges edges;
  if (const cudaError_t error = ReadEdges(from, to, data, count, &edges); error != cudaSuccess) return Fail(error);
  return Fail(static_cast<cudaError_t>(ToGraph(graph)->AddEdges(edges.from, edges.to, edges.data)));
}
cudaError_t cudaGraphRemoveDependencies(cudaGraph_t graph, const cudaGraphNode_t* from, const cudaGraphNode_t* to,
                                        const cudaGraphEdgeData* data, size_t count) {
  if (graph == nullptr) return Fail(cudaErrorInvalidValue);
  Edges edges;
  cudaError_t error = ReadEdges(from, to, data, count, &edges);
  if (error == cudaSuccess) error = CheckRemoval(*ToGraph(graph));
  if (error != cudaSuccess) return Fail(error);
  return Fail(static_cast<cudaError_t>(ToGraph(graph)->RemoveEdges(edges.from, edges.to, edges.data)));
}
cudaError_t cudaGraphDestroyNode(cudaGraphNode_t node) {
  if (node == nullptr) return Fail(cudaErrorInvalidValue);
  Graph& graph = *ToNode(node)->graph;
  if (const cudaError_t error = CheckRemoval(graph); error != cudaSuccess) return Fail(error);
  return Fail(static_cast<cudaError_t>(graph.Remove(ToNode(node))));
}

// Objects of the program's -------------------------------------------------------------------------------------------

namespace {

constexpr unsigned kReferencesMax = 0x7fffffff;
UserObject* ToObject(cudaUserObject_t object) { return reinterpret_cast<UserObject*>(object); }

}  // namespace

cudaError_t cudaUserObjectCreate(cudaUserObject_t* object, void* data, cudaHostFn_t destroy, unsigned int references,
                                 unsigned int flags) {
  if (object == nullptr || destroy == nullptr || references == 0 || references > kReferencesMax ||
      flags != cudaUserObjectNoDestructorSync)
    return Fail(cudaErrorInvalidValue);
  *object = reinterpret_cast<cudaUserObject_t>(new UserObject(destroy, data, references));
  return cudaSuccess;
}
cudaError_t cudaUserObjectRetain(cudaUserObject_t object, unsigned int count) {
  if (object == nullptr || count == 0 || count > kReferencesMax) return Fail(cudaErrorInvalidValue);
  ToObject(object)->Retain(count);
  return cudaSuccess;
}
cudaError_t cudaUserObjectRelease(cudaUserObject_t object, unsigned int count) {
  if (object == nullptr || count == 0 || count > kReferencesMax || count > ToObject(object)->references())
    return Fail(cudaErrorInvalidValue);
  ToObject(object)->Release(count);
  return cudaSuccess;
}
cudaError_t cudaGraphRetainUserObject(cudaGraph_t graph, cudaUserObject_t object, unsigned int count,
                                      unsigned int flags) {
  if (graph == nullptr || object == nullptr || count == 0 || count > kReferencesMax ||
      (flags & ~unsigned{cudaGraphUserObjectMove}) != 0)
    return Fail(cudaErrorInvalidValue);
  if ((flags & cudaGraphUserObjectMove) == 0) ToObject(object)->Retain(count);
  ToGraph(graph)->Retain(ToObject(object), count);
  return cudaSuccess;
}
cudaError_t cudaGraphReleaseUserObject(cudaGraph_t graph, cudaUserObject_t object, unsigned int count) {
  if (graph == nullptr || object == nullptr || count == 0) return Fail(cudaErrorInvalidValue);
  return Fail(static_cast<cudaError_t>(ToGraph(graph)->ReleaseObject(ToObject(object), count)));
}

}  // namespace face
}  // namespace accelmesh
