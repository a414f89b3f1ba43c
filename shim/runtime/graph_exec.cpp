// Executable graphs: made, updated, launched.
#include <unordered_set>

#include "protocol/base/log.h"
#include "shim/gen_face.h"
#include "shim/runtime/graph.h"

namespace accelmesh {
namespace {

struct Execs {
  Mutex mu;
  std::unordered_set<GraphExec*> live ACCELMESH_GUARDED_BY(mu);
};
Execs& AllExecs() {
  static Execs* const execs = new Execs;  // outlives every thread
  return *execs;
}

}  // namespace

GraphExec* ToExec(cudaGraphExec_t exec) {
  auto* ours = reinterpret_cast<GraphExec*>(exec);
  Execs& all = AllExecs();
  const MutexLock lock(all.mu);
  return all.live.contains(ours) ? ours : nullptr;
}

std::vector<std::unique_ptr<GraphExec>> TakeExecsOf(ClientSession& session, std::uint32_t device) {
  std::vector<std::unique_ptr<GraphExec>> taken;
  Execs& all = AllExecs();
  const MutexLock lock(all.mu);
  for (auto exec = all.live.begin(); exec != all.live.end();) {
    if (!session.UsesDevice((*exec)->image(), device)) {
      ++exec;
      continue;
    }
    taken.emplace_back(*exec);
    exec = all.live.erase(exec);
  }
  return taken;
}

namespace face {
namespace {

cudaError_t Instantiate(ClientSession& session, cudaGraphExec_t* handle, cudaGraph_t graph, std::uint64_t flags,
                        cudaGraphNode_t* offending, cudaGraphInstantiateResult* result) {
  *offending = nullptr;
  *result = cudaGraphInstantiateError;
  constexpr std::uint64_t kKnown =
      GraphExec::kAutoFree | GraphExec::kUpload | GraphExec::kDeviceLaunch | GraphExec::kNodePriority;
  if (handle == nullptr || graph == nullptr || (flags & ~kKnown) != 0) return Fail(cudaErrorInvalidValue);
  if ((flags & GraphExec::kDeviceLaunch) != 0) {
    if ((flags & GraphExec::kAutoFree) != 0) return Fail(cudaErrorInvalidValue);
    log::Warning("cudaGraphInstantiate",
                 "graphs that kernels launch are not supported by this release; the call returns "
                 "cudaErrorNotSupported");
    return Fail(cudaErrorNotSupported);
  }
  Graph& source = *ToGraph(graph);
  if (source.parent() != nullptr && source.HasMemoryNodes()) return Fail(cudaErrorInvalidValue);
  const bool is_single = source.HasMemoryNodes() || source.HasConditionalNodes();
  if (source.IsInBody() || (is_single && source.executables()->load() != 0)) return Fail(cudaErrorInvalidValue);
  if (!source.AllConditionsUsed()) {
    *result = cudaGraphInstantiateConditionalHandleUnused;
    return Fail(cudaErrorInvalidValue);
  }
  std::unique_ptr<GraphExec> made;
  GraphNode* node = nullptr;
  if (const DeviceResult failed = session.InstantiateGraph(source, flags, &made, &node); failed != 0) {
    if (node != nullptr) {
      *offending = ToHandle(node);
      *result = failed == cudaErrorNotSupported ? cudaGraphInstantiateNodeOperationNotSupported
                                                : cudaGraphInstantiateInvalidStructure;
    }
    return Done(session, failed);
  }
  *result = cudaGraphInstantiateSuccess;
  Execs& all = AllExecs();
  const MutexLock lock(all.mu);
  all.live.insert(made.get());
  *handle = reinterpret_cast<cudaGraphExec_t>(made.release());
  return cudaSuccess;
}

// The node of an executable that stands for `node`, if it is of that kind as programs see it.
GraphNode* Find(GraphExec* exec, cudaGraphNode_t node, GraphNodeKind kind) {
  if (exec == nullptr || node == nullptr) return nullptr;
  GraphNode* found = exec->Find(*ToNode(node));
  return found != nullptr && ToldKind(found->kind()) == kind ? found : nullptr;
}

cudaError_t Update(ClientSession& session, GraphExec* exec, GraphNode* node, NodeWork work) {
  if (CheckNodeUpdate(node->payload, work.payload) != GraphUpdateResult::kSuccess) return Fail(cudaErrorInvalidValue);
  GraphNode update;
  update.payload = std::move(work.payload);
  update.face = std::move(work.face);
  if (node->kind() == GraphNodeKind::kKernel) update.face = node->face;
  return Done(session, session.UpdateGraphNode(exec, node, update));
}

cudaError_t UpdateCopy(cudaGraphExec_t exec, cudaGraphNode_t node, const cudaMemcpy3DParms* params) {
  ACCELMESH_BEGIN_CALL();
  GraphExec* ours = ToExec(exec);
  GraphNode* found = Find(ours, node, GraphNodeKind::kCopy);
  NodeWork work;
  if (found == nullptr || params == nullptr) return Fail(cudaErrorInvalidValue);
  if (const cudaError_t error = MakeCopy(session, *params, &work); error != cudaSuccess) return Fail(error);
  // One that was instantiated with more dimensions than one stays as it is, and takes no others.
  const auto& now = std::get<GraphCopy>(found->payload);
  const auto& next = std::get<GraphCopy>(work.payload);
  if (now.height != 1 || now.depth != 1 || next.height != 1 || next.depth != 1) return Fail(cudaErrorInvalidValue);
  return Update(session, ours, found, std::move(work));
}

cudaError_t UpdateEvent(cudaGraphExec_t exec, cudaGraphNode_t node, cudaEvent_t event, bool is_record) {
  ACCELMESH_BEGIN_CALL();
  GraphExec* ours = ToExec(exec);
  GraphNode* found = Find(ours, node, is_record ? GraphNodeKind::kEventRecord : GraphNodeKind::kEventWait);
  NodeWork work;
  if (found == nullptr) return Fail(cudaErrorInvalidValue);
  if (const cudaError_t error = MakeEvent(session, event, is_record, &work); error != cudaSuccess) return Fail(error);
  return Update(session, ours, found, std::move(work));
}

}  // namespace

cudaError_t cudaGraphInstantiateWithFlags(cudaGraphExec_t* exec, cudaGraph_t graph, unsigned long long flags) {
  ACCELMESH_BEGIN_CALL();
  cudaGraphNode_t offending = nullptr;
  cudaGraphInstantiateResult result{};
  // An upload needs a stream, which only cudaGraphInstantiateWithParams names.
  if ((flags & GraphExec::kUpload) != 0) return Fail(cudaErrorInvalidValue);
  return Instantiate(session, exec, graph, flags, &offending, &result);
}
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* exec, cudaGraph_t graph, unsigned long long flags) {
  return face::cudaGraphInstantiateWithFlags(exec, graph, flags);
}
cudaError_t cudaGraphInstantiateWithParams(cudaGraphExec_t* exec, cudaGraph_t graph,
                                           cudaGraphInstantiateParams* params) {
  ACCELMESH_BEGIN_CALL();
  if (params == nullptr) return Fail(cudaErrorInvalidValue);
  if ((params->flags & GraphExec::kUpload) != 0 && ResolveStream(session, params->uploadStream) == nullptr)
    return Fail(cudaErrorInvalidResourceHandle);
  // Instantiated is uploaded: the server holds the definition from then on.
  return Instantiate(session, exec, graph, params->flags, &params->errNode_out, &params->result_out);
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec) {
  ACCELMESH_BEGIN_QUERY();
  std::unique_ptr<GraphExec> gone;
  {
    Execs& all = AllExecs();
    const MutexLock lock(all.mu);
    if (all.live.erase(reinterpret_cast<GraphExec*>(exec)) == 0) return Fail(cudaErrorInvalidValue);
    gone.reset(reinterpret_cast<GraphExec*>(exec));
  }
  return Done(session, session.EndGraph(std::move(gone)));
}
cudaError_t cudaGraphExecGetFlags(cudaGraphExec_t exec, unsigned long long* flags) {
  const GraphExec* ours = ToExec(exec);
  if (ours == nullptr || flags == nullptr) return Fail(cudaErrorInvalidValue);
  *flags = ours->flags();
  return cudaSuccess;
}
cudaError_t cudaGraphUpload(cudaGraphExec_t exec, cudaStream_t stream) {
  ACCELMESH_BEGIN_STREAM_CALL(stream);
  GraphExec* ours = ToExec(exec);
  return ours == nullptr ? Fail(cudaErrorInvalidValue) : Done(session, session.DefineGraph(ours));
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream) {
  ACCELMESH_BEGIN_STREAM_CALL(stream);
  GraphExec* ours = ToExec(exec);
  if (ours == nullptr) return Fail(cudaErrorInvalidValue);
  const DeviceResult launched = session.LaunchGraph(stream_object, ours);
  if (ours->program().writes_host || session.ReachesHost()) Runtime::Get().NoteHostWrite();
  return Done(session, launched);
}

// Updates ------------------------------------------------------------------------------------------------------------

cudaError_t cudaGraphExecUpdate(cudaGraphExec_t exec, cudaGraph_t graph, cudaGraphExecUpdateResultInfo* info) {
  ACCELMESH_BEGIN_CALL();
  GraphExec* ours = ToExec(exec);
  cudaGraphExecUpdateResultInfo told{cudaGraphExecUpdateError, nullptr, nullptr};
  if (info != nullptr) *info = told;
  if (ours == nullptr || graph == nullptr) return Fail(cudaErrorInvalidValue);
  if (ToGraph(graph)->parent() != nullptr) return Fail(cudaErrorInvalidValue);
  const GraphUpdateCheck check = CheckGraphUpdate(ours->image(), *ToGraph(graph));
  told = {static_cast<cudaGraphExecUpdateResult>(check.result), ToHandle(check.node), ToHandle(check.from)};
  if (info != nullptr) *info = told;
  if (check.result != GraphUpdateResult::kSuccess) return Fail(cudaErrorGraphExecUpdateFailure);
  return Done(session, session.UpdateGraph(ours, *ToGraph(graph), check.pairs));
}
cudaError_t cudaGraphExecKernelNodeSetParams(cudaGraphExec_t exec, cudaGraphNode_t node,
                                             const cudaKernelNodeParams* params) {
  ACCELMESH_BEGIN_CALL();
  GraphExec* ours = ToExec(exec);
  GraphNode* found = Find(ours, node, GraphNodeKind::kKernel);
  if (const cudaError_t error = CheckKernel(found, params, "cudaGraphExecKernelNodeSetParams"); error != cudaSuccess)
    return error;
  NodeWork work;
  const auto& now = std::get<GraphKernel>(found->payload);
  if (const cudaError_t error = MakeKernel(session, *params, &now, &work); error != cudaSuccess) return Fail(error);
  return Update(session, ours, found, std::move(work));
}
cudaError_t cudaGraphExecMemcpyNodeSetParams(cudaGraphExec_t exec, cudaGraphNode_t node,
                                             const cudaMemcpy3DParms* params) {
  return UpdateCopy(exec, node, params);
}
cudaError_t cudaGraphExecMemcpyNodeSetParams1D(cudaGraphExec_t exec, cudaGraphNode_t node, void* dst, const void* src,
                                               size_t count, cudaMemcpyKind kind) {
  const cudaMemcpy3DParms params = LinearCopy(dst, src, count, kind);
  return UpdateCopy(exec, node, &params);
}
cudaError_t cudaGraphExecMemcpyNodeSetParamsToSymbol(cudaGraphExec_t exec, cudaGraphNode_t node, const void* symbol,
                                                     const void* src, size_t count, size_t offset,
                                                     cudaMemcpyKind kind) {
  cudaMemcpy3DParms params;
  if (const cudaError_t error = SymbolCopy(symbol, const_cast<void*>(src), count, offset, kind, true, &params);
      error != cudaSuccess)
    return Fail(error);
  return UpdateCopy(exec, node, &params);
}
cudaError_t cudaGraphExecMemcpyNodeSetParamsFromSymbol(cudaGraphExec_t exec, cudaGraphNode_t node, void* dst,
                                                       const void* symbol, size_t count, size_t offset,
                                                       cudaMemcpyKind kind) {
  cudaMemcpy3DParms params;
  if (const cudaError_t error = SymbolCopy(symbol, dst, count, offset, kind, false, &params); error != cudaSuccess)
    return Fail(error);
  return UpdateCopy(exec, node, &params);
}
cudaError_t cudaGraphExecMemsetNodeSetParams(cudaGraphExec_t exec, cudaGraphNode_t node,
                                             const cudaMemsetParams* params) {
  ACCELMESH_BEGIN_CALL();
  GraphExec* ours = ToExec(exec);
  GraphNode* found = Find(ours, node, GraphNodeKind::kFill);
  NodeWork work;
  if (found == nullptr || params == nullptr) return Fail(cudaErrorInvalidValue);
  if (const cudaError_t error = MakeFill(session, *params, &work); error != cudaSuccess) return Fail(error);
  return Update(session, ours, found, std::move(work));
}
cudaError_t cudaGraphExecHostNodeSetParams(cudaGraphExec_t exec, cudaGraphNode_t node,
                                           const cudaHostNodeParams* params) {
  ACCELMESH_BEGIN_CALL();
  GraphExec* ours = ToExec(exec);
  GraphNode* found = Find(ours, node, GraphNodeKind::kHost);
  NodeWork work;
  if (found == nullptr || params == nullptr) return Fail(cudaErrorInvalidValue);
  if (const cudaError_t error = MakeHost(*params, &work); error != cudaSuccess) return Fail(error);
  return Update(session, ours, found, std::move(work));
}
cudaError_t cudaGraphExecEventRecordNodeSetEvent(cudaGraphExec_t exec, cudaGraphNode_t node, cudaEvent_t event) {
  return UpdateEvent(exec, node, event, true);
}
cudaError_t cudaGraphExecEventWaitNodeSetEvent(cudaGraphExec_t exec, cudaGraphNode_t node, cudaEvent_t event) {
  return UpdateEvent(exec, node, event, false);
}
cudaError_t cudaGraphExecChildGraphNodeSetParams(cudaGraphExec_t exec, cudaGraphNode_t node, cudaGraph_t child) {
  ACCELMESH_BEGIN_CALL();
  GraphExec* ours = ToExec(exec);
  GraphNode* found = Find(ours, node, GraphNodeKind::kChild);
  if (found == nullptr || child == nullptr) return Fail(cudaErrorInvalidValue);
  const GraphUpdateCheck check = CheckGraphUpdate(*std::get<GraphChild>(found->payload).graph, *ToGraph(child));
  if (check.result != GraphUpdateResult::kSuccess) return Fail(cudaErrorInvalidValue);
  return Done(session, session.UpdateChild(ours, *ToGraph(child), check.pairs));
}
cudaError_t cudaGraphExecNodeSetParams(cudaGraphExec_t exec, cudaGraphNode_t node, cudaGraphNodeParams* params) {
  if (params == nullptr) return Fail(cudaErrorInvalidValue);
  if (params->type == cudaGraphNodeTypeGraph)
    return face::cudaGraphExecChildGraphNodeSetParams(exec, node, params->graph.graph);
  if (params->type == cudaGraphNodeTypeMemcpy) return UpdateCopy(exec, node, &params->memcpy.copyParams);
  ACCELMESH_BEGIN_CALL();
  GraphExec* ours = ToExec(exec);
  GraphNode* found = Find(ours, node, static_cast<GraphNodeKind>(params->type));
  NodeWork work;
  if (found == nullptr) return Fail(cudaErrorInvalidValue);
  if (found->kind() == GraphNodeKind::kLibrary) return CheckKernel(found, params, "cudaGraphExecNodeSetParams");
  if (const cudaError_t error = MakeWork(session, *params, found, &work); error != cudaSuccess) return Fail(error);
  return Update(session, ours, found, std::move(work));
}

namespace {

// The node, if it is one that can be left out.
GraphNode* FindSwitchable(GraphExec* exec, cudaGraphNode_t node) {
  if (exec == nullptr || node == nullptr) return nullptr;
  GraphNode* found = exec->Find(*ToNode(node));
  if (found == nullptr) return nullptr;
  const GraphNodeKind kind = ToldKind(found->kind());
  const bool can_be = kind == GraphNodeKind::kKernel || kind == GraphNodeKind::kCopy || kind == GraphNodeKind::kFill;
  return can_be ? found : nullptr;
}

}  // namespace

cudaError_t cudaGraphNodeSetEnabled(cudaGraphExec_t exec, cudaGraphNode_t node, unsigned int enabled) {
  ACCELMESH_BEGIN_CALL();
  GraphExec* ours = ToExec(exec);
  GraphNode* found = FindSwitchable(ours, node);
  if (found == nullptr) return Fail(cudaErrorInvalidValue);
  return Done(session, session.EnableGraphNode(ours, found, enabled != 0));
}
cudaError_t cudaGraphNodeGetEnabled(cudaGraphExec_t exec, cudaGraphNode_t node, unsigned int* enabled) {
  const GraphNode* found = FindSwitchable(ToExec(exec), node);
  if (found == nullptr || enabled == nullptr) return Fail(cudaErrorInvalidValue);
  *enabled = found->is_enabled ? 1 : 0;
  return cudaSuccess;
}

}  // namespace face
}  // namespace accelmesh
