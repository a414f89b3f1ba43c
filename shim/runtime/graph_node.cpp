// Nodes of graphs: made, read and changed.
#include "protocol/base/log.h"
#include "shim/gen_face.h"
#include "shim/runtime/graph.h"

namespace accelmesh::face {
namespace {

cudaError_t AddNode(cudaGraphNode_t* node, cudaGraph_t graph, const cudaGraphNode_t* dependencies,
                    const cudaGraphEdgeData* data, std::size_t count, NodeWork work) {
  if (node == nullptr || graph == nullptr) return Fail(cudaErrorInvalidValue);
  std::vector<GraphLink> links;
  if (const cudaError_t error = ReadLinks(dependencies, data, count, &links); error != cudaSuccess) return Fail(error);
  for (const GraphLink& link : links) {
    if (link.data.from_port != 0 && KindOf(work.payload) != GraphNodeKind::kKernel) return Fail(cudaErrorInvalidValue);
  }
  GraphNode* made = nullptr;
  if (const DeviceResult added = ToGraph(graph)->Add(std::move(work.payload), links, &made); added != 0)
    return Fail(static_cast<cudaError_t>(added));
  made->face = std::move(work.face);
  *node = ToHandle(made);
  return cudaSuccess;
}

// The node, if it is of that kind; null otherwise.
GraphNode* NodeOf(cudaGraphNode_t handle, GraphNodeKind kind) {
  GraphNode* node = ToNode(handle);
  return node != nullptr && node->kind() == kind ? node : nullptr;
}

cudaError_t SetWork(GraphNode* node, NodeWork work) {
  node->payload = std::move(work.payload);
  node->face = std::move(work.face);
  return cudaSuccess;
}

// A kernel's new work keeps the node's attributes.
cudaError_t SetKernel(ClientSession& session, GraphNode* node, const cudaKernelNodeParams& params) {
  NodeWork work;
  const auto& now = std::get<GraphKernel>(node->payload);
  if (const cudaError_t error = MakeKernel(session, params, &now, &work); error != cudaSuccess) return Fail(error);
  work.face = node->face;
  return SetWork(node, std::move(work));
}

// Whoever has a kernel node has a session.
cudaError_t SetClusterAttribute(GraphNode& node, cudaLaunchAttributeID id, const cudaLaunchAttributeValue& value) {
  auto& kernel = std::get<GraphKernel>(node.payload);
  ClusterRequest asked = RequestOf(kernel.geometry.cluster);
  // Also what was set before it could have an effect.
  if (const auto* kept = dynamic_cast<const KernelFace*>(node.face.get())) {
    for (const auto& [known, of_it] : kept->attributes) {
      const auto before = static_cast<cudaLaunchAttributeID>(known);
      if (IsClusterAttribute(before)) (void)ReadClusterAttribute(before, of_it, &asked);
    }
  }
  if (const cudaError_t error = ReadClusterAttribute(id, value, &asked); error != cudaSuccess) return error;
  ClientSession* session = Runtime::Get().SessionIfOpen();
  return session == nullptr ? cudaErrorInvalidResourceHandle : SetCluster(*session, &kernel, asked);
}

cudaError_t AddChild(cudaGraphNode_t* node, cudaGraph_t graph, const cudaGraphNode_t* dependencies,
                     const cudaGraphEdgeData* data, std::size_t count, cudaGraph_t child, bool move) {
  if (graph == nullptr || child == nullptr || graph == child) return Fail(cudaErrorInvalidValue);
  Graph* given = ToGraph(child);
  if (given->HasConditionalNodes()) return Fail(cudaErrorNotSupported);
  NodeWork work;
  if (!move) {
    if (given->HasMemoryNodes()) return Fail(cudaErrorNotSupported);
    work.payload = GraphChild{given->Clone()};
    return AddNode(node, graph, dependencies, data, count, std::move(work));
  }
  if (given->parent() != nullptr) return Fail(cudaErrorInvalidValue);
  if (given->HasMemoryNodes() && ToGraph(graph)->IsInBody()) return Fail(cudaErrorNotSupported);
  // Given only once nothing can go wrong any more.
  std::vector<GraphLink> links;
  if (node == nullptr || ReadLinks(dependencies, data, count, &links) != cudaSuccess)
    return Fail(cudaErrorInvalidValue);
  GraphNode* made = nullptr;
  if (ToGraph(graph)->Add(GraphEmpty{}, links, &made) != 0) return Fail(cudaErrorInvalidValue);
  given->SetParent(made);
  made->payload = GraphChild{std::unique_ptr<Graph>(given)};
  *node = ToHandle(made);
  return cudaSuccess;
}

cudaError_t AddAlloc(ClientSession& session, cudaGraphNode_t* node, cudaGraph_t graph,
                     const cudaGraphNode_t* dependencies, const cudaGraphEdgeData* data, std::size_t count,
                     cudaMemAllocNodeParams* params) {
  if (node == nullptr || graph == nullptr || params == nullptr || params->bytesize == 0 ||
      params->poolProps.allocType != cudaMemAllocationTypePinned ||
      params->poolProps.location.type != cudaMemLocationTypeDevice || params->poolProps.location.id < 0 ||
      static_cast<std::size_t>(params->poolProps.location.id) >= session.devices().size() ||
      (params->accessDescCount != 0 && params->accessDescs == nullptr))
    return Fail(cudaErrorInvalidValue);
  if (params->poolProps.handleTypes != cudaMemHandleTypeNone) return Fail(cudaErrorNotSupported);
  std::vector<GraphLink> links;
  if (const cudaError_t error = ReadLinks(dependencies, data, count, &links); error != cudaSuccess) return Fail(error);
  // What was moved into a parent takes no more of these.
  if (ToGraph(graph)->parent() != nullptr) return Fail(cudaErrorNotSupported);
  std::shared_ptr<GraphMemory> memory;
  const auto device = static_cast<std::uint32_t>(params->poolProps.location.id);
  if (const DeviceResult made = session.MakeGraphMemory(device, params->bytesize, &memory); made != 0)
    return Done(session, made);
  void* address = reinterpret_cast<void*>(memory->address);
  GraphNode* added = nullptr;
  if (const DeviceResult result = ToGraph(graph)->AddAlloc(std::move(memory), links, &added); result != 0)
    return Fail(static_cast<cudaError_t>(result));
  params->dptr = address;
  auto kept = std::make_shared<AllocFace>();
  kept->params = *params;
  if (params->accessDescCount != 0)
    kept->access.assign(params->accessDescs, params->accessDescs + params->accessDescCount);
  kept->params.accessDescs = kept->access.empty() ? nullptr : kept->access.data();
  added->face = std::move(kept);
  *node = ToHandle(added);
  return cudaSuccess;
}

cudaError_t AddFree(ClientSession& session, cudaGraphNode_t* node, cudaGraph_t graph,
                    const cudaGraphNode_t* dependencies, const cudaGraphEdgeData* data, std::size_t count,
                    void* pointer) {
  if (node == nullptr || graph == nullptr) return Fail(cudaErrorInvalidValue);
  std::vector<GraphLink> links;
  if (const cudaError_t error = ReadLinks(dependencies, data, count, &links); error != cudaSuccess) return Fail(error);
  if (ToGraph(graph)->parent() != nullptr) return Fail(cudaErrorNotSupported);
  std::shared_ptr<GraphMemory> memory = session.FindGraphMemory(reinterpret_cast<std::uint64_t>(pointer));
  if (memory == nullptr) return Fail(cudaErrorInvalidValue);
  GraphNode* added = nullptr;
  if (const DeviceResult result = ToGraph(graph)->AddFree(std::move(memory), links, &added); result != 0)
    return Fail(static_cast<cudaError_t>(result));
  *node = ToHandle(added);
  return cudaSuccess;
}

}  // namespace

// Kernels ------------------------------------------------------------------------------------------------------------

cudaError_t cudaGraphAddKernelNode(cudaGraphNode_t* node, cudaGraph_t graph, const cudaGraphNode_t* dependencies,
                                   size_t count, const cudaKernelNodeParams* params) {
  ACCELMESH_BEGIN_CALL();
  NodeWork work;
  if (params == nullptr) return Fail(cudaErrorInvalidValue);
  if (const cudaError_t error = MakeKernel(session, *params, nullptr, &work); error != cudaSuccess) return Fail(error);
  return AddNode(node, graph, dependencies, nullptr, count, std::move(work));
}
cudaError_t cudaGraphKernelNodeGetParams(cudaGraphNode_t node, cudaKernelNodeParams* params) {
  GraphNode* ours = ToNode(node);
  if (const cudaError_t error = CheckKernel(ours, params, "cudaGraphKernelNodeGetParams"); error != cudaSuccess)
    return error;
  ReadKernel(ours, params);
  return cudaSuccess;
}
cudaError_t cudaGraphKernelNodeSetParams(cudaGraphNode_t node, const cudaKernelNodeParams* params) {
  ACCELMESH_BEGIN_CALL();
  GraphNode* ours = ToNode(node);
  if (const cudaError_t error = CheckKernel(ours, params, "cudaGraphKernelNodeSetParams"); error != cudaSuccess)
    return error;
  return SetKernel(session, ours, *params);
}
cudaError_t cudaGraphKernelNodeSetAttribute(cudaGraphNode_t node, cudaKernelNodeAttrID attribute,
                                            const cudaKernelNodeAttrValue* value) {
  GraphNode* ours = ToNode(node);
  if (const cudaError_t error = CheckKernel(ours, value, "cudaGraphKernelNodeSetAttribute"); error != cudaSuccess)
    return error;
  switch (attribute) {
    case cudaLaunchAttributeAccessPolicyWindow:
    case cudaLaunchAttributePriority:
    case cudaLaunchAttributeMemSyncDomain:
    case cudaLaunchAttributeMemSyncDomainMap:
    case cudaLaunchAttributePreferredSharedMemoryCarveout: break;
    case cudaLaunchAttributeCooperative: {
      auto& attributes = std::get<GraphKernel>(ours->payload).geometry.attributes;
      attributes =
          static_cast<std::uint8_t>(value->cooperative != 0 ? attributes | kCooperative : attributes & ~kCooperative);
      break;
    }
    case cudaLaunchAttributeClusterDimension:
    case cudaLaunchAttributePreferredClusterDimension:
    case cudaLaunchAttributeClusterSchedulingPolicyPreference:
      if (const cudaError_t error = SetClusterAttribute(*ours, attribute, *value); error != cudaSuccess)
        return Fail(error);
      break;
    case cudaLaunchAttributeDeviceUpdatableKernelNode:
      log::Warning("cudaGraphKernelNodeSetAttribute",
                   "nodes that kernels update are not supported by this release; the call returns "
                   "cudaErrorNotSupported");
      return Fail(cudaErrorNotSupported);
    default: return Fail(cudaErrorInvalidValue);
  }
  auto kept = std::make_shared<KernelFace>();
  if (const auto* before = dynamic_cast<const KernelFace*>(ours->face.get())) *kept = *before;
  kept->attributes[attribute] = *value;
  ours->face = std::move(kept);
  return cudaSuccess;
}
cudaError_t cudaGraphKernelNodeGetAttribute(cudaGraphNode_t node, cudaKernelNodeAttrID attribute,
                                            cudaKernelNodeAttrValue* value) {
  GraphNode* ours = ToNode(node);
  if (const cudaError_t error = CheckKernel(ours, value, "cudaGraphKernelNodeGetAttribute"); error != cudaSuccess)
    return error;
  *value = {};
  if (attribute == cudaLaunchAttributeCooperative) {
    value->cooperative = (std::get<GraphKernel>(ours->payload).geometry.attributes & kCooperative) != 0 ? 1 : 0;
    return cudaSuccess;
  }
  if (IsClusterAttribute(attribute) &&
      WriteClusterAttribute(std::get<GraphKernel>(ours->payload).geometry.cluster, attribute, value))
    return cudaSuccess;
  const auto* kept = dynamic_cast<const KernelFace*>(ours->face.get());
  if (kept == nullptr) return cudaSuccess;
  if (const auto found = kept->attributes.find(attribute); found != kept->attributes.end()) *value = found->second;
  return cudaSuccess;
}
cudaError_t cudaGraphKernelNodeCopyAttributes(cudaGraphNode_t dst, cudaGraphNode_t src) {
  GraphNode* to = ToNode(dst);
  GraphNode* from = ToNode(src);
  cudaError_t error = CheckKernel(to, from, "cudaGraphKernelNodeCopyAttributes");
  if (error == cudaSuccess) error = CheckKernel(from, to, "cudaGraphKernelNodeCopyAttributes");
  if (error != cudaSuccess) return error;
  auto& kernel = std::get<GraphKernel>(to->payload);
  const LaunchGeometry& given_geometry = std::get<GraphKernel>(from->payload).geometry;
  ClientSession* session = Runtime::Get().SessionIfOpen();
  if (session == nullptr) return Fail(cudaErrorInvalidResourceHandle);
  error = SetCluster(*session, &kernel, RequestOf(given_geometry.cluster));
  if (error != cudaSuccess) return Fail(error);
  kernel.geometry.attributes = static_cast<std::uint8_t>((kernel.geometry.attributes & ~kCooperative) |
                                                         (given_geometry.attributes & kCooperative));
  auto kept = std::make_shared<KernelFace>();
  if (const auto* given = dynamic_cast<const KernelFace*>(from->face.get())) kept->attributes = given->attributes;
  if (const auto* own = dynamic_cast<const KernelFace*>(to->face.get())) kept->arguments = own->arguments;
  to->face = std::move(kept);
  return cudaSuccess;
}

// Copies and fills ---------------------------------------------------------------------------------------------------

namespace {

cudaError_t AddCopy(cudaGraphNode_t* node, cudaGraph_t graph, const cudaGraphNode_t* dependencies, size_t count,
                    const cudaMemcpy3DParms* params) {
  ACCELMESH_BEGIN_CALL();
  NodeWork work;
  if (params == nullptr) return Fail(cudaErrorInvalidValue);
  if (const cudaError_t error = MakeCopy(session, *params, &work); error != cudaSuccess) return Fail(error);
  return AddNode(node, graph, dependencies, nullptr, count, std::move(work));
}
cudaError_t SetCopy(cudaGraphNode_t node, const cudaMemcpy3DParms* params) {
  ACCELMESH_BEGIN_CALL();
  GraphNode* ours = NodeOf(node, GraphNodeKind::kCopy);
  NodeWork work;
  if (ours == nullptr || params == nullptr) return Fail(cudaErrorInvalidValue);
  if (const cudaError_t error = MakeCopy(session, *params, &work); error != cudaSuccess) return Fail(error);
  return SetWork(ours, std::move(work));
}

}  // namespace

cudaError_t cudaGraphAddMemcpyNode(cudaGraphNode_t* node, cudaGraph_t graph, const cudaGraphNode_t* dependencies,
                                   size_t count, const cudaMemcpy3DParms* params) {
  return AddCopy(node, graph, dependencies, count, params);
}
cudaError_t cudaGraphAddMemcpyNode1D(cudaGraphNode_t* node, cudaGraph_t graph, const cudaGraphNode_t* dependencies,
                                     size_t dependency_count, void* dst, const void* src, size_t count,
                                     cudaMemcpyKind kind) {
  const cudaMemcpy3DParms params = LinearCopy(dst, src, count, kind);
  return AddCopy(node, graph, dependencies, dependency_count, &params);
}
cudaError_t cudaGraphAddMemcpyNodeToSymbol(cudaGraphNode_t* node, cudaGraph_t graph,
                                           const cudaGraphNode_t* dependencies, size_t dependency_count,
                                           const void* symbol, const void* src, size_t count, size_t offset,
                                           cudaMemcpyKind kind) {
  cudaMemcpy3DParms params;
  if (const cudaError_t error = SymbolCopy(symbol, const_cast<void*>(src), count, offset, kind, true, &params);
      error != cudaSuccess)
    return Fail(error);
  return AddCopy(node, graph, dependencies, dependency_count, &params);
}
cudaError_t cudaGraphAddMemcpyNodeFromSymbol(cudaGraphNode_t* node, cudaGraph_t graph,
                                             const cudaGraphNode_t* dependencies, size_t dependency_count, void* dst,
                                             const void* symbol, size_t count, size_t offset, cudaMemcpyKind kind) {
  cudaMemcpy3DParms params;
  if (const cudaError_t error = SymbolCopy(symbol, dst, count, offset, kind, false, &params); error != cudaSuccess)
    return Fail(error);
  return AddCopy(node, graph, dependencies, dependency_count, &params);
}
cudaError_t cudaGraphMemcpyNodeGetParams(cudaGraphNode_t node, cudaMemcpy3DParms* params) {
  GraphNode* ours = NodeOf(node, GraphNodeKind::kCopy);
  if (ours == nullptr || params == nullptr) return Fail(cudaErrorInvalidValue);
  ReadCopy(*ours, params);
  return cudaSuccess;
}
cudaError_t cudaGraphMemcpyNodeSetParams(cudaGraphNode_t node, const cudaMemcpy3DParms* params) {
  return SetCopy(node, params);
}
cudaError_t cudaGraphMemcpyNodeSetParams1D(cudaGraphNode_t node, void* dst, const void* src, size_t count,
                                           cudaMemcpyKind kind) {
  const cudaMemcpy3DParms params = LinearCopy(dst, src, count, kind);
  return SetCopy(node, &params);
}
cudaError_t cudaGraphMemcpyNodeSetParamsToSymbol(cudaGraphNode_t node, const void* symbol, const void* src,
                                                 size_t count, size_t offset, cudaMemcpyKind kind) {
  cudaMemcpy3DParms params;
  if (const cudaError_t error = SymbolCopy(symbol, const_cast<void*>(src), count, offset, kind, true, &params);
      error != cudaSuccess)
    return Fail(error);
  return SetCopy(node, &params);
}
cudaError_t cudaGraphMemcpyNodeSetParamsFromSymbol(cudaGraphNode_t node, void* dst, const void* symbol, size_t count,
                                                   size_t offset, cudaMemcpyKind kind) {
  cudaMemcpy3DParms params;
  if (const cudaError_t error = SymbolCopy(symbol, dst, count, offset, kind, false, &params); error != cudaSuccess)
    return Fail(error);
  return SetCopy(node, &params);
}

cudaError_t cudaGraphAddMemsetNode(cudaGraphNode_t* node, cudaGraph_t graph, const cudaGraphNode_t* dependencies,
                                   size_t count, const cudaMemsetParams* params) {
  ACCELMESH_BEGIN_CALL();
  NodeWork work;
  if (params == nullptr) return Fail(cudaErrorInvalidValue);
  if (const cudaError_t error = MakeFill(session, *params, &work); error != cudaSuccess) return Fail(error);
  return AddNode(node, graph, dependencies, nullptr, count, std::move(work));
}
cudaError_t cudaGraphMemsetNodeGetParams(cudaGraphNode_t node, cudaMemsetParams* params) {
  GraphNode* ours = NodeOf(node, GraphNodeKind::kFill);
  if (ours == nullptr || params == nullptr) return Fail(cudaErrorInvalidValue);
  ReadFill(*ours, params);
  return cudaSuccess;
}
cudaError_t cudaGraphMemsetNodeSetParams(cudaGraphNode_t node, const cudaMemsetParams* params) {
  ACCELMESH_BEGIN_CALL();
  GraphNode* ours = NodeOf(node, GraphNodeKind::kFill);
  NodeWork work;
  if (ours == nullptr || params == nullptr) return Fail(cudaErrorInvalidValue);
  if (const cudaError_t error = MakeFill(session, *params, &work); error != cudaSuccess) return Fail(error);
  return SetWork(ours, std::move(work));
}

// Host functions, events, children, nothing --------------------------------------------------------------------------

cudaError_t cudaGraphAddHostNode(cudaGraphNode_t* node, cudaGraph_t graph, const cudaGraphNode_t* dependencies,
                                 size_t count, const cudaHostNodeParams* params) {
  NodeWork work;
  if (params == nullptr) return Fail(cudaErrorInvalidValue);
  if (const cudaError_t error = MakeHost(*params, &work); error != cudaSuccess) return Fail(error);
  return AddNode(node, graph, dependencies, nullptr, count, std::move(work));
}
cudaError_t cudaGraphHostNodeGetParams(cudaGraphNode_t node, cudaHostNodeParams* params) {
  GraphNode* ours = NodeOf(node, GraphNodeKind::kHost);
  if (ours == nullptr || params == nullptr) return Fail(cudaErrorInvalidValue);
  const auto& host = std::get<GraphHost>(ours->payload);
  *params = {host.function, host.data};
  return cudaSuccess;
}
cudaError_t cudaGraphHostNodeSetParams(cudaGraphNode_t node, const cudaHostNodeParams* params) {
  GraphNode* ours = NodeOf(node, GraphNodeKind::kHost);
  NodeWork work;
  if (ours == nullptr || params == nullptr) return Fail(cudaErrorInvalidValue);
  if (const cudaError_t error = MakeHost(*params, &work); error != cudaSuccess) return Fail(error);
  return SetWork(ours, std::move(work));
}

cudaError_t cudaGraphAddEventRecordNode(cudaGraphNode_t* node, cudaGraph_t graph, const cudaGraphNode_t* dependencies,
                                        size_t count, cudaEvent_t event) {
  ACCELMESH_BEGIN_CALL();
  NodeWork work;
  if (const cudaError_t error = MakeEvent(session, event, true, &work); error != cudaSuccess) return Fail(error);
  return AddNode(node, graph, dependencies, nullptr, count, std::move(work));
}
cudaError_t cudaGraphEventRecordNodeGetEvent(cudaGraphNode_t node, cudaEvent_t* event) {
  GraphNode* ours = NodeOf(node, GraphNodeKind::kEventRecord);
  if (ours == nullptr || event == nullptr) return Fail(cudaErrorInvalidValue);
  *event = reinterpret_cast<cudaEvent_t>(std::get<GraphEventRecord>(ours->payload).event);
  return cudaSuccess;
}
cudaError_t cudaGraphEventRecordNodeSetEvent(cudaGraphNode_t node, cudaEvent_t event) {
  ACCELMESH_BEGIN_CALL();
  GraphNode* ours = NodeOf(node, GraphNodeKind::kEventRecord);
  NodeWork work;
  if (ours == nullptr) return Fail(cudaErrorInvalidValue);
  if (const cudaError_t error = MakeEvent(session, event, true, &work); error != cudaSuccess) return Fail(error);
  return SetWork(ours, std::move(work));
}
cudaError_t cudaGraphAddEventWaitNode(cudaGraphNode_t* node, cudaGraph_t graph, const cudaGraphNode_t* dependencies,
                                      size_t count, cudaEvent_t event) {
  ACCELMESH_BEGIN_CALL();
  NodeWork work;
  if (const cudaError_t error = MakeEvent(session, event, false, &work); error != cudaSuccess) return Fail(error);
  return AddNode(node, graph, dependencies, nullptr, count, std::move(work));
}
cudaError_t cudaGraphEventWaitNodeGetEvent(cudaGraphNode_t node, cudaEvent_t* event) {
  GraphNode* ours = NodeOf(node, GraphNodeKind::kEventWait);
  if (ours == nullptr || event == nullptr) return Fail(cudaErrorInvalidValue);
  *event = reinterpret_cast<cudaEvent_t>(std::get<GraphEventWait>(ours->payload).event);
  return cudaSuccess;
}
cudaError_t cudaGraphEventWaitNodeSetEvent(cudaGraphNode_t node, cudaEvent_t event) {
  ACCELMESH_BEGIN_CALL();
  GraphNode* ours = NodeOf(node, GraphNodeKind::kEventWait);
  NodeWork work;
  if (ours == nullptr) return Fail(cudaErrorInvalidValue);
  if (const cudaError_t error = MakeEvent(session, event, false, &work); error != cudaSuccess) return Fail(error);
  return SetWork(ours, std::move(work));
}

cudaError_t cudaGraphAddChildGraphNode(cudaGraphNode_t* node, cudaGraph_t graph, const cudaGraphNode_t* dependencies,
                                       size_t count, cudaGraph_t child) {
  return AddChild(node, graph, dependencies, nullptr, count, child, false);
}
cudaError_t cudaGraphChildGraphNodeGetGraph(cudaGraphNode_t node, cudaGraph_t* graph) {
  GraphNode* ours = NodeOf(node, GraphNodeKind::kChild);
  if (ours == nullptr || graph == nullptr) return Fail(cudaErrorInvalidValue);
  *graph = ToHandle(std::get<GraphChild>(ours->payload).graph.get());
  return cudaSuccess;
}
cudaError_t cudaGraphAddEmptyNode(cudaGraphNode_t* node, cudaGraph_t graph, const cudaGraphNode_t* dependencies,
                                  size_t count) {
  return AddNode(node, graph, dependencies, nullptr, count, {GraphEmpty{}, nullptr});
}

// Memory -------------------------------------------------------------------------------------------------------------

cudaError_t cudaGraphAddMemAllocNode(cudaGraphNode_t* node, cudaGraph_t graph, const cudaGraphNode_t* dependencies,
                                     size_t count, cudaMemAllocNodeParams* params) {
  ACCELMESH_BEGIN_CALL();
  return AddAlloc(session, node, graph, dependencies, nullptr, count, params);
}
cudaError_t cudaGraphAddMemFreeNode(cudaGraphNode_t* node, cudaGraph_t graph, const cudaGraphNode_t* dependencies,
                                    size_t count, void* pointer) {
  ACCELMESH_BEGIN_CALL();
  return AddFree(session, node, graph, dependencies, nullptr, count, pointer);
}

// Any kind -----------------------------------------------------------------------------------------------------------

cudaError_t cudaGraphAddNode(cudaGraphNode_t* node, cudaGraph_t graph, const cudaGraphNode_t* dependencies,
                             const cudaGraphEdgeData* data, size_t count, cudaGraphNodeParams* params) {
  ACCELMESH_BEGIN_CALL();
  if (params == nullptr || graph == nullptr) return Fail(cudaErrorInvalidValue);
  switch (params->type) {
    case cudaGraphNodeTypeGraph:
      return AddChild(node, graph, dependencies, data, count, params->graph.graph,
                      params->graph.ownership == cudaGraphChildGraphOwnershipMove);
    case cudaGraphNodeTypeMemAlloc: {
      cudaMemAllocNodeParamsV2& p = params->alloc;
      cudaMemAllocNodeParams same{p.poolProps, p.accessDescs, p.accessDescCount, p.bytesize, nullptr};
      const cudaError_t error = AddAlloc(session, node, graph, dependencies, data, count, &same);
      if (error == cudaSuccess) p.dptr = same.dptr;
      return error;
    }
    case cudaGraphNodeTypeMemFree: return AddFree(session, node, graph, dependencies, data, count, params->free.dptr);
    case cudaGraphNodeTypeConditional:
      return AddConditional(node, graph, dependencies, data, count, &params->conditional);
    default: break;
  }
  NodeWork work;
  if (const cudaError_t error = MakeWork(session, *params, nullptr, &work); error != cudaSuccess) {
    if (error == cudaErrorNotSupported) {
      log::Warning("cudaGraphAddNode",
                   "external semaphores are not supported by this release; the call returns cudaErrorNotSupported");
    }
    return Fail(error);
  }
  return AddNode(node, graph, dependencies, data, count, std::move(work));
}
cudaError_t cudaGraphNodeSetParams(cudaGraphNode_t node, cudaGraphNodeParams* params) {
  ACCELMESH_BEGIN_CALL();
  GraphNode* ours = ToNode(node);
  if (ours == nullptr || params == nullptr ||
      static_cast<int>(ToldKind(ours->kind())) != static_cast<int>(params->type))
    return Fail(cudaErrorInvalidValue);
  if (ours->kind() == GraphNodeKind::kLibrary) return CheckKernel(ours, params, "cudaGraphNodeSetParams");
  NodeWork work;
  if (const cudaError_t error = MakeWork(session, *params, ours, &work); error != cudaSuccess) return Fail(error);
  if (ours->kind() == GraphNodeKind::kKernel) work.face = ours->face;
  return SetWork(ours, std::move(work));
}

}  // namespace accelmesh::face
