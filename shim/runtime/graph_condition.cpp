// Conditional nodes of graphs, and the handles of their conditions.
#include "protocol/base/log.h"
#include "shim/gen_face.h"
#include "shim/runtime/graph.h"

namespace accelmesh {
namespace {

// What a conditional node was given and gave: the array of its bodies' handles is the node's.
class ConditionalFace final : public GraphFaceData {
 public:
  std::vector<cudaGraph_t> bodies;
};

bool HasSize(cudaGraphConditionalNodeType type, unsigned size) {
  switch (type) {
    case cudaGraphCondTypeIf: return size == 1 || size == 2;
    case cudaGraphCondTypeWhile: return size == 1;
    case cudaGraphCondTypeSwitch: return size != 0;
  }
  return false;
}

}  // namespace

cudaError_t AddConditional(cudaGraphNode_t* node, cudaGraph_t graph, const cudaGraphNode_t* dependencies,
                           const cudaGraphEdgeData* data, std::size_t count, cudaConditionalNodeParams* params) {
  std::vector<GraphLink> links;
  if (node == nullptr || !HasSize(params->type, params->size) ||
      ReadLinks(dependencies, data, count, &links) != cudaSuccess)
    return Fail(cudaErrorInvalidValue);
  for (const GraphLink& link : links) {
    if (link.data.from_port != 0) return Fail(cudaErrorInvalidValue);
  }
  if (params->size > limits::kGraphLaunchNodesMax) return Fail(cudaErrorMemoryAllocation);
  GraphConditional made;
  made.condition = ToGraph(graph)->FreeCondition(params->handle);
  made.kind = static_cast<GraphConditionalKind>(params->type);
  if (made.condition == nullptr) return Fail(cudaErrorInvalidValue);
  auto kept = std::make_shared<ConditionalFace>();
  for (unsigned i = 0; i < params->size; ++i) {
    made.bodies.push_back(std::make_unique<Graph>());
    kept->bodies.push_back(ToHandle(made.bodies.back().get()));
  }
  GraphNode* added = nullptr;
  if (const DeviceResult result = ToGraph(graph)->Add(std::move(made), links, &added); result != 0)
    return Fail(static_cast<cudaError_t>(result));
  params->phGraph_out = kept->bodies.data();
  added->face = std::move(kept);
  *node = ToHandle(added);
  return cudaSuccess;
}

namespace face {

cudaError_t cudaGraphConditionalHandleCreate(cudaGraphConditionalHandle* handle, cudaGraph_t graph,
                                             unsigned int initial, unsigned int flags) {
  ACCELMESH_BEGIN_CALL();
  if (handle == nullptr || graph == nullptr || (flags & ~unsigned{cudaGraphCondAssignDefault}) != 0)
    return Fail(cudaErrorInvalidValue);
  std::shared_ptr<const GraphCondition> condition;
  const bool assigns_initial = (flags & cudaGraphCondAssignDefault) != 0;
  const DeviceResult made = session.MakeGraphCondition(CurrentDevice(), initial, assigns_initial, &condition);
  if (made == cudaErrorNotSupported) {
    log::Warning("cudaGraphConditionalHandleCreate",
                 "the server's backend has no conditions of graphs; the call returns cudaErrorNotSupported");
  }
  if (made != 0) return Done(session, made);
  *handle = condition->handle;
  ToGraph(graph)->AddCondition(std::move(condition));
  return cudaSuccess;
}

}  // namespace face
}  // namespace accelmesh
